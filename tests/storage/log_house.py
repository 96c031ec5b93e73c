"""One partition on a simulated disk, opened as often as a test likes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from kafka_server.application.stored_records import RECORDS, in_memory
from kafka_server.domain.partition import Partition
from kafka_server.domain.record_batch import assigned_prefix, parse_header
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import read_offsets, write_offsets
from kafka_server.infrastructure.storage.log.commit import NotNow
from kafka_server.infrastructure.storage.log.disk import PASSING
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog, Surroundings
from kafka_server.infrastructure.storage.log.recovery import Remembered, open_segments
from kafka_server.infrastructure.storage.log.restore import restore_partition
from kafka_server.testing.clock import VirtualClock
from tests.crash.sim_disk import SimDisk
from tests.domain.batches import NOW_MS, batch

FOLDER = "/data/orders-0"
STARTS = f"{FOLDER}/log-starts"
KEY = ("orders", 0)


class InlineExecutor(Executor):
    """Runs the work where it is submitted, so that every test takes the same steps in the same order."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # a power cut, too, ends the work and not the test
            done.set_exception(error)
        return done


@dataclass
class OpenLog:
    """A partition and its log, as the broker holds them."""

    log: DiskPartitionLog
    partition: Partition
    clock: VirtualClock
    failures: list[BaseException] = field(default_factory=list)

    def append(self, data: bytes) -> Awaitable[None] | None:
        """Stores a batch as the producer service does."""
        header = parse_header(data)
        base = self.partition.log_end_offset
        prefix = assigned_prefix(base, header.batch_length, self.partition.leader_epoch)
        written = self.log.append(
            prefix, memoryview(data)[16:], base, base + header.last_offset_delta, header.max_timestamp
        )
        self.partition.advance(header, NOW_MS, is_safe=written is None)
        return written

    async def append_all(self, *batches: bytes) -> None:
        """Stores batches and waits until all are durable."""
        for data in batches:
            written = self.append(data)
            if written is not None:
                await written

    async def read(self, offset: int, size_max: int = 1 << 30) -> bytes:
        found = self.log.read(offset, size_max, self.partition.log_end_offset)
        return bytes(in_memory(found if isinstance(found, RECORDS) else await found))

    async def content(self) -> bytes:
        """Everything from the log start on, read as a consumer does, piece by piece."""
        whole = b""
        offset = self.partition.log_start_offset
        while offset < self.partition.log_end_offset:
            piece = await self.read(offset, 2_000)
            at = 0
            while at < len(piece):
                header = parse_header(piece, at)
                offset = header.last_offset + 1
                at += header.size
            if not piece:
                break
            whole += piece
        return whole


def open_log(
    disk: SimDisk,
    *,
    after_crash: bool,
    recovery_point: int = 0,
    settings: TopicSettings | None = None,
    flush_on_ack: bool = True,
    topic: Topic | None = None,
    partition: Partition | None = None,
    clock: VirtualClock | None = None,
    readers: Executor | None = None,
) -> OpenLog:
    """Opens the partition as a start of the broker does. Raises OSError."""
    disk.make_folder(FOLDER)
    clock = clock or VirtualClock(NOW_MS)
    topic = topic or Topic("orders", bytes(16), 1, settings or TopicSettings())
    partition = partition or Partition(0)
    log_start = read_offsets(disk, STARTS).get(KEY, 0)
    known = Remembered(
        recovery_point if after_crash else None, log_start, is_gap_a_flaw=not topic.settings.cleanup_compact
    )
    segments = open_segments(disk, FOLDER, topic.settings.index_interval_bytes, known, lambda size: None)
    replayed_from = restore_partition(disk, FOLDER, partition, segments, log_start, after_crash=after_crash)
    failures: list[BaseException] = []

    def persist(offset: int) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            write_offsets(disk, STARTS, {KEY: offset})
        except OSError as error:
            if error.errno not in PASSING:
                raise
            done.set_exception(NotNow(str(error)))
            done.exception()
        else:
            done.set_result(None)
        return done

    around = Surroundings(
        disk=disk,
        clock=clock,
        writers=InlineExecutor(),
        readers=readers or InlineExecutor(),
        flush_on_ack=flush_on_ack,
        on_failure=failures.append,
        persist_log_start=persist,
        later=lambda delay_ms, work: None,
    )
    log = DiskPartitionLog(around, FOLDER, topic, partition, segments, replayed_from)
    return OpenLog(log, partition, clock, failures)


def producer_facts(partition: Partition) -> dict[int, tuple[object, ...]]:
    """What a partition remembers of its producers, to be compared."""
    return {
        producer_id: (entry.epoch, tuple(entry.batches), entry.transaction_first_offset)
        for producer_id, entry in partition.producers.items()
    }


def path(base_offset: int, suffix: str = names.LOG) -> str:
    return f"{FOLDER}/{names.file_name(base_offset, suffix)}"


def numbered(sequence: int, count: int = 2) -> bytes:
    """A batch of the idempotent producer 7, different from every other one."""
    return batch(count=count, producer_id=7, producer_epoch=0, base_sequence=sequence)
