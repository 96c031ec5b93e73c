"""What the kernel says about a process: memory, CPU time, threads. Linux only, like the broker benchmark itself.

Owns: reading /proc. Must never know: what the process is.
"""

from __future__ import annotations

import os
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _status_kb(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise KeyError(key)


def resident_mb(pid: int) -> float:
    """Resident set size in MiB."""
    return _status_kb(pid, "VmRSS:") / 1024


def peak_resident_mb(pid: int) -> float:
    """The largest resident set size since the start or the last `reset_peak`, in MiB."""
    return _status_kb(pid, "VmHWM:") / 1024


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds(pid: int) -> float:
    """User plus system time of all threads. The resolution is a clock tick, 10 ms as a rule."""
    # The second field is the command in parentheses and may contain anything, blanks and parentheses included.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / _TICKS_PER_SECOND


def thread_cpu_seconds() -> dict[str, float]:
    """CPU time of each thread of this process, by its id."""
    found = {}
    for folder in Path("/proc/self/task").iterdir():
        nanoseconds, _, _ = (folder / "schedstat").read_text().split()
        found[folder.name] = int(nanoseconds) / 1e9
    return found
