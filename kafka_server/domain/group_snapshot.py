"""Owns: what of a group survives a restart, and how a group comes back from it. Must never know: storage.

Whoever waited in a JoinGroup or SyncGroup is gone after a restart and asks again; waits are not part of a snapshot.
Members of a consumer group go on in their epochs, as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kafka_server.domain.assignors import TopicPartitions
from kafka_server.domain.classic_group import ClassicGroup
from kafka_server.domain.consumer_group import ConsumerGroup
from kafka_server.domain.consumer_member import ConsumerMember
from kafka_server.domain.consumer_roster import TopicCatalog
from kafka_server.domain.group_roster import Member
from kafka_server.domain.group_states import State
from kafka_server.domain.group_subscription import FoundTopics
from kafka_server.domain.group_values import ConsumerLimits, GroupLimits, Protocols


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


@dataclass(slots=True, frozen=True)
class ConsumerGroupSnapshot:
    group_id: str
    epoch: int
    target_epoch: int
    assigned_at_ms: int
    metadata_hash: bytes
    members: tuple[ConsumerMember, ...]
    targets: Mapping[str, TopicPartitions]
    """By member id."""
    found: tuple[FoundTopics, ...]


AnySnapshot = GroupSnapshot | ConsumerGroupSnapshot


def take_any(group: ClassicGroup | ConsumerGroup) -> AnySnapshot:
    """The group as it is now."""
    return take(group) if isinstance(group, ClassicGroup) else take_consumer(group)


def take_consumer(group: ConsumerGroup) -> ConsumerGroupSnapshot:
    """The consumer group as it is now."""
    return ConsumerGroupSnapshot(
        group.group_id,
        group.epoch,
        group.target_epoch,
        group.assigned_at_ms,
        group.metadata_hash,
        tuple(group.roster.members.values()),
        dict(group.targets),
        tuple(group.subscription.found.values()),
    )


def restore_consumer(
    snapshot: ConsumerGroupSnapshot, limits: ConsumerLimits, catalog: TopicCatalog, now_ms: int
) -> ConsumerGroup:
    """The consumer group as it was stored; sessions start anew."""
    group = ConsumerGroup(snapshot.group_id, limits, catalog)
    group.epoch, group.target_epoch = snapshot.epoch, snapshot.target_epoch
    group.assigned_at_ms, group.metadata_hash = snapshot.assigned_at_ms, snapshot.metadata_hash
    for member in snapshot.members:
        group.roster.put(member)
    group.targets = dict(snapshot.targets)
    group.subscription.found = {found.pattern: found for found in snapshot.found}
    group.resume(now_ms)
    return group


def take(group: ClassicGroup) -> GroupSnapshot:
    """The classic group as it is now."""
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
