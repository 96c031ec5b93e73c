"""A disk that is full, slow or broken: what producers are told, and what the broker may still promise."""

from __future__ import annotations

import contextlib
import random

import pytest

from kafka_server.domain.control_record import Marker
from kafka_server.domain.errors import StorageError
from kafka_server.domain.record_batch import parse_header
from kafka_server.domain.topic import TopicSettings
from kafka_server.infrastructure.storage.log.checkpoints import write_offsets
from tests.crash.sim_disk import PowerCut, SimDisk
from tests.domain.batches import NOW_MS, batch
from tests.storage.log_house import FOLDER, KEY, STARTS, OpenLog, numbered, open_log, path
from tests.storage.test_transaction_index import write

SMALL_SEGMENTS = TopicSettings(segment_bytes=400, index_interval_bytes=100)


async def test_a_full_disk_refuses_a_batch_and_takes_the_next_one_when_there_is_room() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False)
    await opened.append_all(numbered(0))
    disk.bytes_free = 50
    with pytest.raises(StorageError, match="full"):
        opened.append(numbered(2))
    assert opened.partition.log_end_offset == 2
    assert opened.failures == []

    disk.bytes_free = 1 << 30
    await opened.append_all(numbered(2))
    assert opened.partition.log_end_offset == 4
    opened.log.close()
    assert await open_log(disk, after_crash=False).content() == await opened.content()


async def test_files_that_a_full_disk_has_no_room_for_are_written_when_it_has() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    await opened.append_all(*(numbered(2 * at) for at in range(3)))
    disk.bytes_free = len(numbered(0)) + 5
    await opened.append_all(numbered(6))  # rolls: its snapshot finds no room, the batch does
    assert disk.read_file(path(6, ".snapshot")) is None
    assert opened.log.recovery_point <= 6
    assert opened.failures == []

    disk.bytes_free = 1 << 30
    await opened.append_all(numbered(8))
    assert disk.read_file(path(6, ".snapshot")) is not None
    assert disk.read_file(path(0, ".index"))
    assert opened.log.recovery_point == 10


async def test_a_sync_that_fails_is_final_and_ends_the_broker() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False)
    await opened.append_all(numbered(0))
    disk.sync_fails = True
    written = opened.append(numbered(2))
    assert written is not None
    with pytest.raises(StorageError, match="sync"):
        await written
    assert [type(failure) for failure in opened.failures] == [OSError]

    # The next sync might succeed without anything being safe, so there is none.
    disk.sync_fails = False
    changes = disk.changes
    again = opened.append(numbered(2))
    assert again is not None
    with pytest.raises(StorageError, match="failed before"):
        await again
    assert disk.changes == changes + 1  # the write itself, and no sync


async def test_appends_of_one_turn_of_the_loop_share_one_sync() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False)
    await opened.append_all(numbered(0))
    before = disk.changes
    waiting = [opened.append(numbered(2 * at)) for at in range(1, 51)]
    assert len({id(one) for one in waiting}) == 1
    for one in waiting:
        assert one is not None
        await one
    assert disk.changes - before == 50 + 1


def unsynced(disk: SimDisk) -> int:
    return len(disk._now[FOLDER]["00000000000000000000.log"].pending)


async def test_under_flush_os_the_batch_that_reaches_the_count_waits_for_the_sync_and_so_do_those_behind_it() -> None:
    disk = SimDisk()
    by_count = TopicSettings(flush_messages=4)
    opened = open_log(disk, after_crash=False, settings=by_count, flush_on_ack=False)
    assert opened.append(numbered(0)) is None
    reaches_it = opened.append(numbered(2))
    behind_it = opened.append(numbered(4))
    assert reaches_it is not None
    assert behind_it is not None
    assert opened.partition.high_watermark == 2
    assert unsynced(disk) > 0
    await reaches_it
    await behind_it
    assert unsynced(disk) == 0
    assert opened.append(numbered(6)) is not None  # What waited was counted, too.
    await opened.log.settle()
    assert opened.append(numbered(8)) is None


async def test_a_marker_that_had_to_wait_is_settled_by_a_batch_that_had_not() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=TopicSettings(flush_messages=3), flush_on_ack=False)
    await write(opened, 7, 0, count=2)
    marker = Marker(7, 0, is_commit=True)
    opened.partition.end_transaction(marker, NOW_MS, is_safe=False)
    assert opened.partition.last_stable_offset == 0
    opened.partition.advance(parse_header(batch()), NOW_MS, is_safe=True)
    assert opened.partition.last_stable_offset == opened.partition.high_watermark == 4


async def test_under_flush_os_nobody_waits_and_a_time_can_ask_for_a_sync() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=TopicSettings(flush_ms=1_000), flush_on_ack=False)
    assert opened.append(numbered(0)) is None
    opened.clock.advance(999)
    await opened.log.settle()
    assert disk._now[FOLDER]["00000000000000000000.log"].pending != []
    opened.clock.advance(1)
    await opened.log.settle()
    assert disk._now[FOLDER]["00000000000000000000.log"].pending == []


