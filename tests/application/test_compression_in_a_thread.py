"""A large batch that the topic wants in another codec is compressed in a thread: nobody else waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from kafka_protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

from kafka_server.domain.record_batch import CODEC_NAMES, parse_header
from kafka_server.domain.topic import TopicSettings
from tests.application.data_house import DataHouse, context, stored
from tests.domain.batches import NOW_MS, batch, messages, patched

VERSION = 9
LARGE = batch(*messages(100, size=1000, timestamp=NOW_MS))
TO_ZSTD = TopicSettings(compression_type="zstd")
CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_RECORD = 2, 3, 87

Answer = ProduceResponse | Awaitable[ProduceResponse | None] | None


def produce(house: DataHouse, *parts: tuple[str, bytes], acks: int = -1) -> Answer:
    topics = [TopicProduceData(name, partition_data=[PartitionProduceData(0, records)]) for name, records in parts]
    request = ProduceRequest(acks=acks, topic_data=topics)
    return house.produce_handlers.produce(context(VERSION), ProduceRequest.decode(request.encode(VERSION), VERSION))


async def later(answer: Answer) -> list[PartitionProduceResponse]:
    assert isinstance(answer, Awaitable)
    response = await answer
    assert response is not None
    return [partition for topic in response.responses for partition in topic.partition_responses]


async def test_others_are_served_while_it_is_compressed() -> None:
    house = DataHouse()
    await house.topic("pressed", settings=TO_ZSTD)
    await house.topic("plain")
    long = produce(house, ("pressed", LARGE))

    assert isinstance(produce(house, ("plain", batch())), ProduceResponse)
    assert house.replicas.find("pressed", 0).partition.log_end_offset == 0

    (answer,) = await later(long)
    replica = house.replicas.find("pressed", 0)
    raw = replica.log.read(0, 1 << 20, 100)
    assert isinstance(raw, memoryview)
    assert (answer.error_code, answer.base_offset) == (0, 0)
    assert CODEC_NAMES[parse_header(raw).codec] == "zstd"
    assert [message.value for message in stored(replica)] == [m.value for m in messages(100, size=1000)]


async def test_every_partition_gets_its_own_answer_in_the_order_of_the_request() -> None:
    house = DataHouse()
    for name in ("first", "second", "third"):
        await house.topic(name, settings=TO_ZSTD)
    broken = LARGE[:-1] + bytes([LARGE[-1] ^ 1])
    lie = patched(LARGE, 57, "i", 99)

    answers = await later(produce(house, ("first", LARGE), ("second", broken), ("third", lie)))

    assert [answer.error_code for answer in answers] == [0, CORRUPT_MESSAGE, INVALID_RECORD]
    assert [answer.base_offset for answer in answers] == [0, -1, -1]


async def test_a_topic_that_is_deleted_meanwhile_is_unknown() -> None:
    house = DataHouse()
    topic = await house.topic("pressed", settings=TO_ZSTD)
    long = produce(house, ("pressed", LARGE))
    await house.replicas.remove_topic(topic)

    (answer,) = await later(long)

    assert answer.error_code == UNKNOWN_TOPIC_OR_PARTITION


async def test_a_client_that_goes_away_does_not_take_its_batch_with_it() -> None:
    house = DataHouse()
    await house.topic("pressed", settings=TO_ZSTD)
    long = produce(house, ("pressed", LARGE), acks=1)
    assert isinstance(long, asyncio.Future)
    still_at_work = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    long.cancel()
    await asyncio.gather(*still_at_work)

    assert len(stored(house.replicas.find("pressed", 0))) == 100


async def test_under_acks_0_and_for_small_batches_it_is_done_at_once() -> None:
    house = DataHouse()
    await house.topic("pressed", settings=TO_ZSTD)

    assert produce(house, ("pressed", LARGE), acks=0) is None
    assert isinstance(produce(house, ("pressed", batch())), ProduceResponse)
    assert house.replicas.find("pressed", 0).partition.log_end_offset == 101
