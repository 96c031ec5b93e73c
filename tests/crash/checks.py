"""Owns: what must be true of a history and of what is left in the end. Must never know: how either came about.

Each check returns violations: sentences that name the value, the partition and the offsets. No violations means proven
for this run. The names are those of the table in tests/crash/README.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.crash.history import Event, History, identity, sender_of
from tests.crash.wire_client import StoredRecord
from tests.crash.workers import IDEMPOTENT, PLAIN, TRANSACTIONAL, TRIMMED

READS = ("read", "group-read", "txn-read")
"""By clients that assign partitions themselves, by members of groups, and under read_committed."""

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(slots=True)
class Evidence:
    """A history and the final state of every partition."""

    history: History
    records: dict[Place, list[StoredRecord]]
    log_starts: dict[Place, int]
    power_was_cut: bool = False
    """After a power cut only acks=all is a promise."""
    committed: dict[tuple[str, str, int], int] = field(default_factory=dict)
    """Committed offsets in the end, by group, topic and partition."""

    def acknowledged(self) -> Iterator[tuple[Place, int, str]]:
        """Place, offset and value of every record that the broker promised to keep."""
        for event in self.history.of("ok", "send"):
            if event["acks"] == 0 or (event["acks"] == 1 and self.power_was_cut):
                continue
            for position, value in enumerate(event["values"]):
                yield _place(event), event["offset"] + position, value

    def sightings(self) -> Iterator[Event]:
        """Every record that some client has read, with the offset where it was."""
        yield from (event for event in self.history.events if event["kind"] == "ok" and event["op"] in READS)


def lost_write(evidence: Evidence) -> Iterator[str]:
    """Every acknowledged value is at its acknowledged offset, unless DeleteRecords took it."""
    stored = {place: {r.offset: identity(r.value) for r in found} for place, found in evidence.records.items()}
    for place, offset, value in evidence.acknowledged():
        if offset >= evidence.log_starts[place] and stored[place].get(offset) != value:
            yield f"{value} was acknowledged at {place} offset {offset}; there is {stored[place].get(offset)}"


def inconsistent_offset(evidence: Evidence) -> Iterator[str]:
    """One offset never holds two values, whoever reads it and whenever."""
    seen: dict[tuple[Place, int], str] = {}
    for place, offset, value in _all_sightings(evidence):
        first = seen.setdefault((place, offset), value)
        if first != value:
            yield f"{place} offset {offset} was {first} and {value}"


def _all_sightings(evidence: Evidence) -> Iterator[tuple[Place, int, str]]:
    yield from evidence.acknowledged()
    for event in evidence.sightings():
        yield _place(event), event["offset"], event["value"]
    for place, records in evidence.records.items():
        for record in records:
            yield place, record.offset, "a marker" if record.is_control else identity(record.value)


def _place(event: Event) -> Place:
    return event["topic"], event["partition"]


def duplicate(evidence: Evidence) -> Iterator[str]:
    """With idempotence no value is at two offsets."""
    for place, records in evidence.records.items():
        if place[0] not in (IDEMPOTENT, TRANSACTIONAL):
            continue
        first: dict[bytes, int] = {}
        for record in records:
            if record.is_control:
                continue
            other = first.setdefault(record.value, record.offset)
            if other != record.offset:
                yield f"{identity(record.value)} is at {place} offsets {other} and {record.offset}"


def corrupt(evidence: Evidence) -> Iterator[str]:
    """Every value proves itself and has the key, the headers and the timestamp that it was sent with."""
    for place, records in evidence.records.items():
        for record in records:
            if not record.is_control and not record.is_as_sent:
                yield f"{place} offset {record.offset} holds a damaged record: {record.value[:60]!r}, {record.dress}"
    for event in evidence.history.of("note", "unreadable"):
        yield f"{event['worker']} was given bytes that are no batches at {event['t']}: {event['error']}"
    for event in evidence.sightings():
        if not event["as_sent"]:
            yield f"{event['worker']} read a damaged record at {_place(event)} offset {event['offset']}"


def gap(evidence: Evidence) -> Iterator[str]:
    """From the log start on, offsets follow each other, markers of transactions included; nothing here compacts."""
    for place, records in evidence.records.items():
        expected = evidence.log_starts[place]
        for record in records:
            if record.offset != expected:
                yield f"{place} continues with offset {record.offset} where {expected} is due"
            expected = record.offset + 1


def nonmonotonic(evidence: Evidence) -> Iterator[str]:
    """A reader sees rising offsets without holes; a sender's values lie in the order in which they were sent."""
    position: dict[tuple[str, str, int], int] = {}
    for event in evidence.history.events:
        if event["kind"] == "ok" and event["op"] in ("out-of-range", "seek"):
            position.pop((event["worker"], event["topic"], event["partition"]), None)
        if event["kind"] != "ok" or event["op"] != "read":
            continue
        key = (event["worker"], event["topic"], event["partition"])
        last = position.get(key)
        # Deletion may move the log start ahead of a slow reader of the trimmed topic between two fetches.
        if last is not None and event["offset"] != last + 1 and event["topic"] != TRIMMED:
            yield f"{event['worker']} read offset {event['offset']} after {last}"
        position[key] = event["offset"]
    acknowledged = {value for _, _, value in evidence.acknowledged()}
    for place, records in evidence.records.items():
        newest: dict[str, int] = defaultdict(lambda: -1)
        for record in records:
            if record.is_control or (place[0] == PLAIN and identity(record.value) not in acknowledged):
                # What was not heard of may have been under way when its sender went on over another connection.
                continue
            worker, number = sender_of(record.value)
            if number < newest[worker]:
                yield f"{place} offset {record.offset}: {worker} number {number} lies behind number {newest[worker]}"
            newest[worker] = max(newest[worker], number)


