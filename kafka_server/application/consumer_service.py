"""Owns: reading partitions for consumers, and the waiting when there is too little to read.
Must never know: the wire, request versions, sessions, how logs are stored.

A fetch reads every partition it names, in order, until the byte limit is used up. When that is less than it asked for,
it waits: a long poll registers with each of the partitions, appends tell it how many bytes came, and once there are
enough - or the time is over - it reads once more and answers. Nothing polls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from kafka_server.application.explain import EXPLAIN
from kafka_server.application.fetch_values import NOTHING, FetchQuery, FetchTarget, ReadResult
from kafka_server.application.ports import Clock, Timer
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.application.stored_records import RECORDS, Records, in_memory
from kafka_server.application.unsent import Unsent
from kafka_server.domain.aborted_transactions import AbortedTransaction
from kafka_server.domain.errors import (
    DomainError,
    InconsistentTopicId,
    NotLeaderOrFollower,
    OffsetOutOfRange,
    StorageError,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from kafka_server.domain.record_batch import iterate_batches

log = logging.getLogger("kafka_server.fetch")

R = TypeVar("R")


class _Pass:
    """One reading of all partitions of a query."""

    __slots__ = ("left", "results", "settled", "size")

    def __init__(self, size_max: int) -> None:
        self.results: list[ReadResult] = []
        self.size = 0
        self.left = size_max
        self.settled = False
        """An error or a divergence was met, which is answered without waiting."""


class ConsumerService:
    """Reads partitions."""

    __slots__ = ("_clock", "_replicas", "_size_max", "_unsent")

    def __init__(
        self,
        replicas: ReplicaManager,
        clock: Clock,
        fetch_size_max: int = 57_671_680,
        unsent: Unsent | None = None,
    ) -> None:
        self._replicas = replicas
        self._clock = clock
        self._unsent = unsent or Unsent()
        self._size_max = fetch_size_max
        """``fetch.max.bytes``: the broker's own limit for one answer."""

    def fetch(self, query: FetchQuery, answer: Callable[[list[ReadResult]], R]) -> R | Awaitable[R]:
        """Reads, waits if it has to, and returns ``answer(results)``: at once when nothing has to be waited for.

        Results come in the order of the targets; an error of a partition is in its result. Cancelling the awaitable
        ends the wait.
        """
        query.size_max = min(query.size_max, self._size_max, self._unsent.room())
        query.size_min = min(query.size_min, query.size_max)
        reading = self._read(query)
        if isinstance(reading, _Pass):
            if not self._must_wait(query, reading):
                self._count(query, reading)
                return answer(reading.results)
            return _LongPoll(self, query, answer, reading).future
        return self._fetch_cold(query, answer, reading)

    async def _fetch_cold(
        self, query: FetchQuery, answer: Callable[[list[ReadResult]], R], reading: Awaitable[_Pass]
    ) -> R:
        done = await reading
        if not self._must_wait(query, done):
            self._count(query, done)
            return answer(done.results)
        poll = _LongPoll(self, query, answer, done)
        if any(r.replica and r.replica.partition.high_watermark > r.high_watermark for r in done.results):
            poll.wake()  # Something was appended while the cold bytes were read, before the poll could hear of it.
        return await poll.future

    def _must_wait(self, query: FetchQuery, reading: _Pass) -> bool:
        return reading.size < query.size_min and query.wait_ms_max > 0 and not reading.settled and bool(reading.results)

    # ---- one pass over the partitions --------------------------------------------------------------------------------

    def _read(self, query: FetchQuery) -> _Pass | Awaitable[_Pass]:
        reading = _Pass(query.size_max)
        for position, target in enumerate(query.targets):
            result = ReadResult(target)
            reading.results.append(result)
            end_offset = self._open(result, query)
            if result.error_code or result.diverging:
                reading.settled = True
            elif end_offset > target.fetch_offset and result.replica and (reading.left > 0 or not reading.size):
                try:
                    records = result.replica.log.read(
                        target.fetch_offset, min(target.size_max, reading.left), end_offset
                    )
                except StorageError as error:
                    self._refuse(reading, result, error)
                    continue
                if not isinstance(records, RECORDS):
                    return self._read_cold(query, reading, result, records, position + 1)
                self._take(query, reading, result, records)
        return reading

    async def _read_cold(
        self, query: FetchQuery, reading: _Pass, result: ReadResult, records: Awaitable[Records], position: int
    ) -> _Pass:
        """The rest of ``_read``, from a partition on whose bytes have to be waited for."""
        try:
            self._take_cold(query, reading, result, await records)
        except StorageError as error:
            self._refuse(reading, result, error)
        for target in query.targets[position:]:
            result = ReadResult(target)
            reading.results.append(result)
            end_offset = self._open(result, query)
            if result.error_code or result.diverging:
                reading.settled = True
            elif end_offset > target.fetch_offset and result.replica and (reading.left > 0 or not reading.size):
                try:
                    more = result.replica.log.read(target.fetch_offset, min(target.size_max, reading.left), end_offset)
                    if isinstance(more, RECORDS):
                        self._take(query, reading, result, more)
                    else:
                        self._take_cold(query, reading, result, await more)
                except StorageError as error:
                    self._refuse(reading, result, error)
        return reading

    def _open(self, result: ReadResult, query: FetchQuery) -> int:
        """Fills in the bounds of the partition, or its error, and says below which offset may be read."""
        target = result.target
        try:
            replica = (
                self._replicas.find_by_id(target.topic_id, target.index)
                if query.uses_topic_ids
                else self._replicas.find(target.topic, target.index)
            )
            result.replica = replica
            replica.counters.fetch_requests += 1
            if query.from_follower:
                raise NotLeaderOrFollower("This broker has no followers")
            partition = replica.partition
            if target.leader_epoch >= 0:
                partition.check_leader_epoch(target.leader_epoch)
            if target.last_fetched_epoch >= 0:
                result.diverging = partition.diverging_epoch(target.fetch_offset, target.last_fetched_epoch)
            # A reader whose log parts from this one is told where, even when it asks beyond the end.
            end_offset = 0
            if result.diverging is None:
                end_offset = partition.readable_end(target.fetch_offset, query.read_committed)
        except DomainError as error:
            result.error_code = self._loss(target).code if isinstance(error, UnknownTopicId) else error.code
            if result.replica is not None and not isinstance(error, OffsetOutOfRange):
                result.replica.counters.failed_fetch_requests += 1
            return 0
        high_watermark = result.high_watermark = partition.high_watermark
        stable = partition.first_unstable_offset is None
        result.last_stable_offset = high_watermark if stable else partition.last_stable_offset
        result.log_start_offset = partition.log_start_offset
        return end_offset

    def _loss(self, target: FetchTarget) -> type[DomainError]:
        """What became of a topic id that is not served. A session that has read from it is told whether its name is
        gone, too, or belongs to another topic now; anybody else can only be told that the id is unknown (KIP-516).
        """
        if not target.seen_as:
            return UnknownTopicId
        try:
            self._replicas.find(target.seen_as, target.index)
        except UnknownTopicOrPartition:
            return UnknownTopicOrPartition
        return InconsistentTopicId

    @staticmethod
    def _refuse(reading: _Pass, result: ReadResult, error: StorageError) -> None:
        """Bytes of one partition could not be read. That is its own error: other partitions are answered, and neither
        the reader's connection nor that of the producer who woke it is closed.
        """
        _fail(reading, result, error)
        if result.replica is not None:
            result.replica.counters.failed_fetch_requests += 1
        log.error("A fetch failed: %s", error)

    @classmethod
    def _take_cold(cls, query: FetchQuery, reading: _Pass, result: ReadResult, records: Records) -> None:
        """Adds bytes that had to be waited for, unless the log start has passed the reader meanwhile.

        What was aborted below the log start is forgotten, so nobody could tell a reader of committed data which of
        these records to leave out. Had it come a moment later, it would be told the same.
        """
        offset = result.target.fetch_offset
        if result.replica is not None and offset < result.replica.partition.log_start_offset:
            _fail(reading, result, OffsetOutOfRange(f"Offset {offset} was deleted while it was read"))
        else:
            cls._take(query, reading, result, records)

    @classmethod
    def _take(cls, query: FetchQuery, reading: _Pass, result: ReadResult, records: Records) -> None:
        """Adds the bytes of one partition. Only the first batch of the whole answer may exceed the limits (KIP-74)."""
        size = len(records)
        if reading.size and size > min(result.target.size_max, reading.left):
            return
        result.records = records
        if query.read_committed:
            try:
                result.aborted = _aborted_within(result)
            except StorageError as error:
                result.records = NOTHING
                cls._refuse(reading, result, error)
                return
        reading.size += size
        reading.left -= size

    def _count(self, query: FetchQuery, reading: _Pass) -> None:
        for result in reading.results:
            if result.records and result.replica:
                result.replica.counters.bytes_out += len(result.records)
        if reading.size and log.isEnabledFor(EXPLAIN):
            _explain(query, reading)


