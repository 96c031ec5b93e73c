"""Owns: storage that lives and dies with the process: topics and partition logs in memory.
Must never know: validation, offset rules, the wire. It keeps the bytes it is given and finds them again.

A partition's log is a list of segments. A segment is one run of memory that batches are copied into, side by side, so
that a fetch of many batches is one slice of it. Written bytes never change and segments never move, so a slice that
was handed out stays right for as long as somebody holds it, even after its segment was dropped from the log.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence

from kafka_server.application.ports import Buffer, Moving, PartitionLog
from kafka_server.domain.errors import TopicAlreadyExists, UnknownTopicOrPartition
from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic

_EMPTY = memoryview(b"")
_SEGMENT_SIZE_MIN = 16 * 1024
_SEGMENT_SIZE_MAX = 4 * 1024 * 1024
_OWN_SEGMENT_SIZE_MIN = 256 * 1024


class _Segment:
    """A run of batches. The arrays hold one number per batch: its last offset, where it ends, its largest timestamp."""

    __slots__ = ("ends", "last_offsets", "max_timestamp", "memory", "size_limit", "timestamps", "used", "view")

    def __init__(self, memory: bytearray | bytes) -> None:
        self.memory = memory
        self.view = memoryview(memory).toreadonly()
        self.size_limit = len(memory)
        self.used = 0
        self.ends = array("q")
        self.last_offsets = array("q")
        self.timestamps = array("q")
        self.max_timestamp = -1

    def note(self, size: int, last_offset: int, max_timestamp: int) -> None:
        """Adds the batch that was written at ``used`` to the index."""
        self.used += size
        self.ends.append(self.used)
        self.last_offsets.append(last_offset)
        self.timestamps.append(max_timestamp)
        if max_timestamp > self.max_timestamp:
            self.max_timestamp = max_timestamp

    def batch(self, index: int) -> memoryview:
        return self.view[self.ends[index - 1] if index else 0 : self.ends[index]]


class MemoryPartitionLog:
    """``PartitionLog`` in memory.

    Segments start small, so that ten thousand idle partitions cost little, and double up to 4 MiB. A batch of
    256 KiB or more gets memory of exactly its own size: nothing is wasted at the end of a shared segment.
    """

    __slots__ = ("_dropped", "_segments", "_shared_used", "_size")

    def __init__(self) -> None:
        self._segments: list[_Segment] = []
        self._dropped = 0
        """How many batches at the start of the first segment are below the log start; their memory goes with it."""
        self._size = 0
        self._shared_used = 0
        """Bytes in the newest segment that batches share; the next one is twice as large, whatever lies between."""

    def append(self, head: Buffer, body: Buffer, base_offset: int, last_offset: int, max_timestamp: int) -> None:
        split = len(head)
        size = split + len(body)
        self._size += size
        if size >= _OWN_SEGMENT_SIZE_MIN:
            segment = _Segment(b"".join((head, body)))
            self._segments.append(segment)
        else:
            segments = self._segments
            if not segments or segments[-1].size_limit - segments[-1].used < size:
                doubled = min(max(self._shared_used * 2, _SEGMENT_SIZE_MIN), _SEGMENT_SIZE_MAX)
                segments.append(_Segment(bytearray(max(doubled, size))))
            segment = segments[-1]
            start = segment.used
            memory = segment.memory
            assert isinstance(memory, bytearray)  # A segment with room left is never one of exact size.
            memory[start : start + split] = head
            memory[start + split : start + size] = body
            self._shared_used = start + size
        segment.note(size, last_offset, max_timestamp)

    def read(self, offset: int, size_max: int, end_offset: int) -> memoryview:
        segments = self._segments
        if not segments:
            return _EMPTY
        segment = segments[-1]
        if len(segments) > 1 and offset <= segments[-2].last_offsets[-1]:
            segment = segments[bisect_left(segments, offset, key=_last_offset)]
        last_offsets = segment.last_offsets
        first = bisect_left(last_offsets, offset)
        if first == len(last_offsets):
            return _EMPTY
        ends = segment.ends
        start = ends[first - 1] if first else 0
        after = len(ends)
        if last_offsets[-1] >= end_offset:
            after = bisect_left(last_offsets, end_offset, first)
            if after == first:
                return _EMPTY
        if ends[after - 1] - start > size_max:
            after = max(bisect_right(ends, start + size_max, first, after), first + 1)
        return segment.view[start : ends[after - 1]]

    def find_batch(self, timestamp_ms: int | None, start_offset: int, end_offset: int) -> memoryview:
        best: memoryview = _EMPTY
        best_timestamp = -1
        for segment in self._segments:
            wanted = best_timestamp + 1 if timestamp_ms is None else timestamp_ms
            if segment.last_offsets[-1] < start_offset or segment.max_timestamp < wanted:
                continue
            for index in range(bisect_left(segment.last_offsets, start_offset), len(segment.ends)):
                if segment.last_offsets[index] >= end_offset:
                    return best
                if segment.timestamps[index] >= wanted:
                    best = segment.batch(index)
                    if timestamp_ms is not None:
                        return best
                    best_timestamp = segment.timestamps[index]
                    wanted = best_timestamp + 1
        return best

    def note_start(self, offset: int) -> None:
        return None

    def truncate_prefix(self, offset: int) -> None:
        segments = self._segments
        whole = bisect_left(segments, offset, key=_last_offset)
        for segment in segments[:whole]:
            self._size -= segment.used - (segment.ends[self._dropped - 1] if self._dropped else 0)
            self._dropped = 0
        del segments[:whole]
        if segments:
            dropped = bisect_left(segments[0].last_offsets, offset)
            if dropped > self._dropped:
                ends = segments[0].ends
                self._size -= ends[dropped - 1] - (ends[self._dropped - 1] if self._dropped else 0)
                self._dropped = dropped

    def retention_offset(self, keep_bytes: int, keep_after_ms: int, end_offset: int) -> int:
        """Decides batch by batch, which is finer than a log on disk that can drop whole segments only."""
        result = 0
        left = self._size
        first = self._dropped
        for segment in self._segments:
            ends = segment.ends
            for index in range(first, len(ends)):
                last_offset = segment.last_offsets[index]
                size = ends[index] - (ends[index - 1] if index else 0)
                too_large = keep_bytes >= 0 and left - size >= keep_bytes
                too_old = keep_after_ms >= 0 and segment.timestamps[index] < keep_after_ms
                if not (too_large or too_old) or last_offset >= end_offset:
                    return result
                left -= size
                result = last_offset + 1
            first = 0
        return result

    def size_bytes(self) -> int:
        return self._size


def _last_offset(segment: _Segment) -> int:
    return segment.last_offsets[-1]


class MemoryLogRepository:
    """``LogRepository`` whose logs start empty and are gone when the process ends."""

    __slots__ = ()

    async def open(self, topic: Topic, partition: Partition) -> PartitionLog:
        return MemoryPartitionLog()

    async def remove(self, topic: Topic, partition: Partition) -> None:
        """The memory goes when nobody holds a slice of it any more."""

    def paths(self) -> Sequence[str]:
        return ["memory"]

    def path_of(self, topic_name: str, index: int) -> str:
        return "memory"

    def move(self, topic_name: str, index: int, path: str) -> None:
        """There is no other folder to move to."""

    def moving(self) -> Mapping[tuple[str, int], Moving]:
        return {}

    def space(self, path: str) -> tuple[int, int]:
        return -1, -1

    async def close(self) -> None:
        """Nothing to make durable."""


class MemoryTopicRepository:
    """``TopicRepository`` on two dicts."""

    __slots__ = ("_by_id", "_by_name")

    def __init__(self) -> None:
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[bytes, Topic] = {}

    def get(self, name: str) -> Topic | None:
        return self._by_name.get(name)

    def get_by_id(self, topic_id: bytes) -> Topic | None:
        return self._by_id.get(topic_id)

    def all(self) -> Sequence[Topic]:
        return [self._by_name[name] for name in sorted(self._by_name)]

    async def add(self, topic: Topic) -> None:
        if topic.name in self._by_name or topic.topic_id in self._by_id:
            raise TopicAlreadyExists(f"Topic '{topic.name}' already exists")
        self._by_name[topic.name] = topic
        self._by_id[topic.topic_id] = topic

    async def update(self, topic: Topic) -> None:
        self._require(topic)

    async def remove(self, topic: Topic) -> None:
        self._require(topic)
        del self._by_name[topic.name]
        del self._by_id[topic.topic_id]

    def _require(self, topic: Topic) -> None:
        # Identity, not equality: a topic of the same name that was created anew is another topic.
        if self._by_name.get(topic.name) is not topic:
            raise UnknownTopicOrPartition(f"Topic '{topic.name}' is not stored")


class MemoryProducerIdRepository:
    """``ProducerIdRepository`` that counts from 0; the ids' users are gone when the process is."""

    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    async def reserve(self, count: int) -> int:
        first = self._next
        self._next += count
        return first
