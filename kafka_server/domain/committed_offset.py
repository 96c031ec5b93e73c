"""Owns: what a group commits for one partition, and when that expires. Must never know: groups' members, storage."""

from __future__ import annotations

from dataclasses import dataclass

NO_TOPIC_ID = bytes(16)


@dataclass(slots=True, frozen=True)
class CommittedOffset:
    """The position of a group in one partition, as it was committed."""

    offset: int
    """The next offset to read, not the last one read."""
    leader_epoch: int = -1
    """Leader epoch of the record before ``offset``; -1 when the client did not say. Lets it notice truncation."""
    metadata: str = ""
    """Free text of the client; null on the wire becomes empty."""
    committed_at_ms: int = 0
    expires_at_ms: int = -1
    """End of life that OffsetCommit v2-v4 could ask for (``retention_time_ms``); -1 leaves it to the broker."""
    topic_id: bytes = NO_TOPIC_ID
    """Id of the topic when the offset was committed; a topic created anew under the same name does not inherit it."""

    def belongs_to(self, topic_id: bytes) -> bool:
        """Whether a client that asks for this topic id may see the offset; a zero id on either side fits all."""
        return topic_id in (NO_TOPIC_ID, self.topic_id) or self.topic_id == NO_TOPIC_ID

    def is_expired(self, retention_start_ms: int, retention_ms: int, now_ms: int) -> bool:
        """Whether the offset may go. ``retention_start_ms``: since when the group calls it unused (KIP-211)."""
        if self.expires_at_ms >= 0:
            return now_ms >= self.expires_at_ms
        return now_ms - retention_start_ms >= retention_ms
