"""The same questions about topics, configs and the cluster to Apache Kafka and to us; the answers must be equal.

Each test is a conversation: steps that build on one another, sent to both brokers, every answer compared field by
field. What we choose to answer differently is in ``chosen.py``, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from kafka_protocol.messages import alter_configs as ac
from kafka_protocol.messages import create_partitions as cp
from kafka_protocol.messages import describe_configs as dc
from kafka_protocol.messages import describe_topic_partitions as dtp
from kafka_protocol.messages import incremental_alter_configs as iac
from kafka_protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kafka_protocol.messages.create_topics import CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse, DeleteTopicState
from kafka_protocol.messages.describe_cluster import DescribeClusterRequest, DescribeClusterResponse
from kafka_protocol.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse

from tests.application.admin_house import wanted
from tests.differential.conversation import Step, compare
from tests.differential.raw_client import RawClient

pytestmark = pytest.mark.jvm

# ---- the steps ---------------------------------------------------------------------------------------------------


def create(*topics: Any, versions: Iterable[int] = (7,), validate_only: bool = False) -> Step:
    request = CreateTopicsRequest(topics=list(topics), timeout_ms=5000, validate_only=validate_only)
    return Step(request, CreateTopicsResponse, versions, settles=True)


def describe(
    *resources: tuple[int, str, list[str] | None], versions: Iterable[int] = (4,), documentation: bool = False
) -> Step:
    listed = [
        dc.DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=keys)
        for kind, name, keys in resources
    ]
    fields = {"include_documentation": True} if documentation else {}
    request = dc.DescribeConfigsRequest(resources=listed, include_synonyms=True, **fields)
    return Step(request, dc.DescribeConfigsResponse, versions)


def alter(kind: int, name: str, *changes: tuple[str, int, str | None], validate_only: bool = False) -> Step:
    configs = [iac.AlterableConfig(name=key, config_operation=op, value=text) for key, op, text in changes]
    resource = iac.AlterConfigsResource(resource_type=kind, resource_name=name, configs=configs)
    request = iac.IncrementalAlterConfigsRequest(resources=[resource], validate_only=validate_only)
    return Step(request, iac.IncrementalAlterConfigsResponse, (0, 1), settles=True)


def replace(kind: int, name: str, *configs: tuple[str, str | None]) -> Step:
    listed = [ac.AlterableConfig(name=key, value=text) for key, text in configs]
    resource = ac.AlterConfigsResource(resource_type=kind, resource_name=name, configs=listed)
    return Step(ac.AlterConfigsRequest(resources=[resource]), ac.AlterConfigsResponse, (0, 1, 2), settles=True)


def metadata(topics: Any, versions: Iterable[int], **fields: Any) -> Step:
    if min(versions) >= 4:
        fields.setdefault("allow_auto_topic_creation", False)
    if callable(topics):
        return Step(lambda ids: MetadataRequest(topics=topics(ids), **fields), MetadataResponse, versions)
    return Step(MetadataRequest(topics=topics, **fields), MetadataResponse, versions)


def named(*names: str | None) -> list[MetadataRequestTopic]:
    return [MetadataRequestTopic(name=name) for name in names]


def grow(versions: Iterable[int], *topics: tuple[str, int, list[list[int]] | None]) -> Step:
    listed = [
        cp.CreatePartitionsTopic(
            name=name,
            count=count,
            assignments=None if ids is None else [cp.CreatePartitionsAssignment(broker_ids=each) for each in ids],
        )
        for name, count, ids in topics
    ]
    request = cp.CreatePartitionsRequest(topics=listed, timeout_ms=5000)
    return Step(request, cp.CreatePartitionsResponse, versions, settles=True)


# ---- the conversations -------------------------------------------------------------------------------------------


def test_the_first_question_of_a_connection(theirs: RawClient, ours: RawClient) -> None:
    def asked(**fields: Any) -> ApiVersionsRequest:
        return ApiVersionsRequest(**{"client_software_name": "a", "client_software_version": "1", **fields})

    compare(
        theirs,
        ours,
        Step(asked(), ApiVersionsResponse, range(6)),
        Step(asked(client_software_name="-a"), ApiVersionsResponse, range(3, 6)),
        Step(asked(cluster_id="x"), ApiVersionsResponse, [5]),
        Step(asked(cluster_id="x", node_id=1), ApiVersionsResponse, [5]),
    )


def test_the_cluster(theirs: RawClient, ours: RawClient) -> None:
    compare(
        theirs,
        ours,
        Step(DescribeClusterRequest(include_cluster_authorized_operations=True), DescribeClusterResponse, range(3)),
        Step(DescribeClusterRequest(endpoint_type=2), DescribeClusterResponse, [1, 2]),
        Step(DescribeClusterRequest(endpoint_type=7), DescribeClusterResponse, [1, 2]),
    )


def test_topics_that_can_be_created(theirs: RawClient, ours: RawClient) -> None:
    steps = []
    for version in range(2, 8):
        one = [
            wanted(f"made-{version}", 2, 1, configs={"retention.ms": "5", "cleanup.policy": "compact,delete"}),
            wanted(f"default-{version}"),
            wanted(f"assigned-{version}", assignments={0: [1], 1: [1]}),
        ]
        steps += [create(*one, versions=[version], validate_only=True), create(*one, versions=[version])]

    compare(theirs, ours, *steps)


def test_topics_that_cannot_be_created(theirs: RawClient, ours: RawClient) -> None:
    compare(
        theirs,
        ours,
        create(wanted("there.is", 1, 1)),
        create(
            *(wanted(name) for name in (".", "", "a!", "x" * 250, "there.is", "there_is", "__cluster_metadata")),
            *(wanted("twice", count) for count in (1, 2)),
            *(wanted(f"partitions{count}", count, 1) for count in (0, -2)),
            *(wanted(f"replicas{factor}", 1, factor) for factor in (0, -2, 2)),
            wanted("a1", 1, -1, {0: [1]}),
            wanted("a2", -1, 1, {0: [1]}),
            *(wanted(f"b{ids}".strip("[]"), assignments={0: ids}) for ids in ([2], [1, 1], [])),
            wanted("gap", assignments={1: [1]}),
            *(
                wanted(f"c-{key}", 1, 1, configs={key: text})
                for key, text in (
                    ("nope", "1"),
                    ("retention.ms", "x"),
                    ("flush.ms", None),
                    ("cleanup.policy", "zzz"),
                    ("remote.storage.enable", "true"),
                    ("segment.bytes", "14"),
                    ("compression.type", "none"),
                )
            ),
            wanted("at-odds", 1, 1, configs={"min.compaction.lag.ms": "5", "max.compaction.lag.ms": "4"}),
            versions=range(2, 8),
        ),
        create(wanted("big", 10_001, 1), wanted("small", 1, 1)),
    )


def test_what_metadata_tells(theirs: RawClient, ours: RawClient) -> None:
    def by_id(*names: str) -> Callable[[dict[str, bytes]], list[MetadataRequestTopic]]:
        return lambda ids: [MetadataRequestTopic(topic_id=ids.get(name, b"x" * 16), name=None) for name in names]

    asks = {"include_topic_authorized_operations": True}
    compare(
        theirs,
        ours,
        create(wanted("told", 3, 1)),
        metadata(None, range(1, 4)),
        metadata(None, range(4, 14)),
        metadata([], range(1, 4)),
        metadata([], range(4, 14)),
        metadata(named("told"), range(4)),
        metadata(named("told", "nope", "bad!", "", "__consumer_offsets", "told"), range(4, 14)),
        metadata(named("told", "nope"), range(8, 14), **asks),
        metadata(named("told"), range(8, 11), include_cluster_authorized_operations=True, **asks),
        metadata(by_id("told", "nope"), range(12, 14), **asks),
        metadata(named(None), range(10, 14)),
    )


def test_partitions_page_by_page(theirs: RawClient, ours: RawClient) -> None:
    def page(*names: str, limit: int = 2000, cursor: tuple[str, int] | None = None) -> Step:
        where = cursor and dtp.DescribeTopicPartitionsRequestCursor(topic_name=cursor[0], partition_index=cursor[1])
        request = dtp.DescribeTopicPartitionsRequest(
            topics=[dtp.TopicRequest(name=name) for name in names], response_partition_limit=limit, cursor=where
        )
        return Step(request, dtp.DescribeTopicPartitionsResponse, [0])

    compare(
        theirs,
        ours,
        create(wanted("page-a", 3, 1), wanted("page-b", 2, 1)),
        page(),
        page(limit=0),
        *(page("page-a", "page-b", limit=limit) for limit in range(7)),
        *(page("page-a", "page-b", cursor=cursor) for cursor in (("page-a", 1), ("page-a", 9), ("page-b", 0))),
        page("page-b", "nope", "bad!", "page-b"),
        page("page-b", cursor=("page-a", 0)),
        page("page-b", cursor=("page-b", -1)),
        page(cursor=("page-b", -1)),
    )


def test_topics_grow(theirs: RawClient, ours: RawClient) -> None:
    names = [f"grow-{index}" for index in range(8)]
    compare(
        theirs,
        ours,
        create(*(wanted(name, 2, 1) for name in names)),
        *(
            grow(
                [version],
                (names[0], 3 + version, None),
                (names[1], 3 + version, [[1]]),
                (names[2], 2, None),
                (names[3], 1, None),
                (names[4], 3, [[2]]),
                (names[5], 4, [[1]]),
                (names[6], 3, [[]]),
                (names[7], 0, None),
                ("nope", 3, None),
                ("twice", 3, None),
                ("twice", 4, None),
            )
            for version in range(4)
        ),
    )


def test_topics_go(theirs: RawClient, ours: RawClient) -> None:
    def by_name(version: int) -> Step:
        names = [f"go-{version}", "nope", "bad!", "go-6", "go-6"]
        return Step(DeleteTopicsRequest(topic_names=names, timeout_ms=5000), DeleteTopicsResponse, [version], True)

    def by_both(ids: dict[str, bytes]) -> DeleteTopicsRequest:
        states = [
            DeleteTopicState(name="go-6"),
            DeleteTopicState(topic_id=ids["go-7"]),
            DeleteTopicState(name="go-8"),
            DeleteTopicState(topic_id=ids["go-8"]),
            DeleteTopicState(name="go-9", topic_id=ids["go-9"]),
            DeleteTopicState(name="nope"),
        ]
        return DeleteTopicsRequest(topics=states, timeout_ms=5000)

    compare(
        theirs,
        ours,
        create(*(wanted(f"go-{index}", 1, 1) for index in range(10))),
        *(by_name(version) for version in range(1, 6)),
        Step(by_both, DeleteTopicsResponse, [6], settles=True),
        metadata(named(*(f"go-{index}" for index in range(10))), [13]),
    )


TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3


def test_configs_of_topics(theirs: RawClient, ours: RawClient) -> None:
    shown = describe((TOPIC, "configured", None), versions=range(1, 5))
    compare(
        theirs,
        ours,
        create(wanted("configured", 1, 1), wanted("unknown-operation", 1, 1)),
        shown,
        alter(TOPIC, "configured", ("retention.ms", SET, "777"), ("cleanup.policy", APPEND, "compact")),
        shown,
        alter(TOPIC, "configured", ("retention.ms", DELETE, None), ("cleanup.policy", SUBTRACT, "delete")),
        shown,
        alter(TOPIC, "configured", ("flush.ms", SET, "9"), validate_only=True),
        replace(TOPIC, "configured", ("segment.ms", "99999")),
        shown,
        describe((TOPIC, "configured", ["retention.ms", "nope"]), (TOPIC, "nope", None), (TOPIC, "bad!", None)),
        *(
            alter(TOPIC, name, *changes)
            for name, changes in (
                ("configured", [("retention.ms", APPEND, "5")]),
                ("configured", [("nope", APPEND, "5")]),
                ("configured", [("nope", SET, "5")]),
                ("configured", [("nope", DELETE, None)]),
                ("configured", [("retention.ms", SET, "x")]),
                ("configured", [("retention.ms", SET, None)]),
                ("configured", [("retention.ms", SET, "1"), ("retention.ms", SET, "2")]),
                ("configured", [("min.compaction.lag.ms", SET, "9"), ("max.compaction.lag.ms", SET, "8")]),
                ("configured", [("remote.storage.enable", SET, "true")]),
                ("unknown-operation", [("retention.ms", 9, "1")]),
                ("nope", [("retention.ms", SET, "1")]),
                ("nope", [("retention.ms", SET, "x")]),
                ("bad!", [("retention.ms", SET, "1")]),
                ("", [("retention.ms", SET, "1")]),
            )
        ),
        replace(TOPIC, "configured", ("segment.ms", None)),
        replace(TOPIC, "configured", ("segment.ms", "1"), ("segment.ms", "2")),
        replace(TOPIC, "nope", ("segment.ms", "1")),
        replace(BROKER, ""),
        replace(BROKER, "", ("message.max.bytes", "x")),
        replace(BROKER, "2", ("message.max.bytes", "1")),
    )


def test_configs_of_brokers(theirs: RawClient, ours: RawClient) -> None:
    keys = ["message.max.bytes", "log.retention.ms", "log.retention.hours", "log.cleanup.policy", "num.partitions"]
    shown = describe((BROKER, "1", keys), (BROKER, "", keys), (TOPIC, "inherits", None))
    compare(
        theirs,
        ours,
        create(wanted("inherits", 1, 1)),
        shown,
        alter(BROKER, "1", ("message.max.bytes", SET, "2000000")),
        alter(BROKER, "", ("message.max.bytes", SET, "3000000"), ("log.retention.ms", SET, "123456")),
        alter(BROKER, "", ("log.cleanup.policy", APPEND, "compact")),
        shown,
        alter(BROKER, "1", ("message.max.bytes", DELETE, None)),
        shown,
        *(
            alter(BROKER, name, *changes)
            for name, changes in (
                ("1", [("num.partitions", SET, "3")]),
                ("1", [("message.max.bytes", SET, "x")]),
                ("1", [("message.max.bytes", SET, "-1")]),
                ("1", [("message.max.bytes", APPEND, "5")]),
                ("2", [("message.max.bytes", SET, "1")]),
                ("x", [("message.max.bytes", SET, "1")]),
                ("", [("ssl.keystore.location", SET, "/x")]),
            )
        ),
        describe((BROKER, "2", None), (BROKER, "x", None), (3, "1", None)),
        alter(BROKER, "", ("message.max.bytes", DELETE, None), ("log.retention.ms", DELETE, None)),
        alter(BROKER, "", ("log.cleanup.policy", DELETE, None)),
    )


def test_configs_that_cannot_be_described(theirs: RawClient, ours: RawClient) -> None:
    keys = ["retention.ms"]
    compare(
        theirs,
        ours,
        create(wanted("described", 1, 1)),
        *(
            describe(*asked, versions=range(1, 5))
            for asked in (
                [],
                [(TOPIC, "described", [])],
                [(TOPIC, "described", ["nope", ""])],
                [(TOPIC, "nope", keys), (TOPIC, "bad!", keys), (TOPIC, "", keys)],
                [(TOPIC, "described", keys), (TOPIC, "described", None)],
                [(BROKER, "2", None), (BROKER, "x", None), (BROKER, "1", ["nope"])],
                [(LOGGER, "2", None), (LOGGER, "", None), (LOGGER, "1", ["nope"])],
                [(METRICS, "nope", None), (METRICS, "", None), (GROUP, "nope", ["nope"])],
                [(TOPIC, "described", keys), (3, "1", keys)],
                [(0, "", None)],
                [(-1, "described", keys)],
            )
        ),
        *(
            describe(asked, versions=[3, 4], documentation=True)
            for asked in ((TOPIC, "described", keys), (BROKER, "1", ["message.max.bytes"]))
        ),
    )


def test_all_configs_of_a_broker(theirs: RawClient, ours: RawClient) -> None:
    """Types, sensitivity, sources and what may be changed; values as far as they do not say where a broker lives."""
    compare(
        theirs,
        ours,
        *(describe((BROKER, "1", None), versions=[version], documentation=True) for version in (3, 4)),
        *(describe((BROKER, name, None), versions=range(1, 5)) for name in ("1", "")),
    )


def test_configs_of_groups_and_levels_of_loggers(theirs: RawClient, ours: RawClient) -> None:
    compare(
        theirs,
        ours,
        describe((GROUP, "g", None), (GROUP, "", None)),
        alter(GROUP, "g", ("consumer.session.timeout.ms", SET, "46000")),
        describe((GROUP, "g", None)),
        alter(GROUP, "g", ("consumer.session.timeout.ms", SET, "1")),
        alter(GROUP, "g", ("consumer.heartbeat.interval.ms", SET, "50000")),
        alter(GROUP, "g", ("nope", SET, "1")),
        alter(GROUP, "", ("consumer.session.timeout.ms", SET, "46000")),
        alter(LOGGER, "1", ("root", SET, "WARN")),
        describe((LOGGER, "1", ["root"]), (LOGGER, "2", None), (LOGGER, "", None)),
        alter(LOGGER, "1", ("nope.x", SET, "INFO")),
        alter(LOGGER, "1", ("root", APPEND, "INFO")),
        alter(LOGGER, "1", ("root", DELETE, None)),
        alter(LOGGER, "1", ("root", SET, "LOUD")),
        alter(LOGGER, "2", ("root", SET, "INFO")),
        replace(LOGGER, "1", ("root", "INFO")),
        alter(3, "x", ("retention.ms", SET, "1")),
    )
