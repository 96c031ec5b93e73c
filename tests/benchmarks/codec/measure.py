"""Interleaved timing of many callables.

Owns: the order of the measurements and what is kept of them.
Must never know: what a callable does, or how results are shown.

On a shared machine the clock speed and the neighbours change from second to second, so a ratio between two runs that
lie minutes apart says little. Here every contestant runs once per round (A B C A B C ...), and a round lasts
milliseconds: what disturbs one disturbs all. CPU time of the thread is taken, not wall time, so that being
descheduled does not count.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds per call."""

    min_us: float
    median_us: float


def calls_per_slice(function: Callable[[], object], slice_ms: float) -> int:
    """How many calls fill one slice; at least one."""
    start = time.thread_time_ns()
    calls = 0
    while time.thread_time_ns() - start < slice_ms * 1e6:
        function()
        calls += 1
    return max(calls, 1)


def interleave(functions: Sequence[Callable[[], object]], rounds: int, slice_ms: float = 5.0) -> list[Timing]:
    """Time each function once per round. The garbage collector stays on: it is part of what decoding costs."""
    counts = [calls_per_slice(function, slice_ms) for function in functions]
    samples: list[list[float]] = [[] for _ in functions]
    gc.collect()
    gc.freeze()
    try:
        for _ in range(rounds):
            for function, count, kept in zip(functions, counts, samples, strict=True):
                start = time.thread_time_ns()
                for _ in range(count):
                    function()
                kept.append((time.thread_time_ns() - start) / count / 1e3)
    finally:
        gc.unfreeze()
    return [Timing(min(kept), median(kept)) for kept in samples]
