"""The consumer protocol (KIP-848), as examples: epochs, handing partitions over, time-outs, patterns, commits."""

from __future__ import annotations

import pytest

from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.errors import (
    FencedInstanceId,
    FencedMemberEpoch,
    GroupMaxSizeReached,
    InvalidRegularExpression,
    NonEmptyGroup,
    StaleMemberEpoch,
    UnknownMemberId,
    UnreleasedInstanceId,
    UnsupportedAssignor,
    UnsupportedVersion,
)
from kafka_server.domain.group_values import DowngradeDue, MembersRemoved, StoreGroup
from kafka_server.domain.topic import Topic
from tests.domain.consumer_group_examples import REBALANCE_MS, SESSION_MS, Scene, has, topic_id

# ---- handing partitions over -----------------------------------------------------------------------------------------


def test_the_first_member_gets_everything_at_once() -> None:
    scene = Scene()
    joined = scene.join("a")
    assert (joined.epoch, has(joined), joined.heartbeat_interval_ms) == (2, {"t": [0, 1, 2, 3]}, 5_000)
    assert scene.group.state_name == "Stable"


def test_a_newcomer_waits_until_the_other_has_given_up_its_part() -> None:
    scene = Scene()
    scene.join("a")
    assert has(scene.join("b")) == {}
    assert has(scene.beat("a", 2)) == {"t": [0, 1]}
    assert has(scene.beat("b", 3)) is None
    assert scene.beat("a", 2, {"t": [0, 1]}).epoch == 3
    assert has(scene.beat("b", 3)) == {"t": [2, 3]}
    assert scene.group.state_name == "Stable"


def test_a_member_that_still_has_what_it_should_give_up_stays_in_its_epoch() -> None:
    scene = Scene()
    scene.join("a")
    scene.join("b")
    scene.beat("a", 2)
    assert scene.beat("a", 2, {"t": [0, 1, 2]}).epoch == 2
    assert scene.beat("a", 2).epoch == 2
    assert scene.group.state_name == "Reconciling"


def test_the_answer_names_the_assignment_only_when_it_changed_or_the_member_says_all_again() -> None:
    scene = Scene()
    scene.join("a")
    assert has(scene.beat("a", 2, {"t": [0, 1, 2, 3]})) is None
    full = {"rebalance_timeout_ms": REBALANCE_MS, "topics": frozenset({"t"})}
    assert has(scene.beat("a", 2, {"t": [0, 1, 2, 3]}, **full)) == {"t": [0, 1, 2, 3]}


def test_a_heartbeat_without_news_stores_nothing() -> None:
    scene = Scene()
    scene.join("a")
    scene.beat("a", 2)
    assert not any(isinstance(effect, StoreGroup) for effect in scene.effects)


def test_what_somebody_leaves_behind_goes_to_the_others() -> None:
    scene = Scene()
    scene.two()
    scene.beat("b", -1)
    assert scene.group.state_name == "Assigning"
    assert has(scene.beat("a", 3)) == {"t": [0, 1, 2, 3]}


def test_the_last_one_leaves_an_empty_group() -> None:
    scene = Scene()
    scene.join("a")
    scene.beat("a", -1)
    assert (scene.group.state_name, scene.group.is_abandoned, scene.group.wake_at_ms is None) == ("Empty", True, False)
    scene.pass_time(SESSION_MS)
    assert scene.group.wake_at_ms is None


def test_a_member_that_reads_something_else_gives_up_the_old_topic_at_once() -> None:
    scene = Scene(assignment_interval_ms=1_000)
    scene.join("a")
    answer = scene.beat("a", 2, topics=frozenset({"u"}))
    assert has(answer) == {}
    assert scene.group.state_name == "Assigning"
    scene.pass_time(1_000)
    assert has(scene.beat("a", 2, {})) == {"u": [0, 1]}


def test_assignments_are_an_interval_apart_so_that_a_crowd_costs_one() -> None:
    scene = Scene(assignment_interval_ms=1_000)
    scene.join("a")
    assert scene.join("b").epoch == 2
    assert scene.join("c").epoch == 2
    assert scene.group.target_epoch == 2
    scene.pass_time(1_000)
    scene.beat("a", 2)
    assert (scene.group.target_epoch, len(scene.group.targets)) == (4, 3)


# ---- epochs fence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_another_epoch_than_its_own_fences_a_member(epoch: int) -> None:
    scene = Scene()
    scene.two()
    assert scene.beat("a", epoch).error_code == FencedMemberEpoch.code


def test_the_epoch_before_is_accepted_when_the_answer_was_lost() -> None:
    scene = Scene()
    scene.two()
    assert scene.beat("a", 2, {"t": [0]}).epoch == 3
    assert scene.beat("a", 2, {"t": [0, 2]}).error_code == FencedMemberEpoch.code


