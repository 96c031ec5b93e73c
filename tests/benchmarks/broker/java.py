"""Kafka's own performance tools as clients: ProducerPerformance and ConsumerPerformance, a JVM for each run.

Owns: their command lines and what of their output is a figure. Must never know: which broker answers.

The JVM's start is not timed by the tools; its CPU is counted with the client's, because it cannot be told apart.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

from tests.benchmarks.broker.processes import cpu_seconds
from tests.peers import jvm

OPTIONS = ("-Xmx1g", "-XX:+UseParallelGC", *jvm.QUIET)
TIMEOUT_S = 150.0
_WRITTEN = re.compile(r"^(\d+) records sent, ([\d.]+) records/sec", re.MULTILINE)


def produce(bootstrap: str, pid: int, topic: str, size: int, count: int) -> tuple[float, float, float]:
    """Seconds that the sending took, CPU seconds of the client, CPU seconds of the broker; acks=all, linger.ms=5."""
    settings = (f"bootstrap.servers={bootstrap}", "acks=all", "linger.ms=5", "buffer.memory=134217728")
    arguments = ("--topic", topic, "--num-records", str(count), "--record-size", str(size), "--throughput", "-1")
    printed, client_s, broker_s = _run("ProducerPerformance", pid, *arguments, "--producer-props", *settings)
    found = _WRITTEN.findall(printed)
    if not found or int(found[-1][0]) != count:
        raise RuntimeError(f"ProducerPerformance sent something else than {count} records: {printed[-300:]}")
    return count / float(found[-1][1]), client_s, broker_s


def consume(bootstrap: str, pid: int, topic: str, count: int) -> tuple[float, float, float]:
    """The same of reading the topic from its beginning: the time of fetching, without that of joining the group."""
    arguments = ("--bootstrap-server", bootstrap, "--topic", topic, "--messages", str(count), "--timeout", "60000")
    printed, client_s, broker_s = _run("ConsumerPerformance", pid, *arguments)
    heading, figures = (line.split(", ") for line in printed.strip().splitlines()[-2:])
    row = dict(zip(heading, figures, strict=False))
    if int(row["data.consumed.in.nMsg"]) < count:
        raise RuntimeError(f"ConsumerPerformance read only {row['data.consumed.in.nMsg']} of {count} records")
    return float(row["fetch.time.ms"]) / 1000, client_s, broker_s


def _run(name: str, pid: int, *arguments: str) -> tuple[str, float, float]:
    command = [jvm.java(), *OPTIONS, "-cp", jvm.class_path(jvm.NEWEST_TOOLS), f"org.apache.kafka.tools.{name}"]
    before, broker_s = _children_s(), cpu_seconds(pid)
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with {done.returncode}: {_last(done.stderr.splitlines())}")
    return done.stdout, _children_s() - before, cpu_seconds(pid) - broker_s


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _last(lines: Sequence[str]) -> str:
    return lines[-1] if lines else "(it said nothing)"
