"""Owns: what is done with a partition's folder when it is opened - after a clean stop little, after a crash everything.

Must never know: the event loop, requests, other partitions.

After a clean stop the indexes are taken as they are, and only what follows their last entry is read. Otherwise every
batch from the recovery point on is read and its CRC checked; at the first byte that is no sound batch the log is cut,
what follows it is dropped, and the indexes are built anew. What was synced lies before the recovery point or is
sound, so nothing that was promised is cut.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from kafka_server.domain.partition import Partition
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
from kafka_server.infrastructure.storage.log.checkpoints import BrokenFile, decode_snapshot, read_epochs
from kafka_server.infrastructure.storage.log.disk import EMPTY, Disk
from kafka_server.infrastructure.storage.log.segment import Segment

log = logging.getLogger("kafka_server.log")

_CHUNK = 4 * 1024 * 1024

Progress = Callable[[int], None]
"""Told of every stretch of bytes that was checked."""


def open_segments(
    disk: Disk, folder: str, index_interval_bytes: int, *, recovery_point: int | None, progress: Progress
) -> list[Segment]:
    """The segments of a partition folder, ready to be read and appended to; one empty segment for a new folder.

    ``recovery_point`` is None after a clean stop, else the offset below which everything was synced.
    """
    _finish_interrupted_work(disk, folder)
    offsets = sorted(
        offset
        for name in disk.names(folder)
        if name.endswith(names.LOG) and (offset := names.offset_of(name)) is not None
    )
    segments: list[Segment] = []
    for position, base_offset in enumerate(offsets):
        segment = Segment(disk, folder, base_offset, index_interval_bytes)
        next_base = offsets[position + 1] if position + 1 < len(offsets) else None
        # A segment that ends at or below the recovery point was synced, with its indexes, when it was rolled.
        trusted = recovery_point is None or (next_base is not None and next_base <= recovery_point)
        whole = True
        if not (trusted and segment.adopt_indexes()):
            segment, whole = rebuild(disk, folder, base_offset, index_interval_bytes, progress)
        segments.append(segment)
        if not whole and next_base is not None:
            _drop_after(disk, folder, base_offset, offsets[position + 1 :])
            break
    if not segments:
        segments.append(Segment(disk, folder, 0, index_interval_bytes))
    for segment in segments[:-1]:
        segment.rest()
    return segments


def _finish_interrupted_work(disk: Disk, folder: str) -> None:
    """Completes or undoes what was under way: deletions are finished, unfinished compactions forgotten, a finished
    compaction (``.swap``) put in place."""
    found = disk.names(folder)
    for name in found:
        if name.endswith((names.DELETED, names.CLEANED, ".tmp")):
            disk.remove(os.path.join(folder, name))
    for name in found:
        if name.endswith(names.SWAP):
            disk.rename(os.path.join(folder, name), os.path.join(folder, name.removesuffix(names.SWAP)))
    if any(name.endswith((names.DELETED, names.CLEANED, names.SWAP, ".tmp")) for name in found):
        disk.sync_folder(folder)


def _drop_after(disk: Disk, folder: str, base_offset: int, later: list[int]) -> None:
    log.warning(
        "%s: segment %d ends with bytes that are no sound batch; the %d segments after it are dropped",
        folder,
        base_offset,
        len(later),
    )
    for offset in later:
        for suffix in names.SEGMENT_FILES:
            disk.remove(os.path.join(folder, names.file_name(offset, suffix)))
    disk.sync_folder(folder)


def rebuild(
    disk: Disk, folder: str, base_offset: int, index_interval_bytes: int, progress: Progress
) -> tuple[Segment, bool]:
    """Reads a segment from its first byte, cuts it at the first that is no sound batch, and builds its indexes.

    Returns the segment and whether all of it was sound.
    """
    segment = Segment(disk, folder, base_offset, index_interval_bytes)
    size = segment.size
    segment.size = 0
    position, chunk, chunk_start = 0, EMPTY, 0
    reason = ""
    while position < size:
        at = position - chunk_start
        if at + HEADER_SIZE > len(chunk):
            chunk, chunk_start, at = segment.file.read(position, _CHUNK), position, 0
            progress(len(chunk))
        if len(chunk) < HEADER_SIZE:
            reason = f"{len(chunk)} bytes are too few for a batch"
            break
        header = parse_header(chunk, at)
        reason = _flaw(header, segment.last_offset)
        if not reason and at + header.size > len(chunk):
            if position + header.size > size:
                reason = f"a batch of {header.size} bytes begins, {size - position} are there"
            else:
                chunk, chunk_start, at = segment.file.read(position, max(header.size, _CHUNK)), position, 0
                progress(len(chunk))
        if not reason and crc32c(chunk[at + CRC_START : at + header.size]) != header.crc:
            reason = "a batch fails its CRC check"
        if reason:
            break
        if segment.first_append_ms < 0:
            segment.first_append_ms = header.max_timestamp
        segment.note(position, header.size, header.last_offset, header.max_timestamp)
        position += header.size
    if position < size:
        log.warning("%s: cut from %d to %d bytes: %s", segment.path(names.LOG), size, position, reason)
        segment.truncate(position)
        segment.file.sync()
        # Indexes on disk may point behind the cut.
        for suffix in (names.OFFSET_INDEX, names.TIME_INDEX):
            disk.remove(segment.path(suffix))
        disk.sync_folder(folder)
    return segment, position == size


def _flaw(header: BatchHeader, last_offset: int) -> str:
    """Why these 61 bytes do not begin the next batch; empty when they may."""
    if header.magic != MAGIC:
        return f"a batch claims magic {header.magic}"
    if header.batch_length < HEADER_SIZE - LENGTH_OVERHEAD:
        return f"a batch claims a length of {header.batch_length} bytes"
    if header.base_offset <= last_offset or header.last_offset_delta < 0:
        return f"a batch claims the offsets {header.base_offset} to {header.last_offset} after {last_offset}"
    return ""


# ---- what a partition remembers --------------------------------------------------------------------------------------


def restore_partition(disk: Disk, folder: str, partition: Partition, segments: list[Segment], log_start: int) -> None:
    """Brings offsets, leader epochs and producers to what they were, from checkpoint, snapshot and log."""
    end_offset = segments[-1].last_offset + 1
    log_start = min(max(log_start, segments[0].base_offset), max(end_offset, segments[0].base_offset))
    end_offset = max(end_offset, log_start)
    try:
        epochs = [
            e for e in read_epochs(disk, os.path.join(folder, names.LEADER_EPOCHS)) if e.start_offset < end_offset
        ]
        epochs_known = bool(epochs) or end_offset == log_start
    except BrokenFile as broken:
        log.warning("%s; it is rebuilt from the log", broken)
        epochs, epochs_known = [], False
    partition.restore(log_start, epochs)
    producers_known = _load_snapshot(disk, folder, partition, log_start, end_offset)
    replay_from = producers_known if epochs_known else segments[0].base_offset
    for segment in segments:
        if segment.last_offset < replay_from:
            continue
        for _, header in segment.headers(0, segment.file.read):
            if header.last_offset >= replay_from:
                _replay(partition, header, producers=header.base_offset >= producers_known)
    partition.log_end_offset = partition.high_watermark = end_offset
    partition.first_unstable_offset = partition.producers.first_open_transaction()


def _replay(partition: Partition, header: BatchHeader, *, producers: bool) -> None:
    if producers:
        partition.replay(header)
    else:
        # The snapshot holds this batch's producer; only its leader epoch is news.
        partition.replay(header._replace(producer_id=-1))


def _load_snapshot(disk: Disk, folder: str, partition: Partition, log_start: int, end_offset: int) -> int:
    """Loads the newest usable producer snapshot; returns the offset from which producers are to be replayed."""
    offsets = sorted(
        (
            offset
            for name in disk.names(folder)
            if name.endswith(names.SNAPSHOT) and (offset := names.offset_of(name)) is not None
        ),
        reverse=True,
    )
    for offset in offsets:
        path = os.path.join(folder, names.file_name(offset, names.SNAPSHOT))
        if offset > end_offset:
            # Taken of a log that was longer than what survived.
            disk.remove(path)
            continue
        try:
            partition.producers.load(decode_snapshot(path, disk.read_file(path) or b""))
        except BrokenFile as broken:
            log.warning("%s; an older snapshot or the log itself is used", broken)
            disk.remove(path)
            continue
        return offset
    return log_start
