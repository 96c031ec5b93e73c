"""Owns: which transactions of a partition were aborted, and which of them concern a reader.
Must never know: files, producers that are still at work.

A reader of committed data gets the records of aborted transactions along with all others; what it needs is the list of
those transactions, to leave them out (KIP-98). An entry says: from ``first_offset`` up to the marker at ``last_offset``
the records of this producer do not count. ``last_stable_offset`` is what it was once this transaction was over: every
transaction that is aborted later begins there or after it, so a search may stop at the first entry whose last stable
offset lies beyond what was read.

Entries come in the order of their markers. They are kept as plain numbers, 32 bytes each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

_BEYOND_ALL = 2**63 - 1


class AbortedTransaction(NamedTuple):
    """One aborted transaction in one partition."""

    producer_id: int
    first_offset: int
    last_offset: int
    """Offset of its marker."""
    last_stable_offset: int


class AbortedTransactions:
    """The aborted transactions of one partition."""

    __slots__ = ("_first_offsets", "_last_offsets", "_producer_ids", "_stable_offsets")

    def __init__(self) -> None:
        self._producer_ids = array("q")
        self._first_offsets = array("q")
        self._last_offsets = array("q")
        self._stable_offsets = array("q")

    def __len__(self) -> int:
        return len(self._last_offsets)

    def append(self, entry: AbortedTransaction) -> None:
        """Adds a transaction whose marker lies behind all others."""
        self._producer_ids.append(entry.producer_id)
        self._first_offsets.append(entry.first_offset)
        self._last_offsets.append(entry.last_offset)
        self._stable_offsets.append(entry.last_stable_offset)

    def load(self, entries: Iterable[AbortedTransaction]) -> None:
        """Starts from what an index on disk knows."""
        self.forget_below(_BEYOND_ALL)
        for entry in entries:
            self.append(entry)

    def concern(self, offset: int) -> bool:
        """Whether a reader from ``offset`` on can meet records of an aborted transaction; each fetch asks."""
        return bool(self._last_offsets) and self._last_offsets[-1] >= offset

    def between(self, offset: int, end_offset: int) -> list[AbortedTransaction]:
        """Those with records in [``offset``, ``end_offset``), sorted by their first offset."""
        found = []
        for slot in range(bisect_left(self._last_offsets, offset), len(self._last_offsets)):
            if self._first_offsets[slot] < end_offset:
                found.append(self._entry(slot))
            if self._stable_offsets[slot] >= end_offset:
                break
        found.sort(key=_first_offset)
        return found

    def ending_between(self, offset: int, end_offset: int) -> list[AbortedTransaction]:
        """Those whose marker lies in [``offset``, ``end_offset``), in order: the index of one segment."""
        last_offsets = self._last_offsets
        return [
            self._entry(slot)
            for slot in range(bisect_left(last_offsets, offset), bisect_left(last_offsets, end_offset))
        ]

    def forget_below(self, offset: int) -> None:
        """Drops those that end below the log start."""
        count = bisect_left(self._last_offsets, offset)
        if count:
            for column in (self._producer_ids, self._first_offsets, self._last_offsets, self._stable_offsets):
                del column[:count]

    def forget(self, entries: Iterable[AbortedTransaction]) -> None:
        """Drops those of which compaction left nothing, not even the marker."""
        gone = {entry.last_offset for entry in entries}
        if gone:
            self.load([entry for slot in range(len(self)) if (entry := self._entry(slot)).last_offset not in gone])

    def _entry(self, slot: int) -> AbortedTransaction:
        return AbortedTransaction(
            self._producer_ids[slot], self._first_offsets[slot], self._last_offsets[slot], self._stable_offsets[slot]
        )


def _first_offset(entry: AbortedTransaction) -> int:
    return entry.first_offset
