"""Owns: the log of one partition as a list of segments - append, roll, read, drop. Must never know: validation, groups.

Appends and reads of cached bytes run on the event loop: one ``pwritev`` puts a batch into the page cache, one
``preadv`` with RWF_NOWAIT takes stored bytes out of it. Whatever would wait for a device - cold bytes, sync,
snapshots, removal of files - runs in the executor.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from kafka_server.application.ports import Clock
from kafka_server.domain.errors import StorageError
from kafka_server.domain.partition import EpochEntry, Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import encode_snapshot, write_epochs
from kafka_server.infrastructure.storage.log.commit import Committer
from kafka_server.infrastructure.storage.log.disk import EMPTY, Buffer, Disk
from kafka_server.infrastructure.storage.log.segment import NotCached, Segment
from kafka_server.infrastructure.storage.log.transaction_index import write_transaction_index

log = logging.getLogger("kafka_server.log")

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(slots=True, frozen=True)
class Surroundings:
    """What all logs of a data folder share."""

    disk: Disk
    clock: Clock
    executor: Executor
    flush_on_ack: bool
    """True for ``flush=ack``: an append is acknowledged when it is synced; False for ``flush=os``."""
    on_failure: Callable[[OSError], None]
    """Called once when the device failed: the broker has to stop, because nothing can be promised any more."""
    persist_log_start: Callable[[int], Awaitable[None]]
    """``persist_log_start(offset)`` is done when this partition's new log start offset survives a crash."""


