"""Reading partitions, and waiting for them."""

from __future__ import annotations

import asyncio
import errno

import pytest

from kafka_server.application.explain import EXPLAIN
from kafka_server.application.fetch_values import FetchQuery, FetchTarget, ReadResult
from kafka_server.application.ports import LogRepository, PartitionLog
from kafka_server.application.stored_records import StoredRecords
from kafka_server.domain.aborted_transactions import AbortedTransaction
from kafka_server.domain.errors import (
    FencedLeaderEpoch,
    NotLeaderOrFollower,
    OffsetOutOfRange,
    StorageError,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.memory import MemoryLogRepository, MemoryPartitionLog
from tests.application.data_house import DataHouse, messages_in, target, topic_id, waiting
from tests.domain.batches import batch


async def test_a_fetch_gives_what_was_appended() -> None:
    house = DataHouse()
    house.append(await house.replica(), batch(count=5))

    (result,) = house.read(target())

    assert [message.offset for message in messages_in(result.records)] == [0, 1, 2, 3, 4]
    assert (result.high_watermark, result.last_stable_offset, result.log_start_offset) == (5, 5, 0)


async def test_a_topic_is_found_by_its_id_too() -> None:
    house = DataHouse()
    house.append(await house.replica(), batch(count=5))

    (result,) = house.read(FetchTarget("", topic_id("orders"), 0, 2, 1 << 20))

    assert result.error_code == 0
    assert len(result.records) > 0


async def test_an_id_that_is_not_known_is_told_beside_what_could_be_read() -> None:
    house = DataHouse()
    house.append(await house.replica(), batch(count=5))

    targets = [FetchTarget("", topic_id(name), 0, 0, 1) for name in ("nobody", "orders")]
    assert [result.error_code for result in house.read(*targets)] == [UnknownTopicId.code, 0]


ERRORS = [
    (FetchTarget("nobody", bytes(16), 0, 0, 1), UnknownTopicOrPartition.code),
    (FetchTarget("orders", bytes(16), 7, 0, 1), UnknownTopicOrPartition.code),
    (FetchTarget("orders", bytes(16), -1, 0, 1), UnknownTopicOrPartition.code),
    (FetchTarget("orders", bytes(16), 0, 6, 1), OffsetOutOfRange.code),
    (FetchTarget("orders", bytes(16), 0, -7, 1), OffsetOutOfRange.code),
    (FetchTarget("orders", bytes(16), 0, 0, 1, leader_epoch=9), 75),
]


@pytest.mark.parametrize(("wrong", "code"), ERRORS)
async def test_an_error_is_the_partitions_own_and_is_answered_at_once(wrong: FetchTarget, code: int) -> None:
    house = DataHouse()
    house.append(await house.replica(), batch(count=5))

    results = house.fetch(wrong, target(5), wait_ms=60_000, size_min=1 << 20)

    assert isinstance(results, list)
    assert [result.error_code for result in results] == [code, 0]
    assert results[0].high_watermark == -1


async def test_a_reader_behind_in_epochs_is_fenced() -> None:
    house = DataHouse()
    replica = await house.replica()
    replica.partition.begin_epoch(3)

    (result,) = house.read(FetchTarget("orders", bytes(16), 0, 0, 1, leader_epoch=2))
    assert result.error_code == FencedLeaderEpoch.code


async def test_a_follower_is_told_that_nothing_is_replicated_from_here() -> None:
    house = DataHouse()
    await house.replica()
    results = house.consumer.fetch(FetchQuery([target()], 1, 1, 1, from_follower=True), lambda results: results)

    assert isinstance(results, list)
    assert results[0].error_code == NotLeaderOrFollower.code


# ---- limits ----------------------------------------------------------------------------------------------------------


async def test_the_limit_of_the_answer_is_used_up_from_front_to_back() -> None:
    house = DataHouse()
    await house.topic(partitions=3)
    data = batch(count=5)
    for index in range(3):
        house.append(house.replicas.find("orders", index), data)

    results = house.read(*(target(index=index) for index in (2, 0, 1)), size_max=2 * len(data))

    assert [len(result.records) for result in results] == [len(data), len(data), 0]


async def test_only_the_first_batch_of_an_answer_may_exceed_the_limits() -> None:
    house = DataHouse()
    await house.topic(partitions=2)
    data = batch(count=5)
    for index in range(2):
        house.append(house.replicas.find("orders", index), data)

    results = house.read(target(index=0, size_max=1), target(index=1, size_max=1))
    assert [len(result.records) for result in results] == [len(data), 0]

    results = house.read(target(index=0), target(index=1), size_max=1)
    assert [len(result.records) for result in results] == [len(data), 0]


# ---- waiting ---------------------------------------------------------------------------------------------------------


async def test_a_fetch_with_too_little_waits_and_an_append_wakes_it() -> None:
    house = DataHouse()
    replica = await house.replica()
    poll = waiting(house.fetch(target(), wait_ms=500))

    house.append(replica, batch(count=2))

    (result,) = await poll
    assert len(messages_in(result.records)) == 2


async def test_a_fetch_waits_until_min_bytes_have_come_over_all_its_partitions() -> None:
    house = DataHouse()
    await house.topic(partitions=2)
    size = len(batch())
    poll = waiting(house.fetch(target(index=0), target(index=1), wait_ms=500, size_min=3 * size))
    for index in (0, 1, 0):
        assert not poll.done()
        house.append(house.replicas.find("orders", index), batch())

    assert [len(result.records) for result in await poll] == [2 * size, size]


async def test_when_the_time_is_over_the_answer_is_what_there_is() -> None:
    house = DataHouse()
    house.append(await house.replica(), batch())
    poll = waiting(house.fetch(target(), wait_ms=500, size_min=1 << 20))
    house.clock.advance(499)
    assert not poll.done()

    house.clock.advance(1)
    (result,) = await poll
    assert len(messages_in(result.records)) == 1


async def test_several_appends_of_one_request_wake_a_fetch_once_with_all_of_them() -> None:
    house = DataHouse()
    await house.topic(partitions=3)
    poll = waiting(house.fetch(*(target(index=index) for index in range(3)), wait_ms=500))
    for index in range(3):
        house.producer.append(house.replicas.find("orders", index), batch())
    assert not poll.done()

    house.producer.wake()
    assert all(len(result.records) for result in await poll)


async def test_a_fetch_that_is_cancelled_leaves_no_trace_with_its_partitions() -> None:
    house = DataHouse()
    replica = await house.replica()
    poll = waiting(house.fetch(target(), wait_ms=500))
    poll.cancel()
    await asyncio.sleep(0)

    assert not replica.waiters
    assert house.clock.advance(1_000) == 0


async def test_an_answered_fetch_leaves_no_trace_either() -> None:
    house = DataHouse()
    replica = await house.replica()
    poll = waiting(house.fetch(target(), wait_ms=500))
    house.append(replica, batch())
    await poll
    await asyncio.sleep(0)

    assert not replica.waiters
    assert house.clock.advance(1_000) == 0


async def test_a_topic_that_is_deleted_wakes_those_who_wait_for_it() -> None:
    house = DataHouse()
    topic = await house.topic()
    poll = waiting(house.fetch(target(), wait_ms=60_000))
    await house.replicas.remove_topic(topic)

    (result,) = await poll
    assert result.error_code == UnknownTopicOrPartition.code


async def test_bytes_above_the_last_stable_offset_do_not_wake_readers_of_committed_data() -> None:
    house = DataHouse()
    replica = await house.replica()
    replica.partition.first_unstable_offset = 0
    poll = waiting(house.fetch(target(), wait_ms=500, committed=True))
    house.append(replica, batch())
    assert not poll.done()

    replica.partition.first_unstable_offset = None
    house.append(replica, batch())
    (result,) = await poll
    assert len(messages_in(result.records)) == 2


@pytest.mark.parametrize(("wait_ms", "size_min"), [(0, 1), (500, 0)])
async def test_a_fetch_that_does_not_want_to_wait_is_answered_at_once(wait_ms: int, size_min: int) -> None:
    house = DataHouse()
    await house.replica()

    assert isinstance(house.fetch(target(), wait_ms=wait_ms, size_min=size_min), list)


# ---- cold bytes ------------------------------------------------------------------------------------------------------


class ColdLog(MemoryPartitionLog):
    """Every read has to be waited for."""

    def read(self, offset: int, size_max: int, end_offset: int) -> asyncio.Future[memoryview]:  # type: ignore[override]  # the port allows it
        future = asyncio.get_running_loop().create_future()
        future.get_loop().call_soon(future.set_result, super().read(offset, size_max, end_offset))
        return future


class ColdLogs(MemoryLogRepository):
    async def open(self, topic: Topic, partition: Partition) -> PartitionLog:
        return ColdLog()


class FirstIs(MemoryLogRepository):
    """Partition 0 has the given log."""

    def __init__(self, first: type[MemoryPartitionLog], others: type[MemoryPartitionLog] = MemoryPartitionLog) -> None:
        super().__init__()
        self._first = first
        self._others = others

    async def open(self, topic: Topic, partition: Partition) -> PartitionLog:
        return self._others() if partition.index else self._first()


async def cold(
    house: DataHouse, *targets: FetchTarget, wait_ms: int = 0, size_min: int = 1, committed: bool = False
) -> list[ReadResult]:
    answer = house.fetch(*targets, wait_ms=wait_ms, size_min=size_min, committed=committed)
    assert not isinstance(answer, list)
    return await answer


async def test_cold_bytes_are_waited_for_without_blocking() -> None:
    house = DataHouse(ColdLogs())
    await house.topic(partitions=2)
    for index in range(2):
        house.append(house.replicas.find("orders", index), batch(count=2))

    results = await cold(house, target(index=0), target(index=1), target(index=7))
    assert [len(messages_in(result.records)) for result in results] == [2, 2, 0]
    assert results[2].error_code == UnknownTopicOrPartition.code


async def test_a_long_poll_over_cold_bytes_is_woken_too() -> None:
    house = DataHouse(ColdLogs())
    replica = await house.replica()
    house.append(replica, batch())
    size = len(batch())
    poll = asyncio.ensure_future(cold(house, target(), wait_ms=500, size_min=2 * size))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not poll.done()

    house.append(replica, batch())
    (result,) = await poll
    assert len(messages_in(result.records)) == 2


ABORTED = AbortedTransaction(9, 0, 1, 2)


async def house_with_aborted_records(logs: LogRepository) -> DataHouse:
    """Two partitions of four records; the first two of partition 0 were aborted."""
    house = DataHouse(logs)
    await house.topic(partitions=2)
    for index in (0, 1, 0, 1):
        house.append(house.replicas.find("orders", index), batch(count=2))
    house.replicas.find("orders", 0).partition.aborted.append(ABORTED)
    return house


async def test_aborted_records_are_told_with_the_bytes_even_if_the_log_start_moves_before_the_answer() -> None:
    house = await house_with_aborted_records(FirstIs(MemoryPartitionLog, others=ColdLog))
    answer = asyncio.ensure_future(cold(house, target(index=0), target(index=1), committed=True))
    await asyncio.sleep(0)  # Partition 0 was read; partition 1 is waited for.
    house.replicas.find("orders", 0).partition.delete_records(2)

    first, _ = await answer
    assert (len(messages_in(first.records)), first.aborted) == (4, [ABORTED])


async def test_a_reader_whose_records_are_deleted_while_they_are_waited_for_is_told_so() -> None:
    house = await house_with_aborted_records(ColdLogs())
    answer = asyncio.ensure_future(cold(house, target(index=0), target(index=1), committed=True))
    await asyncio.sleep(0)
    house.replicas.find("orders", 0).partition.delete_records(2)

    first, second = await answer
    assert (first.error_code, first.high_watermark, len(first.records)) == (OffsetOutOfRange.code, -1, 0)
    assert (second.error_code, len(messages_in(second.records))) == (0, 4)


# ---- a disk that cannot be read --------------------------------------------------------------------------------------


class BrokenLog(MemoryPartitionLog):
    """Stores, but does not give back."""

    def read(self, offset: int, size_max: int, end_offset: int) -> memoryview:
        raise StorageError("The device does not answer")


class BrokenColdLog(ColdLog):
    def read(self, offset: int, size_max: int, end_offset: int) -> asyncio.Future[memoryview]:  # type: ignore[override]  # the port allows it
        future = asyncio.get_running_loop().create_future()
        future.get_loop().call_soon(future.set_exception, StorageError("The device does not answer"))
        return future


@pytest.mark.parametrize("broken", [BrokenLog, BrokenColdLog])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_partition_that_cannot_be_read_is_an_error_of_its_own(
    broken: type[MemoryPartitionLog], order: tuple[int, int]
) -> None:
    house = DataHouse(FirstIs(broken))
    await house.topic(partitions=2)
    for index in range(2):
        house.append(house.replicas.find("orders", index), batch())

    answer = house.fetch(*(target(index=index) for index in order))
    results = {result.target.index: result for result in (answer if isinstance(answer, list) else await answer)}
    assert (results[0].error_code, results[0].high_watermark) == (StorageError.code, -1)
    assert (results[1].error_code, len(messages_in(results[1].records))) == (0, 1)


async def test_a_reader_whose_partition_cannot_be_read_does_not_fail_the_producer_who_wakes_it() -> None:
    house = DataHouse(FirstIs(BrokenLog))
    replica = await house.replica()
    poll = waiting(house.fetch(target(), wait_ms=500))

    assert house.append(replica, batch()).base_offset == 0
    (result,) = await poll
    assert result.error_code == StorageError.code


class Evicted(StoredRecords):
    """Was in memory when the log was asked, and cannot be brought back."""

    def __len__(self) -> int:
        return 50_000

    def view(self) -> memoryview:
        raise OSError(errno.EIO, "Input/output error")


class EvictedLog(MemoryPartitionLog):
    def read(self, offset: int, size_max: int, end_offset: int) -> StoredRecords:  # type: ignore[override]  # the port allows it
        return Evicted()


async def test_stored_records_that_cannot_be_looked_into_are_an_error_of_their_partition(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = await house_with_aborted_records(FirstIs(EvictedLog))
    with caplog.at_level(EXPLAIN):
        unread, other = house.read(target(index=0), target(index=1), committed=True)
        assert (unread.error_code, unread.high_watermark, len(unread.records)) == (StorageError.code, -1, 0)
        assert (other.error_code, len(messages_in(other.records))) == (0, 4)

        passed_on, _ = house.read(target(index=0), target(index=1))
        assert (passed_on.error_code, len(passed_on.records)) == (0, 50_000)


async def test_a_learner_reads_what_a_consumer_fetched(caplog: pytest.LogCaptureFixture) -> None:
    house = DataHouse()
    house.append(await house.replica(), batch(count=3))
    with caplog.at_level(EXPLAIN):
        house.consumer.fetch(FetchQuery([target()], 0, 1, 1 << 20, client_id="reader"), lambda results: results)

    assert "Consumer reader fetched 3 messages from orders-0, starting at offset 0" in caplog.text
