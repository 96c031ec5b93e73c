"""JoinGroup, SyncGroup, Heartbeat, LeaveGroup and FindCoordinator as clients of every version see them."""

from __future__ import annotations

import logging
import struct

import pytest
from kafka_protocol.messages.find_coordinator import FindCoordinatorRequest
from kafka_protocol.messages.heartbeat import HeartbeatRequest
from kafka_protocol.messages.join_group import JoinGroupRequest
from kafka_protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kafka_protocol.messages.sync_group import SyncGroupRequest

from kafka_server.application.explain import EXPLAIN
from kafka_server.domain.errors import (
    FencedInstanceId,
    IllegalGeneration,
    InconsistentGroupProtocol,
    InvalidGroupId,
    InvalidRequest,
    InvalidSessionTimeout,
    MemberIdRequired,
    RebalanceInProgress,
    UnknownMemberId,
)
from tests.application.group_house import House, settle, waiting
from tests.domain.group_examples import SESSION_MS

# ---- FindCoordinator -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(4))
async def test_one_key_is_answered_by_this_broker_at_the_address_that_the_client_reached(version: int) -> None:
    house = await House().open()
    answer = house.ask(FindCoordinatorRequest(key="g"), version)
    assert (answer.error_code, answer.node_id, answer.host, answer.port) == (0, 7, "10.0.0.1", 9092)
    assert answer.error_message == ("NONE" if version else "")


@pytest.mark.parametrize("key_type", [0, 1])
@pytest.mark.parametrize("version", [4, 5, 6])
async def test_many_keys_are_answered_in_order(version: int, key_type: int) -> None:
    house = await House().open()
    answer = house.ask(FindCoordinatorRequest(coordinator_keys=["b", "a"], key_type=key_type), version)
    assert [(c.key, c.node_id, c.port, c.error_code) for c in answer.coordinators] == [
        ("b", 7, 9092, 0),
        ("a", 7, 9092, 0),
    ]


@pytest.mark.parametrize("key_type", [2, 9])
async def test_no_broker_coordinates_share_groups_or_kinds_that_do_not_exist(key_type: int) -> None:
    house = await House().open()
    (one,) = house.ask(FindCoordinatorRequest(coordinator_keys=["g"], key_type=key_type)).coordinators
    assert (one.error_code, one.node_id, one.host, one.port) == (InvalidRequest.code, -1, "", -1)
    assert house.ask(FindCoordinatorRequest(key="g", key_type=key_type), 1).error_code == InvalidRequest.code


# ---- JoinGroup and SyncGroup -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(10))
async def test_a_first_member_leads_generation_one_in_every_version(version: int) -> None:
    house = await House().open()
    joined = house.join(version=version)
    if version >= 4:
        assert joined.error_code == MemberIdRequired.code
        joined = house.join(joined.member_id, version=version)
    assert (joined.error_code, joined.generation_id, joined.leader) == (0, 1, joined.member_id)
    assert joined.member_id.startswith("app-")
    assert [member.member_id for member in joined.members] == [joined.member_id]
    assert joined.protocol_type == ("consumer" if version >= 7 else None)


@pytest.mark.parametrize("version", range(6))
async def test_the_leader_gets_what_it_assigned_itself_in_every_version(version: int) -> None:
    house = await House().open()
    joined = house.join(version=3)
    synced = house.sync(joined, {joined.member_id: b"mine"}, version=version)
    assert (synced.error_code, synced.assignment) == (0, b"mine")
    assert (synced.protocol_type, synced.protocol_name) == (("consumer", "range") if version == 5 else (None, None))


@pytest.mark.parametrize("version", range(10))
async def test_a_refusal_fits_every_version(version: int) -> None:
    house = await House().open()
    answer = house.join("stranger", version=version)
    assert (answer.error_code, answer.member_id, answer.generation_id) == (UnknownMemberId.code, "stranger", -1)
    assert answer.protocol_name == (None if version >= 7 else "")


@pytest.mark.parametrize("timeout_ms", [5_999, 1_800_001, -1])
async def test_session_time_outs_are_bounded(timeout_ms: int) -> None:
    house = await House().open()
    assert house.join(session_timeout_ms=timeout_ms).error_code == InvalidSessionTimeout.code


async def test_a_group_needs_a_name() -> None:
    house = await House().open()
    assert house.join(group_id="").error_code == InvalidGroupId.code
    assert house.ask(HeartbeatRequest(group_id="")).error_code == InvalidGroupId.code
    assert house.ask(LeaveGroupRequest(group_id="", members=[MemberIdentity()])).error_code == InvalidGroupId.code
    assert house.ask(SyncGroupRequest(protocol_type="consumer", protocol_name="r")).error_code == InvalidGroupId.code


async def test_a_version_0_client_gives_its_session_time_out_for_the_rebalance_too() -> None:
    house = await House().open()
    house.join(version=0)
    (member,) = house.coordinator.find("g").roster.members.values()
    assert member.rebalance_timeout_ms == SESSION_MS


async def test_a_whole_rebalance_of_two_members() -> None:
    house = await House().open()
    first = house.stable_member()
    second = waiting(house.join(version=3))
    assert (
        house.ask(HeartbeatRequest(group_id="g", generation_id=1, member_id=first.member_id)).error_code
        == RebalanceInProgress.code
    )
    leader = house.join(first.member_id, version=3)
    follower = await second
    assert leader.generation_id == follower.generation_id == 2
    follower_sync = waiting(house.sync(follower))
    await settle()
    assert not follower_sync.done()
    house.sync(leader, {leader.member_id: b"p0", follower.member_id: b"p1"})
    assert (await follower_sync).assignment == b"p1"


