"""Owns: every system call that touches a data folder. Must never know: batches, segments, what a file is for.

All of the storage code goes through ``Disk`` and ``File``, so that a test can put a disk underneath that forgets
whatever was not synced. What the real one promises, and no more:

- ``append`` puts bytes into the page cache in one call; they survive the death of the process, not of the machine.
- ``sync`` makes a file's bytes and size durable. A failed sync is final: the kernel may have dropped the dirty pages,
  so trying again can succeed without anything being safe. Callers must stop, not retry.
- A created, renamed or removed name is durable after ``sync_folder`` of its folder. A rename without it was seen to
  revert.
- ``replace`` writes a whole small file: new content under a temporary name, sync, rename, sync of the folder.

How stored bytes get to a reader was measured (``python -m tests.benchmarks.reads``; CPU seconds per GiB over loopback,
sender + receiver, each piece asked for, Linux 6, two cores): in pieces of 1 MiB preadv with RWF_NOWAIT into memory that
is used again 0.30 + 0.12, mmap 0.27 + 0.13, sendfile 0.16 + 0.14; in pieces of 16 KiB all within a tenth. preadv says
"not in memory" instead of making the event loop wait for the device; before sendfile ``cachestat`` is asked. A read
error or a truncation under a mapping kills the process (SIGBUS), so there is none.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from kafka_server.application.stored_records import StoredRecords
from kafka_server.infrastructure.file_bytes import FileBytes
from kafka_server.infrastructure.page_cache import is_cached

Buffer = bytes | bytearray | memoryview

EMPTY: Final = memoryview(b"")
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
PASSING: Final = FULL | {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What refuses one piece of work and says nothing about the device: no room, no descriptor, no memory."""
_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)
_PAGE_CACHE_ONLY: Final = bool(_NOWAIT) and hasattr(os, "preadv")
WARM_SIZE: Final = 1 << 20
"""What a consumer asks of one partition unless it is told otherwise (max.partition.fetch.bytes)."""
WARM_SIZE_MIN: Final = 64 * 1024
WARM_COUNT_MAX: Final = 8


class File(Protocol):
    """An open file. Dropping the last reference closes it, so a read in another thread never meets a reused
    descriptor."""

    def append(self, pieces: Sequence[Buffer]) -> None:
        """Writes at the end. Raises OSError; the file is then as long as before."""

    def read(self, position: int, size: int) -> memoryview:
        """Up to ``size`` bytes at ``position``; fewer at the end of the file. May wait for the device."""

    def read_cached(self, position: int, size: int) -> memoryview | None:
        """As ``read``, or None when the bytes are not all in memory and reading would wait for the device."""

    def stored(self, position: int, size: int) -> StoredRecords | None:
        """These bytes, all of which were appended, without reading them; None when some are not in memory, or when
        nobody can tell."""

    def size(self) -> int: ...

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None:
        """Waits until everything written is durable. Raises OSError: then nothing is known about what is."""


class Disk(Protocol):
    """A file system, as far as the log needs one. Paths are absolute."""

    def open(self, path: str, *, create: bool = True) -> File:
        """Opens for reading and appending; creates an empty file where there is none, or raises FileNotFoundError."""

    def read_file(self, path: str) -> bytes | None:
        """The whole content, or None when there is no such file."""

    def replace(self, path: str, content: bytes) -> None:
        """Makes ``path`` hold ``content``, all or nothing, durably."""

    def modified_ms(self, path: str) -> int:
        """When the file was last written to, milliseconds since the epoch."""

    def room(self, path: str) -> tuple[int, int]:
        """Size of the volume that a folder lies on, and the bytes that are free for us there."""

    def names(self, folder: str) -> list[str]:
        """Names in a folder, sorted; empty when there is no such folder."""

    def make_folder(self, path: str) -> None:
        """Creates a folder and its parents where they are missing."""

    def rename(self, old: str, new: str) -> None: ...

    def remove(self, path: str) -> None:
        """Removes a file or a folder with all it holds; what is not there is fine."""

    def sync_folder(self, path: str) -> None:
        """Makes creations, renames and removals in a folder durable."""


