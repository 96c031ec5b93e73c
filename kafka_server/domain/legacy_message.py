"""Owns: message formats v0 and v1, which clients spoke before 0.11 (KIP-32, KIP-31): reading and writing message sets.
Must never know: topics, partitions, compression libraries, request versions.

A message set is a run of entries without a header of its own, big-endian::

     0        8      12      16 17 18           26
     +--------+------+-------+--+--+------------+------------+-----+--------------+-------+
     | offset | size | crc   |m |a | timestamp  | key length | key | value length | value |
     | int64  | int32| uint32|  |  | v1 only    | int32      |     | int32        |       |
     +--------+------+-------+--+--+------------+------------+-----+--------------+-------+
                             '- CRC-32 (IEEE) covers this, up to the end of the entry --->

Attributes: bits 0-2 codec (zstd does not exist here), bit 3 timestamp type (v1; 1 = LogAppendTime).

Compression wraps: an entry with a codec carries a whole message set, compressed, as its value. The wrapper's offset is
that of its last inner message. Inner offsets are absolute in v0; in v1 they count from 0 (KIP-31), so that a broker
can assign offsets without recompressing. A wrapper never holds another wrapper.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from kafka_server.domain.errors import CorruptMessage, InvalidRecord, UnsupportedCompressionType
from kafka_server.domain.message import NO_TIMESTAMP, Message
from kafka_server.domain.record_batch import CODEC_LZ4, CODEC_MASK, CODEC_NONE, CODEC_ZSTD, LOG_APPEND_TIME
from kafka_server.domain.records import Compress, Decompress

Buffer = bytes | bytearray | memoryview

MAGIC_V0, MAGIC_V1 = 0, 1
ENTRY_OVERHEAD = 12
MAGIC_POSITION = 16
_CRC_END = 16
_SIZE_MIN = 14
_ENTRY = Struct(">qiIbb")
_OFFSET_SIZE = Struct(">qi")
_INT64 = Struct(">q")
_INT32 = Struct(">i")
_KEY_POSITION = (18, 26)


class LegacyEntry(NamedTuple):
    """One entry of a message set."""

    offset: int
    magic: int
    attributes: int
    timestamp: int
    key: bytes | None
    value: memoryview | None
    size: int

    @property
    def codec(self) -> int:
        return self.attributes & CODEC_MASK


class LegacyMessages(NamedTuple):
    """What a client's message set holds, unwrapped."""

    magic: int
    codec: int
    log_append_time: bool
    messages: list[Message]


def iterate_entries(buffer: Buffer) -> Iterator[LegacyEntry]:
    """The entries of a message set; an entry that is cut off at the end is left out, as fetches may cut there.

    Raises CorruptMessage (CRC, impossible size) or InvalidRecord (magic, lengths).
    """
    view = memoryview(buffer)
    position = 0
    end = len(view)
    while end - position >= ENTRY_OVERHEAD:
        offset, size = _OFFSET_SIZE.unpack_from(view, position)
        if size < _SIZE_MIN:
            raise CorruptMessage(f"A message claims {size} bytes, fewer than its fixed fields take")
        after = position + ENTRY_OVERHEAD + size
        if after > end:
            return
        yield _read_entry(view[position:after], offset)
        position = after


def _read_entry(entry: memoryview, offset: int) -> LegacyEntry:
    _, _, crc, magic, attributes = _ENTRY.unpack_from(entry)
    if magic not in (MAGIC_V0, MAGIC_V1):
        raise InvalidRecord(f"A message set has magic 0 or 1, not {magic}")
    if crc32(entry[_CRC_END:]) != crc:
        raise CorruptMessage(f"The message at offset {offset} fails its CRC check")
    position = _KEY_POSITION[magic]
    if len(entry) < position + 8:
        raise InvalidRecord(f"A message of format v{magic} takes at least {position + 8} bytes, not {len(entry)}")
    timestamp = _INT64.unpack_from(entry, 18)[0] if magic else NO_TIMESTAMP
    key, position = _read_bytes(entry, position)
    value, position = _read_bytes(entry, position)
    if position != len(entry):
        raise InvalidRecord(f"{len(entry) - position} bytes follow the value of a message")
    return LegacyEntry(offset, magic, attributes, timestamp, None if key is None else bytes(key), value, len(entry))


