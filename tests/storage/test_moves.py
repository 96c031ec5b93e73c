"""A partition moves to another data folder: while it is written and read, and whatever moment the power fails at."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from kafka_server.domain.errors import StorageError
from kafka_server.domain.partition import Partition
from kafka_server.domain.record_batch import assigned_prefix, iterate_batches, parse_header
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import read_offsets
from kafka_server.infrastructure.storage.log.folders import DataFolder
from kafka_server.infrastructure.storage.log.mover import Move
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog, Surroundings
from kafka_server.infrastructure.storage.log.places import Place, settle_moves
from kafka_server.infrastructure.storage.log.recovery import Remembered, open_segments
from kafka_server.infrastructure.storage.log.restore import restore_partition
from kafka_server.infrastructure.storage.log.segment import Segment
from kafka_server.testing.clock import VirtualClock
from tests.crash.sim_disk import PowerCut, SimDisk
from tests.domain.batches import NOW_MS, batch
from tests.storage.log_house import InlineExecutor, numbered, producer_facts

KEY = ("orders", 0)
OLD, NEW = "/old", "/new"
SMALL_SEGMENTS = TopicSettings(segment_bytes=600, index_interval_bytes=100)


@dataclass
class TwoFolders:
    """A broker with two data folders, as far as one partition needs one."""

    disk: SimDisk
    flush_on_ack: bool = True
    after_crash: bool = False
    settings: TopicSettings = SMALL_SEGMENTS
    failures: list[BaseException] = field(default_factory=list)
    acknowledged: int = 0
    """Batches that a producer was told of."""
    removals: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = VirtualClock(NOW_MS)
        self.places = []
        for path in (OLD, NEW):
            self.disk.make_folder(path)
            points = f"{path}/{names.RECOVERY_POINTS}"
            folder = DataFolder(
                self.disk,
                path,
                lock=None,  # type: ignore[arg-type]
                clean=True,
                has_recovery_points=True,
                recovery_points=read_offsets(self.disk, points),
                log_starts=read_offsets(self.disk, f"{path}/{names.LOG_STARTS}"),
                cleaner_offsets={},
            )
            self.places.append(Place(folder, InlineExecutor(), self.failures.append))
        for place in self.places:
            place.folder.clean = not self.after_crash
        self.interrupted = settle_moves(self.places, lambda delay_ms, work: self.removals.append(work))
        self.place = next(
            (place for place in self.places if names.partition_folder(*KEY) in self.disk.names(place.folder.path)),
            self.places[0],
        )
        self.topic, self.partition = Topic("orders", bytes(16), 1, self.settings), Partition(0)
        folder = self.place.folder
        path = folder.partition_path(KEY)
        self.disk.make_folder(path)
        log_start = folder.log_starts.get(KEY, 0)
        known = Remembered(folder.recovery_point(KEY), log_start, is_gap_a_flaw=True)
        segments = open_segments(self.disk, path, self.settings.index_interval_bytes, known, lambda size: None)
        replayed_from = restore_partition(
            self.disk, path, self.partition, segments, log_start, after_crash=self.after_crash
        )
        self.log = DiskPartitionLog(self.around(self.place), path, self.topic, self.partition, segments, replayed_from)
        self.place.logs[KEY] = self.log, self.partition, self.topic

    def around(self, place: Place) -> Surroundings:
        return Surroundings(
            disk=self.disk,
            clock=self.clock,
            writers=InlineExecutor(),
            readers=InlineExecutor(),
            flush_on_ack=self.flush_on_ack,
            on_failure=self.failures.append,
            persist_log_start=partial(place.persist_log_start, KEY),
            later=lambda delay_ms, work: self.removals.append(work),
        )

    def append(self, serial: int) -> asyncio.Future[None] | None:
        return self.append_batch(numbered(2 * serial))

    def append_batch(self, data: bytes) -> asyncio.Future[None] | None:
        header = parse_header(data)
        base = self.partition.log_end_offset
        prefix = assigned_prefix(base, header.batch_length, self.partition.leader_epoch)
        written = self.log.append(
            prefix, memoryview(data)[16:], base, base + header.last_offset_delta, header.max_timestamp
        )
        self.partition.advance(header, NOW_MS, is_safe=written is None)
        return written  # type: ignore[return-value]

    async def produce(self, first: int, count: int) -> None:
        """Batches with these numbers, each acknowledged before the next."""
        for serial in range(first, first + count):
            written = self.append(serial)
            if written is not None:
                await written
            self.acknowledged = serial + 1

    def move(self, thread: Executor | None = None) -> Move:
        source, target = self.place, next(place for place in self.places if place is not self.place)

        def adopt(move: Move, copies: list[Segment]) -> None:
            moved = source.logs.pop(KEY)
            source.forget(KEY)
            self.log.go_on_in(move.path, copies, self.around(target))
            target.logs[KEY] = moved
            self.place = target

        moved = (self.log, self.partition, self.topic)
        return Move(KEY, moved, source.folder, target.folder, thread or InlineExecutor(), adopt)

    async def serials(self) -> list[int]:
        """The numbers of all batches, read from the log start on as a consumer does."""
        found, offset = [], self.partition.log_start_offset
        while offset < self.partition.log_end_offset:
            read = self.log.read(offset, 500, self.partition.log_end_offset)
            data = read if isinstance(read, memoryview) else await read
            assert data, f"nothing at offset {offset} of {self.partition.log_end_offset}"
            for header, _ in iterate_batches(data):
                assert header.base_offset <= offset <= header.last_offset
                found.append(header.base_sequence // 2)
                offset = header.last_offset + 1
        return found


def folders(disk: SimDisk) -> list[str]:
    """Where something that bears the name of the partition lies."""
    return [path for path in (f"{OLD}/orders-0", f"{NEW}/orders-0") if disk.names(path)]


async def test_a_log_is_the_same_in_the_other_folder() -> None:
    at = TwoFolders(SimDisk())
    await at.produce(0, 20)
    before = producer_facts(at.partition)

    assert await at.move().run()
    await at.produce(20, 20)

    assert folders(at.disk) == [f"{NEW}/orders-0"]
    assert await at.serials() == list(range(40))
    at.log.close()
    again = TwoFolders(at.disk)
    assert await again.serials() == list(range(40))
    assert producer_facts(again.partition).keys() == before.keys()
    assert names.MOVED_HERE not in at.disk.names(f"{NEW}/orders-0")


@pytest.mark.parametrize("flush_on_ack", [True, False])
async def test_producers_and_readers_go_on_during_a_move(flush_on_ack: bool) -> None:
    at = TwoFolders(SimDisk(), flush_on_ack=flush_on_ack)
    await at.produce(0, 30)
    moving = asyncio.ensure_future(at.move().run())
    serial = 30
    while not moving.done():
        await at.produce(serial, 1)
        assert await at.serials() == list(range(serial + 1))
        serial += 1
        await asyncio.sleep(0)
    assert moving.result()
    await at.produce(serial, 5)
    assert await at.serials() == list(range(serial + 5))
    assert folders(at.disk) == [f"{NEW}/orders-0"]


@pytest.mark.parametrize("flush_on_ack", [True, False])
async def test_whatever_moment_the_power_fails_at_nothing_that_was_acknowledged_is_lost(flush_on_ack: bool) -> None:
    """Under flush=os the log is as durable as it was before the move began, and all else is a bonus."""
    cut_at, is_over = 0, False
    while not is_over:
        luck = random.Random(cut_at)
        disk = SimDisk(luck)
        at = TwoFolders(disk, flush_on_ack=flush_on_ack)
        await at.produce(0, 12)
        await at.log.settle()
        if not flush_on_ack:
            at.log.prepare_sync()()
        safe = at.acknowledged
        disk.cut_at = disk.changes + cut_at
        moving = asyncio.ensure_future(at.move().run())
        with contextlib.suppress(PowerCut, StorageError, TimeoutError):
            for serial in range(12, 20):
                await asyncio.wait_for(at.produce(serial, 1), 0.2)
                if flush_on_ack:
                    safe = at.acknowledged
                await asyncio.sleep(0)
                if moving.done():
                    break
            await asyncio.wait_for(moving, 0.2)
            is_over = disk.changes < disk.cut_at
        moving.cancel()
        await asyncio.gather(moving, return_exceptions=True)
        disk.cut_at = -1
        for restart in range(2):
            disk = disk.after_cut()
            at = TwoFolders(disk, flush_on_ack=flush_on_ack, after_crash=True)
            found = await at.serials()
            assert found == list(range(len(found)))
            assert len(found) >= safe, (cut_at, restart)
            assert len(folders(disk)) == 1
            for remove in at.removals:
                remove()
        await at.produce(len(found), 3)
        assert await at.serials() == list(range(len(found) + 3))
        cut_at += 1
    assert cut_at > 30


async def test_a_copy_that_was_not_complete_is_dropped_and_remembered() -> None:
    disk = SimDisk()
    at = TwoFolders(disk)
    await at.produce(0, 12)
    disk.cut_at = disk.changes + 20
    with pytest.raises(PowerCut):
        await at.move().run()
    disk.cut_at = -1

    again = TwoFolders(disk.after_cut(), after_crash=True)

    assert [place.folder.path for place in again.interrupted.values()] == [NEW]
    assert not any(name.endswith("-future") for name in again.disk.names(NEW))
    assert await again.serials() == list(range(12))


class Interrupted(InlineExecutor):
    """Does something on the event loop's side once, after that many pieces of work."""

    def __init__(self, after: int, work: Callable[[], None]) -> None:
        self._left, self._work = after, work

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done = super().submit(fn, *args, **kwargs)
        self._left -= 1
        if not self._left:
            self._work()
        return done


