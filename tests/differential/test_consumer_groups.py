"""The same questions about groups of the consumer protocol (KIP-848) to Apache Kafka and to us; answers must be equal.

Each script plays several members against one broker, as in test_groups.py. Members bring their own ids, so that nothing
in the answers is random but the ids of topics. Assignments are computed at once here (consumer.assignment.interval.ms
of the group is 0), because otherwise what a heartbeat is answered depends on the second in which it comes.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from kafka_protocol.messages import consumer_group_describe, consumer_group_heartbeat
from kafka_protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
)
from kafka_protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.delete_groups import DeleteGroupsRequest
from kafka_protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from kafka_protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from kafka_protocol.messages.list_groups import ListGroupsRequest
from kafka_protocol.messages.offset_commit import OffsetCommitRequest, OffsetCommitRequestPartition
from kafka_protocol.messages.offset_commit import OffsetCommitRequestTopic as CommitTopic
from kafka_protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from kafka_protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)

from kafka_server.domain.consumer_subscription import write_assignment
from tests.differential import test_groups as classic
from tests.differential.test_groups import Cast, Script, describe, join, leave, sync
from tests.domain.group_examples import subscription

pytestmark = pytest.mark.jvm

GROUP_CONFIG = 32
BROKERS_NEED_MS = 700
"""For Kafka's coordinator to hear of a change to topics, and to match patterns in its background thread."""
play = classic.play


@pytest.fixture(scope="module", autouse=True)
def modules() -> None:
    """Makes the messages of this protocol known to the cast."""
    classic.MODULES += (consumer_group_describe, consumer_group_heartbeat)


def beat(group: str, member: str, epoch: int, **changes: Any) -> Any:
    return consumer_group_heartbeat.ConsumerGroupHeartbeatRequest(
        group_id=group, member_id=member, member_epoch=epoch, **changes
    )


def enter(cast: Cast, group: str, member: str, *topics: str, **changes: Any) -> Any:
    """The first heartbeat of a member."""
    fields: dict[str, Any] = {
        "rebalance_timeout_ms": 60_000,
        "subscribed_topic_names": [classic.named(cast, topic) for topic in topics],
        "topic_partitions": [],
        **changes,
    }
    return beat(group, member, 0, **fields)


def owns(cast: Cast, **partitions: list[int]) -> Any:
    place = consumer_group_heartbeat.ConsumerGroupHeartbeatRequestTopicPartitions
    return [place(cast.topic_ids[topic], indexes) for topic, indexes in partitions.items()]


def show(*groups: str, operations: bool = False) -> Any:
    return consumer_group_describe.ConsumerGroupDescribeRequest(list(groups), operations)


def at_once(cast: Cast, *groups: str) -> None:
    """Lets assignments of these groups be computed without delay."""
    resources = [
        AlterConfigsResource(GROUP_CONFIG, group, [AlterableConfig("consumer.assignment.interval.ms", 0, "0")])
        for group in groups
    ]
    client = cast.client("admin")
    answer = client.ask(IncrementalAlterConfigsRequest(resources), IncrementalAlterConfigsResponse, 1)
    assert [one.error_code for one in answer.responses] == [0] * len(groups)
    time.sleep(BROKERS_NEED_MS / 1000)


def settle() -> None:
    time.sleep(BROKERS_NEED_MS / 1000)


def commit(cast: Cast, group: str, member: str, epoch: int, *partitions: int, instance: str | None = None) -> Any:
    places = [OffsetCommitRequestPartition(index, 7) for index in partitions]
    topics = [CommitTopic(classic.named(cast, "t"), cast.topic_ids["t"], places)]
    return OffsetCommitRequest(group, epoch, member, instance, topics=topics)


def fetch(cast: Cast, group: str, member: str | None, epoch: int) -> Any:
    topics = [OffsetFetchRequestTopics(classic.named(cast, "t"), cast.topic_ids["t"], [0, 1])]
    return OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group, member, epoch, topics)])


