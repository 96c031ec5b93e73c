"""The oldest versions of every family to Apache Kafka 3.9, the last line that answers them (KIP-896), and to us.

Bad values are asked for in these versions, too: a client from then that meets an error must not meet a new one.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import pytest
from kafka_protocol.messages import alter_replica_log_dirs as arld
from kafka_protocol.messages import create_acls as ca
from kafka_protocol.messages import create_delegation_token as cdt
from kafka_protocol.messages import delete_acls as da
from kafka_protocol.messages import delete_records as dr
from kafka_protocol.messages import describe_acls as dra
from kafka_protocol.messages import describe_configs as dc
from kafka_protocol.messages import describe_delegation_token as ddt
from kafka_protocol.messages import describe_log_dirs as dld
from kafka_protocol.messages import expire_delegation_token as edt
from kafka_protocol.messages import list_offsets as lo
from kafka_protocol.messages import offset_commit as oc
from kafka_protocol.messages import offset_fetch as of
from kafka_protocol.messages import offset_for_leader_epoch as ofl
from kafka_protocol.messages import produce as p
from kafka_protocol.messages import renew_delegation_token as rdt
from kafka_protocol.messages.create_topics import CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from kafka_protocol.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from kafka_protocol.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse

from tests.application.admin_house import wanted
from tests.differential.conftest import Pair
from tests.differential.conversation import Step
from tests.differential.conversation import compare as compare_any
from tests.differential.raw_client import RawClient
from tests.differential.test_data import GOOD, HOUR_MS, NOW_MS

pytestmark = pytest.mark.jvm

AWAKE_SECONDS_MAX = 30
ODD_TOPICS = ("nobody", "bad!", "")


def make(*names: str, version: int = 4) -> Step:
    """Topics of two partitions that can be read and written when the next step comes."""
    request = CreateTopicsRequest(topics=[wanted(name, 2, 1) for name in names], timeout_ms=10_000)
    return Step(request, CreateTopicsResponse, [version], settles=True)


def compare(pair: Pair, *steps: Step) -> None:
    compare_any(*pair, *steps, with_an_old_one=True)


def wait_for_coordinator(client: RawClient, group: str) -> None:
    """Kafka makes the topic of committed offsets when it is first asked for a coordinator."""
    deadline = time.monotonic() + AWAKE_SECONDS_MAX
    request = of.OffsetFetchRequest(group_id=group, topics=[])
    while (
        client.ask(FindCoordinatorRequest(key=group), FindCoordinatorResponse, 0).error_code
        or client.ask(request, of.OffsetFetchResponse, 5).error_code
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_topics(old_pair: Pair) -> None:
    refused = [
        *(wanted(name, 1, 1) for name in (".", "", "a!", "x" * 250, "old-0")),
        *(wanted("twice", count, 1) for count in (1, 2)),
        *(wanted(f"partitions{count}", count, 1) for count in (0, -2)),
        *(wanted(f"replicas{factor}", 1, factor) for factor in (0, -2, 2)),
        wanted("both", 1, 1, {0: [1]}),
        wanted("gap", assignments={1: [1]}),
        wanted("elsewhere", assignments={0: [2]}),
        wanted("setting", 1, 1, configs={"nope": "1"}),
        wanted("value", 1, 1, configs={"retention.ms": "x"}),
    ]
    names = ["old-0", "old-1", "nobody", "bad!", ""]
    compare(
        old_pair,
        make("old-0", version=0),
        make("old-1", version=1),
        Step(CreateTopicsRequest(topics=refused, timeout_ms=5_000), CreateTopicsResponse, [0, 1]),
        Step(CreateTopicsRequest(topics=[], timeout_ms=5_000), CreateTopicsResponse, [0, 1]),
        Step(
            CreateTopicsRequest(topics=[wanted("only-said", 1, 1)], timeout_ms=5_000, validate_only=True),
            CreateTopicsResponse,
            [1],
        ),
        Step(DeleteTopicsRequest(topic_names=names, timeout_ms=5_000), DeleteTopicsResponse, [0], settles=True),
        Step(DeleteTopicsRequest(topic_names=names[:1] * 2, timeout_ms=5_000), DeleteTopicsResponse, [0]),
        Step(DeleteTopicsRequest(topic_names=[], timeout_ms=5_000), DeleteTopicsResponse, [0]),
    )


def test_metadata(old_pair: Pair) -> None:
    def about(*names: str) -> MetadataRequest:
        return MetadataRequest(topics=[MetadataRequestTopic(name=name) for name in names])

    compare(
        old_pair,
        make("old-told"),
        Step(about("old-told"), MetadataResponse, range(4)),
        Step(about("bad!", "", "old-told"), MetadataResponse, range(4)),
    )


def commit(group: str, *spots: tuple[str, int, int], **fields: Any) -> oc.OffsetCommitRequest:
    topics = [
        oc.OffsetCommitRequestTopic(
            name, partitions=[oc.OffsetCommitRequestPartition(index, offset) for _, index, offset in parts]
        )
        for name, parts in itertools.groupby(spots, key=lambda spot: spot[0])
    ]
    return oc.OffsetCommitRequest(group, topics=topics, **fields)


def committed(group: str, *spots: tuple[str, Sequence[int]]) -> of.OffsetFetchRequest:
    topics = [of.OffsetFetchRequestTopic(name, list(indexes)) for name, indexes in spots]
    return of.OffsetFetchRequest(group_id=group, topics=topics)


def test_offsets_of_groups(old_pair: Pair) -> None:
    for client in old_pair:
        wait_for_coordinator(client, "old-group")
    places = [("old-offsets", [0, 1, 9, -1]), *((name, [0]) for name in ODD_TOPICS)]
    compare(
        old_pair,
        make("old-offsets"),
        Step(commit("old-group", ("old-offsets", 0, 7), ("nobody", 0, 1)), oc.OffsetCommitResponse, [1]),
        Step(commit("old-group", ("old-offsets", 9, 7), ("old-offsets", -1, 7)), oc.OffsetCommitResponse, [1]),
        Step(commit("old-group", ("old-offsets", 1, -1), ("bad!", 0, 1)), oc.OffsetCommitResponse, [1]),
        Step(commit("", ("old-offsets", 0, 7)), oc.OffsetCommitResponse, [1]),
        Step(
            commit("old-group", ("old-offsets", 0, 8), member_id="stranger", generation_id_or_member_epoch=3),
            oc.OffsetCommitResponse,
            [1],
        ),
        Step(commit("old-group"), oc.OffsetCommitResponse, [1]),
        Step(committed("old-group", *places), of.OffsetFetchResponse, range(1, 8)),
        Step(committed("never heard of", *places), of.OffsetFetchResponse, range(1, 8)),
        Step(committed("", *places), of.OffsetFetchResponse, range(1, 8)),
        Step(committed("old-group"), of.OffsetFetchResponse, range(1, 8)),
        Step(of.OffsetFetchRequest(group_id="old-group", topics=None), of.OffsetFetchResponse, range(2, 8)),
        # Version 0 stands for ZooKeeper.
        Step(commit("old-group", ("old-offsets", 0, 9), ("nobody", 0, 1)), oc.OffsetCommitResponse, [0]),
        Step(committed("old-group", *places[:2]), of.OffsetFetchResponse, [0]),
    )


def test_records(old_pair: Pair) -> None:
    def write(name: str, index: int, acks: int = -1, data: bytes = GOOD) -> p.ProduceRequest:
        topic = p.TopicProduceData(name, partition_data=[p.PartitionProduceData(index, data)])
        return p.ProduceRequest(None, acks, 5_000, [topic])

    def cut(name: str, index: int, offset: int) -> dr.DeleteRecordsRequest:
        return dr.DeleteRecordsRequest([dr.DeleteRecordsTopic(name, [dr.DeleteRecordsPartition(index, offset)])], 5_000)

    def epoch(name: str, index: int, number: int) -> ofl.OffsetForLeaderEpochRequest:
        partition = ofl.OffsetForLeaderPartition(index, leader_epoch=number)
        return ofl.OffsetForLeaderEpochRequest(topics=[ofl.OffsetForLeaderTopic(name, [partition])])

    def places(name: str, index: int, timestamp: int, *counts: int) -> list[Step]:
        """Version 0 asks for several offsets, version 1 for one."""
        asked = []
        for fields in ({}, *({"max_num_offsets": count} for count in counts)):
            topics = [lo.ListOffsetsTopic(name, [lo.ListOffsetsPartition(index, timestamp=timestamp, **fields)])]
            asked.append(Step(lo.ListOffsetsRequest(topics=topics), lo.ListOffsetsResponse, [0] if fields else [0, 1]))
        return asked

    odd = [("old-records", 9), ("old-records", -1), *((name, 0) for name in ODD_TOPICS)]
    times = (-1, -2, NOW_MS, NOW_MS + 1, NOW_MS - HOUR_MS, 0)
    compare(
        old_pair,
        make("old-records"),
        Step(write("old-records", 0), p.ProduceResponse, [3, 3]),
        *(Step(write(name, index, acks), p.ProduceResponse, range(3)) for name, index in odd for acks in (1, 5)),
        Step(write("old-records", 0, 5), p.ProduceResponse, range(3)),
        *(step for time_ms in times for step in places("old-records", 0, time_ms, 5, 0, -1)),
        *(step for name, index in odd for step in places(name, index, -1)),
        *(Step(epoch("old-records", 0, number), ofl.OffsetForLeaderEpochResponse, range(4)) for number in (-1, 0, 5)),
        *(Step(epoch(name, index, 0), ofl.OffsetForLeaderEpochResponse, range(4)) for name, index in odd),
        *(Step(cut("old-records", 0, offset), dr.DeleteRecordsResponse, range(3)) for offset in (2, 1, 99, -2, 3, -1)),
        *(Step(cut(name, index, 0), dr.DeleteRecordsResponse, range(3)) for name, index in odd),
        *(step for time_ms in times for step in places("old-records", 0, time_ms, 5, 0, -1)),
    )


def test_configs(old_pair: Pair) -> None:
    def about(*resources: tuple[int, str, list[str] | None]) -> Step:
        listed = [dc.DescribeConfigsResource(kind, name, keys) for kind, name, keys in resources]
        return Step(dc.DescribeConfigsRequest(listed), dc.DescribeConfigsResponse, [0])

    compare(
        old_pair,
        make("old-configs"),
        about((2, "old-configs", ["retention.ms", "nope", "cleanup.policy"])),
        about((4, "1", ["message.max.bytes", "log.retention.ms"]), (4, "2", None), (4, "x", None)),
        about((2, "nobody", None), (2, "bad!", None), (2, "", None)),
        about((2, "old-configs", []), (3, "1", None)),
        about(),
    )


def test_data_folders(old_pair: Pair) -> None:
    compare(old_pair, make("old-folder"))
    answers: list[Any] = []
    for client in old_pair:
        asked = dld.DescribeLogDirsRequest(
            topics=[dld.DescribableLogDirTopic(topic=name, partitions=[0, 1, 7]) for name in ("old-folder", "nobody")]
        )
        told = []
        for version in range(5):
            (folder,) = client.ask(asked, dld.DescribeLogDirsResponse, version).results
            parts = [
                sorted((part.partition_index, part.offset_lag, part.is_future_key) for part in topic.partitions)
                for topic in folder.topics
            ]
            told.append((folder.error_code, [topic.name for topic in folder.topics], parts))
        for version in range(3):
            for path in (folder.log_dir, "/nobody", "nobody"):
                for name, index in (("old-folder", 0), ("old-folder", 7), ("nobody", 0), ("bad!", 0)):
                    move = arld.AlterReplicaLogDirTopic(name=name, partitions=[index])
                    request = arld.AlterReplicaLogDirsRequest(dirs=[arld.AlterReplicaLogDir(path=path, topics=[move])])
                    results = client.ask(request, arld.AlterReplicaLogDirsResponse, version).results
                    told.append((version, [part.error_code for result in results for part in result.partitions]))
        answers.append(told)
    assert answers[0] == answers[1]


def test_what_there_is_not_without_authorizer_and_without_secret(old_pair: Pair) -> None:
    entry = ca.AclCreation(
        resource_type=2, resource_name="t", principal="User:a", host="*", operation=3, permission_type=3
    )
    matching = da.DeleteAclsFilter(resource_type_filter=1, operation=1, permission_type=1)
    renewers = [[cdt.CreatableRenewers("User", "x")], [cdt.CreatableRenewers("Group", "x")], []]
    compare(
        old_pair,
        Step(
            dra.DescribeAclsRequest(resource_type_filter=1, operation=1, permission_type=1),
            dra.DescribeAclsResponse,
            range(4),
        ),
        *(Step(ca.CreateAclsRequest(listed), ca.CreateAclsResponse, range(4)) for listed in ([entry] * 2, [])),
        *(Step(da.DeleteAclsRequest(filters), da.DeleteAclsResponse, range(4)) for filters in ([matching] * 2, [])),
        *(
            Step(cdt.CreateDelegationTokenRequest(renewers=names), cdt.CreateDelegationTokenResponse, [0])
            for names in renewers
        ),
        *(
            Step(request, response, [0])
            for hmac in (b"x", b"")
            for request, response in (
                (rdt.RenewDelegationTokenRequest(hmac=hmac), rdt.RenewDelegationTokenResponse),
                (edt.ExpireDelegationTokenRequest(hmac=hmac), edt.ExpireDelegationTokenResponse),
            )
        ),
        *(
            Step(ddt.DescribeDelegationTokenRequest(owners=owners), ddt.DescribeDelegationTokenResponse, [0])
            for owners in (None, [], [ddt.DescribeDelegationTokenOwner("User", "bob")])
        ),
    )
