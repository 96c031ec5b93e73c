"""ApiVersions, Metadata, DescribeCluster and DescribeTopicPartitions, seen through the wire.

Where a test gives an error code, Apache Kafka 4.4 was seen to answer the same.
"""

from __future__ import annotations

from typing import Any

import pytest
from kafka_protocol.dispatch import SERVED
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kafka_protocol.messages.describe_cluster import DescribeClusterRequest, DescribeClusterResponse
from kafka_protocol.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsRequestCursor,
    DescribeTopicPartitionsResponse,
    TopicRequest,
)
from kafka_protocol.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse

from kafka_server.domain.access import CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS, operation_bits
from kafka_server.domain.topic import ZERO_ID
from tests.application.admin_house import CLUSTER, NODE_ID, House

# ---- ApiVersions -------------------------------------------------------------------------------------------------


async def api_versions(house: House, version: int = 5, **fields: Any) -> ApiVersionsResponse:
    fields = {"client_software_name": "a-client", "client_software_version": "1.0", **fields}
    request = ApiVersionsRequest(**fields) if version >= 3 else ApiVersionsRequest()
    response = await house.ask("api_versions", request, ApiVersionsResponse, version)
    assert isinstance(response, ApiVersionsResponse)
    return response


@pytest.mark.parametrize("version", range(6))
async def test_every_version_tells_the_ranges_that_are_served(version: int) -> None:
    response = await api_versions(House(), version)

    assert response.error_code == ErrorCode.NONE
    assert {entry.api_key: (entry.min_version, entry.max_version) for entry in response.api_keys} == SERVED


async def test_a_version_of_the_future_is_answered_with_all_ranges_in_the_oldest_layout() -> None:
    house = House()
    house.context.api_version = 99

    answer = house.handler("api_versions")(house.context, ApiVersionsRequest())
    response = ApiVersionsResponse.decode(answer.encode(0), 0)

    assert response.error_code == ErrorCode.UNSUPPORTED_VERSION
    assert {entry.api_key for entry in response.api_keys} == set(SERVED)


@pytest.mark.parametrize("wrong", ["", "-a", "a-", "a b", "a_b", "ä"])
async def test_a_client_that_names_itself_strangely_is_refused(wrong: str) -> None:
    name = await api_versions(House(), client_software_name=wrong)
    version = await api_versions(House(), client_software_version=wrong)

    assert (name.error_code, version.error_code) == (ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_REQUEST)


async def test_the_software_of_the_client_is_kept_with_the_connection() -> None:
    house = House()
    await api_versions(house)

    assert (house.context.software_name, house.context.software_version) == ("a-client", "1.0")


async def test_features_whose_lowest_level_is_zero_are_told_from_v4_on() -> None:
    house = House()
    await house.features.update([("group.version", 0, 2), ("transaction.version", 1, 2)])

    old, new = await api_versions(house, 3), await api_versions(house, 4)

    assert [feature.name for feature in old.supported_features] == ["metadata.version"]
    names = ["metadata.version", "transaction.version", "group.version"]
    assert [feature.name for feature in new.supported_features] == names
    # A level of 0 is "switched off" and not listed among those in force.
    levels = [
        (feature.name, feature.min_version_level, feature.max_version_level) for feature in new.finalized_features
    ]
    assert levels == [("metadata.version", 33, 33), ("transaction.version", 1, 1)]
    assert new.finalized_features_epoch == 2
    assert new.zk_migration_ready is False


@pytest.mark.parametrize(
    ("cluster_id", "node_id", "code"),
    [
        (None, -1, ErrorCode.NONE),
        (CLUSTER.cluster_id, NODE_ID, ErrorCode.NONE),
        (CLUSTER.cluster_id, 8, ErrorCode.REBOOTSTRAP_REQUIRED),
        ("another", NODE_ID, ErrorCode.REBOOTSTRAP_REQUIRED),
        ("another", -1, ErrorCode.INVALID_REQUEST),
        (None, NODE_ID, ErrorCode.INVALID_REQUEST),
    ],
)
async def test_a_client_that_expects_another_broker_is_sent_back_to_bootstrap(
    cluster_id: str | None, node_id: int, code: int
) -> None:
    assert (await api_versions(House(), cluster_id=cluster_id, node_id=node_id)).error_code == code


# ---- Metadata ----------------------------------------------------------------------------------------------------


def by_name(*names: str | None) -> list[MetadataRequestTopic]:
    return [MetadataRequestTopic(name=name) for name in names]


async def metadata(
    house: House, topics: list[MetadataRequestTopic] | None, version: int = 13, **fields: Any
) -> MetadataResponse:
    if version >= 4:
        fields.setdefault("allow_auto_topic_creation", False)
    response = await house.ask("metadata", MetadataRequest(topics=topics, **fields), MetadataResponse, version)
    assert isinstance(response, MetadataResponse)
    return response


async def house_with(*names: str, static: dict[str, str] | None = None) -> House:
    house = House(static)
    for name in names:
        await house.topic(name)
    return house


