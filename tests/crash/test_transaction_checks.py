"""Each check of transactions, shown a history that breaks its rule, says so; shown a sound one, says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_server.domain.control_record import Marker, build_marker
from tests.crash.history import History, identity, make_value
from tests.crash.transaction_checks import TransactionEvidence, judge_transactions
from tests.crash.wire_client import StoredRecord, build_batch, read_committed

COMMITTED, ABORTED, OPEN = (make_value(1, "w", number, 60) for number in range(3))
FENCED = make_value(1, "w", 9, 60)


@pytest.fixture
def evidence(tmp_path: Path) -> TransactionEvidence:
    """One transaction committed and read, one aborted, one of unknown end."""
    history = History(tmp_path / "history.jsonl")
    for label, value, offset in (("w/0", COMMITTED, 1), ("w/1", ABORTED, 2), ("w/2", OPEN, 3)):
        history.add("invoke", "w", "txn", txn=label, values=[identity(value)], offset=offset)
    history.add("invoke", "w", "txn-end", txn="w/0", commit=True)
    history.add("ok", "w", "txn", txn="w/0", result="committed")
    history.add("ok", "w", "txn", txn="w/1", result="aborted")
    history.add("ok", "r", "txn-read", partition=0, offset=0, value=identity(COMMITTED))
    history.add("ok", "s", "lso", partition=0, stable=2, end=4, asked=0.0)
    history.add("fail", "w", "txn-stale", what="EndTxn", code=90)
    return TransactionEvidence(history, {0: [StoredRecord(0, COMMITTED, 7)]}, {0: (4, 4)}, {"w": 1})


def violated(evidence: TransactionEvidence) -> set[str]:
    return {name for name, found in judge_transactions(evidence).items() if found}


def test_a_sound_history_breaks_no_rule(evidence: TransactionEvidence) -> None:
    assert violated(evidence) == set()


@pytest.mark.parametrize("value", [ABORTED, FENCED])
def test_what_was_aborted_or_fenced_must_not_be_shown(evidence: TransactionEvidence, value: bytes) -> None:
    evidence.visible[0].append(StoredRecord(2, value, 7))
    assert "aborted-read" in violated(evidence)


def test_a_committed_value_that_is_not_shown_is_a_torn_transaction(evidence: TransactionEvidence) -> None:
    evidence.visible[0].clear()
    assert "torn-transaction" in violated(evidence)


def test_a_transaction_of_unknown_end_is_shown_as_a_whole_or_not_at_all(evidence: TransactionEvidence) -> None:
    evidence.visible[0].append(StoredRecord(2, OPEN, 7))
    assert violated(evidence) == set()

    evidence.history.events[2]["values"].append("1:w:10")
    assert "torn-transaction" in violated(evidence)


def test_a_value_that_is_shown_twice_is_a_torn_transaction(evidence: TransactionEvidence) -> None:
    evidence.visible[0].append(StoredRecord(3, COMMITTED, 7))
    assert "torn-transaction" in violated(evidence)


def test_a_value_seen_before_its_commit_is_a_precommitted_read(evidence: TransactionEvidence) -> None:
    evidence.history.add("ok", "r", "txn-read", partition=0, offset=2, value=identity(OPEN))
    assert "precommitted-read" in violated(evidence)


def test_the_last_stable_offset_is_not_above_the_end(evidence: TransactionEvidence) -> None:
    evidence.history.add("ok", "s", "lso", partition=0, stable=5, end=4, asked=0.0)
    assert "lso-above" in violated(evidence)


def test_the_last_stable_offset_never_goes_back(evidence: TransactionEvidence) -> None:
    evidence.history.add("ok", "s", "lso", partition=0, stable=1, end=4, asked=0.0)
    assert "lso-back" in violated(evidence)


@pytest.mark.parametrize(("is_closed", "is_violated"), [(False, True), (True, False)])
def test_the_last_stable_offset_waits_for_an_open_transaction(
    evidence: TransactionEvidence, is_closed: bool, is_violated: bool
) -> None:
    history = evidence.history
    history.add("ok", "w", "txn-write", partition=0, offset=3, since=history.now())
    if is_closed:
        history.add("invoke", "w", "txn-close")
    history.add("ok", "s", "lso", partition=0, stable=4, end=4, asked=history.now() + 0.001)
    assert ("lso-open" in violated(evidence)) is is_violated


def test_a_transaction_is_out_of_time_by_its_beginning_and_not_by_its_last_write(evidence: TransactionEvidence) -> None:
    history, began = evidence.history, evidence.history.now()
    history.add("invoke", "late", "txn", txn="late/0", values=[], offset=None)
    history.add("ok", "late", "txn-write", partition=0, offset=3, since=began + 3)
    history.add("ok", "s", "lso", partition=0, stable=4, end=4, asked=began + 5)
    history.events[-1]["t"] = began + 5
    assert "lso-open" not in violated(evidence)


def test_a_last_stable_offset_that_sticks_is_noticed(evidence: TransactionEvidence) -> None:
    evidence.ends[0] = (2, 4)
    assert "lso-stuck" in violated(evidence)


def test_a_stale_request_that_succeeds_is_noticed(evidence: TransactionEvidence) -> None:
    evidence.history.add("ok", "w", "txn-stale", what="Produce", code=0)
    assert "fencing" in violated(evidence)


@pytest.mark.parametrize(("offset", "is_torn"), [(1, False), (3, False), (2, True), (-1, True)])
def test_offsets_are_those_of_the_last_committed_transaction(
    evidence: TransactionEvidence, offset: int, is_torn: bool
) -> None:
    evidence.offsets["w"] = offset
    assert ("torn-offset" in violated(evidence)) is is_torn


def test_the_checkers_reader_leaves_out_what_was_aborted_and_nothing_else() -> None:
    def at(data: bytes, offset: int) -> bytes:
        return offset.to_bytes(8, "big") + data[8:]

    def batch(value: bytes, sequence: int) -> bytes:
        return build_batch([value], None, 7, 0, sequence, is_transactional=True)

    abort, commit = (build_marker(Marker(7, 0, is_commit), 0) for is_commit in (False, True))
    log = [batch(ABORTED, 0), abort, batch(COMMITTED, 1), commit]
    data = b"".join(at(each, offset) for offset, each in enumerate(log))

    records, following = read_committed(data, [(7, 0)])
    assert ([record.value for record in records], following) == ([COMMITTED], 4)
