"""Owns: a data folder together with the logs that are open in it; and at a start, which of two copies counts.

Must never know: how logs are opened, moved or removed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.commit import Committer
from kafka_server.infrastructure.storage.log.disk import PASSING
from kafka_server.infrastructure.storage.log.folders import DataFolder, Key
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog

log = logging.getLogger("kafka_server.log")


class _LogStarts:
    """Log start offsets of one folder, made durable together: what a ``Committer`` syncs."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self.pending: dict[Key, int] = {}

    def prepare_sync(self) -> Callable[[], None]:
        offsets, self.pending = self.pending, {}
        gathered = self._folder.removals
        return lambda: self._folder.write_log_starts(offsets, gathered)


class Place:
    """A data folder and the logs that are open in it."""

    def __init__(self, folder: DataFolder, writers: Executor, fail: Callable[[BaseException], None]) -> None:
        self.folder = folder
        self.logs: dict[Key, tuple[DiskPartitionLog, Partition, Topic]] = {}
        self.opening = 0
        """Logs that are about to be here."""
        self.unopened = set(folder.partitions()) if not folder.clean else set()
        """Partitions that were not checked yet since the crash; with one left, a stop is not clean."""
        self._log_starts = _LogStarts(folder)
        # The file is replaced as a whole, so a try without room for it does no harm; the folder keeps the offsets.
        self._committer = Committer(self._log_starts, writers, fail, passes=_passes)

    def persist_log_start(self, key: Key, offset: int) -> Awaitable[None]:
        """Done when the new log start offset survives a crash."""
        self._log_starts.pending[key] = offset
        return self._committer.join()

    async def settle(self) -> None:
        await self._committer.settle()

    def write_checkpoints(self) -> None:
        gathered = self.folder.removals
        logs = list(self.logs.items())
        self.folder.write_recovery_points({key: opened.recovery_point for key, (opened, _, _) in logs}, gathered)
        self.folder.write_high_watermarks({key: partition.high_watermark for key, (_, partition, _) in logs})
        self.folder.write_log_starts({key: partition.log_start_offset for key, (_, partition, _) in logs}, gathered)

    def forget(self, key: Key) -> None:
        """The partition is no longer here."""
        self._log_starts.pending.pop(key, None)
        self.folder.forget(key)


def _passes(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in PASSING


# ---- what a start finds of moves ---------------------------------------------------------------------------------


def settle_moves(places: Sequence[Place], later: Callable[[int, Callable[[], None]], None]) -> dict[Key, Place]:
    """Before any log is opened: of a partition that lies in two folders the copy counts that was complete, and copies
    that were not are put aside. Returns where those were to come. What was put aside is removed later."""
    interrupted: dict[Key, Place] = {}
    by_key: dict[Key, list[Place]] = {}
    for place in places:
        folder = place.folder
        for name in folder.disk.names(folder.path):
            if (key := names.parse_future_folder(name)) is not None:
                interrupted[key] = place
                _put_aside(folder, name, key)
            elif (key := names.parse_partition_folder(name)) is not None:
                by_key.setdefault(key, []).append(place)
    for key, found in by_key.items() if len(places) > 1 else ():
        _choose(key, found)
    for key, place in interrupted.items():
        if place not in by_key.get(key, ()):
            place.forget(key)
    for place in places:
        folder = place.folder
        for name in folder.disk.names(folder.path):
            if names.is_deleted_folder(name):
                later(0, partial(folder.disk.remove, os.path.join(folder.path, name)))
    return interrupted


def _choose(key: Key, found: list[Place]) -> None:
    marked = [place for place in found if _has_mark(place.folder, key)]
    if len(found) > 1 and len(marked) == 1:
        for place in found:
            if place is not marked[0]:
                folder = place.folder
                log.info("%s was moved to %s", folder.partition_path(key), marked[0].folder.path)
                _put_aside(folder, names.partition_folder(*key), key)
                place.forget(key)
                place.unopened.discard(key)
    for place in marked:
        path = place.folder.partition_path(key)
        place.folder.disk.remove(os.path.join(path, names.MOVED_HERE))
        place.folder.disk.sync_folder(path)


def _has_mark(folder: DataFolder, key: Key) -> bool:
    return folder.disk.read_file(os.path.join(folder.partition_path(key), names.MOVED_HERE)) is not None


def _put_aside(folder: DataFolder, name: str, key: Key) -> None:
    gone = names.deleted_folder(*key, os.urandom(16).hex())
    folder.disk.rename(os.path.join(folder.path, name), os.path.join(folder.path, gone))
    folder.disk.sync_folder(folder.path)
