"""Owns: how members of the classic protocol take part in a consumer group while it is upgraded (KIP-848).
Must never know: the wire, timers; the rules of the group itself live in consumer_group.py.

Such a member thinks that it is in a classic group. It has no leader to wait for and nobody to assign to: JoinGroup
takes it one step towards its target, its member epoch is the generation, and SyncGroup tells it what it has. When there
is another step to take, heartbeats answer REBALANCE_IN_PROGRESS and it joins again, reporting in its subscription what
it still owns. The coordinator's assignors decide; the member's own are never asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kafka_server.domain import group_values as values
from kafka_server.domain.assignors import TopicPartitions
from kafka_server.domain.consumer_group import ConsumerGroup, successor
from kafka_server.domain.consumer_member import ClassicFacts, ConsumerMember, MemberState
from kafka_server.domain.consumer_roster import TopicCatalog
from kafka_server.domain.consumer_subscription import (
    CONSUMER_PROTOCOL_TYPE,
    ConsumerSubscription,
    read_subscription,
    write_assignment,
)
from kafka_server.domain.errors import (
    DomainError,
    IllegalGeneration,
    InconsistentGroupProtocol,
    MemberIdRequired,
    RebalanceInProgress,
    UnknownMemberId,
)
from kafka_server.domain.group_values import Effect, JoinCommand, JoinResult, SyncResult


class ClassicBridge:
    """What members of the classic protocol ask of a consumer group that has members."""

    __slots__ = ("_catalog", "_group")

    def __init__(self, group: ConsumerGroup, catalog: TopicCatalog) -> None:
        self._group = group
        self._catalog = catalog

    def join(self, command: JoinCommand, answer: values.JoinAnswer, now_ms: int) -> Sequence[Effect]:
        """JoinGroup: one step towards the target, answered at once."""
        try:
            result = self._join(command, now_ms)
        except DomainError as error:
            fresh_id = command.fresh_id if isinstance(error, MemberIdRequired) else ""
            return [values.AnswerJoin(answer, JoinResult(error_code=error.code, member_id=fresh_id))]
        self._group.add_effect(values.AnswerJoin(answer, result))
        self._group.find_patterns(now_ms)
        return self._group.take_effects()

    def sync(self, command: values.SyncCommand, answer: values.SyncAnswer, now_ms: int) -> Sequence[Effect]:
        """SyncGroup: what the member has, answered at once."""
        try:
            member, facts = self._classic_member(command.member_id, command.instance_id, command.generation)
            protocol_name, metadata = facts.protocols[0]
            told = ((command.protocol_type, CONSUMER_PROTOCOL_TYPE), (command.protocol_name, protocol_name))
            if any(theirs is not None and theirs != ours for theirs, ours in told):
                raise InconsistentGroupProtocol
            deadlines = self._group.keep_alive(member, facts.session_timeout_ms, now_ms)
            if self._group.target_epoch > member.epoch and member.state is not MemberState.UNREVOKED_PARTITIONS:
                self._expect_join(member, now_ms)
                raise RebalanceInProgress
            self._group.expect(deadlines)
        except DomainError as error:
            return [values.AnswerSync(answer, SyncResult(error_code=error.code))]
        assignment = write_assignment(self._named(member), read_subscription(metadata).version)
        result = SyncResult(0, command.protocol_type, command.protocol_name, assignment)
        return [values.AnswerSync(answer, result)]

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int, now_ms: int) -> None:
        """Keeps the session alive. Raises RebalanceInProgress when there is another step to take."""
        member, facts = self._classic_member(member_id, instance_id, generation)
        self._group.keep_alive(member, facts.session_timeout_ms, now_ms)
        is_behind = member.epoch < self._group.target_epoch or member.state is MemberState.UNREVOKED_PARTITIONS
        is_waiting = member.state is MemberState.UNRELEASED_PARTITIONS
        if is_behind or (is_waiting and not self._is_waiting_for_others(member)):
            self._expect_join(member, now_ms)
            raise RebalanceInProgress

    def leave(self, leaving: Sequence[values.LeavingMember], now_ms: int) -> tuple[list[int], Sequence[Effect]]:
        """LeaveGroup; an administrator may take out members of either protocol."""
        codes: list[int] = []
        left: list[str] = []
        for who in leaving:
            try:
                left.append(self._resolve(who).member_id)
                codes.append(0)
            except DomainError as error:
                codes.append(error.code)
        if left:
            self._group.fence(list(dict.fromkeys(left)), "left", now_ms)
        return codes, self._group.take_effects()

    # ---- joining ---------------------------------------------------------------------------------------------------

    def _join(self, command: JoinCommand, now_ms: int) -> JoinResult:
        group, roster = self._group, self._group.roster
        if not (group.limits.may_upgrade or group.limits.may_downgrade):
            raise InconsistentGroupProtocol
        member_id = command.member_id or command.fresh_id
        group.check_room(member_id, command.instance_id)
        names = {name for name, _ in command.protocols}
        if command.protocol_type != CONSUMER_PROTOCOL_TYPE or not roster.supports(names):
            raise InconsistentGroupProtocol
        if not command.member_id and command.instance_id is None and command.requires_known_id:
            raise MemberIdRequired
        try:
            subscription = read_subscription(command.protocols[0][1])
        except ValueError:
            raise InconsistentGroupProtocol from None
        before, predecessor = self._find_or_admit(command, member_id)
        after = joined(before, command, subscription)
        downgrades = self._is_last_of_consumer_protocol(command.instance_id)
        is_bumping = after.topics != before.topics or after.pattern != before.pattern
        owned = self._with_ids(subscription)
        if predecessor is not None:
            group.succeed(predecessor, after)
        else:
            roster.put(after)
        group.subscription.forget_unused_patterns()
        if downgrades:
            group.refresh_metadata(is_bumping, f"{member_id} changed what it reads")
            has_target = group.target_epoch == group.epoch
            if has_target:
                after = group.take_step(after, owned, now_ms, is_resubscribed=is_bumping)
            # Whoever is still on its way to the target would not hear of the rest in a classic group that is stable.
            # (Apache Kafka looks at the target alone, and leaves such a member without its partitions.)
            has_arrived = all(member.is_reconciled_to(group.target_epoch) for member in roster.members.values())
            reason = "the last member of the consumer protocol was replaced"
            group.add_effect(values.DowngradeDue(frozenset(), None if has_target and has_arrived else reason))
        else:
            after = group.lead(after, owned, now_ms, is_bumping=is_bumping, is_resubscribed=is_bumping)
            group.changed()
        deadlines = group.keep_alive(after, command.session_timeout_ms, now_ms)
        group.expect(deadlines, sync_ms=now_ms + command.rebalance_timeout_ms)
        return JoinResult(
            member_id=after.member_id,
            generation=after.epoch,
            protocol_type=CONSUMER_PROTOCOL_TYPE,
            protocol_name=command.protocols[0][0],
        )

    def _find_or_admit(self, command: JoinCommand, member_id: str) -> tuple[ConsumerMember, ConsumerMember | None]:
        """The member before this request, and the static member whose place it takes, if any."""
        roster = self._group.roster
        if command.instance_id is None:
            return roster.members.get(member_id, ConsumerMember(member_id)), None
        if command.member_id:
            return roster.find_static(command.instance_id, member_id), None
        predecessor = roster.static_member(command.instance_id)
        if predecessor is None:
            return ConsumerMember(member_id), None
        return successor(predecessor, member_id), predecessor

    def _is_last_of_consumer_protocol(self, instance_id: str | None) -> bool:
        """Whether the static member that is being replaced is the only one left of the consumer protocol."""
        replaced = self._group.roster.static_member(instance_id)
        if replaced is None or replaced.classic is not None:
            return False
        size = self._group.member_count
        return len(self._group.roster.classic_members()) == size - 1 and self._group.can_downgrade(size)

    # ---- small parts -----------------------------------------------------------------------------------------------

    def _classic_member(
        self, member_id: str, instance_id: str | None, generation: int
    ) -> tuple[ConsumerMember, ClassicFacts]:
        member = self._group.roster.identify(member_id, instance_id)
        if member.classic is None:
            raise UnknownMemberId(f"{member_id} does not speak the classic protocol")
        if generation != member.epoch:
            raise IllegalGeneration
        return member, member.classic

    def _expect_join(self, member: ConsumerMember, now_ms: int) -> None:
        assert member.classic is not None
        deadlines = self._group.keep_alive(member, member.classic.session_timeout_ms, now_ms)
        join_ms = deadlines.join_ms if deadlines.join_ms is not None else now_ms + member.rebalance_timeout_ms
        self._group.expect(deadlines, join_ms=join_ms, sync_ms=deadlines.sync_ms)

    def _is_waiting_for_others(self, member: ConsumerMember) -> bool:
        target = self._group.targets.get(member.member_id, {})
        return any(
            partition not in member.assigned.get(topic, {}) and self._group.roster.is_held(topic, partition)
            for topic, partitions in target.items()
            for partition in partitions
        )

    def _resolve(self, who: values.LeavingMember) -> ConsumerMember:
        """An administrator removes a static member by its instance id alone."""
        roster = self._group.roster
        if who.instance_id is not None and not who.member_id:
            return roster.find_static(who.instance_id, roster.static_ids.get(who.instance_id, ""))
        return roster.identify(who.member_id, who.instance_id)

    def _named(self, member: ConsumerMember) -> dict[str, list[int]]:
        """What the member has, by topic name; topics that are gone are left out."""
        topics = ((self._catalog.get_by_id(topic_id), held) for topic_id, held in member.assigned.items())
        return {topic.name: sorted(held) for topic, held in topics if topic is not None}

    def _with_ids(self, subscription: ConsumerSubscription) -> TopicPartitions:
        """What the member says that it owns, by topic id."""
        owned: dict[bytes, frozenset[int]] = {}
        for name, partition in subscription.owned:
            topic = self._catalog.get(name)
            if topic is not None:
                owned[topic.topic_id] = owned.get(topic.topic_id, frozenset()) | {partition}
        return owned


def joined(member: ConsumerMember, command: JoinCommand, subscription: ConsumerSubscription) -> ConsumerMember:
    """The member with what its JoinGroup says."""
    return replace(
        member,
        instance_id=member.instance_id if command.instance_id is None else command.instance_id,
        rack_id=member.rack_id if subscription.rack_id is None else subscription.rack_id,
        client_id=command.client_id,
        client_host=command.client_host,
        rebalance_timeout_ms=command.rebalance_timeout_ms,
        topics=subscription.topics,
        pattern="",
        classic=ClassicFacts(command.session_timeout_ms, command.protocols),
    )
