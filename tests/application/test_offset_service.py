"""Where to start reading: first, last, by time, by leader epoch; and what leaves the log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kafka_server.application.offset_service import (
    EARLIEST,
    EARLIEST_LOCAL,
    EARLIEST_PENDING_UPLOAD,
    LATEST,
    LATEST_TIERED,
    MAX_TIMESTAMP,
)
from kafka_server.application.replica_manager import Replica
from kafka_server.domain.errors import FencedLeaderEpoch, InvalidTopic, OffsetOutOfRange, PolicyViolation, StorageError
from kafka_server.domain.message import Message
from kafka_server.domain.topic import TopicSettings
from tests.application.data_house import DataHouse, stored
from tests.domain.batches import NOW_MS, batch, idempotent

HOUR_MS = 3_600_000


async def filled(
    house: DataHouse, *batches: list[int], codec: int = 0, settings: TopicSettings | None = None
) -> Replica:
    """One batch per list of times, counted from NOW_MS."""
    replica = await house.replica(settings)
    for times in batches:
        house.append(replica, batch(*(Message(b"k", b"v", (), NOW_MS + time) for time in times), codec=codec))
    return replica


async def find(house: DataHouse, replica: Replica, timestamp: int, committed: bool = False) -> tuple[int, int, int]:
    return await house.offsets.find(replica, timestamp, committed, -1)


@pytest.mark.parametrize("codec", range(5))
@pytest.mark.parametrize(
    ("time", "offset", "found_time"), [(-50, 0, 0), (0, 0, 0), (1, 1, 10), (15, 2, 20), (25, 4, 40), (31, 4, 40)]
)
async def test_a_time_finds_the_first_record_at_or_after_it_inside_its_batch(
    time: int, offset: int, found_time: int, codec: int
) -> None:
    house = DataHouse()
    replica = await filled(house, [0, 10, 20], [5, 40], [30], codec=codec)

    assert await find(house, replica, NOW_MS + time) == (offset, NOW_MS + found_time, 0)


async def test_a_time_after_all_records_finds_nothing() -> None:
    house = DataHouse()
    replica = await filled(house, [0, 10])

    assert await find(house, replica, NOW_MS + 11) == (-1, -1, -1)


async def test_records_below_the_log_start_are_not_found() -> None:
    house = DataHouse()
    replica = await filled(house, [50, 10], [20])
    await house.retention.delete_records(replica, 1)

    assert (await find(house, replica, NOW_MS + 11))[0] == 2


async def test_the_largest_time_is_found_inside_its_batch() -> None:
    house = DataHouse()
    replica = await filled(house, [0, 10], [5, 99, 7, 99], [20])

    assert await find(house, replica, MAX_TIMESTAMP) == (3, NOW_MS + 99, 0)


async def test_an_empty_partition_has_a_first_and_a_last_offset_and_no_largest_time() -> None:
    house = DataHouse()
    replica = await house.replica()

    assert await find(house, replica, EARLIEST) == (0, -1, 0)
    assert await find(house, replica, LATEST) == (0, -1, 0)
    assert await find(house, replica, MAX_TIMESTAMP) == (-1, -1, -1)


async def test_latest_is_the_high_watermark_or_the_last_stable_offset_for_readers_of_committed_data() -> None:
    house = DataHouse()
    replica = await filled(house, [0] * 10)
    replica.partition.first_unstable_offset = 4

    assert (await find(house, replica, LATEST))[0] == 10
    assert (await find(house, replica, LATEST, committed=True))[0] == 4


async def test_earliest_is_the_log_start_and_local_means_the_same_without_a_remote_tier() -> None:
    house = DataHouse()
    replica = await filled(house, [0] * 10)
    await house.retention.delete_records(replica, 6)

    assert (await find(house, replica, EARLIEST))[0] == (await find(house, replica, EARLIEST_LOCAL))[0] == 6


@pytest.mark.parametrize("question", [LATEST_TIERED, EARLIEST_PENDING_UPLOAD])
async def test_without_a_remote_tier_nothing_is_in_it(question: int) -> None:
    house = DataHouse()

    assert await find(house, await filled(house, [0]), question) == (-1, -1, -1)


async def test_a_stale_leader_epoch_is_fenced() -> None:
    house = DataHouse()
    replica = await filled(house, [0])
    replica.partition.begin_epoch(2)

    with pytest.raises(FencedLeaderEpoch):
        await house.offsets.find(replica, LATEST, False, 1)
    with pytest.raises(FencedLeaderEpoch):
        house.offsets.end_of_epoch(replica, 0, 1)
    assert house.offsets.end_of_epoch(replica, 0, 2) == (0, 1)


# ---- what leaves the log ---------------------------------------------------------------------------------------------


async def test_deleted_records_are_gone_and_offsets_stay_what_they_are() -> None:
    house = DataHouse()
    replica = await filled(house, [0], [1], [2])

    assert await house.retention.delete_records(replica, 2) == 2
    assert replica.partition.log_end_offset == 3
    assert [message.offset for message in stored(replica)] == [2]


async def test_records_cannot_be_deleted_above_the_high_watermark_or_where_the_policy_forbids_it() -> None:
    house = DataHouse()
    with pytest.raises(OffsetOutOfRange):
        await house.retention.delete_records(await filled(house, [0]), 2)

    compacted = DataHouse()
    replica = await compacted.replica(TopicSettings(cleanup_compact=True, cleanup_delete=False))
    with pytest.raises(PolicyViolation):
        await compacted.retention.delete_records(replica, 0)

    await house.topic("__internal", internal=True)
    with pytest.raises(InvalidTopic):
        await house.retention.delete_records(house.replicas.find("__internal", 0), 0)


class NotedLater:
    """A log that writes its start down when the test says so."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.noted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note_start(self, offset: int) -> asyncio.Future[None]:
        return self.noted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


