"""Owns: the broker under attack as a process on a fixed port. Must never know: the workload, what is being checked."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.crash import bad_disk

READY = "Kafka Server started"
START_SECONDS_MAX = 60.0
SETTINGS = (
    "log.segment.bytes=1048576",
    "auto.create.topics.enable=false",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
    # What changes logs happens several times a second.
    "log.retention.check.interval.ms=300",
    "log.cleaner.backoff.ms=200",
    # Groups: members die often here, and those that are left should not wait for long.
    "group.initial.rebalance.delay.ms=0",
    "group.min.session.timeout.ms=1000",
    "group.consumer.min.session.timeout.ms=1000",
    "group.consumer.session.timeout.ms=1000",
    "group.consumer.min.heartbeat.interval.ms=100",
    "group.consumer.heartbeat.interval.ms=300",
)


class Target:
    """Start, kill, stop, continue. The port and the data folder stay the same over restarts."""

    def __init__(
        self,
        folder: Path,
        data: Path,
        *,
        flush: str = "ack",
        module: Sequence[str] = ("kafka_server",),
        advertised_port: int | None = None,
    ) -> None:
        self.port = free_port()
        self._log_path = folder / "broker.log"
        self._order_path = folder / "disk-order"
        self._log_offset = 0
        """Where the log of the present process begins."""
        self._command = [
            sys.executable,
            "-m",
            *module,
            "start",
            "--listeners",
            f"PLAINTEXT://127.0.0.1:{self.port}",
            "--advertised-listeners",
            f"PLAINTEXT://127.0.0.1:{advertised_port or self.port}",
            "--log-dirs",
            str(data),
            *(word for setting in (f"flush={flush}", *SETTINGS) for word in ("--override", setting)),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Starts the process without waiting for it."""
        self._log_offset = self._log_path.stat().st_size if self._log_path.exists() else 0
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1", bad_disk.CONTROL: str(self._order_path)},
            )

    def start(self) -> float:
        """Starts and waits until it is ready; returns the seconds that took. Raises RuntimeError."""
        began = time.monotonic()
        self.begin()
        assert self.process is not None
        while time.monotonic() - began < START_SECONDS_MAX:
            if self.is_ready:
                return time.monotonic() - began
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with {self.process.returncode}: {self.log_tail()}")
            time.sleep(0.01)
        raise RuntimeError(f"the broker was not ready within {START_SECONDS_MAX:.0f} s: {self.log_tail()}")

    @property
    def is_ready(self) -> bool:
        """Whether the present process has said that it serves."""
        with self._log_path.open("rb") as log:
            log.seek(self._log_offset)
            return READY.encode() in log.read()

    def order(self, failure: str | None) -> None:
        """Tells the disk of a broker that runs as ``tests.crash.bad_disk`` how to fail; None: not any more."""
        if failure is None:
            self._order_path.unlink(missing_ok=True)
        else:
            self._order_path.write_text(failure, encoding="ascii")

    def wait(self, seconds_max: float) -> bool:
        """Whether the process ends by itself within that time."""
        assert self.process is not None
        try:
            self.process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. One that stands still does not run again for that."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def terminate(self) -> int:
        """SIGTERM: a clean stop. Returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def stand_still(self) -> None:
        """Returns when no thread of the broker runs any more; one that waits for the disk never comes back to tell."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 1.0
        tasks = Path(f"/proc/{self.process.pid}/task")
        while time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                states = {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()}
                if states <= {"T", "t", "D", "Z", "X"}:
                    return
            time.sleep(0.001)

    def freeze(self, seconds: float) -> None:
        """SIGSTOP for a while."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log_tail(self) -> str:
        return self._log_path.read_text(errors="replace")[-3000:]


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