@pytest.mark.parametrize("version", [0, 1])
def test_the_life_of_a_member(play: Callable[[Script], None], version: int) -> None:
    def script(cast: Cast) -> None:
        group = f"cg-life-{version}"
        at_once(cast, group)
        cast.ask(beat(group, "a", 2), version)
        cast.ask(beat(group, "a", -1), version)
        cast.ask(enter(cast, group, "a", "t"), version)
        cast.ask(beat(group, "a", 2), version)
        cast.ask(beat(group, "a", 2, topic_partitions=owns(cast, t=[0, 1])), version)
        for wrong in (0, 3, 6):
            cast.ask(beat(group, "a", wrong), version)
        cast.ask(beat(group, "b", 2), version)
        cast.ask(show(group), version)
        full = {"rebalance_timeout_ms": 60_000, "subscribed_topic_names": [classic.named(cast, "t")]}
        cast.ask(beat(group, "a", 2, topic_partitions=owns(cast, t=[0, 1]), **full), version)
        cast.ask(enter(cast, group, "a", "t"), version)
        cast.ask(enter(cast, group, "a", "t", "u"), version)
        cast.ask(show(group), version)
        cast.ask(beat(group, "a", 3, subscribed_topic_names=[]), version)
        cast.ask(show(group), version)
        cast.ask(beat(group, "a", 4, topic_partitions=[]), version)
        cast.ask(show(group), version)
        cast.ask(beat(group, "b", -1), version)
        cast.ask(beat(group, "a", -1), version)
        cast.ask(show(group), version)
        cast.ask(beat(group, "a", 4), version)
        cast.ask(enter(cast, group, "a", "t"), version)
        cast.ask(show(group), version)
        cast.ask(beat(group, "a", -1), version)

    play(script)


@pytest.mark.parametrize("version", [0, 1])
def test_requests_that_contradict_themselves(play: Callable[[Script], None], version: int) -> None:
    def script(cast: Cast) -> None:
        group = "cg-wrong"
        for changes in (
            {"rebalance_timeout_ms": -1},
            {"subscribed_topic_names": None},
            {"topic_partitions": None},
            {"topic_partitions": owns(cast, t=[0])},
            {"instance_id": ""},
            {"instance_id": " "},
            {"rack_id": ""},
            {"server_assignor": "best"},
            {"server_assignor": ""},
            {"subscribed_topic_names": []},
        ):
            cast.ask(enter(cast, group, "a", "t", **changes), version)
        cast.ask(enter(cast, "", "a", "t"), version)
        for epoch in (-4, -3, -2, -1, 1):
            cast.ask(beat(group, "a", epoch), version)
            cast.ask(beat(group, "", epoch), version)
            cast.ask(beat("", "a", epoch), version)
            cast.ask(beat("none", "a", epoch, instance_id="i"), version)
        cast.ask(enter(cast, group, "", "t"), version, note=version > 0)
        cast.ask(show("none", "", operations=True), version)

    play(script)


