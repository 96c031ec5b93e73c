"""``python -m tests.crash.prove``: runs every planted bug and fails when the checker misses one.

Owns: the proof of the checker. Must never know: how a bug is planted.
"""

from __future__ import annotations

import argparse
import datetime
import tempfile
from pathlib import Path

from tests.crash import power
from tests.crash.planted.bugs import BUGS
from tests.crash.run import Options, run

RUNS_MAX = 3
"""What a bug needs to show - two members that meet, a kill at the right moment - may not come about in some seconds."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.prove", description=__doc__)
    parser.add_argument("bugs", nargs="*", help="default: all")
    parser.add_argument("--rotate", type=int, metavar="N", help="N of them, others every day")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="prove-"))
    passed = failed = skipped = 0
    for name in options.bugs or (todays(options.rotate) if options.rotate else BUGS):
        bug = BUGS[name]
        if bug.needs_power_cut and (reason := power.why_not("ext4")):
            print(f"{name}: skipped, {reason}")
            skipped += 1
            continue
        found: dict[str, list[str]] = {}
        for number in range(RUNS_MAX):
            found |= catch(name, folder / f"{name}-{number}", options.seed + number, options.seconds * 2**number)
            missed = bug.caught_by - found.keys()
            if not missed:
                break
            print(f"{name}: not caught in run {number + 1} of at most {RUNS_MAX}", flush=True)
        verdict = (
            f"MISSED by {', '.join(sorted(missed))}" if missed else f"caught by {', '.join(sorted(bug.caught_by))}"
        )
        print(f"{name}: {verdict} (all: {', '.join(sorted(found))})", flush=True)
        passed, failed = passed + (not missed), failed + bool(missed)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


def todays(count: int) -> list[str]:
    """So many bugs, the next ones every day, so that all have their turn; none that takes privileges."""
    names = [name for name, bug in BUGS.items() if not bug.needs_power_cut]
    start = datetime.datetime.now(datetime.UTC).toordinal() * count
    return [names[(start + number) % len(names)] for number in range(count)]


def catch(name: str, folder: Path, seed: int, seconds: float) -> dict[str, list[str]]:
    """The violations that a run against the planted broker shows."""
    outcome = run(
        Options(
            folder,
            seed,
            seconds,
            pause_s=(1.0, 2.5),
            power="ext4" if BUGS[name].needs_power_cut else None,
            module=("tests.crash.planted", name),
            faults=("power-cut",) if BUGS[name].needs_power_cut else (BUGS[name].fault,),
            has_clients=False,
            heal_s=20.0,
        )
    )
    return {check: found for check, found in outcome.violations.items() if found}


if __name__ == "__main__":
    raise SystemExit(main())
