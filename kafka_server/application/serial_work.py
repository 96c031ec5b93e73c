"""Owns: changes that run one at a time and, once begun, run to their end. Must never know: what the changes are.

A handler is cancelled when its client disconnects. A topic that is stored but whose logs were never opened, because
somebody pulled a cable in between, would be worse than a topic that nobody waits for any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SerialWork:
    """A queue of changes to the same thing."""

    __slots__ = ("_running", "_turn")

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        # The event loop itself holds tasks by weak references only.
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, change: Coroutine[Any, Any, T]) -> T:
        """Runs ``change`` when all before it are done. Cancelling the caller does not stop it."""
        task = asyncio.create_task(self._in_turn(change))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _in_turn(self, change: Coroutine[Any, Any, T]) -> T:
        async with self._turn:
            return await change
