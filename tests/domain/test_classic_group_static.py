"""Static members (KIP-345): a restarted process takes its predecessor's place, if possible without a rebalance."""

from __future__ import annotations

from kafka_server.domain.errors import FencedInstanceId, UnknownMemberId
from kafka_server.domain.group_states import State
from kafka_server.domain.group_values import LeavingMember, StoreGroup
from tests.domain.group_examples import REBALANCE_MS, SESSION_MS, Scene, subscription


def stable_static(scene: Scene) -> tuple[str, str]:
    """A stable group of the static members ``a``, which leads, and ``b``; returns their member ids."""
    a = scene.join(instance_id="a")[0]
    b = scene.join(instance_id="b")
    a = scene.join(a.member_id, instance_id="a")[0]
    scene.sync(b[0], instance_id="b")
    scene.sync(a, {a.member_id: b"p0", b[0].member_id: b"p1"}, instance_id="a")
    assert scene.group.state is State.STABLE
    return a.member_id, b[0].member_id


def test_a_static_member_is_in_at_its_first_request() -> None:
    (joined,) = Scene().join(instance_id="a")
    assert (joined.error_code, joined.member_id, joined.generation) == (0, "a-1", 1)


def test_a_restarted_member_gets_a_new_id_and_its_old_assignment_without_a_rebalance() -> None:
    scene = Scene()
    _, b = stable_static(scene)
    (back,) = scene.join(instance_id="b")
    assert back.member_id != b
    assert (back.generation, scene.group.state) == (2, State.STABLE)
    assert scene.sync(back, instance_id="b")[0].assignment == b"p1"


def test_the_new_id_is_stored_before_it_is_told() -> None:
    scene = Scene()
    stable_static(scene)
    scene.effects.clear()
    scene.join(instance_id="b")
    assert isinstance(scene.effects[0], StoreGroup)


def test_a_restarted_leader_is_told_to_lead_and_not_to_assign() -> None:
    scene = Scene()
    stable_static(scene)
    (back,) = scene.join(instance_id="a")
    assert (back.leader_id, back.skip_assignment, len(back.members)) == (back.member_id, True, 2)


def test_a_restarted_leader_of_an_older_version_is_told_the_old_id_so_that_it_does_not_assign() -> None:
    scene = Scene()
    a, _ = stable_static(scene)
    (back,) = scene.join(instance_id="a", can_skip_assignment=False)
    assert (back.leader_id, back.skip_assignment, back.members) == (a, False, ())


def test_the_old_process_is_fenced_while_it_waits() -> None:
    scene = Scene()
    a, _ = stable_static(scene)
    older = scene.join(a, instance_id="a")
    scene.join(instance_id="a")
    assert older[0].error_code == FencedInstanceId.code


def test_the_old_process_is_fenced_when_it_comes_back() -> None:
    scene = Scene()
    a, _ = stable_static(scene)
    scene.join(instance_id="a")
    assert scene.join(a, instance_id="a")[0].error_code == FencedInstanceId.code


def test_a_restart_while_the_assignment_is_awaited_needs_a_rebalance() -> None:
    scene = Scene()
    a, b = stable_static(scene)
    scene.join(a, instance_id="a")
    scene.join(b, instance_id="b")
    assert scene.group.state is State.COMPLETING_REBALANCE
    assert scene.join(instance_id="b") == []
    assert scene.group.state is State.PREPARING_REBALANCE


def test_a_restart_that_changes_the_protocol_needs_a_rebalance() -> None:
    scene = Scene()
    meta = subscription("t")
    both = (("range", meta), ("sticky", meta))
    a = scene.join(instance_id="a", protocols=both)[0]
    scene.sync(a, instance_id="a")
    (back,) = scene.join(instance_id="a", protocols=(("sticky", meta), ("range", meta)))
    assert (back.generation, back.protocol_name) == (2, "sticky")


def test_an_absent_static_member_keeps_its_place_until_its_session_ends() -> None:
    scene = Scene()
    long_ms = REBALANCE_MS * 2
    a = scene.join(instance_id="a", session_timeout_ms=long_ms)[0]
    b = scene.join(requires_known_id=False, session_timeout_ms=long_ms)
    scene.pass_time(REBALANCE_MS)
    assert a.member_id in scene.group.roster.members
    assert b[0].leader_id == b[0].member_id
    assert [member.instance_id for member in b[0].members] == ["a", None]


def test_when_only_silent_static_members_are_left_the_group_waits_for_their_sessions() -> None:
    scene = Scene()
    a, b = stable_static(scene)
    scene.leave(LeavingMember(b))
    assert scene.group.state is State.PREPARING_REBALANCE
    scene.pass_time(SESSION_MS)
    assert (scene.group.state, scene.group.roster.static_ids) == (State.EMPTY, {})
    assert a not in scene.group.roster.members


def test_an_administrator_removes_a_static_member_by_its_instance_id() -> None:
    scene = Scene()
    stable_static(scene)
    codes = scene.leave(LeavingMember("", "b"), LeavingMember("", "nobody"), LeavingMember("", None))
    assert codes == [0, UnknownMemberId.code, UnknownMemberId.code]
    assert set(scene.group.roster.static_ids) == {"a"}


def test_leaving_with_a_stale_member_id_is_fenced() -> None:
    scene = Scene()
    a, _ = stable_static(scene)
    scene.join(instance_id="a")
    assert scene.leave(LeavingMember(a, "a")) == [FencedInstanceId.code]
