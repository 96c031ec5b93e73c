"""Owns: one segment - a log file, its two indexes, and finding batches in it.

Must never know: partitions, retention, time.

A segment's files bear the offset of its first record in twenty digits. Batches lie side by side in the log file, as
they came from the producer but for their first 16 bytes. Positions of batches that the sparse index does not know yet
are kept in ``_tail``, so that readers at the end of the log, which is where nearly all of them are, never scan.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from kafka_server.domain.record_batch import HEADER_SIZE, LENGTH_OVERHEAD, BatchHeader, parse_header
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.disk import EMPTY, Buffer, Disk, File
from kafka_server.infrastructure.storage.log.index import OffsetIndex, TimeIndex

RELATIVE_OFFSET_MAX = 2**31 - 1
_SCAN_SIZE = 64 * 1024

Read = Callable[[int, int], memoryview | None]
"""``File.read`` or ``File.read_cached``."""


class NotCached(Exception):
    """The bytes are not in memory; reading them would block the event loop."""


class Segment:
    """A run of batches from ``base_offset`` on. Only the newest segment of a log is appended to."""

    __slots__ = (
        "_before_tail",
        "_disk",
        "_file",
        "_indexes_written",
        "_offset_index",
        "_tail_last_offsets",
        "_tail_positions",
        "_time_index",
        "_unindexed_bytes",
        "base_offset",
        "first_append_ms",
        "folder",
        "index_interval_bytes",
        "last_offset",
        "max_timestamp",
        "max_timestamp_offset",
        "size",
    )

    def __init__(self, disk: Disk, folder: str, base_offset: int, index_interval_bytes: int) -> None:
        self._disk = disk
        self.folder = folder
        self.base_offset = base_offset
        self.index_interval_bytes = index_interval_bytes
        self._file: File | None = disk.open(self.path(names.LOG))
        self.size = self._file.size()
        self.last_offset = base_offset - 1
        """The last offset in the segment; below ``base_offset`` while it is empty."""
        self.max_timestamp = -1
        self.max_timestamp_offset = base_offset
        self.first_append_ms = -1
        """Largest timestamp of the first batch, or the time of its append when it has none: the age for segment.ms."""
        self._offset_index = OffsetIndex(base_offset)
        self._time_index = TimeIndex(base_offset)
        self._tail_last_offsets: list[int] = []
        self._tail_positions: list[int] = []
        self._before_tail = base_offset - 1
        """No batch before the tail holds an offset above this one."""
        self._unindexed_bytes = 0
        self._indexes_written = (-1, -1)

    def path(self, suffix: str) -> str:
        """Path of one of the segment's files."""
        return os.path.join(self.folder, names.file_name(self.base_offset, suffix))

    @property
    def file(self) -> File:
        """The log file, opened again if it was put to rest."""
        if self._file is None:
            self._file = self._disk.open(self.path(names.LOG))
        return self._file

    def rest(self) -> None:
        """Lets go of the descriptor of a segment that is not appended to; a reader opens it again."""
        self._file = None

    # ---- appending ---------------------------------------------------------------------------------------------------

    def append(self, pieces: Sequence[Buffer], size: int, last_offset: int, max_timestamp: int, now_ms: int) -> None:
        """Writes one batch at the end. Raises OSError: then nothing changed."""
        position = self.size
        self.file.append(pieces)
        if self.first_append_ms < 0:
            self.first_append_ms = max_timestamp if max_timestamp >= 0 else now_ms
        self.note(position, size, last_offset, max_timestamp)

    def note(self, position: int, size: int, last_offset: int, max_timestamp: int) -> None:
        """Takes the batch at ``position`` into the indexes, whether it was just written or found on disk."""
        if max_timestamp > self.max_timestamp:
            self.max_timestamp = max_timestamp
            self.max_timestamp_offset = last_offset
        if self._unindexed_bytes > self.index_interval_bytes:
            self._offset_index.append(last_offset, position)
            self._time_index.maybe_append(self.max_timestamp, self.max_timestamp_offset)
            self._unindexed_bytes = 0
            self._before_tail = self.last_offset
            self._tail_last_offsets.clear()
            self._tail_positions.clear()
        self._tail_last_offsets.append(last_offset)
        self._tail_positions.append(position)
        self._unindexed_bytes += size
        self.last_offset = last_offset
        self.size = position + size

    def has_room(self, size: int, last_offset: int, segment_bytes: int, index_bytes: int) -> bool:
        """Whether a batch fits by size, by the width of relative offsets, and by the size of the index."""
        if not self.size:
            return True
        return (
            self.size + size <= segment_bytes
            and last_offset - self.base_offset <= RELATIVE_OFFSET_MAX
            and (len(self._offset_index) + 1) * 8 <= index_bytes
        )

    # ---- finding -----------------------------------------------------------------------------------------------------

    def find(self, offset: int, read: Read) -> tuple[int, BatchHeader] | None:
        """Position and header of the first batch that ends at or after ``offset``; None when there is none.

        Raises NotCached when ``read`` gives None.
        """
        if offset > self.last_offset or not self.size:
            return None
        if self._tail_last_offsets and offset > self._before_tail:
            slot = bisect_left(self._tail_last_offsets, offset)
            position = self._tail_positions[slot]
            return position, parse_header(_have(read(position, HEADER_SIZE)))
        for position, header in self.headers(self._offset_index.position_before(offset), read):
            if header.last_offset >= offset:
                return position, header
        return None

    def position_of_end(self, end_offset: int, read: Read) -> int:
        """Behind the last batch that lies wholly below ``end_offset``."""
        if end_offset > self.last_offset:
            return self.size
        found = self.find(end_offset, read)
        return found[0] if found else self.size

    def read(self, offset: int, size_max: int, end_offset: int, read: Read) -> memoryview:
        """Whole batches from the one that holds ``offset`` on; see ``PartitionLog.read``."""
        found = self.find(offset, read)
        if found is None:
            return EMPTY
        start, header = found
        limit = self.position_of_end(end_offset, read)
        if start + header.size > limit:
            return EMPTY
        return _have(read(start, self._cut(start, header, limit, size_max) - start))

    def _cut(self, start: int, first: BatchHeader, limit: int, size_max: int) -> int:
        """Where to stop: a batch's end that is at most ``size_max`` behind ``start``, but behind the first batch."""
        wish = start + size_max
        if wish >= limit:
            return limit
        end = start + first.size
        if self._tail_positions and wish >= self._tail_positions[0]:
            boundary = self._tail_positions[bisect_left(self._tail_positions, wish + 1) - 1]
        else:
            boundary = self._offset_index.boundary_at_or_below(wish)
        return max(end, boundary)

    def headers(self, position: int, read: Read) -> Iterator[tuple[int, BatchHeader]]:
        """Positions and headers of the batches from ``position`` on, until the end or until what is no header."""
        chunk, chunk_start = EMPTY, position
        while position + HEADER_SIZE <= self.size:
            at = position - chunk_start
            if at + HEADER_SIZE > len(chunk):
                chunk, chunk_start, at = _have(read(position, _SCAN_SIZE)), position, 0
                if len(chunk) < HEADER_SIZE:
                    return
            header = parse_header(chunk, at)
            yield position, header
            if header.batch_length < HEADER_SIZE - LENGTH_OVERHEAD:
                return
            position += header.size

    def find_by_time(self, timestamp: int, start_offset: int, end_offset: int) -> memoryview:
        """The first batch within the bounds that is as new as ``timestamp``; may wait for the device."""
        begin = max(start_offset, self._time_index.offset_before(timestamp))
        for position, header in self.headers(self._offset_index.position_before(begin), self.file.read):
            if header.last_offset >= end_offset:
                break
            if header.last_offset >= start_offset and header.max_timestamp >= timestamp:
                return self.file.read(position, header.size)
        return EMPTY

    # ---- indexes on disk ---------------------------------------------------------------------------------------------

    def write_indexes(self, final: bool) -> None:
        """Writes what changed of the indexes; ``final`` adds the newest timestamp, as when a segment is rolled."""
        if final:
            self._time_index.maybe_append(self.max_timestamp, self.max_timestamp_offset)
        state = (len(self._offset_index), len(self._time_index))
        if state != self._indexes_written:
            self._disk.replace(self.path(names.OFFSET_INDEX), self._offset_index.encode())
            self._disk.replace(self.path(names.TIME_INDEX), self._time_index.encode())
            self._indexes_written = state

    def adopt_indexes(self) -> bool:
        """Takes the indexes over from disk instead of scanning the log; False when they cannot be right."""
        offsets = self._disk.read_file(self.path(names.OFFSET_INDEX))
        times = self._disk.read_file(self.path(names.TIME_INDEX))
        if offsets is None or times is None:
            return False
        offset_index = OffsetIndex.decode(self.base_offset, offsets, self.size)
        time_index = TimeIndex.decode(self.base_offset, times)
        if offset_index is None or time_index is None:
            return False
        self._offset_index, self._time_index = offset_index, time_index
        self.max_timestamp, self.max_timestamp_offset = time_index.last
        self._indexes_written = (len(offset_index), len(time_index))
        return self._scan_tail()

    def _scan_tail(self) -> bool:
        """Reads the headers behind the last index entry: only they tell the last offset. False when they do not fit."""
        position = self._offset_index.boundary_at_or_below(self.size)
        end = position
        for start, header in self.headers(position, self.file.read):
            if start + header.size > self.size or header.last_offset < self.last_offset:
                return False
            self._tail_last_offsets.append(header.last_offset)
            self._tail_positions.append(start)
            self._unindexed_bytes += header.size
            self.last_offset = header.last_offset
            if header.max_timestamp > self.max_timestamp:
                self.max_timestamp, self.max_timestamp_offset = header.max_timestamp, header.last_offset
            end = start + header.size
        if self._tail_last_offsets and len(self._offset_index):
            # What precedes the batch of the newest index entry was not read; it ends below that batch.
            self._before_tail = self._tail_last_offsets[0]
        return end == self.size

    def truncate(self, size: int) -> None:
        """Cuts the log file; the caller rebuilds the indexes."""
        self.file.truncate(size)
        self.size = size

    def files(self) -> list[str]:
        """Paths of the files that belong to this segment."""
        return [self.path(suffix) for suffix in names.SEGMENT_FILES]


def _have(data: memoryview | None) -> memoryview:
    if data is None:
        raise NotCached
    return data
