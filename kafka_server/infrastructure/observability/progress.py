"""Owns: showing on a terminal how far a long start has come. Must never know: what is being checked.

In a pipe, or for work that is over at once, nothing is shown: log collectors do not want moving bars.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WORTH_A_BAR_BYTES = 64 * 1024 * 1024


@contextmanager
def bytes_checked(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Gives a function that is told of every stretch of bytes that was checked; it may be called in any thread."""
    if total < WORTH_A_BAR_BYTES or not sys.stderr.isatty():
        yield lambda size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda size: progress.advance(task, size)
