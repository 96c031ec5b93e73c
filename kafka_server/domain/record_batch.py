"""Owns: the record batch, message format v2 (KIP-98): the layout and the checks of its header, and rewriting it.
Must never know: what lies inside records (see records.py), partitions, compression libraries, files, sockets.

The header of a batch, 61 bytes, big-endian::

     0        8        12       16 17      21 23       27            35           43           51 53       57       61
     +--------+--------+--------+--+-------+--+--------+-------------+------------+------------+--+--------+--------+
     | base   | batch  | leader |m | crc   |a | last   | base        | max        | producer   |p | base   | record |
     | offset | length | epoch  |a |       |t | offset | timestamp   | timestamp  | id         |. | sequ-  | count  |
     |        |        |        |g |       |t | delta  |             |            |            |e | ence   |        |
     +--------+--------+--------+--+-------+--+--------+-------------+------------+------------+--+--------+--------+
     '- what the broker rewrites-'         '- what the CRC-32C covers, up to the end of the batch ------------------>

``batch length`` counts what follows it, so a batch takes 12 bytes more. The two numbers that a broker assigns, base
offset and leader epoch, lie before the checksum: a batch is stored as the producer sent it, with a new first line.

Attributes: bits 0-2 codec (none, gzip, snappy, lz4, zstd), 3 timestamp type (1 = LogAppendTime), 4 transactional,
5 control, 6 the base timestamp is the delete horizon (written by compaction only).

The records follow, compressed as one block when a codec is set; records.py draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

from kafka_server.domain.errors import CorruptMessage, InvalidRecord, MessageTooLarge

crc32c: Callable[..., int]
try:
    from fastcrc.crc32 import iscsi

    crc32c = iscsi
except ImportError:  # No wheel for this platform; the other library takes a memoryview without a copy, too.
    from crc32c import crc32c as _crc32c

    crc32c = _crc32c

Buffer = bytes | bytearray | memoryview

MAGIC = 2
HEADER_SIZE = 61
LENGTH_OVERHEAD = 12
CRC_START = 21
RECORD_SIZE_MIN = 7

CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD = range(5)
CODEC_NAMES = ("none", "gzip", "snappy", "lz4", "zstd")
CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20
DELETE_HORIZON = 0x40

_HEADER = Struct(">qiibIhiqqqhii")
_PREFIX = Struct(">qiib")
_AFTER_CRC = Struct(">hiqqqhii")
_unpack_header = _HEADER.unpack_from
_new_tuple = tuple.__new__
# A client's batch has none of these: control batches are the coordinator's, the delete horizon is the cleaner's.
_NOT_FOR_CLIENTS = CONTROL | DELETE_HORIZON


class NotOneBatch(InvalidRecord):
    """The records of a produce request are anything but exactly one v2 batch."""


class BatchHeader(NamedTuple):
    """The 61 bytes in front of the records, as numbers."""

    base_offset: int
    batch_length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return self.batch_length + LENGTH_OVERHEAD

    @property
    def last_offset(self) -> int:
        # Not base_offset + record_count - 1: compaction removes records and keeps the delta.
        return self.base_offset + self.last_offset_delta

    @property
    def codec(self) -> int:
        return self.attributes & CODEC_MASK

    @property
    def is_log_append_time(self) -> bool:
        return bool(self.attributes & LOG_APPEND_TIME)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL)


def parse_header(buffer: Buffer, position: int = 0) -> BatchHeader:
    """The header at ``position``. Raises CorruptMessage when the buffer ends within it."""
    if len(buffer) - position < HEADER_SIZE:
        raise CorruptMessage(f"A batch needs {HEADER_SIZE} bytes for its header, {len(buffer) - position} are left")
    return _new_tuple(BatchHeader, _unpack_header(buffer, position))


def iterate_batches(buffer: memoryview) -> Iterator[tuple[BatchHeader, memoryview]]:
    """Header and bytes of each whole batch in a stored run of batches."""
    position = 0
    end = len(buffer)
    while position + HEADER_SIZE <= end:
        header = parse_header(buffer, position)
        after = position + header.batch_length + LENGTH_OVERHEAD
        if after > end or after <= position:
            return
        yield header, buffer[position:after]
        position = after


# ---- checks on a batch that a client sent ----------------------------------------------------------------------------


def check_client_batch(records: Buffer, size_max: int) -> BatchHeader:
    """Holds ``records``, one batch from a produce request, against every rule that its header can tell.

    Raises InvalidRecord (shape), MessageTooLarge (above ``size_max``; before anything is decompressed) or
    CorruptMessage (CRC). This runs for every batch, so the good case is one unpack, one CRC and one expression.
    """
    size = len(records)
    if size < HEADER_SIZE:
        raise NotOneBatch(f"A record batch takes at least {HEADER_SIZE} bytes, this one has {size}")
    header = _new_tuple(BatchHeader, _unpack_header(records, 0))
    (base_offset, batch_length, _, magic, crc, attributes, last_delta, _, _, producer_id, _, sequence, count) = header
    if magic != MAGIC:
        raise NotOneBatch(f"The batch has magic {magic}; this version of Produce takes magic {MAGIC} only")
    if batch_length != size - LENGTH_OVERHEAD:
        raise _length_error(header, size)
    if size > size_max:
        raise MessageTooLarge(f"The batch has {size} bytes, the topic takes {size_max}")
    if crc32c(memoryview(records)[CRC_START:]) != crc:
        raise CorruptMessage(f"The batch fails its CRC check (it claims {crc:#010x})")
    if (
        base_offset
        or count < 1
        or last_delta != count - 1
        or attributes & _NOT_FOR_CLIENTS
        or attributes & CODEC_MASK > CODEC_ZSTD
        or (sequence < 0 and producer_id >= 0)
        or (not attributes & CODEC_MASK and count * RECORD_SIZE_MIN > size - HEADER_SIZE)
    ):
        raise _header_error(header)
    return header


def _length_error(header: BatchHeader, size: int) -> NotOneBatch:
    if header.batch_length < HEADER_SIZE - LENGTH_OVERHEAD:
        return NotOneBatch(f"The batch claims a length of {header.batch_length} bytes")
    if header.size > size:
        return NotOneBatch(f"The batch claims {header.size} bytes, {size} arrived")
    return NotOneBatch("This version of Produce takes exactly one record batch per partition")


def _header_error(header: BatchHeader) -> InvalidRecord:
    """Which of the rules in ``check_client_batch`` the header breaks."""
    if header.base_offset:
        return InvalidRecord(f"The base offset of a batch to be appended must be 0, it is {header.base_offset}")
    if header.record_count < 1:
        return InvalidRecord(f"The batch claims {header.record_count} records")
    if header.last_offset_delta != header.record_count - 1:
        return InvalidRecord(
            f"The batch claims {header.record_count} records, but its last offset delta is {header.last_offset_delta}"
        )
    if header.is_control:
        return InvalidRecord("Clients are not allowed to write control records")
    if header.attributes & DELETE_HORIZON:
        return InvalidRecord("A producer must not set a delete horizon")
    if header.codec > CODEC_ZSTD:
        return InvalidRecord(f"There is no compression codec {header.codec}")
    if header.base_sequence < 0 and header.producer_id >= 0:
        return InvalidRecord(f"A batch with a producer id has the sequence {header.base_sequence}")
    return InvalidRecord(f"{header.record_count} records do not fit into {header.size - HEADER_SIZE} bytes")


# ---- rewriting the header --------------------------------------------------------------------------------------------


PREFIX_SIZE = 16
assigned_prefix = Struct(">qii").pack
"""``(base offset, batch length, leader epoch)`` -> the first 16 bytes of a batch as it is stored: all that a broker
changes in a batch that it takes as it is. The batch length is the one that the client's batch has."""


def rewrite(header: BatchHeader, payload: Buffer, *, attributes: int, base_timestamp: int, max_timestamp: int) -> bytes:
    """A batch with the identity of ``header`` (producer, sequence, records) around ``payload``, with a new CRC.

    For what cannot be done before the checksum: a stamp of time, another codec, a corrected largest timestamp.
    """
    after_crc = _AFTER_CRC.pack(
        attributes,
        header.last_offset_delta,
        base_timestamp,
        max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.record_count,
    )
    crc = crc32c(payload, crc32c(after_crc))
    length = HEADER_SIZE - LENGTH_OVERHEAD + len(payload)
    prefix = _PREFIX.pack(header.base_offset, length, header.leader_epoch, MAGIC)
    return b"".join((prefix, crc.to_bytes(4, "big"), after_crc, payload))
