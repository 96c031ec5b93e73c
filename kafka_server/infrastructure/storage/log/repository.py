"""Owns: the logs of all partitions in the data folders - opening, removing, closing them, and the checkpoints over all.

Must never know: requests, groups, where topics are stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from kafka_server.application.ports import Clock, Moving, Timer
from kafka_server.domain.errors import StorageError
from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import (
    BrokenFile,
    encode_id,
    read_partition_metadata,
    write_partition_metadata,
)
from kafka_server.infrastructure.storage.log.disk import PASSING
from kafka_server.infrastructure.storage.log.folders import DataFolder, Key
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog, Surroundings
from kafka_server.infrastructure.storage.log.places import Place, settle_moves
from kafka_server.infrastructure.storage.log.recovery import Progress, Remembered, open_segments
from kafka_server.infrastructure.storage.log.restore import restore_partition
from kafka_server.infrastructure.storage.log.segment import Segment
from kafka_server.infrastructure.storage.log.settings import CompactionSettings

if TYPE_CHECKING:
    from kafka_server.infrastructure.storage.log.compactor import Compactor
    from kafka_server.infrastructure.storage.log.moves import Moves

log = logging.getLogger("kafka_server.log")

_WRITERS = 8
"""Threads for syncs and chores: each waits for the device, and the file system merges what waits at the same time."""
_READERS = 4
"""Threads for cold reads, apart from the writers, so that a slow disk's syncs do not hold up a consumer."""