@pytest.mark.parametrize(("after", "offset"), [(1, 27), (2, 27), (2, 1)])
async def test_records_that_are_deleted_during_a_move_do_not_come_back_and_producers_are_not_forgotten(
    after: int, offset: int
) -> None:
    at = TwoFolders(SimDisk(), flush_on_ack=False)
    at.append_batch(batch(count=2, producer_id=8, producer_epoch=0, base_sequence=0))
    await at.produce(0, 20)

    def delete() -> None:
        at.partition.delete_records(offset)
        at.log.truncate_prefix(offset)

    assert await at.move(Interrupted(after, delete)).run()

    for _ in range(2):
        at = TwoFolders(at.disk.after_cut(), after_crash=True)
        assert at.partition.log_start_offset == offset
        assert (await at.serials())[-8:] == list(range(12, 20))
        assert set(producer_facts(at.partition)) == {7, 8}


async def test_segments_that_begin_meanwhile_go_along() -> None:
    at = TwoFolders(SimDisk(), flush_on_ack=False)
    await at.produce(0, 12)

    def write() -> None:
        for serial in range(12, 40):
            at.append(serial)

    assert await at.move(Interrupted(2, write)).run()

    assert await at.serials() == list(range(40))
    again = TwoFolders(at.disk.after_cut(), after_crash=True)
    assert await again.serials() == list(range(40))


