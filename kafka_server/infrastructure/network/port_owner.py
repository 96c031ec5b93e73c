"""Owns: the answer to "who has my port?". Must never know: sockets of ours, listeners, the event loop.

Linux tells it in /proc: the socket tables name the inode of each listening socket, and the process that holds it has a
file descriptor ``socket:[inode]``. Elsewhere, and for processes of other users, the answer is None and the error
message simply says less.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LISTEN: Final = "0A"
COMMAND_LENGTH_MAX: Final = 120


def who_listens_on(port: int, proc: Path = Path("/proc")) -> str | None:
    """``"pid 4711 (java -Xmx1G kafka.Kafka ...)"`` of a process that listens on this TCP port, or None."""
    inodes = _listening_inodes(port, proc)
    if not inodes:
        return None
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.glob("[0-9]*"):
        if _holds(folder / "fd", wanted):
            return f"pid {folder.name} ({_command(folder)})"
    return None


def _listening_inodes(port: int, proc: Path) -> set[str]:
    inodes = set()
    for table in ("net/tcp", "net/tcp6"):
        try:
            lines = (proc / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            # sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...
            fields = line.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _holds(folder: Path, wanted: set[str]) -> bool:
    try:
        descriptors = list(folder.iterdir())
    except OSError:  # it ended meanwhile, or it belongs to another user
        return False
    for descriptor in descriptors:
        try:
            if os.readlink(descriptor) in wanted:
                return True
        except OSError:
            continue
    return False


def _command(folder: Path) -> str:
    try:
        words = (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return "command unknown"
    command = " ".join(word.decode(errors="replace") for word in words if word)
    return command if len(command) <= COMMAND_LENGTH_MAX else command[: COMMAND_LENGTH_MAX - 3] + "..."
