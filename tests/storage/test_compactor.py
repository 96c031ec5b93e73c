"""When compaction runs, and what comes of a pass that does not get to its end."""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from kafka_server.domain.topic import TopicSettings
from kafka_server.infrastructure.storage.log import cleaner
from kafka_server.infrastructure.storage.log.compactor import Cleanable, Compactor, plan_for
from kafka_server.infrastructure.storage.log.disk import Buffer
from kafka_server.infrastructure.storage.log.folders import DataFolder
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog
from kafka_server.infrastructure.storage.log.settings import CompactionSettings
from tests.crash.sim_disk import SimDisk, SimFile
from tests.domain.batches import NOW_MS
from tests.storage.log_house import KEY, OpenLog, open_log
from tests.storage.test_compaction import SETTINGS, compact, filled, keyed, latest, messages_of, plan_of


def cleanable(disk: SimDisk, opened: OpenLog) -> Cleanable:
    disk.make_folder("/data")
    folder = DataFolder(disk, "/data", None, True, True, {}, {}, {})  # type: ignore[arg-type]  # nobody needs its lock
    return Cleanable(KEY, folder, opened.log, opened.partition, opened.log._topic)


def compactor(one: Cleanable) -> Compactor:
    return Compactor(one.log._around.clock, CompactionSettings(), lambda: [one])


class Flaky(SimDisk):
    """Its writes fail while ``error`` is set."""

    error = 0

    def open(self, path: str, *, create: bool = True) -> SimFile:
        return FlakyFile(self, super().open(path, create=create)._content)


class FlakyFile(SimFile):
    def append(self, pieces: Sequence[Buffer]) -> None:
        disk = self._disk
        if isinstance(disk, Flaky) and disk.error:
            raise OSError(disk.error, "it fails for now")
        super().append(pieces)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EMFILE, errno.EIO])
async def test_a_pass_that_an_error_of_the_system_ended_is_tried_again_after_the_pause(error: int) -> None:
    disk = Flaky()
    opened = await filled(disk, random.Random(1))
    one = cleanable(disk, opened)
    before, size = await messages_of(opened), opened.log.size_bytes()
    cleaning = compactor(one)
    disk.error = error
    assert await cleaning.clean_one()  # others may be cleaned meanwhile
    assert not await cleaning.clean_one()
    disk.error = 0
    assert not await cleaning.clean_one()  # until the pause is over
    cleaning.begin()
    assert cleaning._task is not None
    await cleaning._task
    await cleaning.close()
    assert opened.log.size_bytes() < size
    assert latest(await messages_of(opened)) == latest(before)


async def test_a_log_that_is_broken_gets_no_second_pass() -> None:
    disk = SimDisk()
    opened = await filled(disk, random.Random(1))
    name = opened.log.segments()[1].path(".log")
    folder, _, file = name.rpartition("/")
    disk._now[folder][file].now[61 + 2] ^= 0xFF
    cleaning = compactor(cleanable(disk, opened))
    assert await cleaning.clean_one()
    cleaning.begin()
    assert not await cleaning.clean_one()
    await cleaning.close()


async def test_a_pass_whose_segments_retention_took_is_not_written_down_as_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = SimDisk()
    opened = await filled(disk, random.Random(1))
    one = cleanable(disk, opened)
    monkeypatch.setattr(DiskPartitionLog, "swap_in", lambda log, old, new: False)
    assert await compactor(one).clean_one()
    assert one.folder.cleaner_offsets == {}


def lagging(opened: OpenLog, lag_ms: int) -> None:
    opened.log._topic.settings = replace(SETTINGS, min_cleanable_dirty_ratio=1.0, max_compaction_lag_ms=lag_ms)


async def test_the_oldest_record_says_when_compaction_is_overdue() -> None:
    disk = SimDisk()
    roomy = TopicSettings(segment_bytes=800, index_interval_bytes=100, cleanup_compact=True)
    opened = open_log(disk, after_crash=False, settings=roomy)
    for at_ms in (0, 9_000, 9_500, 9_900, 10_000):
        await opened.append_all(keyed(("k", "v" * 300), at_ms=NOW_MS + at_ms))
    opened.partition.acknowledge(5)
    assert opened.log.segments()[0].last_offset == 1
    lagging(opened, 10_000)
    one = cleanable(disk, opened)
    assert plan_for(one, NOW_MS + 10_000) is None
    assert plan_for(one, NOW_MS + 10_001) is not None


async def test_a_pass_ends_within_a_segment_when_it_knows_enough_keys_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cleaner, "_KEYS_MAX", 10)
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=TopicSettings(segment_bytes=4_000, cleanup_compact=True))
    for at in range(100):
        await opened.append_all(keyed((f"k{at % 30}", f"{at}" if at % 9 else None)))
    opened.partition.acknowledge(100)
    first = opened.log.segments()[0].last_offset + 1
    assert first > 30
    expected = latest(await messages_of(opened))
    end, up_to, passes = plan_of(opened).end_offset, 0, 0
    while up_to < end:
        # A tombstone that the pass did not get to must not go, even if it was marked before: its key would come back.
        plan = plan_of(opened, first_dirty=up_to, retention_ms=0)
        now = compact(disk, opened, plan, NOW_MS + passes)
        assert up_to < now <= up_to + 10
        up_to, passes = now, passes + 1
        assert latest(await messages_of(opened)) == expected
    assert passes > first // 10
    found = [key for offset, key, _ in await messages_of(opened) if offset < end]
    assert len(found) == len(set(found)) <= 30


async def test_retention_takes_a_segment_behind_which_compaction_left_a_gap() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=TopicSettings(segment_bytes=250))
    for at in range(8):
        await opened.append_all(keyed((f"k{at}", "v" * 40)))
        opened.partition.log_end_offset += 3
    opened.partition.acknowledge(opened.partition.log_end_offset)
    segments = opened.log.segments()
    assert segments[0].last_offset + 1 < segments[1].base_offset
    kept = segments[-2:]
    offset = opened.log.retention_offset(sum(one.size for one in kept), -1, opened.partition.high_watermark)
    assert offset == kept[0].base_offset
    opened.partition.delete_records(offset)
    opened.log.truncate_prefix(offset)
    await opened.log.settle()
    assert opened.log.segments() == kept
