"""What every ``TopicRepository`` and ``ProducerIdRepository`` does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kafka_server.application.ports import ProducerIdRepository, TopicRepository
from kafka_server.domain.errors import TopicAlreadyExists, UnknownTopicOrPartition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.memory import MemoryProducerIdRepository, MemoryTopicRepository

TOPICS: dict[str, Callable[[], TopicRepository]] = {"memory": MemoryTopicRepository}
PRODUCER_IDS: dict[str, Callable[[], ProducerIdRepository]] = {"memory": MemoryProducerIdRepository}
ORDERS_ID, CLICKS_ID = b"orders--the-id--", b"clicks--the-id--"


@pytest.fixture(params=TOPICS)
def topics(request: pytest.FixtureRequest) -> TopicRepository:
    return TOPICS[request.param]()


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


@pytest.mark.parametrize("adapter", PRODUCER_IDS)
async def test_producer_ids_are_never_given_twice(adapter: str) -> None:
    ids = PRODUCER_IDS[adapter]()
    blocks = [(await ids.reserve(count), count) for count in (10, 1, 1000)]

    given = [first + at for first, count in blocks for at in range(count)]
    assert len(set(given)) == len(given)
