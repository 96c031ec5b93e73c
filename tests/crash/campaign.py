"""Owns: how large an attack is - rounds, one after the other, until the numbers of its size are reached.
Must never know: how a round works.

A round has a history of its own, which lies in memory, so what is large is made of many. The seeds of the rounds follow
from the first one, which is printed. What cannot be tried here (power cuts without root, without mkfs.xfs) is said, and
its numbers are not asked for.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import power
from tests.crash.run import Options, Outcome, run

KINDS = ("ext4", "xfs")
ABORTED_PERCENT = "aborted or abandoned, percent"


@dataclass(frozen=True, slots=True)
class Size:
    """How much has to happen before it is enough."""

    seconds_min: float
    round_seconds: float
    pause_s: tuple[float, float]
    goals: Mapping[str, int]
    has_power_cuts: bool = True


SIZES = {
    "change": Size(60, 60, (0.5, 2.0), {"kills": 5}, has_power_cuts=False),
    "soak": Size(
        300, 60, (0.5, 3.0), {"operations": 20_000, "kills": 30} | {f"power cuts on {kind}": 10 for kind in KINDS}
    ),
    "release": Size(
        3600,
        300,
        (0.3, 1.0),
        {
            "acknowledged records": 1_000_000,
            "kills": 1_000,
            "kills during recovery": 100,
            "transactions": 10_000,
            ABORTED_PERCENT: 30,
            "rebalances": 200,
        }
        | {f"power cuts on {kind}": 300 for kind in KINDS},
    ),
}


@dataclass(slots=True)
class Campaign:
    """The rounds so far."""

    size: Size
    totals: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    dirty: int = 0
    kinds: list[str] = field(default_factory=list)
    """File systems whose power can be cut here."""
    findings: list[str] = field(default_factory=list)
    """Every violated row with an example. Said again at the very end, the part of a long log that people see."""

    def missing(self) -> dict[str, int]:
        """What is not reached yet, of what can be reached here."""
        unreachable = {f"power cuts on {kind}" for kind in KINDS if kind not in self.kinds}
        return {
            name: goal for name, goal in self.size.goals.items() if name not in unreachable and self.totals[name] < goal
        }

    def next_kind(self, seconds: float) -> str | None:
        """The file system of the next round; None for the one that is there anyway."""
        needed = [kind for kind in self.kinds if f"power cuts on {kind}" in self.missing()]
        if seconds < self.size.seconds_min:
            return [None, *self.kinds][self.rounds % (1 + len(self.kinds))]
        is_only_power = len(needed) == len(self.missing())
        return needed[0] if needed and (is_only_power or self.rounds % 2) else None

    def add(self, outcome: Outcome, kind: str | None) -> None:
        self.rounds += 1
        self.dirty += not outcome.is_clean
        self.totals += Counter(outcome.counts)
        self.totals["kills"] += outcome.faults.get("kills", 0)
        self.totals["kills during recovery"] += outcome.faults.get("kills during recovery", 0)
        if kind is not None:
            self.totals[f"power cuts on {kind}"] += outcome.faults.get("power-cut", 0)
        for fault, count in outcome.faults.items():
            self.totals[f"fault {fault}"] += count
        self.totals["transactions"] = self.totals["committed transactions"] + self.totals["aborted transactions"]
        self.totals[ABORTED_PERCENT] = 100 * self.totals["aborted transactions"] // max(1, self.totals["transactions"])
        self.totals["violations"] += sum(map(len, outcome.violations.values()))
        self.findings += [f"in round {self.rounds}, {line}" for line in examples(outcome)]

    def table(self) -> Iterator[str]:
        """Everything that was counted, beside what was asked for."""
        fixed = ["operations", "acknowledged records", "kills", "kills during recovery"]
        fixed += [f"power cuts on {kind}" for kind in self.kinds]
        fixed += ["transactions", ABORTED_PERCENT, "rebalances", "violations"]
        rest = sorted(self.totals.keys() - set(fixed), key=lambda name: (name.startswith("fault "), name))
        for name in [*fixed, *rest]:
            goal = self.size.goals.get(name)
            wanted = f"  of at least {goal:,}" if goal is not None else ""
            yield f"  {name:<32} {self.totals[name]:>12,}{wanted}"


def conduct(size: Size, seed: int, folder: Path, pause_s: tuple[float, float] | None, flush: str) -> int:
    """Runs rounds until all goals are reached; the exit code."""
    campaign = Campaign(size)
    for kind in KINDS if size.has_power_cuts else ():
        if reason := power.why_not(kind):
            print(f"no power cuts on {kind} here: {reason}", file=sys.stderr)
        else:
            campaign.kinds.append(kind)
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    while (seconds := time.monotonic() - began) < size.seconds_min or campaign.missing():
        kind = campaign.next_kind(seconds)
        round_seed = seed + campaign.rounds
        options = Options(
            folder / str(round_seed), round_seed, size.round_seconds, pause_s or size.pause_s, kind, flush
        )
        outcome = run(options)
        campaign.add(outcome, kind)
        report(round_seed, outcome)
        if outcome.is_clean:
            shutil.rmtree(options.folder, ignore_errors=True)
        elif campaign.dirty >= 3:
            print("three rounds with violations are enough")
            break
    print(f"seed {seed}, {campaign.rounds} rounds, {time.monotonic() - began:,.0f} s", *campaign.table(), sep="\n")
    missing = campaign.missing()
    for line in [*(f"not reached: {goal:,} {name}" for name, goal in missing.items()), *campaign.findings]:
        print(f"  {line}")
    print(f"{campaign.rounds - campaign.dirty} passed, {campaign.dirty} failed")
    return 1 if campaign.dirty or missing else 0


def report(seed: int, outcome: Outcome) -> None:
    """One paragraph a round."""
    counts = ", ".join(f"{count:,} {what}" for what, count in outcome.counts.items())
    faults = ", ".join(f"{count} {what}" for what, count in sorted(outcome.faults.items()) if count)
    print(f"seed {seed}: {counts}; {faults or 'no faults'}")
    for line in examples(outcome):
        print(f"  {line}")
    if not outcome.is_clean:
        print(f"  history: {outcome.history_path}")
    sys.stdout.flush()


def examples(outcome: Outcome) -> Iterator[str]:
    """A line for each row of the checker that was violated."""
    for name, found in outcome.violations.items():
        if found:
            yield f"VIOLATED {name}: {len(found)}, for example: {found[0]}"
