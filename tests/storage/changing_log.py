"""A partition on a simulated disk that is read while everything happens to it, and a model of what readers may see.

Owns: the services above one log, steps that a test can interleave, and the judgement of every answer.
Must never know: which steps come in which order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, cast

from kafka_server.application.consumer_service import ConsumerService
from kafka_server.application.fetch_values import FetchQuery, FetchTarget, ReadResult
from kafka_server.application.ports import LogRepository, PartitionLog
from kafka_server.application.producer_service import ProducerService
from kafka_server.application.replica_manager import Replica, ReplicaManager
from kafka_server.application.retention_service import RetentionService
from kafka_server.domain.control_record import Marker, parse_marker
from kafka_server.domain.errors import OffsetOutOfRange
from kafka_server.domain.message import Message
from kafka_server.domain.partition import Membership, Partition
from kafka_server.domain.record_batch import BatchHeader, crc32c, iterate_batches
from kafka_server.domain.records import RecordBatchBuilder, iterate_messages
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.domain.transaction import Protocol
from kafka_server.infrastructure.storage.log.compactor import Cleanable, Compactor
from kafka_server.infrastructure.storage.log.folders import DataFolder, Key
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog
from kafka_server.infrastructure.storage.log.settings import CompactionSettings
from kafka_server.testing.clock import VirtualClock
from tests.crash.sim_disk import SimDisk
from tests.domain.batches import CODECS, NOW_MS
from tests.storage.log_house import KEY, open_log

TURNS = 30
"""Turns of the event loop in which everything happens that waits for nothing but turns."""
PRODUCERS = (20, 21)


class Held(Executor):
    """Work waits here until the test lets it go on."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Future[Any], Any, tuple[Any, ...]]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        self._waiting.append((done, fn, args))
        return done

    def go_on(self) -> bool:
        """Does what waits; False when nothing does."""
        waiting, self._waiting = self._waiting, []
        for done, fn, args in waiting:
            try:
                done.set_result(fn(*args))
            except Exception as error:
                done.set_exception(error)
        return bool(waiting)


@dataclass
class Folder:
    """What compaction asks of a data folder."""

    disk: SimDisk
    cleaner_offsets: dict[Key, int] = field(default_factory=dict)

    removals: int = 0

    def write_cleaner_offset(self, key: Key, offset: int, gathered: int = 0) -> None:
        self.cleaner_offsets[key] = offset


@dataclass
class Stored:
    """A record as it was appended."""

    key: str
    value: str | None
    transaction: list[bool]
    """Empty while the transaction is open, then whether it was committed."""

    @property
    def is_committed(self) -> bool:
        return self.transaction == [True]


@dataclass
class Asked:
    """A fetch, and what was true when it was asked."""

    targets: list[FetchTarget]
    size_max: int
    committed: bool
    readable_end: int
    log_end: int
    answer: asyncio.Future[list[ReadResult]]


