"""`python -m tests.benchmarks.broker`: our broker beside Apache Kafka and Tansu, interleaved in one run.

Owns: the command, the order of the runs, progress, and the files that are written.
Must never know: how a broker is started (contestants.py) or loaded (workloads.py, client.py).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.broker.contestants import FLUSH_POLICIES, Contestant, available_contestants
from tests.benchmarks.broker.tables import Samples, cpu_table, summary_table, throughput_table
from tests.benchmarks.broker.workloads import (
    JAVA_LOADS,
    LOADS,
    RAW_LOADS,
    Load,
    fixture_starts,
    idle_connections,
    java_throughput,
    latency,
    raw_throughput,
    start_and_stop,
    throughput,
)
from tests.benchmarks.report import Table, machine, markdown, progress, show, update

LATENCY_RUNS = ("produce_latency", "end_to_end_latency")
PARTS = ("throughput", "java", "latency", "start", "connections")


class Run:
    """One run of the benchmark over some contestants. A step that fails is reported; the others go on."""

    def __init__(self, contestants: Sequence[Contestant], step: Callable[[str], None]) -> None:
        self.contestants = list(contestants)
        self.samples = Samples()
        self._step = step

    @contextlib.contextmanager
    def _guard(self, contestant: Contestant, what: str) -> Iterator[None]:
        self._step(f"{contestant.name}: {what}")
        try:
            yield
        except Exception as error:
            self.samples.failures.append(f"{contestant.name}, {what}: {str(error).splitlines()[0]}")

    def _rounds(self, rounds: int) -> Iterator[tuple[int, Contestant]]:
        """Every contestant once per round; who begins changes from round to round."""
        for number in range(rounds):
            shift = number % len(self.contestants)
            for contestant in self.contestants[shift:] + self.contestants[:shift]:
                yield number, contestant

    def loads(self, loads: Sequence[Load], raw_loads: Sequence[Load], java_loads: Sequence[Load], rounds: int) -> None:
        """A round that warms up (a JVM needs it) is run for each load and thrown away."""
        for contestant in self.contestants:
            self.samples.throughput[contestant.name] = {}
        runs = [(load, throughput, ("produce", "consume")) for load in loads]
        runs += [(load, raw_throughput, ("raw produce", "raw fetch")) for load in raw_loads]
        runs += [(load, java_throughput, ("Java perf tool, produce", "Java perf tool, consume")) for load in java_loads]
        for load, measure, names in runs:
            for number, contestant in self._rounds(rounds + 1):
                with self._guard(contestant, f"{names[0]} {load.label}, round {number} of {rounds}"):
                    sections = measure(contestant, load, number)
                    kept = self.samples.throughput[contestant.name]
                    for name, section in zip(names, sections, strict=True):
                        if number:
                            kept.setdefault((load, name), []).append(section)

    def latencies(self, count: int, rounds: int) -> None:
        for contestant in self.contestants:
            self.samples.latency[contestant.name] = {}
        for run in LATENCY_RUNS:
            for number, contestant in self._rounds(rounds):
                with self._guard(contestant, f"{run.replace('_', ' ')}, round {number + 1} of {rounds}"):
                    found = latency(contestant, run, count, number)
                    self.samples.latency[contestant.name].setdefault(run, []).extend(found)

    def starts(self, rounds: int, settle_s: float) -> None:
        """The first start of each is thrown away, too: it compiles modules and fills the page cache."""
        for number, contestant in self._rounds(rounds + 1):
            with self._guard(contestant, f"start {number} of {rounds}"):
                found = start_and_stop(contestant, settle_s)
                if number:
                    self.samples.idle.setdefault(contestant.name, []).append(found)

        self.samples.fixture_s = fixture_starts(max(rounds, 1) * 5)

    def connections(self, count: int, settle_s: float) -> None:
        for contestant in self.contestants:
            with self._guard(contestant, f"{count} idle connections"):
                self.samples.connections[contestant.name] = idle_connections(contestant, count, settle_s)


def wanted_loads(loads: Sequence[Load], options: argparse.Namespace) -> list[Load]:
    return [
        load.scaled(options.scale)
        for load in loads
        if load.size in (options.sizes or (load.size,))
        and load.partitions in (options.partitions or (load.partitions,))
    ]


def run_all(contestants: Sequence[Contestant], options: argparse.Namespace) -> Samples:
    loads = wanted_loads(LOADS, options)
    raw_loads = wanted_loads(RAW_LOADS, options)
    java_loads = wanted_loads(JAVA_LOADS, options) if "java" in options.parts else []
    if "throughput" not in options.parts:
        loads = raw_loads = []
    per_round = len(contestants)
    total = per_round * (
        (len(loads) + len(raw_loads) + len(java_loads)) * (options.rounds + 1) + 2 * options.rounds + options.rounds + 2
    )
    with progress(total) as step:
        run = Run(contestants, step)
        if {"throughput", "java", "latency"} & set(options.parts):
            with contextlib.ExitStack() as stack:
                for contestant in contestants:
                    contestant.start()
                    stack.callback(contestant.stop)
                if loads or raw_loads or java_loads:
                    run.loads(loads, raw_loads, java_loads, options.rounds)
                if "latency" in options.parts:
                    run.latencies(max(int(options.latency_samples * min(options.scale, 1)), 20), options.rounds)
        if "start" in options.parts:
            run.starts(options.rounds, options.settle)
        if "connections" in options.parts:
            run.connections(options.connections, options.settle)
        return run.samples


def tables_of(contestants: Sequence[Contestant], samples: Samples, missing: Sequence[str], rounds: int) -> list[Table]:
    names = [contestant.name for contestant in contestants]
    peers = [contestant.name for contestant in contestants if contestant.is_peer]
    tables = []
    if samples.throughput:
        tables += [throughput_table(names, peers, samples), cpu_table(names, samples)]
    for name in names:
        samples.latency.setdefault(name, {})
        samples.throughput.setdefault(name, {})
    tables.append(summary_table(names, peers, samples))
    about = [f"{each.name} {each.version}: {each.flush_policy}" for each in contestants]
    tables[-1].notes += [
        f"{machine()}; load average {os.getloadavg()[0]:.1f} when the run ended.",
        f"{'; '.join(about)}.",
        f"Medians of {rounds} rounds; the brokers take turns within each round, and a ratio is the median of the"
        " rounds' ratios. Above 1 we are better.",
        "client CPU: cores that the client used against our broker. When its busiest thread is near 1.0, the client and"
        " not the broker is the limit.",
        "Clients: librdkafka; raw: ready-made batches over one socket, five requests in flight; Java perf tool:"
        " ProducerPerformance and ConsumerPerformance, with the start of their JVM in their CPU but not in their time.",
        "Before each run as much memory is touched as it will take, because memory that is new to a virtual machine"
        " costs more than any broker does with it; files of deleted topics go after a second instead of a minute."
        " All else is left at its default.",
        *(f"Missing: {reason}" for reason in missing),
        *(f"Failed: {failure}" for failure in samples.failures),
    ]
    return tables


def as_json(contestants: Sequence[Contestant], samples: Samples) -> str:
    throughput_rows = [
        {
            "broker": name,
            "run": run,
            "size": load.size,
            "partitions": load.partitions,
            "count": load.count,
            **asdict(each),
        }
        for name, kept in samples.throughput.items()
        for (load, run), rounds in kept.items()
        for each in rounds
    ]
    document = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "python": platform.python_version(),
        "brokers": {each.name: {"version": each.version, "flush": each.flush_policy} for each in contestants},
        "throughput": throughput_rows,
        "latency_ms": samples.latency,
        "idle": {name: [asdict(each) for each in found] for name, found in samples.idle.items()},
        "connections": {name: asdict(each) for name, each in samples.connections.items()},
        "failures": samples.failures,
    }
    return json.dumps(document, indent=1)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.broker", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds per figure (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", help="only these message sizes in bytes (default: all)")
    parser.add_argument("--partitions", type=int, nargs="+", help="only these partition counts (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the volumes (default: %(default)s)")
    parser.add_argument("--latency-samples", type=int, default=1000, help="messages per latency run")
    parser.add_argument("--connections", type=int, default=10_000, help="idle connections (default: %(default)s)")
    parser.add_argument(
        "--settle", type=float, default=1.0, help="seconds before memory is read (default: %(default)s)"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument(
        "--storage",
        nargs="+",
        choices=FLUSH_POLICIES,
        default=["disk, flush=os", "memory"],
        help="our broker's storage; the ratios are those of the first one (default: both but flush=ack)",
    )
    parser.add_argument("--without", nargs="+", default=[], metavar="PEER", help="leave out a peer: Apache, Tansu")
    parser.add_argument("--output", type=Path, default=Path(".cache/bench"), help="folder for broker.json, broker.md")
    parser.add_argument("--update", type=Path, nargs="+", help="also put the tables into these files")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    contestants, missing = available_contestants(options.storage, options.without)
    samples = run_all(contestants, options)
    tables = tables_of(contestants, samples, missing, options.rounds)
    for table in tables:
        show(table)
    text = "\n".join(markdown(table) for table in tables)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "broker.md").write_text(text)
    (options.output / "broker.json").write_text(as_json(contestants, samples))
    if options.update:
        parts = {"broker-bench": [tables[0], tables[-1]], "broker-cpu": tables[1:2]}
        update(options.update, {marker: "\n".join(map(markdown, found)) for marker, found in parts.items()})


if __name__ == "__main__":
    main()