def _read_bytes(entry: memoryview, position: int) -> tuple[memoryview | None, int]:
    if position + 4 > len(entry):
        raise InvalidRecord("A message ends within the length of a field")
    (length,) = _INT32.unpack_from(entry, position)
    position += 4
    if length == -1:
        return None, position
    if length < 0 or position + length > len(entry):
        raise InvalidRecord(f"A field claims {length} bytes, {len(entry) - position} are left in its message")
    return entry[position : position + length], position + length


def unwrap_entries(entries: Sequence[LegacyEntry], decompress: Decompress, decompress_v0: Decompress) -> LegacyMessages:
    """The messages of a client's (non-empty) message set. Offsets are dropped: the broker will assign them.

    Raises InvalidRecord, CorruptMessage or UnsupportedCompressionType where Kafka refuses the set.
    """
    first = entries[0]
    codec = first.codec
    if any(entry.magic != first.magic for entry in entries):
        raise InvalidRecord("The messages of one set differ in magic")
    if any(entry.codec for entry in entries):
        if len(entries) > 1:
            raise InvalidRecord("A compressed message must be the only one of its set")
        entries = _unwrap(first, decompress_v0 if first.magic == MAGIC_V0 else decompress)
    messages = [
        Message(entry.key, None if entry.value is None else bytes(entry.value), (), entry.timestamp)
        for entry in entries
    ]
    return LegacyMessages(first.magic, codec, bool(first.magic and first.attributes & LOG_APPEND_TIME), messages)


def _unwrap(wrapper: LegacyEntry, decompress: Decompress) -> list[LegacyEntry]:
    if wrapper.codec == CODEC_ZSTD:
        raise UnsupportedCompressionType(f"Message format v{wrapper.magic} has no zstd")
    if wrapper.value is None:
        raise InvalidRecord("A compressed message has a null value")
    block = decompress(wrapper.codec, wrapper.value)
    inner = list(iterate_entries(block))
    if sum(entry.size for entry in inner) != len(block):
        raise InvalidRecord("A compressed message set ends within a message")
    if not inner:
        raise InvalidRecord("A compressed message holds none")
    for entry in inner:
        if entry.codec:
            raise InvalidRecord("A compressed message holds another compressed one")
        if entry.magic != wrapper.magic:
            raise InvalidRecord("A compressed message differs in magic from one that it holds")
    return inner


# ---- writing ---------------------------------------------------------------------------------------------------------


def write_entry(
    out: bytearray, offset: int, magic: int, attributes: int, timestamp: int, key: Buffer | None, value: Buffer | None
) -> None:
    """Appends one entry to a message set."""
    start = len(out)
    out += bytes(_CRC_END)
    out.append(magic)
    out.append(attributes)
    if magic:
        out += _INT64.pack(timestamp)
    for field in (key, value):
        if field is None:
            out += b"\xff\xff\xff\xff"
        else:
            out += _INT32.pack(len(field))
            out += field
    size = len(out) - start - ENTRY_OVERHEAD
    crc = crc32(memoryview(out)[start + _CRC_END :])
    out[start : start + _CRC_END] = _ENTRY.pack(offset, size, crc, 0, 0)[:_CRC_END]


def build_message_set(
    messages: Iterable[Message],
    *,
    magic: int,
    codec: int,
    log_append_time: bool,
    compress: Compress,
    compress_v0: Compress,
) -> bytearray:
    """Messages, with their offsets, as a set of format v0 or v1; headers are lost, they do not exist there.

    Without a codec each message is an entry; with one they go into a wrapper. Raises UnsupportedCompressionType for
    zstd, which no client of these formats can read.
    """
    if codec == CODEC_ZSTD:
        raise UnsupportedCompressionType(f"zstd cannot be converted to message format v{magic}")
    time_bit = LOG_APPEND_TIME if log_append_time and magic else 0
    plain = bytearray()
    base_offset: int | None = None
    last_offset = 0
    max_timestamp = NO_TIMESTAMP
    for message in messages:
        if base_offset is None:
            base_offset = message.offset
        last_offset = message.offset
        max_timestamp = max(max_timestamp, message.timestamp)
        offset = message.offset - base_offset if codec and magic == MAGIC_V1 else message.offset
        write_entry(plain, offset, magic, time_bit, message.timestamp, message.key, message.value)
    if codec == CODEC_NONE or base_offset is None:
        return plain
    block = (compress_v0 if codec == CODEC_LZ4 and magic == MAGIC_V0 else compress)(codec, plain)
    wrapped = bytearray()
    write_entry(wrapped, last_offset, magic, codec | time_bit, max_timestamp, None, block)
    return wrapped