@pytest.mark.parametrize(
    ("version", "topics", "told"),
    [
        (0, [], ["a", "b"]),
        (1, [], []),
        (1, None, ["a", "b"]),
        (13, [], []),
        (13, None, ["a", "b"]),
        (13, by_name("b"), ["b"]),
        (13, by_name("b", "a", "b"), ["b", "a"]),
    ],
)
async def test_null_asks_for_all_topics_and_so_does_an_empty_list_in_v0(
    version: int, topics: list[MetadataRequestTopic] | None, told: list[str]
) -> None:
    house = await house_with("b", "a")

    assert [topic.name for topic in (await metadata(house, topics, version)).topics] == told


@pytest.mark.parametrize("version", range(14))
async def test_this_broker_leads_every_partition_and_is_reached_where_the_client_came_in(version: int) -> None:
    house = House()
    topic = await house.topic("orders", 2)

    response = await metadata(house, by_name("orders"), version)

    (broker,), (told,) = response.brokers, response.topics
    assert (broker.node_id, broker.host, broker.port) == (NODE_ID, "10.0.0.1", 9092)
    assert [(p.partition_index, p.leader_id, p.replica_nodes, p.isr_nodes) for p in told.partitions] == [
        (0, NODE_ID, [NODE_ID], [NODE_ID]),
        (1, NODE_ID, [NODE_ID], [NODE_ID]),
    ]
    if version >= 1:
        assert (response.controller_id, broker.rack) == (NODE_ID, "cellar")
    if version >= 2:
        assert response.cluster_id == CLUSTER.cluster_id
    if version >= 7:
        assert told.partitions[0].leader_epoch == topic.partitions[0].leader_epoch
    if version >= 10:
        assert told.topic_id == topic.topic_id != ZERO_ID


