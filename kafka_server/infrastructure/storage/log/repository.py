"""Owns: the data folders (log.dirs) - lock, identity, checkpoints, clean marker - and the logs of all partitions in
them.

Must never know: requests, groups, where topics are stored.

    <log.dir>/.lock                       held while a broker runs; holds its pid
    <log.dir>/meta.properties             whose folder this is
    <log.dir>/.kafka_cleanshutdown        there between a clean stop and the next start
    <log.dir>/*-offset-checkpoint         recovery points, log starts, high watermarks, by partition
    <log.dir>/<topic>-<partition>/        one log
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from kafka_server.application.ports import Clock
from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import (
    BrokenFile,
    clean_shutdown_marker,
    encode_id,
    read_meta_properties,
    read_offsets,
    read_partition_metadata,
    write_meta_properties,
    write_offsets,
    write_partition_metadata,
)
from kafka_server.infrastructure.storage.log.disk import Disk
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog, Surroundings
from kafka_server.infrastructure.storage.log.recovery import Progress, open_segments, restore_partition
from kafka_server.infrastructure.storage.log.segment import Segment

log = logging.getLogger("kafka_server.log")

Key = tuple[str, int]
_CHECKPOINT_INTERVAL_MS = 60_000
_THREADS = 4


class DataFolderError(Exception):
    """A data folder cannot be used; the text says which, why, and what to do."""


class FolderLock:
    """Keeps a second broker out of a data folder. The file names the pid of the holder."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, names.LOCK)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip()
            os.close(self._descriptor)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            raise DataFolderError(
                f"{folder} is in use by another process (pid {holder or 'unknown'}); stop it or choose another log.dirs"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets the next broker in. The file stays: removing it would let two processes lock two different files."""
        os.close(self._descriptor)


@dataclass(slots=True)
class _Folder:
    """One of log.dirs while the broker runs."""

    path: str
    lock: FolderLock
    clean: bool
    recovery_points: dict[Key, int]
    log_starts: dict[Key, int]
    logs: dict[Key, tuple[DiskPartitionLog, Partition]] = field(default_factory=dict)
    log_starts_timer: bool = False


class DiskLogRepository:
    """``LogRepository`` on one or several data folders."""

    def __init__(
        self,
        disk: Disk,
        clock: Clock,
        folders: list[str],
        *,
        node_id: int,
        cluster_id: str,
        flush_on_ack: bool,
        on_failure: Callable[[OSError], None],
        progress: Progress = lambda size: None,
    ) -> None:
        self._disk = disk
        self._clock = clock
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="log")
        self._progress = progress
        self._failed = False
        self._on_failure = on_failure
        self._flush_on_ack = flush_on_ack
        self._folders = [self._open_folder(os.path.abspath(path), node_id, cluster_id) for path in folders]
        self._surroundings = {
            folder.path: Surroundings(
                disk=disk,
                clock=clock,
                executor=self._executor,
                flush_on_ack=flush_on_ack,
                on_failure=self._fail,
                persist_log_start=self._persister(folder),
            )
            for folder in self._folders
        }
        self._timer = clock.call_later(_CHECKPOINT_INTERVAL_MS, self._checkpoint_later)

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            self._on_failure(error)

    def _open_folder(self, path: str, node_id: int, cluster_id: str) -> _Folder:
        disk = self._disk
        disk.make_folder(path)
        lock = FolderLock(path)
        meta_path = os.path.join(path, names.META_PROPERTIES)
        try:
            meta = read_meta_properties(disk, meta_path)
        except BrokenFile as broken:
            raise DataFolderError(str(broken)) from None
        if not meta:
            meta = {"version": "1", "cluster.id": cluster_id, "node.id": str(node_id)}
            meta["directory.id"] = encode_id(uuid.uuid4().bytes)
            write_meta_properties(disk, meta_path, meta)
        elif meta.get("node.id", str(node_id)) != str(node_id):
            raise DataFolderError(f"{path} belongs to node {meta['node.id']}, and this broker is node {node_id}")
        elif meta.get("cluster.id", cluster_id) != cluster_id:
            raise DataFolderError(f"{path} belongs to cluster {meta['cluster.id']}, and this one is {cluster_id}")
        marker = os.path.join(path, names.CLEAN_SHUTDOWN)
        clean = disk.read_file(marker) is not None
        # Gone before the first append: from here on only a clean stop may claim to be one.
        disk.remove(marker)
        disk.sync_folder(path)
        for name in disk.names(path):
            if names.is_deleted_folder(name):
                disk.remove(os.path.join(path, name))
        return _Folder(
            path,
            lock,
            clean,
            self._offsets(path, names.RECOVERY_POINTS),
            self._offsets(path, names.LOG_STARTS),
        )

    def _offsets(self, folder: str, name: str) -> dict[Key, int]:
        try:
            return read_offsets(self._disk, os.path.join(folder, name))
        except BrokenFile as broken:
            log.warning("%s; it is made anew", broken)
            return {}

    # ---- the port ----------------------------------------------------------------------------------------------------

    async def open(self, topic: Topic, partition: Partition) -> DiskPartitionLog:
        key = (topic.name, partition.index)
        folder = self._folder_of(topic, partition)
        path = os.path.join(folder.path, names.partition_folder(topic.name, partition.index))
        loop = asyncio.get_running_loop()

        def load() -> list[Segment]:
            self._claim(path, topic)
            segments = open_segments(
                self._disk,
                path,
                topic.settings.index_interval_bytes,
                recovery_point=None if folder.clean else folder.recovery_points.get(key, 0),
                progress=self._progress,
            )
            restore_partition(self._disk, path, partition, segments, folder.log_starts.get(key, 0))
            return segments

        segments = await loop.run_in_executor(self._executor, load)
        opened = DiskPartitionLog(self._surroundings[folder.path], path, topic, partition, segments)
        folder.logs[key] = (opened, partition)
        return opened

    def _folder_of(self, topic: Topic, partition: Partition) -> _Folder:
        """Where the partition lies already, else the folder with the fewest partitions."""
        name = names.partition_folder(topic.name, partition.index)
        for folder in self._folders:
            if self._disk.names(os.path.join(folder.path, name)):
                return folder
        return min(self._folders, key=lambda folder: len(folder.logs))

    def _claim(self, path: str, topic: Topic) -> None:
        """Makes the folder this topic's. One of an older topic of the same name is put away."""
        metadata = os.path.join(path, names.PARTITION_METADATA)
        if self._disk.names(path):
            owner = read_partition_metadata(self._disk, metadata)
            if owner is not None and owner != topic.topic_id:
                stray = f"{path}.{uuid.uuid4().hex}-stray"
                log.warning("%s belongs to topic id %s; it is moved to %s", path, encode_id(owner), stray)
                self._disk.rename(path, stray)
        self._disk.make_folder(path)
        if self._disk.read_file(metadata) is None:
            write_partition_metadata(self._disk, metadata, topic.topic_id)

    async def remove(self, topic: Topic, partition: Partition) -> None:
        key = (topic.name, partition.index)
        for folder in self._folders:
            found = folder.logs.pop(key, None)
            if found is None:
                continue
            folder.log_starts.pop(key, None)
            folder.recovery_points.pop(key, None)
            gone = os.path.join(folder.path, names.deleted_folder(topic.name, partition.index, uuid.uuid4().hex))
            self._disk.rename(found[0].folder, gone)

            def finish(path: str = gone, parent: str = folder.path) -> None:
                self._disk.sync_folder(parent)
                self._disk.remove(path)

            def begin(work: Callable[[], None] = finish) -> None:
                self._executor.submit(work)

            self._clock.call_later(topic.settings.file_delete_delay_ms, begin)

    async def close(self) -> None:
        self._timer.cancel()
        loop = asyncio.get_running_loop()
        for folder in self._folders:
            for opened, _ in folder.logs.values():
                await opened.settle()
                if not self._failed:
                    await loop.run_in_executor(self._executor, opened.close)
            if not self._failed:
                await loop.run_in_executor(self._executor, self._write_checkpoints, folder)
                marker = os.path.join(folder.path, names.CLEAN_SHUTDOWN)
                await loop.run_in_executor(self._executor, self._disk.replace, marker, clean_shutdown_marker())
            folder.lock.release()
        self._executor.shutdown(wait=True)

    # ---- checkpoints -------------------------------------------------------------------------------------------------

    def _checkpoint_later(self) -> None:
        for folder in self._folders:
            self._executor.submit(self._write_checkpoints, folder)
        self._timer = self._clock.call_later(_CHECKPOINT_INTERVAL_MS, self._checkpoint_later)

    def _write_checkpoints(self, folder: _Folder) -> None:
        logs = list(folder.logs.items())
        write_offsets(
            self._disk,
            os.path.join(folder.path, names.RECOVERY_POINTS),
            {key: opened.recovery_point for key, (opened, _) in logs},
        )
        write_offsets(
            self._disk,
            os.path.join(folder.path, names.HIGH_WATERMARKS),
            {key: partition.high_watermark for key, (_, partition) in logs},
        )
        self._write_log_starts(folder)

    def _write_log_starts(self, folder: _Folder) -> None:
        # Kafka lists only those that a segment's name does not tell; so do we.
        starts = {key: partition.log_start_offset for key, (_, partition) in list(folder.logs.items())}
        folder.log_starts = starts
        path = os.path.join(folder.path, names.LOG_STARTS)
        write_offsets(self._disk, path, {key: offset for key, offset in starts.items() if offset > 0})

    def _persister(self, folder: _Folder) -> Callable[[str, int, int], Awaitable[None]]:
        async def persist(topic: str, partition: int, offset: int) -> None:
            del topic, partition, offset  # The file is written whole, from the partitions as they are.
            await asyncio.get_running_loop().run_in_executor(self._executor, self._write_log_starts, folder)

        return persist