class DiskLogRepository:
    """``LogRepository`` on one or several data folders, which stay the caller's."""

    def __init__(
        self,
        clock: Clock,
        folders: list[DataFolder],
        *,
        flush_on_ack: bool,
        on_failure: Callable[[BaseException], None],
        checkpoint_interval_ms: int = 60_000,
        recovery_threads: int = 2,
        compaction: CompactionSettings | None = None,
        progress: Progress = lambda size: None,
    ) -> None:
        """``recovery_threads``: how many partitions of one folder are checked at the same time after a crash.
        Without ``compaction`` no topic is compacted."""
        self._clock = clock
        self._checkpoint_interval_ms = checkpoint_interval_ms
        self._recovering = asyncio.Semaphore(recovery_threads * len(folders))
        self._compaction = compaction
        self._compaction_timer: Timer | None = None
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="log-writer")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="log-reader")
        self._on_failure = on_failure
        self._failed = False
        self._flush_on_ack = flush_on_ack
        self.progress = progress
        """Told of every stretch of bytes that recovery has read; called in other threads."""
        self._places = [Place(folder, self._writers, self._fail) for folder in folders]
        for folder in folders:
            folder.mark_in_use()
        self._timers: set[Timer] = set()
        self._compactor: Compactor | None = None
        self._begin_compaction_later()
        self._moves: Moves | None = None
        self._interrupted = settle_moves(self._places, self._later)
        """Where partitions were on their way to when the last broker ended."""
        self._timer = clock.call_later(self._checkpoint_interval_ms, self._checkpoint_later)

    def _fail(self, error: BaseException) -> None:
        if not self._failed:
            self._failed = True
            self._on_failure(error)

    def obey(self, *, recovery_threads: int, cleaner_backoff_ms: int, cleaner_bytes_per_second_max: float) -> None:
        """Takes other settings from now on. How many partitions are checked at a time counts for those not yet open."""
        self._recovering = asyncio.Semaphore(recovery_threads * len(self._places))
        settings = self._compaction
        wanted = cleaner_backoff_ms, cleaner_bytes_per_second_max
        if settings is None or wanted == (settings.backoff_ms, settings.bytes_per_second_max):
            return
        settings.backoff_ms, settings.bytes_per_second_max = wanted
        if self._compactor is not None:
            self._compactor.resume()
        else:
            self._begin_compaction_later()

    def _begin_compaction_later(self) -> None:
        if self._compaction_timer is not None:
            self._compaction_timer.cancel()
        if self._compaction is not None:
            begin = partial(self._begin_compaction, self._compaction)
            self._compaction_timer = self._clock.call_later(self._compaction.backoff_ms, begin)

    def _begin_compaction(self, settings: CompactionSettings) -> None:
        from kafka_server.infrastructure.storage.log.compactor import Cleanable, Compactor  # nothing a start needs

        def cleanables() -> Iterator[Cleanable]:
            for place in self._places:
                for key, opened in list(place.logs.items()):
                    yield Cleanable(key, place.folder, *opened)

        self._compactor = Compactor(self._clock, settings, cleanables)
        self._compactor.begin()

    # ---- the port ----------------------------------------------------------------------------------------------------

    async def open(self, topic: Topic, partition: Partition) -> DiskPartitionLog:
        key = (topic.name, partition.index)
        place = self._place_of(key)
        folder = place.folder
        path = folder.partition_path(key)

        def load() -> tuple[list[Segment], int]:
            self._claim(folder, path, topic, partition.index)
            log_start = folder.log_starts.get(key, 0)
            known = Remembered(
                folder.recovery_point(key),
                log_start,
                # A topic that is no longer compacted may have been once, also by Apache Kafka: then gaps are sound.
                is_gap_a_flaw=(
                    folder.has_recovery_points
                    and not topic.settings.cleanup_compact
                    and key not in folder.cleaner_offsets
                ),
            )
            segments = open_segments(folder.disk, path, topic.settings.index_interval_bytes, known, self.progress)
            replayed_from = restore_partition(
                folder.disk, path, partition, segments, log_start, after_crash=not folder.clean
            )
            self._bound_cleaner_offset(folder, key, partition.log_end_offset)
            return segments, replayed_from

        place.opening += 1
        try:
            async with contextlib.nullcontext() if folder.clean else self._recovering:
                segments, replayed_from = await asyncio.get_running_loop().run_in_executor(self._writers, load)
        except OSError as error:
            raise StorageError(f"{path} cannot be opened: {error}") from error
        finally:
            place.opening -= 1
        opened = DiskPartitionLog(self._surroundings(place, key), path, topic, partition, segments, replayed_from)
        opened.is_as_stored = folder.clean
        place.logs[key] = (opened, partition, topic)
        place.unopened.discard(key)
        target = self._interrupted.pop(key, None)
        if target is not None and target is not place:
            log.info("The move of %s-%d to %s begins anew", *key, target.folder.path)
            self.move(*key, target.folder.path)
        return opened

    def _surroundings(self, place: Place, key: Key) -> Surroundings:
        return Surroundings(
            disk=place.folder.disk,
            clock=self._clock,
            writers=self._writers,
            readers=self._readers,
            flush_on_ack=self._flush_on_ack,
            on_failure=self._fail,
            persist_log_start=lambda offset: place.persist_log_start(key, offset),
            later=self._later,
        )

    def _place_of(self, key: Key) -> Place:
        """Where the partition lies already, else the folder with the fewest partitions."""
        for place in self._places:
            if os.path.isdir(place.folder.partition_path(key)):
                return place
        return min(self._places, key=lambda place: len(place.logs) + place.opening)

    def _bound_cleaner_offset(self, folder: DataFolder, key: Key, end_offset: int) -> None:
        """What was cut off is not clean when other records take its place."""
        if folder.cleaner_offsets.get(key, 0) > end_offset:
            try:
                folder.write_cleaner_offset(key, end_offset, folder.removals)
            except OSError as error:
                if error.errno not in PASSING:
                    raise
                log.warning("%s: how far compaction came is written later: %s", folder.path, error.strerror)

    def _claim(self, folder: DataFolder, path: str, topic: Topic, index: int) -> None:
        """Makes the folder this topic's. One of an older topic of the same name is put away."""
        disk = folder.disk
        metadata = os.path.join(path, names.PARTITION_METADATA)
        owner: bytes | None = None
        if disk.names(path):
            try:
                owner = read_partition_metadata(disk, metadata)
            except BrokenFile as broken:
                log.warning("%s; it is written anew", broken)
            if owner is not None and owner != topic.topic_id:
                stray = os.path.join(folder.path, names.stray_folder(topic.name, index, os.urandom(16).hex()))
                log.warning("%s belongs to topic id %s; it is moved to %s", path, encode_id(owner), stray)
                disk.rename(path, stray)
                owner = None
        disk.make_folder(path)
        if owner is None:
            write_partition_metadata(disk, metadata, topic.topic_id)

    async def remove(self, topic: Topic, partition: Partition) -> None:
        key = (topic.name, partition.index)
        if self._moves is not None:
            await self._moves.cancel(key)
        for place in self._places:
            found = place.logs.pop(key, None)
            if found is not None:
                await found[0].retire()
                place.forget(key)
                await self._remove_folder(place.folder, key, topic)

    def paths(self) -> Sequence[str]:
        return [place.folder.path for place in self._places]

    def path_of(self, topic_name: str, index: int) -> str:
        return next(place.folder.path for place in self._places if (topic_name, index) in place.logs)

    def move(self, topic_name: str, index: int, path: str) -> None:
        if self._moves is None:
            from kafka_server.infrastructure.storage.log.moves import Moves  # most brokers never move anything

            self._moves = Moves(self._places, self._surroundings, self._later, self._stop_compacting)
        self._moves.begin((topic_name, index), path)

    def moving(self) -> Mapping[Key, Moving]:
        return {} if self._moves is None else self._moves.under_way()

    async def _stop_compacting(self, opened: DiskPartitionLog) -> None:
        if self._compactor is not None:
            await self._compactor.leave(opened)

    def space(self, path: str) -> tuple[int, int]:
        return self._places[0].folder.disk.room(path)

    async def _remove_folder(self, folder: DataFolder, key: Key, topic: Topic) -> None:
        gone = names.deleted_folder(*key, os.urandom(16).hex())
        await asyncio.get_running_loop().run_in_executor(self._writers, folder.put_aside, key, gone)

        self._later(topic.settings.file_delete_delay_ms, partial(folder.disk.remove, os.path.join(folder.path, gone)))

    def _later(self, delay_ms: int, work: Callable[[], None]) -> None:
        """Runs blocking work in a thread after a while; a stop leaves it to the next start."""

        def begin() -> None:
            self._timers.discard(timer)
            self._writers.submit(work)

        timer = self._clock.call_later(delay_ms, begin)
        self._timers.add(timer)

    async def close(self) -> None:
        for timer in (self._timer, self._compaction_timer, *self._timers):
            if timer is not None:
                timer.cancel()
        if self._compactor is not None:
            await self._compactor.close()
        if self._moves is not None:
            await self._moves.close()
        loop = asyncio.get_running_loop()
        for place in self._places:
            await place.settle()
            for opened, _, _ in place.logs.values():
                await opened.settle()
            if self._failed:
                continue
            try:
                await asyncio.gather(
                    *(loop.run_in_executor(self._writers, opened.close) for opened, _, _ in place.logs.values())
                )
                await loop.run_in_executor(self._writers, place.write_checkpoints)
                if not place.unopened:
                    await loop.run_in_executor(self._writers, place.folder.mark_clean)
            except OSError as error:
                log.error("%s could not be closed, so the next start checks it: %s", place.folder.path, error)
        self._writers.shutdown(wait=True)
        self._readers.shutdown(wait=True)

    def _checkpoint_later(self) -> None:
        for place in self._places:
            for opened, _, _ in place.logs.values():
                opened.rest()
            self._writers.submit(self._checkpoint, place)
        self._timer = self._clock.call_later(self._checkpoint_interval_ms, self._checkpoint_later)

    def _checkpoint(self, place: Place) -> None:
        try:
            place.write_checkpoints()
        except OSError as error:
            # The older checkpoint is still true, it only means more work after a crash.
            log.warning("The checkpoints in %s could not be written: %s", place.folder.path, error)