def test_two_members_share_and_part(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        group = "cg-two"
        at_once(cast, group)
        ranged = {"server_assignor": "range"}
        cast.ask(enter(cast, group, "a", "t", **ranged))
        cast.ask(enter(cast, group, "b", "t", **ranged))
        cast.ask(show(group))
        cast.ask(commit(cast, group, "a", 2, 0, 1))
        cast.ask(beat(group, "b", 3))
        cast.ask(beat(group, "a", 2))
        cast.ask(commit(cast, group, "a", 2, 0, 1))
        cast.ask(commit(cast, group, "b", 3, 1))
        cast.ask(beat(group, "a", 2, topic_partitions=owns(cast, t=[0, 1])))
        cast.ask(show(group))
        cast.ask(beat(group, "b", 3))
        cast.ask(beat(group, "a", 2, topic_partitions=owns(cast, t=[0])))
        cast.ask(show(group))
        cast.ask(beat(group, "a", 2, topic_partitions=owns(cast, t=[0])))
        cast.ask(beat(group, "a", 2))
        cast.ask(beat(group, "b", 3))
        cast.ask(beat(group, "b", 3))
        cast.ask(show(group))
        for member, epoch, partition in (("a", 2, 0), ("a", 2, 1), ("a", 3, 0), ("a", 4, 0), ("b", 3, 1), ("b", 2, 1)):
            cast.ask(commit(cast, group, member, epoch, partition))
        cast.ask(beat(group, "b", -1))
        cast.ask(show(group))
        cast.ask(beat(group, "a", 3))
        cast.ask(show(group))
        cast.ask(beat(group, "a", 3, topic_partitions=owns(cast, t=[0])))
        cast.ask(commit(cast, group, "a", 3, 1))
        cast.ask(commit(cast, group, "a", 3, 0))

    play(script)


def test_static_members(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        group = "cg-static"
        at_once(cast, group)
        cast.ask(enter(cast, group, "a", "t", instance_id="i"))
        cast.ask(enter(cast, group, "b", "t", instance_id="i"))
        cast.ask(enter(cast, group, "a", "t", instance_id="i"))
        cast.ask(beat(group, "b", 2, instance_id="i"))
        cast.ask(beat(group, "a", 2, instance_id="j"))
        cast.ask(beat(group, "a", 2, instance_id="i"))
        cast.ask(beat(group, "a", 2))
        cast.ask(beat(group, "b", -2, instance_id="i"))
        cast.ask(beat(group, "a", -2, instance_id="i"))
        cast.ask(show(group))
        cast.ask(beat(group, "a", 2, instance_id="i"))
        cast.ask(commit(cast, group, "a", 2, 0, instance="i"))
        cast.ask(commit(cast, group, "a", -2, 0, instance="i"))
        cast.ask(enter(cast, group, "b", "t", instance_id="i"))
        cast.ask(show(group))
        cast.ask(beat(group, "a", 2, instance_id="i"))
        cast.ask(beat(group, "b", 2, instance_id="i"))
        cast.ask(beat(group, "b", -2, instance_id="i"))
        cast.ask(enter(cast, group, "c", "t", "u", instance_id="i"))
        cast.ask(show(group))
        cast.ask(beat(group, "a", -1, instance_id="i"))
        cast.ask(beat(group, "c", -1, instance_id="i"))
        cast.ask(show(group))

    play(script)


def test_offsets_of_members(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        group = "cg-offsets"
        at_once(cast, group)
        cast.ask(enter(cast, group, "a", "t"))
        for version in range(2, 11):
            for member, epoch in (("a", 2), ("a", 0), ("a", 3), ("a", -1), ("b", 2), ("", -1)):
                cast.ask(commit(cast, group, member, epoch, 0), version)
        for version in (8, 9, 10):
            # Not asked: a null member with an epoch, which Kafka answers with UNKNOWN_SERVER_ERROR.
            for member, epoch in (("a", 2), ("a", 0), ("a", -1), ("b", 2), (None, -1), ("", -1)):
                cast.ask(fetch(cast, group, member if version > 8 else None, epoch if version > 8 else -1), version)
        places = [OffsetDeleteRequestTopic(classic.named(cast, t), [OffsetDeleteRequestPartition(0)]) for t in "tu"]
        cast.ask(OffsetDeleteRequest(group, places))
        cast.ask(beat(group, "a", -1))
        cast.ask(commit(cast, group, "", -1, 1))
        cast.ask(commit(cast, group, "a", 2, 1))
        cast.ask(fetch(cast, group, "a", 2))
        cast.ask(fetch(cast, group, None, -1))
        cast.ask(OffsetDeleteRequest(group, places))

    play(script)


def test_what_administrators_see(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        groups = ["cg-seen", "cg-empty", "cg-classic"]
        at_once(cast, *groups)
        cast.ask(enter(cast, "cg-seen", "a", "t", rack_id="r"))
        cast.ask(enter(cast, "cg-empty", "a", "t"))
        cast.ask(beat("cg-empty", "a", -1))
        cast.enter(4, group="cg-classic")
        for states, types in (
            ((), ()),
            (("Stable",), ()),
            ((), ("consumer",)),
            (("empty",), ("Consumer",)),
            ((), ("x",)),
        ):
            answer = cast.ask(ListGroupsRequest(list(states), list(types)), note=False)
            seen = sorted(
                (g.group_id, g.protocol_type, g.group_state, g.group_type)
                for g in answer.groups
                if g.group_id in groups
            )
            cast.answers.append((f"{states} {types}", seen))
        for version in (5, 6):
            cast.ask(describe(*groups), version)
        for version in (0, 1):
            cast.ask(show(*groups, operations=True), version)
        cast.ask(DeleteGroupsRequest(["cg-seen", "cg-empty"]))
        cast.ask(show("cg-empty"))

    play(script)


def consumes(cast: Cast, *owned: int, topics: Sequence[str] = ("t",), version: int = 1) -> tuple[tuple[str, bytes]]:
    """The range protocol of a consumer that reads these topics and owns these partitions of ``t``."""
    metadata = struct.pack(">h", version) + subscription(*(classic.named(cast, topic) for topic in topics))[2:]
    if version >= 1:
        name = classic.named(cast, "t").encode()
        count = 1 if owned else 0
        metadata += struct.pack(">i", count)
        if owned:
            metadata += struct.pack(f">h{len(name)}s{len(owned) + 1}i", len(name), name, len(owned), *owned)
    return (("range", metadata),)


def shares(cast: Cast, *partitions: int) -> bytes:
    return write_assignment({classic.named(cast, "t"): partitions}, 1)


def test_a_classic_group_is_upgraded_and_downgraded(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        group = "cg-moves"
        at_once(cast, group)
        me = cast.enter(9, group=group, protocols=consumes(cast)).member_id
        cast.ask(sync(group, 1, me, assign={me: shares(cast, 0, 1)}))
        cast.ask(beat(group, "a", 1))
        cast.ask(enter(cast, group, "a", "t", server_assignor="range"))
        cast.ask(show(group))
        cast.ask(describe(group))
        cast.ask(ListGroupsRequest([], ["consumer"]))
        cast.ask(classic.beat(group, 1, me))
        cast.ask(classic.beat(group, 2, me))
        cast.ask(classic.beat(group, 1, "nobody"))
        cast.ask(classic.beat(group, 2, "a"))
        cast.ask(sync(group, 1, me))
        cast.ask(commit(cast, group, me, 1, 0))
        cast.ask(join(group, me, protocols=consumes(cast, 0, 1)))
        cast.ask(sync(group, 1, me))
        cast.ask(sync(group, 1, me, protocol=("consumer", "sticky")))
        cast.ask(sync(group, 1, me, protocol=("connect", "range")))
        cast.ask(classic.beat(group, 1, me))
        cast.ask(beat(group, "a", 2))
        cast.ask(show(group))
        cast.ask(join(group, me, protocols=consumes(cast, 1)))
        cast.ask(sync(group, 2, me))
        cast.ask(classic.beat(group, 2, me))
        cast.ask(beat(group, "a", 2))
        cast.ask(show(group))
        for wrong in (
            join(group, protocol_type="connect"),
            join(group, protocols=(("other", b""),)),
            join(group, me, protocols=(("range", b"\0"),)),
            join(group, "x", protocols=(("range", b"\0\0\0\0\0\1"),)),
            join(group),
        ):
            cast.ask(wrong)
        cast.ask(commit(cast, group, me, 2, 1))
        cast.ask(commit(cast, group, me, 2, 1), 8)
        cast.ask(commit(cast, group, "a", 2, 0))
        cast.ask(fetch(cast, group, me, 1))
        cast.ask(beat(group, "a", -1))
        cast.ask(show(group))
        cast.ask(describe(group))
        cast.ask(classic.beat(group, 2, me))
        cast.ask(classic.beat(group, 3, me))
        cast.ask(join(group, me, protocols=consumes(cast, 1)))
        cast.ask(sync(group, 4, me, assign={me: shares(cast, 0, 1)}))
        cast.ask(describe(group))
        cast.ask(leave(group, (me, None)))
        cast.ask(ListGroupsRequest([], ["classic"]))
        cast.ask(enter(cast, group, "a", "t"))
        cast.ask(show(group))
        cast.ask(beat(group, "a", -1))
        cast.ask(join(group, "m"))
        again = cast.enter(9, group=group, protocols=consumes(cast)).member_id
        cast.ask(describe(group))
        cast.ask(leave(group, (again, None)))

    play(script)


def test_a_classic_member_leaves_a_consumer_group(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        group = "cg-mixed"
        # The range assignor sorts by member id; this one comes behind any that a broker draws.
        at_once(cast, group)
        cast.ask(enter(cast, group, "~", "t", server_assignor="range"))
        me = cast.enter(9, group=group, protocols=consumes(cast, version=0)).member_id
        cast.ask(sync(group, 3, me))
        cast.ask(classic.beat(group, 3, me))
        cast.ask(beat(group, "~", 2, topic_partitions=owns(cast, t=[0, 1])))
        cast.ask(beat(group, "~", 2, topic_partitions=owns(cast, t=[0])))
        cast.ask(show(group))
        cast.ask(classic.beat(group, 3, me))
        cast.ask(join(group, me, protocols=consumes(cast)))
        cast.ask(sync(group, 3, me))
        cast.ask(leave(group, (me, None), ("x", None), ("", "i")))
        cast.ask(show(group))
        cast.ask(beat(group, "~", 3))
        cast.ask(leave(group, ("~", None)))
        cast.ask(show(group))

    play(script)


def test_a_static_member_moves_between_the_protocols(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        group = "cg-static-moves"
        at_once(cast, group)
        me = cast.enter(9, group=group, instance="i", protocols=consumes(cast)).member_id
        cast.ask(sync(group, 1, me, "i", assign={me: shares(cast, 0, 1)}))
        cast.ask(enter(cast, group, "a", "t", instance_id="i"))
        cast.ask(show(group))
        cast.ask(classic.beat(group, 1, me, "i"))
        cast.ask(beat(group, "a", 1, instance_id="i"))
        again = cast.ask(join(group, instance="i", protocols=consumes(cast))).member_id
        cast.ask(describe(group))
        cast.ask(show(group))
        cast.ask(sync(group, 1, again, "i"))
        cast.ask(beat(group, "a", 1, instance_id="i"))
        cast.ask(leave(group, ("", "i")))
        cast.ask(describe(group))

    play(script)


def test_topics_that_come_grow_and_go(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        group = "cg-topics"
        at_once(cast, group)
        admin, name = cast.client("admin"), classic.named(cast, "u")
        later = f"{name}-later"
        cast.ask(enter(cast, group, "a", "u", subscribed_topic_names=[name, later]))
        cast.ask(show(group))
        grown = CreatePartitionsTopic(name, 4)
        admin.ask(CreatePartitionsRequest(topics=[grown], timeout_ms=9_000), CreatePartitionsResponse, 3)
        settle()
        cast.ask(show(group))
        cast.ask(beat(group, "a", 2))
        cast.ask(show(group))
        topics = [CreatableTopic(name=later, num_partitions=1, replication_factor=1)]
        admin.ask(CreateTopicsRequest(topics=topics, timeout_ms=9_000), CreateTopicsResponse, 5)
        settle()
        cast.ask(beat(group, "a", 3))
        cast.ask(show(group))
        admin.ask(DeleteTopicsRequest(topic_names=[name], timeout_ms=9_000), DeleteTopicsResponse, 4)
        settle()
        cast.ask(show(group))
        cast.ask(beat(group, "a", 4))
        cast.ask(show(group))
        cast.ask(beat(group, "a", 4, topic_partitions=[]))
        cast.ask(show(group))
        admin.ask(DeleteTopicsRequest(topic_names=[later], timeout_ms=9_000), DeleteTopicsResponse, 4)

    play(script)


def test_patterns(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        group = "cg-patterns"
        at_once(cast, group)
        prefix = classic.named(cast, "t").removesuffix("t")
        pattern = prefix + "[tx]"
        for wrong in ("[", "(", "a**", "*", "(?=a)", "\\"):
            cast.ask(enter(cast, group, "a", subscribed_topic_names=None, subscribed_topic_regex=wrong))
        cast.ask(show(group))
        cast.ask(enter(cast, group, "a", subscribed_topic_names=None, subscribed_topic_regex=pattern))
        settle()
        cast.ask(show(group))
        cast.ask(enter(cast, group, "a", subscribed_topic_names=None, subscribed_topic_regex=pattern))
        cast.ask(show(group))
        cast.ask(beat(group, "a", 2))
        cast.ask(beat(group, "a", 2, subscribed_topic_names=[classic.named(cast, "u")]))
        cast.ask(show(group))
        cast.ask(enter(cast, group, "b", subscribed_topic_names=None, subscribed_topic_regex=pattern))
        settle()
        cast.ask(show(group))
        cast.ask(beat(group, "a", 3, subscribed_topic_regex=""))
        settle()
        cast.ask(show(group))

    play(script)
