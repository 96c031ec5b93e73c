"""Owns: what is done with a partition's folder when it is opened - after a clean stop little, after a crash everything.

Must never know: the event loop, requests, other partitions.

After a clean stop the indexes are taken as they are, and only what follows their last entry is read. Otherwise every
batch from the recovery point on is read and its CRC checked; at the first byte that is no sound batch the log is cut,
what follows it is dropped, and the indexes are built anew. What was synced lies before the recovery point or is
sound, so nothing that was promised is cut.

Recovery may be interrupted, too. So later segments go before an earlier one is cut: the other way round, a crash in
between would leave a hole that looks sound.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from kafka_server.domain.record_batch import (
    CRC_START,
    HEADER_SIZE,
    LENGTH_OVERHEAD,
    MAGIC,
    BatchHeader,
    crc32c,
    parse_header,
)
from kafka_server.infrastructure.storage import StorageRefused
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.disk import EMPTY, Disk
from kafka_server.infrastructure.storage.log.segment import Segment, newest_time
from kafka_server.infrastructure.storage.log.transaction_index import cut_transaction_index

log = logging.getLogger("kafka_server.log")

_CHUNK = 4 * 1024 * 1024

Progress = Callable[[int], None]
"""Told of every stretch of bytes that was checked."""


@dataclass(slots=True, frozen=True)
class Remembered:
    """What is known of a log before its files are opened."""

    recovery_point: int | None
    """None after a clean stop, else the offset below which everything was synced."""
    log_start: int
    is_gap_a_flaw: bool
    """True when no offset can be missing from what was not synced: no compaction took any away."""


def open_segments(
    disk: Disk, folder: str, index_interval_bytes: int, known: Remembered, progress: Progress
) -> list[Segment]:
    """The segments of a partition folder, ready to be read and appended to; one empty segment for a new folder."""
    offsets = _finish_interrupted_work(disk, folder)
    segments: list[Segment] = []
    for slot, base_offset in enumerate(offsets):
        segment = Segment(disk, folder, base_offset, index_interval_bytes)
        next_base = offsets[slot + 1] if slot + 1 < len(offsets) else None
        # A segment that ends at or below the recovery point was synced, with its indexes, when it was rolled.
        point = known.recovery_point
        trusted = point is None or (next_base is not None and next_base <= point)
        if trusted and segment.adopt_indexes():
            segments.append(segment)
            continue
        gapless = known.is_gap_a_flaw and not trusted
        segment, sound_size, reason = rebuild(disk, folder, base_offset, index_interval_bytes, gapless, progress)
        segments.append(segment)
        if not reason and next_base is not None and gapless:
            reason = _gap(segment, next_base)
        if reason:
            _cut(disk, segment, sound_size, reason, offsets[slot + 1 :])
        # What was read may be in the page cache only: another crash must not take back what readers see from now on.
        segment.file.sync()
        if reason:
            break
    if not segments:
        segments.append(Segment(disk, folder, known.log_start, index_interval_bytes))
    for segment in segments[:-1]:
        segment.rest()
    if known.is_gap_a_flaw:
        _tell_of_holes(segments, known.log_start)
    return segments


def _tell_of_holes(segments: list[Segment], log_start: int) -> None:
    """Somebody took files away: that cannot be mended, but should not go unsaid."""
    for before, after in pairwise(segments):
        if before.last_offset + 1 < after.base_offset > log_start:
            first, last = before.last_offset + 1, after.base_offset - 1
            log.error("%s: the offsets %d to %d are missing, and compaction was never here", after.folder, first, last)


def _finish_interrupted_work(disk: Disk, folder: str) -> list[int]:
    """Completes or undoes what was under way, and says which segments there are.

    Deletions are finished; unfinished compactions (``.cleaned``) are forgotten; a compaction whose result was complete
    (``.swap``) takes the place of the segments that it was made of.
    """
    found = disk.names(folder)
    cleaned = [
        offset for name in found if name.endswith(names.CLEANED) and (offset := names.offset_of(name)) is not None
    ]
    swaps = sorted(
        {o for name in found if name.endswith(names.LOG + names.SWAP) and (o := names.offset_of(name)) is not None}
    )
    for name in found:
        if name.endswith((names.DELETED, names.CLEANED, names.TEMPORARY)):
            disk.remove(os.path.join(folder, name))
    for offset in swaps:
        if cleaned and offset >= min(cleaned):
            # One result of several was not renamed yet, so the segments that they were made of are all there.
            for suffix in names.SEGMENT_FILES:
                disk.remove(os.path.join(folder, names.file_name(offset, suffix + names.SWAP)))
        else:
            _put_in_place(disk, folder, offset)
    offsets = sorted(
        o for name in disk.names(folder) if name.endswith(names.LOG) and (o := names.offset_of(name)) is not None
    )
    present = set(offsets)
    for name in disk.names(folder):
        # An index without its log is left of a deletion, or of a roll that did not get far.
        offset = names.offset_of(name)
        if offset is not None and offset not in present and name.endswith(names.INDEXES):
            disk.remove(os.path.join(folder, name))
    if found != disk.names(folder):
        disk.sync_folder(folder)
    return offsets


def _put_in_place(disk: Disk, folder: str, offset: int) -> None:
    """Finishes a compaction: its result replaces the segments whose offsets it covers."""
    swapped = os.path.join(folder, names.file_name(offset, names.LOG + names.SWAP))
    end = offset
    content = disk.open(swapped, create=False)
    position = 0
    while position + HEADER_SIZE <= content.size():
        header = parse_header(content.read(position, HEADER_SIZE))
        end = header.last_offset + 1
        position += header.size
    for name in disk.names(folder):
        base = names.offset_of(name)
        if name.endswith(names.LOG) and base is not None and offset <= base < end:
            remove_segment(disk, folder, base)
    disk.sync_folder(folder)
    for suffix in names.SEGMENT_FILES[::-1]:  # the log last: while it is a .swap, all of this is done again
        path = os.path.join(folder, names.file_name(offset, suffix))
        if os.path.basename(path + names.SWAP) in disk.names(folder):
            disk.rename(path + names.SWAP, path)
    disk.sync_folder(folder)


def remove_segment(disk: Disk, folder: str, offset: int) -> None:
    for suffix in (*names.SEGMENT_FILES, names.SNAPSHOT):
        disk.remove(os.path.join(folder, names.file_name(offset, suffix)))


def _gap(segment: Segment, next_base: int) -> str:
    if segment.last_offset + 1 == next_base:
        return ""
    return f"it ends with offset {segment.last_offset}, and the next segment begins with {next_base}"


def _cut(disk: Disk, segment: Segment, size: int, reason: str, later: list[int]) -> None:
    path = segment.path(names.LOG)
    log.warning(
        "%s: cut from %d to %d bytes%s: %s",
        path,
        segment.file.size(),
        size,
        f"; the {len(later)} segments after it are dropped" if later else "",
        reason,
    )
    for offset in reversed(later):
        remove_segment(disk, segment.folder, offset)
    # Indexes on disk may point behind the cut. Of the transaction index the rest is still needed: a clean stop left a
    # snapshot in the middle of the segment, which leaves the transactions below it to that index.
    cut_transaction_index(disk, segment.folder, segment.base_offset, segment.last_offset)
    for suffix in (names.OFFSET_INDEX, names.TIME_INDEX):
        disk.remove(segment.path(suffix))
    disk.sync_folder(segment.folder)
    segment.truncate(size)


def rebuild(
    disk: Disk, folder: str, base_offset: int, index_interval_bytes: int, gapless: bool, progress: Progress
) -> tuple[Segment, int, str]:
    """Reads a segment from its first byte to the first that is no sound batch, and builds its indexes.

    ``gapless``: an offset that no batch holds is a flaw, too. It is how a wrong base offset shows, which no CRC covers.

    Returns the segment, how many bytes of it are sound, and what is wrong behind them (empty: nothing). Changes no
    file. Raises StorageRefused when it finds records of an old message format, which would be lost.
    """
    segment = Segment(disk, folder, base_offset, index_interval_bytes)
    size = segment.size
    segment.size = 0
    position, chunk, chunk_start = 0, EMPTY, 0
    while position < size:
        at = position - chunk_start
        if at + HEADER_SIZE > len(chunk):
            chunk, chunk_start, at = segment.file.read(position, _CHUNK), position, 0
            progress(len(chunk))
        if len(chunk) < HEADER_SIZE:
            _refuse_old_format(segment, chunk)
            return segment, position, f"{len(chunk)} bytes are too few for a batch"
        header = parse_header(chunk, at)
        reason = _flaw(header, segment.last_offset, gapless)
        if not reason and at + header.size > len(chunk):
            if position + header.size > size:
                reason = f"a batch of {header.size} bytes begins, {size - position} are there"
            else:
                chunk, chunk_start, at = segment.file.read(position, max(header.size, _CHUNK)), position, 0
                progress(len(chunk))
        if not reason and crc32c(chunk[at + CRC_START : at + header.size]) != header.crc:
            reason = "a batch fails its CRC check"
        if reason:
            _refuse_old_format(segment, segment.file.read(position, header.size if header.magic < MAGIC else 0))
            return segment, position, reason
        if segment.first_append_ms < 0:
            segment.first_append_ms = header.max_timestamp
        segment.note(position, header.size, header.last_offset, newest_time(header))
        position += header.size
    return segment, position, ""


def _flaw(header: BatchHeader, last_offset: int, gapless: bool) -> str:
    """Why these 61 bytes do not begin the next batch; empty when they may."""
    if header.magic != MAGIC:
        return f"a batch claims magic {header.magic}"
    if header.batch_length < HEADER_SIZE - LENGTH_OVERHEAD:
        return f"a batch claims a length of {header.batch_length} bytes"
    is_gap = gapless and header.base_offset != last_offset + 1
    if is_gap or header.base_offset <= last_offset or header.last_offset_delta < 0:
        return f"a batch claims the offsets {header.base_offset} to {header.last_offset} after {last_offset}"
    return ""


_OLD_CRC_START = 16


def _refuse_old_format(segment: Segment, data: memoryview) -> None:
    """A message of format v0 or v1 is no torn batch: offset int64, size int32, CRC-32 of what follows, magic."""
    if len(data) <= _OLD_CRC_START or data[_OLD_CRC_START] >= MAGIC:
        return
    end = LENGTH_OVERHEAD + int.from_bytes(data[8:12], "big")
    crc = int.from_bytes(data[12:16], "big")
    if _OLD_CRC_START < end <= len(data) and zlib.crc32(data[_OLD_CRC_START:end]) == crc:
        raise StorageRefused(
            f"{segment.path(names.LOG)} holds messages of format v{data[_OLD_CRC_START]}, which this broker does not "
            "store; let Apache Kafka 3.x compact or rewrite the topic first"
        )