async def test_each_missing_topic_says_why() -> None:
    response = await metadata(House(), by_name("nope", "b!", "", "__consumer_offsets"))

    assert [(topic.name, topic.error_code, topic.is_internal) for topic in response.topics] == [
        ("nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, False),
        ("b!", ErrorCode.INVALID_TOPIC_EXCEPTION, False),
        ("", ErrorCode.INVALID_TOPIC_EXCEPTION, False),
        ("__consumer_offsets", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, True),
    ]


@pytest.mark.parametrize(
    ("version", "client_allows", "broker_allows", "is_created"),
    [(3, None, "true", True), (13, True, "true", True), (13, False, "true", False), (13, True, "false", False)],
)
async def test_a_missing_topic_is_created_when_client_and_broker_both_allow_it(
    version: int, client_allows: bool | None, broker_allows: str, is_created: bool
) -> None:
    house = House({"auto.create.topics.enable": broker_allows, "num.partitions": "3"})
    fields = {} if client_allows is None else {"allow_auto_topic_creation": client_allows}

    (told,) = (await metadata(house, by_name("orders"), version, **fields)).topics

    assert (told.error_code == ErrorCode.NONE, len(told.partitions)) == (is_created, 3 if is_created else 0)


async def test_a_topic_that_cannot_be_created_does_not_hinder_its_neighbours() -> None:
    house = House()
    asked = by_name("__consumer_offsets", "a.b", "a_b")

    told = (await metadata(house, asked, allow_auto_topic_creation=True)).topics

    assert [topic.error_code for topic in told] == [
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.NONE,
        ErrorCode.INVALID_TOPIC_EXCEPTION,
    ]


async def test_asking_for_all_topics_creates_none() -> None:
    house = House()

    assert (await metadata(house, None, allow_auto_topic_creation=True)).topics == []


async def test_topics_are_found_by_id_and_entries_by_name_are_then_passed_over() -> None:
    house = await house_with("a", "b")
    known = house.topics.get("a").topic_id
    asked = [MetadataRequestTopic(topic_id=known, name=None), MetadataRequestTopic(topic_id=b"x" * 16, name=None)]

    told = (await metadata(house, [*asked, *by_name("b", None)], 12)).topics

    assert [(topic.name, topic.topic_id, topic.error_code) for topic in told] == [
        ("a", known, ErrorCode.NONE),
        (None, b"x" * 16, ErrorCode.UNKNOWN_TOPIC_ID),
    ]


@pytest.mark.parametrize("version", [10, 11])
async def test_before_v12_an_id_or_a_null_name_refuses_the_whole_request(version: int) -> None:
    house = await house_with("a")
    with_id = [MetadataRequestTopic(topic_id=house.topics.get("a").topic_id, name=""), *by_name("a")]

    for asked in (with_id, by_name(None, "a")):
        response = await metadata(house, asked, version)

        assert [topic.error_code for topic in response.topics] == [ErrorCode.INVALID_REQUEST] * 2
        assert (response.brokers, response.controller_id) == ([], -1)


@pytest.mark.parametrize("version", [8, 10, 11, 13])
async def test_allowed_operations_are_told_when_asked_for(version: int) -> None:
    house = await house_with("a")
    asks = {"include_topic_authorized_operations": True}
    if version <= 10:
        asks["include_cluster_authorized_operations"] = True

    silent, telling = await metadata(house, None, version), await metadata(house, None, version, **asks)

    of_topic, of_cluster = operation_bits(TOPIC_OPERATIONS), operation_bits(CLUSTER_OPERATIONS)
    assert silent.topics[0].topic_authorized_operations == silent.cluster_authorized_operations == NOT_ASKED
    assert telling.topics[0].topic_authorized_operations == of_topic == 0b1101_1111_1000
    assert telling.cluster_authorized_operations == (of_cluster if version <= 10 else NOT_ASKED)


# ---- DescribeCluster ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(3))
async def test_the_cluster_is_this_broker(version: int) -> None:
    request = DescribeClusterRequest(include_cluster_authorized_operations=True)

    response = await House().ask("describe_cluster", request, DescribeClusterResponse, version)

    (broker,) = response.brokers
    assert (response.cluster_id, response.controller_id) == (CLUSTER.cluster_id, NODE_ID)
    assert (broker.broker_id, broker.host, broker.port, broker.rack) == (NODE_ID, "10.0.0.1", 9092, "cellar")
    assert response.cluster_authorized_operations == operation_bits(CLUSTER_OPERATIONS)


@pytest.mark.parametrize(
    ("endpoint_type", "code"), [(2, ErrorCode.MISMATCHED_ENDPOINT_TYPE), (7, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE)]
)
async def test_only_brokers_can_be_described(endpoint_type: int, code: int) -> None:
    request = DescribeClusterRequest(endpoint_type=endpoint_type)

    response = await House().ask("describe_cluster", request, DescribeClusterResponse)

    assert (response.error_code, response.brokers) == (code, [])
    assert response.error_message


# ---- DescribeTopicPartitions -------------------------------------------------------------------------------------


async def page(
    house: House, *names: str, limit: int = 2000, cursor: tuple[str, int] | None = None
) -> tuple[list[tuple[str, int, list[int]]], tuple[str, int] | None]:
    """Per topic its name, error and partition indexes; and where the next page begins."""
    request = DescribeTopicPartitionsRequest(
        topics=[TopicRequest(name=name) for name in names],
        response_partition_limit=limit,
        cursor=cursor and DescribeTopicPartitionsRequestCursor(topic_name=cursor[0], partition_index=cursor[1]),
    )
    response = await house.ask("describe_topic_partitions", request, DescribeTopicPartitionsResponse)
    topics = [
        (topic.name, topic.error_code, [partition.partition_index for partition in topic.partitions])
        for topic in response.topics
    ]
    following = response.next_cursor
    return topics, following and (following.topic_name, following.partition_index)


async def house_of_pages() -> House:
    house = House()
    await house.topic("b", 2)
    await house.topic("a", 3)
    return house


@pytest.mark.parametrize(
    ("limit", "cursor", "topics", "following"),
    [
        (2000, None, [("a", 0, [0, 1, 2]), ("b", 0, [0, 1])], None),
        (2, None, [("a", 0, [0, 1])], ("a", 2)),
        (3, None, [("a", 0, [0, 1, 2])], ("b", 0)),
        (4, None, [("a", 0, [0, 1, 2]), ("b", 0, [0])], ("b", 1)),
        (0, None, [("a", 0, [0])], ("a", 1)),
        (2, ("a", 2), [("a", 0, [2]), ("b", 0, [0])], ("b", 1)),
        (2, ("b", 1), [("b", 0, [1])], None),
        (2, ("a", 9), [("a", 0, []), ("b", 0, [0, 1])], None),
        (2, ("aa", 0), [("b", 0, [0, 1])], None),
    ],
)
async def test_partitions_come_in_pages_sorted_by_name(
    limit: int,
    cursor: tuple[str, int] | None,
    topics: list[tuple[str, int, list[int]]],
    following: tuple[str, int] | None,
) -> None:
    assert await page(await house_of_pages(), limit=limit, cursor=cursor) == (topics, following)


async def test_the_broker_bounds_a_page_too() -> None:
    house = House({"max.request.partition.size.limit": "2"})
    await house.topic("a", 3)

    assert await page(house) == ([("a", 0, [0, 1])], ("a", 2))


async def test_a_topic_that_was_asked_for_and_is_missing_says_why() -> None:
    topics, _ = await page(await house_of_pages(), "nope", "b", "b", "!")

    assert topics == [
        ("!", ErrorCode.INVALID_TOPIC_EXCEPTION, []),
        ("b", 0, [0, 1]),
        ("nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, []),
    ]


@pytest.mark.parametrize("cursor", [("a", 0), ("b", -1)])
async def test_a_cursor_that_fits_no_page_is_refused(cursor: tuple[str, int]) -> None:
    assert await page(await house_of_pages(), "b", cursor=cursor) == ([("b", ErrorCode.INVALID_REQUEST, [])], None)
