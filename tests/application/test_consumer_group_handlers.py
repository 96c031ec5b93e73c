"""What members of the consumer protocol (KIP-848) and administrators see, every answer through the wire format."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable
from typing import Any

import pytest
from kafka_protocol.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from kafka_protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
)
from kafka_protocol.messages.delete_groups import DeleteGroupsRequest
from kafka_protocol.messages.describe_groups import DescribeGroupsRequest
from kafka_protocol.messages.heartbeat import HeartbeatRequest
from kafka_protocol.messages.join_group import JoinGroupRequestProtocol
from kafka_protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kafka_protocol.messages.list_groups import ListGroupsRequest
from kafka_protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kafka_protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics

from kafka_server.application.group_coordinator import GroupSettings
from kafka_server.application.handlers.consumer_groups import ConsumerGroupHandlers
from kafka_server.domain.consumer_subscription import assigned_partitions, write_assignment
from kafka_server.domain.errors import (
    CoordinatorNotAvailable,
    FencedMemberEpoch,
    GroupIdNotFound,
    InconsistentGroupProtocol,
    InvalidRequest,
    NonEmptyGroup,
    RebalanceInProgress,
    StaleMemberEpoch,
    StorageError,
    UnknownMemberId,
    UnsupportedAssignor,
    UnsupportedVersion,
)
from kafka_server.domain.group_snapshot import AnySnapshot
from kafka_server.domain.group_values import ConsumerLimits
from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository
from tests.application.group_house import TOPIC_ID, House, settle, waiting
from tests.domain.group_examples import subscription

pytestmark = pytest.mark.asyncio


async def house(**changes: Any) -> House:
    groups = changes.pop("groups", None) or MemoryGroupRepository()
    limits = ConsumerLimits(**{"assignment_interval_ms": 0, "assignors": ("range", "uniform"), **changes})
    return await House(group_settings=GroupSettings(consumer_limits=lambda _: limits), groups=groups).open()


def beat(member: str, epoch: int, *owned: int, **changes: Any) -> ConsumerGroupHeartbeatRequest:
    request = ConsumerGroupHeartbeatRequest(group_id="g", member_id=member, member_epoch=epoch, **changes)
    if owned:
        request.topic_partitions = [ConsumerGroupHeartbeatRequestTopicPartitions(TOPIC_ID, list(owned))]
    return request


def enter(member: str, **changes: Any) -> ConsumerGroupHeartbeatRequest:
    fields: dict[str, Any] = {"rebalance_timeout_ms": 60_000, "subscribed_topic_names": ["t"], "topic_partitions": []}
    return beat(member, 0, **{**fields, **changes})


def has(answer: Any) -> list[int] | None:
    """The partitions of ``t`` in an answer; None when it tells nothing."""
    if answer.assignment is None:
        return None
    return [index for topic in answer.assignment.topic_partitions for index in topic.partitions]


def reads(*owned: int) -> list[JoinGroupRequestProtocol]:
    """A classic consumer that reads ``t`` and owns these partitions of it."""
    metadata = struct.pack(">h", 1) + subscription("t")[2:] + struct.pack(">i", 1 if owned else 0)
    if owned:
        metadata += struct.pack(f">h1s{len(owned) + 1}i", 1, b"t", len(owned), *owned)
    return [JoinGroupRequestProtocol(name="range", metadata=metadata)]


def classic_member(at: House) -> Any:
    """A stable classic group of one consumer that has both partitions."""
    joined = at.join(version=3, protocols=reads())
    at.sync(joined, {joined.member_id: write_assignment({"t": [0, 1]}, 1)})
    return joined


# ---- members ---------------------------------------------------------------------------------------------------------


async def test_a_member_joins_goes_on_and_leaves() -> None:
    at = await house()
    joined = at.ask(enter("a"))
    assert (joined.error_code, joined.member_id, joined.member_epoch, has(joined)) == (0, "a", 2, [0, 1])
    assert has(at.ask(beat("a", 2))) is None
    assert at.ask(beat("a", -1)).member_epoch == -1
    assert at.ask(beat("a", 2)).error_code == UnknownMemberId.code


async def test_before_v1_the_coordinator_draws_the_id_of_a_member() -> None:
    at = await house()
    assert len(at.ask(enter(""), 0).member_id) == 36
    assert at.ask(enter("")).error_code == InvalidRequest.code


@pytest.mark.parametrize(
    "changes",
    [
        {"rebalance_timeout_ms": -1},
        {"topic_partitions": None},
        {"subscribed_topic_names": None},
        {"instance_id": ""},
        {"rack_id": " "},
        {"member_epoch": -3},
        {"member_epoch": -2},
        {"group_id": ""},
    ],
)
async def test_a_first_heartbeat_has_to_be_complete(changes: dict[str, Any]) -> None:
    at = await house()
    request = enter("a")
    for name, value in changes.items():
        setattr(request, name, value)
    answer = at.ask(request)
    assert (answer.error_code, bool(answer.error_message)) == (InvalidRequest.code, True)
    assert list(at.coordinator.all()) == []


async def test_a_group_that_nobody_has_joined_is_not_found() -> None:
    at = await house()
    assert at.ask(beat("a", 1)).error_code == GroupIdNotFound.code
    assert at.ask(beat("a", -1)).error_code == GroupIdNotFound.code


async def test_an_assignor_that_is_not_there_is_told_before_a_group_that_is_not() -> None:
    at = await house()
    request = beat("a", 1)
    request.server_assignor = "best"
    assert at.ask(request).error_code == UnsupportedAssignor.code


async def test_the_protocol_can_be_switched_off() -> None:
    at = await house()
    off = ConsumerGroupHandlers(at.coordinator, at.topics, lambda: False)
    at.handlers["consumer_group_heartbeat"] = off.consumer_group_heartbeat
    at.handlers["consumer_group_describe"] = off.consumer_group_describe
    assert at.ask(enter("a")).error_code == UnsupportedVersion.code
    assert at.ask(ConsumerGroupDescribeRequest(["g"])).groups[0].error_code == UnsupportedVersion.code


async def test_sessions_end_by_the_clock() -> None:
    at = await house()
    at.ask(enter("a"))
    at.clock.advance(44_999)
    assert at.coordinator.count_members() == 1
    at.clock.advance(1)
    assert at.coordinator.count_members() == 0
    assert at.coordinator.counters.members_removed == 1


async def test_members_commit_and_fetch_under_their_epoch() -> None:
    at = await house()
    at.ask(enter("a"))
    place = OffsetCommitRequestTopic("t", TOPIC_ID, [OffsetCommitRequestPartition(0, 5)])

    def commit(epoch: int, version: int = 10) -> int:
        answer = at.ask(OffsetCommitRequest("g", epoch, "a", topics=[place]), version)
        return int(answer.topics[0].partitions[0].error_code)

    def fetch(epoch: int) -> Any:
        wanted = [OffsetFetchRequestTopics("t", TOPIC_ID, [0])]
        return at.ask(OffsetFetchRequest(groups=[OffsetFetchRequestGroup("g", "a", epoch, wanted)])).groups[0]

    assert (commit(2), commit(3), commit(1)) == (0, StaleMemberEpoch.code, StaleMemberEpoch.code)
    assert commit(2, version=8) == UnsupportedVersion.code
    assert fetch(2).topics[0].partitions[0].committed_offset == 5
    assert (fetch(1).error_code, fetch(1).topics) == (StaleMemberEpoch.code, [])


async def test_a_new_topic_is_assigned_at_the_next_heartbeat() -> None:
    at = await house()
    at.ask(enter("a"))
    topic = at.topics.get("t")
    assert topic is not None
    topic.partition_count = 3
    at.coordinator.on_topic_change("t", is_new=False)
    assert has(at.ask(beat("a", 2))) == [0, 1, 2]


# ---- administrators --------------------------------------------------------------------------------------------------


async def test_describe_tells_epochs_targets_and_what_each_member_has() -> None:
    at = await house()
    at.ask(enter("a", rack_id="r", instance_id="i"))
    at.ask(enter("b"))
    (group,) = at.ask(ConsumerGroupDescribeRequest(["g"], include_authorized_operations=True)).groups
    assert (group.group_state, group.group_epoch, group.assignment_epoch) == ("Reconciling", 3, 3)
    assert group.assignor_name == "range"
    first, second = group.members
    assert (first.rack_id, first.instance_id, first.member_epoch, first.member_type) == ("r", "i", 2, 1)
    assert first.assignment.topic_partitions[0].partitions == [0, 1]
    assert first.target_assignment.topic_partitions[0].partitions == [0]
    assert (second.member_epoch, second.assignment.topic_partitions) == (3, [])
    assert group.authorized_operations > 0


async def test_each_kind_of_group_is_described_by_its_own_api() -> None:
    at = await house()
    at.ask(enter("a"))
    classic = at.ask(DescribeGroupsRequest(["g"])).groups[0]
    assert (classic.error_code, classic.group_state) == (GroupIdNotFound.code, "Dead")
    missing = at.ask(ConsumerGroupDescribeRequest(["none"])).groups[0]
    assert (missing.error_code, bool(missing.error_message)) == (GroupIdNotFound.code, True)


async def test_listing_by_type_and_state() -> None:
    at = await house()
    at.ask(enter("a"))

    def listed(*filters: list[str]) -> list[tuple[str, str, str]]:
        groups = at.ask(ListGroupsRequest(*filters)).groups
        return [(one.protocol_type, one.group_state, one.group_type) for one in groups]

    assert listed([], []) == listed(["stable"], ["Consumer"]) == [("consumer", "Stable", "consumer")]
    assert listed([], ["classic"]) == listed(["Empty"], []) == []


async def test_deleting_takes_an_empty_group_with_its_offsets() -> None:
    at = await house()
    at.ask(enter("a"))
    assert at.ask(DeleteGroupsRequest(["g"])).results[0].error_code == NonEmptyGroup.code
    at.ask(beat("a", -1))
    assert at.ask(DeleteGroupsRequest(["g"])).results[0].error_code == 0
    assert at.ask(DeleteGroupsRequest(["g"])).results[0].error_code == GroupIdNotFound.code


# ---- from one protocol to the other ----------------------------------------------------------------------------------


async def test_a_classic_group_is_upgraded_member_by_member() -> None:
    at = await house()
    old = classic_member(at)
    assert has(at.ask(enter("~"))) == []
    assert at.coordinator.find("g").type_name == "consumer"
    beaten = at.ask(HeartbeatRequest("g", 1, old.member_id))
    assert beaten.error_code == RebalanceInProgress.code
    at.join(old.member_id, protocols=reads(0, 1))
    again = at.join(old.member_id, protocols=reads(0))
    assert (again.generation_id, again.leader, again.members) == (2, "", [])
    assert assigned_partitions(at.sync(again).assignment) == [("t", 0)]
    assert has(at.ask(beat("~", 2))) == [1]
    types = [member.member_type for member in at.ask(ConsumerGroupDescribeRequest(["g"])).groups[0].members]
    assert sorted(types) == [0, 1]


async def test_who_waits_for_a_classic_rebalance_is_sent_to_the_upgraded_group() -> None:
    at = await house()
    old = classic_member(at)
    new = waiting(at.join(version=3, protocols=reads()))
    await settle()
    at.ask(enter("~"))
    assert (await new).error_code == RebalanceInProgress.code
    assert at.ask(HeartbeatRequest("g", 1, old.member_id)).error_code == RebalanceInProgress.code


async def test_the_last_member_of_the_new_protocol_leaves_a_classic_group_behind() -> None:
    at = await house()
    old = classic_member(at)
    at.ask(enter("~"))
    at.ask(beat("~", -1))
    group = at.coordinator.find_classic("g")
    assert (group.state_name, group.generation, group.member_count) == ("PreparingRebalance", 2, 1)
    again = at.join(old.member_id, protocols=reads())
    assert (again.generation_id, again.leader) == (3, old.member_id)


async def test_a_policy_can_forbid_the_move() -> None:
    at = await house(may_upgrade=False, may_downgrade=False)
    classic_member(at)
    assert at.ask(enter("a")).error_code == GroupIdNotFound.code
    assert at.coordinator.find("g").type_name == "classic"
    at = await house(may_upgrade=False, may_downgrade=False)
    at.ask(enter("a"))
    assert at.join(protocols=reads()).error_code == InconsistentGroupProtocol.code


async def test_members_that_are_no_consumers_cannot_be_upgraded() -> None:
    at = await house()
    joined = at.join(version=3, protocol_type="connect")
    at.sync(joined)
    assert at.ask(enter("a")).error_code == GroupIdNotFound.code


@pytest.mark.parametrize("assignment", [b"junk", write_assignment({"t": [0]}, 1)[:-4] + b"\0\0\0\1x"])
async def test_assignments_that_would_lose_something_cannot_be_upgraded(assignment: bytes) -> None:
    at = await house()
    joined = at.join(version=3, protocols=reads())
    at.sync(joined, {joined.member_id: assignment})
    assert at.ask(enter("a")).error_code == GroupIdNotFound.code
    assert at.ask(HeartbeatRequest("g", 1, joined.member_id)).error_code == 0


async def test_an_empty_group_becomes_what_its_next_member_speaks() -> None:
    at = await house()
    at.ask(enter("a"))
    at.ask(beat("a", -1))
    joined = at.join(version=3, protocols=reads())
    assert at.coordinator.find("g").type_name == "classic"
    at.ask(LeaveGroupRequest("g", members=[MemberIdentity(joined.member_id)]))
    at.ask(enter("a"))
    assert at.coordinator.find("g").type_name == "consumer"


# ---- durability ------------------------------------------------------------------------------------------------------


async def test_members_go_on_in_their_epoch_after_a_restart() -> None:
    before = await house()
    before.ask(enter("a"))
    before.ask(enter("b"))
    before.ask(beat("a", 2))
    after = await house(groups=before.groups)
    assert after.ask(beat("a", 2, 0)).member_epoch == 3
    assert has(after.ask(beat("b", 3))) == [1]
    after.clock.advance(45_000)
    assert after.coordinator.count_members() == 0


class SlowGroups(MemoryGroupRepository):
    """Stores when it is told to, or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def save(self, group: AnySnapshot) -> Awaitable[None]:  # type: ignore[override]
        super().save(group)
        return asyncio.shield(self.stored)


async def test_nobody_is_told_of_an_epoch_before_it_is_stored() -> None:
    groups = SlowGroups()
    at = await house(groups=groups)
    joined = waiting(at.ask(enter("a")))
    second = waiting(at.ask(beat("a", 2)))
    await settle()
    assert not joined.done()
    groups.stored.set_result(None)
    assert (await joined).member_epoch == 2
    assert (await second).member_epoch == 2


async def test_a_heartbeat_whose_outcome_could_not_be_stored_looks_for_the_coordinator_again() -> None:
    groups = SlowGroups()
    at = await house(groups=groups)
    joined = waiting(at.ask(enter("a")))
    groups.stored.set_exception(StorageError("no room"))
    assert (await joined).error_code == CoordinatorNotAvailable.code


async def test_a_fenced_member_is_told_why() -> None:
    at = await house()
    at.ask(enter("a"))
    answer = at.ask(beat("a", 7))
    assert (answer.error_code, "join anew" in answer.error_message) == (FencedMemberEpoch.code, True)
