"""What applications rely on beyond reading and writing, seen through librdkafka.

Each test names one promise of a Kafka broker. They run in this process: librdkafka shows more of what the broker did
(assignments, fatal errors, error codes) than the drivers' protocol carries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from tests.clients.conftest import Admin, eventually, new_topic, unique

Start = Callable[..., Consumer]
WAIT_SECONDS_MAX = 15.0


@pytest.fixture
def consumer(broker: str) -> Iterator[Start]:
    """Starts consumers that are closed after the test."""
    started: list[Consumer] = []

    def start(**settings: Any) -> Consumer:
        defaults = {
            "bootstrap.servers": broker,
            "broker.address.family": "v4",
            "group.id": unique("behaviour"),
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
            "fetch.wait.max.ms": 100,
        }
        started.append(Consumer({**defaults, **{name.replace("_", "."): value for name, value in settings.items()}}))
        return started[-1]

    yield start
    for each in started:
        each.close()


def produce(broker: str, topic: str, *values: str, **settings: Any) -> list[KafkaError | None]:
    """Sends the values to partition 0 and returns what the broker said to each."""
    answers: list[KafkaError | None] = []
    options = {name.replace("_", "."): value for name, value in settings.items()}
    producer = Producer({"bootstrap.servers": broker, "broker.address.family": "v4", "linger.ms": 0, **options})
    for value in values:
        producer.produce(topic, value, partition=0, on_delivery=lambda error, _: answers.append(error))
    assert producer.flush(WAIT_SECONDS_MAX) == 0
    return answers


def read(consumer: Consumer, count: int, seconds: float = WAIT_SECONDS_MAX) -> list[str]:
    """Values of the next `count` records."""
    values: list[str] = []
    deadline = time.monotonic() + seconds
    while len(values) < count:
        assert time.monotonic() < deadline, f"read only {values}"
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            values.append((message.value() or b"").decode())
    return values


def error_of(consumer: Consumer, seconds: float = WAIT_SECONDS_MAX) -> KafkaError:
    """The next error that the consumer reports."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            message: Message | None = consumer.poll(0.1)
        except KafkaException as raised:
            return raised.args[0]
        if message is not None and message.error() is not None:
            return message.error()
    raise AssertionError("no error was reported")


# --- waiting and limits -----------------------------------------------------------------------------------------------


def test_a_waiting_fetch_is_answered_when_a_record_arrives(broker: str, admin: Admin, consumer: Start) -> None:
    topic = new_topic(admin, "long-poll", partitions=1)
    waiting = consumer(fetch_wait_max_ms=5000)
    waiting.assign([TopicPartition(topic, 0, 0)])
    assert waiting.poll(0.5) is None

    sent = time.monotonic()
    produce(broker, topic, "now")
    assert read(waiting, 1) == ["now"]

    assert time.monotonic() - sent < 2.5, "the broker did not wait for the end of fetch.wait.max.ms"


def test_a_record_above_the_topics_limit_is_refused(broker: str, admin: Admin) -> None:
    topic = new_topic(admin, "too-large", partitions=1, configs={"max.message.bytes": "1000"})
    (error,) = produce(broker, topic, "x" * 2000)
    assert error is not None
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_records_arrive_in_order_whatever_is_acknowledged(
    broker: str, admin: Admin, consumer: Start, acks: str
) -> None:
    topic = new_topic(admin, f"acks-{acks}", partitions=1)
    values = [f"{number}" for number in range(500)]
    assert produce(broker, topic, *values, acks=acks, linger_ms=1) == [None] * 500
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 0)])
    assert read(reader, 500) == values


def test_a_consumer_behind_the_start_of_the_log_is_reset(broker: str, admin: Admin, consumer: Start) -> None:
    topic = new_topic(admin, "out-of-range", partitions=1)
    produce(broker, topic, "a", "b", "c")
    for future in admin.delete_records([TopicPartition(topic, 0, 2)]).values():
        future.result(WAIT_SECONDS_MAX)

    reset = consumer()
    reset.assign([TopicPartition(topic, 0, 0)])
    refused = consumer(auto_offset_reset="error")
    refused.assign([TopicPartition(topic, 0, 0)])

    assert read(reset, 1) == ["c"]
    assert error_of(refused).code() == KafkaError._AUTO_OFFSET_RESET


# --- topics ----------------------------------------------------------------------------------------------------------


def test_writing_to_an_unknown_topic_creates_it(broker: str, consumer: Start) -> None:
    topic = unique("created-by-a-producer")
    assert produce(broker, topic, "first") == [None]
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 0)])
    assert read(reader, 1) == ["first"]


def test_a_consumer_learns_that_a_topic_does_not_exist_and_does_not_create_it(admin: Admin, consumer: Start) -> None:
    topic = unique("never-created")
    reader = consumer(allow_auto_create_topics=False)
    reader.subscribe([topic])
    assert error_of(reader).code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert topic not in admin.list_topics(timeout=5).topics


