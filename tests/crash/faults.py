"""Owns: what is done to the broker, drawn from a seed. Must never know: the workload, what is right.

Every fault ends with a broker that runs again, so that a run is a chain of attacks and recoveries. What the broker has
to end with, or that it has to go on, is noted beside what it did (``exit-code``); a check compares the two.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence

from tests.crash.connections import Connections
from tests.crash.history import History
from tests.crash.power import PowerSupply
from tests.crash.process import Target

DISK_FAILED = 5
"""What the broker ends with when a sync fails."""
DIES_WITHIN_SECONDS = 15.0


class Faults:
    """Strikes once per call of ``strike``; counts what it did."""

    def __init__(
        self,
        target: Target,
        history: History,
        seed: int,
        connections: Connections,
        power: PowerSupply | None = None,
        only: Sequence[str] = (),
    ) -> None:
        self._target = target
        self._history = history
        self._rng = random.Random(f"{seed}/faults")
        self._connections = connections
        self._power = power
        self.counts: Counter[str] = Counter()
        """Faults by name; beside them ``kills`` and ``kills during recovery``, of which one fault may have several."""
        kinds: list[tuple[str, Callable[[], None], int]] = [
            ("kill", self._kill, 8),
            ("kill-during-recovery", self._kill_during_recovery, 3),
            ("stop-and-continue", self._freeze, 1),
            ("clean-restart", self._restart, 1),
            ("eio-on-sync", self._fail_sync, 2),
            ("enospc", self._fill, 1),
            ("connection-reset", self._reset, 2),
            ("nothing", lambda: None, 1),
        ]
        if power is not None:
            kinds.append(("power-cut", self._cut_power, 12))
        self._kinds = [kind for kind in kinds if not only or kind[0] in only]

    @property
    def struck(self) -> int:
        """How many faults there were."""
        return sum(self.counts[name] for name, _, _ in self._kinds)

    def pause_s(self, shortest: float, longest: float) -> float:
        return self._rng.uniform(shortest, longest)

    def strike(self) -> None:
        """One fault and what heals it."""
        if not self._target.running:
            self._note_exit("nothing", wanted=None)
            self._start()
        (chosen,) = self._rng.choices(self._kinds, [weight for _, _, weight in self._kinds])
        name, strike, _ = chosen
        self._history.add("fault", "faults", name)
        strike()
        self.counts[name] += 1

    def last_kill(self) -> None:
        """Comes after everything: a start has to find what the process served."""
        self._history.add("fault", "faults", "last-kill")
        self._kill()

    def _kill(self) -> None:
        self._target.kill()
        self.counts["kills"] += 1
        self._start()

    def _kill_during_recovery(self) -> None:
        self._kill_once()
        for _ in range(self._rng.randrange(1, 3)):
            self._target.begin()
            time.sleep(self._rng.uniform(0.02, 0.4))
            self._kill_once()
        self._start()

    def _kill_once(self) -> None:
        was_recovering = self._target.running and not self._target.is_ready
        self._target.kill()
        self.counts["kills"] += 1
        self.counts["kills during recovery"] += was_recovering

    def _freeze(self) -> None:
        self._target.freeze(self._rng.uniform(0.3, 2.0))

    def _restart(self) -> None:
        self._target.terminate()
        self._note_exit("SIGTERM", wanted=0)
        self._start()

    def _cut_power(self) -> None:
        assert self._power is not None
        # In life everything ends in one moment. Here the file system goes first, and a sync that is under way then may
        # still succeed: a broker that runs on for some milliseconds would acknowledge what is lost.
        self._target.stand_still()
        self._power.cut()
        self._target.kill()
        self._power.unmount()
        self._power.restore()
        self._start()

    def _reset(self) -> None:
        self._connections.reset_some(self._rng.uniform(0.3, 1.0), self._rng)

    # ---- a disk that fails -------------------------------------------------------------------------------------------

    def _fail_sync(self) -> None:
        """EIO on one of the next syncs, of SQLite too where strace can be used: the broker has to end by itself."""
        number = self._rng.randrange(1, 6)
        # Draws come before the question what can be done here, so that a seed means the same everywhere.
        by_strace = self._rng.random() < 0.5 and shutil.which("strace") is not None
        tracer = self._trace(number) if by_strace else None
        if tracer is None:
            self._target.order(f"eio {number}")
        ended = self._target.wait(DIES_WITHIN_SECONDS)
        self._target.order(None)
        if tracer is not None and tracer.poll() is None:
            tracer.send_signal(signal.SIGINT)  # detaches
            tracer.wait()
        self._note_exit("EIO on a sync", wanted=DISK_FAILED)
        if not ended:
            self._target.kill()
        self.counts["EIO by strace"] += tracer is not None
        self._start()

    def _trace(self, number: int) -> subprocess.Popen[bytes] | None:
        """Fails the n-th sync of each thread; None where nobody may trace (``ptrace_scope``, containers)."""
        assert self._target.process is not None
        calls = "fsync,fdatasync"
        what = ("-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={number}")
        tracer = subprocess.Popen(
            ["strace", "-f", "-o", "/dev/null", *what, "-p", str(self._target.process.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.2)
        return None if tracer.poll() is not None and self._target.running else tracer

    def _fill(self) -> None:
        """No room for a while: the broker has to go on, and to take writes again when there is room."""
        if self._power is not None:
            self._power.fill()
        else:
            self._target.order("enospc")
        time.sleep(self._rng.uniform(0.5, 2.0))
        if self._power is not None:
            self._power.make_room()
        self._target.order(None)
        time.sleep(0.2)
        self._note_exit("ENOSPC", wanted=None)
        if not self._target.running:
            self._start()

    def _note_exit(self, after: str, *, wanted: int | None) -> None:
        """What the process ended with, None while it runs."""
        assert self._target.process is not None
        code = self._target.process.poll()
        self._history.add("note", "faults", "exit-code", after=after, code=code, wanted=wanted)

    def _start(self) -> None:
        self._history.add("note", "faults", "started", seconds=round(self._target.start(), 3))
