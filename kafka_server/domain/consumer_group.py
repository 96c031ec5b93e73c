"""Owns: the rules of a consumer group (KIP-848) - epochs, targets, how members join, go on, leave and time out.
Must never know: the wire, clocks and timers (time comes in as ``now_ms``), who stores snapshots, how answers travel.

Three kinds of epoch:

    group epoch     grows when something happens that asks for a new target: a member comes, goes or subscribes anew, a
                    topic that somebody reads comes, goes or grows.
    target epoch    the group epoch for which the target - who should have what - was computed last.
    member epoch    the target epoch that a member has reached. It fences: whoever speaks in another epoch has missed
                    something and starts over.

There is no barrier and no leader: members are led to the target one by one (consumer_member.py), each by the answers to
its own heartbeats. Members that speak the classic protocol take part through classic_bridge.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from kafka_server.domain import consumer_member as steps
from kafka_server.domain import group_values as values
from kafka_server.domain.assignors import ASSIGNORS, Reader, TopicPartitions
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.consumer_group_states import STATE, ConsumerGroupState
from kafka_server.domain.consumer_member import AWAY_EPOCH, LEFT_EPOCH, ConsumerMember, Course, MemberState
from kafka_server.domain.consumer_roster import ConsumerRoster, TopicCatalog
from kafka_server.domain.errors import (
    DomainError,
    FencedMemberEpoch,
    GroupIdNotFound,
    GroupMaxSizeReached,
    IllegalGeneration,
    NonEmptyGroup,
    StaleMemberEpoch,
    UnknownMemberId,
    UnreleasedInstanceId,
    UnsupportedVersion,
)
from kafka_server.domain.group_subscription import NO_TOPICS_HASH, Subscription
from kafka_server.domain.group_values import ConsumerLimits, Effect, HeartbeatCommand, HeartbeatResult
from kafka_server.domain.topic_pattern import topic_pattern

NEVER_MS = 0
"""``assigned_at_ms`` while no target was computed: the first one need not wait for the assignment interval."""


@dataclass(slots=True)
class Deadlines:
    """When the patience with a member ends; None: nothing is expected of it."""

    session_ms: int
    rebalance_ms: int | None = None
    """To give up partitions."""
    join_ms: int | None = None
    """Of a classic member: to join again after it was told to."""
    sync_ms: int | None = None
    """Of a classic member: to fetch its assignment after it joined."""

    def first(self) -> int:
        others = (self.rebalance_ms, self.join_ms, self.sync_ms)
        return min([self.session_ms, *(at for at in others if at is not None)])


class ConsumerGroup:
    """One group of the consumer protocol. Operations return the effects that they have, in order."""

    __slots__ = (
        "_catalog",
        "_deadlines",
        "_effects",
        "_is_dead",
        "_was_stable",
        "assigned_at_ms",
        "epoch",
        "group_id",
        "is_metadata_stale",
        "limits",
        "metadata_hash",
        "roster",
        "subscription",
        "target_epoch",
        "targets",
        "wake_at_ms",
    )

    def __init__(self, group_id: str, limits: ConsumerLimits, catalog: TopicCatalog) -> None:
        self.group_id = group_id
        self.limits = limits
        self.epoch = 1  # Not 0: a first member that asks for no new target (a pattern alone) gets an epoch, too.
        self.target_epoch = 0
        self.assigned_at_ms = NEVER_MS
        self.metadata_hash = NO_TOPICS_HASH
        self.is_metadata_stale = True
        """Something happened to topics that are read; the next heartbeat looks whether that asks for a new target."""
        self.roster = ConsumerRoster()
        self.subscription = Subscription(self.roster, catalog)
        self.targets: dict[str, TopicPartitions] = {}
        self.wake_at_ms: int | None = None
        """``on_time`` has nothing to do before this; may be too early, never too late."""
        self._catalog = catalog
        self._deadlines: dict[str, Deadlines] = {}
        self._is_dead = False
        self._was_stable = False
        self._effects: list[Effect] = []

    # ---- heartbeats ------------------------------------------------------------------------------------------------

    def consumer_heartbeat(
        self, command: HeartbeatCommand, answer: values.HeartbeatAnswer, now_ms: int
    ) -> Sequence[Effect]:
        """ConsumerGroupHeartbeat. Answered at once; a refused one changes nothing."""
        try:
            self.limits.check_assignor(command.assignor)
            if command.epoch in (LEFT_EPOCH, AWAY_EPOCH):
                result = self._leave(command, now_ms)
            else:
                result = self._heartbeat(command, now_ms)
        except DomainError as error:
            refusal = HeartbeatResult(error_code=error.code, error_message=str(error))
            return [values.AnswerHeartbeat(answer, refusal)]
        self._effects.append(values.AnswerHeartbeat(answer, result))
        self.find_patterns(now_ms)
        return self.take_effects()

    def _heartbeat(self, command: HeartbeatCommand, now_ms: int) -> HeartbeatResult:
        self.check_room(command.member_id, command.instance_id)
        before, predecessor = self._find_or_admit(command)
        after = _updated(before, command)
        self._check_pattern(before, after)
        assignor = self.preferred_assignor()
        has_names_changed = after.topics != before.topics
        has_pattern_changed = after.pattern != before.pattern
        if predecessor is not None:
            self.succeed(predecessor, after)
        else:
            self.roster.put(after)
        is_found = has_pattern_changed and (not after.pattern or after.pattern in self.subscription.found)
        self.subscription.forget_unused_patterns()
        member = self.lead(
            after,
            command.owned,
            now_ms,
            is_bumping=has_names_changed or is_found or self.preferred_assignor() != assignor,
            is_resubscribed=has_names_changed or has_pattern_changed,
        )
        if member != before or predecessor is not None:
            self.changed()
        self.keep_alive(member, self.limits.session_timeout_ms, now_ms)
        is_full = command.rebalance_timeout_ms is not None and command.owned is not None
        is_full = is_full and (command.topics is not None or command.pattern is not None)
        has_news = command.epoch == 0 or is_full or member.assigned != before.assigned
        return HeartbeatResult(
            member_id=member.member_id,
            epoch=member.epoch,
            heartbeat_interval_ms=self.limits.heartbeat_interval_ms,
            assigned={topic: sorted(held) for topic, held in member.assigned.items()} if has_news else None,
        )

    def check_room(self, member_id: str, instance_id: str | None) -> None:
        """Raises GroupMaxSizeReached for one too many; who is in already, or comes back, always fits."""
        if self.roster.static_member(instance_id) is not None or member_id in self.roster.members:
            return
        if self.member_count >= self.limits.size_max:
            raise GroupMaxSizeReached(f"The group has its {self.limits.size_max} members")

    def _find_or_admit(self, command: HeartbeatCommand) -> tuple[ConsumerMember, ConsumerMember | None]:
        """The member before this heartbeat, and the static member whose place it takes, if any."""
        if command.epoch != 0:
            member = self.roster.identify(command.member_id, command.instance_id)
            check_epoch(member, command.epoch, command.owned)
            return member, None
        if command.instance_id is None:
            return self.roster.members.get(command.member_id, ConsumerMember(command.member_id)), None
        predecessor = self.roster.static_member(command.instance_id)
        if predecessor is None:
            return self.roster.members.get(command.member_id, ConsumerMember(command.member_id)), None
        if predecessor.classic is None and predecessor.epoch != AWAY_EPOCH:
            raise UnreleasedInstanceId(f"{command.instance_id} is in use by the member {predecessor.member_id}")
        return successor(predecessor, command.member_id), predecessor

    def _check_pattern(self, before: ConsumerMember, after: ConsumerMember) -> None:
        """Raises InvalidRegularExpression for a pattern that nobody has brought before."""
        if after.pattern and after.pattern != before.pattern:
            topic_pattern(after.pattern)

    # ---- the common path of a member that says what is new ---------------------------------------------------------

    def succeed(self, predecessor: ConsumerMember, member: ConsumerMember) -> None:
        """A static member takes the place of its older self, with target and partitions."""
        self.roster.replace(predecessor, member)
        self.targets[member.member_id] = self.targets.pop(predecessor.member_id, {})
        if predecessor.member_id != member.member_id:
            self._deadlines.pop(predecessor.member_id, None)

    def lead(
        self,
        member: ConsumerMember,
        owned: TopicPartitions | None,
        now_ms: int,
        *,
        is_bumping: bool,
        is_resubscribed: bool,
    ) -> ConsumerMember:
        """Brings the epochs up to date, computes a target when one is due, and takes the member one step towards it."""
        self.refresh_metadata(is_bumping, f"{member.member_id} changed what it reads")
        if self.target_epoch < self.epoch:
            self._compute_targets(now_ms)
        return self.take_step(member, owned, now_ms, is_resubscribed=is_resubscribed)

    def refresh_metadata(self, is_bumping: bool, reason: str) -> None:
        """Bumps the group epoch when asked to, or when topics that are read have changed."""
        if not is_bumping and not self.is_metadata_stale:
            return
        self.is_metadata_stale = False
        metadata_hash = self.subscription.metadata_hash()
        if is_bumping or metadata_hash != self.metadata_hash:
            self._bump(metadata_hash, reason if is_bumping else "topics that are read have changed")

    def take_step(
        self, member: ConsumerMember, owned: TopicPartitions | None, now_ms: int, *, is_resubscribed: bool
    ) -> ConsumerMember:
        """One step of the member towards its target."""
        if not is_resubscribed and member.is_reconciled_to(self.target_epoch):
            return member
        course = Course(
            target_epoch=self.target_epoch,
            target=self.targets.get(member.member_id, {}),
            topic_ids=self.subscription.topic_ids_of(member),
            owned=owned,
            is_held=self.roster.is_held,
        )
        after = steps.reconcile(member, course, is_resubscribed=is_resubscribed)
        if after == member:
            return member
        self.roster.put(after)
        deadlines = self._deadlines.setdefault(after.member_id, Deadlines(now_ms + self.limits.session_timeout_ms))
        deadlines.rebalance_ms = None
        if after.state is MemberState.UNREVOKED_PARTITIONS and after.classic is None:
            deadlines.rebalance_ms = now_ms + after.rebalance_timeout_ms
            self._wake_by(deadlines.rebalance_ms)
        self.changed()
        return after

    def _compute_targets(self, now_ms: int) -> None:
        if self.assigned_at_ms != NEVER_MS and now_ms < self.assigned_at_ms + self.limits.assignment_interval_ms:
            return  # Some later heartbeat does it, for all that has come together until then.
        readers = [
            Reader(m.member_id, m.instance_id, self.subscription.topic_ids_of(m), self.targets.get(m.member_id, {}))
            for m in self.roster.members.values()
        ]
        counts: dict[bytes, int] = {}
        for topic_id in {topic_id for reader in readers for topic_id in reader.topics}:
            topic = self._catalog.get_by_id(topic_id)
            assert topic is not None, "subscriptions name topics that exist"
            counts[topic_id] = topic.partition_count
        assignor = self.preferred_assignor()
        self.targets = ASSIGNORS[assignor](readers, counts)
        self.target_epoch = self.epoch
        self.assigned_at_ms = now_ms
        self._effects.append(values.TargetAssigned(self.epoch, assignor, len(readers)))
        self.changed()

    def find_patterns(self, now_ms: int) -> None:
        """Matches the patterns of members against the topics when that is due; what is found counts from then on."""
        patterns = self.subscription.patterns_to_find(now_ms, self.limits.regex_refresh_interval_ms)
        if not patterns:
            return
        has_changed = self.subscription.find(patterns, now_ms)
        metadata_hash = self.subscription.metadata_hash()
        if has_changed or metadata_hash != self.metadata_hash:
            self.is_metadata_stale = False
            self._bump(metadata_hash, "patterns find other topics")
        self.changed()

    def _bump(self, metadata_hash: bytes, reason: str) -> None:
        self.epoch += 1
        self.metadata_hash = metadata_hash
        self._effects.append(values.RebalanceStarted(reason))
        self.changed()

    # ---- leaving ---------------------------------------------------------------------------------------------------

    def _leave(self, command: HeartbeatCommand, now_ms: int) -> HeartbeatResult:
        member = self.roster.identify(command.member_id, command.instance_id)
        result = HeartbeatResult(member_id=member.member_id, epoch=command.epoch)
        if command.epoch == AWAY_EPOCH and member.instance_id is not None:
            self.roster.put(member.away())
            self._deadlines[member.member_id].rebalance_ms = None
            self.changed()
        else:
            self.fence([member.member_id], "left", now_ms)
        return result

    def fence(self, member_ids: Collection[str], why: str, now_ms: int) -> bool:
        """Takes members out; True when the group has to be replaced by a classic one instead."""
        reason = f"{', '.join(member_ids)}: {why}"
        if self._is_to_be_downgraded(member_ids):
            self._effects.append(values.DowngradeDue(frozenset(member_ids), reason))
            return True
        for member_id in member_ids:
            self.roster.remove(member_id)
            self.targets.pop(member_id, None)
            self._deadlines.pop(member_id, None)
        self.subscription.forget_unused_patterns()
        self._bump(self.subscription.metadata_hash(), reason)
        self._effects.append(values.MembersRemoved(tuple(member_ids), why))
        if not self.roster.members:
            self.target_epoch, self.assigned_at_ms = self.epoch, NEVER_MS
            self._effects.append(values.GroupEmptied(self.epoch, reason))
        return False

    def _is_to_be_downgraded(self, leaving: Collection[str]) -> bool:
        left = [member for member_id, member in self.roster.members.items() if member_id not in leaving]
        return bool(left) and self.can_downgrade(len(left)) and all(member.classic is not None for member in left)

    def can_downgrade(self, size: int) -> bool:
        """Whether a group of that many classic members may become a classic group."""
        return self.limits.may_downgrade and size <= self.limits.classic.size_max

    def delete(self) -> None:
        """Raises NonEmptyGroup while there are members."""
        if self.roster.members:
            raise NonEmptyGroup
        self._is_dead = True

    # ---- what time does --------------------------------------------------------------------------------------------

    def on_time(self, now_ms: int) -> Sequence[Effect]:
        """Takes out every member whose time is over, and finds the next time to wake."""
        for member_id, deadlines in list(self._deadlines.items()):
            if deadlines.first() <= now_ms and self.fence([member_id], _why(deadlines, now_ms), now_ms):
                break  # The classic group that replaces this one starts all sessions anew.
        self.wake_at_ms = min((deadlines.first() for deadlines in self._deadlines.values()), default=None)
        return self.take_effects()

    def keep_alive(self, member: ConsumerMember, session_timeout_ms: int, now_ms: int) -> Deadlines:
        """A sign of life; the member's deadlines, to set others."""
        deadlines = self._deadlines.setdefault(member.member_id, Deadlines(0))
        deadlines.session_ms = now_ms + session_timeout_ms
        self._wake_by(deadlines.session_ms)
        return deadlines

    def expect(self, deadlines: Deadlines, *, join_ms: int | None = None, sync_ms: int | None = None) -> None:
        """What a classic member has to do until when; None: nothing."""
        deadlines.join_ms, deadlines.sync_ms = join_ms, sync_ms
        self._wake_by(deadlines.first())

    def resume(self, now_ms: int) -> None:
        """After a restart: every session begins anew, and so does the time for giving up partitions."""
        for member in self.roster.members.values():
            session_ms = self.limits.session_timeout_ms if member.classic is None else member.classic.session_timeout_ms
            deadlines = self.keep_alive(member, session_ms, now_ms)
            if member.state is MemberState.UNREVOKED_PARTITIONS and member.classic is None:
                deadlines.rebalance_ms = now_ms + member.rebalance_timeout_ms
                self._wake_by(deadlines.rebalance_ms)

    def _wake_by(self, deadline_ms: int) -> None:
        if self.wake_at_ms is None or deadline_ms < self.wake_at_ms:
            self.wake_at_ms = deadline_ms

    # ---- what topics do --------------------------------------------------------------------------------------------

    def on_topic_change(self, topic: str, *, is_new: bool) -> None:
        """A topic of that name was created, grew or was deleted; the next heartbeat draws the conclusion."""
        self.subscription.has_new_topics = self.subscription.has_new_topics or is_new
        self.is_metadata_stale = self.is_metadata_stale or self.subscription.reads(topic)

    # ---- what others need to know ----------------------------------------------------------------------------------

    @property
    def state(self) -> ConsumerGroupState:
        if self._is_dead:
            return ConsumerGroupState.DEAD
        members = self.roster.members.values()
        has_arrived = all(member.is_reconciled_to(self.target_epoch) for member in members)
        return STATE[bool(members), self.target_epoch == self.epoch, has_arrived]

    @property
    def state_name(self) -> str:
        return self.state.value

    @property
    def type_name(self) -> str:
        return values.CONSUMER

    @property
    def protocol_type(self) -> str:
        return values.CONSUMER

    @property
    def member_count(self) -> int:
        return len(self.roster.members)

    @property
    def is_dead(self) -> bool:
        return self._is_dead

    @property
    def is_abandoned(self) -> bool:
        return not self.roster.members

    def preferred_assignor(self) -> str:
        """The one that computes targets: what most members ask for, else the broker's first."""
        return self.roster.preferred_assignor(self.limits.assignors[0])

    def validate_offset_commit(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        now_ms: int,
        *,
        transactional: bool = False,
        knows_epochs: bool = True,
    ) -> values.PartitionCheck | None:
        """A commit in an older epoch is good for the partitions that the member had then and still has (KIP-1251)."""
        if generation < 0 and not self.roster.members:
            return None  # An admin tool, or a consumer that assigns partitions itself: nobody is here to be disturbed.
        if transactional and generation == -1 and not member_id and instance_id is None:
            return None
        member = self.roster.find(member_id)
        if not transactional and member.classic is None and not knows_epochs:
            raise UnsupportedVersion("A member of the consumer protocol has to commit with OffsetCommit v9 or later")
        if generation == member.epoch:
            return None
        stale: type[DomainError] = StaleMemberEpoch if member.classic is None else IllegalGeneration
        if generation > member.epoch:
            raise stale(f"{member_id} is in epoch {member.epoch}, not yet in {generation}")

        def check(topic_id: bytes, partition: int) -> None:
            epoch = member.partition_epoch(topic_id, partition)
            if epoch is None or generation < epoch:
                raise stale(f"{member_id} does not have that partition since epoch {generation}")

        return check

    def validate_offset_fetch(self, member_id: str | None, epoch: int) -> None:
        if member_id is None and epoch < 0:
            return
        if self._is_dead:
            raise GroupIdNotFound
        member = self.roster.members.get(member_id or "")
        if member is None:
            raise UnknownMemberId(f"{member_id!r} is no member of this group")
        if epoch != member.epoch:
            stale: type[DomainError] = StaleMemberEpoch if member.classic is None else IllegalGeneration
            raise stale(f"{member_id} is in epoch {member.epoch}, not in {epoch}")

    def validate_offset_delete(self) -> None:
        """Allowed always; which topics are in use is known."""

    def is_subscribed_to(self, topic: str) -> bool:
        return self.subscription.reads(topic)

    def retention_start_ms(self, offset: CommittedOffset) -> int | None:
        return offset.committed_at_ms

    # ---- small parts -----------------------------------------------------------------------------------------------

    def changed(self) -> None:
        """What is stored of the group is out of date."""
        if not any(isinstance(effect, values.StoreGroup) for effect in self._effects):
            self._effects.append(values.StoreGroup())

    def add_effect(self, effect: Effect) -> None:
        self._effects.append(effect)

    def take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        if any(isinstance(effect, values.StoreGroup) for effect in effects):
            is_stable = self.state is ConsumerGroupState.STABLE
            if is_stable and not self._was_stable:
                effects.append(values.GroupStabilized(self.target_epoch))
            self._was_stable = is_stable
        return effects