class _LongPoll(Generic[R]):
    """A fetch that waits for its partitions to grow."""

    __slots__ = ("_answer", "_cold", "_missing", "_query", "_replicas", "_service", "_timer", "future")

    def __init__(
        self,
        service: ConsumerService,
        query: FetchQuery,
        answer: Callable[[list[ReadResult]], R],
        reading: _Pass,
    ) -> None:
        self._service = service
        self._query = query
        self._answer = answer
        self._missing = query.size_min - reading.size
        self._cold: asyncio.Task[None] | None = None
        """The last reading, when it has to wait for cold bytes."""
        self.future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        # Whoever cancels (the client is gone) must not leave us registered with partitions that may never grow.
        self.future.add_done_callback(self._detach)
        self._replicas = [result.replica for result in reading.results if result.replica is not None]
        for replica in self._replicas:
            replica.waiters[self] = None
        self._timer: Timer = service._clock.call_later(query.wait_ms_max, self._time_is_over)

    def grew(self, size_bytes: int) -> bool:
        if self._missing <= 0:
            return False
        self._missing -= size_bytes
        return self._missing <= 0

    def wake(self) -> None:
        self._read_again(in_time=True)

    def _time_is_over(self) -> None:
        self._read_again(in_time=False)

    def _read_again(self, in_time: bool) -> None:
        if self.future.done() or self._cold is not None:
            return
        reading = self._service._read(self._query)
        if not isinstance(reading, _Pass):
            self._cold = asyncio.ensure_future(self._finish_cold(reading))
        elif in_time and reading.size < self._query.size_min and not reading.settled:
            # Bytes came, but not for this reader: they lie above the last stable offset.
            self._missing = self._query.size_min - reading.size
        else:
            self._finish(reading)

    async def _finish_cold(self, reading: Awaitable[_Pass]) -> None:
        try:
            self._finish(await reading)
        except Exception as error:
            if not self.future.done():
                self.future.set_exception(error)

    def _finish(self, reading: _Pass) -> None:
        if not self.future.done():
            self._service._count(self._query, reading)
            self.future.set_result(self._answer(reading.results))

    def _detach(self, _: asyncio.Future[R]) -> None:
        self._timer.cancel()
        for replica in self._replicas:
            replica.waiters.pop(self, None)


