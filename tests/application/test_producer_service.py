"""From a batch that arrives to an offset that is acknowledged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

import pytest

from kafka_server.application.explain import EXPLAIN
from kafka_server.application.ports import Buffer, PartitionLog
from kafka_server.application.producer_service import ProducerIdService
from kafka_server.domain.errors import (
    InvalidRecord,
    InvalidTimestamp,
    InvalidTopic,
    InvalidTxnState,
    MessageTooLarge,
    OutOfOrderSequence,
    RecordListTooLarge,
    StorageError,
)
from kafka_server.domain.message import Message
from kafka_server.domain.partition import Partition
from kafka_server.domain.record_batch import CODEC_NAMES, LOG_APPEND_TIME, TRANSACTIONAL, parse_header
from kafka_server.domain.records import InvalidRecords, InvalidTimestamps
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.infrastructure.storage.memory import (
    MemoryLogRepository,
    MemoryPartitionLog,
    MemoryProducerIdRepository,
)
from tests.application.data_house import DataHouse, stored, target, waiting
from tests.domain.batches import NOW_MS, batch, idempotent, messages, patched

HOUR_MS = 3_600_000


async def test_batches_get_offsets_one_after_the_other() -> None:
    house = DataHouse()
    replica = await house.replica()

    assert [house.append(replica, batch(count=count)).base_offset for count in (3, 100, 1)] == [0, 3, 103]
    assert [message.offset for message in stored(replica)] == list(range(104))


async def test_a_batch_is_stored_as_it_came_behind_its_first_line() -> None:
    house = DataHouse()
    replica = await house.replica()
    data = batch(count=100)
    house.append(replica, data)

    raw = replica.log.read(0, 1 << 20, 100)
    assert isinstance(raw, memoryview)
    assert bytes(raw[16:]) == data[16:]


async def test_a_repeated_batch_is_acknowledged_with_its_first_offset_and_stored_once() -> None:
    house = DataHouse()
    replica = await house.replica()
    house.append(replica, idempotent(0, 3))
    house.append(replica, idempotent(3, 3))

    assert house.append(replica, idempotent(0, 3)).base_offset == 0
    assert len(stored(replica)) == 6


async def test_a_gap_in_sequences_is_refused_and_nothing_is_stored() -> None:
    house = DataHouse()
    replica = await house.replica()
    house.append(replica, idempotent(0))

    with pytest.raises(OutOfOrderSequence):
        house.append(replica, idempotent(5))
    assert len(stored(replica)) == 1


async def test_a_transactional_batch_is_refused_while_no_transaction_can_be_open() -> None:
    house = DataHouse()
    replica = await house.replica()

    with pytest.raises(InvalidTxnState):
        house.append(replica, patched(idempotent(0), 21, "h", TRANSACTIONAL))


async def test_internal_topics_take_records_from_the_admin_client_only() -> None:
    house = DataHouse()
    await house.topic("__secret", internal=True)
    replica = house.replicas.find("__secret", 0)

    with pytest.raises(InvalidTopic):
        house.producer.append(replica, batch())
    assert house.producer.append(replica, batch(), by_admin=True).base_offset == 0


async def test_the_size_limit_counts_compressed_bytes_before_anything_is_decompressed() -> None:
    house = DataHouse()
    big = Message(b"k", bytes(1_000_000), (), NOW_MS)
    replica = await house.replica(TopicSettings(max_message_bytes=10_000))

    house.append(replica, batch(big, codec=4))
    with pytest.raises(MessageTooLarge):
        house.append(replica, batch(big))
    assert replica.counters.bytes_rejected > 1_000_000


async def test_a_batch_that_fits_no_segment_is_refused() -> None:
    house = DataHouse()
    replica = await house.replica(TopicSettings(segment_bytes=100))

    with pytest.raises(RecordListTooLarge):
        house.append(replica, batch(count=30))


async def test_counters_count() -> None:
    house = DataHouse()
    replica = await house.replica()
    data = batch(count=5)
    house.append(replica, data)
    house.append(replica, data)

    counters = replica.counters
    assert (counters.produce_requests, counters.messages_in, counters.bytes_in) == (2, 10, 2 * len(data))


# ---- what the settings of a topic do to a batch ----------------------------------------------------------------------


async def test_log_append_time_stamps_the_batch_and_tells_the_producer() -> None:
    house = DataHouse()
    replica = await house.replica(TopicSettings(log_append_time=True))
    house.clock.advance(5_000)
    old = batch(*messages(3, timestamp=1_000))

    assert house.append(replica, old).log_append_time == NOW_MS + 5_000
    assert [message.timestamp for message in stored(replica)] == [NOW_MS + 5_000] * 3


async def test_a_producer_cannot_stamp_its_batches_itself() -> None:
    house = DataHouse()
    stamped = patched(batch(count=3), 21, "h", LOG_APPEND_TIME)
    replica = await house.replica(TopicSettings(log_append_time=True))
    with pytest.raises(InvalidTimestamp):
        house.append(replica, stamped)

    await house.topic("clicks")
    clicks = house.replicas.find("clicks", 0)
    assert house.append(clicks, stamped).log_append_time == -1
    assert [message.timestamp for message in stored(clicks)] == [NOW_MS, NOW_MS + 1, NOW_MS + 2]


async def test_create_time_keeps_the_producers_times_and_answers_minus_one() -> None:
    house = DataHouse()
    replica = await house.replica()

    assert house.append(replica, batch(*messages(2, timestamp=1_000))).log_append_time == -1
    assert [message.timestamp for message in stored(replica)] == [1_000, 1_001]


@pytest.mark.parametrize("count", [3, 100])
async def test_times_too_far_ahead_are_refused_and_named(count: int) -> None:
    house = DataHouse()
    replica = await house.replica()
    content = messages(count)
    content[1].timestamp = NOW_MS + HOUR_MS + 1

    with pytest.raises(InvalidTimestamps) as refused:
        house.append(replica, batch(*content))
    assert [error.batch_index for error in refused.value.record_errors] == [1]


@pytest.mark.parametrize("count", [3, 100])
async def test_times_too_far_back_are_refused_when_the_topic_bounds_them(count: int) -> None:
    house = DataHouse()
    replica = await house.replica(TopicSettings(message_timestamp_before_ms_max=1_000))
    content = messages(count)
    content[2].timestamp = NOW_MS - 1_001

    with pytest.raises(InvalidTimestamps) as refused:
        house.append(replica, batch(*content))
    assert [error.batch_index for error in refused.value.record_errors] == [2]


async def test_a_largest_timestamp_that_the_header_gets_wrong_is_put_right() -> None:
    house = DataHouse()
    replica = await house.replica()
    house.append(replica, patched(batch(count=3), 35, "q", NOW_MS + 1_000))

    raw = replica.log.read(0, 1 << 20, 3)
    assert isinstance(raw, memoryview)
    assert parse_header(raw).max_timestamp == NOW_MS + 2


@pytest.mark.parametrize("target_name", ["uncompressed", *CODEC_NAMES[1:]])
@pytest.mark.parametrize("codec", range(5), ids=CODEC_NAMES)
async def test_a_topic_with_a_codec_of_its_own_recompresses(codec: int, target_name: str) -> None:
    house = DataHouse()
    replica = await house.replica(TopicSettings(compression_type=target_name))
    content = [Message(b"k", b"value" * 50, (("h", b"1"),), NOW_MS + at) for at in range(40)]
    house.append(replica, batch(*content, codec=codec, producer_id=7, producer_epoch=0, base_sequence=0))

    raw = replica.log.read(0, 1 << 20, 40)
    assert isinstance(raw, memoryview)
    header = parse_header(raw)
    assert CODEC_NAMES[header.codec] == target_name.replace("uncompressed", "none")
    assert (header.producer_id, header.base_sequence) == (7, 0)
    assert [(m.value, m.headers) for m in stored(replica)] == [(m.value, m.headers) for m in content]


@pytest.mark.parametrize("count", [3, 100])
async def test_a_compacted_topic_refuses_a_record_without_a_key(count: int) -> None:
    house = DataHouse()
    replica = await house.replica(TopicSettings(cleanup_compact=True))
    content = messages(count)
    content[1].key = None

    with pytest.raises(InvalidRecords) as refused:
        house.append(replica, batch(*content))
    assert [error.batch_index for error in refused.value.record_errors] == [1]
    assert house.append(replica, batch(count=count)).base_offset == 0


async def test_a_small_batch_that_is_not_what_it_says_is_refused_in_every_codec() -> None:
    house = DataHouse()
    replica = await house.replica()
    for codec in range(5):
        lie = patched(patched(batch(count=3, codec=codec), 57, "i", 2), 23, "i", 1)
        with pytest.raises(InvalidRecord):
            house.append(replica, lie)
    assert replica.partition.log_end_offset == 0


# ---- stores that fail or wait ----------------------------------------------------------------------------------------


class FullDisk(MemoryPartitionLog):
    def append(self, head: Buffer, body: Buffer, base_offset: int, last_offset: int, max_timestamp: int) -> None:
        raise StorageError("no space left")


class GroupCommit(MemoryPartitionLog):
    """Bytes are written at once and safe when ``flushed`` is done."""

    flushed: asyncio.Future[None]

    def append(  # type: ignore[override]  # the port allows an awaitable where memory never needs one
        self, head: Buffer, body: Buffer, base_offset: int, last_offset: int, max_timestamp: int
    ) -> Awaitable[None]:
        super().append(head, body, base_offset, last_offset, max_timestamp)
        self.flushed = asyncio.get_running_loop().create_future()
        return self.flushed


class Logs(MemoryLogRepository):
    def __init__(self, log: PartitionLog) -> None:
        self._log = log

    async def open(self, topic: Topic, partition: Partition) -> PartitionLog:
        return self._log


async def test_a_store_that_cannot_write_leaves_offsets_and_sequences_as_they_were() -> None:
    house = DataHouse(Logs(FullDisk()))
    replica = await house.replica()

    with pytest.raises(StorageError):
        house.append(replica, idempotent(0, 3))
    assert replica.partition.log_end_offset == 0
    assert replica.partition.producers.get(7) is None


async def test_readers_see_a_batch_when_the_store_says_that_it_is_safe() -> None:
    log = GroupCommit()
    house = DataHouse(Logs(log))
    replica = await house.replica()
    poll = waiting(house.fetch(target(), wait_ms=10_000))
    appended = house.append(replica, batch(count=3))
    assert appended.pending is not None
    assert (replica.partition.log_end_offset, replica.partition.high_watermark) == (3, 0)
    assert not poll.done()

    log.flushed.set_result(None)
    await appended.pending
    (result,) = await poll
    assert replica.partition.high_watermark == 3
    assert len(result.records) > 0


async def test_a_repeat_of_a_batch_that_waits_for_its_sync_waits_for_the_same_sync() -> None:
    log = GroupCommit()
    house = DataHouse(Logs(log))
    replica = await house.replica()
    first, repeat = house.append(replica, idempotent(0, 3)), house.append(replica, idempotent(0, 3))
    assert repeat.base_offset == 0
    assert repeat.pending is first.pending

    log.flushed.set_result(None)
    await asyncio.sleep(0)
    assert house.append(replica, idempotent(0, 3)).pending is None


async def test_producer_ids_are_handed_out_once_even_to_those_who_ask_together() -> None:
    service = ProducerIdService(MemoryProducerIdRepository())
    ids = await asyncio.gather(*(service.allocate() for _ in range(2_500)))

    assert len(set(ids)) == 2_500


async def test_a_learner_reads_what_happens_to_a_message(caplog: pytest.LogCaptureFixture) -> None:
    house = DataHouse()
    replica = await house.replica()
    with caplog.at_level(EXPLAIN):
        house.append(replica, batch())
        house.append(replica, batch(count=3))

    assert "Storing message with offset 0 in orders-0" in caplog.text
    assert "Storing message with offset 1 up to 3 in orders-0" in caplog.text


async def test_nothing_is_explained_to_an_operator(caplog: pytest.LogCaptureFixture) -> None:
    house = DataHouse()
    replica = await house.replica()
    with caplog.at_level(logging.INFO):
        house.append(replica, batch())

    assert caplog.text == ""
