"""Owns: one segment - a log file, its two indexes, and finding batches in it.

Must never know: partitions, retention, the event loop.

A segment's files bear the offset of its first record in twenty digits. Batches lie side by side in the log file, as
they came from the producer but for their first 16 bytes. Positions of batches that the sparse index does not know yet
are kept in ``_tail``, so that readers at the end of the log, which is where nearly all of them are, never scan. A
reader that goes through a segment from front to back is remembered by where it stopped (``_marks``).

A segment that is not appended to is at rest: its descriptor is closed and its indexes are on disk only. ``read`` raises
``NotCached`` for what is not in memory; whoever may wait then fetches exactly that, in another thread, and reads again.

Indexes that come from disk are not believed: where they lead to has to be a batch that they can have meant, and what
follows it a chain of batches. Else they are built anew (``_twin``), unless it is the log that is broken.
"""

from __future__ import annotations

import errno
import logging
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from struct import Struct

from kafka_server.application.stored_records import Records
from kafka_server.domain.record_batch import HEADER_SIZE, LENGTH_OVERHEAD, MAGIC, BatchHeader, parse_header
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.disk import EMPTY, Buffer, Disk, File
from kafka_server.infrastructure.storage.log.index import OffsetIndex, TimeIndex

log = logging.getLogger("kafka_server.log")

RELATIVE_OFFSET_MAX = 2**31 - 1
_SCAN_SIZE = 16 * 1024
_MARKS_MAX = 32
STORED_MIN = 32 * 1024
"""Reads from this size on are sent from the file itself when they can be: below, a copy is cheaper than asking whether
all of it is in memory."""
_WHAT_IT_HOLDS = Struct(">q8xb6xi")
"""Base offset, magic and last offset delta of a batch."""

Indexes = tuple[OffsetIndex, TimeIndex]
Fetched = dict[tuple["Segment", int, int], memoryview]
"""Bytes that were fetched from a device for one read: by segment, position and size. Not by the segment's base offset:
compaction may put another one with the same in its place while bytes are fetched."""


def newest_time(header: BatchHeader) -> int:
    """The time of its newest record, -1 when it has none. What compaction emptied still bears the time that it had, and
    a time index that leads to it is wrong to Kafka's tools."""
    return header.max_timestamp if header.record_count else -1


class Untrue(Exception):
    """An index says something that the log contradicts."""


class NotCached(Exception):
    """These bytes, or the segment's indexes, are not in memory; reading them would block the event loop."""

    def __init__(self, segment: Segment, position: int, size: int) -> None:
        self.segment = segment
        self._position = position
        self._size = size

    def fetch(self, fetched: Fetched) -> None:
        """Brings them in. May wait for the device. Raises OSError."""
        segment = self.segment
        segment.wake()
        if self._size:
            key = segment, self._position, self._size
            fetched[key] = segment.file.read(self._position, self._size)


