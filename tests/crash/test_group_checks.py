"""Each check of groups, shown a history that breaks its rule, says so; shown a sound one, says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.group_checks import judge_groups
from tests.crash.history import History


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Two generations of a classic group: a partition goes from one member to another."""
    history = History(tmp_path / "history.jsonl")
    note(history, "ok", "a", "joined", 1)
    note(history, "ok", "a", "assigned", 1, partitions=[0, 1])
    heartbeat(history, "a", 1)
    commit(history, "a", 1)
    note(history, "ok", "a", "joined", 2)
    note(history, "ok", "a", "assigned", 2, partitions=[1])
    note(history, "ok", "b", "assigned", 2, partitions=[0])
    heartbeat(history, "a", 2)
    heartbeat(history, "b", 2)
    commit(history, "b", 2)
    return history


def note(history: History, kind: str, member: str, operation: str, generation: int, **facts: object) -> None:
    who = {"group": "g", "member": member, "owner": member, "generation": generation}
    history.add(kind, f"worker-{member}", operation, **who, **facts)  # type: ignore[arg-type]


def heartbeat(history: History, member: str, generation: int) -> None:
    note(history, "invoke", member, "heartbeat", generation)
    note(history, "ok", member, "heartbeat", generation)


def commit(history: History, member: str, generation: int) -> None:
    facts = {"topic": "t", "partition": 0, "offset": 1}
    note(history, "invoke", member, "commit", generation, **facts)
    note(history, "ok", member, "commit", generation, **facts)


def violated(history: History) -> set[str]:
    return {name for name, found in judge_groups(history).items() if found}


def test_a_sound_history_breaks_no_rule(history: History) -> None:
    assert violated(history) == set()


def test_a_partition_has_one_owner_in_a_generation(history: History) -> None:
    note(history, "ok", "c", "assigned", 2, partitions=[0])
    assert "split-ownership" in violated(history)


def test_a_static_member_takes_over_in_the_same_generation(history: History) -> None:
    who = {"group": "g", "member": "b, restarted", "owner": "b", "generation": 2, "partitions": [0]}
    history.add("ok", "worker-b", "assigned", **who)
    assert violated(history) == set()


def test_a_partition_has_one_owner_at_a_time(history: History) -> None:
    note(history, "ok", "c", "assigned", 3, partitions=[0])
    heartbeat(history, "c", 3)
    heartbeat(history, "b", 2)
    assert "split-ownership" in violated(history)


def test_who_has_let_go_owns_nothing_any_more(history: History) -> None:
    note(history, "ok", "b", "unassigned", 2)
    note(history, "ok", "c", "assigned", 3, partitions=[0])
    heartbeat(history, "c", 3)
    heartbeat(history, "b", 2)
    assert violated(history) == set()


def test_a_commit_of_an_old_generation_must_not_succeed(history: History) -> None:
    commit(history, "a", 1)
    assert "stale-commit" in violated(history)


def test_a_commit_of_somebody_who_left_must_not_succeed(history: History) -> None:
    note(history, "ok", "a", "group-stale", 2)
    assert "stale-commit" in violated(history)
