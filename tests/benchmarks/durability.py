"""`python -m tests.benchmarks.durability`: what syncs cost, how long a start takes, what a flow leaves behind.

Owns: three questions about storage, and their tables. Must never know: how a broker is started or loaded.

1. Throughput and latency under both flush policies, beside Apache Kafka with its defaults and with
   log.flush.interval.messages=1.
2. How long our broker takes to start on gigabytes: after a clean stop, and after SIGKILL, when every batch behind the
   recovery point is read and its CRC checked.
3. How its memory and its disk space develop while far more passes through a topic than it keeps.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.benchmarks.broker.__main__ import Run
from tests.benchmarks.broker.contestants import Apache, Contestant, KafkaServer, SyncedApache
from tests.benchmarks.broker.processes import resident_mb
from tests.benchmarks.broker.raw import batch_of, produce_batches
from tests.benchmarks.broker.tables import summary_table, throughput_table
from tests.benchmarks.broker.workloads import Load
from tests.benchmarks.report import Table, machine, markdown, progress, show, significant, update
from tests.benchmarks.scale.__main__ import Series, measure
from tests.peers import PeerMissingError

GIB = 1 << 30
BATCH = 1000 * 1024
MANY = Series("producers", "", "producers", (50,), 10_000)
LOADS = [Load(1024, 400_000, 1), Load(1024, 400_000, 6), Load(100 * 1024, 4_000, 6)]


def policies(rounds: int, scale: float) -> list[Table]:
    """The first question."""
    contestants: list[Contestant] = [KafkaServer("disk, flush=ack"), KafkaServer("disk, flush=os")]
    missing = []
    for peer in (SyncedApache, Apache):
        try:
            contestants.append(peer())
        except PeerMissingError as error:
            missing.append(str(error))
    names = [each.name for each in contestants]
    loads = [load.scaled(scale) for load in LOADS]
    with progress(len(names) * (len(loads) * (rounds + 1) + 2 * rounds + 1)) as step:
        run = Run(contestants, step)
        try:
            for each in contestants:
                each.start()
            run.loads(loads, [], [], rounds)
            run.latencies(max(int(500 * scale), 20), rounds)
            many = {each.name: measure(each, MANY, 50, 0) for each in contestants}
        finally:
            for each in contestants:
                each.stop()
    peers = names[2:]
    throughput = throughput_table(names, peers[:1], run.samples)
    throughput.title = "A sync for every answer: throughput in MB/s, acks=all"
    latency = summary_table(names, peers[:1], run.samples)
    latency.title = "A sync for every answer: latency and memory"
    rates = [found.units / found.seconds for found in many.values()]
    ratio = [f"{rates[0] / rates[2]:.1f}x"] if peers else []
    throughput.add("50 producers of 1 KiB, requests/s", *(f"{rate:,.0f}" for rate in rates), *ratio, "", "")
    latency.notes += [f"{each.name}: {each.flush_policy}." for each in contestants]
    latency.notes += [*missing, *run.samples.failures]
    return [throughput, latency]


def fill(broker: KafkaServer, topic: str, size: int, **configs: str) -> float:
    """Brings ``size`` bytes into a new topic of one partition, in batches of 1000 KiB; seconds that took."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(topic, 1, 1, config=configs)])[topic].result(15)
    batch = batch_of(BATCH)
    work = produce_batches(broker.bootstrap, topic, 1, batch, size // len(batch))
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def starts(size: int, rounds: int) -> Table:
    """The second question."""
    table = Table(
        "Starting on what is there",
        ["after", "data", "process start to first answer", "per GiB"],
    )
    folder = Path(tempfile.mkdtemp(prefix="bench-starts-"))
    broker = KafkaServer("disk, flush=os", folder)
    try:
        broker.start()
        fill(broker, "filled", size)
        clean, unclean = [], []
        for _ in range(rounds):
            broker.stop()
            clean.append(broker.start())
        for _ in range(rounds):
            # Nothing may be left to the recovery point that the last start wrote: all of it is read again.
            broker.kill()
            (folder / "recovery-point-offset-checkpoint").unlink(missing_ok=True)
            unclean.append(broker.start())
        for label, found in (("a clean stop", clean), ("SIGKILL, nothing checkpointed", unclean)):
            seconds = median(found)
            table.add(label, f"{significant(size / GIB)} GiB", f"{seconds:.2f} s", f"{seconds / size * GIB:.3f} s")
    finally:
        broker.stop()
        shutil.rmtree(folder)
    return table


def flow(size: int, kept: int) -> Table:
    """The third question."""
    folder = Path(tempfile.mkdtemp(prefix="bench-flow-"))
    broker = KafkaServer("disk, flush=os", folder, **{"log.retention.check.interval.ms": "1000"})
    samples: list[tuple[float, float]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            samples.append((resident_mb(broker.pid), du(folder) / GIB))

    try:
        broker.start()
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            segment = str(64 << 20)
            delays = {"file.delete.delay.ms": "1000", "retention.ms": "-1"}
            seconds = fill(broker, "flow", size, **{"retention.bytes": str(kept), "segment.bytes": segment, **delays})
            time.sleep(4)
        finally:
            ended.set()
            watcher.join()
    finally:
        broker.stop()
        shutil.rmtree(folder)
    table = Table(
        f"{significant(size / 1e9)} GB through a topic that keeps {significant(kept / 1e9)} GB",
        ["figure", "after a tenth", "half way", "at the end", "most"],
    )
    memory, room = zip(*samples, strict=True)
    for label, found in (("resident memory, MiB", memory), ("data folder, GiB", room)):
        points = (found[len(found) // 10], found[len(found) // 2], found[-1], max(found))
        table.add(label, *(significant(value) for value in points))
    table.notes.append(f"In {seconds:.0f} s, {size / seconds / 1e6:,.0f} MB/s; one partition, batches of 1000 KiB.")
    return table


def du(folder: Path) -> int:
    """Bytes that the files in a folder take, as far as they stay long enough to be looked at."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.durability", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds per figure (default: %(default)s)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the volumes (default: %(default)s)")
    parser.add_argument("--parts", nargs="+", default=("policies", "starts", "flow"), help="what to measure")
    parser.add_argument("--output", type=Path, default=Path(".cache/bench"), help="folder for durability.md")
    parser.add_argument("--update", type=Path, nargs="+", help="also put the tables into these files")
    options = parser.parse_args(arguments)
    tables = []
    if "policies" in options.parts:
        tables += policies(options.rounds, options.scale)
    if "starts" in options.parts:
        tables.append(starts(int(10 * GIB * options.scale), options.rounds))
    if "flow" in options.parts:
        tables.append(flow(int(20e9 * options.scale), int(1e9 * options.scale)))
    tables[-1].notes.append(f"{machine()}.")
    for table in tables:
        show(table)
    text = "\n".join(markdown(table) for table in tables)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "durability.md").write_text(text)
    if options.update:
        update(options.update, {"durability-bench": text})


if __name__ == "__main__":
    main()
