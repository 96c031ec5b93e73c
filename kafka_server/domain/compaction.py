"""Owns: what log compaction keeps of a batch. Must never know: files, segments, when compaction runs.

A compacted topic keeps, of all records with one key, at least the newest. Offsets never change: what is left keeps its
own, so a batch keeps its first and last offset even when records between them are gone.

A record without a value says that its key was deleted (a tombstone). It stays for ``delete.retention.ms`` after the
first pass that met it, so that readers that were behind hear of it; that moment is written into the batch: attribute
bit 6 is set and the base timestamp holds the *delete horizon*. The marker that ends a transaction goes the same way,
once no record of its transaction is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from kafka_server.domain.errors import InvalidRecord
from kafka_server.domain.record_batch import (
    CODEC_MASK,
    DELETE_HORIZON,
    BatchHeader,
    Buffer,
    rewrite,
)
from kafka_server.domain.records import Compress, Decompress, payload_of, read_varint, write_varint


class KeyedRecord(NamedTuple):
    """One record, as far as compaction looks into it. Positions count within the decompressed records block."""

    key: bytes | None
    offset: int
    has_value: bool
    timestamp_delta: int
    start: int
    after_timestamp: int
    """Where the offset delta begins: from here on the record is copied as it is."""
    end: int


class Pass(NamedTuple):
    """What one pass over a partition knows."""

    is_newest: Callable[[bytes, int], bool]
    """``is_newest(key, offset)``: no later record has that key."""
    now_ms: int
    delete_retention_ms: int
    decompress: Decompress
    compress: Compress


def iterate_keyed(header: BatchHeader, payload: Buffer) -> Iterator[KeyedRecord]:
    """The records of a decompressed block. Raises InvalidRecord when one is broken."""
    position = 0
    try:
        for _ in range(header.record_count):
            start = position
            length, position = read_varint(payload, position)
            end = position + length
            timestamp_delta, position = read_varint(payload, position + 1)
            after_timestamp = position
            offset_delta, position = read_varint(payload, position)
            size, position = read_varint(payload, position)
            key = None if size < 0 else bytes(payload[position : position + size])
            value_size, _ = read_varint(payload, position + max(size, 0))
            if end > len(payload):
                raise IndexError
            yield KeyedRecord(
                key, header.base_offset + offset_delta, value_size >= 0, timestamp_delta, start, after_timestamp, end
            )
            position = end
    except IndexError:
        raise InvalidRecord("A record of the batch is broken") from None


def compact_batch(header: BatchHeader, batch: Buffer, run: Pass) -> tuple[Buffer | None, int]:
    """What is left of a batch of messages, and how many records that is; None when nothing is.

    The batch comes back as it is when all of it stays.
    """
    payload = payload_of(batch, header, run.decompress)
    horizon = delete_horizon(header)
    is_over = horizon is not None and run.now_ms >= horizon
    kept = [
        record
        for record in iterate_keyed(header, payload)
        if record.key is not None and run.is_newest(record.key, record.offset) and (record.has_value or not is_over)
    ]
    if not kept:
        return None, 0
    sets_horizon = horizon is None and not all(record.has_value for record in kept)
    if len(kept) == header.record_count and not sets_horizon:
        return batch, len(kept)
    base_timestamp = run.now_ms + run.delete_retention_ms if sets_horizon else header.base_timestamp
    shift = header.base_timestamp - base_timestamp
    block = bytearray()
    for record in kept:
        if shift:
            _append_shifted(block, payload, record, shift)
        else:
            block += payload[record.start : record.end]
    newest = header.base_timestamp + max(record.timestamp_delta for record in kept)
    codec = header.codec
    stored = rewrite(
        header._replace(record_count=len(kept)),
        run.compress(codec, block) if codec else block,
        attributes=header.attributes | (DELETE_HORIZON if sets_horizon else 0),
        base_timestamp=base_timestamp,
        max_timestamp=header.max_timestamp if header.is_log_append_time else newest,
    )
    return stored, len(kept)


def compact_marker(header: BatchHeader, batch: Buffer, run: Pass) -> Buffer | None:
    """A marker whose transaction has no records left: it gets a delete horizon, and goes when that has passed."""
    horizon = delete_horizon(header)
    if horizon is not None:
        return None if run.now_ms >= horizon else batch
    base_timestamp = run.now_ms + run.delete_retention_ms
    payload = payload_of(batch, header, run.decompress)
    block = bytearray()
    for record in iterate_keyed(header, payload):
        _append_shifted(block, payload, record, header.base_timestamp - base_timestamp)
    return rewrite(
        header,
        block,
        attributes=header.attributes | DELETE_HORIZON,
        base_timestamp=base_timestamp,
        max_timestamp=header.max_timestamp,
    )


def empty_batch(header: BatchHeader) -> bytes:
    """A batch without records in place of one: it keeps a producer's last sequence, or the last offset of a segment."""
    return rewrite(
        header._replace(record_count=0),
        b"",
        attributes=header.attributes & ~CODEC_MASK,
        base_timestamp=header.base_timestamp,
        max_timestamp=header.max_timestamp,
    )


def delete_horizon(header: BatchHeader) -> int | None:
    """When tombstones and markers in this batch may go; None when no pass has said so yet."""
    return header.base_timestamp if header.attributes & DELETE_HORIZON else None


def _append_shifted(block: bytearray, payload: Buffer, record: KeyedRecord, shift: int) -> None:
    """The record with its time counted from another base."""
    body = bytearray(b"\0")
    write_varint(body, record.timestamp_delta + shift)
    body += payload[record.after_timestamp : record.end]
    write_varint(block, len(body))
    block += body
