"""Each check of changing logs, shown a history that breaks its rule, says so; shown a sound one, says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.crash.history import History
from tests.crash.log_checks import STALLED_MAX, LogEvidence, judge_logs

PLANT = "1:plant-0:0"


@pytest.fixture
def evidence(tmp_path: Path) -> LogEvidence:
    """Three records in either topic, of which one is aborted; a plant that is gone, and none that is alive."""
    history = History(tmp_path / "history.jsonl")
    for topic in ("retained", "compacted"):
        for offset, (key, txn) in enumerate((("a", None), ("b", "t/0"), ("a", "t/1"))):
            facts = {"topic": topic, "keys": [key], "values": [f"1:{topic}:{offset}"], "txn": txn}
            history.add("invoke", "w", "log-send", **facts)
            history.add("ok", "w", "log-send", code=0, offset=offset, **facts)
    history.add("ok", "w", "log-txn", txn="t/0", committed=False)
    history.add("ok", "w", "log-txn", txn="t/1", committed=True)
    for topic, covered in (("retained", [[0, 1], [1, 2], [2, 3]]), ("compacted", [[2, 3]])):
        shown = [[at, f"1:{topic}:{at}"] for at in (0, 2) if [at, at + 1] in covered]
        read(history, topic, covered, shown, isolation=1)
    history.add("ok", "r", "log-out-of-range", topic="retained", offset=0, isolation=1, start=2, end=3)
    facts = {"topic": "short-lived", "values": [PLANT]}
    history.add("invoke", "g", "log-send", plant=0, **facts)
    history.add("ok", "g", "log-send", plant=0, code=0, offset=0, **facts)
    visit(history, 0, 0, [[0, PLANT]])
    history.add("ok", "g", "cleared", plant=0)
    visit(history, 0, 103, [])
    return LogEvidence(history, {"compacted": [(2, "1:compacted:2")], "short-lived": []})


def read(
    history: History,
    topic: str,
    covered: Any,
    shown: Any,
    *,
    offset: int = 0,
    isolation: int = 0,
    held: tuple[int, ...] = (),
) -> None:
    facts = {"topic": topic, "offset": offset, "isolation": isolation, "covered": covered, "shown": shown, "held": held}
    history.add("ok", f"r{isolation}", "log-read", readable=3, **facts)


def visit(history: History, plant: int, code: int, shown: Any) -> None:
    history.add("invoke", "v", "visit", plants=[plant])
    told = {"plant": plant, "code": code, "offset": 0, "shown": shown}
    history.add("ok", "v", "visit", plants=[plant], told=[told])


def violated(evidence: LogEvidence) -> set[str]:
    return {name for name, found in judge_logs(evidence).items() if found}


def test_a_sound_history_breaks_no_rule(evidence: LogEvidence) -> None:
    assert violated(evidence) == set()


def test_two_values_at_one_offset_are_a_reused_offset(evidence: LogEvidence) -> None:
    read(evidence.history, "retained", [[0, 1]], [[0, "1:retained:2"]])
    assert violated(evidence) == {"reused-offset"}


def test_a_value_that_nobody_sent_is_told(evidence: LogEvidence) -> None:
    read(evidence.history, "retained", [[7, 8]], [[7, "1:somebody:1"]], offset=7)
    assert violated(evidence) == {"reused-offset"}


@pytest.mark.parametrize(
    ("topic", "covered", "shown"),
    [
        ("retained", [[1, 2], [2, 3]], [[2, "1:retained:2"]]),  # begins too late
        ("retained", [[0, 1], [2, 3]], [[0, "1:retained:0"], [2, "1:retained:2"]]),  # a hole
        ("retained", [[0, 1], [1, 2], [2, 3]], [[0, "1:retained:0"]]),  # a record is not shown
        ("compacted", [[2, 3]], []),  # nothing that is newer has its key
    ],
)
def test_a_record_that_an_answer_leaves_out_was_skipped(
    evidence: LogEvidence, topic: str, covered: Any, shown: Any
) -> None:
    read(evidence.history, topic, covered, shown)
    assert violated(evidence) == {"skipped"}


def test_a_committed_record_that_is_there_and_not_shown_was_skipped(evidence: LogEvidence) -> None:
    read(evidence.history, "compacted", [[0, 1], [2, 3]], [[2, "1:compacted:2"]], isolation=1, held=(2,))
    assert violated(evidence) == set()
    read(evidence.history, "compacted", [[0, 1], [2, 3]], [[2, "1:compacted:2"]], isolation=1, held=(0, 2))
    assert violated(evidence) == {"skipped"}


def test_out_of_range_within_the_log_is_false(evidence: LogEvidence) -> None:
    evidence.history.add("ok", "r", "log-out-of-range", topic="retained", offset=2, isolation=0, start=2, end=3)
    assert violated(evidence) == {"false-out-of-range"}


def test_a_reader_that_gets_nothing_again_and_again_is_stalled(evidence: LogEvidence) -> None:
    for _ in range(STALLED_MAX):
        read(evidence.history, "retained", [], [])
    assert violated(evidence) == {"stalled"}


def test_an_aborted_record_may_be_shown_only_to_who_reads_everything(evidence: LogEvidence) -> None:
    shown = [[at, f"1:retained:{at}"] for at in range(3)]
    read(evidence.history, "retained", [[0, 3]], shown, isolation=0)
    assert violated(evidence) == set()
    read(evidence.history, "retained", [[0, 3]], shown, isolation=1)
    assert violated(evidence) == {"shown-though-aborted"}


def test_a_key_whose_newest_record_is_gone_is_lost(evidence: LogEvidence) -> None:
    evidence.final["compacted"] = [(0, "1:compacted:0")]
    assert violated(evidence) == {"lost-key"}


def test_records_of_a_topic_that_is_gone_are_a_mistaken_topic(evidence: LogEvidence) -> None:
    visit(evidence.history, 0, 0, [[0, PLANT]])
    assert violated(evidence) == {"mistaken-topic"}


def test_records_of_another_topic_with_the_same_name_are_a_mistaken_topic(evidence: LogEvidence) -> None:
    visit(evidence.history, 1, 0, [[3, PLANT]])
    assert violated(evidence) == {"mistaken-topic"}


def test_a_record_that_is_missing_in_the_topic_that_is_alive_is_told(evidence: LogEvidence) -> None:
    facts = {"topic": "short-lived", "plant": 1, "values": ["1:plant-1:0"]}
    evidence.history.add("invoke", "g", "log-send", **facts)
    evidence.history.add("ok", "g", "log-send", code=0, offset=0, **facts)
    assert violated(evidence) == {"mistaken-topic"}
