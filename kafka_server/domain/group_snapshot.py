"""Owns: what of a classic group survives a restart, and how a group comes back from it. Must never know: storage.

Whoever waited in a JoinGroup or SyncGroup is gone after a restart and asks again; waits are not part of a snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

from kafka_server.domain.classic_group import ClassicGroup
from kafka_server.domain.group_roster import Member
from kafka_server.domain.group_states import State
from kafka_server.domain.group_values import GroupLimits, Protocols


@dataclass(slots=True, frozen=True)
class MemberSnapshot:
    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: Protocols
    assignment: bytes


@dataclass(slots=True, frozen=True)
class GroupSnapshot:
    group_id: str
    generation: int
    protocol_type: str | None
    protocol_name: str | None
    leader_id: str | None
    state_since_ms: int
    members: tuple[MemberSnapshot, ...]


def take(group: ClassicGroup) -> GroupSnapshot:
    """The group as it is now."""
    members = tuple(
        MemberSnapshot(
            m.member_id,
            m.instance_id,
            m.client_id,
            m.client_host,
            m.session_timeout_ms,
            m.rebalance_timeout_ms,
            m.protocols,
            m.assignment,
        )
        for m in group.roster.members.values()
    )
    return GroupSnapshot(
        group.group_id,
        group.generation,
        group.roster.protocol_type,
        group.protocol_name,
        group.roster.leader_id,
        group.state_since_ms,
        members,
    )


def restore(snapshot: GroupSnapshot, limits: GroupLimits, now_ms: int) -> ClassicGroup:
    """The group as it was stored: Stable with its members, whose sessions start anew, or Empty."""
    group = ClassicGroup(snapshot.group_id, limits, snapshot.state_since_ms)
    group.generation = snapshot.generation
    group.protocol_name = snapshot.protocol_name
    for stored in snapshot.members:
        member = Member(
            stored.member_id,
            stored.instance_id,
            stored.client_id,
            stored.client_host,
            stored.session_timeout_ms,
            stored.rebalance_timeout_ms,
            stored.protocols,
            stored.assignment,
            is_new=False,
        )
        group.roster.add(member, snapshot.protocol_type or "")
    group.roster.protocol_type = snapshot.protocol_type
    group.roster.leader_id = snapshot.leader_id
    group.state = State.STABLE if snapshot.members else State.EMPTY
    group.resume(now_ms)
    return group