class NotTrue(NotCached):
    """The segment's indexes are wrong: others have to be made of the whole log file."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment, 0, 0)

    def fetch(self, fetched: Fetched) -> None:
        self.segment.rebuild_indexes()


class Segment:
    """A run of batches from ``base_offset`` on. Only the newest segment of a log is appended to."""

    __slots__ = (
        "_before_tail",
        "_disk",
        "_file",
        "_indexes",
        "_indexes_written",
        "_is_proven",
        "_marks",
        "_tail_last_offsets",
        "_tail_positions",
        "_twin",
        "_unindexed_bytes",
        "base_offset",
        "first_append_ms",
        "folder",
        "index_interval_bytes",
        "is_replaced",
        "is_used",
        "last_append_ms",
        "last_offset",
        "max_timestamp",
        "max_timestamp_offset",
        "size",
        "state",
    )

    def __init__(
        self,
        disk: Disk,
        folder: str,
        base_offset: int,
        index_interval_bytes: int,
        *,
        create: bool = True,
        state: str = "",
    ) -> None:
        self._disk = disk
        self.state = state
        """What the names of the files end with while compaction makes the segment; empty when it is in use."""
        self.folder = folder
        self.base_offset = base_offset
        self.index_interval_bytes = index_interval_bytes
        self._file: File | None = disk.open(self.path(names.LOG), create=create)
        self.size = self._file.size()
        self.last_offset = base_offset - 1
        """The last offset in the segment; below ``base_offset`` while it is empty."""
        self.max_timestamp = -1
        self.max_timestamp_offset = base_offset
        self.first_append_ms = -1
        """Largest timestamp of the first batch, or the time of its append when it has none: the age for segment.ms."""
        self.last_append_ms = disk.modified_ms(self.path(names.LOG)) if self.size else -1
        self.is_used = True
        """Read or appended to since ``rest`` was last considered."""
        self.is_replaced = False
        """Compaction put another segment in its place: under its name lies another file."""
        self._indexes: Indexes | None = OffsetIndex(base_offset), TimeIndex(base_offset)
        self._is_proven = True
        """The indexes were made of the log itself, so nobody needs to check what they say."""
        self._twin: Segment | None = None
        """The same segment, read from its first byte, when its indexes were found to be wrong; see ``settle``."""
        self._tail_last_offsets: list[int] = []
        self._tail_positions: list[int] = []
        self._before_tail = base_offset - 1
        """No batch before the tail holds an offset above this one."""
        self._unindexed_bytes = 0
        self._indexes_written = (-1, -1)
        self._marks: dict[int, int] = {}
        """Where the batch with this base offset starts, for readers that stopped right before it."""

    def path(self, suffix: str) -> str:
        """Path of one of the segment's files."""
        return os.path.join(self.folder, names.file_name(self.base_offset, suffix + self.state))

    def copied_to(self, folder: str) -> Segment:
        """This segment in another folder, where its log file was copied to; the indexes go along as they are."""
        copy = Segment(self._disk, folder, self.base_offset, self.index_interval_bytes, create=False)
        copy._indexes, copy._is_proven = self.indexes, self._is_proven
        copy._tail_last_offsets, copy._tail_positions = list(self._tail_last_offsets), list(self._tail_positions)
        copy._before_tail, copy._unindexed_bytes = self._before_tail, self._unindexed_bytes
        copy.last_offset, copy.size = self.last_offset, self.size
        copy.max_timestamp, copy.max_timestamp_offset = self.max_timestamp, self.max_timestamp_offset
        copy.first_append_ms, copy.last_append_ms = self.first_append_ms, self.last_append_ms
        return copy

    def rename(self, state: str) -> None:
        """Gives the files the names of another state, the log last: it says whether the rest is complete."""
        present = set(self._disk.names(self.folder))
        moves = []
        for suffix in reversed(names.SEGMENT_FILES):
            old = self.path(suffix)
            if os.path.basename(old) in present:
                moves.append((old, os.path.join(self.folder, names.file_name(self.base_offset, suffix + state))))
        for old, new in moves:
            self._disk.rename(old, new)
        self.state = state

    @property
    def file(self) -> File:
        """The log file, opened again if it was put to rest. Raises OSError when it was removed meanwhile."""
        file = self._file
        if file is None:
            file = self._disk.open(self.path(names.LOG), create=False)
            self._refuse_what_replaced_it()
            self._file = file
        return file

    def _refuse_what_replaced_it(self) -> None:
        """To be called after a file was opened or read by its name: it was still this segment's when this returns."""
        if self.is_replaced:
            raise FileNotFoundError(errno.ENOENT, "Compaction put another file in its place", self.path(names.LOG))

    @property
    def indexes(self) -> Indexes:
        """Offset and time index, loaded again if the segment was put to rest. May wait for the device."""
        indexes = self._indexes
        if indexes is None:
            loaded = self._load_indexes()
            self._refuse_what_replaced_it()
            if loaded is not None:
                self._is_proven = False
                indexes = self._indexes = loaded
            else:
                # Somebody removed or broke the files while the broker runs.
                twin = self._read_whole()
                self._is_proven, self._indexes_written = True, (-1, -1)
                indexes = self._indexes = twin.indexes
        return indexes

    def wake(self) -> None:
        """Gets ready to be read from memory. May wait for the device."""
        self.is_used = True
        self.file  # noqa: B018 - opens it
        self.indexes  # noqa: B018 - loads them

    def rest(self, *, is_appended_to: bool = False) -> None:
        """Lets go of the descriptor, and of the indexes if all of them is on disk; who needs them takes them again.

        An append must not wait for a device, and it needs the indexes.
        """
        self._file = None
        self._marks = {}
        indexes = self._indexes
        if indexes is not None and not is_appended_to and (len(indexes[0]), len(indexes[1])) == self._indexes_written:
            self._indexes = None

    # ---- appending ---------------------------------------------------------------------------------------------------

    def append(self, pieces: Sequence[Buffer], size: int, last_offset: int, max_timestamp: int, now_ms: int) -> None:
        """Writes one batch at the end. Raises OSError: then nothing changed."""
        position = self.size
        self.file.append(pieces)
        if self.first_append_ms < 0:
            self.first_append_ms = max_timestamp if max_timestamp >= 0 else now_ms
        self.last_append_ms = now_ms
        self.is_used = True
        self.note(position, size, last_offset, max_timestamp)

    def note(self, position: int, size: int, last_offset: int, max_timestamp: int) -> None:
        """Takes the batch at ``position`` into the indexes, whether it was just written or found on disk."""
        if max_timestamp > self.max_timestamp:
            self.max_timestamp = max_timestamp
            self.max_timestamp_offset = last_offset
        if self._unindexed_bytes > self.index_interval_bytes:
            offset_index, time_index = self.indexes
            offset_index.append(last_offset, position)
            time_index.maybe_append(self.max_timestamp, self.max_timestamp_offset)
            self._unindexed_bytes = 0
            self._before_tail = self.last_offset
            self._tail_last_offsets.clear()
            self._tail_positions.clear()
        self._tail_last_offsets.append(last_offset)
        self._tail_positions.append(position)
        self._unindexed_bytes += size
        self.last_offset = last_offset
        self.size = position + size

    def sync(self) -> None:
        """Makes what was appended durable. Raises OSError, which is final."""
        try:
            file = self.file
        except FileNotFoundError:
            return  # It was dropped from the log meanwhile.
        file.sync()

    def has_room(self, size: int, last_offset: int, segment_bytes: int, index_bytes: int) -> bool:
        """Whether a batch fits by size, by the width of relative offsets, and by the size of the index."""
        if not self.size:
            return True
        return (
            self.size + size <= segment_bytes
            and last_offset - self.base_offset <= RELATIVE_OFFSET_MAX
            and (len(self.indexes[0]) + 1) * 8 <= index_bytes
        )

    # ---- reading on the event loop -----------------------------------------------------------------------------------

    def read(self, offset: int, size_max: int, end_offset: int, fetched: Fetched) -> Records:
        """Whole batches from the one that holds ``offset`` on; see ``PartitionLog.read``. Raises NotCached."""
        if self._file is None or self._indexes is None:
            raise NotCached(self, 0, 0)
        self.is_used = True
        start = self._start_of(offset, fetched)
        limit = self.size if end_offset > self.last_offset else self._start_of(end_offset, fetched)
        if start >= limit:
            return EMPTY
        wish = min(limit - start, max(size_max, HEADER_SIZE))
        # What came from a device is not looked for in memory again.
        if wish >= STORED_MIN and not fetched:
            stored = self._stored(start, wish, limit)
            if stored is not None:
                return stored
        data = self._bytes(start, wish, fetched)
        if wish == limit - start:
            return data
        first_size = int.from_bytes(data[8:12], "big") + LENGTH_OVERHEAD
        if first_size >= wish:
            return data if first_size == wish else self._bytes(start, first_size, fetched)
        return data[: self._cut(start, start + wish, first_size, data)]

    def _stored(self, start: int, wish: int, limit: int) -> Records | None:
        """The same without bringing more than headers into memory; None when that would wait for the device."""
        size = wish
        if wish < limit - start:
            try:
                head = self._bytes(start, LENGTH_OVERHEAD, {})
                first_size = int.from_bytes(head[8:], "big") + LENGTH_OVERHEAD
                size = self._cut(start, start + wish, first_size, head)
            except NotCached:  # Header by header, a thread would be sent for each; the caller fetches all in one go.
                return None
        return self.file.stored(start, size)

    def _cut(self, start: int, end: int, first_size: int, window: memoryview) -> int:
        """How many of the bytes between two positions are whole batches, and at least the first one; remembers where
        the next one starts.

        ``window`` holds as many of them, from ``start`` on, as the caller has read.
        """
        begin = start
        if self._tail_positions and end >= self._tail_positions[0]:
            known = self._tail_positions[bisect_left(self._tail_positions, end + 1) - 1]
        else:
            known, last_offset = self._known_indexes()[0].boundary_at_or_below(end - HEADER_SIZE)
            if not self._is_proven and known - start > first_size:
                first_offset = int.from_bytes(window[:8], "big")
                if known + _WHAT_IT_HOLDS.size > begin + len(window):
                    window, begin = self._bytes(known, min(_SCAN_SIZE, end - known), {}), known
                base_offset, magic, delta = _WHAT_IT_HOLDS.unpack_from(window, known - begin)
                if magic != MAGIC or delta < 0 or not first_offset < base_offset <= last_offset - delta:
                    known = 0  # It is no batch that the index can have meant: all have to be walked through.
        position = max(known, start + first_size)
        while position + LENGTH_OVERHEAD <= end:
            at = position - begin
            if at < 0 or at + LENGTH_OVERHEAD > len(window):
                window, begin, at = self._bytes(position, min(_SCAN_SIZE, end - position), {}), position, 0
            after = position + int.from_bytes(window[at + 8 : at + 12], "big") + LENGTH_OVERHEAD
            if after > end:
                if len(self._marks) >= _MARKS_MAX:
                    del self._marks[next(iter(self._marks))]
                self._marks[int.from_bytes(window[at : at + 8], "big")] = position
                break
            position = after
        return position - start

    def _start_of(self, offset: int, fetched: Fetched) -> int:
        """Position of the first batch that ends at or after ``offset``; the end of the file when there is none."""
        if offset > self.last_offset:
            return self.size
        if offset > self._before_tail and self._tail_positions:
            return self._tail_positions[bisect_left(self._tail_last_offsets, offset)]
        marked = self._marks.get(offset)
        if marked is not None:
            return marked
        index = self._known_indexes()[0]
        try:
            return self._seek(index, offset, lambda at, size: self._bytes(at, size, fetched))
        except Untrue:
            raise NotTrue(self) from None

    def _seek(self, index: OffsetIndex, offset: int, read: Callable[[int, int], memoryview]) -> int:
        """As ``_start_of``, by an index. Raises Untrue when the index is wrong."""
        start, entry_offset, guess = index.around(offset)
        if guess >= 0:
            head = read(guess, _WHAT_IT_HOLDS.size)
            if len(head) == _WHAT_IT_HOLDS.size:
                base_offset, magic, delta = _WHAT_IT_HOLDS.unpack(head)
                # Older brokers made one entry for several batches, so the index alone does not tell.
                if base_offset <= offset <= base_offset + delta and magic == MAGIC:
                    return guess
        is_proven = self._is_proven or not start
        before = self.base_offset - 1
        for position, header in self._headers(start, read):
            if not is_proven:
                is_batch = header.magic == MAGIC and header.last_offset_delta >= 0 and header.base_offset > before
                if not is_batch or (position == start and header.last_offset > entry_offset):
                    raise Untrue
                before = header.last_offset
            if header.last_offset >= offset:
                return position
        if not is_proven and offset <= self.last_offset:
            raise Untrue
        return self.size

    def _known_indexes(self) -> Indexes:
        if self._indexes is None:
            raise NotCached(self, 0, 0)
        return self._indexes

    def _bytes(self, position: int, size: int, fetched: Fetched) -> memoryview:
        found = fetched.get((self, position, size)) if fetched else None
        if found is None:
            found = self.file.read_cached(position, size)
            if found is None:
                raise NotCached(self, position, size)
        return found

    # ---- reading where waiting is fine -------------------------------------------------------------------------------

    def headers(self, from_offset: int = -1) -> Iterator[tuple[int, BatchHeader]]:
        """Positions and headers of the batches that hold ``from_offset`` or more, to the end."""
        if from_offset <= self.base_offset:
            return self._headers(0, self.file.read)
        try:
            start = self._seek(self._best_indexes()[0], from_offset, self.file.read)
        except Untrue:
            self.rebuild_indexes()
            start = self._seek(self._best_indexes()[0], from_offset, self.file.read)
        return self._headers(start, self.file.read)

    def _best_indexes(self) -> Indexes:
        twin = self._twin
        return self.indexes if twin is None else twin.indexes

    def _headers(
        self, position: int, read: Callable[[int, int], memoryview], size: int | None = None
    ) -> Iterator[tuple[int, BatchHeader]]:
        """Ends at the end of the file, or of ``size`` bytes of it, or after what is no header."""
        chunk, chunk_start = EMPTY, position
        while position + HEADER_SIZE <= (end := self.size if size is None else size):
            at = position - chunk_start
            if at + HEADER_SIZE > len(chunk):
                chunk, chunk_start, at = read(position, min(_SCAN_SIZE, end - position)), position, 0
                if len(chunk) < HEADER_SIZE:
                    return
            header = parse_header(chunk, at)
            yield position, header
            if header.batch_length < HEADER_SIZE - LENGTH_OVERHEAD:
                return
            position += header.size

    def batch(self, position: int, header: BatchHeader) -> memoryview:
        """A batch that ``headers`` found."""
        return self.file.read(position, header.size)

    def find_by_time(self, timestamp: int, start_offset: int, end_offset: int) -> memoryview:
        """The first batch within the bounds that is as new as ``timestamp``."""
        begin = start_offset
        entry = self._best_indexes()[1].entry_before(timestamp)
        if entry is not None and entry[1] > start_offset:
            if not self._is_confirmed(entry):
                self.rebuild_indexes()
                entry = self._best_indexes()[1].entry_before(timestamp)
            begin = max(start_offset, entry[1] if entry is not None else 0)
        for position, header in self.headers(begin):
            if header.last_offset >= end_offset:
                break
            if header.last_offset >= start_offset and newest_time(header) >= timestamp:
                return self.batch(position, header)
        return EMPTY

    def _is_confirmed(self, entry: tuple[int, int]) -> bool:
        """Whether the batch with that offset has that timestamp, as an entry of the time index says."""
        if self._is_proven or self._twin is not None:
            return True
        timestamp, offset = entry
        header = next((header for _, header in self.headers(offset)), None)
        return header is not None and header.base_offset <= offset and header.max_timestamp == timestamp

    # ---- indexes on disk ---------------------------------------------------------------------------------------------

    def write_indexes(self) -> None:
        """Writes what changed of the indexes, with the newest timestamp as their end: when a segment is full, and when
        the log is closed."""
        if self._indexes is None:
            return
        offset_index, time_index = self._indexes
        time_index.maybe_append(self.max_timestamp, self.max_timestamp_offset)
        state = (len(offset_index), len(time_index))
        if state != self._indexes_written:
            self._disk.replace(self.path(names.OFFSET_INDEX), offset_index.encode())
            self._disk.replace(self.path(names.TIME_INDEX), time_index.encode())
            self._indexes_written = state

    def adopt_indexes(self) -> bool:
        """Takes the indexes over from disk instead of scanning the log; False when they cannot be right."""
        loaded = self._load_indexes()
        if loaded is None:
            return False
        self._is_proven = False
        self._indexes = loaded
        self._indexes_written = (len(loaded[0]), len(loaded[1]))
        self.max_timestamp, self.max_timestamp_offset = loaded[1].last
        return self._scan_tail()

    def _load_indexes(self) -> Indexes | None:
        offsets = self._disk.read_file(self.path(names.OFFSET_INDEX))
        times = self._disk.read_file(self.path(names.TIME_INDEX))
        if offsets is None or times is None:
            return None
        offset_index = OffsetIndex.decode(self.base_offset, offsets, self.size)
        time_index = TimeIndex.decode(self.base_offset, times)
        return None if offset_index is None or time_index is None else (offset_index, time_index)

    def _read_whole(self) -> Segment:
        """The same segment with indexes from the log itself, up to the first byte that is no batch, or to its end."""
        twin = Segment(self._disk, self.folder, self.base_offset, self.index_interval_bytes, create=False)
        self._refuse_what_replaced_it()
        size, twin.size = twin.size, 0
        for position, header in self._headers(0, twin.file.read, size):
            is_whole = position + header.size <= size and header.size >= HEADER_SIZE
            if header.magic != MAGIC or not is_whole or header.base_offset <= twin.last_offset:
                break
            twin.note(position, header.size, header.last_offset, newest_time(header))
        return twin

    def rebuild_indexes(self) -> None:
        """Makes indexes of the whole log file; they count for searches at once, for reads from ``settle`` on."""
        last_offset = self.last_offset  # now: somebody may append while the file is read
        twin = self._read_whole()
        if twin.last_offset < last_offset:
            # The log is what is broken. Then an index on disk may lead to what lies behind, and is all there is.
            log.error("%s: no batch begins at byte %d", self.path(names.LOG), twin.size)
            self._is_proven = True
            return
        log.warning("%s has an index that is not its own; it is built anew", self.path(names.LOG))
        self._twin = twin

    def settle(self) -> None:
        """Takes rebuilt indexes over. On the event loop, where nothing is appended meanwhile."""
        twin, self._twin = self._twin, None
        if twin is None:
            return
        offset_index, time_index = twin.indexes
        if self._indexes is not None:
            for offset, position in self._indexes[0].entries():
                if position >= twin.size:
                    offset_index.append(offset, position)
            for timestamp, offset in self._indexes[1].entries():
                if offset > twin.last_offset:
                    time_index.maybe_append(timestamp, offset)
        self._indexes, self._indexes_written, self._is_proven = (offset_index, time_index), (-1, -1), True
        if twin.last_offset == self.last_offset:
            self.max_timestamp, self.max_timestamp_offset = twin.max_timestamp, twin.max_timestamp_offset

    @property
    def has_news_of_indexes(self) -> bool:
        """Whether those in memory were never written: those on disk are missing, or were found to be wrong."""
        return self.size > 0 and self._indexes_written == (-1, -1)

    def _scan_tail(self) -> bool:
        """Reads the headers behind the last index entry: only they tell the last offset. False when they do not fit."""
        offset_index = self.indexes[0]
        position = end = offset_index.boundary_at_or_below(self.size)[0]
        newest = self.max_timestamp, self.max_timestamp_offset
        is_confirmed = newest[0] < 0
        for start, header in self._headers(position, self.file.read):
            is_first = start == position
            if (
                start + header.size > self.size
                or header.magic != MAGIC
                or header.last_offset < self.last_offset
                or (is_first and len(offset_index) and header.last_offset > offset_index.last_offset)
            ):
                return False
            self._tail_last_offsets.append(header.last_offset)
            self._tail_positions.append(start)
            self._unindexed_bytes += header.size
            self.last_offset = header.last_offset
            if header.base_offset <= newest[1] <= header.last_offset:
                is_confirmed = header.max_timestamp == newest[0]
            if newest_time(header) > self.max_timestamp:
                self.max_timestamp, self.max_timestamp_offset = header.max_timestamp, header.last_offset
            end = start + header.size
        if self._tail_last_offsets and len(offset_index):
            # What precedes the batch of the newest index entry was not read; it ends below that batch.
            self._before_tail = self._tail_last_offsets[0]
        if self.size:
            first = parse_header(self.file.read(0, HEADER_SIZE)) if self.size >= HEADER_SIZE else None
            self.first_append_ms = first.max_timestamp if first else -1
        return end == self.size and (is_confirmed or self._is_confirmed(newest))

    def truncate(self, size: int) -> None:
        """Cuts the log file; the caller has the indexes of what is left."""
        self.file.truncate(size)
        self.size = size

    def files(self) -> list[str]:
        """Paths of the files that go with this segment."""
        return [self.path(suffix) for suffix in (*names.SEGMENT_FILES, names.SNAPSHOT)]
