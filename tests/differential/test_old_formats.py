"""Message formats v0 and v1 to Apache Kafka 3.9, the last line that speaks them, and to us: both must understand them
alike, in both directions.

Compared is what a client makes of an answer: error codes, offsets, keys, values and times. The bytes may differ where a
message set is compressed, and Kafka fills up or cuts off its answers to the size that the batches have in its log.
"""

from __future__ import annotations

from typing import Any

import pytest
from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kafka_protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

from kafka_server.domain.legacy_message import write_entry
from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import CODEC_NAMES
from tests.application.data_house import messages_in
from tests.application.test_produce_and_fetch_handlers import message_set, old_messages
from tests.differential.conftest import Pair
from tests.differential.raw_client import RawClient
from tests.differential.test_data import NOW_MS, new_topic
from tests.domain.batches import CODECS, batch

pytestmark = pytest.mark.jvm

CONTENT = [Message(b"key" if at else None, b"%d" % at if at != 2 else None, (), NOW_MS + at, at) for at in range(5)]
OLD_CODECS = CODEC_NAMES[:4]


@pytest.fixture
def brokers(old_pair: Pair) -> Pair:
    return old_pair


def produce(client: RawClient, topic: str, data: bytes, version: int) -> tuple[int, int]:
    """Error code and base offset."""
    part = TopicProduceData(topic, bytes(16), [PartitionProduceData(0, data)])
    request = ProduceRequest(acks=-1, timeout_ms=5_000, topic_data=[part])
    (answer,) = client.ask(request, ProduceResponse, version).responses[0].partition_responses
    return answer.error_code, answer.base_offset


def fetch(client: RawClient, topic: str, offset: int, version: int) -> tuple[int, list[Any]]:
    """Error code and what the records say."""
    partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20)
    request = FetchRequest(min_bytes=1, topics=[FetchTopic(topic, bytes(16), [partition])])
    (answer,) = client.ask(request, FetchResponse, version).responses[0].partitions
    read = messages_in if version >= 4 else old_messages
    return answer.error_code, [(m.offset, m.timestamp, m.key, m.value) for m in read(answer.records or b"")]


@pytest.mark.parametrize("codec", range(4), ids=OLD_CODECS)
@pytest.mark.parametrize(("magic", "version"), [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2)])
def test_what_old_producers_write_is_read_alike_in_all_versions(
    brokers: Pair, magic: int, version: int, codec: int
) -> None:
    topic = new_topic(brokers)
    for _ in range(2):
        theirs, ours = (produce(client, topic, message_set(magic, CONTENT, codec), version) for client in brokers)
        assert theirs == ours
    for offset in (0, 3, 7, 10):
        for fetch_version in range(5):
            (code, theirs_read), (our_code, ours_read) = (
                fetch(client, topic, offset, fetch_version) for client in brokers
            )
            assert code == our_code
            assert ours_read[: len(theirs_read)] == theirs_read
            assert len(theirs_read) > 0 or offset == 10


@pytest.mark.parametrize("time_type", ["CreateTime", "LogAppendTime"])
@pytest.mark.parametrize("codec", range(4), ids=OLD_CODECS)
def test_what_new_producers_write_is_read_alike_by_old_consumers(brokers: Pair, codec: int, time_type: str) -> None:
    topic = new_topic(brokers, message_timestamp_type=time_type)
    data = batch(*(Message(m.key, m.value, (("lost", b"1"),), m.timestamp) for m in CONTENT), codec=codec)
    for client in brokers:
        assert produce(client, topic, data, 3) == (0, 0)
    for offset in (0, 3):
        for version in range(4):
            (code, theirs), (our_code, ours) = (fetch(client, topic, offset, version) for client in brokers)
            assert code == our_code
            if time_type == "LogAppendTime":
                theirs, ours = ([(o, k, v) for o, _, k, v in read] for read in (theirs, ours))
            assert ours[: len(theirs)] == theirs


def wrapped(codec: int, inner: bytes) -> bytes:
    out = bytearray()
    write_entry(out, 0, 1, codec, NOW_MS, None, CODECS.compress(codec, inner))
    return bytes(out)


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


SETS = {
    "a wrong checksum": flipped(message_set(1, CONTENT), 40),
    "a wrong checksum in a wrapper": wrapped(1, flipped(message_set(1, CONTENT), 40)),
    "a message cut short": message_set(1, CONTENT)[:-1],
    "less than a message": message_set(1, CONTENT)[:10],
    "nothing": b"",
    "a wrapper in a wrapper": wrapped(1, message_set(1, CONTENT, 1)),
    "two wrappers": message_set(1, CONTENT, 1) * 2,
    "a wrapper and a message": message_set(1, CONTENT, 1) + message_set(1, CONTENT),
    "two formats": message_set(0, CONTENT) + message_set(1, CONTENT),
    "v0 in a wrapper of v1": wrapped(1, message_set(0, CONTENT)),
    "an empty wrapper": wrapped(1, b""),
    "a size of 5": message_set(1, CONTENT)[:8] + b"\0\0\0\5" + message_set(1, CONTENT)[12:],
    "a v2 batch": batch(*CONTENT[:1]),
    "too large": message_set(1, [Message(b"k", bytes(2_000_000), (), NOW_MS, 0)]),
    "large, but compressed": message_set(1, [Message(b"k", bytes(2_000_000), (), NOW_MS, 0)], 1),
    "small messages that make a large batch": message_set(
        1, [Message(b"k", bytes(300_000), (), NOW_MS, at) for at in range(5)]
    ),
}


@pytest.mark.parametrize("label", SETS)
def test_the_same_message_sets_are_refused(brokers: Pair, label: str) -> None:
    topic = new_topic(brokers)
    theirs, ours = (produce(client, topic, SETS[label], 2) for client in brokers)

    assert theirs == ours


def test_zstd_is_refused_to_old_consumers(brokers: Pair) -> None:
    topic = new_topic(brokers)
    for client in brokers:
        for codec in (0, 4, 0):
            produce(client, topic, batch(*CONTENT[1:], codec=codec), 9)
    for version in range(5):
        for offset in (0, 4, 8):
            (code, theirs), (our_code, ours) = (fetch(client, topic, offset, version) for client in brokers)
            assert (code, theirs) == (our_code, ours[: len(theirs)])


def test_offsets_of_version_0(brokers: Pair) -> None:
    for topic in (new_topic(brokers), new_topic(brokers)):
        for timestamp in (-1, -2, -3, 0, NOW_MS + 10**9):
            for count_max in (0, 1, 2, 10):
                partition = ListOffsetsPartition(0, -1, timestamp, count_max)
                request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(topic, [partition])])
                theirs, ours = (
                    client.ask(request, ListOffsetsResponse, 0).topics[0].partitions[0] for client in brokers
                )
                assert (theirs.error_code, theirs.old_style_offsets) == (ours.error_code, ours.old_style_offsets)
        for client in brokers:
            produce(client, topic, batch(*CONTENT), 9)
