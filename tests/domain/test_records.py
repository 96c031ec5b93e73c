"""The records of a batch: byte for byte what other Kafka libraries write, in both directions."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as AiokafkaBuilder
from aiokafka.record.default_records import _DefaultRecordBatchPy as AiokafkaBatch
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch as KafkaPythonBatch
from kafka.record.default_records import DefaultRecordBatchBuilder as KafkaPythonBuilder

from kafka_server.domain.errors import DomainError, InvalidRecord
from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import CODEC_NAMES, HEADER_SIZE, BatchHeader, check_client_batch, parse_header
from kafka_server.domain.records import (
    InvalidRecords,
    InvalidTimestamps,
    RecordBatchBuilder,
    check_records,
    end_transaction_marker,
    iterate_messages,
    parse_end_transaction_marker,
    payload_of,
    read_varint,
    write_varint,
)
from tests.domain.batches import CODECS, NOW_MS, batch, messages, patched

CODEC_NUMBERS = range(len(CODEC_NAMES))
TELLING = [
    Message(b"key", b"value", (), NOW_MS),
    Message(None, b"a null key", (), NOW_MS + 1),
    Message(b"a null value", None, (), NOW_MS - 5),
    Message(b"", b"", (), NOW_MS + 70_000),
    Message(b"k" * 200, b"v" * 70_000, (("name", b"value"), ("name", None), ("", b"")), NOW_MS + 2**33),
    Message("schlüssel".encode(), b"\x00\xff", (("größe", b"1"),), NOW_MS),
]


def peer_batch(builder: Any, codec: int, content: list[Message]) -> bytes:
    peer = builder(2, codec, 0, -1, -1, -1, 1 << 20)
    for offset, m in enumerate(content):
        peer.append(offset, m.timestamp, m.key, m.value, list(m.headers))
    return bytes(peer.build())


def seen_by(batch_class: Any, data: bytes) -> list[Message]:
    return [
        Message(
            None if r.key is None else bytes(r.key),
            None if r.value is None else bytes(r.value),
            tuple((name, None if value is None else bytes(value)) for name, value in r.headers),
            r.timestamp,
            r.offset,
        )
        for r in batch_class(data)
    ]


def numbered(content: list[Message]) -> list[Message]:
    return [Message(m.key, m.value, m.headers, m.timestamp, at) for at, m in enumerate(content)]


@pytest.mark.parametrize("builder", [AiokafkaBuilder, KafkaPythonBuilder], ids=["aiokafka", "kafka-python"])
def test_a_plain_batch_has_the_same_bytes_as_other_libraries_give_it(builder: Any) -> None:
    theirs = peer_batch(builder, 0, TELLING)
    leader_epoch = parse_header(theirs).leader_epoch  # The broker's business; the libraries differ in what they put.
    ours = RecordBatchBuilder(leader_epoch=leader_epoch)
    for message in TELLING:
        ours.append(message)

    assert ours.build() == theirs


@pytest.mark.parametrize("codec", CODEC_NUMBERS, ids=CODEC_NAMES)
@pytest.mark.parametrize("builder", [AiokafkaBuilder, KafkaPythonBuilder], ids=["aiokafka", "kafka-python"])
def test_batches_of_other_libraries_pass_the_checks_and_give_back_their_messages(builder: Any, codec: int) -> None:
    theirs = peer_batch(builder, codec, TELLING)

    header = check_client_batch(theirs, 1 << 20)

    assert header.codec == codec
    assert list(iterate_messages(theirs, CODECS.decompress)) == numbered(TELLING)


@pytest.mark.parametrize("codec", CODEC_NUMBERS, ids=CODEC_NAMES)
@pytest.mark.parametrize("batch_class", [AiokafkaBatch, KafkaPythonBatch], ids=["aiokafka", "kafka-python"])
def test_other_libraries_read_our_batches_in_every_codec(batch_class: Any, codec: int) -> None:
    assert seen_by(batch_class, batch(*TELLING, codec=codec)) == numbered(TELLING)


def test_messages_keep_the_offsets_they_have_so_that_a_compacted_batch_has_gaps() -> None:
    built = RecordBatchBuilder(base_offset=100)
    for offset in (100, 103, 109):
        built.append(Message(b"k", b"v", (), NOW_MS, offset))

    assert [m.offset for m in iterate_messages(built.build(), CODECS.decompress)] == [100, 103, 109]


def test_offsets_never_go_back_within_a_batch() -> None:
    built = RecordBatchBuilder(base_offset=100).append(Message(offset=105))

    with pytest.raises(ValueError, match="does not follow"):
        built.append(Message(offset=105))


# ---- what the broker checks when it looks into a batch ---------------------------------------------------------------


def check(data: bytes, **rules: Any) -> int:
    header = parse_header(data)
    payload = payload_of(data, header, CODECS.decompress)
    bounds = {"key_required": False, "timestamp_min": -(2**63), "timestamp_max": 2**63 - 1}
    return check_records(header, payload, **{**bounds, **rules})


@pytest.mark.parametrize("codec", CODEC_NUMBERS, ids=CODEC_NAMES)
def test_a_walk_over_a_sound_batch_gives_its_largest_timestamp(codec: int) -> None:
    assert check(batch(*TELLING, codec=codec)) == NOW_MS + 2**33


def test_a_compacted_topic_names_each_record_that_lacks_a_key() -> None:
    data = batch(Message(b"k", b""), Message(None, b""), Message(b"", b""), Message(None, b""))

    with pytest.raises(InvalidRecords) as refused:
        check(data, key_required=True)

    assert [error.batch_index for error in refused.value.record_errors] == [1, 3]


def test_bounds_of_time_name_each_record_outside_and_spare_records_without_a_time() -> None:
    times = [NOW_MS, NOW_MS - 11, NOW_MS + 11, -1, NOW_MS + 10]
    data = batch(*(Message(b"k", b"v", (), time) for time in times))

    with pytest.raises(InvalidTimestamps) as refused:
        check(data, timestamp_min=NOW_MS - 10, timestamp_max=NOW_MS + 10)

    assert [error.batch_index for error in refused.value.record_errors] == [1, 2]


@pytest.mark.parametrize("claimed", [2, 4])
def test_a_count_that_the_records_contradict_is_an_invalid_record(claimed: int) -> None:
    lie = patched(patched(batch(count=3), 57, "i", claimed), 23, "i", claimed - 1)

    with pytest.raises(InvalidRecord):
        check(lie)


def test_offset_deltas_that_are_not_consecutive_are_an_invalid_record() -> None:
    gap = RecordBatchBuilder().append(Message(b"k", b"v", (), 1, 0)).append(Message(b"k", b"v", (), 1, 2)).build()

    with pytest.raises(InvalidRecord, match="offset delta 2"):
        check(gap)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_a_walk_over_garbage_ends_in_a_domain_error_or_a_timestamp(garbage: bytes, count: int) -> None:
    header = BatchHeader(0, 0, 0, 2, 0, 0, count - 1, NOW_MS, NOW_MS, -1, -1, -1, count)
    try:
        check_records(header, garbage, key_required=False, timestamp_min=-(2**63), timestamp_max=2**63)
    except DomainError:
        return
    assert len(garbage) >= 7 * count


@given(st.binary(max_size=300), st.integers(0, 4), st.integers(1, 1000))
def test_reading_a_batch_of_garbage_gives_messages_or_a_domain_error(block: bytes, codec: int, count: int) -> None:
    data = patched(batch()[:HEADER_SIZE] + block, 8, "i", 49 + len(block))
    data = patched(patched(data, 21, "h", codec), 57, "i", count)
    try:
        read = list(iterate_messages(data, CODECS.decompress))
    except DomainError:
        return
    assert len(read) == count


@given(st.integers(0, 200), st.binary(min_size=1, max_size=4), st.sampled_from(range(5)))
def test_a_batch_with_some_bytes_replaced_gives_messages_or_a_domain_error(at: int, junk: bytes, codec: int) -> None:
    data = bytearray(batch(*messages(5), codec=codec))
    at = HEADER_SIZE + at % (len(data) - HEADER_SIZE)
    data[at : at + len(junk)] = junk[: len(data) - at]
    try:
        read = list(iterate_messages(bytes(data), CODECS.decompress))
    except DomainError:
        return
    assert len(read) == 5


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_varint_comes_back(value: int) -> None:
    out = bytearray()
    write_varint(out, value)

    assert read_varint(out, 0) == (value, len(out))
    assert len(out) <= 10


def test_a_varint_without_an_end_is_refused() -> None:
    with pytest.raises(InvalidRecord):
        read_varint(b"\xff" * 11, 0)


@pytest.mark.parametrize("is_commit", [True, False])
def test_a_transaction_marker_tells_how_the_transaction_ended(is_commit: bool) -> None:
    control = RecordBatchBuilder(is_control=True, is_transactional=True, producer_id=7, producer_epoch=2)
    data = control.append(end_transaction_marker(is_commit, 3, NOW_MS)).build()
    (message,) = iterate_messages(data, CODECS.decompress)

    assert parse_header(data).is_control
    assert parse_end_transaction_marker(message) == (is_commit, 3)
    (seen,) = KafkaPythonBatch(data)
    assert (seen.abort, seen.commit) == (not is_commit, is_commit)