async def test_nobody_is_told_of_a_log_start_that_a_crash_would_take_back() -> None:
    house = DataHouse()
    replica = await filled(house, [0], [1], [2], settings=TopicSettings(retention_ms=1_000))
    replica.log = log = NotedLater(replica.log)
    deleting = asyncio.ensure_future(house.retention.delete_records(replica, 2))
    house.retention.enforce_retention(NOW_MS + HOUR_MS)
    await asyncio.sleep(0)
    assert replica.partition.log_start_offset == 0
    assert [message.offset for message in stored(replica)] == [0, 1, 2]

    log.noted.set_result(None)
    assert await deleting >= 2
    await asyncio.sleep(0)
    assert replica.partition.log_start_offset == 3


async def test_what_cannot_be_written_down_is_not_deleted_on_request_and_leaves_under_retention() -> None:
    house = DataHouse()
    replica = await filled(house, [0], [1], [2], settings=TopicSettings(retention_ms=1_000))
    replica.log = log = NotedLater(replica.log)
    log.noted.set_exception(StorageError("the disk is full"))

    with pytest.raises(StorageError):
        await house.retention.delete_records(replica, 2)
    assert replica.partition.log_start_offset == 0

    house.retention.enforce_retention(NOW_MS + HOUR_MS)
    await asyncio.sleep(0.01)
    assert replica.partition.log_start_offset == 3


async def test_retention_by_time_drops_what_is_too_old() -> None:
    house = DataHouse()
    replica = await filled(house, [0, 1], [10, 11], [HOUR_MS], settings=TopicSettings(retention_ms=HOUR_MS))
    house.retention.enforce_retention(NOW_MS + HOUR_MS + 11)
    assert replica.partition.log_start_offset == 2

    house.retention.enforce_retention(NOW_MS + HOUR_MS + 12)
    assert replica.partition.log_start_offset == 4


async def test_retention_by_size_keeps_the_newest_bytes() -> None:
    house = DataHouse()
    size = len(batch())
    replica = await house.replica(TopicSettings(retention_ms=-1, retention_bytes=3 * size))
    for _ in range(10):
        house.append(replica, batch())
    house.retention.enforce_retention(NOW_MS)

    assert replica.partition.log_start_offset == 7
    assert replica.log.size_bytes() == 3 * size


@pytest.mark.parametrize(
    "settings",
    [
        TopicSettings(retention_ms=-1, retention_bytes=-1),
        TopicSettings(retention_ms=1, retention_bytes=1, cleanup_compact=True, cleanup_delete=False),
    ],
    ids=["unbounded", "compact only"],
)
async def test_retention_does_not_touch_what_it_must_not(settings: TopicSettings) -> None:
    house = DataHouse()
    replica = await filled(house, [0], [1], settings=settings)
    house.retention.enforce_retention(NOW_MS + 1_000 * HOUR_MS)

    assert replica.partition.log_start_offset == 0


async def test_retention_comes_round_by_itself_until_it_is_stopped() -> None:
    house = DataHouse()
    replica = await filled(house, [0], settings=TopicSettings(retention_ms=1_000))
    house.retention.start()
    house.clock.advance(300_000)
    assert replica.partition.log_start_offset == 1

    house.append(replica, batch())
    house.retention.stop()
    house.clock.advance(10_000_000)
    assert replica.partition.log_start_offset == 1


async def test_producers_that_fell_silent_for_a_day_are_forgotten() -> None:
    house = DataHouse()
    replica = await house.replica()
    house.append(replica, idempotent(0))
    house.retention.enforce_retention(NOW_MS + 24 * HOUR_MS)
    assert len(replica.partition.producers) == 1

    house.retention.enforce_retention(NOW_MS + 24 * HOUR_MS + 1)
    assert len(replica.partition.producers) == 0
