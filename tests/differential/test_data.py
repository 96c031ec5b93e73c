"""The same batches, fetches and questions about offsets to Apache Kafka and to us; the answers must be equal.

Each case has a topic of its own. What we choose to answer differently is in ``CHOSEN``, with the reason.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka_protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from kafka_protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
)
from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kafka_protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kafka_protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import CODEC_NAMES
from kafka_server.domain.records import RecordBatchBuilder
from tests.differential.compare import differences, plain
from tests.differential.raw_client import RawClient
from tests.domain.batches import batch, idempotent, patched

pytestmark = pytest.mark.jvm

NOW_MS = int(time.time() * 1000)
HOUR_MS = 3_600_000
Ask = tuple[Any, Any, int]
Step = Callable[[str], Ask]
_serial = itertools.count()

CHOSEN = {
    r"bad magic: .*error_code: 2, 87": "INVALID_RECORD says it better: the CRC has not been looked at",
    r"a negative length: .*error_code: 2, 87": "the same",
    r"bytes behind the batch: .*": "Kafka cuts them off; we refuse what is not one batch",
    r"the delete horizon bit: .*": "Kafka stores it; only its cleaner means something by it",
    r".*(codec 5|garbage).*error_code: -1, 87": "Kafka stumbles over a block that cannot be decompressed",
    r"offset deltas with a gap: .*": "Kafka stores them when the batch is not compressed",
    r"idempotence: .*log_append_time_ms: \d+, -1": "a repeat is answered like the first time",
    r".*batch_index_error_message.*": "our words",
    r".*partitions\[0#2\]: only ours": "a partition that is asked for twice is answered twice",
}


def new_topic(brokers: tuple[RawClient, ...], **configs: str) -> str:
    """A topic of one partition, in all of them."""
    name = f"data-{next(_serial)}"
    settings = [CreatableTopicConfig(key.replace("_", "."), value) for key, value in configs.items()]
    create = CreateTopicsRequest(topics=[CreatableTopic(name, 1, 1, [], settings)], timeout_ms=10_000)
    for client in brokers:
        assert client.ask(create, CreateTopicsResponse, 5).topics[0].error_code == 0
    time.sleep(0.3)  # Apache Kafka's brokers learn of a new topic a moment later.
    return name


def compare(theirs: RawClient, ours: RawClient, label: str, *steps: Step, **configs: str) -> None:
    """Creates a topic in both brokers, takes the steps with both, and fails where answers differ."""
    name = new_topic((theirs, ours), **configs)
    found = []
    for step in steps:
        request, response_type, version = step(name)
        answers = [shown(client.ask(request, response_type, version)) for client in (theirs, ours)]
        found += [f"{label}: v{version} {difference}" for difference in differences(*answers)]
    assert [line for line in found if not any(re.fullmatch(chosen, line) for chosen in CHOSEN)] == []


def shown(value: Any) -> Any:
    """As plain values; records as hex, lists by position."""
    if isinstance(value, memoryview):
        return value.hex()
    if isinstance(value, dict):
        return {name: shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return {str(at): shown(item) for at, item in enumerate(value)}
    as_plain = plain(value)
    return as_plain if as_plain is value or not isinstance(as_plain, dict | list) else shown(as_plain)


def messages(count: int = 3) -> list[Message]:
    return [Message(b"key", b"%d" % at, (), NOW_MS + at) for at in range(count)]


def produce(data: bytes, version: int = 9, acks: int = -1, index: int = 0, topic: str | None = None) -> Step:
    def ask(name: str) -> Ask:
        part = TopicProduceData(topic if topic is not None else name, bytes(16), [PartitionProduceData(index, data)])
        return ProduceRequest(acks=acks, timeout_ms=5_000, topic_data=[part]), ProduceResponse, version

    return ask


def fetch(offset: int, version: int = 12, **fields: Any) -> Step:
    def ask(name: str) -> Ask:
        partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20)
        request = FetchRequest(topics=[FetchTopic(fields.get("topic", name), bytes(16), [partition])], min_bytes=1)
        for field, value in fields.items():
            if field != "topic":
                setattr(partition if hasattr(partition, field) else request, field, value)
        return request, FetchResponse, version

    return ask


def offsets(*timestamps: int, version: int = 7, **fields: Any) -> Step:
    def ask(name: str) -> Ask:
        partitions = [ListOffsetsPartition(0, fields.get("epoch", -1), timestamp) for timestamp in timestamps]
        topic = ListOffsetsTopic(fields.get("topic", name), partitions)
        level = fields.get("isolation_level", 0)
        return ListOffsetsRequest(replica_id=-1, isolation_level=level, topics=[topic]), ListOffsetsResponse, version

    return ask


def delete(offset: int, index: int = 0, topic: str | None = None, version: int = 2) -> Step:
    def ask(name: str) -> Ask:
        part = DeleteRecordsTopic(topic or name, [DeleteRecordsPartition(index, offset)])
        return DeleteRecordsRequest([part], 5_000), DeleteRecordsResponse, version

    return ask


def end_of_epoch(epoch: int, current: int = -1, index: int = 0, version: int = 4) -> Step:
    def ask(name: str) -> Ask:
        topic = OffsetForLeaderTopic(name, [OffsetForLeaderPartition(index, current, epoch)])
        return OffsetForLeaderEpochRequest(replica_id=-1, topics=[topic]), OffsetForLeaderEpochResponse, version

    return ask


GOOD = batch(*messages())
BROKEN = GOOD[:-1] + b"\x55"
LARGE = Message(b"k", bytes(2_000_000), (), NOW_MS)
GAP = RecordBatchBuilder().append(Message(b"k", b"v", (), 1, 0)).append(Message(b"k", b"v", (), 1, 2)).build()
BATCHES: dict[str, bytes] = {
    "a good batch": GOOD,
    "a wrong checksum": BROKEN,
    "bad magic": patched(GOOD, 16, "b", 3),
    "an old magic": patched(GOOD, 16, "b", 1),
    "a negative length": patched(GOOD, 8, "i", -5),
    "a length beyond the bytes": patched(GOOD, 8, "i", 10_000),
    "nothing": b"",
    "half a header": GOOD[:30],
    "a batch cut short": GOOD[:-1],
    "two batches": GOOD + GOOD,
    "bytes behind the batch": GOOD + b"abc",
    "a base offset": patched(GOOD, 0, "q", 7),
    "no records": patched(GOOD, 57, "i", 0),
    "a negative count": patched(GOOD, 57, "i", -1),
    "a count that the deltas contradict": patched(GOOD, 57, "i", 2),
    "a count below the records": patched(patched(GOOD, 57, "i", 2), 23, "i", 1),
    "a count above the records": patched(patched(GOOD, 57, "i", 4), 23, "i", 3),
    "the control bit": patched(GOOD, 21, "h", 0x20),
    "the delete horizon bit": patched(GOOD, 21, "h", 0x40),
    "the log append time bit": patched(GOOD, 21, "h", 0x08),
    "codec 5": patched(GOOD, 21, "h", 5),
    **{f"garbage in {CODEC_NAMES[codec]}": patched(GOOD, 21, "h", codec) for codec in range(1, 5)},
    "a producer without a sequence": patched(idempotent(0), 53, "i", -1),
    "offset deltas with a gap": patched(patched(GAP, 23, "i", 1), 57, "i", 2),
    "a last delta above the count": GAP,
    "too large": batch(LARGE),
    "large, but compressed": batch(LARGE, codec=4),
    "too far ahead in time": batch(*messages(), Message(b"k", b"v", (), NOW_MS + 2 * HOUR_MS)),
    "without a time": batch(Message(b"k", b"v", (), -1)),
}


@pytest.mark.parametrize("label", BATCHES)
def test_what_is_stored_and_what_is_refused(theirs: RawClient, ours: RawClient, label: str) -> None:
    compare(theirs, ours, label, produce(BATCHES[label]), fetch(0))


@pytest.mark.parametrize("version", range(3, 13))
def test_produce_in_every_version(theirs: RawClient, ours: RawClient, version: int) -> None:
    steps = [
        produce(GOOD, version),
        produce(GOOD, version, index=5),
        produce(GOOD, version, acks=5),
        produce(GOOD, version, topic="nobody"),
        produce(GOOD, version, topic="../x"),
        produce(batch(*messages(), codec=4), version),
    ]
    compare(theirs, ours, "produce", *steps)


def test_idempotence(theirs: RawClient, ours: RawClient) -> None:
    sequences = [(s, 0) for s in (0, 3, 0, 3, 6, 9, 12, 15, 0, 3, 100)] + [(3, 1), (0, 1), (3, 1), (18, 0)]
    steps = [produce(idempotent(sequence, 3, producer_id=4711, epoch=epoch)) for sequence, epoch in sequences]
    compare(theirs, ours, "idempotence", *steps)


def test_settings_of_a_topic(theirs: RawClient, ours: RawClient) -> None:
    keyless = batch(Message(None, b"v", (), NOW_MS), Message(b"k", b"v", (), NOW_MS), Message(None, b"v", (), NOW_MS))
    compare(theirs, ours, "compacted", produce(keyless), produce(GOOD), delete(1), cleanup_policy="compact")
    old = batch(Message(b"k", b"v", (), NOW_MS - 10 * HOUR_MS))
    compare(theirs, ours, "bounds", produce(old), produce(GOOD), message_timestamp_before_max_ms=str(HOUR_MS))
    statuses = [fetch(3, version) for version in (4, 9)]  # The bytes of the compressed batch may differ.
    compare(theirs, ours, "zstd", produce(GOOD), *statuses, compression_type="zstd")


@pytest.mark.parametrize("version", [4, 5, 6, 7, 8, 9, 10, 11, 12])
def test_fetch_in_every_version(theirs: RawClient, ours: RawClient, version: int) -> None:
    steps = [fetch(offset, version) for offset in (0, 3, 5, 6, 7, -1)]
    steps += [fetch(0, version, isolation_level=1), fetch(0, version, topic="nobody"), fetch(0, version, partition=4)]
    steps += [fetch(3, version, max_bytes=1), fetch(0, version, partition_max_bytes=1), fetch(0, version, max_bytes=0)]
    if version >= 9:
        steps += [fetch(0, version, current_leader_epoch=0), fetch(0, version, current_leader_epoch=5)]
    if version >= 12:
        steps += [fetch(2, version, last_fetched_epoch=0), fetch(3, version, last_fetched_epoch=5)]
    compare(theirs, ours, "fetch", produce(GOOD), produce(GOOD), *steps)


@pytest.mark.parametrize("version", range(1, 12))
def test_offsets_in_every_version(theirs: RawClient, ours: RawClient, version: int) -> None:
    late = [Message(b"k", b"v", (), NOW_MS + time_ms) for time_ms in (50, 70, 60)]
    asked = [*range(-7, 0), NOW_MS - 5, NOW_MS, NOW_MS + 2, NOW_MS + 55, NOW_MS + 65, NOW_MS + 71]
    empty = [offsets(timestamp, version=version) for timestamp in (*range(-6, 0), 0)]
    steps = [offsets(timestamp, version=version) for timestamp in asked]
    compare(theirs, ours, "offsets", *empty, produce(GOOD), produce(batch(*late, codec=3)), *steps)


def test_offsets_for_readers_that_know_something(theirs: RawClient, ours: RawClient) -> None:
    steps = [offsets(-1, isolation_level=1), offsets(-1, epoch=0), offsets(-1, epoch=7), offsets(-1, topic="nobody")]
    compare(theirs, ours, "offsets", produce(GOOD), *steps)


@pytest.mark.parametrize("version", range(3))
def test_deleting_records(theirs: RawClient, ours: RawClient, version: int) -> None:
    def cut(offset: int, **where: Any) -> Step:
        return delete(offset, version=version, **where)

    steps = [cut(2), fetch(0), fetch(2), offsets(-2), offsets(NOW_MS), cut(1), cut(7), cut(-2), cut(-1)]
    steps += [fetch(6), fetch(5), offsets(-1), produce(GOOD), fetch(6), cut(0, index=4), cut(0, topic="nobody")]
    compare(theirs, ours, "delete", produce(GOOD), produce(GOOD), *steps)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_leader_epochs(theirs: RawClient, ours: RawClient, version: int) -> None:
    asked = [(0, -1), (1, -1), (-1, -1), (0, 0), (0, 3), (5, 0)]
    steps = [end_of_epoch(epoch, current, version=version) for epoch, current in asked]
    compare(theirs, ours, "epochs", *steps, produce(GOOD), *steps, end_of_epoch(0, index=3, version=version))
