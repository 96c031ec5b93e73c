"""Clients that ask for much and read nothing keep a bounded part of our memory, and nobody else waits for them."""

from __future__ import annotations

import asyncio

from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic

from kafka_server.application.replica_manager import Replica
from kafka_server.application.topic_service import NewTopic
from kafka_server.application.unsent import LEAST_BYTES
from kafka_server.testing.broker import RunningBroker, running_broker
from tests.domain.batches import batch, messages

MIB = 1 << 20
PARTITIONS = 32
LARGE = batch(*messages(16, size=MIB // 17))
LIMIT = 16 * MIB
FETCH, VERSION = 1, 12


def fetch_of_all(topic: str) -> bytes:
    wanted = [FetchPartition(partition=index, partition_max_bytes=MIB) for index in range(PARTITIONS)]
    topics = [FetchTopic(topic=topic, partitions=wanted)]
    body = FetchRequest(max_wait_ms=0, min_bytes=1, max_bytes=50 * MIB, session_epoch=-1, topics=topics).encode(VERSION)
    header = FETCH.to_bytes(2, "big") + VERSION.to_bytes(2, "big") + bytes(4) + b"\xff\xff\0"
    return (len(header) + len(body)).to_bytes(4, "big") + header + body


async def filled(running: RunningBroker, topic: str) -> list[Replica]:
    services = running.broker.services
    services.unsent.limit_bytes = LIMIT
    await services.topics.create_many([NewTopic(topic, PARTITIONS)])
    replicas = [services.replicas.find(topic, index) for index in range(PARTITIONS)]
    for replica in replicas:
        services.producer.append(replica, LARGE)
    return replicas


async def connect(running: RunningBroker) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = running.bootstrap.rpartition(":")
    return await asyncio.open_connection(host, int(port), limit=LEAST_BYTES)


async def test_answers_get_smaller_while_clients_do_not_read_and_whoever_reads_is_served() -> None:
    async with running_broker() as running:
        await filled(running, "large")
        request = fetch_of_all("large")
        silent = []
        for _ in range(6):
            _, writer = await connect(running)
            writer.write(request)
            silent.append(writer)
            await asyncio.sleep(0.05)
        unsent = running.broker.services.unsent
        # The first two took what there was, and the others the one batch that everybody gets.
        assert LIMIT / 2 < unsent.bytes < LIMIT + 6 * MIB

        reader, writer = await connect(running)
        writer.write(request)
        size = int.from_bytes(await reader.readexactly(4), "big")
        answer = FetchResponse.decode((await reader.readexactly(size))[5:], VERSION)
        got = [part for part in answer.responses[0].partitions if part.records]
        assert len(got) >= 1
        assert bytes(got[0].records or b"")[16:] == LARGE[16:]

        for each in (*silent, writer):
            each.close()
        await asyncio.sleep(0.2)
        assert unsent.bytes == 0
