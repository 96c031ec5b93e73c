"""Clients live through the end of their broker: what was acknowledged is there once, and groups go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from tests.clients.broker import BrokerProcess
from tests.clients.conftest import Admin, new_topic

PARTITIONS = 3
RESTARTS = 2


def settings(broker: BrokerProcess, **more: Any) -> dict[str, Any]:
    base = {"bootstrap.servers": broker.bootstrap, "broker.address.family": "v4", "reconnect.backoff.max.ms": 200}
    return {**base, "log_level": 2, **{name.replace("_", "."): value for name, value in more.items()}}


class Writer(threading.Thread):
    """An idempotent producer that numbers its records and notes which of them were acknowledged."""

    def __init__(self, broker: BrokerProcess, topic: str) -> None:
        super().__init__(daemon=True)  # a test that fails must not keep the process alive
        self.acknowledged: set[int] = set()
        self.failures: list[KafkaError] = []
        self.enough = threading.Event()
        self._topic = topic
        self._producer = Producer(settings(broker, enable_idempotence=True, linger_ms=5, compression_type="lz4"))

    def run(self) -> None:
        number = 0
        while not self.enough.is_set():
            for _ in range(20):
                value = str(number)
                self._producer.produce(self._topic, value, partition=number % PARTITIONS, on_delivery=self._delivered)
                number += 1
            self._producer.poll(0.02)
        self._producer.flush(30)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failures.append(error)
        else:
            self.acknowledged.add(int(message.value() or b""))


class Reader(threading.Thread):
    """A member of a group that commits after each batch."""

    def __init__(self, broker: BrokerProcess, topic: str) -> None:
        super().__init__(daemon=True)  # a test that fails must not keep the process alive
        self.seen: set[int] = set()
        self.enough = threading.Event()
        self._consumer = Consumer(
            settings(broker, group_id="survivors", auto_offset_reset="earliest", session_timeout_ms=10_000)
        )
        self._consumer.subscribe([topic])

    def run(self) -> None:
        while not self.enough.is_set():
            messages = self._consumer.consume(500, timeout=0.1)
            self.seen |= {int(each.value() or b"") for each in messages if each.error() is None}
        self._consumer.close()


def everything(broker: BrokerProcess, topic: str, partition: int) -> tuple[list[int], list[int]]:
    """Offsets and values of a whole partition."""
    consumer = Consumer(settings(broker, group_id="unused", fetch_wait_max_ms=50))
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.assign([TopicPartition(topic, partition, 0)])
        messages: list[Message] = []
        deadline = time.monotonic() + 15
        while len(messages) < end and time.monotonic() < deadline:
            messages += [each for each in consumer.consume(1000, timeout=0.2) if each.error() is None]
        return [each.offset() or 0 for each in messages], [int(each.value() or b"") for each in messages]
    finally:
        consumer.close()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_acknowledged_records_are_there_exactly_once_after_restarts(tmp_path: Path, end: str) -> None:
    with BrokerProcess(tmp_path, "--storage", "disk") as broker:
        topic = new_topic(Admin(broker.bootstrap), f"survives-{end}", PARTITIONS)
        writer, reader = Writer(broker, topic), Reader(broker, topic)
        writer.start()
        reader.start()
        for _ in range(RESTARTS):
            time.sleep(1)
            finish: Callable[[], None] = getattr(broker, end)
            finish()
            broker.start()
        time.sleep(1)
        writer.enough.set()
        writer.join()
        deadline = time.monotonic() + 20
        while writer.acknowledged - reader.seen and time.monotonic() < deadline:
            time.sleep(0.1)
        reader.enough.set()
        reader.join()

        assert not writer.failures
        assert len(writer.acknowledged) > 500
        assert reader.seen == writer.acknowledged, "the group read every record"
        for partition in range(PARTITIONS):
            offsets, values = everything(broker, topic, partition)
            assert offsets == list(range(len(values))), "offsets without a gap"
            assert values == sorted(values), "in the order in which they were sent"
            assert set(values) == {each for each in writer.acknowledged if each % PARTITIONS == partition}
            assert len(set(values)) == len(values), "none twice"


def test_a_group_goes_on_at_its_commits_after_a_crash(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path, "--storage", "disk") as broker:
        topic = new_topic(Admin(broker.bootstrap), "commits-survive", 1)
        producer = Producer(settings(broker))
        for number in range(10):
            producer.produce(topic, str(number), partition=0)
        producer.flush(10)
        first = Consumer(settings(broker, group_id="g", auto_offset_reset="earliest", enable_auto_commit=False))
        first.subscribe([topic])
        assert len(first.consume(10, timeout=10)) == 10
        first.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
        broker.kill()
        broker.start()

        second = Consumer(settings(broker, group_id="g", auto_offset_reset="error", session_timeout_ms=10_000))
        try:
            (found,) = second.committed([TopicPartition(topic, 0)], timeout=10)
            assert found.offset == 4
        finally:
            second.close()
            first.close()
