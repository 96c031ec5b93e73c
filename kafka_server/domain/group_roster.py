"""Owns: who is in a classic group - members, static names, pending ids, the leader, the vote on a protocol.
Must never know: the group's state, generations, time-outs, the wire.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from kafka_server.domain.errors import FencedInstanceId, UnknownMemberId
from kafka_server.domain.group_values import JoinAnswer, JoinCommand, JoinedMember, Protocols, SyncAnswer


@dataclass(slots=True)
class Member:
    """One member. ``join_answer`` and ``sync_answer`` are set while a request of its waits at a barrier."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: Protocols
    assignment: bytes = b""
    is_new: bool = True
    """Its first JoinGroup has not been answered: it does not know its id, so it cannot send heartbeats."""
    join_answer: JoinAnswer | None = None
    sync_answer: SyncAnswer | None = None
    expires_at_ms: int | None = None
    """End of its session; None while it waits at a barrier, which is a sign of life."""

    def metadata(self, protocol_name: str) -> bytes:
        """Its metadata for that protocol. KeyError when it does not support it."""
        return dict(reversed(self.protocols))[protocol_name]


class Roster:
    """The members in the order in which they joined, with what is derived from them kept up to date."""

    __slots__ = ("_supporters", "joining_count", "leader_id", "members", "pending", "protocol_type", "static_ids")

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.static_ids: dict[str, str] = {}
        """Member id per instance id."""
        self.pending: dict[str, int] = {}
        """Ids handed out with MEMBER_ID_REQUIRED, with the time at which we stop to expect them."""
        self.leader_id: str | None = None
        self.protocol_type: str | None = None
        self.joining_count = 0
        """Members whose JoinGroup waits; kept as a number because the barrier is tested at every join."""
        self._supporters: Counter[str] = Counter()

    def add(self, member: Member, protocol_type: str) -> None:
        """Takes in a member; the first one decides the protocol type and leads."""
        if not self.members:
            self.protocol_type = protocol_type
        if self.leader_id is None:
            self.leader_id = member.member_id
        if member.instance_id is not None:
            self.static_ids[member.instance_id] = member.member_id
        self.members[member.member_id] = member
        self.pending.pop(member.member_id, None)
        self._count(member, 1)

    def remove(self, member_id: str) -> None:
        """Forgets a member or a pending id; unknown ids are fine. The longest-standing member inherits the lead."""
        self.pending.pop(member_id, None)
        member = self.members.pop(member_id, None)
        if member is None:
            return
        self._count(member, -1)
        if member.instance_id is not None:
            self.static_ids.pop(member.instance_id, None)
        if member_id == self.leader_id:
            self.leader_id = next(iter(self.members), None)

    def update(self, member: Member, command: JoinCommand, answer: JoinAnswer) -> None:
        """Takes over what a known member says when it joins again, and lets it wait."""
        self._count(member, -1)
        member.protocols = command.protocols
        member.session_timeout_ms = command.session_timeout_ms
        member.rebalance_timeout_ms = command.rebalance_timeout_ms
        member.join_answer = answer
        self._count(member, 1)

    def replace_static(self, old: Member, member_id: str) -> Member:
        """Gives a static member its next member id (a restarted process); assignment and lead carry over."""
        assert old.instance_id is not None
        new = Member(
            member_id,
            old.instance_id,
            old.client_id,
            old.client_host,
            old.session_timeout_ms,
            old.rebalance_timeout_ms,
            old.protocols,
            old.assignment,
            is_new=False,
        )
        was_leader = old.member_id == self.leader_id
        self._count(old, -1)
        del self.members[old.member_id]
        self.members[member_id] = new
        self.static_ids[old.instance_id] = member_id
        self._count(new, 1)
        if was_leader:
            self.leader_id = member_id
        return new

    def release_join(self, member: Member) -> JoinAnswer | None:
        """Takes the waiting JoinGroup away from a member, to be answered by the caller."""
        answer, member.join_answer = member.join_answer, None
        if answer is not None:
            self.joining_count -= 1
        return answer

    def find(self, member_id: str, instance_id: str | None) -> Member:
        """The member with that identity. UnknownMemberId; FencedInstanceId when the instance id moved on (KIP-345)."""
        if instance_id is not None:
            current_id = self.static_ids.get(instance_id)
            if current_id is None:
                raise UnknownMemberId(f"No member has the instance id {instance_id}")
            if current_id != member_id:
                raise FencedInstanceId(f"{current_id} has taken over the instance id {instance_id} from {member_id}")
        member = self.members.get(member_id)
        if member is None:
            raise UnknownMemberId
        return member

    def supports(self, protocol_type: str, protocols: Protocols) -> bool:
        """Whether a member with these protocols could agree with everybody who is in."""
        return protocol_type == self.protocol_type and any(
            self._supporters[name] == len(self.members) for name, _ in protocols
        )

    def select_protocol(self) -> str:
        """Each member votes for its first protocol that all support; the most votes win, ties go to the eldest."""
        candidates = {name for name, supporters in self._supporters.items() if supporters == len(self.members)}
        votes = Counter(next(name for name, _ in m.protocols if name in candidates) for m in self.members.values())
        return votes.most_common(1)[0][0]

    def elect_joined_leader(self) -> bool:
        """Makes sure that the leader is somebody who waits at the join barrier; False when nobody does."""
        if self.leader_id is not None and self.members[self.leader_id].join_answer is not None:
            return True
        joined = next((m.member_id for m in self.members.values() if m.join_answer is not None), None)
        if joined is not None:
            self.leader_id = joined
        return joined is not None

    def all_joined(self) -> bool:
        """Whether the join barrier is complete: every member waits and no handed-out id is still expected."""
        return self.joining_count == len(self.members) and not self.pending

    def rebalance_timeout_ms(self) -> int:
        """The most patient member decides for all."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    def listing(self, protocol_name: str) -> tuple[JoinedMember, ...]:
        """What the leader is told."""
        return tuple(JoinedMember(m.member_id, m.instance_id, m.metadata(protocol_name)) for m in self.members.values())

    def _count(self, member: Member, step: int) -> None:
        self.joining_count += step if member.join_answer is not None else 0
        for name in {name for name, _ in member.protocols}:
            self._supporters[name] += step
            if not self._supporters[name]:
                del self._supporters[name]
