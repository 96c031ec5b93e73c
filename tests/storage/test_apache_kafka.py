"""Apache Kafka's own tools read what our broker wrote, and our broker serves what a real Apache Kafka wrote."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic

from kafka_server.infrastructure.storage.log.verification import verify_partition
from kafka_server.testing.broker import threaded_broker
from tests.peers import PeerMissingError, jvm, skip_or_fail
from tests.peers.apache_kafka import ApacheKafka
from tests.storage.wire import ask

pytestmark = pytest.mark.jvm

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
COUNT = 3_000
SETTINGS = {"internal.segment.bytes": "16384", "index.interval.bytes": "500"}


def dump(*options: str, files: list[Path]) -> str:
    """The output of Kafka's DumpLogSegments. Fails when it fails."""
    try:
        command = jvm.command(
            jvm.NEWEST_TOOLS,
            "org.apache.kafka.tools.DumpLogSegments",
            *options,
            "--files",
            ",".join(map(str, files)),
        )
    except PeerMissingError as missing:
        skip_or_fail(missing)
        raise
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def write(bootstrap: str, topic: str) -> None:
    """Produces with every codec, idempotently, in batches of all sizes."""
    for codec in CODECS:
        producer = Producer(
            {"bootstrap.servers": bootstrap, "compression.type": codec, "enable.idempotence": True, "linger.ms": 2}
        )
        for at in range(COUNT // len(CODECS)):
            producer.produce(topic, key=b"key%d" % (at % 50), value=b"%d " % at * (at % 40), headers={"at": str(at)})
            if at % 50 == 0:
                producer.flush()
        assert producer.flush(20) == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A partition folder that our broker wrote for a real client, and closed."""
    data = tmp_path_factory.mktemp("ours")
    with threaded_broker(**{"storage": "disk", "log.dirs": str(data), "flush": "os"}) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("orders", 1, config=SETTINGS)])["orders"].result(20)
        write(broker.bootstrap, "orders")
    return data / "orders-0"


def files_of(folder: Path, suffix: str) -> list[Path]:
    found = sorted(folder.glob(f"*{suffix}"))
    assert found, list(folder.iterdir())
    return found


def test_every_record_of_every_segment_is_read(folder: Path) -> None:
    logs = files_of(folder, ".log")
    assert len(logs) > 2

    output = dump("--deep-iteration", "--print-data-log", files=logs)
    assert output.count("| offset: ") == COUNT
    assert output.count("isvalid: true") == output.count("isvalid: ") > 0
    for codec in CODECS:
        assert f"compresscodec: {codec}" in output
    for log in logs:
        assert f"Log starting offset: {int(log.stem)}" in output


@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
@pytest.mark.parametrize("options", [(), ("--index-sanity-check",), ("--verify-index-only",)])
def test_the_indexes_agree_with_their_logs(folder: Path, suffix: str, options: tuple[str, ...]) -> None:
    indexes = [file for file in files_of(folder, suffix) if file.stat().st_size]
    assert len(indexes) > 2

    output = dump(*options, files=indexes)
    assert "ismatch" not in output
    assert "out of order" not in output
    assert "not found" not in output
    if options == ("--index-sanity-check",):
        assert output.count("passed sanity check") == len(indexes)


def test_the_producer_snapshot_names_every_producer(folder: Path) -> None:
    output = dump(files=[files_of(folder, ".snapshot")[-1]])
    for producer_id in range(len(CODECS)):
        assert f"producerId: {producer_id} producerEpoch: 0" in output


# ---- the other way round ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that a real Apache Kafka wrote for a real client, and closed."""
    home = tmp_path_factory.mktemp("theirs")
    try:
        kafka = ApacheKafka(data_dir=home, heap="256m", properties={"log.segment.bytes": "1048576"})
        with kafka:
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
            config = {"segment.bytes": "1048576", "index.interval.bytes": "1000"}
            admin.create_topics([NewTopic("orders", 2, config=config)])["orders"].result(30)
            write(kafka.bootstrap, "orders")
    except PeerMissingError as missing:
        skip_or_fail(missing)
    return home / "data"


def test_our_broker_serves_a_folder_of_apache_kafka_byte_for_byte(
    theirs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(verify_partition(str(theirs / "orders-0"))) == []
    expected = {
        index: b"".join(log.read_bytes() for log in sorted((theirs / f"orders-{index}").glob("*.log")))
        for index in (0, 1)
    }
    assert all(expected.values())
    with threaded_broker(**{"storage": "disk", "log.dirs": str(theirs)}) as broker:
        for index, content in expected.items():
            assert fetch_all(broker.bootstrap, "orders", index) == content
        consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g", "enable.partition.eof": True})
        consumer.assign([TopicPartition("orders", 0, 0), TopicPartition("orders", 1, 0)])
        values, ends = 0, 0
        while ends < 2:
            message = consumer.poll(10)
            assert message is not None
            values += message.error() is None
            ends += message.error() is not None
        consumer.close()
        assert values == COUNT
        assert "built anew" not in caplog.text  # what its indexes say is true
        write(broker.bootstrap, "orders")


def fetch_all(bootstrap: str, topic: str, index: int) -> bytes:
    """Every stored byte of a partition, in pieces."""
    found, offset = b"", 0
    while True:
        request = FetchRequest(
            max_wait_ms=0,
            min_bytes=1,
            max_bytes=1 << 20,
            topics=[
                FetchTopic(
                    topic=topic,
                    partitions=[FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=50_000)],
                )
            ],
        )
        response = ask(bootstrap, request, 12, FetchResponse)
        part = response.responses[0].partitions[0]
        assert part.error_code == 0
        piece = bytes(part.records or b"")
        if not piece:
            return found
        found += piece
        at = 0
        while at < len(piece):
            offset = int.from_bytes(piece[at : at + 8], "big") + int.from_bytes(piece[at + 23 : at + 27], "big") + 1
            at += 12 + int.from_bytes(piece[at + 8 : at + 12], "big")
