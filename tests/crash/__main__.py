"""Owns: ``python -m tests.crash``: an attack of a size, or of a length and a kind, that is asked for. Must never know:
how a run works."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.crash import power
from tests.crash.campaign import SIZES, conduct, report
from tests.crash.run import Options, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--size", choices=SIZES, help="rounds until the numbers of that size are reached")
    parser.add_argument("--release", dest="size", action="store_const", const="release", help="--size release")
    parser.add_argument("--seconds", type=float, default=60.0, help="without --size: length of each run")
    parser.add_argument("--runs", type=int, default=1, help="without --size")
    parser.add_argument("--power", choices=["ext4", "xfs"], help="without --size: cut the power of such a file system")
    parser.add_argument("--faults", nargs="+", default=(), help="without --size: only these")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--flush", choices=["ack", "os"], default="ack")
    parser.add_argument("--pause", type=float, nargs=2, metavar=("MIN", "MAX"), help="seconds between faults")
    parser.add_argument("--folder", type=Path, help="keep histories and data here")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="crash-"))
    pause = tuple(options.pause) if options.pause else None
    if options.size:
        return conduct(SIZES[options.size], options.seed, folder, pause, options.flush)
    if options.power and (reason := power.why_not(options.power)):
        print(f"no power cuts on {options.power} here: {reason}", file=sys.stderr)
        return 2
    failed = 0
    for seed in range(options.seed, options.seed + options.runs):
        outcome = run(
            Options(
                folder / str(seed),
                seed,
                options.seconds,
                pause or (2.0, 8.0),
                options.power,
                options.flush,
                faults=options.faults,
            )
        )
        report(seed, outcome)
        failed += not outcome.is_clean
    print(f"{options.runs - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
