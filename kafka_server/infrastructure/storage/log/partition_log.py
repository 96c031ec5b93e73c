"""Owns: the log of one partition as a list of segments - append, roll, read, drop. Must never know: validation, groups.

Appends and reads of cached bytes run on the event loop: one ``pwritev`` puts a batch into the page cache, one
``preadv`` with RWF_NOWAIT takes stored bytes out of it. Whatever would wait for a device - cold bytes, sync,
snapshots, renaming and removal of files - runs in threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from kafka_server.application.ports import Clock
from kafka_server.application.stored_records import Records
from kafka_server.domain.errors import StorageError
from kafka_server.domain.partition import EpochEntry, Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.log import names, search
from kafka_server.infrastructure.storage.log.checkpoints import encode_snapshot, write_epochs
from kafka_server.infrastructure.storage.log.commit import Committer, NotNow
from kafka_server.infrastructure.storage.log.disk import FULL, PASSING, Buffer, Disk
from kafka_server.infrastructure.storage.log.segment import Fetched, NotCached, Segment
from kafka_server.infrastructure.storage.log.transaction_index import write_transaction_index

log = logging.getLogger("kafka_server.log")

_NOTHING_FETCHED: Fetched = {}


@dataclass(slots=True, frozen=True)
class Surroundings:
    """What the repository provides to a log."""

    disk: Disk
    clock: Clock
    writers: Executor
    readers: Executor
    flush_on_ack: bool
    """True for ``flush=ack``: an append is acknowledged when it is synced; False for ``flush=os``."""
    on_failure: Callable[[BaseException], None]
    """Called once when the device failed: the broker has to stop, because nothing can be promised any more."""
    persist_log_start: Callable[[int], Awaitable[None]]
    """``persist_log_start(offset)`` is done when this partition's new log start offset survives a crash."""
    later: Callable[[int, Callable[[], None]], None]
    """``later(delay_ms, work)`` runs blocking work in a thread after a while, or never if the broker stops before."""


