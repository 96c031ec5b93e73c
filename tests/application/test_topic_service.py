"""What of the topic service no handler shows: stores that fail, and starting from what is stored."""

from __future__ import annotations

import pytest

from kafka_server.application.topic_service import NewTopic
from kafka_server.domain.errors import StorageError
from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.memory import MemoryLogRepository, MemoryTopicRepository
from tests.application.admin_house import House


class FullDisk(MemoryLogRepository):
    """Has room for one log."""

    async def open(self, topic: Topic, partition: Partition):  # type: ignore[no-untyped-def]  # the log's own type
        if partition.index > 0:
            raise StorageError("no space left")
        return await super().open(topic, partition)


async def test_a_topic_whose_logs_cannot_be_opened_leaves_nothing_behind() -> None:
    house = House()
    house.replicas._logs = FullDisk()

    (outcome,) = await house.topics.create_many([NewTopic("orders", 2)])

    assert isinstance(outcome, StorageError)
    assert list(house.topics.all()) == []
    assert len(house.replicas) == 0


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
