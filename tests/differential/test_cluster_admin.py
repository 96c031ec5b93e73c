"""The same questions about elections, reassignments, features, quorum, ACLs and tokens to Apache Kafka and to us."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest
from kafka_protocol.messages import alter_partition_reassignments as apr
from kafka_protocol.messages import describe_configs as dc
from kafka_protocol.messages import describe_quorum as dq
from kafka_protocol.messages import incremental_alter_configs as iac
from kafka_protocol.messages import list_partition_reassignments as lpr
from kafka_protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kafka_protocol.messages.consumer_group_describe import ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse
from kafka_protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from kafka_protocol.messages.create_acls import AclCreation, CreateAclsRequest, CreateAclsResponse
from kafka_protocol.messages.create_delegation_token import (
    CreatableRenewers,
    CreateDelegationTokenRequest,
    CreateDelegationTokenResponse,
)
from kafka_protocol.messages.create_topics import CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest, DeleteAclsResponse
from kafka_protocol.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse
from kafka_protocol.messages.describe_delegation_token import (
    DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse,
)
from kafka_protocol.messages.describe_groups import DescribeGroupsRequest, DescribeGroupsResponse
from kafka_protocol.messages.elect_leaders import ElectLeadersRequest, ElectLeadersResponse, TopicPartitions
from kafka_protocol.messages.expire_delegation_token import (
    ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse,
)
from kafka_protocol.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from kafka_protocol.messages.list_config_resources import ListConfigResourcesRequest, ListConfigResourcesResponse
from kafka_protocol.messages.list_groups import ListGroupsRequest, ListGroupsResponse
from kafka_protocol.messages.renew_delegation_token import RenewDelegationTokenRequest, RenewDelegationTokenResponse
from kafka_protocol.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse
from kafka_protocol.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest, UpdateFeaturesResponse

from tests.application.admin_house import wanted
from tests.differential.conversation import Step, compare
from tests.differential.raw_client import RawClient

pytestmark = pytest.mark.jvm


def create(*names: str) -> Step:
    topics = [wanted(name, 2, 1) for name in names]
    return Step(CreateTopicsRequest(topics=topics, timeout_ms=5000), CreateTopicsResponse, [7], settles=True)


def test_no_election_is_needed_on_one_node(theirs: RawClient, ours: RawClient) -> None:
    asked = [
        TopicPartitions(topic=name, partitions=indexes)
        for name, indexes in (("elect", [0, 1, 5, 1]), ("nope", [0]), ("elect", []), ("", [0]))
    ]
    compare(
        theirs,
        ours,
        create("elect"),
        Step(ElectLeadersRequest(topic_partitions=asked), ElectLeadersResponse, range(3)),
        Step(ElectLeadersRequest(topic_partitions=[]), ElectLeadersResponse, range(3)),
        Step(ElectLeadersRequest(topic_partitions=asked, election_type=1), ElectLeadersResponse, [1, 2]),
        *(
            Step(ElectLeadersRequest(topic_partitions=of, election_type=7), ElectLeadersResponse, [1, 2])
            for of in (asked[:1], asked[2:3], [], None)
        ),
    )


def test_partitions_stay_where_they_are(theirs: RawClient, ours: RawClient) -> None:
    def reassign(
        *moves: tuple[str, int, list[int] | None], versions: Iterable[int] = (0, 1), may_grow: bool = True
    ) -> Step:
        topics = [
            apr.ReassignableTopic(
                name=name, partitions=[apr.ReassignablePartition(partition_index=index, replicas=brokers)]
            )
            for name, index, brokers in moves
        ]
        fields = {} if may_grow else {"allow_replication_factor_change": False}
        request = apr.AlterPartitionReassignmentsRequest(topics=topics, **fields)
        return Step(request, apr.AlterPartitionReassignmentsResponse, versions)

    def listed(names: list[str] | None, indexes: tuple[int, ...] = (0, 7)) -> Step:
        topics = names and [lpr.ListPartitionReassignmentsTopics(name=n, partition_indexes=[*indexes]) for n in names]
        return Step(lpr.ListPartitionReassignmentsRequest(topics=topics), lpr.ListPartitionReassignmentsResponse, [0])

    moves: list[list[int] | None] = [[1], None, [2], [1, 1], [], [1, 2], [-1]]
    compare(
        theirs,
        ours,
        create("move"),
        *(reassign(("move", 0, brokers)) for brokers in moves),
        *(reassign(("move", 0, brokers), versions=[1], may_grow=False) for brokers in moves),
        *(reassign(("move", 5, brokers), ("nope", 0, brokers), ("", 0, brokers)) for brokers in moves),
        reassign(),
        listed(None),
        listed([]),
        listed(["move", "nope"]),
        listed(["bad!", "", "move", "move"]),
        listed(["move"], indexes=(-1, 0, 0)),
        listed(["move"], indexes=()),
        reassign(versions=[1], may_grow=False),
    )


def update(versions: Iterable[int], *levels: tuple[str, int], kind: int = 1, validate_only: bool = False) -> Step:
    listed = [
        FeatureUpdateKey(feature=name, max_version_level=level, **({} if kind == 1 else {"upgrade_type": kind}))
        for name, level in levels
    ]
    fields = {"validate_only": True} if validate_only else {}
    request = UpdateFeaturesRequest(feature_updates=listed, **fields)
    return Step(request, UpdateFeaturesResponse, versions, settles=True)


def test_levels_of_features(theirs: RawClient, ours: RawClient) -> None:
    metadata = "metadata.version"
    compare(
        theirs,
        ours,
        update(range(3)),
        *(update(range(3), (metadata, level)) for level in (33, 34, 0, -1, 6, 32)),
        *(update([1, 2], (metadata, 32), kind=kind, validate_only=True) for kind in (1, 2, 3, 9)),
        *(update([1, 2], (metadata, 33), kind=kind, validate_only=True) for kind in (2, 3)),
        *(update(range(3), (name, 1)) for name in ("nope", "")),
        update([1, 2], ("nope", 0), kind=2),
        update(range(3), (metadata, 33), ("nope", 1)),
        update(range(3), (metadata, 33), (metadata, 33)),
        *(
            update([1, 2], (name, level), kind=kind, validate_only=True)
            for name in ("transaction.version", "group.version")
            for level in (-1, 0, 1, 2, 3)
            for kind in (1, 2, 3)
        ),
    )


def wake_coordinator(client: RawClient, group: str) -> None:
    """Apache Kafka creates the topic of offsets when it is first asked for a coordinator."""
    client.ask(FindCoordinatorRequest(coordinator_keys=[group]), FindCoordinatorResponse, 4)
    deadline = time.monotonic() + 60
    while client.ask(DescribeGroupsRequest(groups=[group]), DescribeGroupsResponse, 5).groups[0].error_code in (
        14,
        15,
        16,
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_features_below_their_highest_level(theirs: RawClient, ours: RawClient) -> None:
    """Below transaction.version 2 brokers serve both protocols as before; it is the clients that choose the first."""
    told = ApiVersionsRequest(client_software_name="a", client_software_version="1")
    heartbeat = ConsumerGroupHeartbeatRequest(
        group_id="levels",
        member_id="m",
        member_epoch=0,
        rebalance_timeout_ms=1000,
        subscribed_topic_names=[],
        topic_partitions=[],
    )
    leaves = ConsumerGroupHeartbeatRequest(group_id="levels", member_id="m", member_epoch=-1)
    described = ConsumerGroupDescribeRequest(group_ids=["levels", "nope", ""])

    def by_group(answer: ConsumerGroupDescribeResponse) -> ConsumerGroupDescribeResponse:
        answer.groups.sort(key=lambda group: group.group_id)
        return answer

    transactions, groups = "transaction.version", "group.version"
    seen = (
        Step(told, ApiVersionsResponse, [3, 4]),
        Step(heartbeat, ConsumerGroupHeartbeatResponse, [1]),
        Step(described, ConsumerGroupDescribeResponse, [0, 1], in_order=by_group),
        Step(ListGroupsRequest(types_filter=["consumer"]), ListGroupsResponse, [5]),
    )
    for client in (theirs, ours):
        wake_coordinator(client, "levels")
    try:
        compare(
            theirs,
            ours,
            *seen,
            update([2], (transactions, 1), kind=2),
            *seen,
            update([2], (transactions, 0), (groups, 0), kind=3),
            *seen,
            Step(leaves, ConsumerGroupHeartbeatResponse, [1]),
            update([0], (transactions, 2), (groups, 1)),
            *seen,
            update([1], (groups, 1), (groups, 0), kind=2),
            *seen,
        )
    finally:
        for client in (theirs, ours):
            step = update([2], (transactions, 2), (groups, 1))
            assert client.ask(step.request, step.response_type, 2).error_code == 0


def test_the_metadata_quorum(theirs: RawClient, ours: RawClient) -> None:
    def describe(*asked: tuple[str, list[int]]) -> Step:
        topics = [
            dq.DescribeQuorumRequestTopicData(
                topic_name=name,
                partitions=[dq.DescribeQuorumRequestPartitionData(partition_index=index) for index in indexes],
            )
            for name, indexes in asked
        ]
        return Step(dq.DescribeQuorumRequest(topics=topics), dq.DescribeQuorumResponse, range(3))

    name = "__cluster_metadata"
    compare(
        theirs,
        ours,
        describe((name, [0])),
        describe(("elect", [0])),
        describe((name, [0, 1])),
        describe((name, [0]), ("nope", [0])),
        describe((name, [])),
        describe(),
    )


def test_a_broker_that_is_not_registered(theirs: RawClient, ours: RawClient) -> None:
    compare(
        theirs,
        ours,
        *(Step(UnregisterBrokerRequest(broker_id=id_), UnregisterBrokerResponse, [0]) for id_ in (7, 0, -1)),
    )


def test_what_can_be_configured(theirs: RawClient, ours: RawClient) -> None:
    def in_order(answer: ListConfigResourcesResponse) -> ListConfigResourcesResponse:
        answer.config_resources.sort(key=lambda each: (each.resource_name, each.resource_type))
        return answer

    compare(
        theirs,
        ours,
        Step(ListConfigResourcesRequest(), ListConfigResourcesResponse, [0, 1], in_order=in_order),
        *(
            Step(ListConfigResourcesRequest(resource_types=types), ListConfigResourcesResponse, [1], in_order=in_order)
            for types in ([2], [4], [8], [16], [7], [0], [-1], [2, 4], [4, 4], [4, 7])
        ),
    )


def test_configs_that_a_running_broker_takes(theirs: RawClient, ours: RawClient) -> None:
    def change(broker: str, **texts: str | None) -> Step:
        configs = [
            iac.AlterableConfig(name=name.replace("_", "."), config_operation=1 if text is None else 0, value=text)
            for name, text in texts.items()
        ]
        resource = iac.AlterConfigsResource(resource_type=4, resource_name=broker, configs=configs)
        return Step(
            iac.IncrementalAlterConfigsRequest(resources=[resource]),
            iac.IncrementalAlterConfigsResponse,
            [1],
            settles=True,
        )

    def shown(broker: str) -> Step:
        resource = dc.DescribeConfigsResource(resource_type=4, resource_name=broker, configuration_keys=sorted(keys))
        request = dc.DescribeConfigsRequest(resources=[resource], include_synonyms=True)
        return Step(request, dc.DescribeConfigsResponse, [4], in_order=in_order)

    def in_order(answer: dc.DescribeConfigsResponse) -> dc.DescribeConfigsResponse:
        answer.results[0].configs.sort(key=lambda config: config.name)
        return answer

    texts = {
        "log_cleaner_backoff_ms": ["20000", "-1", "x"],
        "log_cleaner_io_max_bytes_per_second": ["1e9", "-5", "x"],
        "max_connections": ["100000", "0", "-1", "2147483648"],
        "max_connections_per_ip": ["5000", "0", "-1"],
        "max_connections_per_ip_overrides": ["1.2.3.4:5", "localhost:400,::1:5", "1.2.3.4", "1.2.3.4:x", "[::1]:5", ""],
        "max_connection_creation_rate": ["100000", "0", "-1"],
        "producer_id_expiration_ms": ["80000000", "0", "-1"],
        "num_recovery_threads_per_data_dir": ["3", "0", "50"],
        "listener_security_protocol_map": ["X:NOPE", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,X:PLAINTEXT"],
    }
    keys = {name.replace("_", ".") for name in texts} - {"listener.security.protocol.map"}
    per_ip = {"max_connections_per_ip": "0", "max_connections_per_ip_overrides": "127.0.0.1:1000"}
    compare(
        theirs,
        ours,
        *(
            step
            for broker in ("", "1")
            for name, values in texts.items()
            for step in (
                *(change(broker, **{name: text}) for text in values),
                shown(broker),
                change(broker, **{name: None}),
            )
        ),
        change("", listeners="PLAINTEXT://127.0.0.1:0"),
        change("1", **per_ip),
        change("1", **dict.fromkeys(per_ip)),
        change("1", quota_window_num="5"),
        shown("1"),
    )


def test_without_authorizer_there_are_no_acls(theirs: RawClient, ours: RawClient) -> None:
    entry = AclCreation(
        resource_type=2, resource_name="t", principal="User:a", host="*", operation=3, permission_type=3
    )
    odd = AclCreation(resource_type=1, resource_name="", principal="a", host="", operation=3, permission_type=3)
    matching = DeleteAclsFilter(resource_type_filter=1, operation=1, permission_type=1)
    versions = range(1, 4)
    compare(
        theirs,
        ours,
        Step(
            DescribeAclsRequest(resource_type_filter=1, operation=1, permission_type=1), DescribeAclsResponse, versions
        ),
        *(
            Step(CreateAclsRequest(creations=listed), CreateAclsResponse, versions)
            for listed in ([entry, entry], [odd], [])
        ),
        *(Step(DeleteAclsRequest(filters=listed), DeleteAclsResponse, versions) for listed in ([matching] * 2, [])),
        # Of a kind that is not known.
        Step(
            DescribeAclsRequest(resource_type_filter=0, operation=1, permission_type=1), DescribeAclsResponse, versions
        ),
        Step(CreateAclsRequest(creations=[AclCreation(resource_type=0)]), CreateAclsResponse, versions),
        Step(DeleteAclsRequest(filters=[DeleteAclsFilter(operation=0)]), DeleteAclsResponse, versions),
    )


def test_delegation_tokens_are_not_for_plain_connections(theirs: RawClient, ours: RawClient) -> None:
    def create_token(version: int, **fields: str) -> Step:
        renewers = [CreatableRenewers(principal_type="User", principal_name="x")]
        request = CreateDelegationTokenRequest(renewers=renewers, max_lifetime_ms=-1, **fields)
        return Step(request, CreateDelegationTokenResponse, [version])

    compare(
        theirs,
        ours,
        *(create_token(version) for version in range(1, 4)),
        create_token(3, owner_principal_type="User", owner_principal_name="bob"),
        create_token(3, owner_principal_type="User"),
        create_token(3, owner_principal_name="bob"),
        Step(RenewDelegationTokenRequest(hmac=b"x"), RenewDelegationTokenResponse, [1, 2]),
        Step(ExpireDelegationTokenRequest(hmac=b"x"), ExpireDelegationTokenResponse, [1, 2]),
        *(
            Step(DescribeDelegationTokenRequest(owners=owners), DescribeDelegationTokenResponse, range(1, 4))
            for owners in (None, [])
        ),
    )