class ChangingLog:
    """One partition, and everything that can happen to it."""

    def __init__(self, settings: TopicSettings, flush_on_ack: bool) -> None:
        self.disk = SimDisk()
        self.clock = VirtualClock(NOW_MS)
        self.cold_reads, self.cleaner = Held(), Held()
        self._settings = settings
        self._flush_on_ack = flush_on_ack
        self._folder = Folder(self.disk)
        self.records: dict[int, Stored] = {}
        self.compacted_below = 0
        """No pass has looked at records from this offset on."""
        self.asked: list[Asked] = []
        self._cleaning: asyncio.Task[bool] | None = None
        self._sequences = dict.fromkeys(PRODUCERS, 0)
        self._open: dict[int, list[bool]] = {}
        self._serial = 0

    # ---- steps -------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        replicas = ReplicaManager(cast(LogRepository, OneLog(self._open_log)))
        await replicas.open_topic(Topic("orders", bytes(16), 1, self._settings))
        self.replica: Replica = replicas.find("orders", 0)
        self.partition: Partition = self.replica.partition
        self._consumer = ConsumerService(replicas, self.clock)
        self._producer = ProducerService(CODECS, self.clock)
        self._retention = RetentionService(replicas, self.clock)
        self.compactor = Compactor(self.clock, CompactionSettings(), lambda: [self._cleanable()])
        self.compactor._thread = cast(Any, self.cleaner)

    async def __call__(self) -> None:
        """Lets everything happen that waits for nothing."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def append(self, keys: Sequence[int], size: int, producer: int | None = None) -> None:
        """One batch; with a producer, as a part of its transaction. Every fifth record deletes its key."""
        self.clock.advance(1)
        is_part = producer is not None
        sequence = self._sequences[producer] if producer is not None else -1
        builder = RecordBatchBuilder(
            is_transactional=is_part,
            producer_id=producer if producer is not None else -1,
            producer_epoch=0 if is_part else -1,
            base_sequence=sequence,
        )
        transaction = self._open.setdefault(producer, []) if producer is not None else [True]
        base = self.partition.log_end_offset
        for at, key in enumerate(keys):
            self._serial += 1
            value = None if self._serial % 5 == 0 else f"{self._serial:0{size}d}"
            builder.append(Message(f"k{key}".encode(), None if value is None else value.encode(), (), self._now))
            self.records[base + at] = Stored(f"k{key}", value, transaction)
        if producer is not None:
            self._sequences[producer] += len(keys)
        self._producer.append(self.replica, builder.build(), membership=Membership.VERIFIED)

    def end(self, producer: int, commit: bool) -> None:
        """Ends the transaction of the producer, if one is open."""
        transaction = self._open.pop(producer, None)
        if transaction is not None:
            self.clock.advance(1)
            self._producer.end_transaction(self.replica, Marker(producer, 0, commit), Protocol.V1)
            transaction.append(commit)

    async def delete_records(self, share: float) -> None:
        start, end = self.partition.log_start_offset, self.partition.high_watermark
        await self._retention.delete_records(self.replica, start + round(share * (end - start)))

    def enforce_retention(self) -> None:
        self._retention.enforce_retention(self._now)

    def compact(self) -> None:
        """Begins a pass, if none is under way."""
        if self._cleaning is None or self._cleaning.done():
            self.compacted_below = max(self.compacted_below, self._cleanable().log.segments()[-1].base_offset)
            self._cleaning = asyncio.ensure_future(self.compactor.clean_one())

    def rest(self) -> None:
        self._cleanable().log.rest()

    def fetch(self, *shares: float, size_max: int, committed: bool) -> None:
        """Begins a fetch from these places between the start and the end of the log, a little beyond them, too."""
        start, end = self.partition.log_start_offset, self.partition.log_end_offset
        offsets = [start + round(share * (end - start)) for share in shares]
        targets = [FetchTarget("orders", bytes(16), 0, max(0, offset), 1 << 20) for offset in offsets]
        readable_end = self.partition.last_stable_offset if committed else self.partition.high_watermark
        query = FetchQuery(targets, 0, 1, size_max, committed)
        found = self._consumer.fetch(query, lambda results: results)
        answer: asyncio.Future[list[ReadResult]]
        if isinstance(found, list):
            answer = asyncio.get_running_loop().create_future()
            answer.set_result(found)
        else:
            answer = asyncio.ensure_future(found)
        self.asked.append(Asked(targets, size_max, committed, readable_end, end, answer))

    async def finish(self) -> None:
        """Lets everything that was begun come to its end, and judges it."""
        await self()
        while self.cold_reads.go_on() or self.cleaner.go_on():
            await self()
        self.judge()
        assert not self.asked
        if self._cleaning is not None:
            await self._cleaning

    async def restart(self) -> None:
        """A clean stop and a start: what is known afterwards is what was known before."""
        await self.finish()
        log = self._cleanable().log
        await log.settle()
        before = self._facts()
        log.close()
        was_cold, self.disk.is_cold = self.disk.is_cold, False
        await self.open()
        self.disk.is_cold = was_cold
        assert self._facts() == before

    async def read_all(self, committed: bool) -> None:
        """Reads from the start to the end, every answer judged, and the keys that are left are the newest."""
        self.disk.is_cold = False
        offset = self.partition.log_start_offset
        seen: dict[str, str | None] = {}
        end = self.partition.last_stable_offset if committed else self.partition.high_watermark
        while offset < end:
            target = FetchTarget("orders", bytes(16), 0, offset, 300)
            found = self._consumer.fetch(FetchQuery([target], 0, 1, 300, committed), lambda results: results)
            (result,) = found if isinstance(found, list) else await self._with_cold_reads(found)
            messages, following = self._judge_records(target, result, committed)
            assert following > offset, f"no progress at {offset}"
            seen.update((record.key, record.value) for at, record in messages if at >= offset)
            offset = following
        if committed and not self._open:
            assert {key: value for key, value in seen.items() if value is not None} == self._newest()

    async def _with_cold_reads(self, found: Awaitable[list[ReadResult]]) -> list[ReadResult]:
        answer = asyncio.ensure_future(found)
        await self()
        while self.cold_reads.go_on():
            await self()
        return await answer

    # ---- judgement ---------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """Judges every answer that is there by now."""
        for asked in [each for each in self.asked if each.answer.done()]:
            self.asked.remove(asked)
            size = 0
            for target, result in zip(asked.targets, asked.answer.result(), strict=True):
                if result.error_code == OffsetOutOfRange.code:
                    assert not self.partition.log_start_offset <= target.fetch_offset <= asked.log_end
                    continue
                assert result.error_code == 0
                _, following = self._judge_records(target, result, asked.committed)
                if not size:
                    due = range(target.fetch_offset, asked.readable_end)
                    # All that was due may be compacted away while the fetch waits; what lies behind comes next time.
                    assert following > target.fetch_offset or all(map(self._may_be_gone, due)), "no progress"
                else:
                    assert size + len(result.records) <= asked.size_max or not result.records
                size += len(result.records)

    def _judge_records(
        self, target: FetchTarget, result: ReadResult, committed: bool
    ) -> tuple[list[tuple[int, Stored]], int]:
        """The records that a reader is shown, and where it goes on."""
        batches = list(iterate_batches(memoryview(result.records)))
        assert sum(len(data) for _, data in batches) == len(result.records), "half a batch"
        found: dict[int, tuple[BatchHeader, Message]] = {}
        following = target.fetch_offset
        last = -1
        for header, data in batches:
            assert crc32c(data[21:]) == header.crc
            assert header.base_offset > last
            last = header.last_offset
            assert last >= target.fetch_offset
            following = last + 1
            if not header.is_control:
                for message in iterate_messages(data, CODECS.decompress):
                    found[message.offset] = header, message
        readable_end = self.partition.last_stable_offset if committed else self.partition.high_watermark
        assert following <= max(readable_end, target.fetch_offset)
        for offset, (_, message) in found.items():
            stored = self.records[offset]
            assert message.key == stored.key.encode()
            assert message.value == (None if stored.value is None else stored.value.encode())
        for offset in range(target.fetch_offset, following):
            assert offset in found or self._may_be_gone(offset), f"{offset} is missing"
        shown = self._shown(result, batches, found) if committed else found.keys()
        if committed:
            due = {offset for offset in found if self.records[offset].is_committed}
            assert shown == due, f"shown {sorted(shown)}, committed {sorted(due)}, aborted {result.aborted}"
        return [(offset, self.records[offset]) for offset in sorted(shown)], following

    @staticmethod
    def _shown(
        result: ReadResult,
        batches: list[tuple[BatchHeader, memoryview]],
        found: dict[int, tuple[BatchHeader, Message]],
    ) -> set[int]:
        """What a consumer makes of the records and the aborted transactions that it was told with them."""
        ahead = sorted(result.aborted, key=lambda entry: entry.first_offset)
        hidden: set[int] = set()
        shown: set[int] = set()
        for header, data in batches:
            while ahead and ahead[0].first_offset <= header.last_offset:
                hidden.add(ahead.pop(0).producer_id)
            if header.is_control:
                marker = parse_marker(header, data)
                if marker is not None and not marker.is_commit:
                    hidden.discard(header.producer_id)
            elif not (header.is_transactional and header.producer_id in hidden):
                shown |= {offset for offset, (of, _) in found.items() if of is header}
        return shown

    def _may_be_gone(self, offset: int) -> bool:
        record = self.records.get(offset)
        if record is None or offset < self.partition.log_start_offset:
            return True  # a marker, or deleted
        if offset >= self.compacted_below:
            return False
        if record.transaction == [False] or record.value is None:
            return True
        return any(
            other.key == record.key and other.is_committed
            for at, other in self.records.items()
            if offset < at < self.compacted_below
        )

    def _newest(self) -> dict[str, str]:
        newest: dict[str, str | None] = {}
        for offset, record in sorted(self.records.items()):
            if offset >= self.partition.log_start_offset and record.is_committed:
                newest[record.key] = record.value
        return {key: value for key, value in newest.items() if value is not None}

    # ---- parts -------------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> int:
        return self.clock.now_ms()

    def _facts(self) -> tuple[int, int, int]:
        partition = self.partition
        return partition.log_start_offset, partition.last_stable_offset, partition.log_end_offset

    def _open_log(self, topic: Topic, partition: Partition) -> PartitionLog:
        return open_log(
            self.disk,
            after_crash=False,
            flush_on_ack=self._flush_on_ack,
            topic=topic,
            partition=partition,
            clock=self.clock,
            readers=self.cold_reads,
        ).log

    def _cleanable(self) -> Cleanable:
        log = cast(DiskPartitionLog, self.replica.log)
        return Cleanable(KEY, cast(DataFolder, self._folder), log, self.partition, self.replica.topic)


@dataclass
class OneLog:
    """As much of a ``LogRepository`` as one log needs."""

    opener: Callable[[Topic, Partition], PartitionLog]

    async def open(self, topic: Topic, partition: Partition) -> PartitionLog:
        return self.opener(topic, partition)
