"""Every API in every version, over a socket, with bodies that are empty, default, cut, longer and random.

The broker answers or closes the connection; it never meets a bug of its own, and others are served on.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from kafka_protocol import load
from kafka_protocol.dispatch import FLEXIBLE_FROM, NAMES, SERVED

from kafka_server.testing.broker import RunningBroker, running_broker

ALL = [(key, version) for key, (low, high) in SERVED.items() for version in range(low, high + 1)]
LAST = 0x7E577E57
"""Correlation id of the request that asks whether the broker still answers."""
PATIENCE_S = 0.1
"""A request may rightly wait for records or members; then it is left alone after this long."""


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """What is tested here lies above the loop: one is enough."""
    return asyncio.DefaultEventLoopPolicy()


def frame(key: int, version: int, body: bytes, correlation_id: int) -> bytes:
    flexible = version >= FLEXIBLE_FROM[key]
    header = key.to_bytes(2, "big") + version.to_bytes(2, "big") + correlation_id.to_bytes(4, "big") + b"\0\4test"
    whole = header + (b"\0" if flexible else b"") + body
    return len(whole).to_bytes(4, "big") + whole


def bodies(key: int, version: int) -> Iterator[bytes]:
    draw = random.Random(key * 100 + version)
    default: bytes = load(f"{NAMES[key]}Request")().encode(version)
    yield default
    yield b""
    yield default + b"\0"
    for _ in range(2):
        yield default[: draw.randrange(len(default) + 1)]
    for _ in range(10):
        mutated = bytearray(default + draw.randbytes(8))
        for _ in range(draw.randint(1, 4)):
            mutated[draw.randrange(len(mutated))] = draw.choice((0, 1, 2, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        yield bytes(mutated)
    for size in (1, 20, 200):
        yield draw.randbytes(size)


async def ask(broker: RunningBroker, data: bytes) -> bytes:
    """What the broker sends until it closes, falls silent, or has answered ApiVersions, which follows the data."""
    host, _, port = broker.bootstrap.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data + frame(18, 0, b"", LAST))
    received = b""
    try:
        while LAST.to_bytes(4, "big") not in received:
            piece = await asyncio.wait_for(reader.read(65536), PATIENCE_S)
            if not piece:
                break
            received += piece
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return received


@pytest.mark.parametrize(("key", "version"), ALL, ids=[f"{NAMES[key]}-v{version}" for key, version in ALL])
async def test_no_body_of_any_api_meets_a_bug(key: int, version: int, caplog: pytest.LogCaptureFixture) -> None:
    async with running_broker() as broker:
        for body in bodies(key, version):
            await ask(broker, frame(key, version, body, 1))
        assert LAST.to_bytes(4, "big") in await ask(broker, b"")
    assert [record.exc_text or record.getMessage() for record in caplog.records if record.exc_info] == []
