"""Owns: the pause of a client that exceeds a quota - told first in the answer, then kept by its connection (KIP-219).
Must never know: which quotas there are, how rates are computed, sockets.

While nobody has a quota, ``is_on`` is False and the way of a request does not pass here: one attribute is looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, runtime_checkable

from kafka_server.application.context import RequestContext
from kafka_server.domain.errors import ThrottlingQuotaExceeded

PRODUCE = 0

Req = TypeVar("Req")
Res = TypeVar("Res")


class Quotas(Protocol):
    """What the throttle asks: how long this client has to pause after what it just did, in milliseconds."""

    def produced(self, context: RequestContext, size: int) -> int: ...

    def fetched(self, context: RequestContext, size: int) -> int: ...

    def worked(self, context: RequestContext, elapsed_ns: int) -> int: ...

    def mutated(self, context: RequestContext, count: int, *, is_strict: bool) -> int:
        """That many partitions are to be created or deleted. When strict and there is a pause, they must not be."""

    def connected(self, address: str) -> int:
        """That address made one more connection. When there is a pause, it must be turned away after that."""

    def fetch_bytes_max(self, context: RequestContext) -> int | None:
        """More at once would be over the quota whatever was read before; None when there is no quota."""


@runtime_checkable
class Throttled(Protocol):
    """An answer that can tell of a pause. Versions that lack the field drop it when they are encoded."""

    throttle_time_ms: int


class MutationQuota:
    """How far one request may change topics: ``admit`` before each change, ``pause_ms`` for the answer (KIP-599)."""

    __slots__ = ("_context", "_is_strict", "_quotas", "pause_ms")

    def __init__(self, quotas: Quotas | None, context: RequestContext, is_strict: bool) -> None:
        self._quotas = quotas
        self._context = context
        self._is_strict = is_strict
        self.pause_ms = 0

    def admit(self, count: int) -> None:
        """Raises ThrottlingQuotaExceeded when the quota is used up and the client can be told so."""
        if self._quotas is None:
            return
        pause_ms = self._quotas.mutated(self._context, count, is_strict=self._is_strict)
        self.pause_ms = max(self.pause_ms, pause_ms)
        if self._is_strict and pause_ms > 0:
            raise ThrottlingQuotaExceeded(f"The quota for changes of topics is used up for {pause_ms} ms")


class Throttle:
    """Stands between dispatch and handlers, within Fetch, and where connections come in."""

    __slots__ = ("_of_addresses", "_quotas", "_time_ns", "is_on")

    def __init__(self, time_ns: Callable[[], int]) -> None:
        self.is_on = False
        self._quotas: Quotas | None = None
        self._of_addresses: Quotas | None = None
        self._time_ns = time_ns

    def switch(self, quotas: Quotas | None) -> None:
        """On with the quotas to keep, off with None."""
        self._quotas = quotas
        self.is_on = quotas is not None

    def switch_addresses(self, quotas: Quotas | None) -> None:
        """The same for the quotas of addresses."""
        self._of_addresses = quotas

    def connected(self, address: str) -> int:
        """How long a new connection of that address is held before it is closed; 0 when it may stay."""
        return 0 if self._of_addresses is None else self._of_addresses.connected(address)

    def handle(
        self,
        handler: Callable[[RequestContext, Req], Res | Awaitable[Res | None] | None],
        context: RequestContext,
        request: Req,
    ) -> Res | Awaitable[Res | None] | None:
        """Calls the handler and lets the client pause for what that took. Time that a request waits costs nothing."""
        started_ns = self._time_ns()
        answer = handler(context, request)
        elapsed_ns = self._time_ns() - started_ns
        if isinstance(answer, Awaitable):
            return self._later(answer, context, elapsed_ns)
        self._pause(answer, context, elapsed_ns)
        return answer

    async def _later(self, answer: Awaitable[Res | None], context: RequestContext, elapsed_ns: int) -> Res | None:
        result = await answer
        self._pause(result, context, elapsed_ns)
        return result

    def _pause(self, answer: object, context: RequestContext, elapsed_ns: int) -> None:
        quotas = self._quotas
        if quotas is None:  # the last quota went meanwhile
            return
        pause_ms = quotas.produced(context, context.request_bytes) if context.api_key == PRODUCE else 0
        if answer is not None:  # Apache Kafka, too, counts no time for a produce that wants no answer
            pause_ms = max(pause_ms, quotas.worked(context, elapsed_ns))
        if isinstance(answer, Throttled):
            answer.throttle_time_ms = pause_ms = max(pause_ms, answer.throttle_time_ms)
        if pause_ms > 0:
            context.mute(pause_ms)

    def mutations(self, context: RequestContext, *, is_strict: bool) -> MutationQuota:
        """For a request that creates or deletes partitions. Clients that do not know the error only have to pause."""
        return MutationQuota(self._quotas, context, is_strict)

    # ---- for Fetch, which answers without records when it is over its quota ------------------------------------------

    def fetch_bytes_max(self, context: RequestContext) -> int | None:
        """The most that one fetch of this client may return, None without quota."""
        return None if self._quotas is None else self._quotas.fetch_bytes_max(context)

    def fetched(self, context: RequestContext, size: int) -> int:
        """The pause for that many bytes. When it is not 0 they count as not read, so they must not be sent."""
        return 0 if self._quotas is None else self._quotas.fetched(context, size)
