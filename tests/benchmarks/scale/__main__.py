"""`python -m tests.benchmarks.scale`: what one more client, partition or topic costs, beside Apache Kafka and Tansu.

Owns: the series, the table and the order of the runs. Must never know: how brokers are started or loaded, how lines are
drawn (plot.py).

Every figure is the broker's CPU per unit of work while there are so many clients or partitions: a line that stays level
means that cost grows linearly, one that falls that it grows more slowly, one that rises is a bend to be explained.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.benchmarks.broker.contestants import Contestant, available_contestants
from tests.benchmarks.report import Table, machine, markdown, progress, show, significant, update
from tests.benchmarks.scale.crowd import Measured

PATIENCE_S = 180
AT_ONCE = 5_000
"""Partitions that every broker makes in one request."""


@dataclass(frozen=True, slots=True)
class Series:
    """One run of the crowd (``run``) at growing sizes."""

    run: str
    title: str
    axis: str
    sizes: tuple[int, ...]
    work: int
    """Units in one measurement, or a little more."""
    is_of_partitions: bool = False
    """What grows are partitions, not clients."""

    def arguments(self, size: int) -> dict[str, int]:
        """What the crowd is told."""
        partitions = size if self.is_of_partitions else 1
        per_request = {"fan_out": size, "wide_fetch": size, "metadata": size}.get(self.run, 1)
        requests = (
            0 if self.run == "pollers" else max(self.work // per_request, size if self.run == "producers" else 10)
        )
        return {"clients": 1 if self.is_of_partitions else size, "partitions": partitions, "requests": requests}


ALL = (
    Series("producers", "a produce of 1 KiB, many producers", "producers", (1, 10, 50, 200, 1000), 20_000),
    Series("idlers", "a produce of 1 KiB beside silent clients", "silent clients", (1, 100, 1000), 10_000),
    Series("pollers", "a fetch that waits in vain", "polling consumers", (1, 50, 200, 1000), 0),
    Series("fan_out", "a record to one of many waiting consumers", "waiting consumers", (1, 10, 50, 200, 1000), 20_000),
    Series("spread", "a produce of 1 KiB, many partitions", "partitions", (1, 10, 100, 1000, 5000), 15_000, True),
    Series("wide_fetch", "one partition of a fetch of all", "partitions", (1, 10, 100, 1000, 5000), 50_000, True),
    Series("metadata", "one partition of a metadata refresh", "partitions", (10, 100, 1000, 10_000), 100_000, True),
)

Samples = dict[tuple[str, str, int], list[Measured]]
"""By broker, run and size; one entry per round."""


def crowd(contestant: Contestant, series: Series, size: int, topic: str) -> Measured:
    """One measurement by a client process."""
    arguments = {"run": series.run, "bootstrap": contestant.bootstrap, "pid": contestant.pid, "topic": topic}
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks.scale.crowd",
        json.dumps({**arguments, **series.arguments(size)}),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["the crowd failed"])[-1])
    return Measured(**json.loads(done.stdout))


def measure(contestant: Contestant, series: Series, size: int, number: int) -> Measured:
    """The same on a topic of its own; each partition has one record when the run is a fetch of all."""
    admin = AdminClient({"bootstrap.servers": contestant.bootstrap, "log_level": 0})
    topic = f"scale-{series.run}-{size}-{number}".replace("_", "-")
    partitions = series.arguments(size)["partitions"]
    try:
        create(admin, topic, partitions)
        await_leaders(admin, topic, partitions)
        if series.run == "wide_fetch":
            crowd(contestant, Series("spread", "", "", (), size, True), size, topic)
        return crowd(contestant, series, size, topic)
    finally:
        admin.delete_topics([topic], operation_timeout=PATIENCE_S, request_timeout=PATIENCE_S)[topic].result(PATIENCE_S)


def create(admin: AdminClient, topic: str, partitions: int) -> None:
    """Apache Kafka refuses to make 10,000 partitions at once, so what one request may make is added to."""
    patience = {"operation_timeout": PATIENCE_S, "request_timeout": PATIENCE_S}
    try:
        admin.create_topics([NewTopic(topic, partitions, 1)], **patience)[topic].result(PATIENCE_S)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.POLICY_VIOLATION:
            raise
        admin.create_topics([NewTopic(topic, AT_ONCE, 1)], **patience)[topic].result(PATIENCE_S)
        for count in (*range(2 * AT_ONCE, partitions, AT_ONCE), partitions):
            admin.create_partitions([NewPartitions(topic, count)], **patience)[topic].result(PATIENCE_S)


def await_leaders(admin: AdminClient, topic: str, count: int) -> None:
    """Apache Kafka's brokers learn of a new topic's partitions a while after it was created, and lead them later still:
    each has to answer for its end before the clock starts."""
    deadline = time.monotonic() + PATIENCE_S
    wanted = {TopicPartition(topic, index): OffsetSpec.latest() for index in range(count)}
    while time.monotonic() < deadline:
        for partition, answer in admin.list_offsets(dict(wanted), request_timeout=PATIENCE_S).items():
            with contextlib.suppress(KafkaException):
                answer.result()
                del wanted[partition]
        if not wanted:
            return
        time.sleep(0.5)
    raise TimeoutError(f"{topic}: {len(wanted)} of {count} partitions have no leader after {PATIENCE_S} s")


def run_all(contestants: Sequence[Contestant], wanted: Sequence[Series], rounds: int) -> tuple[Samples, list[str]]:
    """Every series on every broker; the brokers take turns at each size."""
    samples: Samples = {}
    failures: list[str] = []
    steps = rounds * len(contestants) * sum(len(series.sizes) for series in wanted)
    with contextlib.ExitStack() as stack, progress(steps) as step:
        for contestant in contestants:
            contestant.start()
            stack.callback(contestant.stop)
        for series in wanted:
            for size in series.sizes:
                for number in range(rounds):
                    for contestant in contestants:
                        step(f"{contestant.name}: {series.run}, {size} {series.axis}")
                        try:
                            found = measure(contestant, series, size, number)
                        except Exception as error:
                            failures.append(f"{contestant.name}, {series.run} with {size}: {error}")
                        else:
                            samples.setdefault((contestant.name, series.run, size), []).append(found)
    return samples, failures


def cpu_us(found: Sequence[Measured]) -> float:
    """Broker CPU per unit in microseconds; summed before dividing, because a run is only some clock ticks long."""
    return sum(each.broker_cpu_s for each in found) / max(sum(each.units for each in found), 1) * 1e6


def table_of(names: Sequence[str], wanted: Sequence[Series], samples: Samples) -> Table:
    table = Table(
        "Cost per unit as numbers grow: microseconds of broker CPU, in brackets of wall time", ["unit", "with", *names]
    )
    for series in wanted:
        for size in series.sizes:
            cells = []
            for name in names:
                found = samples.get((name, series.run, size))
                wall = median(each.seconds / max(each.units, 1) for each in found) * 1e6 if found else 0
                cells.append(f"{significant(cpu_us(found))} ({significant(wall)})" if found else "-")
            table.add(series.title if size == series.sizes[0] else "", f"{size:,} {series.axis}", *cells)
    return table


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="rounds per figure (default: %(default)s)")
    parser.add_argument("--runs", nargs="+", choices=[each.run for each in ALL], help="only these (default: all)")
    parser.add_argument("--most", type=int, default=10_000, help="no more clients or partitions than this")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the work (default: %(default)s)")
    parser.add_argument("--without", nargs="+", default=[], metavar="PEER", help="leave out a peer: Apache, Tansu")
    parser.add_argument("--output", type=Path, default=Path(".cache/bench"), help="folder for scale.md and scale.svg")
    parser.add_argument("--plot", type=Path, help="also write the plot to this file")
    parser.add_argument("--update", type=Path, nargs="+", help="also put the tables into these files")
    return parser.parse_args(arguments)


def wanted_series(options: argparse.Namespace) -> list[Series]:
    return [
        Series(
            each.run,
            each.title,
            each.axis,
            tuple(size for size in each.sizes if size <= options.most),
            int(each.work * options.scale),
            each.is_of_partitions,
        )
        for each in ALL
        if options.runs is None or each.run in options.runs
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    wanted = wanted_series(options)
    contestants, missing = available_contestants(["disk, flush=os"], options.without)
    samples, failures = run_all(contestants, wanted, options.rounds)
    names = [contestant.name for contestant in contestants]
    table = table_of(names, wanted, samples)
    table.notes += [
        f"{machine()}.",
        *(f"Missing: {reason}" for reason in missing),
        *(f"Failed: {failure}" for failure in failures),
    ]
    show(table)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "scale.md").write_text(markdown(table))
    try:
        from tests.benchmarks.scale.plot import draw
    except ImportError as error:
        print(f"no plot: {error}", file=sys.stderr)
    else:
        lines = {
            (series.title, series.axis): {
                name: [
                    (size, cpu_us(samples[name, series.run, size]))
                    for size in series.sizes
                    if (name, series.run, size) in samples
                ]
                for name in names
            }
            for series in wanted
        }
        for path in filter(None, (options.output / "scale.svg", options.plot)):
            draw(lines, path)
    if options.update:
        update(options.update, {"scale-bench": markdown(table)})


if __name__ == "__main__":
    main()
