"""``python -m tests.crash.prove``: runs every planted bug and fails when the checker misses one.

Owns: the proof of the checker. Must never know: how a bug is planted.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.crash import power
from tests.crash.planted.bugs import BUGS
from tests.crash.run import Options, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.prove", description=__doc__)
    parser.add_argument("bugs", nargs="*", help="default: all")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="prove-"))
    passed = failed = skipped = 0
    for name in options.bugs or BUGS:
        bug = BUGS[name]
        if bug.needs_power_cut and (reason := power.why_not("ext4")):
            print(f"{name}: skipped, {reason}")
            skipped += 1
            continue
        found = catch(name, folder / name, options.seed, options.seconds)
        caught = bug.caught_by & found.keys()
        print(f"{name}: {'caught by ' + ', '.join(sorted(caught)) if caught else 'MISSED'} (all: {sorted(found)})")
        passed, failed = passed + bool(caught), failed + (not caught)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


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
            faults=("power-cut",) if BUGS[name].needs_power_cut else ("kill",),
            heal_s=20.0,
        )
    )
    return {check: found for check, found in outcome.violations.items() if found}


if __name__ == "__main__":
    raise SystemExit(main())
