"""Owns: what must be true of transactions, given a history and what readers see in the end.
Must never know: how either came about.

The rows "aborted read / torn transaction / precommitted read", "LSO" and "fencing" of the table in README.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.crash.history import Event, History, identity
from tests.crash.wire_client import StoredRecord

TIMEOUT_SECONDS = 4.0
"""After that a transaction of this workload may be aborted by the broker."""


@dataclass(slots=True)
class TransactionEvidence:
    """A history, and the final state of the transactional topic."""

    history: History
    visible: dict[int, list[StoredRecord]] = field(default_factory=dict)
    """What a reader of committed data is shown, by partition."""
    ends: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Last stable offset and high watermark, long after the last request."""
    offsets: dict[str, int] = field(default_factory=dict)
    """Committed offset of each worker's group."""

    def results(self) -> dict[str, str]:
        """``committed`` or ``aborted`` of each transaction whose end is known."""
        return {event["txn"]: event["result"] for event in self.history.of("ok", "txn")}

    def transaction_of(self) -> dict[str, str]:
        """The transaction of each value."""
        return {value: event["txn"] for event in self.history.of("invoke", "txn") for value in event["values"]}

    def shown(self) -> set[str]:
        """Values that are visible in the end."""
        return {identity(record.value) for records in self.visible.values() for record in records}


def aborted_read(evidence: TransactionEvidence) -> Iterator[str]:
    """Nobody who reads committed data ever sees a record of an aborted transaction, nor one that belongs to none."""
    results, owner = evidence.results(), evidence.transaction_of()
    sightings = [event["value"] for event in evidence.history.of("ok", "txn-read")]
    for value in [*sightings, *sorted(evidence.shown())]:
        if value not in owner:
            yield f"{value} is shown and was written by a fenced producer"
        elif results.get(owner[value]) == "aborted":
            yield f"{value} is shown, its transaction {owner[value]} was aborted"


def torn_transaction(evidence: TransactionEvidence) -> Iterator[str]:
    """A committed transaction is there as a whole; one whose end is not known is there as a whole or not at all."""
    results, shown = evidence.results(), evidence.shown()
    for event in evidence.history.of("invoke", "txn"):
        present = [value for value in event["values"] if value in shown]
        is_committed = results.get(event["txn"]) == "committed"
        if (is_committed or present) and len(present) < len(event["values"]):
            missing = sorted(set(event["values"]) - set(present))
            yield f"{event['txn']} ({results.get(event['txn'], 'unknown')}) lacks {missing[0]}"
    places: dict[str, int] = defaultdict(int)
    for records in evidence.visible.values():
        for record in records:
            places[identity(record.value)] += 1
    for value, count in places.items():
        if count > 1:
            yield f"{value} is shown {count} times"


def precommitted_read(evidence: TransactionEvidence) -> Iterator[str]:
    """Nobody sees a record before its commit was asked for."""
    owner = evidence.transaction_of()
    asked: set[str] = set()
    for event in evidence.history.events:
        if event["op"] == "txn-end" and event["kind"] == "invoke" and event["commit"]:
            asked.add(event["txn"])
        elif event["op"] == "txn-read" and owner.get(event["value"]) not in asked:
            yield f"{event['value']} was shown at {event['t']}, before its commit was asked for"


def stable_offset_above(evidence: TransactionEvidence) -> Iterator[str]:
    """The last stable offset lies at or below the high watermark, which is asked for after it."""
    for event in evidence.history.of("ok", "lso"):
        if event["stable"] > event["end"]:
            yield f"partition {event['partition']} had the last stable offset {event['stable']} above {event['end']}"


def stable_offset_back(evidence: TransactionEvidence) -> Iterator[str]:
    """The last stable offset never goes back."""
    highest: dict[int, int] = defaultdict(int)
    for event in evidence.history.of("ok", "lso"):
        partition, stable = event["partition"], event["stable"]
        if stable < highest[partition]:
            yield f"the last stable offset of partition {partition} went back from {highest[partition]} to {stable}"
        highest[partition] = max(highest[partition], stable)


