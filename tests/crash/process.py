"""Owns: the broker under attack as a process on a fixed port. Must never know: the workload, what is being checked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

READY = "Kafka Server started"
START_SECONDS_MAX = 60.0


class Target:
    """Start, kill, stop, continue. The port and the data folder stay the same over restarts."""

    def __init__(
        self, folder: Path, data: Path, *, flush: str = "ack", module: Sequence[str] = ("kafka_server",)
    ) -> None:
        self.port = free_port()
        self._log_path = folder / "broker.log"
        self._command = [
            sys.executable,
            "-m",
            *module,
            "start",
            "--listeners",
            f"PLAINTEXT://127.0.0.1:{self.port}",
            "--log-dirs",
            str(data),
            "--override",
            f"flush={flush}",
            "--override",
            "log.segment.bytes=1048576",
            "--override",
            "auto.create.topics.enable=false",
            "--override",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms=500",
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Starts the process without waiting for it."""
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    def start(self) -> float:
        """Starts and waits until it is ready; returns the seconds that took. Raises RuntimeError."""
        began = time.monotonic()
        offset = self._log_path.stat().st_size if self._log_path.exists() else 0
        self.begin()
        assert self.process is not None
        while time.monotonic() - began < START_SECONDS_MAX:
            with self._log_path.open("rb") as log:
                log.seek(offset)
                if READY.encode() in log.read():
                    return time.monotonic() - began
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with {self.process.returncode}: {self.log_tail()}")
            time.sleep(0.01)
        raise RuntimeError(f"the broker was not ready within {START_SECONDS_MAX:.0f} s: {self.log_tail()}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def terminate(self) -> int:
        """SIGTERM: a clean stop. Returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

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
