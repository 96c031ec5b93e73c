"""Owns: what is wrong in a data folder, found without changing it. Must never know: how anything is repaired.

Everything is held against the log files, which are the only truth. What a folder that was not stopped cleanly may
lack - indexes and snapshots of what was not synced yet - is no finding there: a start makes it.
"""

from __future__ import annotations

import os
import sqlite3
from bisect import bisect_left
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import (
    BrokenFile,
    decode_snapshot,
    read_epochs,
    read_meta_properties,
    read_offsets,
    read_partition_metadata,
)
from kafka_server.infrastructure.storage.log.disk import OsDisk
from kafka_server.infrastructure.storage.log.index import OffsetIndex, TimeIndex
from kafka_server.infrastructure.storage.log.inspection import batches
from kafka_server.infrastructure.storage.log.segment import newest_time
from kafka_server.infrastructure.storage.log.transaction_index import decode_transaction_index

METADATA_FILE = "metadata.sqlite"
_TABLES = {"topics", "topic_configs", "removed_topics", "configs", "groups", "offsets", "producer_ids"}
"""Those that every release had."""


class Finding(NamedTuple):
    """Something that is not as it should be."""

    path: str
    what: str


@dataclass(slots=True, frozen=True)
class Known:
    """What the folder says of a partition."""

    is_clean: bool = True
    recovery_point: int = 0
    cleaner_offset: int | None = None
    """How far compaction came; None when it never was there."""
    log_start: int = 0


@dataclass(slots=True)
class _Contents:
    """What lies in a log file, batch by batch."""

    positions: list[int] = field(default_factory=list)
    first_offsets: list[int] = field(default_factory=list)
    last_offsets: list[int] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    newest: list[int] = field(default_factory=list)
    """The time of the newest record up to and with each batch."""
    size: int = 0


def verify(folder: str) -> Iterator[Finding]:
    """Everything that is wrong in a data folder. Changes nothing."""
    disk = OsDisk()
    try:
        if not read_meta_properties(disk, os.path.join(folder, names.META_PROPERTIES)):
            yield Finding(folder, "has no meta.properties: it is no data folder")
    except BrokenFile as broken:
        yield Finding(broken.path, broken.reason)
    offsets: dict[str, dict[tuple[str, int], int]] = {}
    for name in (names.RECOVERY_POINTS, names.LOG_STARTS, names.HIGH_WATERMARKS, names.CLEANER_OFFSETS):
        try:
            offsets[name] = read_offsets(disk, os.path.join(folder, name))
        except BrokenFile as broken:
            offsets[name] = {}
            yield Finding(broken.path, broken.reason)
    yield from _verify_metadata(os.path.join(folder, METADATA_FILE))
    is_clean = os.path.exists(os.path.join(folder, names.CLEAN_SHUTDOWN))
    for name in disk.names(folder):
        key = names.parse_partition_folder(name)
        if key is not None and os.path.isdir(os.path.join(folder, name)):
            known = Known(
                is_clean,
                offsets[names.RECOVERY_POINTS].get(key, 0),
                offsets[names.CLEANER_OFFSETS].get(key),
                offsets[names.LOG_STARTS].get(key, 0),
            )
            yield from verify_partition(os.path.join(folder, name), known)


def verify_partition(folder: str, known: Known | None = None) -> Iterator[Finding]:
    """Everything that is wrong in a partition folder."""
    known = known or Known()
    disk = OsDisk()
    for read, name in ((read_partition_metadata, names.PARTITION_METADATA), (read_epochs, names.LEADER_EPOCHS)):
        try:
            read(disk, os.path.join(folder, name))
        except BrokenFile as broken:
            yield Finding(broken.path, broken.reason)
        except OSError as error:
            yield Finding(os.path.join(folder, name), error.strerror or str(error))
    present = disk.names(folder)
    bases = [o for n in present if n.endswith(names.LOG) and (o := names.offset_of(n)) is not None]
    end = 0
    for slot, base in enumerate(bases):
        if slot and known.cleaner_offset is None and end < base > known.log_start:
            yield Finding(folder, f"the offsets {end} to {base - 1} are missing between two segments")
        next_base = bases[slot + 1] if slot + 1 < len(bases) else None
        end = yield from _verify_segment(folder, base, next_base, known)
    for name in present:
        path = os.path.join(folder, name)
        offset = names.offset_of(name)
        if name.endswith(names.INDEXES) and offset is not None and offset not in bases:
            yield Finding(path, "is an index without its log")
        if name.endswith(names.SNAPSHOT):
            try:
                decode_snapshot(path, disk.read_file(path) or b"")
            except BrokenFile as broken:
                yield Finding(path, broken.reason)
            if known.is_clean and offset is not None and offset > max(end, known.log_start):
                yield Finding(path, f"was taken at offset {offset}, and the log ends before {end}")


