"""A disk that forgets what was not synced.

Owns: files and folders in memory, what of them is durable, and what a power cut leaves. Must never know: logs, batches.

It is harsher than any real one: of the writes to a file that were not synced, a cut keeps a prefix whole and of the
rest any subset of 512-byte sectors; of the changes to a folder (creations, renames, removals) that were not synced, a
prefix in their order. ``cut_at`` ends the world at the n-th change, so that a test can try every moment.
"""

from __future__ import annotations

import errno
import posixpath
import random
from collections.abc import Sequence

from kafka_server.application.stored_records import StoredRecords
from kafka_server.infrastructure.storage.log.disk import EMPTY, Buffer

SECTOR = 512


class PowerCut(BaseException):
    """The world ended; nobody may catch this on the way."""


class Content:
    """The bytes of a file, whatever its names."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.now = bytearray(durable)
        self.pending: list[tuple[int, bytes] | int] = []
        """Writes (position, bytes) and truncations (size) since the last sync."""

    def after_cut(self, luck: random.Random) -> Content:
        kept = bytearray(self.durable)
        whole = luck.randint(0, len(self.pending))
        for change in self.pending[:whole]:
            _apply(kept, change)
        for change in self.pending[whole:]:
            if isinstance(change, int):
                continue
            position, data = change
            for start in range(position - position % SECTOR, position + len(data), SECTOR):
                if luck.random() < 0.5:
                    begin, end = max(start, position), min(start + SECTOR, position + len(data))
                    _apply(kept, (begin, data[begin - position : end - position]))
        if len(kept) < len(self.now) and luck.random() < 0.3:
            kept.extend(bytes(luck.randint(0, len(self.now) - len(kept))))  # the size was durable, the bytes were not
        return Content(bytes(kept))


def _apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
        return
    position, data = change
    if len(content) < position:
        content.extend(bytes(position - len(content)))
    content[position : position + len(data)] = data


Entries = dict[str, Content]


class SimStored(StoredRecords):
    """A part of a file that nobody has read yet."""

    __slots__ = ("_file", "_position", "_size")

    def __init__(self, file: SimFile, position: int, size: int) -> None:
        self._file, self._position, self._size = file, position, size

    def __len__(self) -> int:
        return self._size

    def view(self) -> memoryview:
        found = self._file.read(self._position, self._size)
        assert len(found) == self._size
        return found


class SimFile:
    """``File`` on a ``Content``."""

    def __init__(self, disk: SimDisk, content: Content) -> None:
        self._disk = disk
        self._content = content

    def append(self, pieces: Sequence[Buffer]) -> None:
        data = b"".join(pieces)
        self._disk.change()
        if self._disk.bytes_free < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        self._disk.bytes_free -= len(data)
        self._content.pending.append((len(self._content.now), data))
        self._content.now += data

    def read(self, position: int, size: int) -> memoryview:
        return memoryview(bytes(self._content.now[position : position + size])) if size > 0 else EMPTY

    def read_cached(self, position: int, size: int) -> memoryview | None:
        return None if self._disk.is_cold else self.read(position, size)

    def stored(self, position: int, size: int) -> StoredRecords | None:
        return None if self._disk.is_cold else SimStored(self, position, size)

    def size(self) -> int:
        return len(self._content.now)

    def truncate(self, size: int) -> None:
        self._disk.change()
        self._content.pending.append(size)
        _apply(self._content.now, size)

    def sync(self) -> None:
        self._disk.change()
        if self._disk.sync_fails:
            raise OSError(errno.EIO, "Input/output error")
        self._content.durable = bytes(self._content.now)
        self._content.pending.clear()


class SimDisk:
    """``Disk`` in memory."""

    def __init__(self, luck: random.Random | None = None) -> None:
        self.luck = luck or random.Random(0)
        self.cut_at = -1
        """The change, counted from 0, at which the power fails; -1: never."""
        self.changes = 0
        self.bytes_free = 1 << 40
        self.is_cold = False
        """True: nothing is in the page cache, so every read has to wait."""
        self.sync_fails = False
        self.is_out_of_descriptors = False
        self._durable: dict[str, Entries] = {}
        self._now: dict[str, Entries] = {}
        self._pending: dict[str, list[Entries]] = {}
        """By folder: its entries after each change since its last sync."""
        self._moved: dict[str, list[tuple[str, str]]] = {}
        """By parent: the folders in it that were renamed since its last sync, old and new path."""

    def change(self) -> None:
        """Counts a change; at ``cut_at`` it does not happen any more."""
        if self.changes == self.cut_at:
            raise PowerCut
        self.changes += 1

    def after_cut(self) -> SimDisk:
        """What a machine finds that starts again."""
        disk = SimDisk(self.luck)
        paths = {folder: folder for folder in self._durable}
        for moves in self._moved.values():
            for old, new in reversed(moves[self.luck.randint(0, len(moves)) :]):
                paths = {folder: old if path == new else path for folder, path in paths.items()}
        for folder, durable in self._durable.items():
            states = [durable, *self._pending.get(folder, [])]
            entries = states[self.luck.randint(0, len(states) - 1)]
            path = paths[folder]
            disk._now[path] = {name: content.after_cut(self.luck) for name, content in entries.items()}
            disk._durable[path] = dict(disk._now[path])
        return disk

    def _folder(self, path: str) -> Entries:
        folder = self._now.get(path)
        if folder is None:
            raise FileNotFoundError(errno.ENOENT, "No such folder", path)
        return folder

    def _changed(self, folder: str) -> None:
        self._pending.setdefault(folder, []).append(dict(self._now[folder]))

    # ---- Disk --------------------------------------------------------------------------------------------------------

    def open(self, path: str, *, create: bool = True) -> SimFile:
        folder, name = posixpath.split(path)
        entries = self._folder(folder)
        if self.is_out_of_descriptors:
            raise OSError(errno.EMFILE, "Too many open files")
        if name not in entries:
            if not create:
                raise FileNotFoundError(errno.ENOENT, "No such file", path)
            self.change()
            entries[name] = Content()
            self._changed(folder)
        return SimFile(self, entries[name])

    def modified_ms(self, path: str) -> int:
        self.open(path, create=False)
        return 0

    def read_file(self, path: str) -> bytes | None:
        folder, name = posixpath.split(path)
        content = self._now.get(folder, {}).get(name)
        return None if content is None else bytes(content.now)

    def replace(self, path: str, content: bytes) -> None:
        file = self.open(path + ".tmp")
        file.truncate(0)
        file.append([content])
        file.sync()
        self.rename(path + ".tmp", path)
        self.sync_folder(posixpath.dirname(path))

    def room(self, path: str) -> tuple[int, int]:
        return 1 << 40, self.bytes_free

    def names(self, folder: str) -> list[str]:
        beneath = {path[len(folder) + 1 :] for path in self._now if posixpath.dirname(path) == folder}
        return sorted({*self._now.get(folder, {}), *beneath})

    def make_folder(self, path: str) -> None:
        self._now.setdefault(path, {})
        self._durable.setdefault(path, {})

    def rename(self, old: str, new: str) -> None:
        self.change()
        folder = posixpath.dirname(old)
        if old in self._now:
            for table in (self._now, self._durable, self._pending):
                if old in table:
                    table[new] = table.pop(old)  # type: ignore[attr-defined]
            self._moved.setdefault(folder, []).append((old, new))
            return
        entries = self._folder(folder)
        entries[posixpath.basename(new)] = entries.pop(posixpath.basename(old))
        self._changed(folder)

    def remove(self, path: str) -> None:
        folder, name = posixpath.split(path)
        if path in self._now:
            for inside in self.names(path):
                self.remove(posixpath.join(path, inside))
            self.change()
            del self._now[path], self._durable[path]
            self._pending.pop(path, None)
            return
        if name in self._folder(folder):
            self.change()
            del self._folder(folder)[name]
            self._changed(folder)

    def sync_folder(self, path: str) -> None:
        self.change()
        if self.sync_fails:
            raise OSError(errno.EIO, "Input/output error")
        self._durable[path] = dict(self._folder(path))
        self._pending.pop(path, None)
        self._moved.pop(path, None)
