"""What a classic group says to commits, deletions and the expiry of offsets; and how it comes back after a restart."""

from __future__ import annotations

import struct

import pytest

from kafka_server.domain import group_snapshot
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.consumer_subscription import assigned_partitions, subscribed_topics
from kafka_server.domain.errors import IllegalGeneration, NonEmptyGroup, RebalanceInProgress, UnknownMemberId
from kafka_server.domain.group_states import State
from kafka_server.domain.group_values import GroupLimits, LeavingMember
from tests.domain.group_examples import SESSION_MS, Scene, subscription


def test_without_members_anybody_may_commit() -> None:
    Scene().group.validate_offset_commit("", None, -1, 0)


def test_with_members_a_stranger_may_not_commit() -> None:
    scene = Scene()
    scene.stable(1)
    with pytest.raises(UnknownMemberId):
        scene.group.validate_offset_commit("", None, -1, 0)


def test_a_commit_of_an_old_generation_is_refused() -> None:
    scene = Scene()
    leader, _ = scene.stable(2)
    with pytest.raises(IllegalGeneration):
        scene.group.validate_offset_commit(leader.member_id, None, 1, 0)


def test_the_generation_that_ends_may_still_commit_but_the_one_that_forms_may_not() -> None:
    scene = Scene()
    leader, follower = scene.stable(2)
    scene.join(leader.member_id)
    scene.group.validate_offset_commit(leader.member_id, None, 2, 0)
    scene.join(follower.member_id)
    assert scene.group.state is State.COMPLETING_REBALANCE
    with pytest.raises(RebalanceInProgress):
        scene.group.validate_offset_commit(leader.member_id, None, 3, 0)


def test_a_commit_is_a_sign_of_life() -> None:
    scene = Scene()
    (member,) = scene.stable(1)
    scene.pass_time(SESSION_MS - 1)
    scene.group.validate_offset_commit(member.member_id, None, 1, scene.now_ms)
    scene.pass_time(SESSION_MS - 1)
    assert scene.group.state is State.STABLE


def test_the_offsets_of_topics_that_are_read_are_protected() -> None:
    scene = Scene()
    scene.stable(1)
    assert scene.group.is_subscribed_to("t")
    assert not scene.group.is_subscribed_to("other")


def test_a_group_of_another_kind_lets_nobody_delete_offsets_while_it_has_members() -> None:
    scene = Scene()
    (member,) = scene.stable(1, protocol_type="connect")
    with pytest.raises(NonEmptyGroup):
        scene.group.validate_offset_delete()
    scene.leave(LeavingMember(member.member_id))
    scene.group.validate_offset_delete()


def test_a_subscription_that_nobody_can_read_protects_every_topic() -> None:
    scene = Scene()
    scene.stable(1, protocols=(("range", b"\x00"),))
    assert scene.group.topics is None
    assert scene.group.is_subscribed_to("anything")


@pytest.mark.parametrize("cut", range(len(subscription("t")) - 4))
def test_a_subscription_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match=r"subscription|fit"):
        subscribed_topics(subscription("t")[:cut])


ASSIGNMENT = struct.pack(">hih1siii", 0, 1, 1, b"t", 2, 7, 8) + struct.pack(">i", -1)


def test_an_assignment_can_be_read_to_explain_it() -> None:
    assert assigned_partitions(ASSIGNMENT) == [("t", 7), ("t", 8)]


@pytest.mark.parametrize("cut", range(len(ASSIGNMENT) - 4))
def test_an_assignment_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match=r"assignment|fit"):
        assigned_partitions(ASSIGNMENT[:cut])


def test_offsets_of_an_empty_group_count_as_unused_since_the_last_member_left() -> None:
    scene = Scene()
    (member,) = scene.stable(1)
    scene.pass_time(500)
    scene.leave(LeavingMember(member.member_id))
    assert scene.group.retention_start_ms(CommittedOffset(1, committed_at_ms=7)) == 500


def test_offsets_of_no_group_count_as_unused_since_their_commit() -> None:
    assert Scene().group.retention_start_ms(CommittedOffset(1, committed_at_ms=7)) == 7


def test_offsets_do_not_expire_during_a_rebalance() -> None:
    scene = Scene()
    scene.join(requires_known_id=False)
    assert scene.group.retention_start_ms(CommittedOffset(1)) is None


def test_a_stored_group_comes_back_stable_with_fresh_sessions() -> None:
    scene = Scene()
    leader, follower = scene.stable(2)
    stored = group_snapshot.take(scene.group)
    scene.group = group_snapshot.restore(stored, GroupLimits(), 1_000)
    scene.now_ms = 1_000
    assert group_snapshot.take(scene.group) == stored
    assert scene.sync(follower)[0].assignment == follower.member_id.encode()
    scene.pass_time(SESSION_MS - 1)
    scene.group.heartbeat(leader.member_id, None, leader.generation, scene.now_ms)
    scene.pass_time(1)
    assert list(scene.group.roster.members) == [leader.member_id]


def test_a_stored_group_above_a_lowered_limit_sheds_members() -> None:
    scene = Scene()
    first, second = scene.stable(2)
    scene.group = group_snapshot.restore(group_snapshot.take(scene.group), GroupLimits(size_max=1), 0)
    kept = scene.join(second.member_id)
    scene.join(first.member_id)
    assert kept[0].error_code == 0
    assert list(scene.group.roster.members) == [second.member_id]
