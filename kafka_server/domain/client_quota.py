"""Owns: which quota counts for whom (eight levels), what may be set, and how a rate and its pause are computed.
Must never know: the wire, how quotas are stored, what is counted, sockets.

A quota belongs to an entity: a user, a client id, both, or the default of either. Of all that match, the first counts,
and who shares an entity's quota also shares its rate::

    1  user and client id              5  default user, default client id
    2  user, default client id         6  default user
    3  user                            7  client id
    4  default user and client id      8  default client id

An address has one quota only, for its new connections: its own, else that of the default address.

A rate is a sum over samples, as Apache Kafka takes it: ``samples`` windows of ``window_ms``, the present one included.
When the rate R exceeds the quota Q, a pause of X brings it back: R * W / (W + X) = Q, so X = (R - Q) / Q * W.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from kafka_server.domain.errors import InvalidRequest

USER: Final = "user"
CLIENT_ID: Final = "client-id"
IP: Final = "ip"

PRODUCER_BYTE_RATE: Final = "producer_byte_rate"
CONSUMER_BYTE_RATE: Final = "consumer_byte_rate"
REQUEST_PERCENTAGE: Final = "request_percentage"
CONTROLLER_MUTATION_RATE: Final = "controller_mutation_rate"

ENFORCED: Final[Mapping[str, bool]] = {
    PRODUCER_BYTE_RATE: True,
    CONSUMER_BYTE_RATE: True,
    REQUEST_PERCENTAGE: False,
    CONTROLLER_MUTATION_RATE: False,
}
"""The keys of users and client ids, and whether the value must be whole."""
CONNECTION_CREATION_RATE: Final = "connection_creation_rate"
"""The only key of addresses: new connections per second. It must be whole and fit into 32 bits."""
FRACTION_MAX: Final = 1e-6
"""What a whole number may be off by, since it travels as a double."""

Entity = tuple[tuple[str, str | None], ...]
"""Type and name of each part, sorted by type; the name None stands for the default."""


class Part(Enum):
    """How one half of an entity matches a client."""

    NAMED = 1
    DEFAULT = 2
    ABSENT = 3


LEVELS: Final[Sequence[tuple[Part, Part]]] = (
    (Part.NAMED, Part.NAMED),
    (Part.NAMED, Part.DEFAULT),
    (Part.NAMED, Part.ABSENT),
    (Part.DEFAULT, Part.NAMED),
    (Part.DEFAULT, Part.DEFAULT),
    (Part.DEFAULT, Part.ABSENT),
    (Part.ABSENT, Part.NAMED),
    (Part.ABSENT, Part.DEFAULT),
)
"""User and client id, best first."""

Sharers = tuple[str | None, str | None]
"""User and client id whose traffic is counted together; None where the quota does not look at it."""


def entity_of(parts: Sequence[tuple[str, str | None]]) -> Entity:
    """The entity with these parts; of a type that is named twice the last one counts. Raises InvalidRequest."""
    named = dict(parts)
    if not named:
        raise InvalidRequest("The entity of a quota must not be empty")
    for kind, name in named.items():
        if kind not in (USER, CLIENT_ID, IP):
            raise InvalidRequest(f"Unknown type of quota entity: {kind}")
        if name == "":
            raise InvalidRequest(f"An empty {kind} is not supported")
    if IP in named and len(named) > 1:
        raise InvalidRequest("An address cannot be combined with a user or client id")
    return tuple(sorted(named.items()))


def is_address(entity: Entity) -> bool:
    """Whether it is an address or the default of all."""
    return entity[0][0] == IP


def check_quota(entity: Entity, key: str, value: float) -> None:
    """Raises InvalidRequest when that quota cannot be set for that entity."""
    check_key(entity, key)
    if not math.isfinite(value):
        raise InvalidRequest(f"The quota {key} must be a finite number")
    if value <= 0:
        raise InvalidRequest(f"The quota {key} must be greater than 0")
    if ENFORCED.get(key, True):
        if value > (2**31 - 1 if key == CONNECTION_CREATION_RATE else 2**63 - 1):
            raise InvalidRequest(f"The quota {key} is too large")
        if value % 1.0 > FRACTION_MAX:
            raise InvalidRequest(f"The quota {key} must be a whole number")


def check_key(entity: Entity, key: str) -> None:
    """Raises InvalidRequest when entities of that kind have no such quota."""
    is_known = key == CONNECTION_CREATION_RATE if is_address(entity) else key in ENFORCED
    if not is_known:
        raise InvalidRequest(f"There is no quota {key} for {' and '.join(kind for kind, _ in entity)}")


def find_quota(
    quotas: Mapping[Entity, Mapping[str, float]], key: str, user: str, client_id: str
) -> tuple[float, Sharers] | None:
    """The quota that counts for this client, and with whom it is shared; None when there is none.

    A client without id is nobody's client: only quotas that do not look at client ids count.
    """
    for of_user, of_client in LEVELS:
        if not client_id and of_client is not Part.ABSENT:
            continue
        parts: list[tuple[str, str | None]] = []
        if of_client is not Part.ABSENT:
            parts.append((CLIENT_ID, client_id if of_client is Part.NAMED else None))
        if of_user is not Part.ABSENT:
            parts.append((USER, user if of_user is Part.NAMED else None))
        values = quotas.get(tuple(parts))
        if values is not None and key in values:
            sharers = (
                None if of_user is Part.ABSENT else user,
                None if of_client is Part.ABSENT else client_id,
            )
            return values[key], sharers
    return None


class QuotaRate:
    """What was counted lately, in samples: ``[start_ms, last_event_ms, sum]``, oldest first."""

    __slots__ = ("_count", "_samples", "_window_ms")

    def __init__(self, window_ms: int, sample_count: int) -> None:
        self._window_ms = window_ms
        self._count = sample_count
        # One more than counts: the oldest may still overlap the time that is looked at.
        self._samples: deque[list[float]] = deque(maxlen=sample_count + 1)

    def record(self, value: float, now_ms: int) -> None:
        """A negative value takes back what was recorded."""
        if not self._samples or now_ms - self._samples[-1][0] >= self._window_ms:
            self._samples.append([now_ms, now_ms, 0.0])
        sample = self._samples[-1]
        sample[1] = now_ms
        sample[2] += value

    def pause_ms(self, quota: float, now_ms: int) -> int:
        """How long nothing may be counted until the rate per second is back at ``quota``; 0 when it is not above."""
        self._forget_old(now_ms)
        window_ms = self._elapsed_ms(now_ms)
        rate = sum(sample[2] for sample in self._samples) * 1000 / window_ms
        return round((rate - quota) / quota * window_ms) if rate > quota else 0

    def is_idle(self, now_ms: int) -> bool:
        """Whether everything that was recorded is too old to count."""
        self._forget_old(now_ms)
        return not self._samples

    def _forget_old(self, now_ms: int) -> None:
        samples, age_ms_max = self._samples, self._count * self._window_ms
        while samples and now_ms - samples[0][1] >= age_ms_max:
            samples.popleft()

    def _elapsed_ms(self, now_ms: int) -> float:
        """Time since the oldest sample began, but at least all windows before the present one: else the first request
        after a silence would look like a flood.
        """
        elapsed_ms = now_ms - self._samples[0][0] if self._samples else 0
        missing = self._count - 1 - int(elapsed_ms // self._window_ms)
        return max(elapsed_ms + max(missing, 0) * self._window_ms, 1)


class TokenBucket:
    """Partitions that a client may still create or delete (KIP-599).

    It fills with the quota's number of tokens per second, up to ``burst_s`` seconds' worth, and starts full. One
    operation may take more than there is; the debt then has to be worked off before the next.
    """

    __slots__ = ("_burst_s", "_filled_ms", "_tokens")

    def __init__(self, burst_s: float) -> None:
        self._burst_s = burst_s
        self._tokens = math.inf
        self._filled_ms = 0

    def take(self, count: float, quota: float, now_ms: int) -> None:
        """Takes what is there, and what is not."""
        self._fill(quota, now_ms)
        self._tokens -= count

    def pause_ms(self, quota: float, now_ms: int) -> int:
        """How long until the debt is worked off; 0 without debt."""
        self._fill(quota, now_ms)
        return round(-self._tokens / quota * 1000) if self._tokens < 0 else 0

    def is_full(self, quota: float, now_ms: int) -> bool:
        """Whether it is as good as new."""
        self._fill(quota, now_ms)
        return self._tokens >= self._burst_s * quota

    def _fill(self, quota: float, now_ms: int) -> None:
        grown = self._tokens + (now_ms - self._filled_ms) * quota / 1000
        self._tokens = min(self._burst_s * quota, grown)
        self._filled_ms = now_ms
