"""Owns: looking at a data folder without changing it: what is in it, and how much. Must never know: terminals.

What is wrong with it is found by ``verification``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

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
    read_meta_properties,
)
from kafka_server.infrastructure.storage.log.disk import OsDisk


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
    flaw: str
    """Why nobody knows whose folder it is; empty when somebody does."""
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


# ---- figures ---------------------------------------------------------------------------------------------------------


def facts_of(folder: str) -> FolderFacts:
    """What a data folder holds."""
    disk = OsDisk()
    lock = os.path.join(folder, names.LOCK)
    identity, flaw = dict[str, str](), ""
    try:
        identity = read_meta_properties(disk, os.path.join(folder, names.META_PROPERTIES))
    except BrokenFile as broken:
        flaw = str(broken)
    facts = FolderFacts(
        folder,
        identity,
        flaw,
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
                sum(_size_of(os.path.join(path, n)) for n in logs),
                allocated_bytes(path),
            )
        )
    return facts


def _size_of(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0  # It was removed while we looked.


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
