"""Owns: the offset index and the time index of a segment. Must never know: batches, files other than by their bytes.

Both are sparse: an entry is made once at least ``index.interval.bytes`` were appended since the one before.

Offset index, 8 bytes an entry::     relative offset int32 | position int32
Time index, 12 bytes an entry::      timestamp int64 | relative offset int32

An entry of the offset index says: the batch at ``position`` ends with offset ``base + relative offset``. An entry of
the time index says: no record up to that offset is newer than ``timestamp``, and that offset's batch is where it was
reached. Both rise strictly. Entries are kept in memory and written when the segment is flushed, closed or rolled:
after a crash they are rebuilt from the log, which is the only truth.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from itertools import pairwise

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
        self._offsets.append(last_offset - self._base_offset)
        self._positions.append(position)

    def position_before(self, offset: int) -> int:
        """Where to begin looking for the batch that holds ``offset``: the start of a batch at or before it."""
        slot = bisect_right(self._offsets, offset - self._base_offset) - 1
        return self._positions[slot] if slot >= 0 else 0

    def boundary_at_or_below(self, position: int) -> int:
        """The last batch start known to the index that is not beyond ``position``; 0 when there is none."""
        slot = bisect_right(self._positions, position) - 1
        return self._positions[slot] if slot >= 0 else 0

    def encode(self) -> bytes:
        """The index file."""
        both = array("i", bytes(OFFSET_ENTRY_SIZE * len(self)))
        both[::2] = self._offsets
        both[1::2] = self._positions
        return _big_endian(both)

    @classmethod
    def decode(cls, base_offset: int, content: bytes, log_size: int) -> OffsetIndex | None:
        """The index in a file, or None when it cannot be that of a log of ``log_size`` bytes: it is to be rebuilt."""
        # Kafka maps files larger than they need be and cuts them on close; after a crash zeros are left at the end.
        whole = _without_zero_tail(content, OFFSET_ENTRY_SIZE)
        if whole is None:
            return None
        both = array("i")
        both.frombytes(whole)
        if sys.byteorder == "little":
            both.byteswap()
        index = cls(base_offset)
        index._offsets, index._positions = both[::2], both[1::2]
        offsets, positions = index._offsets, index._positions
        if any(a >= b for a, b in pairwise(offsets)) or (len(offsets) and offsets[0] < 0):
            return None
        if any(a >= b for a, b in pairwise(positions)) or (
            len(positions) and (positions[0] < 0 or positions[-1] >= log_size)
        ):
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
            self._timestamps.append(timestamp)
            self._offsets.append(offset - self._base_offset)

    def offset_before(self, timestamp: int) -> int:
        """Everything below the returned offset is older than ``timestamp``; searching may begin there."""
        slot = bisect_left(self._timestamps, timestamp) - 1
        return self._base_offset + self._offsets[slot] if slot >= 0 else self._base_offset

    def encode(self) -> bytes:
        """The index file."""
        timestamps, offsets = _big_endian(self._timestamps), _big_endian(self._offsets)
        return b"".join(
            timestamps[8 * slot : 8 * slot + 8] + offsets[4 * slot : 4 * slot + 4] for slot in range(len(self))
        )

    @classmethod
    def decode(cls, base_offset: int, content: bytes) -> TimeIndex | None:
        """The index in a file, or None when it is broken."""
        whole = _without_zero_tail(content, TIME_ENTRY_SIZE)
        if whole is None:
            return None
        index = cls(base_offset)
        for start in range(0, len(whole), TIME_ENTRY_SIZE):
            timestamp = int.from_bytes(whole[start : start + 8], "big", signed=True)
            relative = int.from_bytes(whole[start + 8 : start + 12], "big", signed=True)
            if relative < 0 or (index._timestamps and timestamp < index._timestamps[-1]):
                return None
            if index._offsets and relative < index._offsets[-1]:
                return None
            index._timestamps.append(timestamp)
            index._offsets.append(relative)
        return index


def _big_endian(values: array[int]) -> bytes:
    if sys.byteorder == "little":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _without_zero_tail(content: bytes, entry_size: int) -> bytes | None:
    """The entries in use, or None when the size is no multiple of an entry's."""
    if len(content) % entry_size:
        return None
    end = len(content)
    # The very first entry may be all zeros in a valid time index of a segment at time 0; an offset index never has one.
    while end > entry_size and not any(content[end - entry_size : end]):
        end -= entry_size
    if end == entry_size and len(content) > entry_size and not any(content[:end]):
        end = 0
    return content[:end]
