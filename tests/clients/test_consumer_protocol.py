"""librdkafka in groups of the consumer protocol (KIP-848): patterns, resuming, and an upgrade while members read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from kafka_server.testing.broker import RunningBroker, threaded_broker

confluent = pytest.importorskip("confluent_kafka", reason="`make test` installs confluent-kafka where it can")

WAIT_S = 30.0


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningBroker]:
    """Members hear of news within half a second instead of five."""
    quick = {"group.consumer.heartbeat.interval.ms": "500", "group.consumer.assignment.interval.ms": "0"}
    quick["group.consumer.min.heartbeat.interval.ms"] = "500"
    with threaded_broker(**quick) as broker:
        yield broker


def consumer(broker: RunningBroker, group: str, *topics: str, **changes: Any) -> Any:
    settings = {
        "bootstrap.servers": broker.bootstrap,
        "group.id": group,
        "group.protocol": "consumer",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **changes,
    }
    consumer = confluent.Consumer(settings)
    consumer.subscribe(list(topics))
    return consumer


def write(broker: RunningBroker, topic: str, partitions: int, *values: str) -> None:
    """Creates the topic if need be, and spreads the values over its partitions."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    if topic not in admin.list_topics(timeout=WAIT_S).topics:
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
    producer = confluent.Producer({"bootstrap.servers": broker.bootstrap})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % partitions)
    assert producer.flush(WAIT_S) == 0


def read(consumer: Any, count: int) -> list[str]:
    """So many values, sorted."""
    values: list[str] = []
    deadline = time.monotonic() + WAIT_S
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value().decode())
    return sorted(values)


def share(*consumers: Any, partitions: int) -> list[int]:
    """Polls until together they own so many partitions and everybody has some; how many each has, sorted."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for one in consumers:
            one.poll(0.1)
        sizes = sorted(len(one.assignment()) for one in consumers)
        if sum(sizes) == partitions and sizes[0] > 0:
            return sizes
    raise TimeoutError(f"the members own {sizes}")


def test_a_pattern_is_matched_by_the_broker_and_reading_goes_on_where_it_was_committed(broker: RunningBroker) -> None:
    write(broker, "eu-orders", 2, "a", "b", "c")
    write(broker, "us-orders", 1, "d")
    write(broker, "orders", 1, "x")
    first = consumer(broker, "patterns", "^[a-z]+-orders")
    assert read(first, 4) == ["a", "b", "c", "d"]
    first.commit(asynchronous=False)
    first.close()
    write(broker, "eu-orders", 2, "e")
    second = consumer(broker, "patterns", "^[a-z]+-orders")
    assert read(second, 1) == ["e"]
    second.close()


def test_members_share_and_what_one_leaves_behind_goes_to_the_other(broker: RunningBroker) -> None:
    write(broker, "shared", 4)
    first, second = (consumer(broker, "sharing", "shared") for _ in range(2))
    assert share(first, second, partitions=4) == [2, 2]
    second.close()
    assert share(first, partitions=4) == [4]
    first.close()


def test_a_group_is_upgraded_and_downgraded_while_its_members_read(broker: RunningBroker) -> None:
    write(broker, "moving", 4)
    quick = {"session.timeout.ms": 6_000, "heartbeat.interval.ms": 300}
    classic = {"group.protocol": "classic", "partition.assignment.strategy": "cooperative-sticky", **quick}
    old = consumer(broker, "moving", "moving", **classic)
    assert share(old, partitions=4) == [4]
    new = consumer(broker, "moving", "moving")
    assert share(old, new, partitions=4) == [2, 2]
    write(broker, "moving", 4, "a", "b", "c", "d")
    assert sorted(read(old, 2) + read(new, 2)) == ["a", "b", "c", "d"]
    new.close()
    assert share(old, partitions=4) == [4]
    old.close()
