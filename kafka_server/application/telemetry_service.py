"""Owns: the clients that push their metrics, what they are asked for, and what they told last (KIP-714).
Must never know: the wire, how client-metrics resources are changed, how metrics are shown.

A client asks for its subscription, then pushes every ``interval_ms``; who comes earlier is THROTTLING_QUOTA_EXCEEDED.
When the resources change, the id of its subscription does, and its next push is UNKNOWN_SUBSCRIPTION_ID: it asks again.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from kafka_server.application.context import RequestContext
from kafka_server.application.explain import EXPLAIN
from kafka_server.application.ports import Clock, Compression, ConfigRepository
from kafka_server.domain.client_metrics import Wanted, parse_subscription, wanted_of
from kafka_server.domain.config_def import ResourceType
from kafka_server.domain.errors import (
    DomainError,
    InvalidRequest,
    TelemetryTooLarge,
    ThrottlingQuotaExceeded,
    UnknownSubscriptionId,
    UnsupportedCompressionType,
)
from kafka_server.domain.otlp import Sample, read_samples

log = logging.getLogger("kafka_server.telemetry")

INSTANCES_MAX: Final = 16_384
SERIES_MAX: Final = 2_000
"""Kept of one client; what comes on top is dropped, since names and attributes are up to the client."""
EXPIRY_MS_MIN: Final = 60_000
NO_ID: Final = bytes(16)
RESERVED_IDS: Final = (NO_ID, bytes(15) + b"\1")
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
ACCEPTED_COMPRESSION: Final = (ZSTD, LZ4, GZIP, SNAPPY)
"""Best first."""

Series = tuple[str, tuple[tuple[str, str], ...]]
"""Name and attributes."""


@dataclass(slots=True)
class ClientInstance:
    """One client that was heard lately."""

    instance_id: bytes
    selectors: dict[str, str]
    wanted: Wanted
    heard_ms: int
    asked_ms: int | None = None
    pushed_ms: int | None = None
    is_leaving: bool = False
    values: dict[Series, float] = field(default_factory=dict)


@dataclass(slots=True)
class TelemetryCounters:
    """They only grow."""

    pushes: int = 0
    throttled: int = 0
    unknown_subscription: int = 0
    unreadable: int = 0


class TelemetryService:
    """Receives what clients measure about themselves."""

    __slots__ = ("_clock", "_codecs", "_configs", "_instances", "_random_bytes", "_size_max", "counters")

    def __init__(
        self,
        configs: ConfigRepository,
        codecs: Compression,
        clock: Clock,
        size_max: int,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """``size_max`` bounds a push, compressed."""
        self._configs = configs
        self._codecs = codecs
        self._clock = clock
        self._size_max = size_max
        self._random_bytes = random_bytes
        self._instances: dict[bytes, ClientInstance] = {}
        self.counters = TelemetryCounters()

    @property
    def size_max(self) -> int:
        return self._size_max

    def instances(self) -> Iterator[ClientInstance]:
        """Those that were heard lately."""
        self._forget_silent()
        return iter(list(self._instances.values()))

    def subscribe(self, context: RequestContext, instance_id: bytes) -> ClientInstance:
        """What this client is asked for; the zero id gets one drawn. Raises ThrottlingQuotaExceeded."""
        if instance_id == NO_ID:
            instance_id = self._draw_id()
        instance = self._instance(context, instance_id)
        now_ms = self._clock.steady_ms()
        last_ms = max(
            (moment for moment in (instance.asked_ms, instance.pushed_ms) if moment is not None), default=None
        )
        if last_ms is not None and now_ms - last_ms < instance.wanted.interval_ms:
            self.counters.throttled += 1
            raise ThrottlingQuotaExceeded("The client asked again before its push interval was over")
        instance.asked_ms = now_ms
        return instance

    def push(
        self,
        context: RequestContext,
        instance_id: bytes,
        subscription_id: int,
        compression: int,
        data: bytes,
        *,
        is_last: bool,
    ) -> None:
        """Takes what a client measured. Raises InvalidRequest, ThrottlingQuotaExceeded, UnknownSubscriptionId,
        UnsupportedCompressionType, TelemetryTooLarge, InvalidRecord.
        """
        if instance_id in RESERVED_IDS:
            raise InvalidRequest("The id of the client instance is reserved")
        instance = self._instance(context, instance_id)
        try:
            self._check(instance, subscription_id, compression, data, is_last)
        finally:
            instance.is_leaving = is_last
        if not data:
            return
        try:
            plain = data if compression == NONE else self._codecs.decompress(compression, data)
            samples = read_samples(plain)
        except DomainError:
            self.counters.unreadable += 1
            raise
        self.counters.pushes += 1
        _keep(instance, samples)
        if log.isEnabledFor(EXPLAIN):
            log.log(EXPLAIN, "Client %s told %d of its metrics", context.client_id, len(samples))

    def _check(
        self, instance: ClientInstance, subscription_id: int, compression: int, data: bytes, is_last: bool
    ) -> None:
        if instance.is_leaving:
            raise InvalidRequest("The client said before that it would push no more")
        now_ms = self._clock.steady_ms()
        asked_ms, pushed_ms = instance.asked_ms, instance.pushed_ms
        is_due = (
            pushed_ms is None
            or (asked_ms is not None and asked_ms > pushed_ms)
            or now_ms - pushed_ms >= instance.wanted.interval_ms
        )
        if not is_due and not is_last:
            self.counters.throttled += 1
            raise ThrottlingQuotaExceeded("The client pushed again before its push interval was over")
        if is_due:
            instance.pushed_ms = now_ms
        if subscription_id != instance.wanted.subscription_id:
            self.counters.unknown_subscription += 1
            raise UnknownSubscriptionId
        if compression not in (NONE, *ACCEPTED_COMPRESSION):
            raise UnsupportedCompressionType(f"Unknown compression type {compression}")
        if len(data) > self._size_max:
            raise TelemetryTooLarge(f"{len(data)} bytes are more than telemetry.max.bytes={self._size_max}")

    # ---- instances ---------------------------------------------------------------------------------------------------

    def _instance(self, context: RequestContext, instance_id: bytes) -> ClientInstance:
        """The instance as of now; it begins anew when what it is asked for has changed."""
        known = self._instances.pop(instance_id, None)
        selectors = _selectors(context, instance_id) if known is None else known.selectors
        subscriptions = [
            parse_subscription(self._configs.get(ResourceType.CLIENT_METRICS, name))
            for name in self._configs.names(ResourceType.CLIENT_METRICS)
        ]
        wanted = wanted_of(selectors, subscriptions, instance_id)
        now_ms = self._clock.steady_ms()
        if known is None or known.wanted != wanted:
            values = {} if known is None else known.values
            known = ClientInstance(instance_id, selectors, wanted, now_ms, values=values)
        known.heard_ms = now_ms
        self._instances[instance_id] = known  # the one that was heard last stands last
        if len(self._instances) > INSTANCES_MAX:
            del self._instances[next(iter(self._instances))]
        return known

    def _draw_id(self) -> bytes:
        while (drawn := self._random_bytes(16)) in RESERVED_IDS or drawn in self._instances:
            continue
        return drawn

    def _forget_silent(self) -> None:
        now_ms = self._clock.steady_ms()
        for instance in list(self._instances.values()):
            if now_ms - instance.heard_ms > max(EXPIRY_MS_MIN, 3 * instance.wanted.interval_ms):
                del self._instances[instance.instance_id]


def _keep(instance: ClientInstance, samples: list[Sample]) -> None:
    values = instance.values
    for sample in samples:
        series = sample.name, sample.attributes
        if series not in values and len(values) >= SERIES_MAX:
            continue
        values[series] = values.get(series, 0.0) + sample.value if sample.is_delta else sample.value


def _selectors(context: RequestContext, instance_id: bytes) -> dict[str, str]:
    return {
        "client_instance_id": base64.urlsafe_b64encode(instance_id).rstrip(b"=").decode(),
        "client_id": context.client_id,
        "client_software_name": context.software_name,
        "client_software_version": context.software_version,
        "client_source_address": context.client_host,
        "client_source_port": str(context.client_port),
    }
