"""Message formats v0 and v1: what clients from 0.8 to 0.10 write and read."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.record.legacy_records import _LegacyRecordBatchBuilderPy as AiokafkaBuilder
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.legacy_records import LegacyRecordBatchBuilder as KafkaPythonBuilder
from kafka.record.memory_records import MemoryRecords

from kafka_server.domain.errors import (
    CorruptMessage,
    DomainError,
    InvalidRecord,
    UnsupportedCompressionType,
)
from kafka_server.domain.legacy_message import build_message_set, iterate_entries, unwrap_entries, write_entry
from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import CODEC_NAMES, LOG_APPEND_TIME
from tests.domain.batches import CODECS, NOW_MS

OLD_CODECS = range(4)
TELLING = [
    Message(b"key", b"value", (), NOW_MS, 10),
    Message(None, b"a null key", (), NOW_MS + 5, 11),
    Message(b"a null value", None, (), NOW_MS - 5, 12),
    Message(b"", b"", (), NOW_MS, 13),
    Message(b"k" * 300, b"v" * 70_000, (), NOW_MS + 1, 14),
]


def message_set(magic: int, codec: int, content: list[Message] = TELLING, *, stamped: bool = False) -> bytes:
    return bytes(
        build_message_set(
            content,
            magic=magic,
            codec=codec,
            log_append_time=stamped,
            compress=CODECS.compress,
            compress_v0=CODECS.compress_legacy,
        )
    )


def unwrapped(data: bytes) -> list[Message]:
    return unwrap_entries(list(iterate_entries(data)), CODECS.decompress, CODECS.decompress_legacy).messages


def as_client_sends(magic: int) -> list[Message]:
    """Offsets are the broker's to assign, and v0 has no times."""
    return [Message(m.key, m.value, (), m.timestamp if magic else -1) for m in TELLING]


def peer_set(builder: Any, magic: int, codec: int) -> bytes:
    peer = builder(magic, codec, 1 << 20)
    for offset, message in enumerate(TELLING):
        peer.append(offset, message.timestamp, message.key, message.value)
    return bytes(peer.build())


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("builder", [AiokafkaBuilder, KafkaPythonBuilder], ids=["aiokafka", "kafka-python"])
def test_a_plain_message_set_has_the_same_bytes_as_other_libraries_give_it(builder: Any, magic: int) -> None:
    numbered = [Message(m.key, m.value, (), m.timestamp, at) for at, m in enumerate(TELLING)]
    ours = message_set(magic, 0, [m if magic else Message(m.key, m.value, (), -1, m.offset) for m in numbered])

    assert ours == peer_set(builder, magic, 0)


# aiokafka refuses to write the lz4 of v0; kafka-python shows that case.
@pytest.mark.parametrize(
    ("builder", "magic", "codec"),
    [
        (builder, magic, codec)
        for builder in (AiokafkaBuilder, KafkaPythonBuilder)
        for magic in (0, 1)
        for codec in OLD_CODECS
        if (builder, magic, codec) != (AiokafkaBuilder, 0, 3)
    ],
)
def test_message_sets_of_other_libraries_give_back_their_messages(builder: Any, magic: int, codec: int) -> None:
    assert unwrapped(peer_set(builder, magic, codec)) == as_client_sends(magic)


@pytest.mark.parametrize("codec", [0, 1, 2, 3])
@pytest.mark.parametrize("magic", [0, 1])
def test_another_library_reads_our_message_sets_with_their_absolute_offsets(magic: int, codec: int) -> None:
    seen = []
    records = MemoryRecords(message_set(magic, codec))
    while (part := records.next_batch()) is not None:
        seen += [(r.offset, r.key, r.value, r.timestamp if magic else -1) for r in part]

    assert seen == [(m.offset, m.key, m.value, m.timestamp if magic else -1) for m in TELLING]


def test_lz4_of_v0_repeats_the_wrong_header_checksum_that_its_readers_expect() -> None:
    right, wrong = CODECS.compress(3, b"x" * 100), CODECS.compress_legacy(3, b"x" * 100)

    assert right[:6] + right[7:] == wrong[:6] + wrong[7:]
    assert right[6] != wrong[6]
    assert CODECS.decompress_legacy(3, right) == CODECS.decompress_legacy(3, wrong) == b"x" * 100
    with pytest.raises(InvalidRecord):
        CODECS.decompress(3, wrong)


