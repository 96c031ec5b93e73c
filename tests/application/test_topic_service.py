"""What of the topic service no handler shows: stores that fail, and starting from what is stored."""

from __future__ import annotations

import asyncio

import pytest

from kafka_server.application.topic_service import NewTopic
from kafka_server.domain.errors import StorageError, UnknownTopicOrPartition
from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.memory import MemoryLogRepository, MemoryTopicRepository
from tests.application.admin_house import House


class FullDisk(MemoryLogRepository):
    """Has room for some logs, and loses no time to say so."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.open_now: set[int] = set()

    async def open(self, topic: Topic, partition: Partition):  # type: ignore[no-untyped-def]  # the log's own type
        if partition.index == self.room:
            raise StorageError("no space left")
        await asyncio.sleep(0)
        self.open_now.add(partition.index)
        return await super().open(topic, partition)

    async def remove(self, topic: Topic, partition: Partition) -> None:
        self.open_now.discard(partition.index)


async def test_a_topic_whose_logs_cannot_be_opened_leaves_nothing_behind() -> None:
    house = House()
    house.replicas._logs = logs = FullDisk(1)

    (outcome,) = await house.topics.create_many([NewTopic("orders", 2)])

    assert isinstance(outcome, StorageError)
    assert list(house.topics.all()) == []
    assert len(house.replicas) == 0
    assert logs.open_now == set()


async def test_a_topic_that_cannot_grow_is_as_it_was_and_grows_when_there_is_room() -> None:
    house = House()
    topic = await house.topics.create_for_client("orders")
    house.replicas._logs = logs = FullDisk(2)

    with pytest.raises(StorageError):
        await house.topics.create_partitions("orders", 4)
    assert (topic.partition_count, len(topic.partitions), len(house.replicas)) == (1, 1, 1)
    assert logs.open_now == set()
    with pytest.raises(UnknownTopicOrPartition):
        house.replicas.find("orders", 1)

    logs.room = -1
    await house.topics.create_partitions("orders", 4)
    assert (topic.partition_count, len(topic.partitions), logs.open_now) == (4, 4, {1, 2, 3})


async def test_a_start_opens_every_stored_topic_with_its_own_settings() -> None:
    repository = MemoryTopicRepository()
    await repository.add(Topic("orders", b"o" * 16, 3, configs={"retention.ms": "5"}))
    house = House(topics=repository)

    await house.topics.start()

    topic = house.topics.get("orders")
    assert ([partition.index for partition in topic.partitions], topic.settings.retention_ms) == ([0, 1, 2], 5)


@pytest.mark.parametrize("count", [1, 3])
async def test_ids_are_never_zero_and_never_the_same(count: int) -> None:
    house = House()
    outcomes = await house.topics.create_many([NewTopic(f"t{index}") for index in range(count)])

    ids = [topic.topic_id for topic in outcomes if isinstance(topic, Topic)]
    assert len(set(ids)) == count
    assert bytes(16) not in ids
