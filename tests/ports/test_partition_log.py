"""What every ``PartitionLog`` does, whoever stores the bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from kafka_server.application.ports import LogRepository, PartitionLog
from kafka_server.application.stored_records import in_memory
from kafka_server.domain.partition import Partition
from kafka_server.domain.record_batch import assigned_prefix, iterate_batches, parse_header
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.clock import SystemClock
from kafka_server.infrastructure.storage.log.disk import OsDisk
from kafka_server.infrastructure.storage.log.folders import Identity, open_folders
from kafka_server.infrastructure.storage.log.repository import DiskLogRepository
from kafka_server.infrastructure.storage.memory import MemoryLogRepository
from tests.domain.batches import NOW_MS, batch, messages

T = TypeVar("T")
TO_THE_END = 2**62


def memory(_: Path) -> LogRepository:
    return MemoryLogRepository()


def on_disk(folder: Path, *, flush_on_ack: bool) -> LogRepository:
    def failed(error: BaseException) -> None:
        raise error

    clock = SystemClock(asyncio.get_running_loop())
    folders, _ = open_folders(OsDisk(), [str(folder)], node_id=1, cluster_id="ports", default=Identity(1, "ports"))
    return DiskLogRepository(clock, folders, flush_on_ack=flush_on_ack, on_failure=failed)


ADAPTERS: dict[str, Callable[[Path], LogRepository]] = {
    "memory": memory,
    "disk, flush=ack": lambda folder: on_disk(folder, flush_on_ack=True),
    "disk, flush=os": lambda folder: on_disk(folder, flush_on_ack=False),
}


@pytest.fixture(params=ADAPTERS)
async def repository(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LogRepository]:
    opened = ADAPTERS[request.param](tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def log(repository: LogRepository) -> PartitionLog:
    return await repository.open(Topic("orders", bytes(range(16)), 1), Partition(0))


async def ready(value: T | Awaitable[T]) -> T:
    return await value if isinstance(value, Awaitable) else value


async def append(log: PartitionLog, base_offset: int, count: int, timestamp: int = NOW_MS, size: int = 10) -> bytes:
    """Stores ``count`` messages in one batch and returns its bytes as they should be read."""
    data = batch(*messages(count, timestamp=timestamp, size=size))
    header = parse_header(data)
    prefix = assigned_prefix(base_offset, header.batch_length, 0)
    written = log.append(prefix, memoryview(data)[16:], base_offset, base_offset + count - 1, header.max_timestamp)
    if written is not None:
        await written
    return prefix + data[16:]


async def read(log: PartitionLog, offset: int, size_max: int = 1 << 30, end_offset: int = TO_THE_END) -> bytes:
    return bytes(in_memory(await ready(log.read(offset, size_max, end_offset))))


async def test_an_empty_log_reads_as_nothing(log: PartitionLog) -> None:
    assert await read(log, 0) == b""
    assert log.size_bytes() == 0


async def test_batches_come_back_as_they_were_written_with_their_new_first_line(log: PartitionLog) -> None:
    first, second = await append(log, 0, 3), await append(log, 3, 2)

    assert await read(log, 0) == first + second
    assert log.size_bytes() == len(first) + len(second)


@pytest.mark.parametrize("offset", [3, 4])
async def test_a_read_starts_with_the_batch_that_holds_the_offset(log: PartitionLog, offset: int) -> None:
    await append(log, 0, 3)
    second = await append(log, 3, 2)

    assert await read(log, offset) == second


async def test_a_read_at_the_end_gives_nothing(log: PartitionLog) -> None:
    await append(log, 0, 3)

    assert await read(log, 3) == b""


async def test_an_offset_in_a_gap_reads_from_the_next_batch(log: PartitionLog) -> None:
    await append(log, 0, 3)
    after_gap = await append(log, 10, 1)

    assert await read(log, 5) == after_gap


async def test_a_read_gives_whole_batches_up_to_the_limit(log: PartitionLog) -> None:
    first, second, third = [await append(log, at, 1) for at in range(3)]

    assert await read(log, 0, len(first) + len(second)) == first + second
    assert await read(log, 0, len(first) + len(second) + len(third) - 1) == first + second


@pytest.mark.parametrize("size_max", [0, 1])
async def test_the_first_batch_comes_whole_even_above_the_limit(log: PartitionLog, size_max: int) -> None:
    first = await append(log, 0, 3)
    await append(log, 3, 3)

    assert await read(log, 1, size_max) == first


async def test_what_reaches_the_end_offset_stays_back(log: PartitionLog) -> None:
    first, second = await append(log, 0, 3), await append(log, 3, 3)

    assert await read(log, 0, end_offset=6) == first + second
    assert await read(log, 0, end_offset=5) == first
    assert await read(log, 0, end_offset=2) == b""
    assert await read(log, 3, end_offset=3) == b""


async def test_batches_of_all_sizes_are_read_from_front_to_back(log: PartitionLog) -> None:
    sizes = [1, 300_000, 10, 10, 70_000, 5_000_000, 1, 260_000, 3]
    written = [await append(log, at, 1, size=size) for at, size in enumerate(sizes * 3)]
    seen: list[bytes] = []
    while len(seen) < len(written):
        part = memoryview(await read(log, len(seen), 1 << 20))
        seen += [bytes(data) for _, data in iterate_batches(part)]

    assert seen == written


async def test_bytes_that_were_read_stay_as_they_are_whatever_happens_to_the_log(log: PartitionLog) -> None:
    first = await append(log, 0, 3)
    held = await ready(log.read(0, 1 << 20, TO_THE_END))
    for at in range(3, 200):
        await append(log, at, 1, size=1_000)
    await ready(log.truncate_prefix(150))

    assert bytes(held) == first


async def test_the_log_keeps_neither_of_the_buffers_that_it_was_given(log: PartitionLog) -> None:
    data = bytearray(batch(count=2))
    expected = bytes(data)
    written = log.append(bytearray(data[:16]), memoryview(data)[16:], 0, 1, NOW_MS)
    data[:] = bytes(len(data))
    if written is not None:
        await written

    assert await read(log, 0) == expected


# ---- by time ---------------------------------------------------------------------------------------------------------


async def find(log: PartitionLog, timestamp: int | None, start: int = 0, end: int = TO_THE_END) -> int | None:
    found = await ready(log.find_batch(timestamp, start, end))
    return parse_header(found).base_offset if found else None


async def test_a_time_finds_the_first_batch_that_reaches_it(log: PartitionLog) -> None:
    for at, timestamp in enumerate([100, 300, 200, 400]):
        await append(log, at, 1, timestamp)

    assert [await find(log, time) for time in (0, 100, 101, 300, 301, 400)] == [0, 0, 1, 1, 3, 3]
    assert await find(log, 401) is None


async def test_a_search_by_time_stays_within_its_offsets(log: PartitionLog) -> None:
    for at in range(4):
        await append(log, at, 1, 100)

    assert await find(log, 100, start=2) == 2
    assert await find(log, 100, start=2, end=2) is None


async def test_the_largest_time_is_found_and_the_first_of_equals_wins(log: PartitionLog) -> None:
    for at, timestamp in enumerate([100, 300, 200, 300]):
        await append(log, at, 1, timestamp)

    assert await find(log, None) == 1
    assert await find(log, None, start=2) == 3
    assert await find(log, None, end=1) == 0


async def test_an_empty_log_has_no_largest_time(log: PartitionLog) -> None:
    assert await find(log, None) is None


# ---- the beginning of the log ----------------------------------------------------------------------------------------


async def test_what_lies_above_a_truncated_prefix_is_still_there(log: PartitionLog) -> None:
    written = [await append(log, at, 1, size=1_000) for at in range(100)]
    await ready(log.truncate_prefix(60))

    assert await read(log, 60) == b"".join(written[60:])
    assert log.size_bytes() <= sum(map(len, written))


async def test_truncating_everything_leaves_a_log_that_goes_on(log: PartitionLog) -> None:
    for at in range(10):
        await append(log, at, 1)
    await ready(log.truncate_prefix(10))
    next_one = await append(log, 10, 1)

    assert await read(log, 10) == next_one


async def test_retention_by_size_keeps_at_least_that_many_bytes(log: PartitionLog) -> None:
    written = [await append(log, at, 1, size=1_000) for at in range(100)]
    keep = 10 * len(written[0])

    assert log.retention_offset(keep, -1, 100) <= 90
    assert log.retention_offset(sum(map(len, written)), -1, 100) == 0


async def test_retention_by_time_keeps_everything_young_enough(log: PartitionLog) -> None:
    for at in range(10):
        await append(log, at, 1, timestamp=1_000 + at)

    assert log.retention_offset(-1, 1_005, 10) <= 5
    assert log.retention_offset(-1, 1_000, 10) == 0


async def test_retention_leaves_what_not_everybody_may_read_yet(log: PartitionLog) -> None:
    await append(log, 0, 1, timestamp=NOW_MS)
    assert log.retention_offset(0, -1, 0) == 0
    assert log.retention_offset(-1, NOW_MS + 1, 0) == 0


async def test_without_bounds_nothing_goes(log: PartitionLog) -> None:
    await append(log, 0, 5)

    assert log.retention_offset(-1, -1, 5) == 0


async def test_removing_a_log_lets_another_one_begin_empty(repository: LogRepository) -> None:
    topic, partition = Topic("orders", bytes(range(16)), 1), Partition(0)
    await append(await repository.open(topic, partition), 0, 3)
    await repository.remove(topic, partition)

    assert await read(await repository.open(topic, Partition(0)), 0) == b""


async def test_a_repository_tells_where_a_log_lies_and_how_much_room_is_there(repository: LogRepository) -> None:
    await repository.open(Topic("orders", bytes(range(16)), 1), Partition(0))

    (path,) = repository.paths()
    total, usable = repository.space(path)

    assert repository.path_of("orders", 0) == path
    assert total >= usable >= -1
