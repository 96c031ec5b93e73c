"""Owns: group commit - many appends wait for one sync. Must never know: what is being made durable.

    append ---+                      +--- done
    append ---+--> one sync, thread -+--- done
    append ---+                      +--- done        meanwhile others gather for the next sync

Each log has at most one sync under way. Appends that come while it runs may have been written after it began, so they
wait for the next one, together. Under load the syncs get fuller, not more.

Work that can be done all over again, like the replacement of a small file, may say which of its failures pass by: these
are told to who waited, and the next call tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from kafka_server.domain.errors import StorageError


class Syncable(Protocol):
    """Something that can be made durable."""

    def prepare_sync(self) -> Callable[[], None]:
        """Called on the event loop: notes what is to be made durable, and returns the blocking call that does it.
        That call raises OSError when the device fails."""


class NotNow(StorageError):
    """There is no room, no descriptor or no memory: it was not made durable, and may be the next time."""


class Committer:
    """Gathers waiters of one log. Lives on the event loop; the sync itself runs in the executor."""

    __slots__ = ("_executor", "_failed", "_on_failure", "_passes", "_running", "_target", "_waiting")

    def __init__(
        self,
        target: Syncable,
        executor: Executor,
        on_failure: Callable[[BaseException], None],
        passes: Callable[[BaseException], bool] = lambda error: False,
    ) -> None:
        """``passes`` says of an error that it is over sooner or later, and that another try is sound."""
        self._target = target
        self._passes = passes
        self._executor = executor
        self._on_failure = on_failure
        self._waiting: asyncio.Future[None] | None = None
        self._running = False
        self._failed = False

    def join(self) -> asyncio.Future[None]:
        """Done when everything written before this call is durable. Fails with StorageError when a sync failed, with
        NotNow when it may succeed another time."""
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
            # A failure is told to every waiter and to on_failure; nobody has to ask a future that none awaits.
            self._waiting.add_done_callback(_retrieve)
            if not self._running:
                self._running = True
                # Not at once: the requests that came in the same turn of the loop share this sync.
                asyncio.get_running_loop().call_soon(self._start)
        return self._waiting

    async def settle(self) -> None:
        """Waits until no sync runs or is due, whatever came of them."""
        while self._running:
            with contextlib.suppress(StorageError):
                await self.join()

    def _start(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._running = False
            return
        if self._failed:
            waiting.set_exception(StorageError("The log directory failed before; nothing can be made durable any more"))
            self._running = False
            return
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, self._target.prepare_sync())
        done.add_done_callback(lambda finished: self._finish(waiting, finished))

    def _finish(self, waiting: asyncio.Future[None], finished: asyncio.Future[None]) -> None:
        error = finished.exception() if not finished.cancelled() else None
        if error is None:
            if not waiting.done():
                waiting.set_result(None)
        elif self._passes(error):
            if not waiting.done():
                waiting.set_exception(NotNow(f"Not made durable for now: {error}"))
        else:
            # A failed fsync must never be tried again: the kernel marks the pages clean, and a second call would
            # report success for bytes that are not on the disk.
            self._failed = True
            if not waiting.done():
                waiting.set_exception(StorageError(f"A sync of the log failed: {error}"))
            self._on_failure(error)
        self._start()


def _retrieve(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