def _verify_segment(folder: str, base: int, next_base: int | None, known: Known) -> Generator[Finding, None, int]:
    """Returns the offset behind the last record, or behind the segment when its log cannot be read to the end."""
    path = os.path.join(folder, names.file_name(base, names.LOG))
    log, last_offset = _Contents(), base - 1
    try:
        for position, header, _ in batches(path):
            if position == 0 and header.base_offset < base:
                yield Finding(path, f"begins with offset {header.base_offset}")
            if known.cleaner_offset is None and header.base_offset > max(last_offset + 1, known.log_start):
                yield Finding(path, f"the offsets {last_offset + 1} to {header.base_offset - 1} are missing")
            last_offset = header.last_offset
            log.positions.append(position)
            log.first_offsets.append(header.base_offset)
            log.last_offsets.append(last_offset)
            log.timestamps.append(header.max_timestamp)
            log.newest.append(max(newest_time(header), log.newest[-1] if log.newest else -1))
            log.size = position + header.size
    except BrokenFile as broken:
        yield Finding(broken.path, broken.reason)
        return next_base or last_offset + 1
    except OSError as error:
        yield Finding(path, error.strerror or str(error))
        return next_base or last_offset + 1
    if next_base is not None and last_offset >= next_base:
        yield Finding(path, f"ends with offset {last_offset}, and the next segment begins with {next_base}")
    must_have_indexes = next_base is not None and (known.is_clean or next_base <= known.recovery_point)
    yield from _verify_indexes(folder, base, log, must_have_indexes)
    return last_offset + 1


def _verify_indexes(folder: str, base: int, log: _Contents, must_be_there: bool) -> Iterator[Finding]:
    disk = OsDisk()
    for suffix, check in ((names.OFFSET_INDEX, _flaw_of_offsets), (names.TIME_INDEX, _flaw_of_times)):
        path = os.path.join(folder, names.file_name(base, suffix))
        content = disk.read_file(path)
        if content is None and must_be_there:
            yield Finding(path, "is missing")
        flaw = "" if content is None else check(base, content, log)
        if flaw:
            yield Finding(path, flaw)
    path = os.path.join(folder, names.file_name(base, names.TRANSACTION_INDEX))
    try:
        for entry in decode_transaction_index(path, disk.read_file(path) or b"", base):
            if log.last_offsets and entry.last_offset > log.last_offsets[-1]:
                yield Finding(path, f"names a marker at offset {entry.last_offset}, which is not in this log")
                break
    except BrokenFile as broken:
        yield Finding(path, broken.reason)


def _flaw_of_offsets(base: int, content: bytes, log: _Contents) -> str:
    index = OffsetIndex.decode(base, content, max(log.size, 1))
    if index is None:
        return "is no offset index of this log"
    for offset, position in index.entries():
        slot = bisect_left(log.positions, position)
        # Older brokers made one entry for several batches: the first of them lies there, the last ends with the offset.
        if slot == len(log.positions) or log.positions[slot] != position or log.last_offsets[slot] > offset:
            return f"says that offset {offset} lies at {position}; it does not"
    return ""


def _flaw_of_times(base: int, content: bytes, log: _Contents) -> str:
    index = TimeIndex.decode(base, content)
    if index is None:
        return "is no time index of this log"
    for timestamp, offset in index.entries():
        slot = bisect_left(log.last_offsets, offset)
        is_there = slot < len(log.last_offsets) and log.first_offsets[slot] <= offset
        if not is_there or not log.timestamps[slot] == timestamp >= log.newest[slot]:
            return f"is no time index of this log: {timestamp} is not the newest time up to offset {offset}"
    return ""


def _verify_metadata(path: str) -> Iterator[Finding]:
    if not os.path.exists(path):
        return
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            for (row,) in connection.execute("PRAGMA quick_check"):
                if row != "ok":
                    yield Finding(path, str(row))
            present = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        finally:
            connection.close()
        if not present:
            yield Finding(path, "is empty; a start would take the topics over from the partition folders")
        elif not present >= _TABLES:
            yield Finding(path, f"lacks the tables {', '.join(sorted(_TABLES - present))}")
    except sqlite3.DatabaseError as error:
        yield Finding(path, str(error))