class DiskPartitionLog:
    """``PartitionLog`` on files."""

    __slots__ = (
        "_around",
        "_base_offsets",
        "_between_syncs",
        "_chores",
        "_committer",
        "_dirty",
        "_dropping",
        "_epoch_written",
        "_failure",
        "_flushing",
        "_folder_dirty",
        "_loop",
        "_opened_at",
        "_partition",
        "_segments",
        "_told_from",
        "_topic",
        "_unflushed",
        "_unflushed_timer",
        "folder",
        "is_as_stored",
        "is_moving",
        "is_retired",
        "recovery_point",
    )

    def __init__(
        self,
        around: Surroundings,
        folder: str,
        topic: Topic,
        partition: Partition,
        segments: list[Segment],
        replayed_from: int,
    ) -> None:
        """``replayed_from``: from this offset on nothing on disk told of producers and aborted transactions but the
        batches themselves."""
        self._around = around
        self._loop = asyncio.get_running_loop()
        self.folder = folder
        self._topic = topic
        self._partition = partition
        self._segments = segments
        self._base_offsets = [segment.base_offset for segment in segments]
        self._committer = Committer(self, around.writers, around.on_failure)
        self._dirty: dict[Segment, None] = {segments[-1]: None}
        """Segments with bytes that were not synced yet."""
        self._folder_dirty = True
        self._chores: list[Callable[[], None]] = []
        """Work for the next sync, in order: files of rolled segments, snapshots, checkpoints."""
        self._dropping: set[asyncio.Task[None]] = set()
        self._epoch_written = -1
        self._unflushed = 0
        self._unflushed_timer = False
        self._flushing: asyncio.Future[None] | None = None
        """The newest sync that a count of records asked for, while it is under way."""
        self._between_syncs: Callable[[], None] | None = None
        self._failure: OSError | None = None
        self.is_retired = False
        self.is_moving = False
        """It is copied to another data folder: no compaction takes segments away meanwhile."""
        self._opened_at = (partition.log_start_offset, partition.log_end_offset)
        self.is_as_stored = False
        """True when it was opened after a clean stop: until something changes, there is nothing to write at the end."""
        self.recovery_point = partition.log_end_offset
        """Everything below is synced, indexes of full segments included."""
        self._told_from = replayed_from
        """From here on no snapshot, written or due, tells of producers but only the batches themselves."""
        self._note_replayed(replayed_from)

    def _note_replayed(self, offset: int) -> None:
        """What batches of full segments told of aborted transactions is written down with the next sync. A crash may
        have come between a full segment and its transaction index, and the next snapshot promises that it is there."""
        disk = self._around.disk
        for base_offset, end in pairwise(self._base_offsets):
            if end > offset:
                aborted = self._partition.aborted.ending_between(base_offset, end)
                self._chores.append(partial(write_transaction_index, disk, self.folder, base_offset, aborted))

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
        if self._partition.leader_epoch != self._epoch_written:
            self._note_epochs(base_offset)
        if self._around.flush_on_ack:
            return self._committer.join()
        self._unflushed += last_offset - base_offset + 1
        return self._flush_by_interval()

    def _is_old(self, segment: Segment, max_timestamp: int, now_ms: int) -> bool:
        """Whether the segment's time is over (segment.ms): by the records' own clock where they have one."""
        if segment.first_append_ms < 0:
            return False
        age_ms = (max_timestamp if max_timestamp >= 0 else now_ms) - segment.first_append_ms
        settings = self._topic.settings
        # The segment that is appended to is not compacted, so it may not grow older than records may wait for that.
        lag_ms = settings.max_compaction_lag_ms if settings.cleanup_compact else settings.segment_ms
        return age_ms > min(settings.segment_ms, lag_ms)

    def _refusal(self, error: OSError) -> StorageError:
        """A full disk refuses this batch and may take the next one; a failure of the device ends the broker."""
        if error.errno in FULL:
            return StorageError(f"The disk of {self.folder} is full; the batch was not stored")
        if error.errno in PASSING:
            return StorageError(f"The batch was not stored in {self.folder}: {error.strerror}")
        self._around.on_failure(error)
        return StorageError(f"Writing to {self.folder} failed: {error}")

    def _roll(self, base_offset: int) -> Segment:
        """Begins a new segment; the old one is sealed in the background. Raises OSError: then nothing changed."""
        old = self._segments[-1]
        new = Segment(self._around.disk, self.folder, base_offset, self._topic.settings.index_interval_bytes)
        if new.size:
            # No log of ours is longer than its end offset: this is what a failed recovery left.
            log.warning("%s: %d stray bytes are cut off", new.path(names.LOG), new.size)
            new.truncate(0)
        self._segments.append(new)
        self._base_offsets.append(base_offset)
        self._folder_dirty = True
        aborted = self._partition.aborted.ending_between(old.base_offset, base_offset)
        snapshot = encode_snapshot(self._partition.producers.items())
        path = os.path.join(self.folder, names.file_name(base_offset, names.SNAPSHOT))
        # A snapshot promises that the transaction indexes below it are there.
        self._chores.append(lambda: write_transaction_index(self._around.disk, self.folder, old.base_offset, aborted))
        self._chores.append(lambda: self._around.disk.replace(path, snapshot))
        self._told_from = base_offset
        self._chores.append(old.write_indexes)
        self._chores.append(old.rest)
        log.debug("%s: rolled a new segment at offset %d", self.folder, base_offset)
        # Sealing is a sync like any other; under flush=os nobody waits for it.
        self._committer.join()
        return new

    def _note_epochs(self, base_offset: int) -> None:
        epoch = self._epoch_written = self._partition.leader_epoch
        epochs = self._partition.epochs() or [EpochEntry(epoch, base_offset)]
        path = os.path.join(self.folder, names.LEADER_EPOCHS)
        self._chores.append(lambda: write_epochs(self._around.disk, path, epochs))

    def _flush_by_interval(self) -> Awaitable[None] | None:
        """log.flush.interval.messages and .ms, for those who ask for more than the page cache.

        As in Kafka, the batch that reaches the count waits for the sync, and what comes meanwhile waits with it.
        """
        settings = self._topic.settings
        if self._unflushed >= settings.flush_messages:
            self._unflushed = 0
            self._flushing = self._committer.join()
        elif settings.flush_ms < 2**62 and not self._unflushed_timer:
            self._unflushed_timer = True
            self._around.clock.call_later(settings.flush_ms, self._flush_now)
        if self._flushing is not None and self._flushing.done():
            self._flushing = None
        return self._flushing

    def _flush_now(self) -> None:
        self._unflushed_timer = False
        if self._unflushed:
            self._unflushed = 0
            self._committer.join()

    def prepare_sync(self) -> Callable[[], None]:
        between, self._between_syncs = self._between_syncs, None
        if between is not None:
            between()
        if self._failure is not None:
            return self._raise_failure
        end_offset = self._partition.log_end_offset
        chores, self._chores = self._chores, []
        dirty, self._dirty = list(self._dirty), {}
        folder_dirty, self._folder_dirty = self._folder_dirty, False
        disk, folder = self._around.disk, self.folder

        def sync() -> None:
            for segment in dirty:
                segment.sync()
            if folder_dirty:
                disk.sync_folder(folder)
            try:
                while chores:
                    chores[0]()
                    del chores[0]
            except OSError as error:
                if error.errno not in PASSING:
                    raise
                # Indexes, snapshots and checkpoints can be made again from the log; they wait until there is room.
                self._loop.call_soon_threadsafe(self._put_back, chores)
            else:
                self.recovery_point = end_offset

        return sync

    def _put_back(self, chores: list[Callable[[], None]]) -> None:
        self._chores[:0] = chores

    def _raise_failure(self) -> None:
        assert self._failure is not None
        raise self._failure

    # ---- another folder ----------------------------------------------------------------------------------------------

    def between_syncs(self, work: Callable[[], None]) -> asyncio.Future[None]:
        """Calls ``work`` on the event loop when no sync is under way; the future is done with the next sync, which
        covers what ``work`` wrote."""
        self._between_syncs = work
        return self._committer.join()

    def go_on_in(self, folder: str, segments: list[Segment], around: Surroundings) -> None:
        """Reads and appends there from now on. It has everything that this log has, and all of it is durable."""
        for segment in self._segments:
            segment.is_replaced = True
        self._around, self.folder = around, folder
        self._segments[:], self._base_offsets[:] = segments, [segment.base_offset for segment in segments]
        self._dirty = {segments[-1]: None}
        # What was still to be written about the old folder was written about the new one.
        self._chores.clear()
        self._epoch_written = self._partition.leader_epoch
        self.is_as_stored = False

    def fail(self, error: OSError) -> None:
        """Lets every sync fail from now on, which ends the broker."""
        self._failure = error

    @property
    def is_dropping(self) -> bool:
        """Whether files of segments are being renamed that left the log."""
        return bool(self._dropping)

    # ---- read --------------------------------------------------------------------------------------------------------

    def read(self, offset: int, size_max: int, end_offset: int) -> Records | Awaitable[Records]:
        try:
            return self._read(offset, size_max, end_offset, _NOTHING_FETCHED)
        except NotCached as missing:
            return self._read_cold(offset, size_max, end_offset, missing)
        except OSError as error:
            raise StorageError(f"{self.folder} could not be read at offset {offset}: {error}") from error

    def _read(self, offset: int, size_max: int, end_offset: int, fetched: Fetched) -> Records:
        segments = self._segments
        slot = max(bisect_right(self._base_offsets, offset) - 1, 0)
        # The end of a segment may have been compacted away, and whole segments with it.
        while offset > segments[slot].last_offset and slot + 1 < len(segments):
            slot += 1
        return segments[slot].read(offset, size_max, end_offset, fetched)

    async def _read_cold(self, offset: int, size_max: int, end_offset: int, missing: NotCached) -> Records:
        """Fetches what is missing in a thread and reads again, on the event loop, where the log does not move.

        What was fetched is kept for the next try: it can be evicted from the page cache in the meantime.
        """
        fetched: Fetched = {}
        while True:
            try:
                await self._loop.run_in_executor(self._around.readers, missing.fetch, fetched)
            except OSError as error:
                # Retention or compaction may have taken the files away; then the log reads from others by now.
                if missing.segment in self._segments:
                    raise StorageError(f"{self.folder} could not be read at offset {offset}: {error}") from error
            missing.segment.settle()
            try:
                return self._read(offset, size_max, end_offset, fetched)
            except NotCached as more:
                missing = more
            except OSError as error:
                raise StorageError(f"{self.folder} could not be read at offset {offset}: {error}") from error

    async def find_batch(self, timestamp_ms: int | None, start_offset: int, end_offset: int) -> memoryview:
        def find(segments: list[Segment]) -> memoryview:
            if timestamp_ms is None:
                return search.newest(segments, start_offset, end_offset)
            return search.first_since(segments, timestamp_ms, start_offset, end_offset)

        while True:
            segments = list(self._segments)
            try:
                return await self._loop.run_in_executor(self._around.readers, find, segments)
            except OSError as error:
                # Retention or compaction may have taken files away that were still to be searched.
                if set(segments) <= set(self._segments):
                    raise StorageError(f"{self.folder} could not be searched: {error}") from error
            finally:
                for segment in segments:
                    segment.settle()

    # ---- dropping ----------------------------------------------------------------------------------------------------

    def note_start(self, offset: int) -> Awaitable[None]:
        return self._around.persist_log_start(offset)

    def truncate_prefix(self, offset: int) -> Awaitable[None] | None:
        segments = self._segments
        last = segments[-1]
        if last.size and last.last_offset < offset:
            try:
                self._roll(offset)
            except OSError as error:
                # What is left over only takes room; the log start says that it does not count.
                log.warning("%s: %s", self.folder, self._refusal(error))
        count = 0
        while count + 1 < len(segments) and segments[count].last_offset < offset >= self._base_offsets[count + 1]:
            count += 1
        dropped = segments[:count]
        del segments[:count], self._base_offsets[:count]
        for segment in dropped:
            self._dirty.pop(segment, None)
        persisted = self._around.persist_log_start(offset)
        if dropped:
            if self._told_from < self._base_offsets[0]:
                self._chores.append(self._snapshot())
            self._in_background(self._drop(dropped, persisted))
        return persisted

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    async def _drop(self, dropped: list[Segment], persisted: Awaitable[None]) -> None:
        """Renames, so that a restart does not see them, and removes after ``file.delete.delay.ms``.

        The new log start comes first: renames that are undone by a crash then leave what is below it, never a hole.
        On a full disk there may be no room to write it down, and waiting for room that only this can make would be for
        ever: the segments then go one by one, so that what a crash leaves begins where a segment does.
        """
        is_noted = True
        try:
            try:
                await asyncio.shield(persisted)
            except NotNow as full:
                log.warning("%s: the log start is written later, its old segments go now: %s", self.folder, full)
                is_noted = False
            # What the dropped segments told of producers is in the snapshot of one that stays, after this sync.
            await asyncio.shield(self._committer.join())
            await self._loop.run_in_executor(self._around.writers, self._rename_deleted, dropped, is_noted)
        except (StorageError, OSError) as error:
            log.warning("%s: segments below the log start stay until the next start: %s", self.folder, error)

    def _rename_deleted(self, dropped: list[Segment], at_once: bool) -> None:
        disk = self._around.disk
        present = set(disk.names(self.folder))
        renamed = []
        for segment in dropped:
            for path in segment.files():
                if os.path.basename(path) in present:
                    disk.rename(path, path + names.DELETED)
                    renamed.append(path + names.DELETED)
            if not at_once:
                disk.sync_folder(self.folder)
        if at_once:
            disk.sync_folder(self.folder)

        self._loop.call_soon_threadsafe(self.remove_later, renamed)

    def remove_later(self, paths: list[str]) -> None:
        """Removes files that were renamed to ``.deleted``, after ``file.delete.delay.ms``."""
        disk = self._around.disk

        def remove() -> None:
            for path in paths:
                disk.remove(path)

        self._around.later(self._topic.settings.file_delete_delay_ms, remove)

    # ---- compaction --------------------------------------------------------------------------------------------------

    def segments(self) -> list[Segment]:
        """The segments as they are now, the one that is appended to last."""
        return list(self._segments)

    def swap_in(self, old: Sequence[Segment], new: Segment) -> bool:
        """Reads from ``new`` instead of ``old`` from now on; False when some of them are no longer there."""
        segments = self._segments
        if self.is_retired or self.is_moving or old[0] not in segments:
            return False
        first = segments.index(old[0])
        if segments[first : first + len(old)] != list(old) or first + len(old) == len(segments):
            return False
        for segment in old:
            segment.is_replaced = True
        segments[first : first + len(old)] = [new]
        self._base_offsets[first : first + len(old)] = [new.base_offset]
        return True

    # ---- retention ---------------------------------------------------------------------------------------------------

    def retention_offset(self, keep_bytes: int, keep_after_ms: int, end_offset: int) -> int:
        result = 0
        left = self.size_bytes()
        # A segment that was compacted may end long before the next one begins; the log goes on there.
        ends = [*self._base_offsets[1:], self._partition.log_end_offset]
        for segment, end in zip(self._segments, ends, strict=True):
            # Records without a time are as old as their file.
            newest_ms = segment.max_timestamp if segment.max_timestamp >= 0 else segment.last_append_ms
            too_large = keep_bytes >= 0 and left - segment.size >= keep_bytes
            too_old = keep_after_ms >= 0 and newest_ms < keep_after_ms
            if not (too_large or too_old) or end > end_offset or not segment.size:
                break
            left -= segment.size
            result = end
        return result

    def size_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    # ---- the end -----------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Puts segments to rest that nobody read or appended to since the last call."""
        for segment in self._segments:
            if not segment.is_used:
                segment.rest(is_appended_to=segment is self._segments[-1])
            segment.is_used = False

    def close(self) -> None:
        """Makes everything durable, indexes and producers included; runs in a thread after the last append."""
        bounds = self._partition.log_start_offset, self._partition.log_end_offset
        if self.is_as_stored and self._opened_at == bounds:
            for segment in self._segments:
                if segment.has_news_of_indexes:
                    segment.write_indexes()
            return
        self.prepare_sync()()
        for segment in self._segments:
            segment.write_indexes()
        # Epochs first: with a snapshot at the end of the log, a start has no reason to look for epochs in the log.
        write_epochs(self._around.disk, os.path.join(self.folder, names.LEADER_EPOCHS), self._partition.epochs())
        self._snapshot()()

    def _snapshot(self) -> Callable[[], None]:
        """Blocking work for after a sync: writes down what is known of producers and of the newest segment's aborted
        transactions, which a snapshot promises are there."""
        disk, folder = self._around.disk, self.folder
        end_offset, newest = self._partition.log_end_offset, self._segments[-1].base_offset
        aborted = self._partition.aborted.ending_between(newest, end_offset)
        snapshot = encode_snapshot(self._partition.producers.items())
        path = os.path.join(folder, names.file_name(end_offset, names.SNAPSHOT))
        self._told_from = end_offset

        def write() -> None:
            write_transaction_index(disk, folder, newest, aborted)
            disk.replace(path, snapshot)

        return write

    async def settle(self) -> None:
        """Waits until no sync and no drop is under way."""
        while self._dropping:
            await asyncio.wait(self._dropping)
        await self._committer.settle()

    async def retire(self) -> None:
        """The partition is deleted: what was not written yet never will be."""
        self.is_retired = True
        await self.settle()
        self._dirty.clear()
        self._chores.clear()
        self._folder_dirty = False
        self._unflushed = 0
        # The files go after a while (file.delete.delay.ms); meanwhile they must not take up descriptors.
        for segment in self._segments:
            segment.rest()
