"""Owns: one member of a consumer group (KIP-848), and the steps from what it has to what it should have.
Must never know: other members, group epochs, time, the wire.

Nothing is taken from a member behind its back. The coordinator has a *target*; the member is led there in steps that it
confirms with its heartbeats::

    Stable --target changed--> UnrevokedPartitions   it is told to give partitions up, in its old epoch, and does so
                                      |              when it reports partitions without them
                                      v
                               UnreleasedPartitions  it is in the new epoch; some of its partitions are still with
                                      |              somebody who has to give them up first
                                      v
                                    Stable           it has all of its target

A partition belongs to at most one member: either as assigned or as one that waits for being revoked.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from kafka_server.domain.assignors import TopicPartitions
from kafka_server.domain.group_values import Protocols

HeldPartitions = Mapping[bytes, Mapping[int, int]]
"""Topic id to partition index to the member epoch in which the member got the partition (KIP-1251)."""

LEFT_EPOCH = -1
"""A member leaves for good."""
AWAY_EPOCH = -2
"""A static member is away and will be back; its partitions wait for it until its session ends."""


class MemberState(enum.Enum):
    """Where a member is on its way to the target."""

    STABLE = "Stable"
    UNREVOKED_PARTITIONS = "UnrevokedPartitions"
    UNRELEASED_PARTITIONS = "UnreleasedPartitions"


@dataclass(slots=True, frozen=True)
class ClassicFacts:
    """What a member told that speaks the classic protocol (it is in a group that is being upgraded)."""

    session_timeout_ms: int
    protocols: Protocols


@dataclass(slots=True, frozen=True)
class ConsumerMember:
    """A member as it is between two requests. Never changed, only replaced."""

    member_id: str
    epoch: int = 0
    previous_epoch: int = 0
    """A heartbeat in this epoch is accepted, too: the answer that told of the newer one may have been lost."""
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    rebalance_timeout_ms: int = -1
    topics: frozenset[str] = frozenset()
    """Topics that it names; those that its pattern finds are not in here."""
    pattern: str = ""
    """Regular expression of further topics; empty for none."""
    assignor: str | None = None
    state: MemberState = MemberState.STABLE
    assigned: HeldPartitions = field(default_factory=dict)
    revoking: HeldPartitions = field(default_factory=dict)
    """What it was told to give up and may still use."""
    classic: ClassicFacts | None = None

    def is_reconciled_to(self, target_epoch: int) -> bool:
        """Whether it has arrived."""
        return self.state is MemberState.STABLE and self.epoch == target_epoch

    def partition_epoch(self, topic_id: bytes, partition: int) -> int | None:
        """In which epoch it got a partition that it may still use; None when it may not."""
        for held in (self.assigned, self.revoking):
            epoch = held.get(topic_id, {}).get(partition)
            if epoch is not None:
                return epoch
        return None

    def away(self) -> ConsumerMember:
        """The static member said that it will be back: it keeps its partitions, under no epoch."""
        kept = {topic: dict.fromkeys(partitions, 0) for topic, partitions in self.assigned.items()}
        return replace(self, epoch=AWAY_EPOCH, assigned=kept, revoking={})


@dataclass(slots=True, frozen=True)
class Course:
    """Where a member is led to, and what it said of itself."""

    target_epoch: int
    target: TopicPartitions
    topic_ids: Collection[bytes]
    """Topics that exist and that it reads now. It is never given others, whatever an older target says."""
    owned: TopicPartitions | None
    """What it says that it has; None when it says nothing, which confirms nothing."""
    is_held: Callable[[bytes, int], bool]
    """Whether anybody still has that partition."""


def reconcile(member: ConsumerMember, course: Course, *, is_resubscribed: bool) -> ConsumerMember:
    """The member one step further, or as it is when it has to wait."""
    if member.state is MemberState.STABLE and member.epoch == course.target_epoch:
        return _drop_unread(member, course) if is_resubscribed else member
    if member.state is MemberState.UNREVOKED_PARTITIONS and _still_owns(course.owned, member.revoking):
        return _drop_unread(member, course) if is_resubscribed else member
    return _advance(member, course)


def _advance(member: ConsumerMember, course: Course) -> ConsumerMember:
    """Keep what is in the target, give up the rest first, then take what nobody has."""
    kept: dict[bytes, Mapping[int, int]] = {}
    surplus: dict[bytes, Mapping[int, int]] = {}
    wanted: dict[bytes, set[int]] = {}
    is_waiting = False
    for topic in {*course.target, *member.assigned}:
        target = course.target.get(topic, frozenset()) if topic in course.topic_ids else frozenset()
        has = member.assigned.get(topic, {})
        keep = {partition: epoch for partition, epoch in has.items() if partition in target}
        give = {partition: epoch for partition, epoch in has.items() if partition not in target}
        missing = target - has.keys()
        own = member.revoking.get(topic, {})
        free = {partition for partition in missing if partition in own or not course.is_held(topic, partition)}
        is_waiting = is_waiting or len(free) < len(missing)
        for place, part in ((kept, keep), (surplus, give)):
            if part:
                place[topic] = part
        if free:
            wanted[topic] = free
    if surplus and _still_owns(course.owned, surplus):
        return replace(
            member,
            state=MemberState.UNREVOKED_PARTITIONS,
            previous_epoch=member.epoch,
            assigned=kept,
            revoking=surplus,
        )
    for topic, partitions in wanted.items():
        kept[topic] = {**kept.get(topic, {}), **dict.fromkeys(sorted(partitions), course.target_epoch)}
    return replace(
        member,
        state=MemberState.UNRELEASED_PARTITIONS if is_waiting else MemberState.STABLE,
        epoch=course.target_epoch,
        previous_epoch=member.epoch,
        assigned=kept,
        revoking={},
    )


def _drop_unread(member: ConsumerMember, course: Course) -> ConsumerMember:
    """Topics that it reads no more have to go at once, also before a new target is there."""
    unread = {topic: held for topic, held in member.assigned.items() if topic not in course.topic_ids}
    if not unread:
        return member
    kept = {topic: held for topic, held in member.assigned.items() if topic not in unread}
    revoking = dict(member.revoking)
    for topic, held in unread.items():
        revoking[topic] = {**revoking.get(topic, {}), **held}
    if not _still_owns(course.owned, revoking):
        return replace(member, previous_epoch=member.epoch, assigned=kept)
    return replace(
        member,
        state=MemberState.UNREVOKED_PARTITIONS,
        previous_epoch=member.epoch,
        assigned=kept,
        revoking=revoking,
    )


def _still_owns(owned: TopicPartitions | None, held: HeldPartitions) -> bool:
    """Whether the member may still use any of these; silence counts as yes."""
    if owned is None:
        return True
    return any(partition in held.get(topic, {}) for topic, partitions in owned.items() for partition in partitions)


def owns_only(owned: TopicPartitions | None, held: HeldPartitions) -> bool:
    """Whether all that the member reports is among these; silence counts as no."""
    if owned is None:
        return False
    return all(partition in held.get(topic, {}) for topic, partitions in owned.items() for partition in partitions)
