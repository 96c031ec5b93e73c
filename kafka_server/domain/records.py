"""Owns: the records inside a batch: reading, checking and writing them; control records.
Must never know: partitions, compression libraries, files, sockets.

One record of message format v2; varints are zigzag, and a length of -1 stands for null::

    length varint | attributes int8 | timestamp delta varlong | offset delta varint
    | key length varint, key | value length varint, value
    | header count varint | per header: name length varint, name, value length varint, value

Deltas count from the batch's base offset and base timestamp, so most records spend one or two bytes on each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

from kafka_server.domain.errors import InvalidRecord, InvalidTimestamp
from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import (
    CODEC_MASK,
    CODEC_NAMES,
    CODEC_NONE,
    CONTROL,
    HEADER_SIZE,
    MAGIC,
    RECORD_SIZE_MIN,
    TRANSACTIONAL,
    BatchHeader,
    Buffer,
    parse_header,
    rewrite,
)

Decompress = Callable[[int, Buffer], Buffer]
"""Codec number and compressed block -> the block; raises InvalidRecord when the block is broken or too large."""
Compress = Callable[[int, Buffer], bytes]
"""Codec number and block -> the compressed block."""


class RecordError(NamedTuple):
    """Why one record of a batch was refused."""

    batch_index: int
    message: str


class InvalidRecords(InvalidRecord):
    """Some records of a batch break a rule; none of the batch was stored (KIP-467)."""

    def __init__(self, message: str, record_errors: list[RecordError]) -> None:
        super().__init__(message)
        self.record_errors = record_errors


class InvalidTimestamps(InvalidTimestamp):
    """Some records of a batch lie outside the bounds of time; none of the batch was stored (KIP-467)."""

    def __init__(self, message: str, record_errors: list[RecordError]) -> None:
        super().__init__(message)
        self.record_errors = record_errors


def check_records(
    header: BatchHeader, payload: Buffer, *, key_required: bool, timestamp_min: int, timestamp_max: int
) -> int:
    """Walks the (decompressed) records of a client's batch and returns their largest timestamp.

    The records must be as many as the header says, fill the payload, and have the offset deltas 0, 1, 2 ...
    Raises InvalidRecord when the walk breaks off; InvalidRecords or InvalidTimestamps with each record that lacks a
    key (``key_required``) or lies outside the bounds of time; a timestamp of -1 (none) is always within.
    """
    missing_keys: list[RecordError] = []
    bad_times: list[RecordError] = []
    base_timestamp = header.base_timestamp
    max_timestamp = -1
    position = 0
    end = len(payload)
    try:
        for index in range(header.record_count):
            # Most varints here are one byte long; asking for that first saves a call each.
            length = payload[position]
            if length < 0x80 and not length & 1:
                length >>= 1
                position += 1
            else:
                length, position = read_varint(payload, position)
            record_end = position + length
            if length < RECORD_SIZE_MIN - 1 or record_end > end:
                raise InvalidRecord(f"Record {index} claims {length} bytes, {end - position} are left")
            if payload[position + 1]:
                timestamp_delta, position = read_varint(payload, position + 1)
            else:
                timestamp_delta = 0
                position += 2
            if payload[position] == index << 1 and index < 64:
                position += 1
            else:
                offset_delta, position = read_varint(payload, position)
                if offset_delta != index:
                    raise InvalidRecord(f"Record {index} has the offset delta {offset_delta}")
            key_length, position = read_varint(payload, position)
            if key_length < -1 or position + key_length > record_end:
                raise InvalidRecord(f"Record {index} claims a key of {key_length} bytes")
            timestamp = base_timestamp + timestamp_delta
            if timestamp > max_timestamp:
                max_timestamp = timestamp
            if key_length < 0 and key_required:
                missing_keys.append(RecordError(index, "A compacted topic takes no record without a key"))
            elif timestamp != -1 and not timestamp_min <= timestamp <= timestamp_max:
                bad_times.append(
                    RecordError(index, f"Timestamp {timestamp} lies outside [{timestamp_min}, {timestamp_max}]")
                )
            position = record_end
    except IndexError:
        raise InvalidRecord("The batch ends within a record") from None
    if position != end:
        raise InvalidRecord(f"{end - position} bytes follow the last record of the batch")
    if bad_times:
        raise InvalidTimestamps("One or more records have an invalid timestamp", missing_keys + bad_times)
    if missing_keys:
        raise InvalidRecords("One or more records have no key", missing_keys)
    return max_timestamp


# ---- records ---------------------------------------------------------------------------------------------------------


def payload_of(batch: Buffer, header: BatchHeader, decompress: Decompress) -> Buffer:
    """The records block of ``batch``, decompressed."""
    block = memoryview(batch)[HEADER_SIZE : header.size]
    codec = header.codec
    return decompress(codec, block) if codec else block


def iterate_messages(batch: Buffer, decompress: Decompress) -> Iterator[Message]:
    """The messages of one whole batch with their absolute offsets and times.

    Raises InvalidRecord when the block cannot be decompressed or a record is broken.
    """
    header = parse_header(batch)
    payload = bytes(payload_of(batch, header, decompress))
    position = 0
    try:
        for _ in range(header.record_count):
            message, position = _read_record(payload, position, header)
            yield message
    except (IndexError, UnicodeDecodeError) as error:
        raise InvalidRecord("A record of the batch is broken") from error


def _read_record(payload: bytes, position: int, header: BatchHeader) -> tuple[Message, int]:
    length, position = read_varint(payload, position)
    end = position + length
    if length < RECORD_SIZE_MIN - 1 or end > len(payload):
        raise InvalidRecord(f"A record claims {length} bytes, {len(payload) - position} are left")
    timestamp_delta, position = read_varint(payload, position + 1)
    offset_delta, position = read_varint(payload, position)
    key, position = _read_bytes(payload, position, end)
    value, position = _read_bytes(payload, position, end)
    count, position = read_varint(payload, position)
    headers: list[tuple[str, bytes | None]] = []
    if count < 0 or count * 2 > end - position:
        raise InvalidRecord(f"A record claims {count} headers")
    for _ in range(count):
        name, position = _read_bytes(payload, position, end)
        if name is None:
            raise InvalidRecord("The name of a header is null")
        header_value, position = _read_bytes(payload, position, end)
        headers.append((name.decode(), header_value))
    if position != end:
        raise InvalidRecord(f"A record claims {length} bytes and takes {length + position - end}")
    # With LogAppendTime the deltas keep what the producer said, but the time of every record is the batch's stamp.
    timestamp = header.max_timestamp if header.is_log_append_time else header.base_timestamp + timestamp_delta
    return Message(key, value, tuple(headers), timestamp, header.base_offset + offset_delta), end


def _read_bytes(payload: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    length, position = read_varint(payload, position)
    if length < 0:
        if length != -1:
            raise InvalidRecord(f"A field claims {length} bytes")
        return None, position
    after = position + length
    if after > end:
        raise InvalidRecord(f"A field claims {length} bytes, {end - position} are left in its record")
    return payload[position:after], after


def read_varint(buffer: Buffer, position: int) -> tuple[int, int]:
    """A zigzag varint of up to ten bytes and the position behind it. Raises IndexError where the buffer ends."""
    byte = buffer[position]
    position += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position
    value = byte & 0x7F
    shift = 7
    while True:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), position
        shift += 7
        if shift > 63:
            raise InvalidRecord("A varint takes more than ten bytes")


def write_varint(out: bytearray, value: int) -> None:
    """Appends ``value`` as a zigzag varint."""
    value = (value << 1) ^ (value >> 63)
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


# ---- control batches -------------------------------------------------------------------------------------------------

CONTROL_ABORT, CONTROL_COMMIT = 0, 1


class EndTransactionMarker(NamedTuple):
    """What a control record says: how a transaction ended, and which coordinator decided it."""

    is_commit: bool
    coordinator_epoch: int


_CONTROL_KEY = Struct(">hh")
_MARKER_VALUE = Struct(">hi")


def parse_end_transaction_marker(message: Message) -> EndTransactionMarker | None:
    """The marker in the (only) record of a control batch; None for control records of another type.

    Key: version int16, type int16 (0 abort, 1 commit). Value: version int16, coordinator epoch int32. Later versions
    only append, so the leading fields are read whatever the version says. Raises InvalidRecord when too short.
    """
    key, value = message.key, message.value
    if key is None or len(key) < _CONTROL_KEY.size:
        raise InvalidRecord("The key of a control record is too short")
    _, control_type = _CONTROL_KEY.unpack_from(key)
    if control_type not in (CONTROL_ABORT, CONTROL_COMMIT):
        return None
    if value is None or len(value) < _MARKER_VALUE.size:
        raise InvalidRecord("The value of a transaction marker is too short")
    return EndTransactionMarker(control_type == CONTROL_COMMIT, _MARKER_VALUE.unpack_from(value)[1])


def end_transaction_marker(is_commit: bool, coordinator_epoch: int, timestamp_ms: int) -> Message:
    """The record that goes into a control batch when a transaction ends."""
    key = _CONTROL_KEY.pack(0, CONTROL_COMMIT if is_commit else CONTROL_ABORT)
    return Message(key, _MARKER_VALUE.pack(0, coordinator_epoch), (), timestamp_ms)


# ---- building --------------------------------------------------------------------------------------------------------


class RecordBatchBuilder:
    """Builds one batch from messages.

    Offsets: the batch starts at ``base_offset``; a message that has an offset keeps it (its delta is the distance),
    one that has none follows the message before it. Times are stored relative to the first message's.
    """

    __slots__ = (
        "_attributes",
        "_base_offset",
        "_base_timestamp",
        "_count",
        "_last_delta",
        "_leader_epoch",
        "_max_timestamp",
        "_payload",
        "_producer",
    )

    def __init__(
        self,
        *,
        base_offset: int = 0,
        leader_epoch: int = -1,
        codec: int = CODEC_NONE,
        is_control: bool = False,
        is_transactional: bool = False,
        producer_id: int = -1,
        producer_epoch: int = -1,
        base_sequence: int = -1,
    ) -> None:
        self._base_offset = base_offset
        self._leader_epoch = leader_epoch
        self._attributes = codec | (CONTROL if is_control else 0) | (TRANSACTIONAL if is_transactional else 0)
        self._producer = (producer_id, producer_epoch, base_sequence)
        self._payload = bytearray()
        self._count = 0
        self._last_delta = -1
        self._base_timestamp = -1
        self._max_timestamp = -1

    def append(self, message: Message) -> RecordBatchBuilder:
        """Adds ``message`` at the end. Raises ValueError when its offset does not lie above the last one."""
        delta = message.offset - self._base_offset if message.offset >= 0 else self._last_delta + 1
        if delta <= self._last_delta:
            raise ValueError(f"offset {message.offset} does not follow {self._base_offset + self._last_delta}")
        if not self._count:
            self._base_timestamp = message.timestamp
        record = bytearray(b"\x00")
        write_varint(record, message.timestamp - self._base_timestamp)
        write_varint(record, delta)
        _write_bytes(record, message.key)
        _write_bytes(record, message.value)
        write_varint(record, len(message.headers))
        for name, value in message.headers:
            _write_bytes(record, name.encode())
            _write_bytes(record, value)
        write_varint(self._payload, len(record))
        self._payload += record
        self._count += 1
        self._last_delta = delta
        self._max_timestamp = max(self._max_timestamp, message.timestamp)
        return self

    def build(self, compress: Compress | None = None) -> bytes:
        """The batch. ``compress`` is needed when a codec was named. Raises ValueError without a message."""
        if not self._count:
            raise ValueError("a batch has at least one record")
        codec = self._attributes & CODEC_MASK
        payload: Buffer = self._payload
        if codec:
            if compress is None:
                raise ValueError(f"codec {CODEC_NAMES[codec]} needs a compress function")
            payload = compress(codec, payload)
        producer_id, producer_epoch, base_sequence = self._producer
        header = BatchHeader(
            base_offset=self._base_offset,
            batch_length=0,
            leader_epoch=self._leader_epoch,
            magic=MAGIC,
            crc=0,
            attributes=self._attributes,
            last_offset_delta=self._last_delta,
            base_timestamp=self._base_timestamp,
            max_timestamp=self._max_timestamp,
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            record_count=self._count,
        )
        return rewrite(
            header,
            payload,
            attributes=self._attributes,
            base_timestamp=self._base_timestamp,
            max_timestamp=self._max_timestamp,
        )


def _write_bytes(out: bytearray, data: bytes | None) -> None:
    if data is None:
        out.append(1)
    else:
        write_varint(out, len(data))
        out += data