def test_a_compressed_set_is_one_entry_with_the_offset_of_its_last_message() -> None:
    for magic, inner in ((0, [10, 11, 12, 13, 14]), (1, [0, 1, 2, 3, 4])):
        (wrapper,) = iterate_entries(message_set(magic, 1))
        assert wrapper.offset == 14
        assert wrapper.value is not None
        assert [entry.offset for entry in iterate_entries(CODECS.decompress(1, wrapper.value))] == inner


def test_log_append_time_is_marked_in_v1() -> None:
    assert [entry.attributes for entry in iterate_entries(message_set(1, 0, stamped=True))] == [LOG_APPEND_TIME] * 5
    assert [entry.attributes for entry in iterate_entries(message_set(0, 0, stamped=True))] == [0] * 5


def test_an_entry_cut_off_at_the_end_is_left_out() -> None:
    data = message_set(1, 0)

    assert len(list(iterate_entries(data[:-1]))) == len(TELLING) - 1


def test_a_flipped_bit_is_a_corrupt_message_also_inside_a_wrapper() -> None:
    plain = bytearray(message_set(1, 0))
    plain[40] ^= 1
    with pytest.raises(CorruptMessage):
        unwrapped(bytes(plain))

    wrapper = bytearray()
    write_entry(wrapper, 4, 1, 1, NOW_MS, None, CODECS.compress(1, bytes(plain)))
    with pytest.raises(CorruptMessage):
        unwrapped(bytes(wrapper))


def wrapped(codec: int, magic: int, inner: bytes, attributes: int = 0) -> bytes:
    out = bytearray()
    write_entry(out, 0, magic, codec | attributes, NOW_MS, None, CODECS.compress(codec, inner))
    return bytes(out)


REFUSED = [
    ("a wrapper in a wrapper", wrapped(1, 1, message_set(1, 1)), InvalidRecord),
    ("a wrapper beside another message", message_set(1, 1) + message_set(1, 0), InvalidRecord),
    ("v0 and v1 in one set", message_set(0, 0) + message_set(1, 0), InvalidRecord),
    ("v0 in a wrapper of v1", wrapped(1, 1, message_set(0, 0)), InvalidRecord),
    ("a torn set in a wrapper", wrapped(1, 1, message_set(1, 0)[:-1]), InvalidRecord),
    ("an empty wrapper", wrapped(1, 1, b""), InvalidRecord),
    ("zstd", wrapped(4, 1, message_set(1, 0)), UnsupportedCompressionType),
]


@pytest.mark.parametrize(("data", "error"), [x[1:] for x in REFUSED], ids=[x[0] for x in REFUSED])
def test_a_broker_refuses(data: bytes, error: type[DomainError]) -> None:
    with pytest.raises(error):
        unwrapped(data)


def test_zstd_does_not_exist_for_old_consumers() -> None:
    with pytest.raises(UnsupportedCompressionType):
        message_set(1, CODEC_NAMES.index("zstd"))


@given(st.binary(max_size=300))
def test_garbage_gives_messages_or_a_domain_error(garbage: bytes) -> None:
    try:
        entries = list(iterate_entries(garbage))
        assert not entries or unwrapped(garbage)
    except DomainError:
        return
    assert len(garbage) < 12 or len(entries) >= 0


@given(
    st.integers(0, 400), st.binary(min_size=1, max_size=4), st.sampled_from([(m, c) for m in (0, 1) for c in (0, 1)])
)
def test_a_set_with_some_bytes_replaced_gives_messages_or_a_domain_error(
    at: int, junk: bytes, form: tuple[int, int]
) -> None:
    data = bytearray(message_set(*form, TELLING[:3]))
    at %= len(data)
    data[at : at + len(junk)] = junk[: len(data) - at]
    try:
        read = unwrapped(bytes(data)) if list(iterate_entries(bytes(data))) else []
    except DomainError:
        return
    assert len(read) <= 3
