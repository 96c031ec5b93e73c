"""Owns: the groups of this broker - finds them, tells them the time, carries out their effects, counts and logs; and
lets a group go on under the other protocol when its members move there (KIP-848).
Must never know: the wire, futures and sockets (members wait through callbacks), the rules of a group.

Durability: an answer leaves only after the state that it rests on is stored. A repository that needs time returns an
awaitable; until it is done the group's answers are held back in order, while its heartbeats go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from kafka_server.application.explain import EXPLAIN
from kafka_server.application.group_effects import Answer, GroupCounters, deliver, deliver_all, explain, unavailable
from kafka_server.application.ports import Clock, GroupRepository, Timer
from kafka_server.domain import group_migration, group_snapshot
from kafka_server.domain.classic_bridge import ClassicBridge
from kafka_server.domain.classic_group import ClassicGroup
from kafka_server.domain.consumer_group import ConsumerGroup
from kafka_server.domain.consumer_group_states import ConsumerGroupState
from kafka_server.domain.consumer_roster import TopicCatalog
from kafka_server.domain.errors import (
    CoordinatorNotAvailable,
    DomainError,
    GroupIdNotFound,
    InvalidGroupId,
    InvalidSessionTimeout,
    UnknownMemberId,
)
from kafka_server.domain.group_states import State
from kafka_server.domain.group_values import (
    CLASSIC,
    CONSUMER,
    AnswerHeartbeat,
    AnswerJoin,
    AnswerSync,
    ConsumerLimits,
    DowngradeDue,
    Effect,
    Group,
    GroupLimits,
    HeartbeatAnswer,
    HeartbeatCommand,
    HeartbeatResult,
    JoinAnswer,
    JoinCommand,
    JoinResult,
    LeavingMember,
    PartitionCheck,
    StoreGroup,
    SyncAnswer,
    SyncCommand,
    SyncResult,
)

log = logging.getLogger("kafka_server.group")

NOT_ARMED = 2**63

AnyGroup = ClassicGroup | ConsumerGroup


def default_consumer_limits(group_id: str) -> ConsumerLimits:
    """Every consumer group has Kafka's defaults."""
    return ConsumerLimits()


@dataclass(slots=True, frozen=True)
class GroupSettings:
    """The broker's configuration of groups."""

    session_timeout_ms_min: int = 6_000
    """``group.min.session.timeout.ms``"""
    session_timeout_ms_max: int = 1_800_000
    """``group.max.session.timeout.ms``"""
    groups_max: int = 1_000_000
    """Groups that this broker remembers; a new one beyond that is told COORDINATOR_NOT_AVAILABLE."""
    limits: GroupLimits = field(default_factory=GroupLimits)
    consumer_limits: Callable[[str], ConsumerLimits] = default_consumer_limits
    """What a consumer group of that id obeys now; parts of it can be set for each group."""


@dataclass(slots=True)
class _Entry:
    """A group with its one timer, and with the answers that wait for a snapshot to be stored."""

    group: AnyGroup
    timer: Timer | None = None
    armed_for_ms: int = NOT_ARMED
    held: list[Answer] | None = None
    """Not None while a snapshot is being stored."""
    is_dirty: bool = False
    """The group changed again while its snapshot was being stored."""


