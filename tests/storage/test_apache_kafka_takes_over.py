"""Transactions and compacted data of our broker: Kafka's tools read them, and a real Apache Kafka goes on with them."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka_protocol.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    TopicRequest,
)

from kafka_server.domain.record_batch import DELETE_HORIZON, iterate_batches
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.verification import verify
from kafka_server.testing.broker import threaded_broker
from tests.peers import PeerMissingError, skip_or_fail
from tests.peers.apache_kafka import ApacheKafka
from tests.storage.test_apache_kafka import SETTINGS, dump, fetch_all, files_of
from tests.storage.wire import ask

pytestmark = pytest.mark.jvm

PATIENCE_S = 20.0
TOPICS = ("payments", "state")
COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "100"}
ROUNDS = 24
CHECKPOINTS = (names.HIGH_WATERMARKS, names.LOG_STARTS, names.CLEANER_OFFSETS)
"""They name our topics only; of its own ones Kafka then knows as much as of new ones."""
Record = tuple[int, bytes | None, bytes | None]


@dataclass
class Written:
    """Folders of our broker after a clean stop, and what it said of them before."""

    data: Path
    records: dict[tuple[str, str], list[Record]]
    """By topic and isolation level."""
    content: dict[str, bytes]
    producers: dict[int, tuple[int, ...]]

    def folder(self, topic: str) -> Path:
        return self.data / f"{topic}-0"


def transactional(bootstrap: str, name: str) -> Producer:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "linger.ms": 0, "log_level": 0})
    producer.init_transactions(PATIENCE_S)
    return producer


def send(producer: Producer, topic: str, *pairs: tuple[str, str | None]) -> None:
    for key, value in pairs:
        producer.produce(topic, key=key, value=value, partition=0)
    assert producer.flush(PATIENCE_S) == 0


def write_transactions(bootstrap: str) -> Producer:
    """Two producers take turns; of every three transactions one is aborted, and the last one stays open."""
    producers = [transactional(bootstrap, name) for name in ("one", "two")]
    for number in range(ROUNDS):
        for producer in producers:
            producer.begin_transaction()
        for part in range(3):
            for at, producer in enumerate(producers):
                send(producer, "payments", *((f"{number}.{part}.{at}.{n}", "x" * 20) for n in range(1 + number % 4)))
        for at, producer in enumerate(producers):
            if (number + at) % 3:
                producer.commit_transaction(PATIENCE_S)
            else:
                producer.abort_transaction(PATIENCE_S)
    hanging = transactional(bootstrap, "three")
    hanging.begin_transaction()
    send(hanging, "payments", ("open", "for ever"), ("open too", "for ever"))
    return hanging


def write_state(bootstrap: str) -> None:
    """Keys that are written, deleted and written by transactions that fail."""
    producer = transactional(bootstrap, "state")
    for number in range(60):
        producer.begin_transaction()
        send(producer, "state", *((f"k{at}", f"{number}" * 10) for at in range(number % 7)))
        if number % 2:
            send(producer, "state", (f"gone{number % 3}", None))
        if number % 5:
            producer.commit_transaction(PATIENCE_S)
        else:
            producer.abort_transaction(PATIENCE_S)


def read(bootstrap: str, topic: str, isolation: str) -> list[Record]:
    """Everything that a consumer is shown, up to where it has to wait."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "g", "enable.auto.commit": False, "log_level": 0}
    consumer = Consumer({**settings, "isolation.level": isolation, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[Record] = []
    while True:
        message = consumer.poll(PATIENCE_S)
        assert message is not None, found[-1:]
        if message.error():
            consumer.close()
            return found
        found.append((message.offset() or 0, message.key(), message.value()))


def producers_of(bootstrap: str) -> dict[int, tuple[int, ...]]:
    """Producer id -> epoch, last sequence, coordinator epoch and start of the open transaction."""
    request = DescribeProducersRequest(topics=[TopicRequest(name="payments", partition_indexes=[0])])
    (partition,) = ask(bootstrap, request, 0, DescribeProducersResponse).topics[0].partitions
    assert partition.error_code == 0
    return {
        one.producer_id: (one.producer_epoch, one.last_sequence, one.current_txn_start_offset)
        for one in partition.active_producers
    }


def said_of(bootstrap: str, topic: str) -> dict[tuple[str, str], list[Record]]:
    return {(topic, level): read(bootstrap, topic, level) for level in ("read_uncommitted", "read_committed")}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Written:
    data = tmp_path_factory.mktemp("ours")
    settings = {"storage": "disk", "log.dirs": str(data), "flush": "os", "log.cleaner.backoff.ms": "100"}
    with threaded_broker(**settings) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        configs = ({**SETTINGS, "internal.segment.bytes": "8192"}, {**SETTINGS, **COMPACTED, "segment.ms": "60000"})
        for topic, config in zip(TOPICS, configs, strict=True):
            admin.create_topics([NewTopic(topic, 1, config=config)])[topic].result(PATIENCE_S)
        write_state(broker.bootstrap)
        hanging = write_transactions(broker.bootstrap)
        deadline = time.monotonic() + PATIENCE_S
        while not has_delete_horizon(data / "state-0"):
            assert time.monotonic() < deadline, "compaction did not come"
            time.sleep(0.1)
    del hanging
    with threaded_broker(**{**settings, "log.cleaner.backoff.ms": "3600000"}) as broker:  # nothing moves any more
        records = {key: found for topic in TOPICS for key, found in said_of(broker.bootstrap, topic).items()}
        content = {topic: fetch_all(broker.bootstrap, topic, 0) for topic in TOPICS}
        producers = producers_of(broker.bootstrap)
    assert len(records["payments", "read_committed"]) < len(records["payments", "read_uncommitted"])
    assert list(verify(str(data))) == []
    return Written(data, records, content, producers)


def has_delete_horizon(folder: Path) -> bool:
    """Whether compaction has marked a batch in these logs."""
    return any(
        header.attributes & DELETE_HORIZON
        for log in folder.glob("*.log")
        for header, _ in iterate_batches(memoryview(log.read_bytes()))
    )


# ---- Kafka's tools ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", TOPICS)
def test_every_batch_is_sound_to_kafkas_tools(ours: Written, topic: str) -> None:
    output = dump("--deep-iteration", "--print-data-log", files=files_of(ours.folder(topic), ".log"))
    assert output.count("isvalid: true") == output.count("isvalid: ") > 0
    assert "isTransactional: true" in output
    assert "endTxnMarker: COMMIT" in output
    if topic == "payments":
        assert "endTxnMarker: ABORT" in output
        assert output.count("endTxnMarker") == 2 * ROUNDS
    else:
        assert re.search(r"deleteHorizonMs: OptionalLong\[\d+\]", output)


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("suffix", [names.OFFSET_INDEX, names.TIME_INDEX])
@pytest.mark.parametrize("options", [(), ("--index-sanity-check",), ("--verify-index-only",)])
def test_their_indexes_agree_with_them(ours: Written, topic: str, suffix: str, options: tuple[str, ...]) -> None:
    output = dump(*options, files=[file for file in files_of(ours.folder(topic), suffix) if file.stat().st_size])
    assert "ismatch" not in output
    assert "out of order" not in output
    assert "not found" not in output


def test_the_transaction_index_names_each_aborted_transaction(ours: Written) -> None:
    output = dump(files=files_of(ours.folder("payments"), names.TRANSACTION_INDEX))
    found = re.findall(r"producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)", output)
    aborted = [number for number in range(ROUNDS) for at in range(2) if (number + at) % 3 == 0]
    assert len(found) == len(aborted)
    assert all(int(first) < int(last) for _, first, last, _ in found)


def test_the_producer_snapshot_knows_the_open_transaction(ours: Written) -> None:
    output = dump(files=[files_of(ours.folder("payments"), names.SNAPSHOT)[-1]])
    (open_since,) = {facts[-1] for facts in ours.producers.values() if facts[-1] >= 0}
    assert re.search(rf"currentTxnFirstOffset: \w*\[{open_since}\]|currentTxnFirstOffset: {open_since}", output)
    for producer_id, (epoch, *_) in ours.producers.items():
        assert f"producerId: {producer_id} producerEpoch: {epoch}" in output


# ---- a real Apache Kafka ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an Apache Kafka that has our topics in its metadata, stopped."""
    home = tmp_path_factory.mktemp("theirs")
    try:
        with kafka_in(home) as kafka:
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
            for topic in TOPICS:
                # It is not to compact what it is given before it was compared.
                config = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "1.0"} if topic == "state" else {}
                admin.create_topics([NewTopic(topic, 1, config=config)])[topic].result(30)
    except PeerMissingError as missing:
        skip_or_fail(missing)
    return home


def kafka_in(home: Path) -> ApacheKafka:
    return ApacheKafka(data_dir=home, heap="256m")


def replace_partition(ours: Path, theirs: Path) -> None:
    """Puts our files in the place of theirs; the folder stays that of their topic id."""
    for file in theirs.iterdir():
        if file.name != names.PARTITION_METADATA:
            file.unlink()
    for file in ours.iterdir():
        if file.name != names.PARTITION_METADATA:
            shutil.copy2(file, theirs / file.name)


@pytest.mark.parametrize("is_clean", [True, False])
def test_apache_kafka_goes_on_with_our_folders(ours: Written, home: Path, is_clean: bool) -> None:
    """After a clean stop it believes our indexes and snapshots; after a crash it checks every batch of ours."""
    for topic in TOPICS:
        replace_partition(ours.folder(topic), home / "data" / f"{topic}-0")
    for checkpoint in CHECKPOINTS:
        shutil.copy2(ours.data / checkpoint, home / "data" / checkpoint)
    if not is_clean:
        for name in (names.CLEAN_SHUTDOWN, names.RECOVERY_POINTS):
            (home / "data" / name).unlink()
    (home / "server.log").unlink()
    with kafka_in(home) as kafka:
        for topic in TOPICS:
            assert fetch_all(kafka.bootstrap, topic, 0) == ours.content[topic]
            for key, found in said_of(kafka.bootstrap, topic).items():
                assert found == ours.records[key]
        assert producers_of(kafka.bootstrap) == ours.producers
        told = (home / "server.log").read_text(errors="replace")
        assert not [line for line in told.splitlines() if "orrupt" in line or "nconsisten" in line]
        recovered = set(re.findall(r"LogLoader partition=(\w+)-0, .*Recovering unflushed segment", told)) & set(TOPICS)
        assert recovered == (set() if is_clean else set(TOPICS))

        producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})
        producer.produce("payments", b"goes on", partition=0)
        assert producer.flush(PATIENCE_S) == 0
        assert read(kafka.bootstrap, "payments", "read_uncommitted")[-1][2] == b"goes on"
