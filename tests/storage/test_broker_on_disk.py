"""A broker that keeps its data: retention, compaction, deletion and restarts, seen by a real client."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_server.infrastructure.storage import StorageRefused
from kafka_server.infrastructure.storage.log import verification
from kafka_server.testing.broker import threaded_broker

PATIENCE_S = 20.0
SMALL = {"internal.segment.bytes": "2000", "index.interval.bytes": "500", "file.delete.delay.ms": "0"}


def settings(folder: Path, **more: str) -> dict[str, str]:
    return {"storage": "disk", "log.dirs": str(folder), **more}


def create(bootstrap: str, topic: str, **configs: str) -> None:
    named = {key.replace("_", "."): value for key, value in configs.items()}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, config={**SMALL, **named})])[topic].result(PATIENCE_S)


def write(bootstrap: str, topic: str, count: int, keys: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "batch.num.messages": 5, "enable.idempotence": True})
    for at in range(count):
        producer.produce(topic, key=b"k%d" % (at % keys), value=b"v%d" % at)
    assert producer.flush(PATIENCE_S) == 0


def read(bootstrap: str, topic: str) -> list[tuple[int, bytes, bytes]]:
    """(offset, key, value) of every message from the beginning to the end."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "g", "enable.partition.eof": True, "enable.auto.commit": False}
    )
    low, _ = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE_S)
    consumer.assign([TopicPartition(topic, 0, low)])
    found: list[tuple[int, bytes, bytes]] = []
    while True:
        message = consumer.poll(PATIENCE_S)
        assert message is not None
        if message.error():
            consumer.close()
            return found
        found.append((message.offset() or 0, message.key() or b"", message.value() or b""))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_records_topics_and_positions_are_there_after_a_restart(tmp_path: Path) -> None:
    with threaded_broker(**settings(tmp_path)) as broker:
        create(broker.bootstrap, "orders")
        write(broker.bootstrap, "orders", 100, 10)
        before = read(broker.bootstrap, "orders")
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g"})
        consumer.commit(offsets=[TopicPartition("orders", 0, 42)], asynchronous=False)
        consumer.close()
        cluster = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=PATIENCE_S).cluster_id
    with threaded_broker(**settings(tmp_path)) as broker:
        assert read(broker.bootstrap, "orders") == before
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g"})
        assert consumer.committed([TopicPartition("orders", 0)], timeout=PATIENCE_S)[0].offset == 42
        consumer.close()
        again = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=PATIENCE_S)
        assert (again.cluster_id, list(again.topics)) == (cluster, ["orders"])
    assert list(verification.verify(str(tmp_path))) == []


def test_a_folder_belongs_to_one_node_and_to_one_process(tmp_path: Path) -> None:
    with (
        threaded_broker(**settings(tmp_path, **{"node.id": "7"})),
        pytest.raises(StorageRefused, match="in use by another process"),
        threaded_broker(**settings(tmp_path)),
    ):
        pass
    with (
        pytest.raises(StorageRefused, match="belongs to node 7"),
        threaded_broker(**settings(tmp_path, **{"node.id": "8"})),
    ):
        pass
    with threaded_broker(**settings(tmp_path)) as broker:  # nobody says which node: the folder does
        nodes = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=PATIENCE_S).brokers
        assert list(nodes) == [7]


def test_retention_by_size_removes_the_oldest_segments_and_their_files(tmp_path: Path) -> None:
    with threaded_broker(**settings(tmp_path, **{"log.retention.check.interval.ms": "100"})) as broker:
        create(broker.bootstrap, "orders", retention_bytes="5000")
        write(broker.bootstrap, "orders", 2_000, 10)
        until(lambda: sum(file.stat().st_size for file in (tmp_path / "orders-0").glob("*.log")) < 9_000)
        found = read(broker.bootstrap, "orders")
        assert found[0][0] > 0
        assert [offset for offset, _, _ in found] == list(range(found[0][0], 2_000))
        until(lambda: not list((tmp_path / "orders-0").glob("*.deleted")))
    with threaded_broker(**settings(tmp_path)) as broker:
        again = read(broker.bootstrap, "orders")
        # Retention may have gone on until the stop; what is left is the end of what was there.
        assert again == found[-len(again) :]


def test_a_compacted_topic_keeps_the_newest_record_of_each_key(tmp_path: Path) -> None:
    with threaded_broker(**settings(tmp_path, **{"log.cleaner.backoff.ms": "100"})) as broker:
        create(broker.bootstrap, "state", cleanup_policy="compact", min_cleanable_dirty_ratio="0.01")
        write(broker.bootstrap, "state", 2_000, 10)
        until(lambda: len(read(broker.bootstrap, "state")) < 300)
        found = read(broker.bootstrap, "state")
        newest = {key: value for _, key, value in found}
        assert newest == {b"k%d" % at: b"v%d" % (1_990 + at) for at in range(10)}
        assert all(value == b"v%d" % offset for offset, _, value in found)
    with threaded_broker(**settings(tmp_path)) as broker:
        assert {key: value for _, key, value in read(broker.bootstrap, "state")} == newest
    assert list(verification.verify(str(tmp_path))) == []


def test_a_deleted_topic_leaves_no_files_and_its_name_may_be_used_again(tmp_path: Path) -> None:
    with threaded_broker(**settings(tmp_path)) as broker:
        create(broker.bootstrap, "orders")
        write(broker.bootstrap, "orders", 100, 10)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.delete_topics(["orders"])["orders"].result(PATIENCE_S)
        until(lambda: not list(tmp_path.glob("orders-0*")))
        create(broker.bootstrap, "orders")
        assert read(broker.bootstrap, "orders") == []
