"""Owns: a data folder (one of log.dirs) - its lock, whose it is, its checkpoints, the mark of a clean stop.

Must never know: segments, requests, where topics are stored.

    <log.dir>/.lock                       held while a broker runs; holds its pid
    <log.dir>/meta.properties             whose folder this is
    <log.dir>/.kafka_cleanshutdown        there between a clean stop and the next start
    <log.dir>/*-checkpoint                recovery points, log starts, high watermarks, by partition
    <log.dir>/<topic>-<partition>/        one log
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from kafka_server.infrastructure.storage import StorageRefused
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
)
from kafka_server.infrastructure.storage.log.disk import Disk

log = logging.getLogger("kafka_server.log")

Key = tuple[str, int]


class DataFolderError(StorageRefused):
    """A data folder cannot be used; the text says which, why, and what to do."""


class FolderLock:
    """Keeps a second broker out of a data folder. The file names the pid of the holder."""

    def __init__(self, folder: str) -> None:
        try:
            import fcntl
        except ImportError:
            raise DataFolderError("Storage on disk needs a POSIX system; use --storage memory here") from None
        self._descriptor = os.open(os.path.join(folder, names.LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(slots=True, frozen=True)
class Identity:
    """Whose data this is."""

    node_id: int
    cluster_id: str


@dataclass(slots=True)
class DataFolder:
    """One of log.dirs while this process holds it."""

    disk: Disk
    path: str
    lock: FolderLock
    clean: bool
    """True when the last broker here stopped properly: what is on disk needs no check."""
    has_recovery_points: bool
    recovery_points: dict[Key, int]
    log_starts: dict[Key, int]
    cleaner_offsets: dict[Key, int]
    """Below these offsets compaction has been."""
    writing: threading.Lock = field(default_factory=threading.Lock)
    """Held while a checkpoint is written: two threads must not share its temporary name. Never taken on the event loop,
    which would wait for the device then."""
    removals: int = 0
    """How many partitions were removed from here so far: the time by which a checkpoint says when it was gathered."""
    gone: dict[Key, int] = field(default_factory=dict)
    """Partitions that were removed, and the value of ``removals`` then. A checkpoint that was gathered before still
    names them, and a topic that is created anew must not begin where the old one did."""

    def recovery_point(self, key: Key) -> int | None:
        """Below this offset everything was synced when the last broker ended; None when all of it was."""
        return None if self.clean else self.recovery_points.get(key, 0)

    def partitions(self) -> dict[Key, bytes | None]:
        """Which partitions lie here, with the topic id that their folder names, if it does."""
        found: dict[Key, bytes | None] = {}
        for name in self.disk.names(self.path):
            key = names.parse_partition_folder(name)
            if key is not None and os.path.isdir(os.path.join(self.path, name)):
                path = os.path.join(self.path, name, names.PARTITION_METADATA)
                try:
                    found[key] = read_partition_metadata(self.disk, path)
                except BrokenFile:
                    found[key] = None  # Whoever opens the partition says so, and writes it anew.
        return found

    def bytes_to_check(self) -> int:
        """What recovery has to read: the segments that were not synced as a whole when the last broker ended."""
        total = 0
        for key in self.partitions() if not self.clean else ():
            path = self.partition_path(key)
            logs = [name for name in self.disk.names(path) if name.endswith(names.LOG)]
            if not logs:  # A crash came between a new partition's folder and its first segment.
                continue
            bases = [names.offset_of(name) or 0 for name in logs]
            point = self.recovery_points.get(key, 0)
            total += sum(
                os.path.getsize(os.path.join(path, name))
                for name, after in zip(logs, [*bases[1:], None], strict=True)
                if after is None or after > point
            )
        return total

    def partition_path(self, key: Key) -> str:
        return os.path.join(self.path, names.partition_folder(*key))

    def put_aside(self, key: Key, name: str) -> None:
        """Renames a partition's folder so that it is not opened."""
        self.disk.rename(self.partition_path(key), os.path.join(self.path, name))
        self.disk.sync_folder(self.path)

    def remove_deleted(self) -> None:
        """Finishes deletions that a stop interrupted."""
        for name in self.disk.names(self.path):
            if names.is_deleted_folder(name):
                self.disk.remove(os.path.join(self.path, name))
        self.disk.sync_folder(self.path)

    def mark_in_use(self) -> None:
        """From here on only a clean stop may claim to have been one."""
        self.disk.remove(os.path.join(self.path, names.CLEAN_SHUTDOWN))
        if not self.has_recovery_points:
            # A missing file would not tell a partition that was never synced from one that is older than the file.
            write_offsets(self.disk, os.path.join(self.path, names.RECOVERY_POINTS), self.recovery_points)
        self.disk.sync_folder(self.path)

    def mark_clean(self) -> None:
        """Says that everything here is durable and needs no check at the next start."""
        self.disk.replace(os.path.join(self.path, names.CLEAN_SHUTDOWN), clean_shutdown_marker())

    # Each of these is told what ``removals`` was when its offsets were gathered.

    def write_recovery_points(self, offsets: Mapping[Key, int], gathered: int) -> None:
        """Notes up to where each of these partitions is synced; others keep what was known of them."""
        with self.writing:
            self._note(self.recovery_points, offsets, gathered)
            write_offsets(self.disk, os.path.join(self.path, names.RECOVERY_POINTS), self.recovery_points)

    def write_log_starts(self, offsets: Mapping[Key, int], gathered: int) -> None:
        """Notes where each of these partitions begins; others keep what was known of them.

        What cannot be written, because the disk is full, is written with the next ones.
        """
        with self.writing:
            # It never goes back: what a checkpoint gathered may be older than what somebody was told since.
            newest = {key: max(offset, self.log_starts.get(key, 0)) for key, offset in offsets.items()}
            self._note(self.log_starts, newest, gathered)
            # As in Kafka, only those are listed that the name of the first segment does not tell.
            listed = {key: offset for key, offset in list(self.log_starts.items()) if offset > 0}
            write_offsets(self.disk, os.path.join(self.path, names.LOG_STARTS), listed)

    def write_cleaner_offset(self, key: Key, offset: int, gathered: int) -> None:
        """Notes how far compaction came in a partition."""
        with self.writing:
            self._note(self.cleaner_offsets, {key: offset}, gathered)
            write_offsets(self.disk, os.path.join(self.path, names.CLEANER_OFFSETS), self.cleaner_offsets)

    def write_high_watermarks(self, offsets: Mapping[Key, int]) -> None:
        """For Kafka's tools; with one replica nothing here reads it."""
        with self.writing:
            write_offsets(self.disk, os.path.join(self.path, names.HIGH_WATERMARKS), offsets)

    def _note(self, known: dict[Key, int], offsets: Mapping[Key, int], gathered: int) -> None:
        known.update(offsets)
        # Afterwards, because a partition can be removed meanwhile.
        for key in offsets:
            if self.gone.get(key, 0) > gathered:
                known.pop(key, None)

    def forget(self, key: Key) -> None:
        """The partition is no longer here."""
        self.removals += 1
        self.gone[key] = self.removals
        self.recovery_points.pop(key, None)
        self.log_starts.pop(key, None)
        self.cleaner_offsets.pop(key, None)