def test_a_fenced_member_joins_again_with_its_id() -> None:
    scene = Scene()
    scene.two()
    joined = scene.join("a")
    assert (joined.epoch, has(joined)) == (3, {"t": [0, 1]})


def test_a_stranger_with_an_epoch_is_unknown() -> None:
    assert Scene().beat("a", 1).error_code == UnknownMemberId.code


def test_a_full_group_takes_nobody_but_its_members() -> None:
    scene = Scene(size_max=1)
    scene.join("a")
    assert scene.join("b").error_code == GroupMaxSizeReached.code
    assert scene.join("a").error_code == 0


def test_the_assignor_that_most_members_prefer_is_used() -> None:
    scene = Scene()
    scene.join("a", assignor="uniform")
    assert scene.group.preferred_assignor() == "uniform"
    scene.join("b", assignor="range")
    scene.join("c", assignor="range")
    assert scene.group.preferred_assignor() == "range"
    assert scene.join("d", assignor="best").error_code == UnsupportedAssignor.code


# ---- static members --------------------------------------------------------------------------------------------------


def test_a_static_member_that_is_away_keeps_its_partitions() -> None:
    scene = Scene()
    scene.join("a", instance_id="i")
    assert scene.beat("a", -2, instance_id="i").epoch == -2
    assert scene.group.epoch == 2
    back = scene.join("b", instance_id="i")
    assert (back.epoch, has(back), scene.group.epoch) == (2, {"t": [0, 1, 2, 3]}, 2)
    assert scene.beat("a", 2, instance_id="i").error_code == FencedInstanceId.code


def test_an_instance_id_in_use_is_not_released() -> None:
    scene = Scene()
    scene.join("a", instance_id="i")
    assert scene.join("b", instance_id="i").error_code == UnreleasedInstanceId.code


def test_a_static_member_that_stays_away_is_removed_when_its_session_ends() -> None:
    scene = Scene()
    scene.join("a", instance_id="i")
    scene.beat("a", -2, instance_id="i")
    scene.pass_time(SESSION_MS)
    assert scene.group.state_name == "Empty"


# ---- time ------------------------------------------------------------------------------------------------------------


def test_silence_ends_a_session_and_heartbeats_prolong_it() -> None:
    scene = Scene()
    scene.two()
    scene.pass_time(SESSION_MS - 1)
    scene.beat("a", 3)
    scene.pass_time(1)
    assert list(scene.group.roster.members) == ["a"]
    assert any(isinstance(effect, MembersRemoved) for effect in scene.effects)


def test_who_does_not_give_up_partitions_in_time_is_removed() -> None:
    scene = Scene(session_timeout_ms=10 * REBALANCE_MS)
    scene.join("a")
    scene.join("b")
    scene.beat("a", 2)
    scene.pass_time(REBALANCE_MS - 1)
    scene.beat("a", 2, {"t": [0, 1, 2, 3]})
    assert "a" in scene.group.roster.members
    scene.pass_time(1)
    assert list(scene.group.roster.members) == ["b"]
    assert has(scene.beat("b", 3)) == {"t": [0, 1, 2, 3]}


# ---- topics ----------------------------------------------------------------------------------------------------------


def test_a_topic_that_grows_is_assigned_anew_at_the_next_heartbeat() -> None:
    scene = Scene()
    scene.join("a")
    scene.topics.by_name["t"].partition_count = 6
    scene.group.on_topic_change("t", is_new=False)
    assert has(scene.beat("a", 2)) == {"t": [0, 1, 2, 3, 4, 5]}


def test_a_topic_that_nobody_reads_changes_nothing() -> None:
    scene = Scene()
    scene.join("a")
    scene.topics.by_name["u"].partition_count = 6
    scene.group.on_topic_change("u", is_new=False)
    assert scene.beat("a", 2).epoch == 2


def test_a_topic_that_is_deleted_has_to_be_given_up() -> None:
    scene = Scene()
    scene.join("a", "t", "u")
    del scene.topics.by_name["u"]
    scene.group.on_topic_change("u", is_new=False)
    assert has(scene.beat("a", 2)) == {"t": [0, 1, 2, 3]}


def test_a_topic_that_does_not_exist_yet_is_assigned_when_it_does() -> None:
    scene = Scene()
    assert has(scene.join("a", "later")) == {}
    scene.topics.by_name["later"] = Topic("later", topic_id("later"), 1)
    scene.group.on_topic_change("later", is_new=True)
    assert has(scene.beat("a", 2)) == {"later": [0]}


