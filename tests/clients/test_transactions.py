"""Transactions through librdkafka: exactly once, zombies, time-outs, and a broker that dies in the middle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tests.clients.broker import BrokerProcess
from tests.clients.conftest import Admin, eventually, new_topic, unique
from tests.clients.test_behaviour import read
from tests.crash.process import Target

Start = Callable[..., Consumer]
SECONDS_MAX = 20.0


def producer_of(broker: str, name: str, **more: Any) -> Producer:
    settings = {"bootstrap.servers": broker, "broker.address.family": "v4", "transactional.id": name, "linger.ms": 0}
    producer = Producer({**settings, "log_level": 0, **{key.replace("_", "."): value for key, value in more.items()}})
    producer.init_transactions(SECONDS_MAX)
    return producer


def consumer_of(broker: str, topic: str, group: str = "", isolation: str = "read_committed") -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": broker,
            "broker.address.family": "v4",
            "group.id": group or unique("reader"),
            "auto.offset.reset": "earliest",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    if group:
        consumer.subscribe([topic])
    else:
        consumer.assign([TopicPartition(topic, 0, 0)])
    return consumer


def send(producer: Producer, topic: str, *values: str) -> None:
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(SECONDS_MAX) == 0


@pytest.fixture
def topic(admin: Admin) -> str:
    return new_topic(admin, "transactions", partitions=1)


def test_consume_transform_produce_counts_each_record_once(broker: str, admin: Admin, topic: str) -> None:
    source, group = new_topic(admin, "source", partitions=1), unique("etl")
    plain = Producer({"bootstrap.servers": broker, "broker.address.family": "v4"})
    send(plain, source, *map(str, range(20)))
    for attempt, (count, commits) in enumerate([(7, True), (6, False), (6, True), (7, True)]):
        # Each attempt is a new process: what the one before did not commit comes again.
        producer, consumer = producer_of(broker, group), consumer_of(broker, source, group)
        values = read(consumer, count)
        producer.begin_transaction()
        send(producer, topic, *(f"{attempt}:{value}" for value in values))
        positions = consumer.position(consumer.assignment())
        producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), SECONDS_MAX)
        if commits:
            producer.commit_transaction(SECONDS_MAX)
        else:
            producer.abort_transaction(SECONDS_MAX)
        consumer.close()

    reader = consumer_of(broker, topic)
    assert [int(value.split(":")[1]) for value in read(reader, 20)] == list(range(20))
    reader.close()


def test_a_zombie_cannot_commit_what_its_successor_aborted(broker: str, topic: str) -> None:
    name = unique("zombie")
    zombie = producer_of(broker, name)
    zombie.begin_transaction()
    send(zombie, topic, "from the zombie")
    owner = producer_of(broker, name)

    with pytest.raises(KafkaException) as refused:
        zombie.commit_transaction(SECONDS_MAX)
    assert refused.value.args[0].code() == KafkaError._FENCED
    owner.begin_transaction()
    send(owner, topic, "from the owner")
    owner.commit_transaction(SECONDS_MAX)
    reader = consumer_of(broker, topic)
    assert read(reader, 1) == ["from the owner"]
    reader.close()


def test_readers_wait_for_the_first_open_transaction_and_then_see_all(broker: str, topic: str) -> None:
    slow, fast = producer_of(broker, unique("slow")), producer_of(broker, unique("fast"))
    slow.begin_transaction()
    send(slow, topic, "slow")
    fast.begin_transaction()
    send(fast, topic, "fast")
    fast.commit_transaction(SECONDS_MAX)
    reader, hasty = consumer_of(broker, topic), consumer_of(broker, topic, isolation="read_uncommitted")
    assert read(hasty, 2) == ["slow", "fast"]
    assert reader.poll(0.5) is None

    slow.commit_transaction(SECONDS_MAX)
    assert read(reader, 2) == ["slow", "fast"]
    reader.close()
    hasty.close()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    interval = "transaction.abort.timed.out.transaction.cleanup.interval.ms=100"
    with BrokerProcess(tmp_path, "--storage", "disk", "--override", interval) as process:
        yield process


def new_topic_at(bootstrap: str, name: str) -> str:
    return new_topic(Admin(bootstrap), name, partitions=1)


def test_a_transaction_that_is_abandoned_holds_readers_up_until_its_time_out(own_broker: BrokerProcess) -> None:
    bootstrap = own_broker.bootstrap
    topic = new_topic_at(bootstrap, "abandoned")
    lost = producer_of(bootstrap, "lost", transaction_timeout_ms=1000)
    lost.begin_transaction()
    send(lost, topic, "never decided")
    send(Producer({"bootstrap.servers": bootstrap, "broker.address.family": "v4"}), topic, "plain")

    reader = consumer_of(bootstrap, topic)
    assert read(reader, 1) == ["plain"]
    reader.close()


def test_committed_and_aborted_stay_so_over_a_kill_and_a_restart(own_broker: BrokerProcess) -> None:
    topic = new_topic_at(own_broker.bootstrap, "survivor")
    producer = producer_of(own_broker.bootstrap, "survivor")
    for value, ends in (("a", "commit"), ("b", "abort"), ("c", "commit")):
        producer.begin_transaction()
        send(producer, topic, value)
        getattr(producer, f"{ends}_transaction")(SECONDS_MAX)
    producer.begin_transaction()
    send(producer, topic, "d")
    for end in (own_broker.kill, own_broker.stop):
        end()
        own_broker.start()

    producer.commit_transaction(SECONDS_MAX)
    reader = consumer_of(own_broker.bootstrap, topic)
    assert read(reader, 3) == ["a", "c", "d"]
    reader.close()


@pytest.mark.parametrize(("ends", "expected"), [("commit", ["decided", "later"]), ("abort", ["later"])])
def test_a_broker_that_dies_between_decision_and_markers_carries_the_decision_out(
    tmp_path: Path, ends: str, expected: list[str]
) -> None:
    target = Target(tmp_path, tmp_path / "data", module=("tests.crash.dies_before_markers",))
    target.start()
    bootstrap = f"127.0.0.1:{target.port}"
    try:
        topic = new_topic_at(bootstrap, "decided")
        producer = producer_of(bootstrap, "decided")
        producer.begin_transaction()
        send(producer, topic, "decided")
        ending = threading.Thread(target=getattr(producer, f"{ends}_transaction"), args=(SECONDS_MAX,), daemon=True)
        ending.start()
        eventually(lambda: not target.running)
        target.kill()

        healthy = Target(tmp_path, tmp_path / "data")
        healthy.port = target.port
        healthy._command = [part.replace("tests.crash.dies_before_markers", "kafka_server") for part in target._command]
        target = healthy
        target.start()
        ending.join(SECONDS_MAX)
        send(Producer({"bootstrap.servers": bootstrap, "broker.address.family": "v4"}), topic, "later")
        reader = consumer_of(bootstrap, topic)
        assert read(reader, len(expected)) == expected
        reader.close()
    finally:
        target.kill()
