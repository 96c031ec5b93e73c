"""Log compaction: of each key at least the newest record stays, under its own offset, whatever moment the power fails
at."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any

import pytest

from kafka_server.domain.control_record import Marker, build_marker
from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import BatchHeader, iterate_batches, parse_header
from kafka_server.domain.records import RecordBatchBuilder, iterate_messages
from kafka_server.domain.topic import TopicSettings
from kafka_server.infrastructure.storage.log import cleaner
from tests.crash.sim_disk import PowerCut, SimDisk
from tests.domain.batches import CODECS, NOW_MS, batch
from tests.storage.log_house import FOLDER, InlineExecutor, OpenLog, open_log

DAY_MS = 86_400_000
SETTINGS = TopicSettings(segment_bytes=500, index_interval_bytes=100, cleanup_compact=True)


def keyed(*pairs: tuple[str, str | None], codec: int = 0, at_ms: int = NOW_MS) -> bytes:
    """A batch of records with these keys and values; None is a tombstone."""
    builder = RecordBatchBuilder(codec=codec)
    for at, (key, value) in enumerate(pairs):
        builder.append(Message(key.encode(), None if value is None else value.encode(), (), at_ms + at))
    return builder.build(CODECS.compress)


async def messages_of(opened: OpenLog) -> list[tuple[int, str, str | None]]:
    """(offset, key, value) of every message in the log."""
    found = []
    for header, data in iterate_batches(memoryview(await opened.content())):
        if not header.is_control:
            for message in iterate_messages(data, CODECS.decompress):
                assert message.key is not None
                value = None if message.value is None else message.value.decode()
                found.append((message.offset, message.key.decode(), value))
    return found


def latest(found: list[tuple[int, str, str | None]]) -> dict[str, tuple[int, str]]:
    """Key -> what a reader of the whole log ends up with; deleted keys are absent."""
    state: dict[str, tuple[int, str]] = {}
    for offset, key, value in found:
        if value is None:
            state.pop(key, None)
        else:
            state[key] = offset, value
    return state


def plan_of(opened: OpenLog, *, first_dirty: int = 0, retention_ms: int = DAY_MS) -> cleaner.Plan:
    """A pass over everything but the active segment."""
    segments = opened.log.segments()
    producers = {
        producer_id: (entry.epoch, entry.batches[-1].last_offset if entry.batches else -1)
        for producer_id, entry in opened.partition.producers.items()
    }
    end = min(segments[-1].base_offset, opened.partition.last_stable_offset)
    return cleaner.Plan(
        [segment for segment in segments if segment.last_offset < end],
        first_dirty,
        end,
        producers,
        opened.partition.aborted.ending_between(0, opened.partition.log_end_offset),
        500,
        10_000,
        100,
        retention_ms,
    )


class Unhurried(cleaner.Throttle):
    """Does not sleep: there is nobody here to leave the interpreter to."""

    def spent(self, size: int) -> None:
        """Nothing to make up for."""


def compact(disk: SimDisk, opened: OpenLog, plan: cleaner.Plan, now_ms: int = NOW_MS) -> int:
    """One whole pass, as the compactor makes it; returns how far it came."""
    throttle = Unhurried(lambda: float("inf"), lambda: False)
    groups, clean_up_to = cleaner.run_pass(disk, FOLDER, plan, now_ms, CODECS.decompress, CODECS.compress, throttle)
    for group in groups:
        assert opened.log.swap_in(group.old, group.new)
        for path in cleaner.put_in_place(disk, FOLDER, group):
            disk.remove(path)
    return clean_up_to


async def filled(disk: SimDisk, luck: random.Random, batches: int = 30) -> OpenLog:
    """A log of random keys and tombstones, in several segments."""
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    for at in range(batches):
        pairs = [
            (f"k{luck.randint(0, 6)}", None if luck.random() < 0.2 else f"v{at}.{number}")
            for number in range(luck.randint(1, 4))
        ]
        await opened.append_all(keyed(*pairs, codec=luck.choice([0, 0, 1, 3, 4])))
        opened.partition.acknowledge(opened.partition.log_end_offset)
    return opened


async def test_of_each_key_only_the_newest_record_stays_and_keeps_its_offset() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    for at in range(20):
        await opened.append_all(keyed(("same", f"old {at}"), (f"own {at}", "x")))
    opened.partition.acknowledge(opened.partition.log_end_offset)
    before = await messages_of(opened)
    end = compact(disk, opened, plan_of(opened))
    after = await messages_of(opened)

    newest_below_end = max(offset for offset, key, _ in before if key == "same" and offset < end)
    assert [m for m in after if m[1] == "same" and m[0] < end] == [
        (newest_below_end, "same", f"old {newest_below_end // 2}")
    ]
    assert [m for m in after if m[1] != "same"] == [m for m in before if m[1] != "same"]
    assert [m for m in after if m[0] >= end] == [m for m in before if m[0] >= end]


@pytest.mark.parametrize("seed", range(30))
async def test_a_reader_of_the_whole_log_ends_up_with_the_same_keys_and_values(seed: int) -> None:
    disk = SimDisk()
    opened = await filled(disk, random.Random(seed))
    before = await messages_of(opened)
    size = opened.log.size_bytes()
    end = compact(disk, opened, plan_of(opened))
    compact(disk, opened, plan_of(opened, first_dirty=end))

    after = await messages_of(opened)
    assert latest(after) == latest(before)
    assert set(after) <= set(before)
    assert opened.log.size_bytes() < size
    opened.log.close()
    again = open_log(disk, after_crash=False, settings=SETTINGS)
    assert await messages_of(again) == after
    assert again.partition.log_end_offset == opened.partition.log_end_offset


async def test_a_tombstone_stays_for_delete_retention_after_the_first_pass_and_goes_then() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    await opened.append_all(keyed(("gone", "value")), keyed(("gone", None)))
    await opened.append_all(*(keyed((f"other {at}", "x" * 50)) for at in range(10)))
    opened.partition.acknowledge(opened.partition.log_end_offset)

    def tombstones(found: list[tuple[int, str, str | None]]) -> list[int]:
        return [offset for offset, key, _ in found if key == "gone"]

    compact(disk, opened, plan_of(opened), NOW_MS)
    assert tombstones(await messages_of(opened)) == [1]
    compact(disk, opened, plan_of(opened), NOW_MS + DAY_MS - 1)
    assert tombstones(await messages_of(opened)) == [1]
    compact(disk, opened, plan_of(opened), NOW_MS + DAY_MS)
    assert tombstones(await messages_of(opened)) == []


async def test_times_of_records_survive_the_delete_horizon() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    await opened.append_all(keyed(("a", "1"), ("b", None), ("c", "3")))
    await opened.append_all(*(keyed((f"other {at}", "x" * 50)) for at in range(10)))
    opened.partition.acknowledge(opened.partition.log_end_offset)
    compact(disk, opened, plan_of(opened))

    first = next(data for _, data in iterate_batches(memoryview(await opened.content())))
    assert [message.timestamp for message in iterate_messages(first, CODECS.decompress)] == [
        NOW_MS,
        NOW_MS + 1,
        NOW_MS + 2,
    ]
    assert parse_header(first).max_timestamp == NOW_MS + 2


async def test_the_last_batch_of_a_producer_stays_though_its_records_are_gone() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    await opened.append_all(batch(count=1, producer_id=7, producer_epoch=0, base_sequence=0))
    await opened.append_all(*(keyed(("key", f"{at}" * 30)) for at in range(12)))
    opened.partition.acknowledge(opened.partition.log_end_offset)
    compact(disk, opened, plan_of(opened))

    kept = [header for header, _ in iterate_batches(memoryview(await opened.content())) if header.producer_id == 7]
    assert [(header.base_sequence, header.record_count) for header in kept] == [(0, 0)]


async def test_segments_that_were_overwritten_as_a_whole_leave_no_row_of_empty_batches() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    await opened.append_all(keyed(("first", "x")))
    for at in range(60):
        await opened.append_all(keyed(("same", f"old {at}")))
    opened.partition.acknowledge(opened.partition.log_end_offset)
    assert len(opened.log.segments()) > 5
    compact(disk, opened, plan_of(opened))

    left = [header async for header in headers_of(opened)]
    assert sum(1 for header in left if not header.record_count) <= 1
    assert len(opened.log.segments()) == 3  # the one with a newest record, all that followed, the active one


async def test_a_time_index_does_not_lead_to_what_compaction_emptied() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    for at in range(6):
        newest = Message(b"key", b"x" * 40, (), NOW_MS + 1_000 + at)
        await opened.append_all(batch(newest, producer_id=at, producer_epoch=0, base_sequence=0))
    await opened.append_all(*(keyed((f"other {at}", "x" * 50), ("key", "y")) for at in range(10)))
    opened.partition.acknowledge(opened.partition.log_end_offset)
    compact(disk, opened, plan_of(opened))
    emptied = {header.last_offset async for header in headers_of(opened) if not header.record_count}
    assert len(emptied) > 4

    def times(log: OpenLog) -> set[int]:
        return {offset for segment in log.log.segments() for _, offset in segment.indexes[1].entries()}

    assert times(opened) & emptied == set()
    assert times(open_log(disk, after_crash=True, settings=SETTINGS)) & emptied == set()


async def test_records_of_aborted_transactions_go_and_do_not_hide_older_ones() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    await opened.append_all(keyed(("key", "committed")))
    builder = RecordBatchBuilder(is_transactional=True, producer_id=9, producer_epoch=0, base_sequence=0)
    await opened.append_all(builder.append(Message(b"key", b"aborted", (), NOW_MS)).build())
    marker = Marker(9, 0, is_commit=False)
    data = build_marker(marker, NOW_MS)
    base = opened.partition.log_end_offset
    written = opened.log.append(
        base.to_bytes(8, "big") + data[8:12] + bytes(4), memoryview(data)[16:], base, base, NOW_MS
    )
    opened.partition.end_transaction(marker, NOW_MS, is_safe=False)
    assert written is not None
    await written
    await opened.append_all(*(keyed((f"other {at}", "x" * 50)) for at in range(10)))
    opened.partition.acknowledge(opened.partition.log_end_offset)
    compact(disk, opened, plan_of(opened))

    assert [m for m in await messages_of(opened) if m[1] == "key"] == [(0, "key", "committed")]


class AfterCompaction(InlineExecutor):
    """Compacts the log once, right before the first work that it is given."""

    compact: Callable[[], object] | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.compact is not None:
            first, self.compact = self.compact, None
            first()
        return super().submit(fn, *args, **kwargs)


@pytest.mark.parametrize("at", range(0, 60, 7))
async def test_a_search_that_compaction_overtakes_finds_what_is_in_the_new_segments(at: int) -> None:
    disk, readers = SimDisk(), AfterCompaction()
    opened = open_log(disk, after_crash=False, settings=SETTINGS, readers=readers)
    for number in range(60):
        await opened.append_all(keyed((f"k{number % 3}", "x" * (number % 7)), at_ms=NOW_MS + number))
    end = opened.partition.log_end_offset
    opened.partition.acknowledge(end)
    for _ in range(2):
        opened.log.rest()
    segments = list(opened.log.segments())

    def compact_and_rest() -> None:
        compact(disk, opened, plan_of(opened))
        for segment in segments:
            segment.rest()

    readers.compact = compact_and_rest
    found = await opened.log.find_batch(NOW_MS + at, 0, end)
    left = [header async for header in headers_of(opened)]
    assert len(left) < 60
    with_records = (header for header in left if header.record_count)
    assert parse_header(found) == next(header for header in with_records if header.max_timestamp >= NOW_MS + at)


async def headers_of(opened: OpenLog) -> AsyncIterator[BatchHeader]:
    for header, _ in iterate_batches(memoryview(await opened.content())):
        yield header


def two_passes(disk: SimDisk, opened: OpenLog) -> None:
    """The second one removes the tombstones that the first one marked."""
    compact(disk, opened, plan_of(opened, retention_ms=0), NOW_MS)
    compact(disk, opened, plan_of(opened, retention_ms=0), NOW_MS + 1)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_moment_the_power_fails_at_no_key_is_lost_and_none_comes_back(seed: int) -> None:
    def disk_of(moment: int) -> SimDisk:
        return SimDisk(random.Random(seed * 1_000 + moment))

    disk = disk_of(0)
    opened = await filled(disk, random.Random(seed))
    begun = disk.changes
    two_passes(disk, opened)
    for moment in range(begun, disk.changes):
        wounded = disk_of(moment)
        opened = await filled(wounded, random.Random(seed))
        before = await messages_of(opened)
        recovery_point = opened.log.segments()[-1].base_offset
        wounded.cut_at = moment
        with pytest.raises(PowerCut):
            two_passes(wounded, opened)
        again = open_log(wounded.after_cut(), after_crash=True, recovery_point=recovery_point, settings=SETTINGS)
        after = await messages_of(again)
        assert latest(after) == latest(before)
        assert set(after) <= set(before)
        assert again.partition.log_end_offset == opened.partition.log_end_offset


# ---- the brake ---------------------------------------------------------------------------------------------------


def test_a_pass_does_not_sleep_on_when_its_brake_is_released() -> None:
    rates = iter([1.0, 1.0, -1.0])
    throttle = cleaner.Throttle(lambda: next(rates), lambda: False)

    began = time.monotonic()
    throttle.spent(1_000_000)  # at one byte per second that would be a million seconds

    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("rate", "abandoned"), [(0.0, False), (1.0, True)])
def test_a_pass_ends_when_nothing_may_be_compacted_or_nobody_wants_it(rate: float, abandoned: bool) -> None:
    with pytest.raises(cleaner.Abandoned):
        cleaner.Throttle(lambda: rate, lambda: abandoned).spent(1_000_000)
