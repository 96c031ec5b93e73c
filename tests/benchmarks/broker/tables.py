"""Tables of the broker benchmark.

Owns: what is computed from the samples: medians, ratios of the same round, percentiles.
Must never know: how a sample was taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks.broker.workloads import Connections, Idle, Load, Throughput
from tests.benchmarks.report import Table, significant


@dataclass(slots=True)
class Samples:
    """Everything that was measured. Keys are the names of the contestants; lists hold one entry per round."""

    throughput: dict[str, dict[tuple[Load, str], list[Throughput]]] = field(default_factory=dict)
    latency: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    idle: dict[str, list[Idle]] = field(default_factory=dict)
    connections: dict[str, Connections] = field(default_factory=dict)
    fixture_s: list[float] = field(default_factory=list)
    """Starts of our broker inside a test's process."""
    failures: list[str] = field(default_factory=list)


def percentile(samples: Sequence[float], percent: float) -> float:
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def ratio_of_rounds(ours: Sequence[Throughput], peers: Sequence[Throughput]) -> float:
    """The median of the rounds' ratios: what disturbs the machine for minutes disturbs both sides of one round."""
    return median(mine.rate / other.rate for mine, other in zip(ours, peers, strict=False))


def throughput_table(names: Sequence[str], peers: Sequence[str], samples: Samples) -> Table:
    columns = ["run", *names, *(f"vs {name}" for name in peers), "client CPU", "its busiest thread"]
    table = Table("Throughput in MB/s, acks=all", columns)
    for key, mine in samples.throughput[names[0]].items():
        load, run = key
        rounds = {name: samples.throughput[name].get(key, []) for name in names}
        rates = [significant(median(each.rate for each in found)) if found else "-" for found in rounds.values()]
        ratios = [f"{ratio_of_rounds(mine, rounds[name]):.2f}x" if rounds[name] else "-" for name in peers]
        share = median(each.client_cpu_s / each.seconds for each in mine)
        thread = median(each.client_thread_s / each.seconds for each in mine)
        busiest = f"{thread:.2f}" if thread else "-"
        table.add(f"{run} {load.label}", *rates, *ratios, f"{share:.2f} cores", busiest)
    return table


def cpu_table(names: Sequence[str], samples: Samples) -> Table:
    table = Table("CPU seconds of the broker per GB", ["run", *names])
    for key in samples.throughput[names[0]]:
        load, run = key
        rounds = [samples.throughput[name].get(key, []) for name in names]
        table.add(f"{run} {load.label}", *(f"{cpu_per_gigabyte(found):.2f}" if found else "-" for found in rounds))
    return table


def cpu_per_gigabyte(runs: Sequence[Throughput]) -> float:
    """Broker CPU seconds per GB; summed before dividing, because one run is only some clock ticks long."""
    moved = sum(run.megabytes for run in runs)
    return sum(run.broker_cpu_s for run in runs) / moved * 1e3 if moved else math.nan


def summary_table(names: Sequence[str], peers: Sequence[str], samples: Samples) -> Table:
    """Everything that is not MB/s: one row per figure, one column per broker, then the ratios peer / ours."""
    columns = ["figure (smaller is better)", *names, *(f"{name} / {names[0]}" for name in peers)]
    table = Table("Latency, start and memory", columns)

    def row(label: str, unit: str, values: Sequence[float | None]) -> None:
        if all(value is None for value in values):
            return
        cells = ["-" if value is None else f"{significant(value)} {unit}" for value in values]
        by_name = dict(zip(names, values, strict=True))
        ratios = [ratio_cell(values[0], by_name[name]) for name in peers]
        table.add(label, *cells, *ratios)

    for run, label in (("produce_latency", "produce latency"), ("end_to_end_latency", "end-to-end latency")):
        for percent in (50, 99):
            row(
                f"{label}, one in flight, p{percent}",
                "ms",
                [percentile(found, percent) if (found := samples.latency[name].get(run)) else None for name in names],
            )
    row(
        "peak resident memory under load",
        "MiB",
        [
            max((run.peak_mb for rounds in samples.throughput[name].values() for run in rounds), default=None)
            for name in names
        ],
    )
    idle = [samples.idle.get(name, []) for name in names]
    row(
        "process start to first ApiVersions reply",
        "ms",
        [median(each.start_s for each in found) * 1e3 if found else None for found in idle],
    )
    row("resident memory, idle", "MiB", [median(each.idle_mb for each in found) if found else None for found in idle])
    held = [samples.connections.get(name) for name in names]
    count = next((each.count for each in held if each), 0)
    row(
        f"resident memory added by {count:,} idle connections",
        "MiB",
        [each.with_mb - each.before_mb if each else None for each in held],
    )
    if samples.fixture_s:
        ms = significant(median(samples.fixture_s) * 1e3)
        table.notes.append(f"Our broker inside a test's process (the pytest fixture) starts and stops in {ms} ms.")
    return table


def ratio_cell(ours: float | None, peer: float | None) -> str:
    return f"{significant(peer / ours, 2)}x" if ours and peer is not None else "-"
