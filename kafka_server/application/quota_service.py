"""Owns: setting and showing client quotas, and what each client did lately. Must never know: the wire, sockets.

Produce and fetch quotas count bytes per second; the request quota counts the share of the one thread that a client's
requests take, in percent; that of an address counts its new connections. A pause is as long as it takes to bring the
rate back; that of the request and connection quotas never exceeds one window, as in Apache Kafka.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kafka_server.application.context import RequestContext
from kafka_server.application.ports import Addresses, Clock, QuotaRepository
from kafka_server.application.serial_work import SerialWork
from kafka_server.application.throttle import Throttle
from kafka_server.domain.client_quota import (
    CONNECTION_CREATION_RATE,
    CONSUMER_BYTE_RATE,
    CONTROLLER_MUTATION_RATE,
    ENFORCED,
    PRODUCER_BYTE_RATE,
    REQUEST_PERCENTAGE,
    Entity,
    QuotaRate,
    Sharers,
    TokenBucket,
    check_quota,
    find_quota,
    is_address,
)
from kafka_server.domain.errors import InvalidRequest

log = logging.getLogger("kafka_server.quota")

Change = tuple[str, float | None]
"""Key and new value, None to remove it."""
SWEEP_EVERY = 1024
"""New rates after which those of silent clients are forgotten."""


@dataclass(slots=True)
class QuotaCounters:
    """Of one key; they only grow."""

    throttled_requests: int = 0
    pause_ms: int = 0


class QuotaService:
    """The quotas of one broker; an adapter of ``Quotas`` for the throttle, which it switches on while there are any."""

    __slots__ = (
        "_addresses",
        "_buckets",
        "_burst_s",
        "_changing",
        "_clock",
        "_connection_rates",
        "_new_rates",
        "_rates",
        "_repository",
        "_sample_count",
        "_throttle",
        "_window_ms",
        "counters",
    )

    def __init__(
        self,
        repository: QuotaRepository,
        clock: Clock,
        throttle: Throttle,
        addresses: Addresses,
        window_ms: int,
        sample_count: int,
        mutation_burst_s: float,
    ) -> None:
        """``mutation_burst_s``: a client that was silent may change topics as much at once as in that many seconds."""
        self._repository = repository
        self._clock = clock
        self._throttle = throttle
        self._addresses = addresses
        self._connection_rates: dict[str | None, int] = {}
        """By address, None for the default: an entity may be the name of a host."""
        self._window_ms = window_ms
        self._sample_count = sample_count
        self._rates: dict[tuple[str, Sharers], QuotaRate] = {}
        self._buckets: dict[Sharers, TokenBucket] = {}
        self._burst_s = mutation_burst_s
        self._new_rates = 0
        self._changing = SerialWork()
        self.counters = {key: QuotaCounters() for key in (*ENFORCED, CONNECTION_CREATION_RATE)}

    async def start(self) -> None:
        """Keeps what is stored."""
        for entity in self._repository.all():
            if is_address(entity):
                try:
                    self._keep_address(entity, await self._address(entity))
                except InvalidRequest as error:
                    log.warning("The quota of %s is not kept until it is set again: %s", _named(entity), error)
        self._switch()

    def _switch(self) -> None:
        entities = self._repository.all()
        of_clients = any(not is_address(entity) for entity in entities)
        self._throttle.switch(self if of_clients else None)
        self._throttle.switch_addresses(self if len(self._connection_rates) > 0 else None)

    # ---- showing and setting -----------------------------------------------------------------------------------------

    def all(self) -> Mapping[Entity, Mapping[str, float]]:
        """Every entity with its quotas."""
        return self._repository.all()

    async def alter(self, entity: Entity, changes: Sequence[Change], *, validate_only: bool = False) -> None:
        """Sets and removes quotas of one entity, all or none. Raises InvalidRequest."""
        address = await self._address(entity) if is_address(entity) else None
        for key, value in changes:
            if value is not None:
                check_quota(entity, key, value)
        if not validate_only:
            await self._changing.run(self._alter(entity, address, changes))

    async def _alter(self, entity: Entity, address: str | None, changes: Sequence[Change]) -> None:
        before = self._repository.all().get(entity, {})
        after = dict(before)
        for key, value in changes:
            if value is None:
                after.pop(key, None)
            else:
                after[key] = value
        if after != before:
            await self._repository.put(entity, after)
            if is_address(entity):
                self._keep_address(entity, address)
            self._switch()
            log.info("Quotas of %s are now %s", _named(entity), after or "none")

    async def _address(self, entity: Entity) -> str | None:
        """What that entity is compared with; None for the default. Raises InvalidRequest."""
        name = entity[0][1]
        if name is None:
            return None
        address = await self._addresses.resolve(name)
        if address is None:
            raise InvalidRequest(f"{name} is neither an address nor a host that is known")
        return address

    def _keep_address(self, entity: Entity, address: str | None) -> None:
        """Of two names of one address the one that was changed last counts, as in Apache Kafka."""
        quota = self._repository.all().get(entity, {}).get(CONNECTION_CREATION_RATE)
        if quota is None:
            self._connection_rates.pop(address, None)
        else:
            self._connection_rates[address] = int(quota)

    # ---- keeping -----------------------------------------------------------------------------------------------------

    def produced(self, context: RequestContext, size: int) -> int:
        return self._record(PRODUCER_BYTE_RATE, context, size)

    def fetched(self, context: RequestContext, size: int) -> int:
        """What exceeds the quota is not sent, so it is taken back."""
        return self._record(CONSUMER_BYTE_RATE, context, size, keep_excess=False)

    def worked(self, context: RequestContext, elapsed_ns: int) -> int:
        return min(self._record(REQUEST_PERCENTAGE, context, elapsed_ns / 1e7), self._window_ms)

    def mutated(self, context: RequestContext, count: int, *, is_strict: bool) -> int:
        """As Apache Kafka: strict clients are refused while there is debt, others run it up and pause."""
        found = find_quota(self._repository.all(), CONTROLLER_MUTATION_RATE, *_client(context))
        if found is None:
            return 0
        quota, sharers = found
        now_ms = self._clock.steady_ms()
        bucket = self._buckets.get(sharers)
        if bucket is None:
            self._forget_silent(now_ms)
            bucket = self._buckets[sharers] = TokenBucket(self._burst_s)
        pause_ms = bucket.pause_ms(quota, now_ms) if is_strict else 0
        if pause_ms == 0:
            bucket.take(count, quota, now_ms)
        if not is_strict:
            pause_ms = bucket.pause_ms(quota, now_ms)
        if pause_ms > 0:
            self._count(CONTROLLER_MUTATION_RATE, pause_ms)
        return pause_ms

    def connected(self, address: str) -> int:
        """Connections that are turned away do not count, so that those after the pause come in."""
        quota = self._connection_rates.get(address, self._connection_rates.get(None))
        if quota is None:
            return 0
        pause_ms = self._record_rate(CONNECTION_CREATION_RATE, quota, (address, None), 1, keep_excess=False)
        return min(pause_ms, self._window_ms)

    def fetch_bytes_max(self, context: RequestContext) -> int | None:
        found = find_quota(self._repository.all(), CONSUMER_BYTE_RATE, *_client(context))
        return None if found is None else int(found[0] * (self._sample_count - 1) * self._window_ms / 1000)

    def _record(self, key: str, context: RequestContext, amount: float, *, keep_excess: bool = True) -> int:
        """The pause in ms after this client did that much more; 0 when it is within its quota, or has none."""
        found = find_quota(self._repository.all(), key, *_client(context))
        if found is None:
            return 0
        return self._record_rate(key, *found, amount, keep_excess=keep_excess)

    def _record_rate(self, key: str, quota: float, sharers: Sharers, amount: float, *, keep_excess: bool) -> int:
        now_ms = self._clock.steady_ms()
        rate = self._rates.get((key, sharers))
        if rate is None:
            self._forget_silent(now_ms)
            rate = self._rates[key, sharers] = QuotaRate(self._window_ms, self._sample_count)
        rate.record(amount, now_ms)
        pause_ms = rate.pause_ms(quota, now_ms)
        if pause_ms > 0:
            if not keep_excess:
                rate.record(-amount, now_ms)
            self._count(key, pause_ms)
        return pause_ms

    def _count(self, key: str, pause_ms: int) -> None:
        counters = self.counters[key]
        counters.throttled_requests += 1
        counters.pause_ms += pause_ms

    def _forget_silent(self, now_ms: int) -> None:
        """Client ids come from clients, so what is kept for each has to go again."""
        self._new_rates += 1
        if self._new_rates % SWEEP_EVERY == 0:
            self._rates = {key: rate for key, rate in self._rates.items() if not rate.is_idle(now_ms)}
            # A debt must be kept; whose quota is gone meanwhile has none that counts.
            self._buckets = {
                sharers: bucket
                for sharers, bucket in self._buckets.items()
                if (quota := self._mutation_quota(sharers)) is not None and not bucket.is_full(quota, now_ms)
            }

    def _mutation_quota(self, sharers: Sharers) -> float | None:
        user, client_id = sharers
        found = find_quota(self._repository.all(), CONTROLLER_MUTATION_RATE, user or "", client_id or "")
        return None if found is None else found[0]


def _client(context: RequestContext) -> tuple[str, str]:
    """User name and client id; the type in front of the principal does not count."""
    return context.principal.partition(":")[2], context.client_id


def _named(entity: Entity) -> str:
    return ", ".join(f"{kind} {'(default)' if name is None else name}" for kind, name in entity)