class WarmMemory:
    """Memory for large reads, used again as soon as nobody looks at it.

    A new bytearray is zeroed before it is read into, which costs a fifth of serving a megabyte from the page cache. The
    few pieces that circulate here are not, and are often still in the processor's cache.
    """

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: deque[bytearray] = deque()

    def take(self, size: int) -> memoryview:
        """``size`` writable bytes of any content. They are the caller's for as long as the view, or one made from it,
        exists."""
        if not WARM_SIZE_MIN <= size <= WARM_SIZE:
            return memoryview(bytearray(size))
        piece = self._unused_piece()
        if piece is None:
            if len(self._pieces) >= WARM_COUNT_MAX:
                return memoryview(bytearray(size))
            piece = bytearray(WARM_SIZE)
        view = memoryview(piece)[:size]
        self._pieces.append(piece)
        return view

    def _unused_piece(self) -> bytearray | None:
        """The piece that was handed out longest ago comes first; it is nobody else's until it is put back."""
        for _ in range(len(self._pieces)):
            try:
                piece = self._pieces.popleft()
            except IndexError:  # another thread looks through the last one
                return None
            if _is_unused(piece):
                return piece
            self._pieces.append(piece)
        return None


def _is_unused(piece: bytearray) -> bool:
    """Whether no view of ``piece`` exists: only then does a bytearray let itself be resized."""
    try:
        piece.append(0)
    except BufferError:
        return False
    piece.pop()
    return True


class OsFile:
    """``File`` on a descriptor."""

    __slots__ = ("_descriptor", "_memory", "_size", "path")

    def __init__(self, path: str, create: bool, memory: WarmMemory) -> None:
        self.path = path
        self._memory = memory
        self._descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._descriptor).st_size

    def __del__(self) -> None:
        descriptor = getattr(self, "_descriptor", -1)
        if descriptor >= 0:
            os.close(descriptor)

    def append(self, pieces: Sequence[Buffer]) -> None:
        size = sum(map(len, pieces))
        try:
            written = os.pwritev(self._descriptor, pieces, self._size) if hasattr(os, "pwritev") else 0
            if written != size:
                # A short write is rare (a signal, a nearly full disk): go on with plain writes.
                rest = memoryview(b"".join(pieces))[written:]
                while rest:
                    count = os.pwrite(self._descriptor, rest, self._size + size - len(rest))
                    rest = rest[count:]
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size += size

    def read(self, position: int, size: int) -> memoryview:
        size = min(size, self._size - position)
        if size <= 0:
            return EMPTY
        return memoryview(os.pread(self._descriptor, size, position))

    def read_cached(self, position: int, size: int) -> memoryview | None:
        if not _PAGE_CACHE_ONLY:
            return self.read(position, size)
        size = min(size, self._size - position)
        if size <= 0:
            return EMPTY
        memory = self._memory.take(size)
        try:
            count = os.preadv(self._descriptor, [memory], position, _NOWAIT)
        except BlockingIOError:
            return None
        except OSError:
            # Not every file system knows the flag (EOPNOTSUPP); reading plainly is right everywhere.
            return self.read(position, size)
        return memory.toreadonly() if count == size else None

    def stored(self, position: int, size: int) -> StoredRecords | None:
        if not is_cached(self._descriptor, position, size):
            return None
        return FileBytes(self, self._descriptor, position, size)

    def size(self) -> int:
        return self._size

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        self._size = size

    def sync(self) -> None:
        # Not fdatasync: it may leave out the new size on some file systems.
        os.fsync(self._descriptor)


class OsDisk:
    """``Disk`` on the operating system's file system."""

    __slots__ = ("_memory",)

    def __init__(self) -> None:
        self._memory = WarmMemory()

    def open(self, path: str, *, create: bool = True) -> File:
        return OsFile(path, create, self._memory)

    def modified_ms(self, path: str) -> int:
        return os.stat(path).st_mtime_ns // 1_000_000

    def room(self, path: str) -> tuple[int, int]:
        volume = os.statvfs(path)
        return volume.f_blocks * volume.f_frsize, volume.f_bavail * volume.f_frsize

    def read_file(self, path: str) -> bytes | None:
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def replace(self, path: str, content: bytes) -> None:
        temporary = path + ".tmp"
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # On a full disk it would hold the room that somebody else could use.
            raise
        os.replace(temporary, path)
        self.sync_folder(os.path.dirname(path))

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def make_folder(self, path: str) -> None:
        missing = []
        while path and not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for folder in reversed(missing):
            os.mkdir(folder)
            self.sync_folder(os.path.dirname(folder))

    def rename(self, old: str, new: str) -> None:
        os.replace(old, new)

    def remove(self, path: str) -> None:
        if os.path.isdir(path) and not os.path.islink(path):
            from shutil import rmtree  # with its archive formats it is too much for every start

            rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def sync_folder(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