def _fail(reading: _Pass, result: ReadResult, error: DomainError) -> None:
    """The partition is answered with an error alone, at once."""
    reading.settled = True
    result.error_code = error.code
    result.high_watermark = result.last_stable_offset = result.log_start_offset = -1


def _aborted_within(result: ReadResult) -> Sequence[AbortedTransaction]:
    """The aborted transactions that have records among those that were read, sorted by their first offset."""
    start_offset = result.target.fetch_offset
    if not result.records or result.replica is None or not result.replica.partition.aborted.concern(start_offset):
        return ()
    end_offset = start_offset
    for header, _ in iterate_batches(in_memory(result.records)):
        end_offset = header.last_offset + 1
    return result.replica.partition.aborted.between(start_offset, end_offset)


def _explain(query: FetchQuery, reading: _Pass) -> None:
    for result in reading.results:
        if result.records and result.replica:
            try:
                count = sum(header.record_count for header, _ in iterate_batches(in_memory(result.records)))
            except StorageError:
                continue  # Whoever writes the answer meets the same and says so.
            log.log(
                EXPLAIN,
                "Consumer %s fetched %d messages from %s-%d, starting at offset %d",
                query.client_id or "(unnamed)",
                count,
                result.replica.topic.name,
                result.target.index,
                result.target.fetch_offset,
            )
