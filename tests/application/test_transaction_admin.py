"""Looking at transactions, and ending one that hangs (KIP-664)."""

from __future__ import annotations

import pytest
from kafka_protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from kafka_protocol.messages.describe_transactions import DescribeTransactionsRequest
from kafka_protocol.messages.end_txn import EndTxnRequest
from kafka_protocol.messages.init_producer_id import InitProducerIdRequest
from kafka_protocol.messages.list_transactions import ListTransactionsRequest
from kafka_protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)

from kafka_server.application.transaction_markers import OFFSETS_TOPIC, java_hash
from kafka_server.domain.errors import (
    InvalidProducerEpoch,
    InvalidRegularExpression,
    InvalidRequest,
    InvalidTopic,
    TransactionalIdNotFound,
    TransactionCoordinatorFenced,
    UnknownTopicOrPartition,
)
from tests.application.transaction_house import TXN, TransactionHouse

UNKNOWN_SERVER_ERROR = -1


async def busy_house() -> TransactionHouse:
    """``pay`` has written into orders-0; ``idle`` has done nothing."""
    house = await TransactionHouse().open()
    await house.produce(await house.initialise())
    await house.ask(InitProducerIdRequest("idle", 60_000), 5)
    return house


async def test_a_transaction_is_described_with_its_partitions() -> None:
    house = await busy_house()
    answer = await house.ask(DescribeTransactionsRequest([TXN, "idle", "who", ""]), 0)
    pay, idle, unknown, empty = answer.transaction_states

    assert (pay.transaction_state, pay.transaction_timeout_ms) == ("Ongoing", 60_000)
    assert [(topic.topic, topic.partitions) for topic in pay.topics] == [("orders", [0])]
    assert (idle.transaction_state, idle.transaction_start_time_ms, idle.topics) == ("Empty", -1, [])
    assert (unknown.error_code, empty.error_code) == (TransactionalIdNotFound.code, InvalidRequest.code)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ListTransactionsRequest(), {"pay", "idle"}),
        (ListTransactionsRequest(state_filters=["Ongoing"]), {"pay"}),
        (ListTransactionsRequest(producer_id_filters=[1]), {"idle"}),
        (ListTransactionsRequest(transactional_id_pattern="p.*"), {"pay"}),
        (ListTransactionsRequest(transactional_id_pattern="p"), set()),
        (ListTransactionsRequest(state_filters=["Ongoing"], duration_filter=1_000), set()),
    ],
)
async def test_lists_are_filtered(request_: ListTransactionsRequest, expected: set[str]) -> None:
    answer = await (await busy_house()).ask(request_, 2)

    assert {one.transactional_id for one in answer.transaction_states} == expected


async def test_a_state_that_does_not_exist_is_named_and_matches_nothing() -> None:
    answer = await (await busy_house()).ask(ListTransactionsRequest(state_filters=["Bored", "Bored"]), 1)

    assert (answer.unknown_state_filters, answer.transaction_states) == (["Bored"], [])


async def test_a_broken_pattern_is_refused_and_a_cruel_one_takes_no_time() -> None:
    house = await busy_house()
    answer = await house.ask(ListTransactionsRequest(["Bored"], transactional_id_pattern="(("), 2)
    assert (answer.error_code, answer.unknown_state_filters) == (InvalidRegularExpression.code, [])

    await house.ask(InitProducerIdRequest("a" * 60, 60_000), 5)
    cruel = await house.ask(ListTransactionsRequest(transactional_id_pattern="(a+)+b"), 2)
    assert cruel.transaction_states == []


async def test_producers_are_described_with_the_offset_that_holds_readers_up() -> None:
    house = await busy_house()
    asked = [TopicRequest("orders", [0, 1, 9]), TopicRequest("bad!", [0])]
    answer = await house.ask(DescribeProducersRequest(asked), 0)
    busy, quiet, missing = answer.topics[0].partitions

    (producer,) = busy.active_producers
    assert (producer.current_txn_start_offset, producer.last_sequence) == (0, 0)
    assert (quiet.active_producers, missing.error_code) == ([], UnknownTopicOrPartition.code)
    assert answer.topics[1].partitions[0].error_code == InvalidTopic.code


