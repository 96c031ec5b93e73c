"""Owns: the offset index and the time index of a segment. Must never know: batches, files other than by their bytes.

Both are sparse: an entry is made once at least ``index.interval.bytes`` were appended since the one before.

Offset index, 8 bytes an entry::     relative offset int32 | position int32
Time index, 12 bytes an entry::      timestamp int64 | relative offset int32

An entry of the offset index says: the batch at ``position`` ends with offset ``base + relative offset``. An entry of
the time index says: no record up to that offset is newer than ``timestamp``, and that offset's batch is where it was
reached. Both rise strictly. Entries are kept in memory and written when the segment is flushed, closed or rolled:
after a crash they are rebuilt from the log, which is the only truth.

One thread appends while others look entries up. An entry is added to the array that is *not* searched first, so that
whoever finds it in the searched one finds its other half, too.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right

OFFSET_ENTRY_SIZE = 8
TIME_ENTRY_SIZE = 12


class OffsetIndex:
    """From offsets to positions in the segment's file."""

    __slots__ = ("_base_offset", "_offsets", "_positions")

    def __init__(self, base_offset: int) -> None:
        self._base_offset = base_offset
        self._offsets = array("i")
        self._positions = array("i")

    def __len__(self) -> int:
        return len(self._offsets)

    def append(self, last_offset: int, position: int) -> None:
        """The batch at ``position`` ends with ``last_offset``; both must be larger than those of the entry before."""
        self._positions.append(position)
        self._offsets.append(last_offset - self._base_offset)

    def around(self, offset: int) -> tuple[int, int, int]:
        """Two starts of batches: one at or before the batch that holds ``offset``, and a guess at that batch.

        Between them, the offset of the entry that says the first: its batch ends there, or before. The guess is right
        when every batch has an entry, as large batches do; it is -1 when there is none.
        """
        relative = offset - self._base_offset
        offsets = self._offsets
        slot = bisect_left(offsets, relative)
        guess = self._positions[slot] if slot < len(offsets) else -1
        if not slot:
            return 0, -1, guess
        return self._positions[slot - 1], self._base_offset + offsets[slot - 1], guess

    def boundary_at_or_below(self, position: int) -> tuple[int, int]:
        """The last batch start known to the index that is not beyond ``position``, and the offset which that batch ends
        with, or before; (0, -1) when there is none."""
        slot = bisect_right(self._positions, position) - 1
        return (self._positions[slot], self._base_offset + self._offsets[slot]) if slot >= 0 else (0, -1)

    @property
    def last_offset(self) -> int:
        """What the newest entry's batch ends with; below the base offset while there is none."""
        return self._base_offset + (self._offsets[-1] if self._offsets else -1)

    def entries(self) -> list[tuple[int, int]]:
        """(last offset of the batch, its position), ascending."""
        return [(self._base_offset + at, position) for at, position in zip(self._offsets, self._positions, strict=True)]

    def encode(self) -> bytes:
        """The index file."""
        count = len(self._offsets)  # first: the other array may have one more
        both = array("i", bytes(OFFSET_ENTRY_SIZE * count))
        both[::2], both[1::2] = self._offsets[:count], self._positions[:count]
        return _big_endian(both).tobytes()

    @classmethod
    def decode(cls, base_offset: int, content: bytes, log_size: int) -> OffsetIndex | None:
        """The index in a file, or None when it cannot be that of a log of ``log_size`` bytes: it is to be rebuilt."""
        words = _words(content, OFFSET_ENTRY_SIZE)
        if words is None:
            return None
        index = cls(base_offset)
        index._offsets, index._positions = offsets, positions = words[::2], words[1::2]
        if not (_rises(offsets) and _rises(positions)) or (len(positions) and positions[-1] >= log_size):
            return None
        return index


class TimeIndex:
    """From times to offsets: entries (largest timestamp so far, offset of the batch that had it)."""

    __slots__ = ("_base_offset", "_offsets", "_timestamps")

    def __init__(self, base_offset: int) -> None:
        self._base_offset = base_offset
        self._timestamps = array("q")
        self._offsets = array("i")

    def __len__(self) -> int:
        return len(self._timestamps)

    @property
    def last(self) -> tuple[int, int]:
        """The newest entry; (-1, base offset) while there is none."""
        if not self._timestamps:
            return -1, self._base_offset
        return self._timestamps[-1], self._base_offset + self._offsets[-1]

    def maybe_append(self, timestamp: int, offset: int) -> None:
        """Adds an entry if it is news: a larger timestamp at a larger offset."""
        last_timestamp, last_offset = self.last
        if timestamp > last_timestamp and (offset > last_offset or not self._timestamps):
            self._offsets.append(offset - self._base_offset)
            self._timestamps.append(timestamp)

    def entry_before(self, timestamp: int) -> tuple[int, int] | None:
        """The last entry that is older than ``timestamp``: so is everything below its offset, and searching may begin
        there. None when there is none."""
        slot = bisect_left(self._timestamps, timestamp) - 1
        return (self._timestamps[slot], self._base_offset + self._offsets[slot]) if slot >= 0 else None

    def entries(self) -> list[tuple[int, int]]:
        """(timestamp, offset), ascending."""
        return [(at, self._base_offset + offset) for at, offset in zip(self._timestamps, self._offsets, strict=True)]

    def encode(self) -> bytes:
        """The index file."""
        count = len(self._timestamps)
        halves = array("i")
        halves.frombytes(_big_endian(self._timestamps[:count]).tobytes())
        words = array("i", bytes(TIME_ENTRY_SIZE * count))
        words[::3], words[1::3], words[2::3] = halves[::2], halves[1::2], _big_endian(self._offsets[:count])
        return words.tobytes()

    @classmethod
    def decode(cls, base_offset: int, content: bytes) -> TimeIndex | None:
        """The index in a file, or None when it is broken."""
        words = _words(content, TIME_ENTRY_SIZE)
        if words is None:
            return None
        index = cls(base_offset)
        halves = array("i", bytes(8 * (len(words) // 3)))
        halves[::2], halves[1::2] = _big_endian(words[::3]), _big_endian(words[1::3])
        timestamps = array("q")
        timestamps.frombytes(halves.tobytes())
        index._timestamps, index._offsets = _big_endian(timestamps), words[2::3]
        if not (_rises(index._timestamps) and _rises(index._offsets)) or (len(words) and index._offsets[0] < 0):
            return None
        return index


def _big_endian(values: array[int]) -> array[int]:
    """A copy with the bytes of each number turned around, or turned back."""
    values = values[:]
    if sys.byteorder == "little":
        values.byteswap()
    return values


def _words(content: bytes, entry_size: int) -> array[int] | None:
    """The entries in use as 32-bit numbers, or None when the size is no multiple of an entry's.

    Kafka maps files larger than they need be and cuts them on close; after a crash zeros are left at the end. No entry
    is all zeros but the first one of a time index, of a record at time 0, which is not worth keeping.
    """
    if len(content) % entry_size:
        return None
    used = len(content.rstrip(b"\0"))
    words = array("i")
    words.frombytes(content[: -(-used // entry_size) * entry_size])
    return _big_endian(words)


def _rises(values: array[int]) -> bool:
    """Whether no number is below the one before it."""
    numbers = values.tolist()
    return numbers == sorted(numbers)
