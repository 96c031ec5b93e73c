"""Produce and Fetch in every version, through the wire format of that version."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from kafka_protocol.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    PartitionData,
    ReplicaState,
)
from kafka_protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

from kafka_server.application.context import CloseConnection
from kafka_server.application.handlers.produce import ADMIN_CLIENT_ID
from kafka_server.application.ports import Buffer, PartitionLog
from kafka_server.domain.errors import StorageError
from kafka_server.domain.legacy_message import build_message_set, iterate_entries, unwrap_entries
from kafka_server.domain.message import Message
from kafka_server.domain.partition import Partition
from kafka_server.domain.record_batch import CODEC_NAMES
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.infrastructure.storage.memory import MemoryLogRepository, MemoryPartitionLog
from tests.application.data_house import DataHouse, context, messages_in, now_answered, stored, topic_id
from tests.domain.batches import CODECS, NOW_MS, batch, idempotent, messages

PRODUCE_VERSIONS = range(14)
BATCH_VERSIONS = range(3, 14)
FETCH_VERSIONS = range(19)
NONE, CORRUPT_MESSAGE, UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID = 0, 2, 3, 100, 103
INVALID_REQUIRED_ACKS, INVALID_TIMESTAMP, UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD = 21, 32, 76, 87


def produce_request(version: int, *parts: tuple[str, int, bytes], acks: int = -1) -> ProduceRequest:
    by_id = version >= 13
    topics = [
        TopicProduceData(
            "" if by_id else name, topic_id(name) if by_id else bytes(16), [PartitionProduceData(index, records)]
        )
        for name, index, records in parts
    ]
    request = ProduceRequest(acks=acks, timeout_ms=1_000, topic_data=topics)
    return ProduceRequest.decode(request.encode(version), version)


def produce(
    house: DataHouse, version: int, *parts: tuple[str, int, bytes], acks: int = -1, client_id: str = "test"
) -> list[PartitionProduceResponse]:
    """The answers per partition, after a trip over the wire."""
    request = produce_request(version, *parts, acks=acks)
    response = now_answered(house.produce_handlers.produce(context(version, client_id), request))
    received = ProduceResponse.decode(response.encode(version), version)
    return [partition for topic in received.responses for partition in topic.partition_responses]


def fetch_request(version: int, *parts: tuple[str, int, int], **fields: Any) -> FetchRequest:
    by_id = version >= 13
    topics = [
        FetchTopic(
            "" if by_id else name,
            topic_id(name) if by_id else bytes(16),
            [FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=1 << 20)],
        )
        for name, index, offset in parts
    ]
    request = FetchRequest(max_wait_ms=0, min_bytes=1, topics=topics)
    for name, value in fields.items():
        setattr(request, name, value)
    return FetchRequest.decode(request.encode(version), version)


def fetch_response(house: DataHouse, version: int, *parts: tuple[str, int, int], **fields: Any) -> FetchResponse:
    response = now_answered(house.fetch_handlers.fetch(context(version), fetch_request(version, *parts, **fields)))
    return FetchResponse.decode(response.encode(version), version)


def fetch(house: DataHouse, version: int, *parts: tuple[str, int, int], **fields: Any) -> list[PartitionData]:
    response = fetch_response(house, version, *parts, **fields)
    return [partition for topic in response.responses for partition in topic.partitions]


def message_set(magic: int, content: list[Message], codec: int = 0) -> bytes:
    return bytes(
        build_message_set(
            content,
            magic=magic,
            codec=codec,
            log_append_time=False,
            compress=CODECS.compress,
            compress_v0=CODECS.compress_legacy,
        )
    )


def old_messages(records: Any) -> list[Message]:
    """What a client of message format v0 or v1 reads: offsets come from the entries."""
    entries = list(iterate_entries(bytes(records)))
    content: list[Message] = []
    for entry in entries:
        inner = unwrap_entries([entry], CODECS.decompress, CODECS.decompress_legacy).messages
        first = entry.offset - len(inner) + 1
        content += [Message(m.key, m.value, (), m.timestamp, first + at) for at, m in enumerate(inner)]
    return content


# ---- produce ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", BATCH_VERSIONS)
async def test_produce_acknowledges_each_partition_with_its_offset_in_the_requests_order(version: int) -> None:
    house = DataHouse()
    await house.topic("orders", 2)
    await house.topic("clicks", 1)
    produce(house, version, ("orders", 1, batch(count=5)))

    answers = produce(house, version, ("orders", 1, batch()), ("clicks", 0, batch(count=2)), ("orders", 0, batch()))

    assert [(a.index, a.error_code, a.base_offset) for a in answers] == [(1, 0, 5), (0, 0, 0), (0, 0, 0)]
    assert {a.log_append_time_ms for a in answers} == {-1}


@pytest.mark.parametrize("version", PRODUCE_VERSIONS)
async def test_a_topic_or_partition_that_is_not_here_is_told_per_partition(version: int) -> None:
    house = DataHouse()
    await house.topic("orders")
    records = batch() if version >= 3 else message_set(version // 2, messages(1))

    answers = produce(house, version, ("nobody", 0, records), ("orders", 4, records), ("orders", 0, records))

    missing = UNKNOWN_TOPIC_ID if version >= 13 else UNKNOWN_TOPIC
    assert [a.error_code for a in answers] == [missing, UNKNOWN_TOPIC, NONE]
    assert [a.base_offset for a in answers] == [-1, -1, 0]


@pytest.mark.parametrize("version", BATCH_VERSIONS)
async def test_single_records_that_were_refused_are_named_from_v8_on(version: int) -> None:
    house = DataHouse()
    await house.topic("orders", settings=TopicSettings(cleanup_compact=True))

    (answer,) = produce(house, version, ("orders", 0, batch(Message(b"k", b"", (), 1), Message(None, b"", (), 1))))

    assert answer.error_code == INVALID_RECORD
    if version >= 8:
        assert [error.batch_index for error in answer.record_errors] == [1]
        assert answer.error_message == "One or more records have no key"


@pytest.mark.parametrize("version", BATCH_VERSIONS)
async def test_log_append_time_is_answered_in_every_version_that_can(version: int) -> None:
    house = DataHouse()
    await house.topic("orders", settings=TopicSettings(log_append_time=True))

    assert produce(house, version, ("orders", 0, batch()))[0].log_append_time_ms == NOW_MS


@pytest.mark.parametrize(("version", "code"), [(3, UNSUPPORTED_COMPRESSION_TYPE), (6, 76), (7, NONE), (13, NONE)])
async def test_zstd_is_legal_from_v7_on(version: int, code: int) -> None:
    house = DataHouse()
    await house.topic("orders")

    assert produce(house, version, ("orders", 0, batch(codec=4)))[0].error_code == code


async def test_a_corrupt_batch_harms_nobody_but_itself() -> None:
    house = DataHouse()
    await house.topic("orders", 2)
    broken = batch()[:-1] + b"\x55"

    answers = produce(house, 9, ("orders", 0, broken), ("orders", 1, batch()), ("orders", 0, b""))

    assert [a.error_code for a in answers] == [CORRUPT_MESSAGE, NONE, INVALID_RECORD]


async def test_a_message_set_has_no_place_in_v3_and_later() -> None:
    house = DataHouse()
    await house.topic("orders")

    assert produce(house, 3, ("orders", 0, message_set(1, messages(3))))[0].error_code == INVALID_RECORD


@pytest.mark.parametrize("acks", [2, -2, 100])
async def test_other_acks_than_0_1_and_all_are_refused_for_all_partitions(acks: int) -> None:
    house = DataHouse()
    await house.topic("orders")

    (answer,) = produce(house, 9, ("orders", 0, batch()), acks=acks)
    assert (answer.error_code, answer.base_offset) == (INVALID_REQUIRED_ACKS, -1)
    assert stored(house.replicas.find("orders", 0)) == []


async def test_what_is_not_there_or_no_batch_is_told_before_other_acks_are() -> None:
    house = DataHouse()
    await house.topic("orders")

    asked = [("orders", 7, batch()), ("orders", 0, b""), ("orders", 0, batch()[:-1] + b"?")]
    answers = produce(house, 9, *asked, acks=5)

    assert [answer.error_code for answer in answers] == [UNKNOWN_TOPIC, INVALID_RECORD, INVALID_REQUIRED_ACKS]


async def test_acks_0_gets_no_response_and_an_error_closes_the_connection() -> None:
    house = DataHouse()
    await house.topic("orders")

    assert house.produce_handlers.produce(context(9), produce_request(9, ("orders", 0, batch()), acks=0)) is None
    assert len(stored(house.replicas.find("orders", 0))) == 1
    with pytest.raises(CloseConnection):
        house.produce_handlers.produce(context(9), produce_request(9, ("nobody", 0, batch()), acks=0))


async def test_a_repeated_batch_is_acknowledged_as_before() -> None:
    house = DataHouse()
    await house.topic("orders")
    first, again = (produce(house, 9, ("orders", 0, idempotent(0, 3)))[0] for _ in range(2))

    assert (again.error_code, again.base_offset) == (NONE, first.base_offset)


async def test_the_admin_client_writes_to_internal_topics_and_nobody_else() -> None:
    house = DataHouse()
    await house.topic("__x", internal=True)

    assert produce(house, 9, ("__x", 0, batch()))[0].error_code == 17
    assert produce(house, 9, ("__x", 0, batch()), client_id=ADMIN_CLIENT_ID)[0].error_code == NONE


# ---- produce of old message formats ----------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", range(4), ids=CODEC_NAMES[:4])
@pytest.mark.parametrize(("version", "magic"), [(0, 0), (1, 0), (1, 1), (2, 1)])
async def test_old_message_sets_are_stored_as_one_batch(version: int, magic: int, codec: int) -> None:
    house = DataHouse()
    await house.topic("orders")
    content = messages(5, timestamp=1_000)

    (answer,) = produce(house, version, ("orders", 0, message_set(magic, numbered(content), codec)))

    assert (answer.error_code, answer.base_offset) == (NONE, 0)
    seen = stored(house.replicas.find("orders", 0))
    assert [(m.key, m.value, m.offset) for m in seen] == [(m.key, m.value, at) for at, m in enumerate(content)]
    assert [m.timestamp for m in seen] == ([m.timestamp for m in content] if magic else [-1] * 5)
    assert house.replicas.find("orders", 0).counters.produce_conversions == 1


def numbered(content: list[Message]) -> list[Message]:
    return [Message(m.key, m.value, (), m.timestamp, at) for at, m in enumerate(content)]


async def test_settings_apply_to_old_message_sets_too() -> None:
    house = DataHouse()
    await house.topic("orders", settings=TopicSettings(log_append_time=True, compression_type="lz4"))
    (answer,) = produce(house, 2, ("orders", 0, message_set(1, numbered(messages(5, timestamp=1_000)), 1)))

    assert answer.log_append_time_ms == NOW_MS
    raw = house.replicas.find("orders", 0).log.read(0, 1 << 20, 5)
    assert isinstance(raw, memoryview)
    assert raw[22] & 7 == CODEC_NAMES.index("lz4")
    assert {m.timestamp for m in stored(house.replicas.find("orders", 0))} == {NOW_MS}


async def test_an_old_message_set_without_a_whole_message_stores_nothing_and_succeeds() -> None:
    house = DataHouse()
    await house.topic("orders")

    (answer,) = produce(house, 2, ("orders", 0, message_set(1, numbered(messages(1)))[:-1]))
    assert (answer.error_code, answer.base_offset) == (NONE, -1)


async def test_an_old_client_may_send_a_new_batch_but_not_with_zstd() -> None:
    house = DataHouse()
    await house.topic("orders")

    assert produce(house, 2, ("orders", 0, batch(count=2)))[0].error_code == NONE
    assert produce(house, 2, ("orders", 0, batch(codec=4)))[0].error_code == UNSUPPORTED_COMPRESSION_TYPE


async def test_an_old_message_above_the_limit_is_too_large_before_it_is_decompressed() -> None:
    house = DataHouse()
    await house.topic("orders", settings=TopicSettings(max_message_bytes=200))

    assert produce(house, 2, ("orders", 0, message_set(1, numbered(messages(1, size=300)))))[0].error_code == 10


# ---- fetch -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(4, 19))
async def test_fetch_gives_stored_batches_and_the_bounds_of_the_partition(version: int) -> None:
    house = DataHouse()
    await house.topic("orders")
    produce(house, 9, ("orders", 0, batch(count=5)))
    await house.retention.delete_records(house.replicas.find("orders", 0), 2)

    (data,) = fetch(house, version, ("orders", 0, 3))

    assert [message.offset for message in messages_in(data.records)] == [0, 1, 2, 3, 4]
    assert (data.error_code, data.high_watermark, data.last_stable_offset) == (NONE, 5, 5)
    assert data.log_start_offset == (2 if version >= 5 else -1)
    assert data.aborted_transactions is None


@pytest.mark.parametrize("version", range(4, 19))
async def test_readers_of_committed_data_get_a_list_of_aborted_transactions(version: int) -> None:
    house = DataHouse()
    await house.topic("orders")
    produce(house, 9, ("orders", 0, batch()))

    (data,) = fetch(house, version, ("orders", 0, 0), isolation_level=1)
    assert data.aborted_transactions == []


@pytest.mark.parametrize("version", FETCH_VERSIONS)
async def test_errors_are_the_partitions_own(version: int) -> None:
    house = DataHouse()
    await house.topic("orders")

    answers = fetch(house, version, ("nobody", 0, 0), ("orders", 3, 0), ("orders", 0, 1), ("orders", 0, 0))

    missing = UNKNOWN_TOPIC_ID if version >= 13 else UNKNOWN_TOPIC
    assert [a.error_code for a in answers] == [missing, UNKNOWN_TOPIC, 1, NONE]
    assert [a.high_watermark for a in answers] == [-1, -1, -1, 0]
    assert all(not a.records for a in answers)


@pytest.mark.parametrize("version", FETCH_VERSIONS)
async def test_a_long_poll_is_answered_when_something_comes(version: int) -> None:
    house = DataHouse()
    await house.topic("orders")
    poll = house.fetch_handlers.fetch(context(version), fetch_request(version, ("orders", 0, 0), max_wait_ms=500))
    assert isinstance(poll, asyncio.Future)
    assert not poll.done()

    produce(house, 9, ("orders", 0, batch()))
    response = FetchResponse.decode((await poll).encode(version), version)
    assert len(response.responses[0].partitions[0].records or b"") > 0


async def test_a_follower_has_nothing_to_follow_here() -> None:
    house = DataHouse()
    await house.topic("orders")

    assert fetch(house, 4, ("orders", 0, 0), replica_id=2)[0].error_code == 6
    assert fetch(house, 15, ("orders", 0, 0), replica_state=ReplicaState(replica_id=2))[0].error_code == 6


@pytest.mark.parametrize("offset", [7, 99])
async def test_a_reader_whose_log_parted_from_ours_is_told_where(offset: int) -> None:
    house = DataHouse()
    await house.topic("orders")
    produce(house, 9, ("orders", 0, batch(count=5)))
    house.replicas.find("orders", 0).partition.begin_epoch(3)
    produce(house, 9, ("orders", 0, batch(count=5)))
    request = fetch_request(12, ("orders", 0, offset))
    request.isolation_level = 1
    request.topics[0].partitions[0].last_fetched_epoch = 1

    response = now_answered(house.fetch_handlers.fetch(context(12), request))
    data = FetchResponse.decode(response.encode(12), 12).responses[0].partitions[0]
    assert data.diverging_epoch is not None
    assert (data.diverging_epoch.epoch, data.diverging_epoch.end_offset) == (0, 5)
    assert (data.error_code, data.aborted_transactions) == (NONE, None)
    assert not data.records


# ---- fetch of old message formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", range(4), ids=CODEC_NAMES[:4])
@pytest.mark.parametrize(("version", "magic"), [(0, 0), (1, 0), (2, 1), (3, 1)])
async def test_old_clients_read_message_sets_of_their_format(version: int, magic: int, codec: int) -> None:
    house = DataHouse()
    await house.topic("orders")
    content = [Message(b"k", b"v%d" % at, (("lost", b"1"),), NOW_MS + at) for at in range(5)]
    for _ in range(2):
        produce(house, 9, ("orders", 0, batch(*content, codec=codec)))

    (data,) = fetch(house, version, ("orders", 0, 0))

    seen = old_messages(data.records)
    assert [m.offset for m in seen] == list(range(10))
    assert [m.value for m in seen] == [m.value for m in content] * 2
    assert [m.timestamp for m in seen] == ([m.timestamp for m in content] * 2 if magic else [-1] * 10)


async def test_an_old_client_that_starts_inside_a_batch_is_spared_what_lies_before() -> None:
    house = DataHouse()
    await house.topic("orders")
    produce(house, 9, ("orders", 0, batch(count=5)))

    assert [m.offset for m in old_messages(fetch(house, 3, ("orders", 0, 3))[0].records)] == [3, 4]


async def test_up_to_v2_the_limit_is_hard_and_the_last_message_is_cut() -> None:
    house = DataHouse()
    await house.topic("orders")
    produce(house, 9, ("orders", 0, batch(count=5)))
    for version, is_cut in ((2, True), (3, False)):
        request = fetch_request(version, ("orders", 0, 0))
        request.topics[0].partitions[0].partition_max_bytes = 50
        response = now_answered(house.fetch_handlers.fetch(context(version), request))
        records = FetchResponse.decode(response.encode(version), version).responses[0].partitions[0].records
        assert records is not None
        assert (len(records) == 50) == is_cut


async def test_zstd_cannot_be_told_to_old_clients() -> None:
    house = DataHouse()
    await house.topic("orders")
    produce(house, 9, ("orders", 0, batch()), ("orders", 0, batch(codec=4)))

    assert len(old_messages(fetch(house, 3, ("orders", 0, 0))[0].records)) == 1
    assert fetch(house, 3, ("orders", 0, 1))[0].error_code == UNSUPPORTED_COMPRESSION_TYPE


@pytest.mark.parametrize(("version", "code"), [(0, 76), (3, 76), (4, 0), (10, 0), (18, 0)])
async def test_a_topic_of_zstd_is_readable_where_nothing_has_to_be_converted(version: int, code: int) -> None:
    house = DataHouse()
    await house.topic("orders", settings=TopicSettings(compression_type="zstd"))
    produce(house, 9, ("orders", 0, batch()))

    assert fetch(house, version, ("orders", 0, 0))[0].error_code == code


# ---- sessions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(7, 19))
async def test_within_a_session_only_news_is_sent(version: int) -> None:
    house = DataHouse()
    await house.topic("orders", 3)
    parts = [("orders", index, 0) for index in range(3)]
    opened = fetch_response(house, version, *parts, session_epoch=0)
    assert opened.session_id != 0
    assert sum(len(topic.partitions) for topic in opened.responses) == 3

    quiet = fetch_response(house, version, session_id=opened.session_id, session_epoch=1)
    assert quiet.responses == []

    produce(house, 9, ("orders", 1, batch()))
    news = fetch_response(house, version, session_id=opened.session_id, session_epoch=2)
    assert [p.partition_index for topic in news.responses for p in topic.partitions] == [1]


@pytest.mark.parametrize("version", range(7, 19))
async def test_a_wrong_session_is_refused_as_a_whole(version: int) -> None:
    house = DataHouse()
    await house.topic("orders")

    unknown = fetch_response(house, version, session_id=4711, session_epoch=1)
    assert (unknown.error_code, unknown.session_id, unknown.responses) == (70, 0, [])

    session_id = fetch_response(house, version, ("orders", 0, 0), session_epoch=0).session_id
    assert fetch_response(house, version, session_id=session_id, session_epoch=5).error_code == 71


async def test_forgotten_partitions_leave_the_session() -> None:
    house = DataHouse()
    await house.topic("orders", 2)
    session_id = fetch_response(house, 12, ("orders", 0, 0), ("orders", 1, 0), session_epoch=0).session_id
    fetch_response(
        house,
        12,
        session_id=session_id,
        session_epoch=1,
        forgotten_topics_data=[ForgottenTopic("orders", bytes(16), [0])],
    )
    produce(house, 9, ("orders", 0, batch()), ("orders", 1, batch()))

    news = fetch_response(house, 12, session_id=session_id, session_epoch=2)
    assert [p.partition_index for topic in news.responses for p in topic.partitions] == [1]


@pytest.mark.parametrize("version", range(13, 19))
async def test_the_zero_topic_id_is_nobodys(version: int) -> None:
    house = DataHouse()
    await house.topic("orders")
    nobody = FetchTopic("", bytes(16), [FetchPartition(partition=0)])

    opened = fetch_response(house, version, session_epoch=0, topics=[nobody])
    again = fetch_response(house, version, session_id=opened.session_id, session_epoch=1)
    assert [answer.responses[0].partitions[0].error_code for answer in (opened, again)] == [UNKNOWN_TOPIC_ID] * 2


@pytest.mark.parametrize("version", range(13, 19))
async def test_a_session_is_told_that_its_topic_was_deleted_and_that_another_took_its_name(version: int) -> None:
    house = DataHouse()
    topic = await house.topic("orders")
    session_id = fetch_response(house, version, ("orders", 0, 0), session_epoch=0).session_id

    def next_answer(epoch: int) -> PartitionData:
        answer = fetch_response(house, version, session_id=session_id, session_epoch=epoch)
        return answer.responses[0].partitions[0]

    await house.replicas.remove_topic(topic)
    gone = next_answer(1)
    await house.replicas.open_topic(Topic("orders", b"another-orders--", 1, TopicSettings()))
    replaced = next_answer(2)
    assert (gone.error_code, gone.aborted_transactions) == (UNKNOWN_TOPIC, [])
    assert (replaced.error_code, replaced.aborted_transactions) == (INCONSISTENT_TOPIC_ID, None)
    assert fetch(house, version, ("orders", 0, 0))[0].error_code == UNKNOWN_TOPIC_ID


@pytest.mark.parametrize("version", range(13, 19))
async def test_a_partition_that_joined_a_session_later_is_told_the_same(version: int) -> None:
    house = DataHouse()
    await house.topic("clicks")
    topic = await house.topic("orders")
    session_id = fetch_response(house, version, ("clicks", 0, 0), session_epoch=0).session_id
    fetch_response(house, version, ("orders", 0, 0), session_id=session_id, session_epoch=1)

    await house.replicas.remove_topic(topic)
    gone = fetch_response(house, version, session_id=session_id, session_epoch=2)
    assert [p.error_code for topic in gone.responses for p in topic.partitions] == [UNKNOWN_TOPIC]


async def test_two_connections_on_one_session_are_noticed() -> None:
    house = DataHouse()
    await house.topic("orders")
    session_id = fetch_response(house, 12, ("orders", 0, 0), session_epoch=0).session_id
    first = house.fetch_handlers.fetch(
        context(12), fetch_request(12, session_id=session_id, session_epoch=1, max_wait_ms=500)
    )
    assert isinstance(first, asyncio.Future)
    fetch_response(house, 12, session_id=session_id, session_epoch=2)

    produce(house, 9, ("orders", 0, batch()))
    assert (await first).error_code == 71


async def test_before_v7_and_with_epoch_minus_one_there_is_no_session() -> None:
    house = DataHouse()
    await house.topic("orders")

    assert fetch_response(house, 6, ("orders", 0, 0)).session_id == 0
    assert fetch_response(house, 12, ("orders", 0, 0), session_epoch=-1).session_id == 0
    assert len(house.sessions) == 0


# ---- a store that syncs ----------------------------------------------------------------------------------------------


class SyncedLog(MemoryPartitionLog):
    """Every append waits for the same sync."""

    def __init__(self) -> None:
        super().__init__()
        self.sync: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def append(  # type: ignore[override]  # the log in memory never has to wait
        self, head: Buffer, body: Buffer, base_offset: int, last_offset: int, max_timestamp: int
    ) -> asyncio.Future[None]:
        super().append(head, body, base_offset, last_offset, max_timestamp)
        return self.sync


class SyncedLogs(MemoryLogRepository):
    def __init__(self, log: SyncedLog) -> None:
        self._log = log

    async def open(self, topic: Topic, partition: Partition) -> PartitionLog:
        return self._log


def ask(house: DataHouse, acks: int = -1) -> object:
    return house.produce_handlers.produce(context(9), produce_request(9, ("orders", 0, batch()), acks=acks))


async def test_under_acks_all_the_answer_waits_for_the_sync_and_under_acks_1_it_does_not() -> None:
    house = DataHouse(SyncedLogs(log := SyncedLog()))
    await house.topic()
    patient, hasty = ask(house), ask(house, acks=1)
    assert isinstance(patient, asyncio.Future)
    assert isinstance(hasty, ProduceResponse)

    log.sync.set_result(None)
    assert (await patient).responses[0].partition_responses[0].base_offset == 0


async def test_an_answer_under_acks_1_waits_for_a_sync_that_the_topic_asks_for_by_count() -> None:
    house = DataHouse(SyncedLogs(SyncedLog()))
    topic = await house.topic()
    topic.settings = replace(topic.settings, flush_messages=1)
    assert isinstance(ask(house, acks=1), asyncio.Future)


async def test_a_client_that_goes_away_takes_no_other_clients_answer_with_it() -> None:
    house = DataHouse(SyncedLogs(log := SyncedLog()))
    await house.topic()
    gone, stays = ask(house), ask(house)
    assert isinstance(gone, asyncio.Future)
    assert isinstance(stays, asyncio.Future)
    gone.cancel()
    log.sync.set_result(None)

    assert (await stays).responses[0].partition_responses[0].error_code == NONE


async def test_a_sync_that_fails_is_a_storage_error_for_everybody_who_waited() -> None:
    house = DataHouse(SyncedLogs(log := SyncedLog()))
    await house.topic()
    answers = [ask(house), ask(house)]
    log.sync.set_exception(StorageError("no more"))

    for answer in answers:
        assert isinstance(answer, asyncio.Future)
        told = (await answer).responses[0].partition_responses[0]
        assert (told.error_code, told.base_offset) == (StorageError.code, -1)
    assert house.replicas.find("orders", 0).partition.high_watermark == 0
