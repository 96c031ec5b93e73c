"""Owns: consumer groups (KIP-848) in the metadata file. Must never know: what epochs and targets mean.

A member is one row. Its partitions are JSON in that row: they are read and written as a whole, and a row for each
partition would make a rebalance of a large group a matter of millions of rows::

    {"<topic id in hex>": [[partition, epoch], ...]}        what a member holds
    {"<topic id in hex>": [partition, ...]}                 what it is meant to have
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from kafka_server.domain.assignors import TopicPartitions
from kafka_server.domain.consumer_member import ClassicFacts, ConsumerMember, HeldPartitions, MemberState
from kafka_server.domain.group_snapshot import ConsumerGroupSnapshot
from kafka_server.domain.group_subscription import FoundTopics
from kafka_server.infrastructure.storage.sqlite.store import Statement, Store

READ_MEMBERS = (
    "SELECT group_id, member_id, epoch, previous_epoch, instance_id, rack_id, client_id, client_host, "
    "rebalance_timeout_ms, topics, pattern, assignor, state, assigned, revoking, classic, target "
    "FROM consumer_members ORDER BY group_id, position"
)
INSERT_MEMBER = "INSERT INTO consumer_members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def load(store: Store) -> list[ConsumerGroupSnapshot]:
    """Every consumer group that is stored."""
    members: dict[str, list[tuple[ConsumerMember, TopicPartitions]]] = {}
    for group_id, *facts in store.read(READ_MEMBERS):
        members.setdefault(group_id, []).append(_member_of(facts))
    found: dict[str, list[FoundTopics]] = {}
    for group_id, pattern, topics, found_at_ms in store.read(
        "SELECT group_id, pattern, topics, found_at_ms FROM consumer_patterns ORDER BY group_id, pattern"
    ):
        found.setdefault(group_id, []).append(FoundTopics(pattern, frozenset(json.loads(topics)), found_at_ms))
    return [
        ConsumerGroupSnapshot(
            group_id,
            epoch,
            target_epoch,
            assigned_at_ms,
            metadata_hash,
            tuple(member for member, _ in members.get(group_id, ())),
            {member.member_id: target for member, target in members.get(group_id, ())},
            tuple(found.get(group_id, ())),
        )
        for group_id, epoch, target_epoch, assigned_at_ms, metadata_hash in store.read(
            "SELECT group_id, epoch, target_epoch, assigned_at_ms, metadata_hash FROM consumer_groups"
        )
    ]


def save(group: ConsumerGroupSnapshot) -> list[Statement]:
    """What stores the group in place of what was stored under its id."""
    statements: list[Statement] = [
        *delete(group.group_id),
        (
            "INSERT INTO consumer_groups VALUES (?, ?, ?, ?, ?)",
            (group.group_id, group.epoch, group.target_epoch, group.assigned_at_ms, group.metadata_hash),
        ),
    ]
    for position, member in enumerate(group.members):
        row = (group.group_id, position, *_row_of(member, group.targets.get(member.member_id, {})))
        statements.append((INSERT_MEMBER, row))
    statements += [
        (
            "INSERT INTO consumer_patterns VALUES (?, ?, ?, ?)",
            (group.group_id, found.pattern, json.dumps(sorted(found.topics)), found.found_at_ms),
        )
        for found in group.found
    ]
    return statements


def delete(group_id: str) -> list[Statement]:
    """What forgets the group; its members and patterns go with it."""
    return [("DELETE FROM consumer_groups WHERE group_id = ?", (group_id,))]


def _row_of(member: ConsumerMember, target: TopicPartitions) -> tuple[Any, ...]:
    classic = None
    if member.classic is not None:
        protocols = [(name, base64.b64encode(metadata).decode()) for name, metadata in member.classic.protocols]
        classic = json.dumps([member.classic.session_timeout_ms, protocols])
    return (
        member.member_id,
        member.epoch,
        member.previous_epoch,
        member.instance_id,
        member.rack_id,
        member.client_id,
        member.client_host,
        member.rebalance_timeout_ms,
        json.dumps(sorted(member.topics)),
        member.pattern,
        member.assignor,
        member.state.value,
        _held_text(member.assigned),
        _held_text(member.revoking),
        classic,
        json.dumps({topic.hex(): sorted(partitions) for topic, partitions in target.items()}),
    )


def _member_of(facts: list[Any]) -> tuple[ConsumerMember, TopicPartitions]:
    *plain, topics, pattern, assignor, state, assigned, revoking, classic, target = facts
    classic_facts = None
    if classic is not None:
        session_timeout_ms, protocols = json.loads(classic)
        decoded = tuple((name, base64.b64decode(metadata)) for name, metadata in protocols)
        classic_facts = ClassicFacts(session_timeout_ms, decoded)
    read = (pattern, assignor, MemberState(state), _held(assigned), _held(revoking), classic_facts)
    member = ConsumerMember(*(*plain, frozenset(json.loads(topics)), *read))
    return member, {bytes.fromhex(t): frozenset(partitions) for t, partitions in json.loads(target).items()}


def _held_text(held: HeldPartitions) -> str:
    return json.dumps({topic.hex(): sorted(partitions.items()) for topic, partitions in held.items()})


def _held(text: str) -> Mapping[bytes, Mapping[int, int]]:
    return {bytes.fromhex(topic): dict(pairs) for topic, pairs in json.loads(text).items()}
