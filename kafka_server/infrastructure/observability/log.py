"""Owns: how log lines look - plain in a pipe, coloured on a terminal - and which levels are shown.
Must never know: what the lines are about.

For an operator, INFO tells what changed (started, topic created, group rebalanced), WARNING what somebody should look
at. For a learner, EXPLAIN, between DEBUG and INFO, tells what the broker does with each request.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Final, TextIO

from kafka_server.application.explain import EXPLAIN

if TYPE_CHECKING:
    from rich.console import Console

LEVELS: Final = {
    "debug": logging.DEBUG,
    "explain": EXPLAIN,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

ROOT: Final = "kafka_server"

_STYLES: Final = {
    "DEBUG": "dim",
    "EXPLAIN": "cyan",
    "INFO": "green",
    "WARNING": "bold yellow",
    "ERROR": "bold red",
    "CRITICAL": "bold red",
}


class PlainFormatter(logging.Formatter):
    """``2024-05-01 12:00:00.123 INFO    topic: created orders with 3 partitions``

    The logger's name is shown without ``kafka_server.``, which every line has. The text of a second is kept, because
    most lines of a busy log share it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._second_text = ""

    def format(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second, self._second_text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        area = record.name.removeprefix(f"{ROOT}.")
        message = printable(record.getMessage())
        text = f"{self._second_text}.{int(record.msecs):03d} {record.levelname:<7} {area}: {message}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class PlainHandler(logging.StreamHandler[TextIO]):
    """Plain lines for pipes and files. When the reader of a pipe is gone, what follows is dropped without a word."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setFormatter(PlainFormatter())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if isinstance(sys.exception(), BrokenPipeError):
            self._let_go()
        else:
            super().handleError(record)

    def _let_go(self) -> None:
        """Nobody reads any more (``| head -1``), which is no reason to stop or to complain at every line. The stream
        itself is led to nowhere, because it still holds the line that failed, and Python flushes it once more at the
        end: with a complaint and another exit code."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)


class RichHandler(logging.Handler):
    """Coloured lines for people. ``rich`` is imported with the first line, and only when there is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._console: Console | None = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._console is None:
                from rich.console import Console

                self._console = Console(file=self._stream, soft_wrap=True, highlight=True)
            self._print(self._console, record)
        except Exception:
            self.handleError(record)

    def _print(self, console: Console, record: logging.LogRecord) -> None:
        from rich.text import Text

        area = record.name.removeprefix(f"{ROOT}.")
        style = _STYLES.get(record.levelname, "")
        line = Text()
        line.append(time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d} ", "dim")
        line.append(f"{record.levelname:<7} ", style)
        line.append(f"{area:<8} ", "magenta")
        # The highlighter makes numbers, paths and quoted names stand out.
        console.print(line + console.highlighter(printable(record.getMessage())))
        if record.exc_info:
            from rich.traceback import Traceback

            kind, error, traceback = record.exc_info
            if kind is not None and error is not None:
                console.print(Traceback.from_exception(kind, error, traceback))


def printable(text: str) -> str:
    """The text with control characters shown as escapes: a client id or topic name from the wire must neither forge a
    second line nor steer a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def configure(level: str, stream: TextIO | None = None) -> logging.Handler:
    """Makes this process log to ``stream`` (standard output by default): rich on a terminal, else plain lines."""
    stream = sys.stdout if stream is None else stream
    handler: logging.Handler = RichHandler(stream) if stream.isatty() else PlainHandler(stream)
    root = logging.getLogger(ROOT)
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(LEVELS[level])
    return handler
