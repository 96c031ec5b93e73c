"""Owns: how a group becomes one of the other protocol while its members stay (KIP-848, upgrade and downgrade).
Must never know: when that happens, who stores it.

Upgrade: a member of the consumer protocol joins a classic group. Everybody keeps what the leader assigned last.
Downgrade: the last member of the consumer protocol is gone. Everybody keeps its target.
"""

from __future__ import annotations

from collections.abc import Mapping

from kafka_server.domain.assignors import TopicPartitions
from kafka_server.domain.classic_group import ClassicGroup
from kafka_server.domain.consumer_group import ConsumerGroup
from kafka_server.domain.consumer_member import ClassicFacts, ConsumerMember
from kafka_server.domain.consumer_roster import DoubleOwnerError, TopicCatalog
from kafka_server.domain.consumer_subscription import (
    CONSUMER_PROTOCOL_TYPE,
    assigned_partitions,
    has_user_data,
    read_subscription,
    write_assignment,
)
from kafka_server.domain.errors import GroupIdNotFound
from kafka_server.domain.group_roster import Member
from kafka_server.domain.group_snapshot import GroupSnapshot, MemberSnapshot, restore
from kafka_server.domain.group_states import State
from kafka_server.domain.group_values import ConsumerLimits


def upgrade(classic: ClassicGroup, limits: ConsumerLimits, catalog: TopicCatalog, now_ms: int) -> ConsumerGroup:
    """The consumer group that goes on with the members of a classic one, which is left as it is.

    Raises GroupIdNotFound when that cannot be; Kafka's reading of it is that there is no such *consumer* group.
    """
    name = classic.group_id
    if not limits.may_upgrade:
        raise GroupIdNotFound(
            f"The classic group {name} cannot be upgraded: group.consumer.migration.policy forbids it"
        )
    if not classic.uses_consumer_protocol:
        raise GroupIdNotFound(f"The classic group {name} cannot be upgraded: its members are no consumers")
    if classic.member_count > limits.size_max:
        raise GroupIdNotFound(f"The classic group {name} cannot be upgraded: it has too many members")
    group = ConsumerGroup(name, limits, catalog)
    group.epoch = group.target_epoch = classic.generation
    protocol_name = classic.protocol_name or classic.roster.select_protocol()
    for member in classic.roster.members.values():
        try:
            upgraded = _upgrade_member(member, protocol_name, classic.generation, catalog)
            group.roster.put(upgraded)
        except (ValueError, DoubleOwnerError) as error:  # What a leader assigned is not ours to trust.
            raise GroupIdNotFound(f"The classic group {name} cannot be upgraded: {error}") from None
        group.targets[member.member_id] = {t: frozenset(held) for t, held in upgraded.assigned.items()}
    if classic.state is State.STABLE and _is_complete(group, catalog):
        group.metadata_hash = group.subscription.metadata_hash()
    group.resume(now_ms)
    return group


def _is_complete(group: ConsumerGroup, catalog: TopicCatalog) -> bool:
    """Whether the members have all that they read. If not, the group needs a new target at once. Apache Kafka counts on
    a bump by whoever triggers the upgrade, which a static member that takes its own place does not cause.
    """
    wanted = {
        (topic.topic_id, partition)
        for topic in map(catalog.get, group.subscription.topics())
        if topic is not None
        for partition in range(topic.partition_count)
    }
    return all(group.roster.is_held(*partition) for partition in wanted)


def _upgrade_member(member: Member, protocol_name: str, generation: int, catalog: TopicCatalog) -> ConsumerMember:
    assigned: dict[bytes, dict[int, int]] = {}
    if member.assignment:
        if has_user_data(member.assignment):
            raise ValueError("its leader's own assignor keeps data in assignments, which would be lost")
        for topic_name, partition in assigned_partitions(member.assignment):
            topic = catalog.get(topic_name)
            if topic is not None:
                assigned.setdefault(topic.topic_id, {})[partition] = generation
    subscription = read_subscription(member.metadata(protocol_name))
    return ConsumerMember(
        member.member_id,
        epoch=generation,
        previous_epoch=generation,
        instance_id=member.instance_id,
        rack_id=subscription.rack_id,
        client_id=member.client_id,
        client_host=member.client_host,
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        topics=subscription.topics,
        assigned=assigned,
        classic=ClassicFacts(member.session_timeout_ms, member.protocols),
    )


def downgrade(group: ConsumerGroup, without: frozenset[str], catalog: TopicCatalog, now_ms: int) -> ClassicGroup:
    """The classic group that goes on with the members of a consumer group, all of which speak the classic protocol."""
    members = [member for member_id, member in group.roster.members.items() if member_id not in without]
    snapshots = [_downgrade_member(member, group.targets.get(member.member_id, {}), catalog) for member in members]
    snapshot = GroupSnapshot(
        group.group_id,
        group.epoch,
        CONSUMER_PROTOCOL_TYPE,
        None,
        members[0].member_id,
        now_ms,
        tuple(snapshots),
    )
    classic = restore(snapshot, group.limits.classic, now_ms)
    classic.adopt_protocol()
    return classic


def _downgrade_member(member: ConsumerMember, target: TopicPartitions, catalog: TopicCatalog) -> MemberSnapshot:
    assert member.classic is not None, "only classic members are left"
    version = read_subscription(member.classic.protocols[0][1]).version
    topics = ((catalog.get_by_id(topic_id), partitions) for topic_id, partitions in target.items())
    named: Mapping[str, list[int]] = {topic.name: sorted(held) for topic, held in topics if topic is not None}
    return MemberSnapshot(
        member.member_id,
        member.instance_id,
        member.client_id,
        member.client_host,
        member.classic.session_timeout_ms,
        member.rebalance_timeout_ms,
        member.classic.protocols,
        write_assignment(named, version),
    )