def open_folders(
    disk: Disk, paths: list[str], *, node_id: int | None, cluster_id: str | None, default: Identity
) -> tuple[list[DataFolder], Identity]:
    """Takes the folders for this process and finds out whose they are.

    What is asked for must agree with what is written there; what nobody asks for comes from there, else from
    ``default``. Raises DataFolderError.
    """
    folders: list[DataFolder] = []
    metas: list[dict[str, str]] = []
    try:
        for path in dict.fromkeys(map(os.path.abspath, paths)):
            folder, meta = _open_folder(disk, path)
            folders.append(folder)
            metas.append(meta)
        identity = _identity(folders, metas, node_id, cluster_id, default)
        for folder, meta in zip(folders, metas, strict=True):
            if not meta:
                _write_identity(disk, folder.path, identity)
    except BaseException:
        for folder in folders:
            folder.lock.release()
        raise
    return folders, identity


def _open_folder(disk: Disk, path: str) -> tuple[DataFolder, dict[str, str]]:
    try:
        disk.make_folder(path)
        lock = FolderLock(path)
    except OSError as error:
        raise DataFolderError(f"{path} cannot be used as a data folder: {error.strerror}") from error
    try:
        meta = read_meta_properties(disk, os.path.join(path, names.META_PROPERTIES))
        points_path = os.path.join(path, names.RECOVERY_POINTS)
        folder = DataFolder(
            disk,
            path,
            lock,
            clean=disk.read_file(os.path.join(path, names.CLEAN_SHUTDOWN)) is not None,
            has_recovery_points=disk.read_file(points_path) is not None,
            recovery_points=_offsets(disk, points_path),
            log_starts=_offsets(disk, os.path.join(path, names.LOG_STARTS)),
            cleaner_offsets=_offsets(disk, os.path.join(path, names.CLEANER_OFFSETS)),
        )
    except BrokenFile as broken:
        lock.release()
        raise DataFolderError(f"{broken}; restore it, or remove it if the folder is this node's") from None
    except OSError as error:
        lock.release()
        raise DataFolderError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    return folder, meta


def _offsets(disk: Disk, path: str) -> dict[Key, int]:
    try:
        return read_offsets(disk, path)
    except BrokenFile as broken:
        log.warning("%s; it is made anew", broken)
        return {}


def _identity(
    folders: list[DataFolder],
    metas: list[dict[str, str]],
    node_id: int | None,
    cluster_id: str | None,
    default: Identity,
) -> Identity:
    found_node = str(node_id) if node_id is not None else None
    found_cluster = cluster_id or None
    node_source = cluster_source = "the settings"
    for folder, meta in zip(folders, metas, strict=True):
        theirs = meta.get("node.id", meta.get("broker.id"))
        if theirs is not None:
            if not theirs.isdecimal():
                raise DataFolderError(
                    f"{folder.path} belongs to node {theirs!r}, which is no number; see meta.properties"
                )
            if found_node is not None and theirs != found_node:
                raise DataFolderError(
                    f"{folder.path} belongs to node {theirs}, and {node_source} say node {found_node}; "
                    "each node needs folders of its own"
                )
            found_node, node_source = theirs, folder.path
        theirs = meta.get("cluster.id")
        if theirs is not None:
            if found_cluster is not None and theirs != found_cluster:
                raise DataFolderError(
                    f"{folder.path} belongs to cluster {theirs}, and {cluster_source} say cluster {found_cluster}"
                )
            found_cluster, cluster_source = theirs, folder.path
    return Identity(int(found_node) if found_node is not None else default.node_id, found_cluster or default.cluster_id)


def _write_identity(disk: Disk, path: str, identity: Identity) -> None:
    write_meta_properties(
        disk,
        os.path.join(path, names.META_PROPERTIES),
        {
            "version": "1",
            "cluster.id": identity.cluster_id,
            "node.id": str(identity.node_id),
            "directory.id": encode_id(os.urandom(16)),
        },
    )
