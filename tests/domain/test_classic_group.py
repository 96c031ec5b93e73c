"""Joining, syncing and leaving a classic group, one rule per example."""

from __future__ import annotations

import pytest

from kafka_server.domain.errors import (
    FencedInstanceId,
    GroupMaxSizeReached,
    IllegalGeneration,
    InconsistentGroupProtocol,
    MemberIdRequired,
    MessageTooLarge,
    NonEmptyGroup,
    RebalanceInProgress,
    UnknownMemberId,
)
from kafka_server.domain.group_states import NEXT_STATE, Event, IllegalTransitionError, State, next_state
from kafka_server.domain.group_values import GenerationFormed, GroupEmptied, LeavingMember, MembersRemoved, StoreGroup
from tests.domain.group_examples import REBALANCE_MS, SESSION_MS, Scene, subscription


def test_a_new_member_is_first_given_an_id_and_told_to_come_back_with_it() -> None:
    scene = Scene()
    (hello,) = scene.join()
    assert (hello.error_code, hello.member_id) == (MemberIdRequired.code, "app-1")
    (joined,) = scene.join("app-1")
    assert (joined.error_code, joined.generation, joined.leader_id) == (0, 1, "app-1")


def test_an_old_client_is_a_member_at_its_first_request() -> None:
    (joined,) = Scene().join(requires_known_id=False)
    assert (joined.error_code, joined.member_id, joined.generation) == (0, "app-1", 1)


def test_only_the_leader_is_told_who_is_in() -> None:
    scene = Scene()
    leader, follower = scene.stable(2)
    assert [m.member_id for m in leader.members] == [leader.member_id, follower.member_id]
    assert follower.members == ()


def test_a_second_member_waits_until_the_first_has_joined_again() -> None:
    scene = Scene()
    (first,) = scene.join(requires_known_id=False)
    scene.sync(first)
    second = scene.join(requires_known_id=False)
    assert second == []
    with pytest.raises(RebalanceInProgress):
        scene.group.heartbeat(first.member_id, None, first.generation, scene.now_ms)
    (again,) = scene.join(first.member_id)
    assert again.generation == second[0].generation == 2


def test_a_member_that_does_not_join_again_is_out_when_the_rebalance_time_out_is_over() -> None:
    scene = Scene()
    first = scene.stable(1, session_timeout_ms=REBALANCE_MS * 2)[0]
    second = scene.join(requires_known_id=False)
    scene.pass_time(REBALANCE_MS - 1)
    assert second == []
    scene.pass_time(1)
    assert second[0].leader_id == second[0].member_id
    assert MembersRemoved((first.member_id,), "did not join in time") in scene.effects


def test_a_handed_out_id_is_waited_for_until_its_session_time_out() -> None:
    scene = Scene()
    (first,) = scene.stable(1)
    scene.join()
    scene.group.heartbeat(first.member_id, None, 1, scene.now_ms)
    rejoin = scene.join(first.member_id)
    scene.pass_time(SESSION_MS - 1)
    assert rejoin == []
    scene.pass_time(1)
    assert rejoin[0].generation == 2


def test_followers_wait_for_the_leaders_assignment() -> None:
    scene = Scene()
    first = scene.join(requires_known_id=False)[0]
    second = scene.join(requires_known_id=False)
    leader = scene.join(first.member_id)[0]
    waiting = scene.sync(second[0])
    assert waiting == []
    (own,) = scene.sync(leader, {leader.member_id: b"p0", second[0].member_id: b"p1"})
    assert (own.assignment, waiting[0].assignment) == (b"p0", b"p1")
    assert scene.group.state is State.STABLE


def test_the_group_is_stored_before_anybody_sees_the_assignment() -> None:
    scene = Scene()
    (leader,) = scene.join(requires_known_id=False)
    scene.effects.clear()
    scene.sync(leader)
    assert isinstance(scene.effects[0], StoreGroup)


def test_a_member_that_the_leader_forgot_gets_an_empty_assignment() -> None:
    scene = Scene()
    leader, follower = scene.stable(2)
    scene.join(leader.member_id)
    (again,) = scene.join(follower.member_id)
    waiting = scene.sync(again)
    scene.sync(leader, {leader.member_id: b"everything"}, generation=again.generation)
    assert waiting[0].assignment == b""


def test_a_late_sync_in_a_stable_group_is_answered_at_once() -> None:
    scene = Scene()
    _, follower = scene.stable(2)
    (answer,) = scene.sync(follower)
    assert answer.assignment == follower.member_id.encode()


def test_a_sync_of_another_generation_is_refused() -> None:
    scene = Scene()
    (member,) = scene.stable(1)
    assert scene.sync(member, generation=0)[0].error_code == IllegalGeneration.code
    assert scene.sync(member, member_id="stranger")[0].error_code == UnknownMemberId.code