def test_a_topic_that_was_deleted_and_created_anew_is_another_topic() -> None:
    scene = Scene()
    scene.join("a", "u")
    scene.topics.by_name["u"] = Topic("u", b"another id......", 2)
    scene.group.on_topic_change("u", is_new=True)
    assert has(scene.beat("a", 2)) == {}
    assert has(scene.beat("a", 2, {})) == {"another id": [0, 1]}


# ---- patterns --------------------------------------------------------------------------------------------------------


def test_a_pattern_is_matched_after_the_answer_and_counts_from_the_next_heartbeat_on() -> None:
    scene = Scene()
    assert scene.join("a", pattern="[tu]", topics=None).epoch == 1
    assert has(scene.join("a", pattern="[tu]", topics=None)) == {"t": [0, 1, 2, 3], "u": [0, 1]}


def test_a_pattern_finds_topics_that_are_created_later() -> None:
    scene = Scene()
    scene.join("a", pattern="t.*", topics=None)
    scene.beat("a", 1)
    scene.topics.by_name["tt"] = Topic("tt", topic_id("tt"), 1)
    scene.group.on_topic_change("tt", is_new=True)
    scene.beat("a", 2)
    assert has(scene.beat("a", 2)) is None, "patterns are not matched more often than every ten seconds"
    scene.pass_time(10_001)
    scene.beat("a", 2)
    assert has(scene.beat("a", 2)) == {"t": [0, 1, 2, 3], "tt": [0]}


def test_a_broken_pattern_is_refused_and_leaves_no_trace() -> None:
    scene = Scene()
    assert scene.join("a", pattern="(", topics=None).error_code == InvalidRegularExpression.code
    assert not scene.group.roster.members


# ---- offsets and the rest --------------------------------------------------------------------------------------------


def test_a_commit_in_an_older_epoch_is_good_for_partitions_that_the_member_had_then() -> None:
    scene = Scene()
    scene.two()
    check = scene.group.validate_offset_commit("a", None, 2, scene.now_ms)
    assert check is not None
    check(topic_id("t"), 0)
    with pytest.raises(StaleMemberEpoch):
        check(topic_id("t"), 2)
    check = scene.group.validate_offset_commit("b", None, 2, scene.now_ms)
    assert check is not None
    with pytest.raises(StaleMemberEpoch):
        check(topic_id("t"), 2)


def test_a_member_may_commit_what_it_is_giving_up() -> None:
    scene = Scene()
    scene.join("a")
    scene.join("b")
    scene.beat("a", 2)
    check = scene.group.validate_offset_commit("a", None, 2, scene.now_ms)
    assert check is None


def test_commits_by_strangers_and_from_the_future_are_refused() -> None:
    scene = Scene()
    scene.two()
    with pytest.raises(UnknownMemberId):
        scene.group.validate_offset_commit("x", None, 3, scene.now_ms)
    with pytest.raises(UnknownMemberId):
        scene.group.validate_offset_commit("", None, -1, scene.now_ms)
    with pytest.raises(StaleMemberEpoch):
        scene.group.validate_offset_commit("a", None, 4, scene.now_ms)
    with pytest.raises(UnsupportedVersion):
        scene.group.validate_offset_commit("a", None, 3, scene.now_ms, knows_epochs=False)


def test_anybody_commits_to_an_empty_group() -> None:
    assert Scene().group.validate_offset_commit("", None, -1, 0) is None


def test_offsets_are_fetched_under_the_current_epoch_or_none() -> None:
    scene = Scene()
    scene.two()
    scene.group.validate_offset_fetch("a", 3)
    scene.group.validate_offset_fetch(None, -1)
    with pytest.raises(StaleMemberEpoch):
        scene.group.validate_offset_fetch("a", 2)
    with pytest.raises(UnknownMemberId):
        scene.group.validate_offset_fetch("x", 3)


def test_offsets_of_topics_that_are_read_are_kept() -> None:
    scene = Scene()
    scene.join("a", pattern="u", topics=frozenset({"t"}))
    assert scene.group.is_subscribed_to("t")
    assert scene.group.is_subscribed_to("u")
    assert not scene.group.is_subscribed_to("v")
    assert scene.group.retention_start_ms(CommittedOffset(1, committed_at_ms=5)) == 5


def test_a_group_with_members_is_not_deleted() -> None:
    scene = Scene()
    scene.join("a")
    with pytest.raises(NonEmptyGroup):
        scene.group.delete()
    scene.beat("a", -1)
    scene.group.delete()
    assert scene.group.state_name == "Dead"


def test_a_group_of_the_new_protocol_alone_is_never_downgraded() -> None:
    scene = Scene()
    scene.two()
    scene.beat("b", -1)
    assert not any(isinstance(effect, DowngradeDue) for effect in scene.effects)
