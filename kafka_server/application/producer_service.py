"""Owns: what happens to a batch between its arrival and its acknowledgement, and who gets which producer id.
Must never know: the wire, request versions, how logs are stored.

The way of a batch: check the header and the CRC -> look into the records, if the topic's settings or the batch ask for
it -> admit (duplicates, sequences) -> store at the log end offset -> advance -> wake the fetches that wait.

Looking into records costs about a microsecond each, a thousand times the cost of the rest. So a batch whose header is
sound is taken at its word unless a rule needs the records: a compacted topic needs keys, a bound on old timestamps
needs each time, another codec needs the block. Small batches are always walked, since that is cheap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from kafka_server.application.explain import EXPLAIN
from kafka_server.application.ports import Buffer, Clock, Compression, ProducerIdRepository
from kafka_server.application.replica_manager import Replica, Waiter
from kafka_server.domain.control_record import Marker, build_marker
from kafka_server.domain.errors import (
    InvalidTimestamp,
    InvalidTopic,
    MessageTooLarge,
    RecordListTooLarge,
    UnknownTopicOrPartition,
)
from kafka_server.domain.partition import Membership
from kafka_server.domain.record_batch import (
    CODEC_MASK,
    CODEC_NAMES,
    HEADER_SIZE,
    LENGTH_OVERHEAD,
    LOG_APPEND_TIME,
    PREFIX_SIZE,
    TRANSACTIONAL,
    BatchHeader,
    NotOneBatch,
    assigned_prefix,
    check_client_batch,
    parse_header,
    rewrite,
)
from kafka_server.domain.records import check_records
from kafka_server.domain.topic import TopicSettings
from kafka_server.domain.transaction import Protocol

log = logging.getLogger("kafka_server.produce")

# A walk costs some microseconds a record, and 16 KiB - the batch.size that Java producers start with - is 16 records of
# 1 KiB: walking those made every full batch 1.7 times as expensive.
_WALK_RECORDS_MAX = 4
_WALK_COMPRESSED_SIZE_MAX = 4096
_COMPRESSED_IN_A_THREAD_SIZE_MIN = 16 * 1024
"""The way to a thread and back is 44 us, and gzip takes 24 ms for a MiB that everybody else would wait for."""
_ATTRIBUTES_LOW_BYTE = 22
_NO_TIME = -1
_TIME_MIN, _TIME_MAX = -(2**63), 2**63 - 1
_PRODUCER_ID_BLOCK = 1000
_ALL_BYTES = 2**62
"""What a marker may release to readers of committed data: nobody counts how much of it they asked for."""
_new_tuple = tuple.__new__


class Appended(NamedTuple):
    """Where a batch is stored."""

    base_offset: int
    log_append_time: int
    """The broker's stamp, or -1 when the topic keeps the producer's times."""
    log_start_offset: int
    pending: asyncio.Future[None] | None
    """What an acknowledgement under acks=all waits for; None when the batch is safe already.
    Others wait for the same future: listen to it, or shield it from being cancelled."""


class ProducerService:
    """Appends batches to partitions."""

    __slots__ = ("_clock", "_compression", "_ready")

    def __init__(self, compression: Compression, clock: Clock) -> None:
        self._compression = compression
        self._clock = clock
        self._ready: list[Waiter] = []

    def append(
        self,
        replica: Replica,
        records: Buffer | None,
        *,
        by_admin: bool = False,
        membership: Membership = Membership.UNKNOWN,
    ) -> Appended:
        """Appends the one v2 batch in ``records``; from all but the admin client, internal topics take none.

        ``membership`` is what the transaction coordinator said of it, if it is transactional.

        Raises the DomainErrors of ``check_client_batch``, ``check_records`` and ``Partition.admit``, and StorageError.
        """
        settings = replica.topic.settings
        header, checked = self._check(replica, records, by_admin)
        now_ms = self._clock.now_ms()
        if (
            not settings.takes_batches_as_they_come
            or header.record_count <= _WALK_RECORDS_MAX
            or header.max_timestamp > now_ms + settings.message_timestamp_after_ms_max
            or header.attributes & LOG_APPEND_TIME
        ):
            checked, header = self._look_into(checked, header, settings, now_ms)
        return self._store(replica, memoryview(checked), header, now_ms, membership)

    def takes_long(self, replica: Replica, records: Buffer | None) -> bool:
        """Whether the batch is large and has to be compressed anew: ``append_later`` is for those."""
        target = replica.topic.settings.compression_type
        if target == "producer" or records is None or len(records) < _COMPRESSED_IN_A_THREAD_SIZE_MIN:
            return False
        return records[_ATTRIBUTES_LOW_BYTE] & CODEC_MASK != target_codec(target)

    async def append_later(
        self,
        replica: Replica,
        records: Buffer | None,
        still_served: Callable[[], bool],
        *,
        by_admin: bool = False,
    ) -> Appended:
        """``append`` with the compression in a thread, so that nobody else waits for it. Not for transactions.

        ``still_served`` is asked before the batch is stored: the partition may be gone by then. Raises as ``append``,
        and UnknownTopicOrPartition.
        """
        header, checked = self._check(replica, records, by_admin)
        now_ms = self._clock.now_ms()
        look = partial(self._look_into, checked, header, replica.topic.settings, now_ms)
        changed, header = await asyncio.get_running_loop().run_in_executor(None, look)
        if not still_served():
            raise UnknownTopicOrPartition
        return self._store(replica, memoryview(changed), header, now_ms, Membership.UNKNOWN)

    def _check(self, replica: Replica, records: Buffer | None, by_admin: bool) -> tuple[BatchHeader, Buffer]:
        """What the header alone can tell."""
        topic, counters = replica.topic, replica.counters
        counters.produce_requests += 1
        if topic.is_internal and not by_admin:
            raise InvalidTopic(f"Cannot append to the internal topic {topic.name}")
        if records is None:
            raise NotOneBatch("The records are null")
        try:
            return check_client_batch(records, topic.settings.max_message_bytes), records
        except MessageTooLarge:
            counters.bytes_rejected += len(records)
            raise

    def append_rebuilt(self, replica: Replica, batch: Buffer, *, by_admin: bool = False) -> Appended:
        """Appends a batch that the broker built itself from message sets of an old format.

        It is checked as any client's, which also brings in the settings of the topic.
        """
        replica.counters.produce_conversions += 1
        return self.append(replica, batch, by_admin=by_admin)

    def wake(self) -> None:
        """Wakes the fetches that have enough since the appends before. Called once per request, after its last append,
        so that a fetch of many partitions is answered once with all that is new. They read in the next turn of the
        event loop: the producer gets its answer first, and waits no longer because somebody consumes.
        """
        if self._ready:
            ready, self._ready = self._ready, []
            asyncio.get_running_loop().call_soon(_wake_all, ready)

    def end_transaction(self, replica: Replica, marker: Marker, protocol: Protocol) -> asyncio.Future[None] | None:
        """Writes the marker that ends a producer's transaction in this partition.

        Returns what tells that it is safe; None when it is already. Raises InvalidProducerEpoch,
        TransactionCoordinatorFenced or StorageError; nothing was written then.
        """
        partition = replica.partition
        partition.producers.check_marker(marker, epoch_is_bumped=protocol is Protocol.V2)
        now_ms = self._clock.now_ms()
        batch = memoryview(build_marker(marker, now_ms))
        offset = partition.log_end_offset
        pending = replica.log.append(
            assigned_prefix(offset, len(batch) - LENGTH_OVERHEAD, partition.leader_epoch),
            batch[PREFIX_SIZE:],
            offset,
            offset,
            now_ms,
        )
        partition.end_transaction(marker, now_ms, is_safe=pending is None)
        if log.isEnabledFor(EXPLAIN):
            how = "Committing" if marker.is_commit else "Aborting"
            where = f"{replica.topic.name}-{partition.index}"
            line = "%s the transaction of producer %d in %s with a marker at offset %d"
            log.log(EXPLAIN, line, how, marker.producer_id, where, offset)
        if pending is not None:
            replica.unsafe = self._when_safe(pending, replica, partition.log_end_offset, _ALL_BYTES)
            return replica.unsafe
        if replica.waiters:
            self._tell_waiters(replica, _ALL_BYTES)
        return None

    def _store(
        self, replica: Replica, records: memoryview, header: BatchHeader, now_ms: int, membership: Membership
    ) -> Appended:
        partition = replica.partition
        attributes = header.attributes
        max_timestamp = header.max_timestamp
        stamp = max_timestamp if attributes & LOG_APPEND_TIME else _NO_TIME
        if header.producer_id >= 0 or attributes & TRANSACTIONAL:
            repeated = partition.admit(header, membership)
            if repeated is not None:
                log.debug("Producer %d repeats the batch at offset %d", header.producer_id, repeated.first_offset)
                stamp = repeated.timestamp if stamp != _NO_TIME else _NO_TIME
                # It may still wait for its sync, and a repeat must not promise more than the first answer does.
                is_safe = repeated.last_offset < partition.high_watermark
                unsafe = None if is_safe else replica.unsafe
                return Appended(repeated.first_offset, stamp, partition.log_start_offset, unsafe)
        size = len(records)
        if size > replica.topic.settings.segment_bytes:
            raise RecordListTooLarge
        base_offset = partition.log_end_offset
        pending = replica.log.append(
            assigned_prefix(base_offset, header.batch_length, partition.leader_epoch),
            records[PREFIX_SIZE:],
            base_offset,
            base_offset + header.last_offset_delta,
            max_timestamp,
        )
        partition.advance(header, now_ms, is_safe=pending is None)
        counters = replica.counters
        counters.messages_in += header.record_count
        counters.bytes_in += size
        if log.isEnabledFor(EXPLAIN):
            _explain(replica, header, base_offset)
        if pending is not None:
            pending = replica.unsafe = self._when_safe(pending, replica, partition.log_end_offset, size)
        elif replica.waiters:
            self._tell_waiters(replica, size)
        return _new_tuple(Appended, (base_offset, stamp, partition.log_start_offset, pending))

    def _tell_waiters(self, replica: Replica, size: int) -> None:
        for waiter in replica.waiters:
            if waiter.grew(size):
                self._ready.append(waiter)

    def _when_safe(
        self, pending: Awaitable[None], replica: Replica, end_offset: int, size: int
    ) -> asyncio.Future[None]:
        """Lets readers see the batch once the store says that it is safe, whether or not the producer waits for it."""
        future = asyncio.ensure_future(pending)

        def safe(done: asyncio.Future[None]) -> None:
            if done.cancelled() or done.exception() is not None:
                return
            replica.partition.acknowledge(end_offset)
            self._tell_waiters(replica, size)
            self.wake()

        future.add_done_callback(safe)
        return future

    # ---- the slower path ---------------------------------------------------------------------------------------------

    def _look_into(
        self, records: Buffer, header: BatchHeader, settings: TopicSettings, now_ms: int
    ) -> tuple[Buffer, BatchHeader]:
        """The batch as it is to be stored, after the checks and changes that need more than its header."""
        block = memoryview(records)[HEADER_SIZE:]
        codec = header.attributes & CODEC_MASK
        target = codec if settings.compression_type == "producer" else target_codec(settings.compression_type)
        max_timestamp = header.max_timestamp
        payload: Buffer | None = None
        if target != codec or _may_walk(header, len(block)) or _must_walk(header, settings, now_ms):
            payload = self._compression.decompress(codec, block) if codec else block
            bounded = not settings.log_append_time
            max_timestamp = check_records(
                header,
                payload,
                key_required=settings.cleanup_compact,
                timestamp_min=now_ms - settings.message_timestamp_before_ms_max if bounded else _TIME_MIN,
                timestamp_max=min(
                    now_ms + settings.message_timestamp_after_ms_max if bounded else _TIME_MAX, _TIME_MAX
                ),
            )
        attributes = header.attributes & ~LOG_APPEND_TIME
        if settings.log_append_time:
            if header.attributes & LOG_APPEND_TIME:
                raise InvalidTimestamp("A producer must not set the timestamp type to LogAppendTime")
            attributes |= LOG_APPEND_TIME
            max_timestamp = now_ms
        if target != codec and payload is not None:
            block = memoryview(self._compression.compress(target, payload, _level(settings, target)))
            attributes = attributes & ~CODEC_MASK | target
            if HEADER_SIZE + len(block) > settings.max_message_bytes:
                raise MessageTooLarge("The batch is larger than max.message.bytes after compression by the broker")
        elif attributes == header.attributes and max_timestamp == header.max_timestamp:
            return records, header
        batch = rewrite(
            header,
            block,
            attributes=attributes,
            base_timestamp=header.base_timestamp,
            max_timestamp=max_timestamp,
        )
        return batch, parse_header(batch)


def _wake_all(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        waiter.wake()


def _must_walk(header: BatchHeader, settings: TopicSettings, now_ms: int) -> bool:
    if settings.cleanup_compact:
        return True
    if settings.log_append_time:
        return False
    latest = now_ms + settings.message_timestamp_after_ms_max
    return settings.message_timestamp_before_ms_max < _TIME_MAX or header.max_timestamp > latest


def _may_walk(header: BatchHeader, block_size: int) -> bool:
    if header.record_count > _WALK_RECORDS_MAX:
        return False
    return not header.attributes & CODEC_MASK or block_size <= _WALK_COMPRESSED_SIZE_MAX


def target_codec(compression_type: str) -> int:
    """The codec number for a value of compression.type other than ``producer``."""
    return CODEC_NAMES.index("none" if compression_type == "uncompressed" else compression_type)


def _level(settings: TopicSettings, codec: int) -> int | None:
    levels = {
        "gzip": settings.compression_gzip_level,
        "lz4": settings.compression_lz4_level,
        "zstd": settings.compression_zstd_level,
    }
    return levels.get(CODEC_NAMES[codec])


def _explain(replica: Replica, header: BatchHeader, base_offset: int) -> None:
    name = replica.topic.name
    index = replica.partition.index
    if header.record_count == 1:
        log.log(EXPLAIN, "Storing message with offset %d in %s-%d", base_offset, name, index)
    else:
        last = base_offset + header.last_offset_delta
        log.log(EXPLAIN, "Storing message with offset %d up to %d in %s-%d", base_offset, last, name, index)


class ProducerIdService:
    """Hands out producer ids, each once (KIP-98); reserves them in blocks, so that few requests wait for the store."""

    __slots__ = ("_end", "_next", "_repository")

    def __init__(self, repository: ProducerIdRepository) -> None:
        self._repository = repository
        self._next = 0
        self._end = 0

    async def pass_over(self, highest: int) -> None:
        """Never gives out ids up to ``highest``, which is in use.

        Whoever got it would be taken for its first owner, and batches with the sequences of the other's last ones would
        be acknowledged and dropped.
        """
        if highest < 0:
            return
        first = await self._repository.reserve(1)
        if first < highest:
            await self._repository.reserve(highest - first)

    async def allocate(self) -> int:
        while self._next >= self._end:
            first = await self._repository.reserve(_PRODUCER_ID_BLOCK)
            # Several callers may have waited at once; the blocks of the others are as good, and none is lost but the
            # rest of a block that is replaced before it is used up.
            if self._next >= self._end:
                self._next, self._end = first, first + _PRODUCER_ID_BLOCK
        self._next += 1
        return self._next - 1