def test_names_of_copies_are_no_partitions() -> None:
    name = names.future_folder("a.b-1", 3, "0" * 32)

    assert names.parse_future_folder(name) == ("a.b-1", 3)
    assert names.parse_partition_folder(name) is None


async def test_a_cancelled_move_leaves_the_log_where_it_is_and_nothing_else() -> None:
    at = TwoFolders(SimDisk())
    await at.produce(0, 12)
    move = at.move()
    move.cancel()

    assert not await move.run()

    await at.produce(12, 3)
    assert folders(at.disk) == [f"{OLD}/orders-0"]
    assert [name for name in at.disk.names(NEW) if name.startswith("orders")] == []
    assert await at.serials() == list(range(15))


async def test_a_full_disk_ends_the_move_and_nothing_else() -> None:
    at = TwoFolders(SimDisk())
    await at.produce(0, 12)
    free, at.disk.bytes_free = at.disk.bytes_free, 1000

    assert not await at.move().run()

    at.disk.bytes_free = free
    assert at.failures == []
    await at.produce(12, 3)
    assert await at.serials() == list(range(15))
    assert folders(at.disk) == [f"{OLD}/orders-0"]


async def test_back_and_forth() -> None:
    at = TwoFolders(SimDisk())
    for turn in range(4):
        await at.produce(10 * turn, 10)
        assert await at.move().run()
        for remove in at.removals:
            remove()
        assert folders(at.disk) == [f"{(NEW, OLD)[turn % 2]}/orders-0"]
    assert await at.serials() == list(range(40))


async def test_a_device_that_fails_during_the_switch_stops_the_broker_and_no_record_is_lost() -> None:
    at = TwoFolders(SimDisk())
    await at.produce(0, 12)
    move = at.move()
    rename = at.disk.rename

    def fails_after(old: str, new: str) -> None:
        if old == f"{OLD}/orders-0":
            raise OSError(errno.EIO, "Input/output error")
        rename(old, new)

    at.disk.rename = fails_after  # type: ignore[method-assign]
    await move.run()
    await at.log.settle()

    assert len(at.failures) == 1
    again = TwoFolders(at.disk.after_cut(), after_crash=True)
    assert await again.serials() == list(range(12))
    assert len(folders(again.disk)) == 1
