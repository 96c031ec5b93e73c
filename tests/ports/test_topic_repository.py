"""What every ``TopicRepository`` and ``ProducerIdRepository`` does; the last section is for those that keep things."""

from __future__ import annotations

import pytest

from kafka_server.application.ports import ProducerIdRepository, TopicRepository
from kafka_server.domain.errors import TopicAlreadyExists, UnknownTopicOrPartition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.memory import MemoryProducerIdRepository, MemoryTopicRepository
from kafka_server.infrastructure.storage.sqlite.repositories import SqliteProducerIdRepository, SqliteTopicRepository
from tests.ports.stores import Stores

ORDERS_ID, CLICKS_ID = b"orders--the-id--", b"clicks--the-id--"


@pytest.fixture(params=["memory", "sqlite"])
def topics(request: pytest.FixtureRequest, stores: Stores) -> TopicRepository:
    return MemoryTopicRepository() if request.param == "memory" else SqliteTopicRepository(stores.open())


@pytest.fixture(params=["memory", "sqlite"])
def producer_ids(request: pytest.FixtureRequest, stores: Stores) -> ProducerIdRepository:
    return MemoryProducerIdRepository() if request.param == "memory" else SqliteProducerIdRepository(stores.open())


def orders() -> Topic:
    return Topic("orders", ORDERS_ID, 3)


async def test_a_topic_is_found_by_name_and_by_id_and_is_the_same_object(topics: TopicRepository) -> None:
    topic = orders()
    await topics.add(topic)

    assert topics.get("orders") is topic
    assert topics.get_by_id(ORDERS_ID) is topic


async def test_a_topic_that_nobody_added_is_not_found(topics: TopicRepository) -> None:
    assert topics.get("orders") is None
    assert topics.get_by_id(ORDERS_ID) is None


async def test_topics_are_listed_by_name(topics: TopicRepository) -> None:
    await topics.add(orders())
    await topics.add(Topic("clicks", CLICKS_ID, 1))

    assert [topic.name for topic in topics.all()] == ["clicks", "orders"]


@pytest.mark.parametrize("second", [Topic("orders", CLICKS_ID, 1), Topic("clicks", ORDERS_ID, 1)])
async def test_neither_a_name_nor_an_id_is_given_twice(topics: TopicRepository, second: Topic) -> None:
    await topics.add(orders())

    with pytest.raises(TopicAlreadyExists):
        await topics.add(second)
    assert [topic.topic_id for topic in topics.all()] == [ORDERS_ID]


async def test_a_removed_topic_is_gone_by_name_and_by_id(topics: TopicRepository) -> None:
    topic = orders()
    await topics.add(topic)
    await topics.remove(topic)

    assert topics.get("orders") is None
    assert topics.get_by_id(ORDERS_ID) is None
    with pytest.raises(UnknownTopicOrPartition):
        await topics.remove(topic)


async def test_a_topic_made_anew_under_an_old_name_is_another_topic(topics: TopicRepository) -> None:
    old, new = orders(), Topic("orders", CLICKS_ID, 1)
    await topics.add(old)
    await topics.remove(old)
    await topics.add(new)

    with pytest.raises(UnknownTopicOrPartition):
        await topics.update(old)
    assert topics.get("orders") is new


async def test_producer_ids_are_never_given_twice(producer_ids: ProducerIdRepository) -> None:
    blocks = [(await producer_ids.reserve(count), count) for count in (10, 1, 1000)]

    given = [first + at for first, count in blocks for at in range(count)]
    assert len(set(given)) == len(given)


# ---- over a restart --------------------------------------------------------------------------------------------------


async def test_a_topic_comes_back_with_its_id_partitions_and_configs(stores: Stores) -> None:
    topic = orders()
    topic.configs["retention.ms"] = "7"
    repository = SqliteTopicRepository(stores.open())
    await repository.add(topic)
    topic.partition_count = 5
    topic.configs = {"segment.bytes": "1048576"}
    await repository.update(topic)

    back = SqliteTopicRepository(stores.open()).get("orders")
    assert back is not None
    assert (back.topic_id, back.partition_count, back.configs) == (ORDERS_ID, 5, {"segment.bytes": "1048576"})


async def test_a_removed_topic_does_not_come_back(stores: Stores) -> None:
    repository, topic = SqliteTopicRepository(stores.open()), orders()
    await repository.add(topic)
    await repository.remove(topic)

    assert SqliteTopicRepository(stores.open()).all() == []


async def test_producer_ids_are_not_given_again_after_a_restart(stores: Stores) -> None:
    first = await SqliteProducerIdRepository(stores.open()).reserve(1000)

    assert await SqliteProducerIdRepository(stores.open()).reserve(1) >= first + 1000
