"""Owns: the layouts of log files as ``construct`` descriptions, for eyes instead of for speed.

Must never know: how the broker reads and writes them; it shares no code with that, so each can prove the other wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import construct as c

BATCH_HEADER = c.Struct(
    "base_offset" / c.Int64sb,
    "batch_length" / c.Int32sb,
    "leader_epoch" / c.Int32sb,
    "magic" / c.Int8sb,
    "crc" / c.Hex(c.Int32ub),
    "attributes" / c.Hex(c.Int16ub),
    "last_offset_delta" / c.Int32sb,
    "base_timestamp" / c.Int64sb,
    "max_timestamp" / c.Int64sb,
    "producer_id" / c.Int64sb,
    "producer_epoch" / c.Int16sb,
    "base_sequence" / c.Int32sb,
    "record_count" / c.Int32sb,
)
OFFSET_ENTRY = c.Struct("relative_offset" / c.Int32sb, "position" / c.Int32sb)
TIME_ENTRY = c.Struct("timestamp" / c.Int64sb, "relative_offset" / c.Int32sb)
TRANSACTION_ENTRY = c.Struct(
    "version" / c.Int16sb,
    "producer_id" / c.Int64sb,
    "first_offset" / c.Int64sb,
    "last_offset" / c.Int64sb,
    "last_stable_offset" / c.Int64sb,
)
SNAPSHOT_HEAD = c.Struct("version" / c.Int16sb, "crc" / c.Hex(c.Int32ub), "count" / c.Int32sb)
SNAPSHOT_ENTRY = c.Struct(
    "producer_id" / c.Int64sb,
    "producer_epoch" / c.Int16sb,
    "last_sequence" / c.Int32sb,
    "last_offset" / c.Int64sb,
    "offset_delta" / c.Int32sb,
    "timestamp" / c.Int64sb,
    "coordinator_epoch" / c.Int32sb,
    "transaction_first_offset" / c.Int64sb,
)


class Field(NamedTuple):
    """One field of a layout in some bytes."""

    position: int
    data: bytes
    name: str
    value: object


def dissect(layout: Any, data: bytes, position: int = 0) -> Iterator[Field]:
    """The fields of ``layout`` at the start of ``data``, which lies at ``position`` of its file."""
    at = 0
    for part in layout.subcons:
        size = part.sizeof()
        piece = data[at : at + size]
        yield Field(position + at, piece, part.name, part.parse(piece))
        at += size


def annotated(fields: Iterator[Field]) -> Iterator[str]:
    """Lines of position, bytes, name and value."""
    for field in fields:
        yield f"  {field.position:08x}  {field.data.hex(' '):<24} {field.name} = {field.value}"
