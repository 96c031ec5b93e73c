"""Owns: looking at a data folder without changing it: what is in it, what is wrong with it.

Must never know: how anything is repaired, terminals.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kafka_server.domain.record_batch import (
    CRC_START,
    HEADER_SIZE,
    LENGTH_OVERHEAD,
    MAGIC,
    BatchHeader,
    crc32c,
    parse_header,
)
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
from kafka_server.infrastructure.storage.log.transaction_index import decode_transaction_index

METADATA_FILE = "metadata.sqlite"


class Finding(NamedTuple):
    """Something that is not as it should be."""

    path: str
    what: str


@dataclass(slots=True)
class PartitionFacts:
    """One partition folder."""

    name: str
    segments: int = 0
    start_offset: int = -1
    log_bytes: int = 0
    disk_bytes: int = 0
    """What the folder takes on the device with everything in it: the figure that ``du`` shows."""


@dataclass(slots=True)
class FolderFacts:
    """One data folder."""

    path: str
    identity: dict[str, str]
    is_clean: bool
    holder: str
    """Pid of the process that has it open; empty when none has."""
    partitions: list[PartitionFacts] = field(default_factory=list)
    disk_bytes: int = 0


# ---- batches ---------------------------------------------------------------------------------------------------------


def batches(path: str) -> Iterator[tuple[int, BatchHeader, bytes]]:
    """Position, header and bytes of each batch. Raises BrokenFile at the first byte that is no sound batch."""
    with open(path, "rb") as file:
        position, last_offset = 0, -1
        while head := file.read(HEADER_SIZE):
            if len(head) < HEADER_SIZE:
                raise BrokenFile(path, f"{len(head)} bytes at {position} are too few for a batch")
            header = parse_header(head)
            if header.magic != MAGIC or header.batch_length < HEADER_SIZE - LENGTH_OVERHEAD:
                raise BrokenFile(path, f"no batch begins at {position}")
            body = file.read(header.size - HEADER_SIZE)
            if len(body) < header.size - HEADER_SIZE:
                raise BrokenFile(path, f"the batch at {position} ends within its records")
            if crc32c(memoryview(head + body)[CRC_START:]) != header.crc:
                raise BrokenFile(path, f"the batch at {position} (offset {header.base_offset}) fails its CRC check")
            if header.base_offset <= last_offset:
                raise BrokenFile(path, f"the batch at {position} has offset {header.base_offset} after {last_offset}")
            yield position, header, head + body
            last_offset = header.last_offset
            position += header.size


# ---- verify ----------------------------------------------------------------------------------------------------------


def verify(folder: str) -> Iterator[Finding]:
    """Everything that is wrong in a data folder. Changes nothing."""
    disk = OsDisk()
    try:
        if not read_meta_properties(disk, os.path.join(folder, names.META_PROPERTIES)):
            yield Finding(folder, "has no meta.properties: it is no data folder")
    except BrokenFile as broken:
        yield Finding(*broken.args[0].split(": ", 1))
    for name in (names.RECOVERY_POINTS, names.LOG_STARTS, names.HIGH_WATERMARKS, names.CLEANER_OFFSETS):
        try:
            read_offsets(disk, os.path.join(folder, name))
        except BrokenFile as broken:
            yield Finding(*broken.args[0].split(": ", 1))
    yield from _verify_metadata(os.path.join(folder, METADATA_FILE))
    for name in disk.names(folder):
        if names.parse_partition_folder(name) is not None and os.path.isdir(os.path.join(folder, name)):
            yield from verify_partition(os.path.join(folder, name))


def verify_partition(folder: str) -> Iterator[Finding]:
    """Everything that is wrong in a partition folder."""
    disk = OsDisk()
    try:
        read_partition_metadata(disk, os.path.join(folder, names.PARTITION_METADATA))
        read_epochs(disk, os.path.join(folder, names.LEADER_EPOCHS))
    except BrokenFile as broken:
        yield Finding(*broken.args[0].split(": ", 1))
    bases = [o for n in disk.names(folder) if n.endswith(names.LOG) and (o := names.offset_of(n)) is not None]
    for slot, base in enumerate(bases):
        yield from _verify_segment(folder, base, bases[slot + 1] if slot + 1 < len(bases) else None)
    for name in disk.names(folder):
        if name.endswith(names.SNAPSHOT):
            path = os.path.join(folder, name)
            try:
                decode_snapshot(path, disk.read_file(path) or b"")
            except BrokenFile as broken:
                yield Finding(*broken.args[0].split(": ", 1))


def _verify_segment(folder: str, base: int, next_base: int | None) -> Iterator[Finding]:
    def path(suffix: str) -> str:
        return os.path.join(folder, names.file_name(base, suffix))

    last_offsets: dict[int, int] = {}
    newest = -1
    size, last_offset = 0, base - 1
    try:
        for position, header, _ in batches(path(names.LOG)):
            if position == 0 and header.base_offset < base:
                yield Finding(path(names.LOG), f"begins with offset {header.base_offset}")
            last_offsets[position] = last_offset = header.last_offset
            newest = max(newest, header.max_timestamp)
            size = position + header.size
    except BrokenFile as broken:
        yield Finding(*broken.args[0].split(": ", 1))
        return
    if next_base is not None and last_offset >= next_base:
        yield Finding(path(names.LOG), f"ends with offset {last_offset}, and the next segment begins with {next_base}")
    disk = OsDisk()
    content = disk.read_file(path(names.OFFSET_INDEX))
    if content is not None:
        index = OffsetIndex.decode(base, content, max(size, 1))
        if index is None:
            yield Finding(path(names.OFFSET_INDEX), "is no offset index of this log")
        else:
            for offset, position in index.entries():
                if last_offsets.get(position, -1) > offset or position not in last_offsets:
                    yield Finding(
                        path(names.OFFSET_INDEX), f"says that offset {offset} lies at {position}; it does not"
                    )
                    break
    content = disk.read_file(path(names.TIME_INDEX))
    if content is not None:
        times = TimeIndex.decode(base, content)
        if times is None or times.last[0] > newest or (len(times) and times.last[1] > last_offset):
            yield Finding(path(names.TIME_INDEX), "is no time index of this log")
    try:
        content = disk.read_file(path(names.TRANSACTION_INDEX))
        decode_transaction_index(path(names.TRANSACTION_INDEX), content or b"", base)
    except BrokenFile as broken:
        yield Finding(*broken.args[0].split(": ", 1))


def _verify_metadata(path: str) -> Iterator[Finding]:
    if not os.path.exists(path):
        return
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            for (row,) in connection.execute("PRAGMA quick_check"):
                if row != "ok":
                    yield Finding(path, str(row))
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        yield Finding(path, str(error))


# ---- figures ---------------------------------------------------------------------------------------------------------


def facts_of(folder: str) -> FolderFacts:
    """What a data folder holds. Raises BrokenFile."""
    disk = OsDisk()
    lock = os.path.join(folder, names.LOCK)
    facts = FolderFacts(
        folder,
        read_meta_properties(disk, os.path.join(folder, names.META_PROPERTIES)),
        os.path.exists(os.path.join(folder, names.CLEAN_SHUTDOWN)),
        _holder(lock),
        disk_bytes=allocated_bytes(folder),
    )
    for name in disk.names(folder):
        path = os.path.join(folder, name)
        if names.parse_partition_folder(name) is None or not os.path.isdir(path):
            continue
        logs = [n for n in disk.names(path) if n.endswith(names.LOG)]
        facts.partitions.append(
            PartitionFacts(
                name,
                len(logs),
                names.offset_of(logs[0]) or 0 if logs else -1,
                sum(os.path.getsize(os.path.join(path, n)) for n in logs),
                allocated_bytes(path),
            )
        )
    return facts


def allocated_bytes(folder: str) -> int:
    """What ``du`` counts: the blocks of every file and folder below, and of the folder itself."""
    total = os.lstat(folder).st_blocks * 512
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    total += allocated_bytes(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
            except FileNotFoundError:
                continue  # It was removed while we looked.
    return total


def _holder(lock: str) -> str:
    import fcntl

    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
    else:
        return ""
    finally:
        os.close(descriptor)
