"""Owns: a clock that only a test moves. Must never know: asyncio, the services that wait on it.

``VirtualClock`` is an adapter of the Clock port. Nothing happens until ``advance`` is called; then every timer that is
due runs in the order of its due time (equal times: in the order they were set), and each callback sees ``now_ms`` at
its own due time. A session time-out of 45 s is tested in microseconds, and "one millisecond early" is exact.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

DEFAULT_START_MS = 1_700_000_000_000
"""A round wall-clock time (November 2023), so that offsets from it are easy to read in a failing test."""


@dataclass(slots=True, order=True)
class VirtualTimer:
    """One pending call. Ordered by due time, then by the order in which it was set."""

    due_ms: float
    serial: int
    callback: Callable[[], None] | None = field(compare=False)

    def __hash__(self) -> int:
        return hash(self.serial)

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """The Clock port, moved by hand: ``clock.advance(3_000)``."""

    def __init__(self, start_ms: int = DEFAULT_START_MS) -> None:
        self._now_ms: float = start_ms
        self._timers: list[VirtualTimer] = []
        self._serial = 0

    def now_ms(self) -> int:
        return int(self._now_ms)

    def steady_ms(self) -> int:
        return int(self._now_ms)

    def call_later(self, delay_ms: float, callback: Callable[[], None]) -> VirtualTimer:
        self._serial += 1
        timer = VirtualTimer(self._now_ms + max(0.0, delay_ms), self._serial, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def advance(self, delay_ms: float) -> int:
        """Moves time by ``delay_ms`` and runs what falls due, also what callbacks set; returns how many ran."""
        if delay_ms < 0:
            raise ValueError(f"time does not run backwards: advance({delay_ms})")
        end_ms = self._now_ms + delay_ms
        ran = 0
        while self._timers and self._timers[0].due_ms <= end_ms:
            timer = heapq.heappop(self._timers)
            if timer.callback is None:
                continue
            self._now_ms = timer.due_ms
            callback, timer.callback = timer.callback, None
            callback()
            ran += 1
        self._now_ms = end_ms
        return ran

    def pending(self) -> int:
        """How many timers are set and not cancelled: a test asks for 0 to prove that nothing leaks."""
        return sum(1 for timer in self._timers if timer.callback is not None)

    def next_due_ms(self) -> int | None:
        """When the earliest pending timer falls due, or None; lets a test assert a deadline without waiting for it."""
        due = [timer.due_ms for timer in self._timers if timer.callback is not None]
        return int(min(due)) if due else None
