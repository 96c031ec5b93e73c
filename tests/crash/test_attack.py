"""A small attack on a real broker process, as on every change; ``make soak`` is the large one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash import power
from tests.crash.run import Options, run


def test_kills_lose_nothing(tmp_path: Path) -> None:
    outcome = run(Options(tmp_path, seed=20261122, seconds=10.0, pause_s=(0.5, 2.0), faults_min=5))
    assert outcome.is_clean, f"{outcome.violations} (history: {outcome.history_path})"
    assert outcome.counts["acknowledged records"] > 0
    assert sum(outcome.faults.values()) >= 5


def test_power_cuts_lose_nothing_that_was_synced(tmp_path: Path) -> None:
    if reason := power.why_not("ext4"):
        pytest.skip(f"power cuts: {reason}")
    outcome = run(
        Options(tmp_path, seed=7, seconds=8.0, pause_s=(0.5, 2.0), power="ext4", faults=("power-cut",), faults_min=3)
    )
    assert outcome.is_clean, f"{outcome.violations} (history: {outcome.history_path})"
    assert outcome.faults["power-cut"] >= 3
