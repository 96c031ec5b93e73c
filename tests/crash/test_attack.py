"""A small attack on a real broker process, as on every change; ``make soak`` is the large one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import power
from tests.crash.planted.bugs import BUGS
from tests.crash.prove import catch, todays
from tests.crash.run import Options, run


def test_kills_lose_nothing(tmp_path: Path) -> None:
    outcome = run(Options(tmp_path, seed=20261122, seconds=12.0, pause_s=(0.5, 1.5), kills_min=5))
    assert outcome.is_clean, f"{outcome.violations} (history: {outcome.history_path})"
    assert outcome.counts["acknowledged records"] > 0
    assert outcome.faults["kills"] >= 5


def test_power_cuts_lose_nothing_that_was_synced(tmp_path: Path) -> None:
    if reason := power.why_not("ext4"):
        pytest.skip(f"power cuts: {reason}")
    outcome = run(
        Options(tmp_path, seed=7, seconds=6.0, pause_s=(0.5, 1.5), power="ext4", faults=("power-cut",), faults_min=3)
    )
    assert outcome.is_clean, f"{outcome.violations} (history: {outcome.history_path})"
    assert outcome.faults["power-cut"] >= 3


@pytest.mark.parametrize("bug", todays(1))
def test_a_planted_bug_is_caught_another_one_every_day(tmp_path: Path, bug: str) -> None:
    found = catch(bug, tmp_path, seed=1, seconds=8.0)
    assert found.keys() >= BUGS[bug].caught_by
