"""Owns: what must be true of logs that change while they are read, given a history and what is left in the end.
Must never know: how either came about.

Of a record that retention or compaction may take, nobody can say that it has to be there in the end. But of every
single answer one can say what it had to hold: from the offset that was asked for on, nothing may be missing that is
not explained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.crash.history import Event, History
from tests.crash.log_workers import COMPACTED, LOST_TOPIC, SHORT_LIVED

STALLED_MAX = 5
"""So many empty answers at one position, below what is readable, are a reader that does not get on."""


@dataclass(slots=True)
class Known:
    """A record that was acknowledged, or seen by somebody."""

    value: str
    key: str | None
    transaction: str | None


@dataclass(slots=True)
class LogEvidence:
    """A history, and what readers of committed data see in the end."""

    history: History
    final: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """By topic: offset and value, from the log start on."""

    def results(self) -> dict[str, bool]:
        """Whether a transaction was committed, where that is known."""
        return {event["txn"]: event["committed"] for event in self.history.of("ok", "log-txn")}

    def sent(self) -> dict[str, Known]:
        """Every value that was sent, whatever came of it."""
        found = {}
        for event in self.history.of("invoke", "log-send"):
            for position, value in enumerate(event["values"]):
                key = event["keys"][position] if "keys" in event else None
                found[value] = Known(value, key, event.get("txn"))
        return found

    def acknowledged(self) -> Iterator[tuple[Event, int, str]]:
        """The send, the offset and the value of every record that is safe."""
        for event in self.history.of("ok", "log-send"):
            for position, value in enumerate(event["values"]):
                yield event, event["offset"] + position, value

    def reads(self) -> Iterator[Event]:
        yield from self.history.of("ok", "log-read")


def _places(evidence: LogEvidence) -> Iterator[tuple[str, int, str]]:
    """Topic (with the number of its life), offset and value of everything that was acknowledged or read."""
    for event, offset, value in evidence.acknowledged():
        plant = f"/{event['plant']}" if "plant" in event else ""
        yield event["topic"] + plant, offset, value
    for event in evidence.reads():
        for offset, value in event["shown"]:
            yield event["topic"], offset, value
    for event in evidence.history.of("ok", "visit"):
        for told in event["told"]:
            for offset, value in told["shown"]:
                yield f"{SHORT_LIVED}/{told['plant']}", offset, value


def reused_offset(evidence: LogEvidence) -> Iterator[str]:
    """One offset of one topic never holds two values, and nothing is read that nobody sent."""
    sent = evidence.sent()
    seen: dict[tuple[str, int], str] = {}
    for topic, offset, value in _places(evidence):
        first = seen.setdefault((topic, offset), value)
        if first != value:
            yield f"{topic} offset {offset} was {first} and {value}"
        if value not in sent:
            yield f"{topic} offset {offset} holds {value}, which nobody sent"


def skipped(evidence: LogEvidence) -> Iterator[str]:
    """From the offset that was asked for on, an answer holds every record, up to where it ends, and shows it unless it
    was aborted. Of a compacted topic a record may be missing when a later one has its key."""
    results, sent = evidence.results(), evidence.sent()
    due: dict[str, dict[int, str]] = defaultdict(dict)
    newest: dict[str, int] = {}
    for topic, offset, value in _places(evidence):
        known = sent.get(value)
        if known is None or results.get(known.transaction or "") is False:
            continue
        if known.transaction is None or known.transaction in results:
            due[topic][offset] = value
        if topic == COMPACTED and known.key is not None:
            newest[known.key] = max(newest.get(known.key, -1), offset)
    for event in evidence.reads():
        at = event["offset"]
        shown, held = {offset for offset, _ in event["shown"]}, set(event["held"])
        for base, following in event["covered"]:
            if base > at and event["topic"] != COMPACTED:
                yield f"{event['worker']} asked {event['topic']} for {event['offset']}: {at} to {base} is missing"
            at = max(at, following)
        for offset in range(event["offset"], at):
            missing = due[event["topic"]].get(offset)
            if missing is None or offset in shown:
                continue
            key = sent[missing].key
            if offset in held or event["topic"] != COMPACTED or key is None or newest[key] <= offset:
                asked = f"{event['worker']} asked {event['topic']} for {event['offset']}"
                yield f"{asked}: {missing} at {offset} is missing"


def false_out_of_range(evidence: LogEvidence) -> Iterator[str]:
    """A reader is told OFFSET_OUT_OF_RANGE only where that is true: it would throw its position away."""
    for event in evidence.history.of("ok", "log-out-of-range"):
        if event["start"] <= event["offset"] <= event["end"]:
            yield f"{event['worker']} asked {event['topic']} for {event['offset']} of {event['start']}..{event['end']}"


def stalled(evidence: LogEvidence) -> Iterator[str]:
    """Where something can be read, a reader gets on."""
    empty: dict[str, tuple[int, int]] = {}
    for event in evidence.reads():
        at, count = empty.get(event["worker"], (-1, 0))
        is_empty = not event["covered"] and event["readable"] > event["offset"]
        count = (count + 1 if at == event["offset"] else 1) if is_empty else 0
        empty[event["worker"]] = event["offset"], count
        if count == STALLED_MAX:
            yield f"{event['worker']} gets nothing of {event['topic']} at {event['offset']} of {event['readable']}"


def shown_though_aborted(evidence: LogEvidence) -> Iterator[str]:
    """Whatever retention and compaction do, who reads committed data is shown nothing that was aborted."""
    results, sent = evidence.results(), evidence.sent()
    for event in evidence.reads():
        for offset, value in event["shown"] if event["isolation"] else ():
            known = sent.get(value)
            if known is not None and results.get(known.transaction or "") is False:
                yield f"{event['worker']} was shown {value} at {offset}, which was aborted"


def lost_key(evidence: LogEvidence) -> Iterator[str]:
    """In the end the newest committed record of each key is there, or a newer one that nobody heard of."""
    results, sent = evidence.results(), evidence.sent()
    newest: dict[str, tuple[int, str]] = {}
    for event, offset, value in evidence.acknowledged():
        known = sent[value]
        is_committed = known.transaction is None or results.get(known.transaction) is True
        if event["topic"] == COMPACTED and known.key is not None and is_committed:
            newest[known.key] = max(newest.get(known.key, (-1, "")), (offset, value))
    left: dict[str, tuple[int, str]] = {}
    for offset, value in evidence.final.get(COMPACTED, []):
        known = sent.get(value, Known(value, None, None))
        if known.key is not None:
            left[known.key] = max(left.get(known.key, (-1, "")), (offset, value))
    for key, (offset, value) in newest.items():
        found = left.get(key, (-1, ""))
        if found[0] < offset or (found[0] == offset and found[1] != value):
            yield f"of key {key} there is {found}, and {(offset, value)} was acknowledged"


def mistaken_topic(evidence: LogEvidence) -> Iterator[str]:
    """A topic id stands for one topic: what it gives was written under that id, and nothing after it was deleted."""
    cleared: set[int] = set()
    asked: dict[str, set[int]] = {}
    for event in evidence.history.events:
        if event["op"] == "cleared":
            cleared.add(event["plant"])
        elif event["op"] == "visit" and event["kind"] == "invoke":
            asked[event["worker"]] = set(cleared)
        elif event["op"] == "visit" and event["kind"] == "ok":
            for told in event["told"]:
                plant, gone = told["plant"], asked[event["worker"]]
                if plant in gone and told["code"] not in LOST_TOPIC:
                    yield f"{event['worker']} was answered {told['code']} for plant {plant}, which had been cleared"
                for offset, value in told["shown"]:
                    if f":plant-{plant}:" not in value:
                        yield f"{event['worker']} was shown {value} at {offset} of plant {plant}"
    left = dict(evidence.final.get(SHORT_LIVED, []))
    for event, offset, value in evidence.acknowledged():
        is_alive = "plant" in event and event["plant"] not in cleared
        if is_alive and SHORT_LIVED in evidence.final and left.get(offset) != value:
            yield f"{value} was acknowledged at {offset} of the last plant; there is {left.get(offset)}"


CHECKS: dict[str, Callable[[LogEvidence], Iterator[str]]] = {
    "reused-offset": reused_offset,
    "skipped": skipped,
    "false-out-of-range": false_out_of_range,
    "stalled": stalled,
    "shown-though-aborted": shown_though_aborted,
    "lost-key": lost_key,
    "mistaken-topic": mistaken_topic,
}


def judge_logs(evidence: LogEvidence) -> dict[str, list[str]]:
    """Violations by the name of their check."""
    return {name: list(check(evidence)) for name, check in CHECKS.items()}


def summary(events: list[Event]) -> dict[str, int]:
    """How much was done."""
    return {
        "fetches of changing logs": sum(e["op"] == "log-read" for e in events),
        "of them out of range": sum(e["op"] == "log-out-of-range" for e in events),
        "topics that came and went": sum(e["op"] == "cleared" for e in events),
    }
