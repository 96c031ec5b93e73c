"""Owns: what must be true of groups, given a history. Must never know: how it came about.

A partition is certainly somebody's from the answer that gave it up to the request of the last heartbeat that was
answered with success: the broker vouched for it before and after. Under the consumer protocol it also lasts up to the
request that is answered with the news that it is over. Two such times of one partition must not overlap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.crash.history import Event, History

Key = tuple[str, int]
"""Group and partition."""


class Tenure(NamedTuple):
    """A time in which a partition certainly belonged to a member."""

    begin: float
    end: float
    member: str
    generation: int


def split_ownership(history: History) -> Iterator[str]:
    """A partition has one owner in a generation, and one owner at a time."""
    owners: dict[tuple[str, int, int], str] = {}
    classic = _classic_groups(history)
    for event in history.of("ok", "assigned"):
        if event["group"] not in classic:
            continue
        for partition in event["partitions"]:
            owner = owners.setdefault((event["group"], event["generation"], partition), event["owner"])
            if owner != event["owner"]:
                place = f"partition {partition} of group {event['group']}"
                yield f"{place} belongs to {owner} and to {event['owner']} in generation {event['generation']}"
    for (group, partition), tenures in _tenures(history).items():
        tenures.sort()
        last = tenures[0] if tenures else None
        for tenure in tenures[1:]:
            assert last is not None
            if tenure.begin < last.end and tenure.member != last.member:
                yield f"partition {partition} of group {group} was {last} and {tenure}"
            last = max(last, tenure, key=lambda each: each.end)


def _classic_groups(history: History) -> set[str]:
    """Only these have generations of the whole group; in the others each member has an epoch of its own."""
    return {event["group"] for event in history.of("ok", "joined")}


def _tenures(history: History) -> dict[Key, list[Tenure]]:
    found: dict[Key, list[Tenure]] = defaultdict(list)
    since: dict[str, dict[int, float]] = defaultdict(dict)
    confirmed: dict[str, float] = {}
    asked: dict[str, float] = {}

    classic = _classic_groups(history)

    def close(event: Event, partitions: list[int], *, is_told: bool = False) -> None:
        member = event["member"]
        end = asked.get(member, -1.0) if is_told and event["group"] not in classic else confirmed.get(member, -1.0)
        for partition in partitions:
            begin = since[member].pop(partition)
            if end > begin:
                found[event["group"], partition].append(Tenure(begin, end, member, event["generation"]))

    last: dict[str, Event] = {}
    for event in history.events:
        if event["op"] == "assigned":
            lost = [partition for partition in since[event["member"]] if partition not in event["partitions"]]
            close(event, lost, is_told=True)
            for partition in event["partitions"]:
                since[event["member"]].setdefault(partition, event["t"])
            last[event["member"]] = event
        elif event["op"] == "unassigned":
            close(event, list(since[event["member"]]))
        elif event["op"] == "heartbeat" and event["kind"] == "invoke":
            asked[event["member"]] = event["t"]
        elif event["op"] == "heartbeat" and event["kind"] == "ok":
            confirmed[event["member"]] = asked[event["member"]]
    for event in last.values():
        close(event, list(since[event["member"]]))
    return found


def stale_commit(history: History) -> Iterator[str]:
    """A commit of a generation that is over, or of somebody who is no member any more, is refused."""
    for event in history.of("ok", "group-stale"):
        yield f"{event['member']} committed in generation {event['generation']} of {event['group']} at {event['t']}"
    classic = _classic_groups(history)
    newest: dict[str, int] = defaultdict(lambda: -1)
    floor: dict[str, int] = {}
    for event in history.events:
        if event["op"] == "assigned" and event["group"] in classic:
            newest[event["group"]] = max(newest[event["group"]], event["generation"])
        elif event["op"] == "commit" and event["kind"] == "invoke":
            floor[event["worker"]] = newest[event["group"]]
        elif event["op"] == "commit" and event["kind"] == "ok" and _is_late(event, floor):
            what = f"{event['worker']} committed in generation {event['generation']} of {event['group']}"
            yield f"{what} at {event['t']}, when it was in generation {floor[event['worker']]}"


def _is_late(commit: Event, floor: dict[str, int]) -> bool:
    return -1 < commit.get("generation", -1) < floor[commit["worker"]]


GROUP_CHECKS: dict[str, Callable[[History], Iterator[str]]] = {
    "split-ownership": split_ownership,
    "stale-commit": stale_commit,
}


def judge_groups(history: History) -> dict[str, list[str]]:
    """Violations by the name of their check."""
    return {name: list(check(history)) for name, check in GROUP_CHECKS.items()}


def summary(events: list[Event]) -> dict[str, int]:
    """How many generations and epochs began, and how many commits came too late."""
    begun = {(e["group"], e["generation"]) for e in events if e["kind"] == "ok" and e["op"] == "assigned"}
    return {"rebalances": len(begun), "stale commits": sum(event["op"] == "group-stale" for event in events)}
