"""ListOffsets, OffsetForLeaderEpoch, DeleteRecords and InitProducerId in every version, through its wire format."""

from __future__ import annotations

import pytest
from kafka_protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
)
from kafka_protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from kafka_protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kafka_protocol.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

from kafka_server.domain.topic import TopicSettings
from tests.application.data_house import DataHouse, context
from tests.domain.batches import NOW_MS, batch, messages

UNSUPPORTED_VERSION, INVALID_REQUEST, UNKNOWN_TOPIC, OUT_OF_RANGE = 35, 42, 3, 1


async def filled() -> DataHouse:
    """A topic ``orders`` with 10 messages at NOW_MS, NOW_MS + 1 ..., the first two deleted."""
    house = DataHouse()
    replica = await house.replica()
    house.append(replica, batch(*messages(10)))
    await house.retention.delete_records(replica, 2)
    return house


async def list_offsets(
    house: DataHouse, version: int, *timestamps: int, topic: str = "orders", index: int = 0, epoch: int = -1
) -> list[ListOffsetsPartitionResponse]:
    partitions = [ListOffsetsPartition(index, epoch, timestamp) for timestamp in timestamps]
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(topic, partitions)])
    request = ListOffsetsRequest.decode(request.encode(version), version)
    response = await house.offset_handlers.list_offsets(context(version), request)
    return ListOffsetsResponse.decode(response.encode(version), version).topics[0].partitions


@pytest.mark.parametrize("version", range(1, 12))
async def test_first_last_and_by_time(version: int) -> None:
    house = await filled()
    asked = [-2, -1, NOW_MS + 5, NOW_MS + 100]
    answers = [(await list_offsets(house, version, timestamp))[0] for timestamp in asked]

    assert [(a.offset, a.timestamp) for a in answers] == [(2, -1), (10, -1), (5, NOW_MS + 5), (-1, -1)]
    assert [a.leader_epoch for a in answers] == ([0, 0, 0, -1] if version >= 4 else [-1] * 4)


@pytest.mark.parametrize("version", range(12))
@pytest.mark.parametrize(
    ("timestamp", "since", "offset"), [(-3, 7, 9), (-4, 8, 2), (-5, 9, -1), (-6, 11, -1), (-7, 99, 0)]
)
async def test_each_special_time_is_unsupported_below_its_version(
    version: int, timestamp: int, since: int, offset: int
) -> None:
    (answer,) = await list_offsets(await filled(), version, timestamp)

    if version >= since:
        assert (answer.error_code, answer.offset) == (0, offset)
    else:
        assert answer.error_code == UNSUPPORTED_VERSION


@pytest.mark.parametrize(("timestamp", "offsets"), [(-1, [10, 2]), (-2, [2]), (NOW_MS + 9, [2]), (NOW_MS - 9, [])])
async def test_v0_answers_offsets_to_start_from(timestamp: int, offsets: list[int]) -> None:
    house = await filled()
    house.clock.advance(1_000)
    partition = ListOffsetsPartition(partition_index=0, timestamp=timestamp, max_num_offsets=10)
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic("orders", [partition])])
    response = await house.offset_handlers.list_offsets(context(0), ListOffsetsRequest.decode(request.encode(0), 0))

    answer = ListOffsetsResponse.decode(response.encode(0), 0).topics[0].partitions[0]
    assert (answer.error_code, answer.old_style_offsets) == (0, offsets)


async def test_v0_answers_no_more_offsets_than_asked_for() -> None:
    (answer,) = await list_offsets(await filled(), 0, -1)

    assert answer.old_style_offsets == [10]


@pytest.mark.parametrize("version", range(12))
async def test_offsets_of_a_partition_that_is_not_here(version: int) -> None:
    house = await filled()

    assert (await list_offsets(house, version, -1, topic="nobody"))[0].error_code == UNKNOWN_TOPIC
    assert (await list_offsets(house, version, -1, index=7))[0].error_code == UNKNOWN_TOPIC


async def test_a_partition_named_twice_is_an_invalid_request() -> None:
    answers = await list_offsets(await filled(), 5, -1, -2)

    assert [answer.error_code for answer in answers] == [INVALID_REQUEST] * 2


@pytest.mark.parametrize("version", range(4, 12))
async def test_a_client_ahead_in_epochs_is_told_so(version: int) -> None:
    assert (await list_offsets(await filled(), version, -1, epoch=4))[0].error_code == 75


@pytest.mark.parametrize("version", range(5))
async def test_offset_for_leader_epoch(version: int) -> None:
    house = await filled()
    house.replicas.find("orders", 0).partition.begin_epoch(2)

    def end_of(epoch: int, topic: str = "orders") -> EpochEndOffset:
        partition = OffsetForLeaderPartition(partition=0, leader_epoch=epoch)
        request = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic(topic, [partition])])
        request = OffsetForLeaderEpochRequest.decode(request.encode(version), version)
        response = house.offset_handlers.offset_for_leader_epoch(context(version), request)
        return OffsetForLeaderEpochResponse.decode(response.encode(version), version).topics[0].partitions[0]

    assert [end_of(epoch).end_offset for epoch in (0, 1, 2, 3)] == [10, 10, 10, -1]
    assert end_of(1).leader_epoch == (0 if version >= 1 else -1)
    assert end_of(0, "nobody").error_code == UNKNOWN_TOPIC


@pytest.mark.parametrize("version", range(3))
async def test_delete_records(version: int) -> None:
    house = await filled()
    await house.topic("compacted", settings=TopicSettings(cleanup_compact=True, cleanup_delete=False))
    asked = [("orders", 0, 5), ("orders", 0, -1), ("orders", 0, 11), ("orders", 3, 0), ("compacted", 0, 0)]
    request = DeleteRecordsRequest(
        topics=[DeleteRecordsTopic(name, [DeleteRecordsPartition(index, offset)]) for name, index, offset in asked]
    )
    request = DeleteRecordsRequest.decode(request.encode(version), version)
    response = await house.delete_handlers.delete_records(context(version), request)
    response = DeleteRecordsResponse.decode(response.encode(version), version)

    answers = [topic.partitions[0] for topic in response.topics]
    assert [(a.error_code, a.low_watermark) for a in answers] == [
        (0, 5),
        (0, 10),
        (OUT_OF_RANGE, -1),
        (UNKNOWN_TOPIC, -1),
        (44, -1),
    ]


async def init_producer_id(house: DataHouse, version: int, request: InitProducerIdRequest) -> InitProducerIdResponse:
    request = InitProducerIdRequest.decode(request.encode(version), version)
    response = await house.producer_id_handlers.init_producer_id(context(version), request)
    return InitProducerIdResponse.decode(response.encode(version), version)


@pytest.mark.parametrize("version", range(6))
async def test_every_idempotent_producer_gets_an_id_of_its_own(version: int) -> None:
    house = DataHouse()
    request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000)
    answers = [await init_producer_id(house, version, request) for _ in range(3)]

    assert len({answer.producer_id for answer in answers}) == 3
    assert {(answer.error_code, answer.producer_epoch) for answer in answers} == {(0, 0)}


@pytest.mark.parametrize("request_", [InitProducerIdRequest(None, 1, 5, -1), InitProducerIdRequest(None, 1, -1, 5)])
async def test_a_producer_id_without_its_epoch_is_an_invalid_request(request_: InitProducerIdRequest) -> None:
    assert (await init_producer_id(DataHouse(), 4, request_)).error_code == INVALID_REQUEST