def stable_offset_open(evidence: TransactionEvidence) -> Iterator[str]:
    """The last stable offset does not pass the first record of a transaction that is certainly open: its write was
    answered, nobody has asked for its end, and it is not out of time."""
    first: dict[tuple[str, int], Event] = {}
    """By worker and partition: the write that began what is open there."""
    begun: dict[str, float] = {}
    """By worker: when it began its transaction, before it added a partition: the broker's clock runs from then on."""
    for event in evidence.history.events:
        if event["op"] == "txn" and event["kind"] == "invoke":
            begun[event["worker"]] = event["t"]
        elif event["op"] == "txn-close":
            first = {key: write for key, write in first.items() if key[0] != event["worker"]}
        elif event["op"] == "txn-write":
            first.setdefault((event["worker"], event["partition"]), event)
        elif event["op"] == "lso":
            for (worker, partition), write in first.items():
                since = min(write["since"], begun.get(worker, write["since"]))
                is_open = write["t"] < event["asked"] and event["t"] < since + TIMEOUT_SECONDS
                if partition == event["partition"] and is_open and event["stable"] > write["offset"]:
                    what = f"{worker} had a transaction open at {write['offset']} of partition {partition}"
                    yield f"{what}, the last stable offset was {event['stable']} at {event['t']}"


def stable_offset_stuck(evidence: TransactionEvidence) -> Iterator[str]:
    """The last stable offset waits for nobody for ever."""
    for partition, (stable, end) in evidence.ends.items():
        if stable != end:
            yield f"the last stable offset of partition {partition} sticks at {stable}, the end is {end}"


def fencing(evidence: TransactionEvidence) -> Iterator[str]:
    """Requests of a replaced owner, and of a transaction that is over, fail."""
    for event in evidence.history.of("ok", "txn-stale"):
        yield f"{event['worker']}: {event['what']} of an old epoch succeeded at {event['t']}"


def torn_offset(evidence: TransactionEvidence) -> Iterator[str]:
    """The committed offset of a group is that of its last committed transaction, or of a later one of unknown end."""
    results = evidence.results()
    allowed: dict[str, list[int]] = defaultdict(lambda: [-1])
    for event in evidence.history.of("invoke", "txn"):
        result = results.get(event["txn"])
        if event["offset"] is None or result == "aborted":
            continue
        if result == "committed":
            allowed[event["worker"]] = [event["offset"]]
        else:
            allowed[event["worker"]].append(event["offset"])
    for group, offset in evidence.offsets.items():
        if offset not in allowed[group]:
            yield f"group {group} has committed {offset}, its transactions say {allowed[group]}"


TRANSACTION_CHECKS: dict[str, Callable[[TransactionEvidence], Iterator[str]]] = {
    "aborted-read": aborted_read,
    "torn-transaction": torn_transaction,
    "precommitted-read": precommitted_read,
    "lso-above": stable_offset_above,
    "lso-back": stable_offset_back,
    "lso-open": stable_offset_open,
    "lso-stuck": stable_offset_stuck,
    "fencing": fencing,
    "torn-offset": torn_offset,
}


def judge_transactions(evidence: TransactionEvidence) -> dict[str, list[str]]:
    """Violations by the name of their check."""
    return {name: list(check(evidence)) for name, check in TRANSACTION_CHECKS.items()}


def judge_history(evidence: TransactionEvidence) -> dict[str, list[str]]:
    """Violations that show without a final state: for a run that does not come to its end."""
    return {name: list(TRANSACTION_CHECKS[name](evidence)) for name in ("lso-above", "lso-back", "lso-open", "fencing")}


def summary(events: list[Event]) -> dict[str, int]:
    """How many transactions there were, by their end."""
    ends = [event["result"] for event in events if event["kind"] == "ok" and event["op"] == "txn"]
    return {
        "committed transactions": ends.count("committed"),
        "aborted transactions": ends.count("aborted"),
        "stale requests": sum(event["op"] == "txn-stale" for event in events),
    }