def check_epoch(member: ConsumerMember, epoch: int, owned: Mapping[bytes, frozenset[int]] | None) -> None:
    """Raises FencedMemberEpoch unless the member speaks in its epoch.

    The previous one is accepted from a member that has no more than it may: the answer with the new epoch was lost.
    """
    if epoch == member.epoch:
        return
    if epoch == member.previous_epoch and epoch < member.epoch and steps.owns_only(owned, member.assigned):
        return
    raise FencedMemberEpoch(f"{member.member_id} is in epoch {member.epoch}, not in {epoch}; it has to join anew")


def successor(predecessor: ConsumerMember, member_id: str) -> ConsumerMember:
    """What a restarted static member begins with."""
    return replace(predecessor, member_id=member_id, epoch=0, previous_epoch=0)


def _updated(member: ConsumerMember, command: HeartbeatCommand) -> ConsumerMember:
    """The member with what the heartbeat says is new."""
    timeout_ms = command.rebalance_timeout_ms
    return replace(
        member,
        instance_id=member.instance_id if command.instance_id is None else command.instance_id,
        rack_id=member.rack_id if command.rack_id is None else command.rack_id,
        client_id=command.client_id,
        client_host=command.client_host,
        rebalance_timeout_ms=member.rebalance_timeout_ms if timeout_ms is None else timeout_ms,
        topics=member.topics if command.topics is None else command.topics,
        pattern=member.pattern if command.pattern is None else command.pattern,
        assignor=member.assignor if command.assignor is None else command.assignor,
        classic=None,
    )


def _why(deadlines: Deadlines, now_ms: int) -> str:
    if deadlines.session_ms <= now_ms:
        return "session timed out"
    if deadlines.rebalance_ms is not None and deadlines.rebalance_ms <= now_ms:
        return "did not give up partitions in time"
    if deadlines.join_ms is not None and deadlines.join_ms <= now_ms:
        return "did not join again in time"
    return "did not sync in time"