def commit_regress(evidence: Evidence) -> Iterator[str]:
    """OffsetFetch never gives less than what was committed before it was asked."""
    floor: dict[tuple[str, str, int], int] = {}
    asked: dict[str, dict[tuple[str, str, int], int]] = {}
    for event in evidence.history.events:
        if event["op"] == "commit" and event["kind"] == "ok":
            key = (event["group"], event["topic"], event["partition"])
            floor[key] = max(floor.get(key, -1), event["offset"])
        elif event["op"] == "fetch-committed" and event["kind"] == "invoke":
            asked[event["worker"]] = dict(floor)
        elif event["op"] == "fetch-committed" and event["kind"] == "ok":
            key = (event["group"], event["topic"], event["partition"])
            least = asked.get(event["worker"], {}).get(key, -1)
            if event["offset"] < least:
                yield f"{key} was committed at {least}, OffsetFetch gave {event['offset']}"
    for key, least in floor.items():
        if evidence.committed.get(key, -1) < least:
            yield f"{key} was committed at {least}; in the end it is {evidence.committed.get(key)}"


def watermark(evidence: Evidence) -> Iterator[str]:
    """Ends and starts of a partition never go back, restarts included; nor does a start that DeleteRecords answered."""
    highest: dict[tuple[str, int, str], int] = {}

    def look(key: tuple[str, int, str], offset: int) -> Iterator[str]:
        if offset < highest.get(key, 0):
            yield f"the {key[2]} of {key[:2]} went back from {highest[key]} to {offset}"
        highest[key] = max(highest.get(key, 0), offset)

    for event in evidence.history.events:
        if event["kind"] == "ok" and event["op"] == "offsets":
            yield from look((event["topic"], event["partition"], event["which"]), event["offset"])
        elif event["kind"] == "ok" and event["op"] == "delete":
            yield from look((event["topic"], event["partition"], "start"), event["low"])
    for (topic, partition), start in evidence.log_starts.items():
        yield from look((topic, partition, "start"), start)


def deleted_records(evidence: Evidence) -> Iterator[str]:
    """What DeleteRecords took does not come back."""
    for event in evidence.history.of("ok", "delete"):
        place = (event["topic"], event["partition"])
        if evidence.records[place] and evidence.records[place][0].offset < event["low"]:
            yield f"{place} begins at {evidence.records[place][0].offset}, DeleteRecords had answered {event['low']}"


def reused_producer_id(evidence: Evidence) -> Iterator[str]:
    """A producer id is never given out twice."""
    owner: dict[int, str] = {}
    for event in evidence.history.of("ok", "init-producer"):
        other = owner.setdefault(event["producer_id"], event["worker"] + str(event["t"]))
        if other != event["worker"] + str(event["t"]):
            yield f"producer id {event['producer_id']} was given to {other} and to {event['worker']}"


def refused(evidence: Evidence) -> Iterator[str]:
    """An idempotent batch that is repeated until it is answered is never refused: its sequence is always the next."""
    for event in evidence.history.of("fail", "send"):
        if event["topic"] == IDEMPOTENT:
            yield f"{event['worker']} sent {event['values'][0]} and got code {event['code']}"


def exit_code(evidence: Evidence) -> Iterator[str]:
    """The broker ends when it is told to, with 0, and when a sync fails, with 5 - and at no other time."""
    for event in evidence.history.of("note", "exit-code"):
        if event["code"] != event["wanted"]:
            said, wanted = (
                f"ended with {code}" if code is not None else "ran on" for code in (event["code"], event["wanted"])
            )
            yield f"after {event['after']} at {event['t']} the broker {said}; it should have {wanted}"


CHECKS: dict[str, Callable[[Evidence], Iterator[str]]] = {
    "lost-write": lost_write,
    "inconsistent-offset": inconsistent_offset,
    "duplicate": duplicate,
    "corrupt": corrupt,
    "gap": gap,
    "nonmonotonic": nonmonotonic,
    "commit-regress": commit_regress,
    "watermark": watermark,
    "deleted-records": deleted_records,
    "reused-producer-id": reused_producer_id,
    "refused": refused,
    "exit-code": exit_code,
}


def judge(evidence: Evidence) -> dict[str, list[str]]:
    """Violations by the name of their check; empty lists are what we want."""
    return {name: list(check(evidence)) for name, check in CHECKS.items()}


def summary(events: list[Event]) -> dict[str, int]:
    """How much was done: acknowledged records, operations, reads."""
    return {
        "operations": sum(e["kind"] == "invoke" for e in events),
        "acknowledged records": len(
            {
                value
                for e in events
                if e["kind"] == "ok" and e["op"] == "send" and e["acks"] != 0
                for value in e["values"]
            }
        ),
        "unknown outcomes": sum(e["kind"] == "info" for e in events),
        "records read": sum(e["kind"] == "ok" and e["op"] == "read" for e in events),
        "commits": sum(e["kind"] == "ok" and e["op"] == "commit" for e in events),
    }