async def test_cold_bytes_are_fetched_elsewhere_and_are_the_same_bytes() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    await opened.append_all(*(numbered(2 * at) for at in range(40)))
    warm = await opened.content()
    disk.is_cold = True
    cold_read = opened.log.read(0, 1_000, 80)
    assert not isinstance(cold_read, memoryview)
    assert warm.startswith(bytes(await cold_read))
    assert await opened.content() == warm
    luck = random.Random(1)
    for _ in range(50):
        offset, size = luck.randint(0, 79), luck.randint(0, 1_000)
        disk.is_cold = True
        cold = await opened.read(offset, size)
        disk.is_cold = False
        assert cold == await opened.read(offset, size)


async def test_segments_at_rest_wake_up_when_they_are_read() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    await opened.append_all(*(numbered(2 * at) for at in range(40)))
    expected = await opened.content()
    for _ in range(2):
        opened.log.rest()
    assert await opened.content() == expected


@pytest.mark.parametrize("count", [1, 5, 40])
async def test_a_log_at_rest_goes_on_where_it_was(count: int) -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    await opened.append_all(*(numbered(2 * at) for at in range(count)))
    opened.log.close()
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    for at in range(count, count + 10):
        opened.log.rest()
        opened.log.rest()
        await opened.append_all(numbered(2 * at))
    expected = await opened.content()
    assert opened.partition.log_end_offset == 2 * (count + 10)
    opened.log.close()
    again = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    assert await again.content() == expected
    assert [await again.read(at, 1) for at in range(2 * count)] == [await opened.read(at, 1) for at in range(2 * count)]


async def test_a_process_without_descriptors_refuses_and_goes_on() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    await opened.append_all(*(numbered(2 * at) for at in range(3)))
    disk.is_out_of_descriptors = True
    with pytest.raises(StorageError, match="Too many open files"):
        opened.append(numbered(6))  # it would begin a new segment
    disk.is_out_of_descriptors = False
    await opened.append_all(numbered(6))
    assert opened.failures == []
    assert opened.partition.log_end_offset == 8


async def test_a_reader_of_segments_that_retention_removes_meanwhile_is_told_to_come_again() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    await opened.append_all(*(numbered(2 * at) for at in range(40)))
    opened.partition.acknowledge(80)
    for _ in range(2):
        opened.log.rest()
    old = opened.log.segments()[0]
    opened.partition.delete_records(60)
    deleted = opened.log.truncate_prefix(60)
    assert deleted is not None
    await deleted
    await opened.log.settle()
    with pytest.raises(FileNotFoundError):
        old.wake()
    assert (await opened.content()).startswith(await opened.read(60))


async def with_ten_batches(disk: SimDisk) -> OpenLog:
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    await opened.append_all(*(numbered(2 * at) for at in range(10)))
    opened.partition.acknowledge(20)
    return opened


async def retention(opened: OpenLog, offset: int) -> None:
    opened.partition.delete_records(offset)
    opened.log.truncate_prefix(offset)
    await opened.log.settle()


async def test_retention_makes_room_on_a_disk_that_has_none_for_the_log_start() -> None:
    disk = SimDisk()
    opened = await with_ten_batches(disk)
    disk.bytes_free = 0
    await retention(opened, 12)
    assert opened.failures == []
    assert [name for name in disk.names(FOLDER) if name.endswith(".log")] == [
        path(base, ".log").rpartition("/")[2] for base in (12, 18)
    ]


async def test_on_a_full_disk_one_segment_after_the_other_goes_each_durably() -> None:
    disk = SimDisk()
    opened = await with_ten_batches(disk)
    left: list[int] = []
    sync_folder = disk.sync_folder

    def synced(folder: str) -> None:
        left.append(sum(name.endswith(".log") for name in disk.names(folder)))
        sync_folder(folder)

    disk.sync_folder = synced  # type: ignore[method-assign]
    disk.bytes_free = 0
    await retention(opened, 18)
    assert left == [3, 2, 1]


async def test_a_crash_while_a_full_disk_is_trimmed_leaves_no_hole() -> None:
    disk = SimDisk()
    opened = await with_ten_batches(disk)
    begun, expected = disk.changes, await opened.content()
    disk.bytes_free = 0
    await retention(opened, 12)
    for moment in range(begun, disk.changes):
        wounded = SimDisk(random.Random(moment))
        opened = await with_ten_batches(wounded)
        wounded.bytes_free, wounded.cut_at = 0, moment
        with contextlib.suppress(PowerCut):
            await retention(opened, 12)
        again = open_log(wounded.after_cut(), after_crash=True, recovery_point=18, settings=SMALL_SEGMENTS)
        assert again.partition.log_start_offset in (0, 6, 12)
        content = await again.content()
        assert content == expected[len(expected) - len(content) :]
        assert again.partition.log_end_offset == 20


@pytest.mark.parametrize("log_start", [12, 20])
async def test_a_start_on_a_full_disk_removes_what_lies_below_the_log_start(log_start: int) -> None:
    disk = SimDisk()
    opened = await with_ten_batches(disk)
    opened.partition.delete_records(log_start)
    write_offsets(disk, STARTS, {KEY: log_start})  # and the broker is killed
    disk.bytes_free = 0
    again = open_log(disk, after_crash=True, recovery_point=18, settings=SMALL_SEGMENTS)
    assert (again.partition.log_start_offset, again.partition.log_end_offset) == (log_start, 20)
    assert len(await again.content()) == (20 - log_start) // 2 * len(numbered(0))
    assert path(0).rpartition("/")[2] not in disk.names(FOLDER)
