"""``python -m tests.crash.bad_disk start ...``: a broker whose disk fails on command.

Owns: how a failure is ordered and how it looks to the broker. Must never know: when it comes, what is right then.

The order is a file that ``CRASH_DISK`` names: ``eio 3`` lets syncs fail from the third one on, ``enospc`` refuses every
write for as long as the file says so; no file, no failure. That needs no privilege. ``strace`` fails the system call
itself and a filled file system has really no room, for SQLite too; both are tried where they can be
(tests/crash/faults.py).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from kafka_server.__main__ import run
from kafka_server.infrastructure.storage.log.disk import OsDisk, OsFile

CONTROL = "CRASH_DISK"


def order(path: str) -> list[str]:
    """The words of the order that is in force; none without a file."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except FileNotFoundError:
        return []


def install() -> None:
    """Puts the failing calls between the log and the operating system."""
    path = os.environ.get(CONTROL)
    if path is None:
        return
    syncs = 0

    def fail_sync() -> None:
        nonlocal syncs
        words = order(path)
        if words[:1] != ["eio"]:
            syncs = 0
            return
        syncs += 1
        if syncs >= int(words[1]):  # not "==": syncs run in several threads
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fail_write() -> None:
        if order(path) == ["enospc"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for owner, method, fail in (
        (OsFile, "sync", fail_sync),
        (OsDisk, "sync_folder", fail_sync),
        (OsFile, "append", fail_write),
        (OsDisk, "replace", fail_write),
    ):
        _precede(owner, method, fail)


def _precede(owner: type[Any], method: str, fail: Callable[[], None]) -> None:
    original = getattr(owner, method)

    def failing(self: Any, *rest: Any) -> Any:
        fail()
        return original(self, *rest)

    setattr(owner, method, failing)


if __name__ == "__main__":
    install()
    raise SystemExit(run(sys.argv[1:]))
