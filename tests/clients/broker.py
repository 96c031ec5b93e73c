"""Our broker as a process of its own, the way a user starts it.

Owns: the command line, waiting for the ready line, stopping. Must never know: anything inside kafka_server.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from tests.peers import CHECKOUT

START_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
READY_LINE = "Kafka Server started"
LISTENING = re.compile(r"listening on PLAINTEXT://([^\s]+)")


class BrokerProcess:
    """`python -m kafka_server start --port 0 ...`; `bootstrap` is known when the context is entered.

    A broker that was stopped or killed can be started again: it keeps its data and its port, as a service does.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log_path = folder / "broker.log"
        self._arguments = ("--log-dirs", str(folder / "data"), *arguments)
        self.process: subprocess.Popen[bytes] | None = None
        self.bootstrap = ""
        self._port = "0"

    def __enter__(self) -> BrokerProcess:
        self.start()
        return self

    def start(self) -> None:
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kafka_server", "start", "--port", self._port, *self._arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=CHECKOUT,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            text = self.log_path.read_text(errors="replace")
            if READY_LINE in text and (listening := LISTENING.search(text)):
                self.bootstrap = listening.group(1)
                self._port = self.bootstrap.rsplit(":", 1)[1]
                return
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with {self.process.returncode}:\n{text[-3000:]}")
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"the broker was not ready in {START_SECONDS_MAX} s:\n{text[-3000:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def kill(self) -> None:
        """Ends it without a chance to write anything, as a crash does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
