"""Owns: how fast new connections are served under ``max.connection.creation.rate``. Must never know: sockets, requests.

Apache Kafka takes connections one after another; over the rate it holds up the next one, and with it all behind it.
Here they are accepted as they come, and each waits as long as it would have waited there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafka_server.domain.client_quota import QuotaRate


class Pace:
    """Connections per second, as a rate over several windows of ``window_ms``. The bound may be changed."""

    __slots__ = ("_free_from_ms", "_rate", "_window_ms", "per_second_max")

    def __init__(self, rate: QuotaRate, window_ms: int, per_second_max: int) -> None:
        self.per_second_max = per_second_max
        self._window_ms = window_ms
        self._rate = rate
        self._free_from_ms = 0

    def delay_ms(self, now_ms: int) -> int:
        """How long a connection that came now has to wait until it is served; one pause is at most one window."""
        turn_ms = max(now_ms, self._free_from_ms)
        self._rate.record(1, turn_ms)
        pause_ms = self._rate.pause_ms(self.per_second_max, turn_ms)
        self._free_from_ms = turn_ms + min(pause_ms, self._window_ms)
        return self._free_from_ms - now_ms