def test_who_never_comes_for_its_assignment_is_out_and_the_others_rebalance() -> None:
    scene = Scene()
    first = scene.join(requires_known_id=False, session_timeout_ms=REBALANCE_MS * 2)[0]
    second = scene.join(requires_known_id=False, session_timeout_ms=REBALANCE_MS * 2)
    leader = scene.join(first.member_id, session_timeout_ms=REBALANCE_MS * 2)[0]
    scene.sync(leader)
    scene.pass_time(REBALANCE_MS)
    assert MembersRemoved((second[0].member_id,), "did not sync in time") in scene.effects
    assert scene.group.state is State.PREPARING_REBALANCE


def test_a_sync_that_waits_is_told_to_rejoin_when_a_rebalance_starts() -> None:
    scene = Scene()
    first = scene.join(requires_known_id=False)[0]
    second = scene.join(requires_known_id=False)
    scene.join(first.member_id)
    waiting = scene.sync(second[0])
    scene.join(requires_known_id=False)
    assert waiting[0].error_code == RebalanceInProgress.code


def test_a_member_whose_session_ends_is_out() -> None:
    scene = Scene()
    (member,) = scene.stable(1)
    scene.pass_time(SESSION_MS - 1)
    scene.group.heartbeat(member.member_id, None, 1, scene.now_ms)
    scene.pass_time(SESSION_MS - 1)
    assert scene.group.state is State.STABLE
    scene.pass_time(1)
    assert scene.group.state is State.EMPTY
    assert isinstance(scene.effects[-1], GroupEmptied)


def test_who_waits_at_a_barrier_is_alive() -> None:
    scene = Scene()
    (first,) = scene.stable(1, session_timeout_ms=REBALANCE_MS)
    second = scene.join(requires_known_id=False)
    again = scene.join(first.member_id, session_timeout_ms=REBALANCE_MS)
    assert again[0].generation == second[0].generation
    waiting = scene.sync(second[0])
    scene.pass_time(SESSION_MS * 2)
    assert waiting == []
    assert second[0].member_id in scene.group.roster.members


def test_a_new_member_waits_five_minutes_at_most() -> None:
    scene = Scene()
    scene.stable(1, session_timeout_ms=1_800_000, rebalance_timeout_ms=1_800_000)
    second = scene.join(requires_known_id=False)
    scene.pass_time(300_000)
    assert second[0].error_code == UnknownMemberId.code


def test_heartbeats_name_the_member_and_the_generation() -> None:
    scene = Scene()
    (member,) = scene.stable(1)
    scene.group.heartbeat(member.member_id, None, 1, 0)
    with pytest.raises(IllegalGeneration):
        scene.group.heartbeat(member.member_id, None, 0, 0)
    with pytest.raises(UnknownMemberId):
        scene.group.heartbeat("stranger", None, 1, 0)


def test_a_heartbeat_before_the_assignment_is_fine() -> None:
    scene = Scene()
    (member,) = scene.join(requires_known_id=False)
    assert scene.group.state is State.COMPLETING_REBALANCE
    scene.group.heartbeat(member.member_id, None, 1, 0)


def test_leaving_starts_a_rebalance_and_each_member_has_its_own_code() -> None:
    scene = Scene()
    leader, follower = scene.stable(2)
    assert scene.leave(LeavingMember(follower.member_id, None, "bye"), LeavingMember("stranger")) == [
        0,
        UnknownMemberId.code,
    ]
    assert MembersRemoved((follower.member_id,), "left: bye") in scene.effects
    assert scene.group.state is State.PREPARING_REBALANCE
    assert scene.join(leader.member_id)[0].generation == 3


def test_the_last_member_leaves_an_empty_group_with_a_new_generation() -> None:
    scene = Scene()
    (member,) = scene.stable(1)
    scene.leave(LeavingMember(member.member_id))
    assert (scene.group.state, scene.group.generation, scene.group.protocol_name) == (State.EMPTY, 2, None)


def test_a_handed_out_id_can_be_given_back_without_a_rebalance() -> None:
    scene = Scene()
    (hello,) = scene.join()
    assert scene.leave(LeavingMember(hello.member_id)) == [0]
    assert (scene.group.state, scene.group.roster.pending) == (State.EMPTY, {})


def test_the_next_eldest_member_leads_when_the_leader_leaves() -> None:
    scene = Scene()
    leader, second, third = scene.stable(3)
    scene.leave(LeavingMember(leader.member_id))
    scene.join(second.member_id)
    assert scene.join(third.member_id)[0].leader_id == second.member_id


def test_the_leader_joins_again_to_get_a_new_assignment_but_a_follower_just_hears_what_is() -> None:
    scene = Scene()
    leader, follower = scene.stable(2)
    assert scene.join(follower.member_id)[0].generation == follower.generation
    assert scene.join(leader.member_id) == []
    assert scene.group.state is State.PREPARING_REBALANCE


def test_a_changed_subscription_starts_a_rebalance() -> None:
    scene = Scene()
    leader, follower = scene.stable(2)
    assert scene.join(follower.member_id, protocols=(("range", subscription("t", "u")),)) == []
    scene.join(leader.member_id)
    assert scene.group.topics == {"t", "u"}


