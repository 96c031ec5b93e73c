"""After a clean stop a start reads indexes and the end of each segment: its time does not grow with the records."""

from __future__ import annotations

import posixpath
from collections import Counter

from kafka_server.domain.message import Message
from kafka_server.domain.topic import TopicSettings
from kafka_server.infrastructure.storage.log import names
from tests.crash.sim_disk import SimDisk, SimFile
from tests.domain.batches import NOW_MS, batch
from tests.storage.log_house import open_log

INTERVAL = 4096
SEGMENTS = 6


class Counting(SimDisk):
    """Counts what is read, by the kind of file."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()

    def open(self, path: str, *, create: bool = True) -> SimFile:
        return CountingFile(self, super().open(path, create=create)._content)

    def read_file(self, path: str) -> bytes | None:
        content = super().read_file(path)
        self.read[posixpath.splitext(path)[1] or posixpath.basename(path)] += len(content or b"")
        return content


class CountingFile(SimFile):
    def read(self, position: int, size: int) -> memoryview:
        piece = super().read(position, size)
        if isinstance(self._disk, Counting):
            self._disk.read[names.LOG] += len(piece)
        return piece


async def bytes_of_a_start(segment_bytes: int) -> tuple[Counter[str], int]:
    """What a start reads of a log of several segments of that size, and how large the log is."""
    disk = Counting()
    settings = TopicSettings(segment_bytes=segment_bytes, index_interval_bytes=INTERVAL)
    opened = open_log(disk, after_crash=False, settings=settings)
    while len(opened.log.segments()) < SEGMENTS or opened.log.segments()[-1].size < segment_bytes // 2:
        await opened.append_all(batch(Message(b"key", bytes(300), (), NOW_MS + opened.partition.log_end_offset)))
    size, expected = opened.log.size_bytes(), opened.partition.log_end_offset
    opened.log.close()
    disk.read.clear()
    again = open_log(disk, after_crash=False, settings=settings)
    assert again.partition.log_end_offset == expected
    return disk.read, size


async def test_a_start_after_a_clean_stop_reads_the_end_of_each_segment_and_its_index() -> None:
    read, size = await bytes_of_a_start(300_000)
    assert size > 1_500_000
    assert read[names.LOG] <= SEGMENTS * (INTERVAL + 2_000)
    assert read[names.OFFSET_INDEX] + read[names.TIME_INDEX] <= size // INTERVAL * (8 + 12)
    assert set(read) <= {
        names.LOG,
        names.OFFSET_INDEX,
        names.TIME_INDEX,
        names.SNAPSHOT,
        names.LEADER_EPOCHS,
        "log-starts",
    }


async def test_with_larger_segments_a_start_reads_no_more_of_them() -> None:
    (small, _), (large, _) = await bytes_of_a_start(100_000), await bytes_of_a_start(400_000)
    assert large[names.LOG] <= small[names.LOG] + SEGMENTS * INTERVAL
