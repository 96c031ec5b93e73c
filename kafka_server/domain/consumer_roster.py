"""Owns: who is in a consumer group and who holds which partition, with what follows from that.
Must never know: epochs of the group, targets, time, the wire.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from kafka_server.domain.consumer_member import ConsumerMember
from kafka_server.domain.errors import FencedInstanceId, UnknownMemberId


class TopicFacts(Protocol):
    """What groups want to know of a topic."""

    @property
    def name(self) -> str: ...

    @property
    def topic_id(self) -> bytes: ...

    @property
    def partition_count(self) -> int: ...


class TopicCatalog(Protocol):
    """The topics that exist, looked up at once."""

    def get(self, name: str) -> TopicFacts | None: ...

    def get_by_id(self, topic_id: bytes) -> TopicFacts | None: ...

    def all(self) -> Sequence[TopicFacts]: ...


class DoubleOwnerError(RuntimeError):
    """A partition was given to two members: a bug of ours that must not go unnoticed."""


class ConsumerRoster:
    """The members in the order in which they joined. A member is never changed, only replaced."""

    __slots__ = ("_holders", "members", "static_ids")

    def __init__(self) -> None:
        self.members: dict[str, ConsumerMember] = {}
        self.static_ids: dict[str, str] = {}
        """Member id per instance id."""
        self._holders: dict[tuple[bytes, int], str] = {}
        """Who may use a partition at this moment."""

    def find(self, member_id: str) -> ConsumerMember:
        """The member. Raises UnknownMemberId."""
        member = self.members.get(member_id)
        if member is None:
            raise UnknownMemberId(f"{member_id!r} is no member of this group")
        return member

    def find_static(self, instance_id: str, member_id: str) -> ConsumerMember:
        """The static member, which must have that member id. Raises UnknownMemberId, FencedInstanceId."""
        current = self.static_member(instance_id)
        if current is None:
            raise UnknownMemberId(f"No member has the instance id {instance_id}")
        if current.member_id != member_id:
            raise FencedInstanceId(f"{current.member_id} has taken over {instance_id} from {member_id}")
        return current

    def identify(self, member_id: str, instance_id: str | None) -> ConsumerMember:
        """The member with that identity. Raises UnknownMemberId, FencedInstanceId."""
        return self.find(member_id) if instance_id is None else self.find_static(instance_id, member_id)

    def static_member(self, instance_id: str | None) -> ConsumerMember | None:
        """Who has that instance id now."""
        member_id = None if instance_id is None else self.static_ids.get(instance_id)
        return None if member_id is None else self.members[member_id]

    def put(self, member: ConsumerMember) -> None:
        """Takes in a member, or its next state."""
        old = self.members.get(member.member_id)
        if old is not None:
            self._release(old)
            if old.instance_id is not None:
                self.static_ids.pop(old.instance_id, None)
        self._hold(member)
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static_ids[member.instance_id] = member.member_id

    def replace(self, old: ConsumerMember, new: ConsumerMember) -> None:
        """A static member came back under another member id, and keeps its place."""
        self._release(old)
        self._hold(new)
        self.members = {
            new.member_id if member_id == old.member_id else member_id: new if member_id == old.member_id else member
            for member_id, member in self.members.items()
        }
        if new.instance_id is not None:
            self.static_ids[new.instance_id] = new.member_id

    def remove(self, member_id: str) -> None:
        """Forgets a member; its partitions are free."""
        member = self.members.pop(member_id)
        self._release(member)
        if member.instance_id is not None:
            self.static_ids.pop(member.instance_id, None)

    def is_held(self, topic_id: bytes, partition: int) -> bool:
        """Whether somebody may use that partition."""
        return (topic_id, partition) in self._holders

    def preferred_assignor(self, default: str) -> str:
        """The assignor that most members ask for, among those who ask for one."""
        votes = Counter(member.assignor for member in self.members.values() if member.assignor is not None)
        return votes.most_common(1)[0][0] if votes else default

    def patterns(self) -> Counter[str]:
        """How many members subscribe by each pattern."""
        return Counter(member.pattern for member in self.members.values() if member.pattern)

    def classic_members(self) -> list[ConsumerMember]:
        """Those that speak the classic protocol."""
        return [member for member in self.members.values() if member.classic is not None]

    def supports(self, protocol_names: set[str]) -> bool:
        """Whether a classic member with these protocols could agree with all other classic ones."""
        classics = self.classic_members()
        if not classics:
            return bool(protocol_names)
        counts = Counter(
            name for m in classics if m.classic is not None for name in {name for name, _ in m.classic.protocols}
        )
        return any(counts[name] == len(classics) for name in protocol_names)

    def _hold(self, member: ConsumerMember) -> None:
        for held in (member.assigned, member.revoking):
            for topic, partitions in held.items():
                for partition in partitions:
                    other = self._holders.setdefault((topic, partition), member.member_id)
                    if other != member.member_id:
                        raise DoubleOwnerError(f"{topic.hex()}-{partition} is {other}'s, not {member.member_id}'s")

    def _release(self, member: ConsumerMember) -> None:
        for held in (member.assigned, member.revoking):
            for topic, partitions in held.items():
                for partition in partitions:
                    self._holders.pop((topic, partition), None)
