"""What is measured on each broker, one function per kind of run.

Owns: topics, volumes and client processes of the runs. Must never know: which brokers there are, or tables.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_server.infrastructure.event_loop import new_event_loop
from kafka_server.testing.broker import running_broker
from tests.benchmarks.broker import java
from tests.benchmarks.broker.contestants import Contestant
from tests.benchmarks.broker.memory import warm
from tests.benchmarks.broker.processes import peak_resident_mb, reset_peak, resident_mb

CLIENT_TIMEOUT_S = 150.0


@dataclass(frozen=True, slots=True)
class Load:
    """One throughput run: `count` messages of `size` bytes over `partitions` partitions."""

    size: int
    count: int
    partitions: int

    @property
    def label(self) -> str:
        size = f"{self.size // 1024} KiB" if self.size >= 1024 else f"{self.size} B"
        return f"{size}, {self.partitions} partition{'s' if self.partitions > 1 else ''}"

    @property
    def bytes(self) -> int:
        return self.size * self.count

    def scaled(self, factor: float) -> Load:
        return Load(self.size, max(int(self.count * factor), 10 * self.partitions), self.partitions)


LOADS = [
    Load(size, count, partitions)
    for size, count in ((100, 4_000_000), (1024, 1_000_000), (100 * 1024, 10_000))
    for partitions in (1, 6)
]


RAW_LOADS = [Load(size, count, 1) for size, count in ((16 * 1024, 64_000), (1000 * 1024, 1_000))]
"""Batches by raw sockets: Java's default batch.size, and what librdkafka fills when it is busy."""


JAVA_LOADS = [Load(100, 1_500_000, 6), Load(1024, 500_000, 6)]
"""By Kafka's own perf tools: long enough for their JVM to get warm."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """One produce or consume run. Shares are CPU seconds per second of wall time, so 1.0 is one core."""

    messages: int
    size: int
    seconds: float
    client_cpu_s: float
    broker_cpu_s: float
    peak_mb: float
    client_thread_s: float = 0.0
    """CPU time of the client's busiest thread; 0 when it is not known."""

    @property
    def megabytes(self) -> float:
        return self.messages * self.size / 1e6

    @property
    def rate(self) -> float:
        return self.megabytes / self.seconds


