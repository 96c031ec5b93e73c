"""Owns: which metrics which clients are asked for, by the client-metrics resources (KIP-714).
Must never know: the wire, how resources are stored, what clients send.

A resource is a subscription: ``metrics`` lists prefixes of names (``*`` stands for all), ``interval.ms`` says how
often, ``match`` which clients: ``client_id=app-.*,client_software_name=librdkafka`` must all match as a whole.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from kafka_server.domain.config_def import client_metrics_keys
from kafka_server.domain.errors import InvalidConfig, InvalidRequest

METRICS: Final = "metrics"
INTERVAL_MS: Final = "interval.ms"
MATCH: Final = "match"

INTERVAL_MS_MIN: Final = 100
INTERVAL_MS_MAX: Final = 3_600_000
INTERVAL_MS_DEFAULT: Final = 300_000
ALL_METRICS: Final = "*"

SELECTORS: Final = (
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
)
"""What of a client a ``match`` may look at."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """One resource, parsed."""

    metrics: frozenset[str]
    interval_ms: int
    patterns: Mapping[str, re.Pattern[str]]

    def concerns(self, client: Mapping[str, str]) -> bool:
        """Whether a client with these selectors is asked; one without any pattern asks all."""
        return all(pattern.fullmatch(client.get(name, "")) for name, pattern in self.patterns.items())


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one client is asked for. ``subscription_id`` changes when anything of it does."""

    metrics: tuple[str, ...]
    interval_ms: int
    subscription_id: int


def check_client_metrics_name(name: str) -> None:
    """Raises InvalidRequest when no resource can have that name."""
    if not name:
        raise InvalidRequest("The name of a client-metrics resource must not be empty")


def check_client_metrics(configs: Mapping[str, str]) -> None:
    """Raises InvalidRequest - as Apache Kafka does here even for a key that nobody knows - or InvalidConfig."""
    keys = client_metrics_keys()
    for name, text in configs.items():
        if name not in keys:
            raise InvalidRequest(f"Unknown client-metrics config: {name}")
        keys[name].parse(text)
    parse_subscription(configs)


def parse_subscription(configs: Mapping[str, str]) -> Subscription:
    """Raises InvalidRequest for an interval out of bounds, InvalidConfig for a pattern that cannot be read."""
    interval_ms = int(configs.get(INTERVAL_MS, INTERVAL_MS_DEFAULT))
    if not INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX:
        raise InvalidRequest(f"{INTERVAL_MS} is {interval_ms}, but must be {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}")
    patterns: dict[str, re.Pattern[str]] = {}
    for element in _elements(configs.get(MATCH, "")):
        name, _, text = (part.strip() for part in element.partition("="))
        if name not in SELECTORS or not text or "=" in text:
            raise InvalidConfig(f"{MATCH}: {element} is not one of {', '.join(SELECTORS)} with a pattern")
        try:
            patterns[name] = re.compile(text)
        except re.error as error:
            raise InvalidConfig(f"{MATCH}: {text} is no regular expression: {error}") from error
    return Subscription(frozenset(_elements(configs.get(METRICS, ""))), interval_ms, patterns)


def wanted_of(client: Mapping[str, str], subscriptions: Iterable[Subscription], instance_id: bytes) -> Wanted:
    """All that concern the client together: every metric, as often as the most impatient one wants."""
    metrics: set[str] = set()
    interval_ms = INTERVAL_MS_DEFAULT
    for subscription in subscriptions:
        if subscription.concerns(client):
            metrics |= subscription.metrics
            interval_ms = min(interval_ms, subscription.interval_ms)
    if ALL_METRICS in metrics:
        metrics = {ALL_METRICS}
    names = tuple(sorted(metrics))
    digest = zlib.crc32("\n".join((*names, str(interval_ms))).encode() + instance_id)
    return Wanted(names, interval_ms, digest - (1 << 32) if digest >= 1 << 31 else digest)


def _elements(text: str) -> list[str]:
    return [element for element in (part.strip() for part in text.split(",")) if element]
