"""Owns: planted bugs of groups: assignments, generations. Must never know: how the checker works."""

from __future__ import annotations

from typing import Any

from kafka_server.domain.classic_group import ClassicGroup
from kafka_server.domain.consumer_roster import ConsumerRoster


def shared_assignment() -> None:
    """Every member gets what the leader assigned to itself."""
    original = ClassicGroup._sync_result

    def sync_result(self: ClassicGroup, member: Any) -> Any:
        return original(self, self.roster.members.get(self.roster.leader_id or "", member))

    setattr(ClassicGroup, "_sync_result", sync_result)  # noqa: B010 - mypy is right to refuse an assignment; so below


def hasty_handover() -> None:
    """A partition goes to its next owner before the one before has let go (KIP-848)."""

    def hold(self: ConsumerRoster, member: Any) -> None:
        for held in (member.assigned, member.revoking):
            for topic, partitions in held.items():
                self._holders.update(dict.fromkeys(((topic, each) for each in partitions), member.member_id))

    setattr(ConsumerRoster, "_hold", hold)  # noqa: B010
    setattr(ConsumerRoster, "is_held", lambda *_: False)  # noqa: B010


def any_generation() -> None:
    """Offsets are taken from whoever names the group."""
    setattr(ClassicGroup, "validate_offset_commit", lambda *_, **__: None)  # noqa: B010
