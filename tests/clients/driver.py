"""The test's side of tests/clients/PROTOCOL.md: one driver process and how to talk to it.

Owns: the process, the request and answer lines, time-outs.
Must never know: any client library, or what an answer means.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any

from tests.peers import CHECKOUT

ANSWER_SECONDS_MAX = 30.0
GREETING_SECONDS_MAX = 30.0


class DriverError(Exception):
    """The driver answered with an error, went silent or ended."""


class Driver:
    """A running driver. `ask` sends one request and returns its result.

    log_path: where standard error of the driver goes; its end is part of every error.
    """

    def __init__(self, name: str, command: list[str], bootstrap: str, log_path: Path) -> None:
        self.name = name
        self._log_path = log_path
        self._log_start = 0
        self._lines: queue.Queue[str] = queue.Queue()
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, bootstrap],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=CHECKOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "NODE_NO_WARNINGS": "1"},
                text=True,
            )
        threading.Thread(target=self._collect, daemon=True).start()
        greeting = self._answer(GREETING_SECONDS_MAX)
        self.client = str(greeting["client"])
        self.codecs: list[str] = greeting["codecs"]
        self.operations: frozenset[str] = frozenset(greeting["can"])
        self.lacks: dict[str, str] = greeting["lacks"]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        """The result of one operation. Raises DriverError when there is none; a silent driver is ended."""
        assert self._process.stdin is not None
        self._log_start = self._log_path.stat().st_size
        try:
            self._process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise DriverError(f"{self.name} has ended; its log says:\n{self._log()}") from None
        answer = self._answer(ANSWER_SECONDS_MAX)
        if "ok" not in answer:
            raise DriverError(f"{self.name} {op}: {answer.get('error')}\n{self._log()}")
        result: dict[str, Any] = answer["ok"]
        return result

    def close(self) -> None:
        """Ends the input, which lets the driver close its client, and gives it a moment to do so."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(3)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _answer(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            self._process.kill()
            raise DriverError(f"{self.name} did not answer in {seconds} s; its log says:\n{self._log()}") from None
        if not line:
            raise DriverError(f"{self.name} has ended; its log says:\n{self._log()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _log(self) -> str:
        """What the driver logged since the last request."""
        with self._log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")[-2000:]