class GroupCoordinator:
    """Every group of this broker. All methods are immediate; whoever waits gets its answer by callback."""

    def __init__(
        self, clock: Clock, repository: GroupRepository, settings: GroupSettings, topics: TopicCatalog
    ) -> None:
        self._clock = clock
        self._wall_minus_steady_ms = clock.now_ms() - clock.steady_ms()
        self._repository = repository
        self._settings = settings
        self._topics = topics
        self._entries: dict[str, _Entry] = {}
        self._stores: set[asyncio.Future[None]] = set()
        self.counters = GroupCounters()

    async def load(self) -> None:
        """Brings back what was stored; members have one session time-out to show up."""
        now_ms = self._now_ms()
        for snapshot in await self._repository.load():
            group: AnyGroup
            if isinstance(snapshot, group_snapshot.GroupSnapshot):
                group = group_snapshot.restore(snapshot, self._settings.limits, now_ms)
            else:
                limits = self._settings.consumer_limits(snapshot.group_id)
                group = group_snapshot.restore_consumer(snapshot, limits, self._topics, now_ms)
            entry = self._entries[snapshot.group_id] = _Entry(group)
            self._arm(entry)

    async def close(self) -> None:
        """Stops the timers and lets stores finish. Whoever still waits at a barrier is left to its connection."""
        for entry in self._entries.values():
            self._disarm(entry)
        if self._stores:
            await asyncio.wait(self._stores)

    # ---- members -----------------------------------------------------------------------------------------------------

    def join(self, group_id: str, command: JoinCommand, answer: JoinAnswer) -> None:
        """JoinGroup; ``answer`` is called exactly once, now or when the join barrier closes."""
        try:
            entry = self._entry_to_join(group_id, command)
        except DomainError as error:
            answer(JoinResult(error_code=error.code, member_id=command.member_id))
            return
        if log.isEnabledFor(EXPLAIN):
            who = command.member_id or f"a new member with client id {command.client_id!r}"
            log.log(EXPLAIN, "Group %s: %s asks to join (%s)", group_id, who, command.reason or "-")
        self._carry_out(entry, self._speaker(entry).join(command, answer, self._now_ms()))

    def sync(self, group_id: str, command: SyncCommand, answer: SyncAnswer) -> None:
        """SyncGroup; ``answer`` is called exactly once, now or when the leader has brought the assignment."""
        try:
            entry = self._entry_of_member(group_id)
        except DomainError as error:
            answer(SyncResult(error_code=error.code))
            return
        self._carry_out(entry, self._speaker(entry).sync(command, answer, self._now_ms()))

    def heartbeat(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> None:
        """Heartbeat; raises the DomainError that the member has to be told."""
        entry = self._entry_of_member(group_id)
        try:
            self._speaker(entry).heartbeat(member_id, instance_id, generation, self._now_ms())
        finally:
            self._arm(entry)

    def leave(self, group_id: str, members: Sequence[LeavingMember]) -> list[int]:
        """LeaveGroup; one error code per member. Raises InvalidGroupId."""
        try:
            entry = self._entry_of_member(group_id)
        except UnknownMemberId as error:
            return [error.code] * len(members)
        codes, effects = self._speaker(entry).leave(members, self._now_ms())
        self._carry_out(entry, effects)
        return codes

    def consumer_heartbeat(self, group_id: str, command: HeartbeatCommand, answer: HeartbeatAnswer) -> None:
        """ConsumerGroupHeartbeat; ``answer`` is called exactly once, when what it says is stored."""
        limits = self._settings.consumer_limits(group_id)
        try:
            limits.check_assignor(command.assignor)
            group = self._consumer_group(group_id, may_become=command.epoch == 0)
        except DomainError as error:
            answer(HeartbeatResult(error_code=error.code, error_message=str(error)))
            return
        group.limits = limits
        effects = group.consumer_heartbeat(command, answer, self._now_ms())
        entry = self._entries.get(group_id)
        if entry is None or entry.group is not group:
            if not any(isinstance(effect, StoreGroup) for effect in effects):
                deliver_all(effects)  # Refused: the group that might have been never was.
                return
            entry = self._adopt(group)
        self._carry_out(entry, effects)

    def on_topic_change(self, topic: str, *, is_new: bool) -> None:
        """A topic was created, grew or was deleted."""
        for entry in self._entries.values():
            if isinstance(entry.group, ConsumerGroup):
                entry.group.on_topic_change(topic, is_new=is_new)

    # ---- other services ----------------------------------------------------------------------------------------------

    def find(self, group_id: str) -> AnyGroup:
        """The group, to look at. Raises GroupIdNotFound."""
        entry = self._entries.get(group_id)
        if entry is None:
            raise GroupIdNotFound(f"Group {group_id} not found.")
        return entry.group

    def find_classic(self, group_id: str) -> ClassicGroup:
        """The group, when it is a classic one. Raises GroupIdNotFound."""
        group = self.find(group_id)
        if not isinstance(group, ClassicGroup):
            raise GroupIdNotFound(f"Group {group_id} is not a classic group.")
        return group

    def find_consumer(self, group_id: str) -> ConsumerGroup:
        """The group, when it is one of the consumer protocol. Raises GroupIdNotFound."""
        group = self.find(group_id)
        if not isinstance(group, ConsumerGroup):
            raise GroupIdNotFound(f"Group {group_id} is not a consumer group.")
        return group

    def find_or_create(self, group_id: str) -> AnyGroup:
        """The group; an empty one when there is none, for offsets that belong to no members."""
        entry = self._entries.get(group_id)
        return (entry or self._create(group_id)).group

    def validate_offset_commit(
        self,
        group_id: str,
        member_id: str,
        instance_id: str | None,
        generation: int,
        *,
        transactional: bool = False,
        knows_epochs: bool = True,
    ) -> PartitionCheck | None:
        """Raises what the commit deserves, or returns the check that each partition has to pass; GroupIdNotFound when
        the group is unknown. In a classic group it counts as a sign of life.
        """
        entry = self._entries.get(group_id)
        if entry is None:
            raise GroupIdNotFound(f"Group {group_id} not found.")
        now_ms = self._now_ms()
        group: Group = entry.group
        check = group.validate_offset_commit(
            member_id, instance_id, generation, now_ms, transactional=transactional, knows_epochs=knows_epochs
        )
        self._arm(entry)
        return check

    def all(self, states: Collection[str] = (), types: Collection[str] = ()) -> Iterator[AnyGroup]:
        """The groups in one of these states and of one of these types; no filter means all. Case does not matter."""
        wanted = {state.strip().lower() for state in states}
        kinds = {kind.lower() for kind in types} or {CLASSIC, CONSUMER}
        for entry in self._entries.values():
            if entry.group.type_name in kinds and (not wanted or entry.group.state_name.lower() in wanted):
                yield entry.group

    def delete(self, group_id: str) -> Awaitable[None] | None:
        """Forgets an empty group. Raises GroupIdNotFound, NonEmptyGroup."""
        group = self.find(group_id)
        if isinstance(group, ClassicGroup):
            group.delete(self._now_ms())
        else:
            group.delete()
        self._forget(self._entries[group_id])
        return self._repository.delete(group_id)

    def count_by_state(self) -> dict[str, int]:
        """How many groups are in each state, for metrics; Empty and Stable are states of either protocol."""
        counts = Counter(entry.group.state_name for entry in self._entries.values())
        names = dict.fromkeys(state.value for state in (*State, *ConsumerGroupState))
        return {name: counts[name] for name in names if name != State.DEAD.value}

    def count_members(self) -> int:
        """Members of all groups together, for metrics."""
        return sum(entry.group.member_count for entry in self._entries.values())

    # ---- finding -----------------------------------------------------------------------------------------------------

    def _entry_to_join(self, group_id: str, command: JoinCommand) -> _Entry:
        """A group comes into being when its first stranger knocks; nobody can be a member of no group."""
        if not group_id:
            raise InvalidGroupId
        settings = self._settings
        if not settings.session_timeout_ms_min <= command.session_timeout_ms <= settings.session_timeout_ms_max:
            raise InvalidSessionTimeout
        entry = self._entries.get(group_id)
        if entry is not None and isinstance(entry.group, ConsumerGroup) and entry.group.is_abandoned:
            # The last member of the consumer protocol is gone; who comes now decides what the group is.
            entry.group = ClassicGroup(group_id, self._settings.limits, self._now_ms())
            log.info("Group %s was empty and goes on as a classic group", group_id)
        if entry is None and command.member_id:
            raise UnknownMemberId
        return entry or self._create(group_id)

    def _entry_of_member(self, group_id: str) -> _Entry:
        if not group_id:
            raise InvalidGroupId
        entry = self._entries.get(group_id)
        if entry is None:
            raise UnknownMemberId
        return entry

    def _speaker(self, entry: _Entry) -> ClassicGroup | ClassicBridge:
        """Who answers the requests of the classic protocol."""
        if isinstance(entry.group, ClassicGroup):
            return entry.group
        return ClassicBridge(entry.group, self._topics)

    def _consumer_group(self, group_id: str, *, may_become: bool) -> ConsumerGroup:
        """The consumer group of that id: as it is, or as it would be for a new member. Raises GroupIdNotFound."""
        entry = self._entries.get(group_id)
        if entry is not None and isinstance(entry.group, ConsumerGroup):
            return entry.group
        if not may_become:
            raise GroupIdNotFound(f"There is no consumer group {group_id}")
        limits = self._settings.consumer_limits(group_id)
        classic = None if entry is None else self.find_classic(group_id)
        if classic is None:
            self._check_room()
        if classic is None or classic.is_empty:
            return ConsumerGroup(group_id, limits, self._topics)
        return group_migration.upgrade(classic, limits, self._topics, self._now_ms())

    def _adopt(self, group: AnyGroup) -> _Entry:
        """The group takes the place of whatever has its id."""
        entry = self._entries.get(group.group_id)
        if entry is None:
            entry = self._entries[group.group_id] = _Entry(group)
            return entry
        before, entry.group = entry.group, group
        self._disarm(entry)
        if isinstance(before, ClassicGroup):
            self._carry_out(entry, before.dissolve())
        if before.member_count:
            log.info("Group %s goes on as a %s group with its members", group.group_id, group.type_name)
        return entry

    def _check_room(self) -> None:
        """Raises CoordinatorNotAvailable when this broker has too many groups to take another."""
        if len(self._entries) >= self._settings.groups_max:
            if self.counters.groups_refused == 0:
                log.warning("This broker knows %d groups and admits no more", len(self._entries))
            self.counters.groups_refused += 1
            raise CoordinatorNotAvailable

    def _create(self, group_id: str) -> _Entry:
        self._check_room()
        entry = _Entry(ClassicGroup(group_id, self._settings.limits, self._now_ms()))
        self._entries[group_id] = entry
        return entry

    def _forget(self, entry: _Entry) -> None:
        self._disarm(entry)
        del self._entries[entry.group.group_id]

    # ---- time --------------------------------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        """Wall time as it was at the start plus what has passed since: sessions must not end when the date is set."""
        return self._clock.steady_ms() + self._wall_minus_steady_ms

    def _arm(self, entry: _Entry) -> None:
        """Sets the group's timer when the group has to be woken earlier than it would be; later costs nothing."""
        wake_at_ms = entry.group.wake_at_ms
        if wake_at_ms is None or wake_at_ms >= entry.armed_for_ms:
            return
        self._disarm(entry)
        entry.armed_for_ms = wake_at_ms
        delay_ms = max(wake_at_ms - self._now_ms(), 1)
        entry.timer = self._clock.call_later(delay_ms, lambda: self._wake(entry))

    def _disarm(self, entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer, entry.armed_for_ms = None, NOT_ARMED

    def _wake(self, entry: _Entry) -> None:
        entry.timer, entry.armed_for_ms = None, NOT_ARMED
        self._carry_out(entry, entry.group.on_time(self._now_ms()))

    # ---- effects -----------------------------------------------------------------------------------------------------

    def _carry_out(self, entry: _Entry, effects: Sequence[Effect]) -> None:
        is_stored = True
        for effect in effects:
            if isinstance(effect, AnswerJoin | AnswerSync | AnswerHeartbeat):
                if entry.held is None:
                    deliver(effect if is_stored else unavailable(effect))
                else:
                    entry.held.append(effect)
            elif isinstance(effect, StoreGroup):
                is_stored = self._store(entry)
            elif isinstance(effect, DowngradeDue):
                is_stored = self._downgrade(entry, effect)
            else:
                self.counters.count(effect)
                explain(entry.group, effect)
        self._arm(entry)

    def _downgrade(self, entry: _Entry, effect: DowngradeDue) -> bool:
        """Replaces a consumer group by a classic one with its members; False when that could not be stored."""
        assert isinstance(entry.group, ConsumerGroup)
        now_ms = self._now_ms()
        classic = group_migration.downgrade(entry.group, effect.without, self._topics, now_ms)
        if effect.without:
            self.counters.members_removed += len(effect.without)
        self._adopt(classic)
        is_stored = self._store(entry)
        if effect.reason is not None:
            self._carry_out(entry, classic.request_rebalance(effect.reason, now_ms))
        return is_stored

    def _store(self, entry: _Entry) -> bool:
        """Stores the group, or begins to; False when that failed."""
        if entry.held is not None:
            entry.is_dirty = True
            return True
        try:
            stored = self._repository.save(group_snapshot.take_any(entry.group))
        except DomainError as error:
            log.error("Group %s could not be stored: %s", entry.group.group_id, error)
            return False
        if stored is not None:
            entry.held = []
            task = asyncio.ensure_future(self._finish_store(entry, stored))
            self._stores.add(task)
            task.add_done_callback(self._stores.discard)
        return True

    async def _finish_store(self, entry: _Entry, stored: Awaitable[None]) -> None:
        is_stored = True
        while True:
            try:
                await stored
                if not entry.is_dirty or entry.group.is_dead:
                    break
                entry.is_dirty = False
                again = self._repository.save(group_snapshot.take_any(entry.group))
                if again is None:
                    break
                stored = again
            except DomainError as error:
                log.error("Group %s could not be stored: %s", entry.group.group_id, error)
                is_stored = False
                break
        held, entry.held, entry.is_dirty = entry.held or [], None, False
        for effect in held:
            deliver(effect if is_stored else unavailable(effect))