async def test_an_administrator_ends_a_hanging_transaction_with_a_marker() -> None:
    house = await busy_house()
    topics = [WritableTxnMarkerTopic("orders", [0, 9]), WritableTxnMarkerTopic(OFFSETS_TOPIC, [3])]
    answer = await house.ask(WriteTxnMarkersRequest([WritableTxnMarker(0, 0, False, topics)]), 1)

    codes = [part.error_code for topic in answer.markers[0].topics for part in topic.partitions]
    assert codes == [0, UnknownTopicOrPartition.code, 0]
    assert house.stable() == 2


async def test_a_marker_below_the_epoch_of_the_records_is_refused() -> None:
    house = await TransactionHouse().open()
    await house.initialise()
    await house.produce(await house.initialise())
    answer = await house.ask(
        WriteTxnMarkersRequest([WritableTxnMarker(0, 0, True, [WritableTxnMarkerTopic("orders", [0])])]), 2
    )

    assert answer.markers[0].topics[0].partitions[0].error_code == InvalidProducerEpoch.code
    assert (await house.ask(EndTxnRequest(TXN, 0, 1, True), 5)).error_code == 0


def marker(
    producer_id: int, epoch: int, *topics: WritableTxnMarkerTopic, coordinator_epoch: int = 0
) -> WritableTxnMarker:
    return WritableTxnMarker(producer_id, epoch, False, list(topics), coordinator_epoch)


@pytest.mark.parametrize("commit", [True, False])
async def test_a_transaction_ends_where_a_marker_of_a_later_coordinator_was_written_before(commit: bool) -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    late = marker(*producer, WritableTxnMarkerTopic("orders", [0]), coordinator_epoch=7)
    await house.ask(WriteTxnMarkersRequest([late]), 1)
    await house.produce(producer)
    assert house.stable() == 1

    assert (await house.ask(EndTxnRequest(TXN, *producer, commit), 5)).error_code == 0
    assert house.stable() == 3


async def test_a_marker_of_an_earlier_coordinator_is_refused() -> None:
    house = await busy_house()
    orders = WritableTxnMarkerTopic("orders", [0])
    codes = []
    for epoch in (7, 6, 7):
        answer = await house.ask(WriteTxnMarkersRequest([marker(0, 0, orders, coordinator_epoch=epoch)]), 1)
        codes.append(answer.markers[0].topics[0].partitions[0].error_code)

    assert codes == [0, TransactionCoordinatorFenced.code, 0]


@pytest.mark.parametrize(("producer_id", "epoch"), [(-1, 0), (-2, 0), (0, -1)])
async def test_a_marker_of_no_producer_fails_the_request_and_nothing_is_written(producer_id: int, epoch: int) -> None:
    house = await busy_house()
    orders = WritableTxnMarkerTopic("orders", [0, 1])
    answer = await house.ask(WriteTxnMarkersRequest([marker(0, 0, orders), marker(producer_id, epoch, orders)]), 1)

    codes = [part.error_code for one in answer.markers for topic in one.topics for part in topic.partitions]
    assert codes == [UNKNOWN_SERVER_ERROR] * 4
    assert [house.replicas.find("orders", index).partition.log_end_offset for index in (0, 1)] == [1, 0]


async def test_a_marker_that_names_no_partition_is_left_out_of_the_answer() -> None:
    house = await busy_house()
    markers = [marker(0, 0), marker(1, 0, WritableTxnMarkerTopic("orders", []))]

    assert (await house.ask(WriteTxnMarkersRequest(markers), 1)).markers == []


@pytest.mark.parametrize(("text", "code"), [("", 0), ("a", 97), ("group", 98_629_247), ("\U0001f600", 1_772_899)])
def test_groups_are_placed_by_javas_hash_of_their_id(text: str, code: int) -> None:
    assert java_hash(text) == code
