"""Owns: a part of a file on its way to a socket. Must never know: what it holds, connections."""

from __future__ import annotations

import errno
import os
from typing import Protocol

from kafka_server.application.stored_records import StoredRecords

_READ_MAX = 1 << 20
"""What is read at a time where the kernel cannot send it: a socket takes no more, and the rest would be read again."""
_CANNOT = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What sendfile says of a file system that does not support it."""


class Readable(Protocol):
    """An open file."""

    def read(self, position: int, size: int) -> memoryview: ...


class FileBytes(StoredRecords):
    """``size`` bytes of an open file from ``position`` on; they must not change. Keeps the file open."""

    __slots__ = ("_descriptor", "_file", "_position", "_size")

    def __init__(self, file: Readable, descriptor: int, position: int, size: int) -> None:
        self._file = file
        self._descriptor = descriptor
        self._position = position
        self._size = size

    def __len__(self) -> int:
        return self._size

    def view(self) -> memoryview:
        return self._read(self._size)

    def after(self, count: int) -> FileBytes:
        """What is left when the first ``count`` bytes are gone."""
        return FileBytes(self._file, self._descriptor, self._position + count, self._size - count)

    def send(self, socket: int) -> int:
        """Hands the bytes to a socket that does not block, within the kernel; returns how many it took. Raises OSError,
        BlockingIOError when it took none."""
        try:
            count = os.sendfile(socket, self._descriptor, self._position, self._size)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            return os.write(socket, self._read(min(self._size, _READ_MAX)))
        if not count:
            raise self._too_short()
        return count

    def _read(self, size: int) -> memoryview:
        found = self._file.read(self._position, size)
        if len(found) != size:
            raise self._too_short()
        return found

    def _too_short(self) -> OSError:
        return OSError(errno.EIO, f"A log file ended before byte {self._position + self._size}")
