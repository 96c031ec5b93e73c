"""`python -m tests.benchmarks.cores`: what a second core could be used for - worker processes, and threads for the work
that needs no interpreter.

Owns: the comparison that the concurrency model rests on (ARCHITECTURE.md). Must never know: other brokers.

Two clients at two brokers, each with a topic of its own, are the most that two worker processes of one broker could
reach: no request ever travels from one to the other there. A thread is worth its way there and back only for work that
is longer than that way; what the event loop pays is the way, because the work itself holds no lock of the interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from kafka_server.domain.record_batch import crc32c
from kafka_server.infrastructure.compression import Codecs
from tests.benchmarks.broker.contestants import KafkaServer
from tests.benchmarks.broker.processes import cpu_seconds
from tests.benchmarks.broker.raw import batch_of, fetch_batches, produce_batches
from tests.benchmarks.report import Table, machine, markdown, show, significant, update

CLIENTS = 2
SIZES = {1024: 20_000, 16 << 10: 10_000, 1000 << 10: 300}
"""Batches of each client, by their size in bytes."""
CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

Runs = {"produce": produce_batches, "fetch": fetch_batches}


def client(run: str, bootstrap: str, topic: str, size: int, gate: Any, seconds: Any) -> None:
    """One client process: connects, waits until all are there, works."""
    work = Runs[run](bootstrap, topic, 1, batch_of(size), SIZES[size])
    gate.wait()
    began = time.perf_counter()
    work()
    seconds.put(time.perf_counter() - began)


def throughput(run: str, size: int, brokers: Sequence[KafkaServer], topics: Sequence[str]) -> tuple[float, float]:
    """Batches per second of all clients together, and broker CPU in microseconds per batch."""
    processes = multiprocessing.get_context("spawn")
    gate, seconds = processes.Barrier(CLIENTS), processes.Queue()
    before = sum(cpu_seconds(broker.pid) for broker in brokers)
    clients = [
        processes.Process(
            target=client, args=(run, brokers[at % len(brokers)].bootstrap, topics[at], size, gate, seconds)
        )
        for at in range(CLIENTS)
    ]
    for one in clients:
        one.start()
    slowest = max(seconds.get(timeout=120) for _ in clients)
    for one in clients:
        one.join()
    spent = sum(cpu_seconds(broker.pid) for broker in brokers) - before
    count = CLIENTS * SIZES[size]
    return count / slowest, spent / count * 1e6


def create(broker: KafkaServer, topics: Sequence[str]) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    for done in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        done.result(15)


def workers(rounds: int) -> Table:
    table = Table(
        f"{CLIENTS} clients, batches per second (broker CPU per batch, microseconds)",
        ["batches", "one process", "two processes", "two / one"],
    )
    alone, first, second = (KafkaServer("disk, flush=os") for _ in range(3))
    brokers = (alone, first, second)
    try:
        for broker in brokers:
            broker.start()
        for size in SIZES:
            found: dict[tuple[str, bool], list[tuple[float, float]]] = {}
            for number in range(rounds):
                topics = [f"cores-{size}-{number}-{at}" for at in range(CLIENTS)]
                for broker in brokers:
                    create(broker, topics)
                for run in Runs:
                    for pair in ((alone,), (first, second)):
                        found.setdefault((run, len(pair) == 2), []).append(throughput(run, size, pair, topics))
            for run in Runs:
                cells = []
                for is_split in (False, True):
                    rates, costs = zip(*found[run, is_split], strict=True)
                    cells.append((median(rates), median(costs)))
                table.add(
                    f"{run} {size >> 10} KiB",
                    *(f"{rate:,.0f} ({significant(cost)})" for rate, cost in cells),
                    f"{cells[1][0] / cells[0][0]:.2f}x",
                )
    finally:
        for broker in brokers:
            broker.stop()
    return table


# ---- threads ---------------------------------------------------------------------------------------------------------


def encrypting(folder: Path) -> Callable[[bytes], object]:
    """Encrypts bytes in records of TLS 1.3. The handshake is over when it returns. Needs the command ``openssl``."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    ask = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*ask, *files], check=True, capture_output=True)
    of_server, of_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(certificate))
    of_server.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = of_server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [of_client.wrap_bio(to_client, to_server, server_hostname="localhost"), server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)

    def encrypt(data: bytes) -> None:
        server.write(data)
        to_client.read()

    return encrypt


def kinds_of_work(file: int, folder: Path) -> dict[str, Callable[[bytes], object]]:
    compression = Codecs()
    return {
        "CRC-32C": crc32c,
        "TLS 1.3, encrypt": encrypting(folder),
        **{f"compress, {name}": lambda data, c=codec: compression.compress(c, data) for codec, name in CODECS.items()},
        "write and fdatasync": lambda data: (os.pwrite(file, data, 0), os.fdatasync(file)),
    }


async def in_thread(executor: ThreadPoolExecutor, work: Callable[[], object], count: int) -> tuple[float, float]:
    """Microseconds of wall time there and back, and of the event loop's thread."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(executor, work)
    wall, own = time.perf_counter(), time.thread_time()
    for _ in range(count):
        await loop.run_in_executor(executor, work)
    return (time.perf_counter() - wall) / count * 1e6, (time.thread_time() - own) / count * 1e6


async def threads(rounds: int) -> Table:
    table = Table(
        "The same work in the event loop and in a thread, microseconds",
        [
            "work",
            *(f"{size}: {what}" for size in ("16 KiB", "1 MiB") for what in ("here", "there and back", "the loop's")),
        ],
    )
    rng = random.Random(1)
    words = [rng.randbytes(rng.randrange(4, 12)) for _ in range(200)]
    text = b"".join(rng.choice(words) for _ in range(180_000))[: 1 << 20]
    with (
        ThreadPoolExecutor(1) as executor,
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile(dir=Path.cwd()) as file,
    ):
        for name, work in kinds_of_work(file.fileno(), Path(folder)).items():
            cells = []
            for size, count in ((16 << 10, 200), (1 << 20, 10)):
                data = text[:size]
                here, there, own = [], [], []
                for _ in range(rounds + 1):
                    began = time.perf_counter()
                    for _ in range(count):
                        work(data)
                    here.append((time.perf_counter() - began) / count * 1e6)
                    wall, loops = await in_thread(executor, lambda d=data, w=work: w(d), count)  # type: ignore[misc]
                    there.append(wall)
                    own.append(loops)
                cells += [significant(median(column[1:])) for column in (here, there, own)]
            table.add(name, *cells)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cores", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds per figure (default: %(default)s)")
    parser.add_argument("--update", type=Path, nargs="+", help="also put the tables into these files")
    options = parser.parse_args(arguments)
    tables = workers(options.rounds), asyncio.run(threads(options.rounds))
    tables[-1].notes.append(f"{machine()}; medians of {options.rounds} rounds, interleaved.")
    for table in tables:
        show(table)
    if options.update:
        update(options.update, {"cores": "\n\n".join(markdown(table) for table in tables)})


if __name__ == "__main__":
    main()
