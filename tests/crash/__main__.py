"""Owns: ``python -m tests.crash``: a soak of the length and kind that is asked for. Must never know: how a run
works."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.crash import power
from tests.crash.run import Options, Outcome, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each run")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--power", choices=["ext4", "xfs"], help="cut the power of a loop-mounted file system, too")
    parser.add_argument("--flush", choices=["ack", "os"], default="ack")
    parser.add_argument(
        "--pause", type=float, nargs=2, default=(2.0, 8.0), metavar=("MIN", "MAX"), help="between faults"
    )
    parser.add_argument("--folder", type=Path, help="keep histories and data here")
    options = parser.parse_args()
    if options.power and (reason := power.why_not(options.power)):
        print(f"no power cuts on {options.power} here: {reason}", file=sys.stderr)
        return 2
    folder = options.folder or Path(tempfile.mkdtemp(prefix="crash-"))
    failed = 0
    for number in range(options.runs):
        seed = options.seed + number
        outcome = run(
            Options(folder / str(seed), seed, options.seconds, tuple(options.pause), options.power, options.flush)
        )
        report(seed, outcome)
        failed += not outcome.is_clean
    print(f"{options.runs - failed} passed, {failed} failed")
    return 1 if failed else 0


def report(seed: int, outcome: Outcome) -> None:
    """One paragraph a run."""
    counts = ", ".join(f"{count:,} {what}" for what, count in outcome.counts.items())
    faults = ", ".join(f"{count} {what}" for what, count in sorted(outcome.faults.items()))
    print(f"seed {seed}: {counts}; {faults or 'no faults'}")
    for name, found in outcome.violations.items():
        if found:
            print(f"  VIOLATED {name}: {len(found)}, for example: {found[0]}")
    if not outcome.is_clean:
        print(f"  history: {outcome.history_path}")


if __name__ == "__main__":
    raise SystemExit(main())
