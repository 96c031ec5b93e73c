"""Owns: log lines about peers, at most a few per kind and window. Must never know: what the lines are about.

What a peer does wrong is worth a line; a port scanner or a broken client in a loop is not worth a full disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 10.0
LINES_PER_WINDOW: Final = 5
KINDS_MAX: Final = 64
"""Kinds are words chosen by our code, so they are few; the cap only says so."""


@dataclass(slots=True)
class _Window:
    started_s: float
    written: int = 0
    held_back: int = 0


class Notices:
    """``notices.warn("frame", ...)`` logs it, or counts it when this kind was loud lately."""

    def __init__(self, log: logging.Logger, monotonic: Callable[[], float]) -> None:
        self._log = log
        self._monotonic = monotonic
        self._windows: dict[str, _Window] = {}

    def warn(self, kind: str, message: str) -> None:
        now = self._monotonic()
        window = self._windows.get(kind)
        if window is None or now - window.started_s >= WINDOW_S:
            if window is not None and window.held_back:
                self._log.warning("%d more lines like the next one were held back", window.held_back)
            if window is None and len(self._windows) >= KINDS_MAX:
                self._windows.clear()
            window = self._windows[kind] = _Window(now)
        if window.written < LINES_PER_WINDOW:
            window.written += 1
            self._log.warning("%s", message)
        else:
            window.held_back += 1
