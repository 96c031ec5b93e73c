"""The table of clients says no more than the tests found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import results
from tests.clients.results import Outcome, Results, Row
from tests.clients.table import CLIENT_COLUMNS, cell, legend, render, update

ABSENT: Outcome = {"outcome": "skipped", "reason": "Skipped: not in the client: it only reads"}
MISSING: Outcome = {"outcome": "skipped", "reason": "Skipped: no `kcat` on PATH"}
PASSED: Outcome = {"outcome": "passed", "reason": ""}
FAILED: Outcome = {"outcome": "failed", "reason": ""}
TOPICS = CLIENT_COLUMNS["create, describe, delete topic"]


def of(*outcomes: Outcome | None) -> str:
    """The cell of three features with these outcomes; None: no test has run."""
    found = {feature: each for feature, each in zip(TOPICS, outcomes, strict=True) if each is not None}
    row: Row = {"version": "a client", "features": found}
    return cell(row, TOPICS)


@pytest.mark.parametrize(
    ("outcomes", "shown"),
    [
        ((PASSED, PASSED, PASSED), "✓"),
        ((ABSENT, PASSED, ABSENT), "✓ describe"),
        ((PASSED, PASSED, ABSENT), "✓ create, describe"),
        ((ABSENT, ABSENT, ABSENT), "-"),
        ((PASSED, FAILED, ABSENT), "✗"),
        ((PASSED, None, FAILED), "✗"),
        ((PASSED, PASSED, None), " "),
        ((PASSED, PASSED, MISSING), " "),
        ((ABSENT, ABSENT, MISSING), " "),
    ],
)
def test_a_column_of_several_features_claims_only_those_that_pass(
    outcomes: tuple[Outcome | None, ...], shown: str
) -> None:
    assert of(*outcomes) == shown


@pytest.mark.parametrize("order", [("passed", "skipped"), ("skipped", "passed")])
def test_a_feature_of_several_tests_is_worth_its_worst_test_in_any_order(order: tuple[str, str]) -> None:
    noted = Results()
    for outcome in order:
        noted.note("kcat", "kcat 1", "create topic", outcome, "not in the client" if outcome == "skipped" else "")
    assert noted.noted["kcat"]["features"]["create topic"]["outcome"] == "skipped"


def test_the_legend_explains_the_marks_that_are_there_and_no_others() -> None:
    assert legend(["| kcat | ✓ | - |"]) == "✓ passes in the last test run, - the client has no such thing."
    assert "✓ with words" in legend(["| kcat | ✓ | ✓ describe |"])
    assert "✗ it fails" in legend(["| kcat | ✗ | ✓ |"])
    assert "empty: not tested" in legend(["| kcat | ✓ |   |"])


def test_the_table_takes_the_place_of_the_one_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    noted = Results()
    for feature, outcome in zip(TOPICS, (ABSENT, PASSED, ABSENT), strict=True):
        noted.note("kcat", "kcat 1.7", feature, **outcome)
    noted.save("ours")
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- clients -->\nold\n<!-- /clients -->\nafter\n")

    update(page, render("ours"))

    text = page.read_text()
    assert text.startswith("before\n<!-- clients -->\n\n| client | create, describe, delete topic |")
    assert "\n| kcat 1.7 | ✓ describe |   |" in text
    assert text.endswith("\n<!-- /clients -->\nafter\n")
    assert "old" not in text