def run_client(run: str, **arguments: Any) -> Any:
    """Run `client.py` in a process of its own and return what it prints."""
    command = [sys.executable, "-m", "tests.benchmarks.broker.client", json.dumps({"run": run, **arguments})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CLIENT_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the client's {run} run failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout)


class Topic:
    """A topic that exists inside a `with` block."""

    def __init__(self, bootstrap: str, name: str, partitions: int) -> None:
        # log_level 0: what a broker does to idle connections while it stops is no news to a benchmark.
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self.name = name
        self._partitions = partitions

    def __enter__(self) -> Topic:
        self._admin.create_topics([NewTopic(self.name, self._partitions, 1)])[self.name].result(15)
        return self

    def __exit__(self, *_: object) -> None:
        self._admin.delete_topics([self.name])[self.name].result(15)


def throughput(contestant: Contestant, load: Load, round_number: int) -> tuple[Throughput, Throughput]:
    """Produce into a fresh topic and consume it again: thrice, because that is short, and the middle one counts."""
    runs = []
    pid = contestant.pid
    common = {"bootstrap": contestant.bootstrap, "pid": pid, "partitions": load.partitions, "count": load.count}
    with Topic(contestant.bootstrap, f"load-{load.size}-{load.partitions}-{round_number}", load.partitions) as topic:
        for run, extra in (("produce", {"size": load.size}), *[("consume", {})] * 3):
            reset_peak(pid)
            warm(2 * load.bytes if run == "produce" else 0)
            section = run_client(run, topic=topic.name, **common, **extra)
            runs.append(Throughput(size=load.size, peak_mb=peak_resident_mb(pid), **section))
    produced, *consumed = runs
    return produced, sorted(consumed, key=lambda each: each.rate)[1]


def raw_throughput(contestant: Contestant, load: Load, round_number: int) -> tuple[Throughput, Throughput]:
    """The same by a client that hands over ready-made batches: the broker is the limit then."""
    pid = contestant.pid
    with Topic(contestant.bootstrap, f"raw-{load.size}-{load.partitions}-{round_number}", load.partitions) as topic:
        reset_peak(pid)
        warm(2 * load.bytes)
        arguments = {"partitions": load.partitions, "size": load.size, "count": load.count}
        sections = run_client("raw", bootstrap=contestant.bootstrap, pid=pid, topic=topic.name, **arguments)
        peak_mb = peak_resident_mb(pid)
        produced, consumed = (Throughput(size=load.size, peak_mb=peak_mb, **section) for section in sections)
        return produced, consumed


def java_throughput(contestant: Contestant, load: Load, round_number: int) -> tuple[Throughput, Throughput]:
    """The same by ProducerPerformance and ConsumerPerformance."""
    pid = contestant.pid
    with Topic(contestant.bootstrap, f"java-{load.size}-{load.partitions}-{round_number}", load.partitions) as topic:
        runs = []
        where = (contestant.bootstrap, pid, topic.name)
        for measure in (
            lambda: java.produce(*where, load.size, load.count),
            lambda: java.consume(*where, load.count),
        ):
            reset_peak(pid)
            warm(2 * load.bytes)
            seconds, client_s, broker_s = measure()
            runs.append(Throughput(load.count, load.size, seconds, client_s, broker_s, peak_resident_mb(pid)))
        produced, consumed = runs
        return produced, consumed


def latency(contestant: Contestant, run: str, count: int, round_number: int) -> list[float]:
    """Milliseconds per message, one in flight; `run` is produce_latency or end_to_end_latency."""
    with Topic(contestant.bootstrap, f"{run.replace('_', '-')}-{round_number}", 1) as topic:
        samples: list[float] = run_client(run, bootstrap=contestant.bootstrap, topic=topic.name, count=count)
        return samples


@dataclass(frozen=True, slots=True)
class Idle:
    start_s: float
    idle_mb: float


def start_and_stop(contestant: Contestant, settle_s: float) -> Idle:
    """A start on a fresh data folder, and the resident memory a moment later."""
    start_s = contestant.start()
    try:
        time.sleep(settle_s)
        return Idle(start_s, resident_mb(contestant.pid))
    finally:
        contestant.stop()


def fixture_starts(count: int) -> list[float]:
    """Seconds that a broker inside a test's process takes to start, its end included; the first one imports."""

    async def start_all() -> list[float]:
        found = []
        for _ in range(count + 1):
            started = time.perf_counter()
            async with running_broker():
                pass
            found.append(time.perf_counter() - started)
        return found[1:]

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(start_all())


@dataclass(frozen=True, slots=True)
class Connections:
    count: int
    before_mb: float
    with_mb: float


def idle_connections(contestant: Contestant, count: int, settle_s: float) -> Connections:
    """Resident memory of a fresh broker before and while `count` connections are open and idle."""
    contestant.start()
    try:
        time.sleep(settle_s)
        before = resident_mb(contestant.pid)
        arguments = {"run": "connections", "bootstrap": contestant.bootstrap, "count": count}
        command = [sys.executable, "-m", "tests.benchmarks.broker.client", json.dumps(arguments)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as client:
            assert client.stdout is not None
            assert client.stderr is not None
            if not client.stdout.readline():
                raise RuntimeError(f"the client could not open {count} connections:\n{client.stderr.read()[-1000:]}")
            time.sleep(settle_s)
            result = Connections(count, before, resident_mb(contestant.pid))
            client.communicate(timeout=30)
            return result
    finally:
        contestant.stop()
