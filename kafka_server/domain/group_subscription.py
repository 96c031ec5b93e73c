"""Owns: what the members of a consumer group read - names, patterns and what these found - and when that changed.
Must never know: epochs, assignments, the wire.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from kafka_server.domain.consumer_member import ConsumerMember
from kafka_server.domain.consumer_roster import ConsumerRoster, TopicCatalog
from kafka_server.domain.topic_pattern import topic_pattern

PATTERN_REFRESH_MS_MIN = 10_000
"""Patterns are not matched against all topics more often than this, whoever asks for it."""
NO_TOPICS_HASH = b""


@dataclass(slots=True, frozen=True)
class FoundTopics:
    """What a pattern found, and when."""

    pattern: str
    topics: frozenset[str]
    found_at_ms: int


class Subscription:
    """What all members together read."""

    __slots__ = ("_catalog", "_roster", "found", "has_new_topics")

    def __init__(self, roster: ConsumerRoster, catalog: TopicCatalog) -> None:
        self._roster = roster
        self._catalog = catalog
        self.found: dict[str, FoundTopics] = {}
        self.has_new_topics = False
        """Topics were created since the patterns were matched."""

    def topics_of(self, member: ConsumerMember) -> frozenset[str]:
        """The names that it reads, whether such topics exist or not."""
        found = self.found.get(member.pattern) if member.pattern else None
        return member.topics if found is None else member.topics | found.topics

    def topic_ids_of(self, member: ConsumerMember) -> frozenset[bytes]:
        """The topics that it reads and that exist."""
        known = (self._catalog.get(name) for name in self.topics_of(member))
        return frozenset(topic.topic_id for topic in known if topic is not None)

    def topics(self) -> frozenset[str]:
        """All names that somebody reads."""
        return frozenset().union(*(self.topics_of(member) for member in self._roster.members.values()))

    def reads(self, topic: str) -> bool:
        """Whether somebody reads a topic of that name."""
        return any(topic in self.topics_of(member) for member in self._roster.members.values())

    def metadata_hash(self) -> bytes:
        """A number that changes when a topic that is read comes, goes, grows or is created anew."""
        lines = []
        for name in sorted(self.topics()):
            topic = self._catalog.get(name)
            if topic is not None:
                lines.append(f"{name} {topic.topic_id.hex()} {topic.partition_count}")
        if not lines:
            return NO_TOPICS_HASH
        return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).digest()

    # ---- patterns ----------------------------------------------------------------------------------------------------

    def forget_unused_patterns(self) -> None:
        """Nobody subscribes by them any more."""
        used = self._roster.patterns()
        self.found = {pattern: found for pattern, found in self.found.items() if pattern in used}

    def patterns_to_find(self, now_ms: int, refresh_interval_ms: int) -> Iterable[str]:
        """The patterns that have to be matched now: all of them or none."""
        used = self._roster.patterns()
        last_ms = next((found.found_at_ms for found in self.found.values()), None)
        if not used or (last_ms is not None and now_ms <= last_ms + PATTERN_REFRESH_MS_MIN):
            return ()
        is_due = (
            len(used) != len(self.found)
            or self.has_new_topics
            or last_ms is None
            or now_ms > last_ms + refresh_interval_ms
        )
        return list(used) if is_due else ()

    def find(self, patterns: Iterable[str], now_ms: int) -> bool:
        """Matches patterns against the topics that exist; whether any found something else than before."""
        self.has_new_topics = False
        names = [topic.name for topic in self._catalog.all()]
        has_changed = False
        for pattern in patterns:
            matches = topic_pattern(pattern).matches
            topics = frozenset(name for name in names if matches(name))
            before = self.found.get(pattern)
            has_changed = has_changed or topics != (frozenset() if before is None else before.topics)
            self.found[pattern] = FoundTopics(pattern, topics, now_ms)
        return has_changed
