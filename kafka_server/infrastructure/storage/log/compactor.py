"""Owns: when compaction runs and for which partition. Must never know: what it keeps of a batch, how that is written.

Every ``log.cleaner.backoff.ms`` the partition with the largest share of dirty bytes gets a pass, then the next, until
none is dirty enough. One pass runs at a time, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kafka_server.application.ports import Clock, Timer
from kafka_server.domain.errors import DomainError
from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.infrastructure.storage.log import cleaner
from kafka_server.infrastructure.storage.log.folders import DataFolder, Key
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog
from kafka_server.infrastructure.storage.log.segment import Segment
from kafka_server.infrastructure.storage.log.settings import CompactionSettings

log = logging.getLogger("kafka_server.cleaner")


@dataclass(slots=True, frozen=True)
class Cleanable:
    """One partition as the compactor sees it."""

    key: Key
    folder: DataFolder
    log: DiskPartitionLog
    partition: Partition
    topic: Topic


class Compactor:
    """Runs passes."""

    def __init__(
        self, clock: Clock, settings: CompactionSettings, partitions: Callable[[], Iterable[Cleanable]]
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._partitions = partitions
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-cleaner")
        self._broken: set[DiskPartitionLog] = set()
        """Logs that a pass found to be broken; another one would find it, too."""
        self._put_off: set[DiskPartitionLog] = set()
        """Logs in which a pass failed for a reason that may pass: they wait until after the next pause."""
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._pass: tuple[DiskPartitionLog, asyncio.Future[None]] | None = None
        """The log that is being compacted, and what is done when the pass is."""

    def resume(self) -> None:
        """After the settings changed: looks for work now, and again after the new pause."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.begin()

    def begin(self) -> None:
        """Works until nothing is left to do, and again after a pause, until ``close``."""
        self._timer = None
        self._put_off.clear()
        self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while not self._stopping and await self.clean_one():
            pass
        if not self._stopping:
            self._timer = self._clock.call_later(self._settings.backoff_ms, self.begin)

    async def close(self) -> None:
        """Abandons the pass that runs; what it wrote so far is removed."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=True)

    async def leave(self, moving: DiskPartitionLog) -> None:
        """Waits for the end of a pass over a log that is about to move; no other one begins."""
        if self._pass is not None and self._pass[0] is moving:
            await asyncio.wait((self._pass[1],))

    async def clean_one(self) -> bool:
        """Gives the dirtiest partition a pass; False when none is dirty enough."""
        now_ms = self._clock.now_ms()
        best: tuple[float, Cleanable, cleaner.Plan] | None = None
        for one in self._partitions():
            if one.log.is_moving or one.log in self._broken or one.log in self._put_off:
                continue
            if one.topic.settings.cleanup_compact:
                found = plan_for(one, now_ms)
                if found is not None and (best is None or found[0] > best[0]):
                    best = found[0], one, found[1]
        if best is None or self._settings.bytes_per_second_max == 0:
            return False
        _, one, plan = best
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pass = one.log, done
        try:
            await self._clean(one, plan, now_ms)
        except cleaner.Abandoned:
            return not self._stopping
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not set(plan.segments) <= set(one.log.segments()):
                return not self._stopping  # retention was faster, and took files away that were still to be read
            log.warning("Compaction of %s-%d failed and is tried again later: %s", *one.key, error)
            self._put_off.add(one.log)
        except DomainError as error:
            log.warning("Compaction of %s-%d failed and is given up: %s", *one.key, error)
            self._broken.add(one.log)
        finally:
            self._pass = None
            done.set_result(None)
        return not self._stopping

    async def _clean(self, one: Cleanable, plan: cleaner.Plan, now_ms: int) -> None:
        from kafka_server.infrastructure.compression import Codecs

        codecs, disk, folder = Codecs(), one.folder.disk, one.log.folder
        throttle = cleaner.Throttle(
            lambda: self._settings.bytes_per_second_max,
            lambda: self._stopping or one.log.is_retired or one.log.is_moving,
        )
        before = sum(segment.size for segment in plan.segments)
        loop = asyncio.get_running_loop()
        gathered = one.folder.removals
        groups, clean_up_to = await loop.run_in_executor(
            self._thread,
            lambda: cleaner.run_pass(disk, folder, plan, now_ms, codecs.decompress, codecs.compress, throttle),
        )
        is_whole = True
        for group in groups:
            if one.log.swap_in(group.old, group.new):
                one.partition.aborted.forget(group.gone)
                renamed = await loop.run_in_executor(self._thread, cleaner.put_in_place, disk, folder, group)
                one.log.remove_later(renamed)
            else:  # retention was faster, or the topic is gone
                is_whole = False
                await loop.run_in_executor(self._thread, cleaner.discard, disk, group.new)
        if not is_whole:
            raise cleaner.Abandoned
        await loop.run_in_executor(self._thread, one.folder.write_cleaner_offset, one.key, clean_up_to, gathered)
        after = sum(group.new.size for group in groups)
        log.info("Compacted %s-%d up to offset %d: %d bytes became %d", *one.key, clean_up_to, before, after)


def plan_for(one: Cleanable, now_ms: int) -> tuple[float, cleaner.Plan] | None:
    """How dirty the partition is and what a pass would work on; None when it is not worth a pass."""
    settings = one.topic.settings
    segments = one.log.segments()
    first_dirty = max(one.folder.cleaner_offsets.get(one.key, 0), segments[0].base_offset)
    end_offset = _first_uncleanable(segments, one.partition, settings, now_ms)
    chosen = [segment for segment in segments if segment.last_offset < end_offset and segment.size]
    dirty = [segment for segment in chosen if segment.last_offset >= first_dirty]
    if not dirty:
        return None
    dirty_bytes, all_bytes = sum(s.size for s in dirty), sum(s.size for s in chosen)
    ratio = dirty_bytes / all_bytes
    # As in Kafka, the age of what is dirty is that of its oldest batch; without times in the records nobody knows it.
    oldest_ms = min((segment.first_append_ms for segment in dirty if segment.first_append_ms > 0), default=now_ms)
    is_overdue = now_ms - oldest_ms > settings.max_compaction_lag_ms
    if ratio <= settings.min_cleanable_dirty_ratio and not is_overdue:
        return None
    producers = {
        producer_id: (entry.epoch, entry.batches[-1].last_offset if entry.batches else -1)
        for producer_id, entry in one.partition.producers.items()
    }
    plan = cleaner.Plan(
        segments=chosen,
        first_dirty_offset=first_dirty,
        end_offset=end_offset,
        producers=producers,
        aborted=one.partition.aborted.ending_between(segments[0].base_offset, one.partition.log_end_offset),
        segment_bytes=settings.segment_bytes,
        index_bytes=settings.segment_index_bytes,
        index_interval_bytes=settings.index_interval_bytes,
        delete_retention_ms=settings.delete_retention_ms,
    )
    # What is overdue goes first, whatever its share.
    return (ratio + 1 if is_overdue else ratio), plan


def _first_uncleanable(segments: list[Segment], partition: Partition, settings: TopicSettings, now_ms: int) -> int:
    """Where compaction has to stop: at the active segment, at the first open transaction, at what is not safe yet, and
    at records that are too young."""
    end = min(segments[-1].base_offset, partition.last_stable_offset)
    if settings.min_compaction_lag_ms > 0:
        for segment in segments:
            if segment.base_offset < end and _time_of(segment) > now_ms - settings.min_compaction_lag_ms:
                return segment.base_offset
    return end


def _time_of(segment: Segment) -> int:
    """When its newest record was made; without a time in the records, when the file was written."""
    return segment.max_timestamp if segment.max_timestamp >= 0 else segment.last_append_ms
