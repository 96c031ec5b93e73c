"""`python -m tests.benchmarks.codec`: our codecs beside kio, kafka-python and aiokafka, interleaved in one run.

Owns: the command, the budgets and the tables. Must never know: how a library is called (libraries.py, batches.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.codec.batches import RECORD_COUNT, BatchLibrary, installed_batch_libraries
from tests.benchmarks.codec.cases import Case, all_cases
from tests.benchmarks.codec.libraries import Library, installed_libraries
from tests.benchmarks.codec.measure import Timing, interleave
from tests.benchmarks.report import Table, geometric_mean, machine, markdown, replace_between, show, significant

# (direction, peer) -> how many times faster than the peer the geometric mean has to be.
BUDGETS = {("encode", "kio"): 5.0, ("encode", "kafka-python"): 3.0, ("decode", "kafka-python"): 1.3}


@dataclass(slots=True)
class Result:
    """One line: a label and the timing of each contestant, ours first."""

    label: str
    timings: Sequence[Timing]


def run_messages(
    libraries: Sequence[Library], cases: Sequence[Case], direction: str, rounds: int, slice_ms: float = 5.0
) -> list[Result]:
    results = []
    for case in cases:
        messages = [library.build(case) for library in libraries]
        encoders = [library.encoder(case, message) for library, message in zip(libraries, messages, strict=True)]
        wires = {bytes(encode()) for encode in encoders}
        if len(wires) != 1:
            raise RuntimeError(f"{case.label}: the libraries encode different bytes, so their times do not compare")
        functions: list[Callable[[], object]] = list(encoders)
        if direction == "decode":
            (wire,) = wires
            functions = [library.decoder(case, wire) for library in libraries]
        results.append(Result(case.label, interleave(functions, rounds, slice_ms)))
    return results


def run_batches(libraries: Sequence[BatchLibrary], rounds: int, slice_ms: float = 5.0) -> list[Result]:
    wire = bytes(libraries[0].build())
    parsers = [library.parser(wire) for library in libraries]
    for library, parse in zip(libraries, parsers, strict=True):
        if parse() != RECORD_COUNT:
            raise RuntimeError(f"{library.name} does not see {RECORD_COUNT} records")
    build = Result("build", interleave([library.build for library in libraries], rounds, slice_ms))
    return [build, Result("parse", interleave(parsers, rounds, slice_ms))]


def message_table(direction: str, names: Sequence[str], results: Sequence[Result]) -> Table:
    """Median times of all; for each peer how many times faster we are, by medians of the same rounds."""
    columns = ["message", *(f"{name} us" for name in names), *(f"vs {name}" for name in names[1:])]
    table = Table(f"Codec, {direction}: median microseconds per message", columns)
    for result in results:
        ratios = [timing.median_us / result.timings[0].median_us for timing in result.timings[1:]]
        times = [significant(timing.median_us) for timing in result.timings]
        table.add(result.label, *times, *(f"{ratio:.1f}x" for ratio in ratios))
    means = [
        geometric_mean(result.timings[peer].median_us / result.timings[0].median_us for result in results)
        for peer in range(1, len(names))
    ]
    table.add("geometric mean", *("" for _ in names), *(f"{mean:.1f}x" for mean in means))
    budgets = [BUDGETS.get((direction, name)) for name in names[1:]]
    table.add("budget", *("" for _ in names), *(f">= {budget:g}x" if budget else "-" for budget in budgets))
    return table


def batch_table(libraries: Sequence[BatchLibrary], results: Sequence[Result]) -> Table:
    names = [f"{library.name} ({library.note})" for library in libraries]
    columns = ["", *(f"{name} us" for name in names), *(f"vs {library.name}" for library in libraries[1:])]
    table = Table(f"Record batch of {RECORD_COUNT:,} records of 100 bytes: median microseconds", columns)
    for result in results:
        ratios = [timing.median_us / result.timings[0].median_us for timing in result.timings[1:]]
        times = [significant(timing.median_us) for timing in result.timings]
        table.add(result.label, *times, *(f"{ratio:.1f}x" for ratio in ratios))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.codec", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="interleaved rounds per message (default: %(default)s)")
    parser.add_argument("--slice-ms", type=float, default=5.0, help="CPU time per turn (default: %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="MESSAGE", help="measure only these (default: all eight)")
    parser.add_argument("--output", type=Path, default=Path(".cache/bench/codec.md"), help="Markdown file to write")
    parser.add_argument("--update", type=Path, help="also put the tables between the codec-bench markers of this file")
    options = parser.parse_args(arguments)

    libraries = installed_libraries()
    cases = [case for case in all_cases() if case.name in (options.only or (case.name,))]
    names = [library.name for library in libraries]
    tables = [
        message_table(way, names, run_messages(libraries, cases, way, options.rounds)) for way in ("encode", "decode")
    ]
    batch_libraries = installed_batch_libraries()
    batch_results = run_batches(batch_libraries, max(options.rounds // 2, 1), options.slice_ms)
    tables.append(batch_table(batch_libraries, batch_results))
    tables[-1].notes += [
        f"{machine()}; {', '.join(f'{library.name} {library.version}' for library in libraries)}.",
        "CPU time, interleaved round by round, on the same inputs; their encodings are equal byte for byte.",
        "kio decodes in native code (Rust); aiokafka's batches are Cython, and it lacks these versions.",
    ]
    for table in tables:
        show(table)
    text = "\n".join(markdown(table) for table in tables)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text)
    if options.update:
        replace_between(options.update, "codec-bench", text)


if __name__ == "__main__":
    main()