def test_a_repeated_join_is_answered_again_while_the_assignment_is_awaited() -> None:
    scene = Scene()
    (member,) = scene.join(requires_known_id=False)
    assert scene.join(member.member_id) == [member]


def test_an_older_request_of_the_same_member_does_not_hang() -> None:
    scene = Scene()
    leader, follower = scene.stable(2)
    older = scene.join(leader.member_id)
    newer = scene.join(leader.member_id)
    assert older[0].error_code == RebalanceInProgress.code
    scene.join(follower.member_id)
    assert newer[0].error_code == 0


def test_members_vote_among_the_protocols_that_all_support() -> None:
    scene = Scene()
    meta = subscription("t")
    first = scene.join(requires_known_id=False, protocols=(("sticky", meta), ("range", meta)))[0]
    second = scene.join(requires_known_id=False, protocols=(("range", meta), ("rack", meta)))
    scene.join(first.member_id, protocols=(("sticky", meta), ("range", meta)))
    assert second[0].protocol_name == "range"


@pytest.mark.parametrize("changes", [{"protocol_type": "connect"}, {"protocols": (("other", b""),)}])
def test_who_shares_no_protocol_with_the_group_stays_out(changes: dict[str, object]) -> None:
    scene = Scene()
    scene.stable(1)
    (answer,) = scene.join(**changes)
    assert answer.error_code == InconsistentGroupProtocol.code
    assert scene.group.state is State.STABLE


def test_the_first_member_must_name_a_protocol() -> None:
    assert Scene().join(protocols=())[0].error_code == InconsistentGroupProtocol.code


def test_a_sync_for_another_protocol_is_refused() -> None:
    scene = Scene()
    (member,) = scene.stable(1)
    assert scene.sync(member, protocol_name="sticky")[0].error_code == InconsistentGroupProtocol.code


def test_a_full_group_admits_its_members_and_nobody_else() -> None:
    scene = Scene(size_max=1)
    (member,) = scene.stable(1)
    assert scene.join()[0].error_code == GroupMaxSizeReached.code
    assert scene.join(member.member_id)[0].error_code == 0


def test_handed_out_ids_are_bounded() -> None:
    scene = Scene(pending_members_max=2)
    codes = [scene.join()[0].error_code for _ in range(3)]
    assert codes == [MemberIdRequired.code, MemberIdRequired.code, GroupMaxSizeReached.code]


def test_what_a_member_makes_us_remember_is_bounded() -> None:
    scene = Scene(member_bytes_max=100)
    assert scene.join(protocols=(("range", b"x" * 96),))[0].error_code == MessageTooLarge.code
    (member,) = scene.join(requires_known_id=False, protocols=(("range", b"x" * 95),))
    assert scene.sync(member, {member.member_id: b"x" * 101})[0].error_code == MessageTooLarge.code
    assert scene.sync(member, {member.member_id: b"x" * 100})[0].error_code == 0


def test_an_empty_group_waits_for_more_members_when_told_to() -> None:
    scene = Scene(initial_rebalance_delay_ms=3_000)
    first = scene.join(requires_known_id=False)
    scene.pass_time(2_000)
    second = scene.join(requires_known_id=False)
    scene.pass_time(1_000)
    assert (first, second) == ([], [])  # Somebody came, so the wait is prolonged once more.
    scene.pass_time(3_000)
    assert first[0].generation == second[0].generation == 1
    assert len(scene.told(GenerationFormed)) == 1


def test_the_initial_wait_never_exceeds_the_rebalance_time_out() -> None:
    scene = Scene(initial_rebalance_delay_ms=3_000)
    answers = [scene.join(requires_known_id=False, rebalance_timeout_ms=5_000)]
    for _ in range(4):
        scene.pass_time(1_000)
        answers.append(scene.join(requires_known_id=False, rebalance_timeout_ms=5_000))
    scene.pass_time(1_000)
    assert [len(answer) for answer in answers] == [1] * 5


def test_only_an_empty_group_can_be_deleted() -> None:
    scene = Scene()
    (member,) = scene.stable(1)
    with pytest.raises(NonEmptyGroup):
        scene.group.delete(0)
    scene.leave(LeavingMember(member.member_id))
    scene.group.delete(0)
    assert scene.group.state is State.DEAD


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(Event))
def test_every_pair_of_state_and_event_is_decided_by_the_table(state: State, event: Event) -> None:
    if (state, event) in NEXT_STATE:
        assert next_state(state, event) is NEXT_STATE[state, event]
        return
    with pytest.raises(IllegalTransitionError, match=f"{state.value} cannot {event.value}"):
        next_state(state, event)


def test_fencing_has_priority_over_the_generation() -> None:
    scene = Scene()
    (member,) = scene.join(instance_id="a")
    scene.sync(member, instance_id="a")
    scene.join(instance_id="a")
    with pytest.raises(FencedInstanceId):
        scene.group.heartbeat(member.member_id, "a", 99, 0)
