"""Owns: log compaction of one partition - what is dirty, one pass over it, and putting the result in its place.

Must never know: which partition is next, the event loop.

    segments   | cleaned before ... | dirty ............ | not yet: active, too young, open transactions |
                                    ^ first dirty offset ^ end offset

A pass reads the keys of the dirty part into a map (key -> newest offset), then copies all segments below the end
offset, batch by batch, into new ones (``.cleaned``). When those are complete and synced they are renamed to ``.swap``;
from then on a crash finishes the work instead of forgetting it (see ``recovery``). Then the log reads from them, the
old segments become ``.deleted``, and the new ones get their final names.

A pass runs in a thread and shares the interpreter with the event loop, so it works for at most some milliseconds at a
time and then sleeps as long.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kafka_server.domain.aborted_transactions import AbortedTransaction
from kafka_server.domain.compaction import Pass, compact_batch, compact_marker, empty_batch, iterate_keyed
from kafka_server.domain.record_batch import BatchHeader, Buffer, parse_header
from kafka_server.domain.records import Compress, Decompress, payload_of
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.disk import Disk
from kafka_server.infrastructure.storage.log.segment import RELATIVE_OFFSET_MAX, Segment, newest_time
from kafka_server.infrastructure.storage.log.transaction_index import encode_transaction_index

_KEY_SIZE_MAX = 32
_KEYS_MAX = 2_000_000
"""Keys in one pass, about 250 MB at worst; with more, the pass ends at a batch, also within a segment, and the next one
goes on from there."""
_WORK_S = 0.003
_SLEEP_S_MAX = 0.25
"""How long a pass may sleep before it looks whether it is still wanted, and still as slow."""


class Abandoned(Exception):
    """The log was deleted, or the broker stops."""


@dataclass(slots=True, frozen=True)
class Plan:
    """What a pass works on, taken down on the event loop."""

    segments: Sequence[Segment]
    """Everything below the end offset."""
    first_dirty_offset: int
    end_offset: int
    producers: Mapping[int, tuple[int, int]]
    """Producer id -> epoch, and last offset of its last batch (-1: unknown)."""
    aborted: Sequence[AbortedTransaction]
    segment_bytes: int
    index_bytes: int
    index_interval_bytes: int
    delete_retention_ms: int


@dataclass(slots=True, frozen=True)
class Group:
    """Old segments and the one that takes their place."""

    old: Sequence[Segment]
    new: Segment
    gone: list[AbortedTransaction] = field(default_factory=list)
    """Aborted transactions whose markers are not in the new segment. A reader that was told of one would wait for its
    marker, and leave out what the same producer committed later."""


@dataclass(slots=True)
class Throttle:
    """Keeps a pass from taking the interpreter, or the disk, away from everybody else."""

    bytes_per_second_max: Callable[[], float]
    """Asked each time; below 0 there is no bound, at 0 the pass ends."""
    is_abandoned: Callable[[], bool]
    _since: float = field(default_factory=time.monotonic)

    def spent(self, size: int) -> None:
        """Bytes were read or written. May sleep. Raises Abandoned."""
        worked = time.monotonic() - self._since
        if worked < _WORK_S and self._needed_s(size) <= worked:
            return
        begun = time.monotonic()
        while True:
            if self.is_abandoned():
                raise Abandoned
            left = max(min(worked, 0.05), self._needed_s(size) - worked) - (time.monotonic() - begun)
            if left <= 0:
                break
            time.sleep(min(left, _SLEEP_S_MAX))
        self._since = time.monotonic()

    def _needed_s(self, size: int) -> float:
        rate = self.bytes_per_second_max()
        if rate == 0:
            raise Abandoned
        return max(size / rate, 0.0)


def run_pass(
    disk: Disk, folder: str, plan: Plan, now_ms: int, decompress: Decompress, compress: Compress, throttle: Throttle
) -> tuple[list[Group], int]:
    """Writes the new segments, complete and synced, under ``.swap`` names. Returns them with their sources, and the
    offset up to which the log is clean. Raises OSError, InvalidRecord (the log is broken) or Abandoned."""
    keys, clean_up_to = _newest_offsets(plan, decompress, throttle)

    def is_newest(key: bytes, offset: int) -> bool:
        return keys.get(_short(key), -1) <= offset

    run = Pass(is_newest, now_ms, plan.delete_retention_ms, decompress, compress)
    copier = _Copier(plan, run, clean_up_to, throttle)
    waiting = deque(segment for segment in plan.segments if segment.base_offset < clean_up_to)
    groups: list[Group] = []
    try:
        while waiting:
            new = Segment(disk, folder, waiting[0].base_offset, plan.index_interval_bytes, state=names.CLEANED)
            old: list[Segment] = []
            group = Group(old, new)
            groups.append(group)
            new.truncate(0)
            markers: set[int] = set()
            # What is left of one is known before the next is asked to join: a reader of a log whose segments were
            # overwritten often would otherwise walk through segments that hold nothing but an empty batch, and
            # librdkafka takes a row of such answers for a message that is too large.
            while waiting and (not old or _has_room_for(new, waiting[0], plan)):
                old.append(waiting.popleft())
                markers |= copier.copy(old[-1], new)
            markers |= copier.keep_last_offset(new)
            new.write_indexes()
            entries = [e for e in plan.aborted if old[0].base_offset <= e.last_offset <= old[-1].last_offset]
            group.gone.extend(e for e in entries if e.last_offset not in markers)
            if len(group.gone) < len(entries):
                left = [e for e in entries if e.last_offset in markers]
                disk.replace(new.path(names.TRANSACTION_INDEX), encode_transaction_index(left))
            new.sync()
        disk.sync_folder(folder)
    except BaseException:
        for group in groups:
            discard(disk, group.new)
        raise
    for group in reversed(groups):
        group.new.rename(names.SWAP)
    disk.sync_folder(folder)
    return groups, clean_up_to


def put_in_place(disk: Disk, folder: str, group: Group) -> list[str]:
    """Gives the new segment its final name, after the log reads from it. Returns the paths that are to be removed."""
    present = set(disk.names(folder))
    renamed = []
    for segment in group.old:
        # The first one's snapshot stays: the new segment begins at the same offset.
        paths = segment.files() if segment is not group.old[0] else segment.files()[:-1]
        for path in paths:
            if os.path.basename(path) in present:
                disk.rename(path, path + names.DELETED)
                renamed.append(path + names.DELETED)
    disk.sync_folder(folder)
    group.new.rename("")
    disk.sync_folder(folder)
    return renamed


def discard(disk: Disk, segment: Segment) -> None:
    """Removes the files of a segment that does not come into use."""
    for suffix in names.SEGMENT_FILES:
        disk.remove(segment.path(suffix))


def _short(key: bytes) -> bytes:
    # Two long keys with one digest would be taken for one; with 256 bits that does not happen.
    return key if len(key) < _KEY_SIZE_MAX else hashlib.blake2b(key, digest_size=_KEY_SIZE_MAX).digest()


def _newest_offsets(plan: Plan, decompress: Decompress, throttle: Throttle) -> tuple[dict[bytes, int], int]:
    """Key -> its newest offset in the dirty part, and the offset up to which that part was read."""
    keys: dict[bytes, int] = {}
    aborted = _AbortedReader(plan.aborted)
    read_up_to = plan.first_dirty_offset
    for segment in plan.segments:
        if segment.last_offset < plan.first_dirty_offset and not plan.aborted:
            continue
        for position, header in segment.headers():
            dirty = header.last_offset >= plan.first_dirty_offset
            if dirty and len(keys) >= _KEYS_MAX:
                return keys, read_up_to
            if dirty:
                read_up_to = header.last_offset + 1
            if aborted.covers(header) or header.is_control or not dirty or not header.record_count:
                continue
            batch = segment.batch(position, header)
            for record in iterate_keyed(header, payload_of(batch, header, decompress)):
                if record.key is not None:
                    keys[_short(record.key)] = record.offset
            throttle.spent(header.size)
        read_up_to = max(read_up_to, segment.last_offset + 1)
    return keys, read_up_to


def _has_room_for(new: Segment, following: Segment, plan: Plan) -> bool:
    """Whether all of another segment can be copied behind what was copied so far."""
    entries = len(new.indexes[0]) + len(following.indexes[0])
    return (
        (not new.size or new.size + following.size <= plan.segment_bytes)
        and entries * 8 <= plan.index_bytes
        and following.last_offset - new.base_offset <= RELATIVE_OFFSET_MAX
    )


class _AbortedReader:
    """Says of batches, in ascending order, whether they belong to an aborted transaction."""

    def __init__(self, entries: Sequence[AbortedTransaction]) -> None:
        self._waiting = sorted(entries, key=lambda entry: entry.first_offset, reverse=True)
        self._open: dict[int, AbortedTransaction] = {}

    def covers(self, header: BatchHeader) -> bool:
        while self._waiting and self._waiting[-1].first_offset <= header.last_offset:
            entry = self._waiting.pop()
            self._open[entry.producer_id] = entry
        entry_of = self._open.get(header.producer_id) if header.is_transactional else None
        if entry_of is None:
            return False
        if header.base_offset >= entry_of.last_offset:
            del self._open[header.producer_id]
            return False
        return True


class _Copier:
    """Copies batches into new segments, without what compaction takes out."""

    def __init__(self, plan: Plan, run: Pass, end_offset: int, throttle: Throttle) -> None:
        self._plan = plan
        self._run = run
        self._end_offset = end_offset
        self._throttle = throttle
        self._aborted = _AbortedReader(plan.aborted)
        self._has_records: dict[int, bool] = {}
        """By producer: whether records of the transaction that it is in were kept."""
        self._last: tuple[BatchHeader, Buffer] | None = None
        """The last batch that was read, when it was left out and ended a segment."""

    def copy(self, segment: Segment, new: Segment) -> set[int]:
        """Returns the offsets of the markers that stay."""
        markers: set[int] = set()
        for position, header in segment.headers():
            batch = segment.batch(position, header)
            kept = self._kept(header, batch)
            if kept is None and self._is_last_of_producer(header):
                kept = _emptied(header, batch)  # The producer's sequence goes on from there.
            if kept is not None:
                self._append(new, header, kept, markers)
            elif header.last_offset == segment.last_offset:
                self._last = header, bytes(batch) if header.is_control else b""
            self._throttle.spent(header.size)
        return markers

    def keep_last_offset(self, new: Segment) -> set[int]:
        """The last offset of the segments that are replaced stays known, so that the start after a crash meanwhile can
        tell which those are. Returns the offset of a marker that stays for that."""
        markers: set[int] = set()
        if self._last is not None:
            header, batch = self._last
            self._append(new, header, _emptied(header, batch), markers)
        return markers

    def _append(self, new: Segment, header: BatchHeader, kept: Buffer, markers: set[int]) -> None:
        self._last = None
        if header.is_control:
            markers.add(header.base_offset)
        new.append((kept,), len(kept), header.last_offset, newest_time(parse_header(kept)), self._run.now_ms)

    def _kept(self, header: BatchHeader, batch: Buffer) -> Buffer | None:
        if header.base_offset >= self._end_offset:
            return batch  # The keys of what follows are not known yet.
        is_aborted = self._aborted.covers(header)
        if header.is_control:
            if self._has_records.pop(header.producer_id, False):
                return batch
            return compact_marker(header, batch, self._run)
        if is_aborted or not header.record_count:
            return None
        kept, count = compact_batch(header, batch, self._run)
        if header.is_transactional and count:
            self._has_records[header.producer_id] = True
        return kept

    def _is_last_of_producer(self, header: BatchHeader) -> bool:
        if header.producer_id < 0:
            return False
        epoch, last_offset = self._plan.producers.get(header.producer_id, (-1, -1))
        if header.is_control:
            return last_offset < 0 and epoch == header.producer_epoch
        return header.last_offset == last_offset


def _emptied(header: BatchHeader, batch: Buffer) -> Buffer:
    return batch if header.is_control else empty_batch(header)
