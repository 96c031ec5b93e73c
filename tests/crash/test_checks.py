"""Each check, shown a history that breaks its rule, says so; shown a sound one, says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.crash.checks import CHECKS, Evidence, judge
from tests.crash.history import History, dress_of, identity, is_intact, make_value
from tests.crash.wire_client import DAMAGED, StoredRecord

PLACE = ("idempotent", 0)
VALUES = [make_value(1, "w", number, 60) for number in range(4)]


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Four records, acknowledged, read, committed and still there."""
    history = History(tmp_path / "history.jsonl")
    facts = {"topic": "idempotent", "partition": 0}
    for offset, value in enumerate(VALUES):
        history.add("ok", "w", "send", acks=-1, offset=offset, values=[identity(value)], **facts)
        history.add("ok", "r", "read", offset=offset, value=identity(value), as_sent=True, **facts)
    history.add("ok", "c", "commit", group="g", offset=3, **facts)
    history.add("ok", "watcher", "offsets", which="end", offset=4, **facts)
    history.add("ok", "w", "init-producer", producer_id=7)
    records = [StoredRecord(offset, value, 7, dress_of(value)) for offset, value in enumerate(VALUES)]
    return Evidence(history, {PLACE: records}, {PLACE: 0}, committed={("g", "idempotent", 0): 3})


def violated(evidence: Evidence) -> set[str]:
    return {name for name, found in judge(evidence).items() if found}


def test_a_sound_history_breaks_no_rule(evidence: Evidence) -> None:
    assert violated(evidence) == set()


def test_an_acknowledged_value_that_is_gone_is_a_lost_write(evidence: Evidence) -> None:
    evidence.records[PLACE].pop()
    assert "lost-write" in violated(evidence)


def test_after_a_power_cut_only_acks_all_is_a_promise(evidence: Evidence) -> None:
    for event in evidence.history.events:
        if event["op"] == "send":
            event["acks"] = 1
    evidence.records[PLACE].pop()
    evidence.power_was_cut = True
    assert "lost-write" not in violated(evidence)


def test_two_values_at_one_offset_are_inconsistent(evidence: Evidence) -> None:
    evidence.history.add("ok", "r2", "read", topic="idempotent", partition=0, offset=1, value="1:other:9", as_sent=True)
    assert "inconsistent-offset" in violated(evidence)


def test_a_value_at_two_offsets_is_a_duplicate(evidence: Evidence) -> None:
    evidence.records[PLACE].append(StoredRecord(4, VALUES[3], 7, dress_of(VALUES[3])))
    assert "duplicate" in violated(evidence)


def test_a_damaged_value_is_corrupt(evidence: Evidence) -> None:
    evidence.records[PLACE][1] = evidence.records[PLACE][1]._replace(value=VALUES[1][:-1] + b"?")
    assert "corrupt" in violated(evidence)
    assert not is_intact(DAMAGED)


@pytest.mark.parametrize(
    "damage", [{"key": b"key-9"}, {"headers": ()}, {"timestamp_ms": 1}], ids=lambda each: next(iter(each))
)
def test_a_record_with_other_bytes_beside_its_value_is_corrupt(evidence: Evidence, damage: dict[str, Any]) -> None:
    sent = dress_of(VALUES[2])
    evidence.records[PLACE][2] = evidence.records[PLACE][2]._replace(dress=sent._replace(**damage))
    assert "corrupt" in violated(evidence)


def test_what_a_reader_saw_damaged_is_corrupt(evidence: Evidence) -> None:
    facts = {"topic": "idempotent", "partition": 0, "offset": 0, "value": identity(VALUES[0])}
    evidence.history.add("ok", "r3", "read", as_sent=False, **facts)
    assert "corrupt" in violated(evidence)


def test_a_missing_offset_is_a_gap(evidence: Evidence) -> None:
    del evidence.records[PLACE][1]
    assert "gap" in violated(evidence)


def test_a_reader_that_skips_is_not_monotonic(evidence: Evidence) -> None:
    evidence.history.add("ok", "r", "read", topic="idempotent", partition=0, offset=9, value="1:w:9", as_sent=True)
    assert "nonmonotonic" in violated(evidence)


def test_values_of_one_sender_in_another_order_are_not_monotonic(evidence: Evidence) -> None:
    records = evidence.records[PLACE]
    records[0], records[1] = records[0]._replace(value=VALUES[1]), records[1]._replace(value=VALUES[0])
    assert "nonmonotonic" in violated(evidence)


def test_a_committed_offset_that_goes_back_is_a_regress(evidence: Evidence) -> None:
    evidence.committed["g", "idempotent", 0] = 2
    assert "commit-regress" in violated(evidence)


def test_an_end_that_goes_back_breaks_the_watermark(evidence: Evidence) -> None:
    evidence.history.add("ok", "watcher", "offsets", topic="idempotent", partition=0, which="end", offset=3)
    assert "watermark" in violated(evidence)


def test_deleted_records_must_not_come_back(evidence: Evidence) -> None:
    evidence.history.add("ok", "deleter", "delete", topic="idempotent", partition=0, low=2)
    assert "deleted-records" in violated(evidence)


def test_a_producer_id_is_given_out_once(evidence: Evidence) -> None:
    evidence.history.add("ok", "x", "init-producer", producer_id=7)
    assert "reused-producer-id" in violated(evidence)


def test_an_idempotent_batch_is_never_refused(evidence: Evidence) -> None:
    evidence.history.add("fail", "w", "send", topic="idempotent", partition=0, acks=-1, values=["1:w:9"], code=45)
    assert "refused" in violated(evidence)


@pytest.mark.parametrize(("after", "code", "wanted"), [("EIO", None, 5), ("ENOSPC", 5, None), ("SIGTERM", 1, 0)])
def test_a_broker_that_ends_otherwise_than_it_should_is_noticed(
    evidence: Evidence, after: str, code: int | None, wanted: int | None
) -> None:
    evidence.history.add("note", "faults", "exit-code", after=after, code=code, wanted=wanted)
    assert "exit-code" in violated(evidence)


def test_every_check_has_an_example_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in CHECKS if f'"{name}" in violated' not in text] == []