class DiskPartitionLog:
    """``PartitionLog`` on files."""

    __slots__ = (
        "_around",
        "_base_offsets",
        "_chores",
        "_committer",
        "_dirty",
        "_epochs_written",
        "_folder_dirty",
        "_loop",
        "_partition",
        "_segments",
        "_topic",
        "_unflushed",
        "_unflushed_timer",
        "folder",
        "recovery_point",
    )

    def __init__(
        self, around: Surroundings, folder: str, topic: Topic, partition: Partition, segments: list[Segment]
    ) -> None:
        self._around = around
        self._loop = asyncio.get_running_loop()
        self.folder = folder
        self._topic = topic
        self._partition = partition
        self._segments = segments
        self._base_offsets = [segment.base_offset for segment in segments]
        self._committer = Committer(self, around.executor, around.on_failure)
        self._dirty: dict[Segment, None] = {segments[-1]: None}
        """Segments with bytes that were not synced yet."""
        self._folder_dirty = True
        self._chores: list[Callable[[], None]] = []
        """Work for the next sync, in order: files of rolled segments, snapshots, checkpoints."""
        self._epochs_written: list[EpochEntry] = []
        self._unflushed = 0
        self._unflushed_timer = False
        self.recovery_point = partition.log_end_offset
        """Everything below is synced, indexes of full segments included."""

    # ---- append ------------------------------------------------------------------------------------------------------

    def append(
        self, head: Buffer, body: Buffer, base_offset: int, last_offset: int, max_timestamp: int
    ) -> Awaitable[None] | None:
        size = len(head) + len(body)
        settings = self._topic.settings
        segment = self._segments[-1]
        now_ms = self._around.clock.now_ms()
        try:
            if not segment.has_room(size, last_offset, settings.segment_bytes, settings.segment_index_bytes) or (
                segment.size and self._is_old(segment, max_timestamp, now_ms)
            ):
                segment = self._roll(base_offset)
            segment.append((head, body), size, last_offset, max_timestamp, now_ms)
        except OSError as error:
            raise self._refusal(error) from error
        self._dirty[segment] = None
        if self._partition.leader_epoch != (self._epochs_written[-1].epoch if self._epochs_written else -1):
            self._note_epochs(base_offset)
        if self._around.flush_on_ack:
            return self._committer.join()
        self._unflushed += last_offset - base_offset + 1
        self._flush_by_interval()
        return None

    def _is_old(self, segment: Segment, max_timestamp: int, now_ms: int) -> bool:
        """Whether the segment's time is over (segment.ms): by the records' own clock where they have one."""
        if segment.first_append_ms < 0:
            return False
        age_ms = (max_timestamp if max_timestamp >= 0 else now_ms) - segment.first_append_ms
        return age_ms > self._topic.settings.segment_ms

    def _refusal(self, error: OSError) -> StorageError:
        """A full disk refuses this batch and may take the next one; any other failure of a write ends the broker."""
        if error.errno in _FULL:
            return StorageError(f"The disk of {self.folder} is full; the batch was not stored")
        self._around.on_failure(error)
        return StorageError(f"Writing to {self.folder} failed: {error}")

    def _roll(self, base_offset: int) -> Segment:
        """Begins a new segment; the old one is sealed in the background."""
        old = self._segments[-1]
        new = Segment(self._around.disk, self.folder, base_offset, self._topic.settings.index_interval_bytes)
        self._segments.append(new)
        self._base_offsets.append(base_offset)
        self._folder_dirty = True
        aborted = self._partition.aborted.ending_between(old.base_offset, base_offset)
        snapshot = encode_snapshot(self._partition.producers.items())
        path = os.path.join(self.folder, names.file_name(base_offset, names.SNAPSHOT))
        # A snapshot promises that the transaction indexes below it are there.
        self._chores.append(lambda: write_transaction_index(self._around.disk, self.folder, old.base_offset, aborted))
        self._chores.append(lambda: self._around.disk.replace(path, snapshot))
        self._chores.append(lambda: old.write_indexes(final=True))
        self._chores.append(old.rest)
        log.debug("%s: rolled a new segment at offset %d", self.folder, base_offset)
        # Sealing is a sync like any other; under flush=os nobody waits for it.
        self._committer.join()
        return new

    def _note_epochs(self, base_offset: int) -> None:
        epochs = self._partition.epochs() or [EpochEntry(self._partition.leader_epoch, base_offset)]
        self._epochs_written = epochs
        path = os.path.join(self.folder, names.LEADER_EPOCHS)
        self._chores.append(lambda: write_epochs(self._around.disk, path, epochs))

    def _flush_by_interval(self) -> None:
        """log.flush.interval.messages and .ms, for those who ask for more than the page cache."""
        settings = self._topic.settings
        if self._unflushed >= settings.flush_messages:
            self._unflushed = 0
            self._committer.join()
        elif settings.flush_ms < 2**62 and not self._unflushed_timer:
            self._unflushed_timer = True
            self._around.clock.call_later(settings.flush_ms, self._flush_now)

    def _flush_now(self) -> None:
        self._unflushed_timer = False
        if self._unflushed:
            self._unflushed = 0
            self._committer.join()

    def prepare_sync(self) -> Callable[[], None]:
        end_offset = self._partition.log_end_offset
        chores, self._chores = self._chores, []
        dirty, self._dirty = list(self._dirty), {}
        folder_dirty, self._folder_dirty = self._folder_dirty, False
        disk, folder = self._around.disk, self.folder

        def sync() -> None:
            for segment in dirty:
                segment.file.sync()
            if folder_dirty:
                disk.sync_folder(folder)
            try:
                while chores:
                    chores[0]()
                    del chores[0]
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                # Indexes, snapshots and checkpoints can be made again from the log; they wait until there is room.
                asyncio.run_coroutine_threadsafe(self._put_back(chores), self._loop)
            else:
                self.recovery_point = end_offset

        return sync

    async def _put_back(self, chores: list[Callable[[], None]]) -> None:
        self._chores[:0] = chores

    # ---- read --------------------------------------------------------------------------------------------------------

    def read(self, offset: int, size_max: int, end_offset: int) -> memoryview | Awaitable[memoryview]:
        slot = max(bisect_right(self._base_offsets, offset) - 1, 0)
        segments = self._segments
        if offset > segments[slot].last_offset and slot + 1 < len(segments):
            slot += 1  # The end of a segment may have been compacted away.
        segment = segments[slot]
        try:
            return segment.read(offset, size_max, end_offset, segment.file.read_cached)
        except NotCached:
            return self._in_executor(lambda: segment.read(offset, size_max, end_offset, segment.file.read))

    def find_batch(self, timestamp_ms: int | None, start_offset: int, end_offset: int) -> Awaitable[memoryview]:
        segments = list(self._segments)
        if timestamp_ms is None:
            return self._in_executor(lambda: _newest(segments, start_offset, end_offset))
        return self._in_executor(lambda: _first_since(segments, timestamp_ms, start_offset, end_offset))

    def _in_executor(self, work: Callable[[], memoryview]) -> Awaitable[memoryview]:
        return asyncio.get_running_loop().run_in_executor(self._around.executor, work)

    # ---- dropping ----------------------------------------------------------------------------------------------------

    def truncate_prefix(self, offset: int) -> Awaitable[None] | None:
        count = 0
        for segment, next_base in zip(self._segments, self._base_offsets[1:], strict=False):
            if next_base > offset or segment.last_offset >= offset:
                break
            count += 1
        if count == len(self._segments) - 1 and self._segments[-1].size and self._segments[-1].last_offset < offset:
            self._roll(offset)
            count += 1
        dropped = self._segments[:count]
        del self._segments[:count], self._base_offsets[:count]
        self._delete_files([path for segment in dropped for path in segment.files()])
        for segment in dropped:
            self._dirty.pop(segment, None)
        return self._around.persist_log_start(offset)

    def _delete_files(self, paths: list[str]) -> None:
        """Renames at once, so that a restart does not see them, and removes after ``file.delete.delay.ms``."""
        if not paths:
            return
        disk = self._around.disk
        present = set(disk.names(self.folder))
        renamed = []
        for path in paths:
            if os.path.basename(path) in present:
                disk.rename(path, path + names.DELETED)
                renamed.append(path + names.DELETED)

        def remove() -> None:
            for path in renamed:
                disk.remove(path)

        def begin() -> None:
            self._around.executor.submit(remove)

        self._around.clock.call_later(self._topic.settings.file_delete_delay_ms, begin)

    def retention_offset(self, keep_bytes: int, keep_after_ms: int, end_offset: int) -> int:
        result = 0
        left = self.size_bytes()
        for segment in self._segments:
            too_large = keep_bytes >= 0 and left - segment.size >= keep_bytes
            too_old = keep_after_ms >= 0 and segment.size > 0 and segment.max_timestamp < keep_after_ms
            if not (too_large or too_old) or segment.last_offset >= end_offset or not segment.size:
                break
            left -= segment.size
            result = segment.last_offset + 1
        return result

    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Makes everything durable, indexes and producers included; runs in the executor after the last append."""
        self.prepare_sync()()
        for segment in self._segments:
            segment.write_indexes(final=False)
        end_offset = self._partition.log_end_offset
        newest = self._segments[-1].base_offset
        aborted = self._partition.aborted.ending_between(newest, end_offset)
        write_transaction_index(self._around.disk, self.folder, newest, aborted)
        snapshot = encode_snapshot(self._partition.producers.items())
        self._around.disk.replace(os.path.join(self.folder, names.file_name(end_offset, names.SNAPSHOT)), snapshot)
        write_epochs(self._around.disk, os.path.join(self.folder, names.LEADER_EPOCHS), self._partition.epochs())

    async def settle(self) -> None:
        """Waits until no sync is under way."""
        await self._committer.settle()

    async def retire(self) -> None:
        """The partition is deleted: what was not written yet never will be."""
        await self._committer.settle()
        self._dirty.clear()
        self._chores.clear()
        self._folder_dirty = False


def _first_since(segments: list[Segment], timestamp: int, start_offset: int, end_offset: int) -> memoryview:
    for segment in segments:
        if segment.last_offset < start_offset or segment.max_timestamp < timestamp:
            continue
        if segment.base_offset >= end_offset:
            break
        found = segment.find_by_time(timestamp, start_offset, end_offset)
        if found:
            return found
    return EMPTY


def _newest(segments: list[Segment], start_offset: int, end_offset: int) -> memoryview:
    """The first of the batches with the largest timestamp of all within the bounds."""
    best, best_timestamp = EMPTY, -1
    for segment in segments:
        if segment.last_offset < start_offset or segment.max_timestamp <= best_timestamp:
            continue
        timestamp = segment.max_timestamp
        found = segment.find_by_time(timestamp, start_offset, end_offset)
        if not found:
            # Its newest batch lies outside the bounds; look at each of the others.
            found, timestamp = _newest_by_scan(segment, start_offset, end_offset, best_timestamp)
        if found:
            best, best_timestamp = found, timestamp
    return best


def _newest_by_scan(segment: Segment, start_offset: int, end_offset: int, above: int) -> tuple[memoryview, int]:
    best, best_timestamp = EMPTY, above
    for position, header in segment.headers(0, segment.file.read):
        if header.last_offset >= end_offset:
            break
        if header.last_offset >= start_offset and header.max_timestamp > best_timestamp:
            best, best_timestamp = segment.file.read(position, header.size), header.max_timestamp
    return best, best_timestamp
