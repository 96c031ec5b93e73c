"""Where a client is told to come back to."""

from __future__ import annotations

import asyncio

from kafka_protocol.messages.metadata import MetadataRequest, MetadataResponse

from kafka_server.infrastructure.network.listener import Listener
from kafka_server.testing.broker import running_broker
from tests.wire.conftest import Peer, request


async def told_address(listener: Listener) -> tuple[str, int]:
    """Host and port of the broker in the metadata that a client of this listener gets."""
    peer = Peer(*await asyncio.open_connection(listener.host, listener.port))
    await peer.send(request(3, MetadataRequest(topics=[]).encode(1), version=1))
    _, body = await peer.receive()
    peer.writer.close()
    (broker,) = MetadataResponse.decode(body, 1).brokers
    return broker.host, broker.port


async def test_without_a_setting_a_client_is_told_the_address_that_it_reached() -> None:
    protocols = {"listener.security.protocol.map": "V4:PLAINTEXT,V6:PLAINTEXT"}
    async with running_broker(listeners="V4://127.0.0.1:0,V6://[::1]:0", **protocols) as broker:
        first, second = broker.broker.listeners
        assert await told_address(first) == ("127.0.0.1", first.port)
        assert await told_address(second) == ("::1", second.port)


async def test_behind_a_proxy_each_listener_tells_its_own_advertised_address() -> None:
    settings = {
        "listeners": "INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.1:0",
        "listener.security.protocol.map": "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT",
        "advertised.listeners": "OUTSIDE://kafka.example.org:9094",
    }
    async with running_broker(**settings) as broker:
        inside, outside = broker.broker.listeners
        assert await told_address(inside) == ("127.0.0.1", inside.port)
        assert await told_address(outside) == ("kafka.example.org", 9094)
