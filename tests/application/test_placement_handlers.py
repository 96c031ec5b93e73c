"""Elections and reassignments through the wire; error codes are those that Apache Kafka 4.4 was seen to answer."""

from __future__ import annotations

import pytest
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignableTopic,
)
from kafka_protocol.messages.elect_leaders import ElectLeadersRequest, ElectLeadersResponse, TopicPartitions
from kafka_protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    ListPartitionReassignmentsTopics,
)

from tests.application.admin_house import NODE_ID, House

PREFERRED, UNCLEAN = 0, 1


async def house_with_orders() -> House:
    house = House()
    await house.topic("orders", 2)
    return house


async def elect(
    house: House, *asked: tuple[str, list[int]], version: int = 2, kind: int = PREFERRED
) -> tuple[int, list[tuple[str, int, int]]]:
    """The error of the whole answer, and per partition topic, index and error. Nothing asked for means everything."""
    topics = [TopicPartitions(topic=name, partitions=indexes) for name, indexes in asked] or None
    request = ElectLeadersRequest(election_type=kind, topic_partitions=topics)
    response = await house.ask("elect_leaders", request, ElectLeadersResponse, version)
    results = [
        (result.topic, partition.partition_id, partition.error_code)
        for result in response.replica_election_results
        for partition in result.partition_result
    ]
    return response.error_code, results


@pytest.mark.parametrize("version", range(3))
async def test_the_only_replica_leads_already_so_no_election_is_needed(version: int) -> None:
    asked = ("orders", [0, 1, 5]), ("nope", [0]), ("bad!", [0])

    assert await elect(await house_with_orders(), *asked, version=version) == (
        0,
        [
            ("orders", 0, ErrorCode.ELECTION_NOT_NEEDED),
            ("orders", 1, ErrorCode.ELECTION_NOT_NEEDED),
            ("orders", 5, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
            ("nope", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
            ("bad!", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ],
    )


@pytest.mark.parametrize("version", range(3))
async def test_asking_for_all_partitions_tells_only_of_those_that_got_a_new_leader(version: int) -> None:
    assert await elect(await house_with_orders(), version=version) == (0, [])


@pytest.mark.parametrize("version", [1, 2])
async def test_an_unclean_election_is_not_needed_either(version: int) -> None:
    (_, results) = await elect(await house_with_orders(), ("orders", [0]), version=version, kind=UNCLEAN)

    assert results == [("orders", 0, ErrorCode.ELECTION_NOT_NEEDED)]


async def test_an_unknown_kind_of_election_refuses_the_whole_request() -> None:
    house = await house_with_orders()

    assert await elect(house, ("orders", [0]), kind=7) == (
        ErrorCode.INVALID_REQUEST,
        [("orders", 0, ErrorCode.INVALID_REQUEST)],
    )


async def test_an_election_of_nothing_is_of_any_kind() -> None:
    request = ElectLeadersRequest(election_type=7, topic_partitions=[])

    response = await House().ask("elect_leaders", request, ElectLeadersResponse)

    assert (response.error_code, response.replica_election_results) == (ErrorCode.NONE, [])


async def reassign(
    house: House, name: str, index: int, brokers: list[int] | None, version: int = 1
) -> AlterPartitionReassignmentsResponse:
    partition = ReassignablePartition(partition_index=index, replicas=brokers)
    request = AlterPartitionReassignmentsRequest(topics=[ReassignableTopic(name=name, partitions=[partition])])
    response = await house.ask("alter_partition_reassignments", request, AlterPartitionReassignmentsResponse, version)
    assert isinstance(response, AlterPartitionReassignmentsResponse)
    return response


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(
    ("name", "index", "brokers", "code"),
    [
        ("orders", 0, [NODE_ID], ErrorCode.NONE),
        ("orders", 0, None, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS),
        ("orders", 0, [], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("orders", 0, [8], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("orders", 0, [NODE_ID, 8], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("orders", 0, [NODE_ID, NODE_ID], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("orders", 2, [NODE_ID], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("nope", 0, [NODE_ID], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("nope", 0, None, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ],
)
async def test_a_partition_can_only_be_put_where_it_is(
    version: int, name: str, index: int, brokers: list[int] | None, code: int
) -> None:
    response = await reassign(await house_with_orders(), name, index, brokers, version)

    ((partition,),) = ([*topic.partitions] for topic in response.responses)
    assert (partition.partition_index, partition.error_code) == (index, code)
    assert (partition.error_message is None) == (code == ErrorCode.NONE)
    assert response.error_code == ErrorCode.NONE


async def test_a_caller_that_forbids_another_replication_factor_is_told_that_it_did() -> None:
    for topics in ([ReassignableTopic(name="orders")], []):
        request = AlterPartitionReassignmentsRequest(allow_replication_factor_change=False, topics=topics)

        response = await House().ask("alter_partition_reassignments", request, AlterPartitionReassignmentsResponse)

        # Where nothing is asked for, Apache Kafka does not echo it.
        assert response.allow_replication_factor_change is (not topics)


@pytest.mark.parametrize("named", [None, [], [ListPartitionReassignmentsTopics(name="orders", partition_indexes=[0])]])
async def test_no_move_is_ever_under_way(named: list[ListPartitionReassignmentsTopics] | None) -> None:
    house = await house_with_orders()
    await reassign(house, "orders", 0, [NODE_ID])

    response = await house.ask(
        "list_partition_reassignments",
        ListPartitionReassignmentsRequest(topics=named),
        ListPartitionReassignmentsResponse,
    )

    assert (response.error_code, response.topics) == (0, [])