def test_a_topic_of_the_same_name_starts_anew_after_it_was_deleted(broker: str, admin: Admin, consumer: Start) -> None:
    topic = new_topic(admin, "again", partitions=1)
    produce(broker, topic, "old")
    for future in admin.delete_topics([topic]).values():
        future.result(WAIT_SECONDS_MAX)
    eventually(lambda: topic not in admin.list_topics(timeout=5).topics)

    assert produce(broker, topic, "new") == [None]
    reader = consumer()
    reader.assign([TopicPartition(topic, 0, 0)])
    assert read(reader, 1) == ["new"]


# --- groups ----------------------------------------------------------------------------------------------------------


def owned(consumer: Consumer) -> set[int]:
    return {each.partition for each in consumer.assignment()}


def poll_until(true: Callable[[], bool], *consumers: Consumer, seconds: float = WAIT_SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, [owned(each) for each in consumers]
        for each in consumers:
            message = each.poll(0.02)
            assert message is None or message.error() is None


def test_a_static_member_that_restarts_keeps_its_partitions_without_a_rebalance(admin: Admin, consumer: Start) -> None:
    topic, group = new_topic(admin, "static", partitions=2), unique("static")
    first = consumer(group_id=group, group_instance_id="one")
    second = consumer(group_id=group, group_instance_id="two")
    first.subscribe([topic])
    poll_until(lambda: owned(first) == {0, 1}, first)
    second.subscribe([topic])
    poll_until(lambda: len(owned(first)) == len(owned(second)) == 1, first, second)
    before, others = owned(second), owned(first)
    member = first.memberid()

    second.close()
    again = consumer(group_id=group, group_instance_id="two")
    again.subscribe([topic])
    poll_until(lambda: owned(again) == before, first, again)

    assert owned(first) == others
    assert first.memberid() == member


def test_a_second_process_with_the_same_instance_id_fences_the_first(admin: Admin, consumer: Start) -> None:
    topic, group = new_topic(admin, "fenced", partitions=1), unique("fenced")
    first = consumer(group_id=group, group_instance_id="one")
    first.subscribe([topic])
    poll_until(lambda: owned(first) == {0}, first)
    second = consumer(group_id=group, group_instance_id="one")
    second.subscribe([topic])
    poll_until(lambda: owned(second) == {0}, second)

    assert error_of(first).code() in {KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID}


def test_a_member_that_dies_is_replaced_after_its_session_time_out(admin: Admin, consumer: Start) -> None:
    """A static member leaves without saying so, as a process that is killed does."""
    topic, group = new_topic(admin, "dies", partitions=2), unique("dies")
    dying = consumer(group_id=group, group_instance_id="dying", session_timeout_ms=6000)
    staying = consumer(group_id=group)
    dying.subscribe([topic])
    staying.subscribe([topic])
    poll_until(lambda: len(owned(dying)) == len(owned(staying)) == 1, dying, staying)

    dying.close()
    left = time.monotonic()
    poll_until(lambda: owned(staying) == {0, 1}, staying)

    assert time.monotonic() - left > 4, "its partition was held for it until the session timed out"


def test_cooperative_members_keep_what_they_do_not_give_away(admin: Admin, consumer: Start) -> None:
    topic, group = new_topic(admin, "cooperative", partitions=4), unique("cooperative")
    revoked: list[int] = []
    first = consumer(group_id=group, partition_assignment_strategy="cooperative-sticky")
    first.subscribe([topic], on_revoke=lambda _, partitions: revoked.extend(each.partition for each in partitions))
    poll_until(lambda: owned(first) == {0, 1, 2, 3}, first)
    second = consumer(group_id=group, partition_assignment_strategy="cooperative-sticky")
    second.subscribe([topic])
    poll_until(lambda: len(owned(first)) == len(owned(second)) == 2, first, second)

    assert set(revoked) == owned(second), "only the partitions that moved were revoked"


def test_a_commit_carries_its_metadata_and_survives_the_group(broker: str, admin: Admin, consumer: Start) -> None:
    topic, group = new_topic(admin, "metadata", partitions=1), unique("metadata")
    produce(broker, topic, "a", "b")
    first = consumer(group_id=group)
    first.assign([TopicPartition(topic, 0, 0)])
    first.commit(offsets=[TopicPartition(topic, 0, 1, "note äö")], asynchronous=False)
    first.close()

    (found,) = consumer(group_id=group).committed([TopicPartition(topic, 0)], timeout=WAIT_SECONDS_MAX)

    assert (found.offset, found.metadata) == (1, "note äö")


def test_a_commit_of_an_old_generation_is_refused(admin: Admin, consumer: Start) -> None:
    topic, group = new_topic(admin, "zombie", partitions=1), unique("zombie")
    zombie = consumer(group_id=group, group_instance_id="one")
    zombie.subscribe([topic])
    poll_until(lambda: owned(zombie) == {0}, zombie)
    heir = consumer(group_id=group, group_instance_id="one")
    heir.subscribe([topic])
    poll_until(lambda: owned(heir) == {0}, heir)

    with pytest.raises(KafkaException) as refused:
        zombie.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)

    assert refused.value.args[0].code() in {KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL, KafkaError._STATE}
    (found,) = heir.committed([TopicPartition(topic, 0)], timeout=WAIT_SECONDS_MAX)
    assert found.offset < 0