async def test_a_client_that_disconnects_while_it_waits_stays_a_member_until_its_time_is_over() -> None:
    house = await House().open()
    first = house.stable_member()
    second = waiting(house.join(version=3))
    await settle()
    second.cancel()
    await settle()
    leader = house.join(first.member_id, version=3)
    assert len(leader.members) == 2
    house.clock.advance(SESSION_MS - 1)
    house.ask(HeartbeatRequest(group_id="g", generation_id=2, member_id=first.member_id))
    assert len(house.coordinator.find("g").roster.members) == 2
    house.clock.advance(1)
    assert list(house.coordinator.find("g").roster.members) == [first.member_id]


@pytest.mark.parametrize("missing", ["protocol_type", "protocol_name"])
async def test_sync_of_version_5_must_name_the_protocol(missing: str) -> None:
    house = await House().open()
    member = house.stable_member()
    request = SyncGroupRequest("g", 1, member.member_id, None, "consumer", "range")
    setattr(request, missing, None)
    assert house.ask(request, 5).error_code == InconsistentGroupProtocol.code
    assert house.ask(request, 4).error_code == 0


async def test_the_member_list_names_static_members() -> None:
    house = await House().open()
    joined = house.join(version=5, group_instance_id="a")
    assert [member.group_instance_id for member in joined.members] == ["a"]
    assert joined.member_id.startswith("a-")


# ---- Heartbeat and LeaveGroup ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(5))
async def test_heartbeats_of_every_version(version: int) -> None:
    house = await House().open()
    member = house.stable_member()
    assert house.ask(HeartbeatRequest("g", 1, member.member_id), version).error_code == 0
    assert house.ask(HeartbeatRequest("g", 2, member.member_id), version).error_code == IllegalGeneration.code
    assert house.ask(HeartbeatRequest("g", 1, "stranger"), version).error_code == UnknownMemberId.code
    assert house.ask(HeartbeatRequest("no-group", 1, "x"), version).error_code == UnknownMemberId.code


async def test_a_heartbeat_of_a_replaced_static_member_is_fenced() -> None:
    house = await House().open()
    joined = house.join(version=9, group_instance_id="a")
    house.ask(SyncGroupRequest("g", 1, joined.member_id, "a", "consumer", "range"))
    house.join(version=9, group_instance_id="a")
    assert house.ask(HeartbeatRequest("g", 1, joined.member_id, "a")).error_code == FencedInstanceId.code


@pytest.mark.parametrize("version", range(3))
async def test_before_version_3_one_member_leaves_and_its_code_is_the_answers(version: int) -> None:
    house = await House().open()
    member = house.stable_member()
    assert house.ask(LeaveGroupRequest("g", "stranger"), version).error_code == UnknownMemberId.code
    assert house.ask(LeaveGroupRequest("g", member.member_id), version).error_code == 0
    assert house.coordinator.find("g").state_name == "Empty"


@pytest.mark.parametrize("version", [3, 4, 5])
async def test_from_version_3_on_many_leave_and_each_has_a_code(version: int) -> None:
    house = await House().open()
    member = house.stable_member()
    leaving = [MemberIdentity(member.member_id), MemberIdentity("stranger")]
    answer = house.ask(LeaveGroupRequest("g", members=leaving), version)
    assert answer.error_code == 0
    assert [(m.member_id, m.error_code) for m in answer.members] == [
        (member.member_id, 0),
        ("stranger", UnknownMemberId.code),
    ]


async def test_leaving_a_group_that_is_not_there_is_answered_per_member() -> None:
    house = await House().open()
    answer = house.ask(LeaveGroupRequest("no-group", members=[MemberIdentity("x", "i")]))
    assert [(m.member_id, m.group_instance_id, m.error_code) for m in answer.members] == [
        ("x", "i", UnknownMemberId.code)
    ]


async def test_a_learner_reads_who_gets_what(caplog: pytest.LogCaptureFixture) -> None:
    house = await House().open()
    with caplog.at_level(EXPLAIN, "kafka_server.group"):
        house.ask(FindCoordinatorRequest(coordinator_keys=["g"]))
        joined = house.join(version=3)
        house.sync(joined, {joined.member_id: struct.pack(">hih1siii", 0, 1, 1, b"t", 2, 0, 1)})
    lines = [record.getMessage() for record in caplog.records if record.levelno == EXPLAIN]
    assert lines == [
        "A client asks who coordinates g; it is told 10.0.0.1:9092",
        "Group g: a new member with client id 'app' asks to join (-)",
        f"Group g waits for its members to join again: {joined.member_id} joined: no reason given",
        "Group g is stable: its leader has assigned generation 1",
        f"Group g: {joined.member_id} gets t-0, t-1",
    ]


async def test_one_line_tells_the_operator_of_a_rebalance(caplog: pytest.LogCaptureFixture) -> None:
    house = await House().open()
    with caplog.at_level(logging.INFO, "kafka_server.group"):
        house.ask(
            JoinGroupRequest("g", SESSION_MS, SESSION_MS, protocol_type="connect", protocols=[], reason="x\ny"), 8
        )
        joined = house.join(version=3)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        f"Group g rebalanced: generation 1 has 1 member(s), leader {joined.member_id}, protocol range; "
        f"reason: {joined.member_id} joined: no reason given"
    )
