"""Owns: what the services need from the world, as small protocols in domain terms. Must never know: who implements them.

Each port is written for its consumer and has at most six methods. Every adapter of a port passes the same suite in
``tests/ports``. Sections: time; log storage; topics; offsets and groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from kafka_server.domain.topic import Topic

# ---- time ----------------------------------------------------------------------------------------------------------


class Timer(Protocol):
    """A pending call; ``cancel`` is idempotent and safe after the call ran."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Time as the services see it; the virtual clock in ``kafka_server.testing`` makes tests instant and exact."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch."""

    def call_later(self, delay_ms: float, callback: Callable[[], None]) -> Timer:
        """Runs ``callback`` once, on the event loop, ``delay_ms`` milliseconds from now."""


# ---- topics ----------------------------------------------------------------------------------------------------------


class TopicRepository(Protocol):
    """The topics of this broker. Lookups answer at once from memory; what changes the store may have to wait for it.

    The same ``Topic`` object comes back from every lookup: it is the entity, not a copy of a row.
    """

    def get(self, name: str) -> Topic | None:
        """The topic with that name, or None."""

    def get_by_id(self, topic_id: bytes) -> Topic | None:
        """The topic with that 16-byte id, or None."""

    def all(self) -> Sequence[Topic]:
        """Every topic, sorted by name."""

    async def add(self, topic: Topic) -> None:
        """Stores a new topic. Raises TopicAlreadyExists when the name or the id is taken."""

    async def update(self, topic: Topic) -> None:
        """Stores the topic's partition count and configs as they are now. Raises UnknownTopicOrPartition."""

    async def remove(self, topic: Topic) -> None:
        """Forgets the topic. Raises UnknownTopicOrPartition when it is not stored."""
