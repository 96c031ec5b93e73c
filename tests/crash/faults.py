"""Owns: what is done to the broker, drawn from a seed. Must never know: the workload, what is right.

Every fault ends with a broker that runs again, so that a run is a chain of attacks and recoveries.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from tests.crash.history import History
from tests.crash.power import PowerSupply
from tests.crash.process import Target


class Faults:
    """Strikes once per call of ``strike``; counts what it did."""

    def __init__(
        self, target: Target, history: History, seed: int, power: PowerSupply | None = None, only: Sequence[str] = ()
    ) -> None:
        self._target = target
        self._history = history
        self._rng = random.Random(f"{seed}/faults")
        self._power = power
        self.counts: dict[str, int] = {}
        self._kinds: list[tuple[str, Callable[[], None], int]] = [
            ("kill", self._kill, 5),
            ("kill-during-recovery", self._kill_during_recovery, 2),
            ("stop-and-continue", self._freeze, 1),
            ("clean-restart", self._restart, 1),
        ]
        if power is not None:
            self._kinds.append(("power-cut", self._cut_power, 5))
        if only:
            self._kinds = [kind for kind in self._kinds if kind[0] in only]

    def pause_s(self, shortest: float, longest: float) -> float:
        return self._rng.uniform(shortest, longest)

    def strike(self) -> None:
        """One fault and what heals it."""
        names = [name for name, _, weight in self._kinds for _ in range(weight)]
        chosen = self._rng.choice(names)
        self._history.add("fault", "faults", chosen)
        next(strike for name, strike, _ in self._kinds if name == chosen)()
        self.counts[chosen] = self.counts.get(chosen, 0) + 1

    def _kill(self) -> None:
        self._target.kill()
        self._start()

    def _kill_during_recovery(self) -> None:
        self._target.kill()
        for _ in range(self._rng.randrange(1, 3)):
            self._target.begin()
            time.sleep(self._rng.uniform(0.02, 0.4))
            self._target.kill()
        self._start()

    def _freeze(self) -> None:
        self._target.freeze(self._rng.uniform(0.3, 2.0))

    def _restart(self) -> None:
        code = self._target.terminate()
        self._history.add("note", "faults", "exit-code", code=code)
        self._start()

    def _cut_power(self) -> None:
        assert self._power is not None
        self._power.cut()
        self._target.kill()
        self._power.unmount()
        self._power.restore()
        self._start()

    def _start(self) -> None:
        self._history.add("note", "faults", "started", seconds=round(self._target.start(), 3))
