"""Owns: the groups of this broker - finds them, tells them the time, carries out their effects, counts and logs.
Must never know: the wire, futures and sockets (members wait through callbacks), the rules of a group.

Durability: an answer leaves only after the state that it rests on is stored. A repository that needs time returns an
awaitable; until it is done the group's answers are held back in order, while its heartbeats go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from kafka_server.application.explain import EXPLAIN
from kafka_server.application.ports import Clock, GroupRepository, Timer
from kafka_server.domain import group_snapshot
from kafka_server.domain.classic_group import ClassicGroup
from kafka_server.domain.consumer_subscription import assigned_partitions
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
    AnswerJoin,
    AnswerSync,
    Effect,
    GenerationFormed,
    GroupEmptied,
    GroupLimits,
    GroupStabilized,
    JoinAnswer,
    JoinCommand,
    JoinResult,
    LeavingMember,
    MembersRemoved,
    RebalanceStarted,
    StoreGroup,
    SyncAnswer,
    SyncCommand,
    SyncResult,
)

log = logging.getLogger("kafka_server.group")

NOT_ARMED = 2**63
CLASSIC = "classic"


@dataclass(slots=True, frozen=True)
class GroupSettings:
    """The broker's configuration of classic groups."""

    session_timeout_ms_min: int = 6_000
    """``group.min.session.timeout.ms``"""
    session_timeout_ms_max: int = 1_800_000
    """``group.max.session.timeout.ms``"""
    groups_max: int = 1_000_000
    """Groups that this broker remembers; a new one beyond that is told COORDINATOR_NOT_AVAILABLE."""
    limits: GroupLimits = field(default_factory=GroupLimits)


@dataclass(slots=True)
class GroupCounters:
    """What happened to groups since this process started. All only grow."""

    rebalances_started: int = 0
    rebalances_completed: int = 0
    members_removed: int = 0
    groups_refused: int = 0


@dataclass(slots=True)
class _Entry:
    """A group with its one timer, and with the answers that wait for a snapshot to be stored."""

    group: ClassicGroup
    timer: Timer | None = None
    armed_for_ms: int = NOT_ARMED
    held: list[AnswerJoin | AnswerSync] | None = None
    """Not None while a snapshot is being stored."""
    is_dirty: bool = False
    """The group changed again while its snapshot was being stored."""


class GroupCoordinator:
    """Every classic group of this broker. All methods are immediate; whoever waits gets its answer by callback."""

    def __init__(self, clock: Clock, repository: GroupRepository, settings: GroupSettings) -> None:
        self._clock = clock
        self._wall_minus_steady_ms = clock.now_ms() - clock.steady_ms()
        self._repository = repository
        self._settings = settings
        self._entries: dict[str, _Entry] = {}
        self._stores: set[asyncio.Future[None]] = set()
        self.counters = GroupCounters()

    async def load(self) -> None:
        """Brings back what was stored; members have one session time-out to show up."""
        now_ms = self._now_ms()
        for snapshot in await self._repository.load():
            entry = _Entry(group_snapshot.restore(snapshot, self._settings.limits, now_ms))
            self._entries[snapshot.group_id] = entry
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
        self._carry_out(entry, entry.group.join(command, answer, self._now_ms()))

    def sync(self, group_id: str, command: SyncCommand, answer: SyncAnswer) -> None:
        """SyncGroup; ``answer`` is called exactly once, now or when the leader has brought the assignment."""
        try:
            entry = self._entry_of_member(group_id)
        except DomainError as error:
            answer(SyncResult(error_code=error.code))
            return
        self._carry_out(entry, entry.group.sync(command, answer, self._now_ms()))

    def heartbeat(self, group_id: str, member_id: str, instance_id: str | None, generation: int) -> None:
        """Heartbeat; raises the DomainError that the member has to be told."""
        entry = self._entry_of_member(group_id)
        try:
            entry.group.heartbeat(member_id, instance_id, generation, self._now_ms())
        finally:
            self._arm(entry)

    def leave(self, group_id: str, members: Sequence[LeavingMember]) -> list[int]:
        """LeaveGroup; one error code per member. Raises InvalidGroupId."""
        try:
            entry = self._entry_of_member(group_id)
        except UnknownMemberId as error:
            return [error.code] * len(members)
        codes, effects = entry.group.leave(members, self._now_ms())
        self._carry_out(entry, effects)
        return codes

    # ---- other services ----------------------------------------------------------------------------------------------

    def find(self, group_id: str) -> ClassicGroup:
        """The group, to look at. Raises GroupIdNotFound."""
        entry = self._entries.get(group_id)
        if entry is None:
            raise GroupIdNotFound(f"Group {group_id} not found.")
        return entry.group

    def find_or_create(self, group_id: str) -> ClassicGroup:
        """The group; an empty one when there is none, for offsets that belong to no members."""
        entry = self._entries.get(group_id)
        return (entry or self._create(group_id)).group

    def validate_offset_commit(
        self, group_id: str, member_id: str, instance_id: str | None, generation: int, *, transactional: bool = False
    ) -> None:
        """Raises what the commit deserves; GroupIdNotFound when the group is unknown. Counts as a sign of life."""
        entry = self._entries.get(group_id)
        if entry is None:
            raise GroupIdNotFound(f"Group {group_id} not found.")
        now_ms = self._now_ms()
        entry.group.validate_offset_commit(member_id, instance_id, generation, now_ms, transactional=transactional)
        self._arm(entry)

    def all(self, states: Collection[str] = (), types: Collection[str] = ()) -> Iterator[ClassicGroup]:
        """The groups in one of these states and of one of these types; no filter means all. Case does not matter."""
        wanted = {state.strip().lower() for state in states}
        if types and CLASSIC not in {kind.lower() for kind in types}:
            return
        for entry in self._entries.values():
            if not wanted or entry.group.state_name.lower() in wanted:
                yield entry.group

    def delete(self, group_id: str) -> Awaitable[None] | None:
        """Forgets an empty group. Raises GroupIdNotFound, NonEmptyGroup."""
        self.find(group_id).delete(self._now_ms())
        self._forget(self._entries[group_id])
        return self._repository.delete(group_id)

    def count_by_state(self) -> dict[str, int]:
        """How many groups are in each state, for metrics."""
        counts = Counter(entry.group.state_name for entry in self._entries.values())
        return {state.value: counts[state.value] for state in State if state is not State.DEAD}

    def count_members(self) -> int:
        """Members of all groups together, for metrics."""
        return sum(len(entry.group.roster.members) for entry in self._entries.values())

    # ---- finding -----------------------------------------------------------------------------------------------------

    def _entry_to_join(self, group_id: str, command: JoinCommand) -> _Entry:
        """A group comes into being when its first stranger knocks; nobody can be a member of no group."""
        if not group_id:
            raise InvalidGroupId
        settings = self._settings
        if not settings.session_timeout_ms_min <= command.session_timeout_ms <= settings.session_timeout_ms_max:
            raise InvalidSessionTimeout
        entry = self._entries.get(group_id)
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

    def _create(self, group_id: str) -> _Entry:
        if len(self._entries) >= self._settings.groups_max:
            if self.counters.groups_refused == 0:
                log.warning("This broker knows %d groups and admits no more", len(self._entries))
            self.counters.groups_refused += 1
            raise CoordinatorNotAvailable
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
            if isinstance(effect, AnswerJoin | AnswerSync):
                if entry.held is None:
                    deliver(effect if is_stored else unavailable(effect))
                else:
                    entry.held.append(effect)
            elif isinstance(effect, StoreGroup):
                is_stored = self._store(entry)
            else:
                self._count(effect)
                self._explain(entry.group, effect)
        self._arm(entry)

    def _store(self, entry: _Entry) -> bool:
        """Stores the group, or begins to; False when that failed."""
        if entry.held is not None:
            entry.is_dirty = True
            return True
        try:
            stored = self._repository.save(group_snapshot.take(entry.group))
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
                if not entry.is_dirty or entry.group.state is State.DEAD:
                    break
                entry.is_dirty = False
                again = self._repository.save(group_snapshot.take(entry.group))
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

    def _count(self, effect: Effect) -> None:
        if isinstance(effect, RebalanceStarted):
            self.counters.rebalances_started += 1
        elif isinstance(effect, GroupStabilized | GroupEmptied):
            self.counters.rebalances_completed += 1
        elif isinstance(effect, MembersRemoved):
            self.counters.members_removed += len(effect.member_ids)

    def _explain(self, group: ClassicGroup, effect: Effect) -> None:
        """One INFO line a rebalance for the operator; the steps in between for whoever wants to learn."""
        name = group.group_id
        if isinstance(effect, GenerationFormed):
            line = "Group %s rebalanced: generation %d has %d member(s), leader %s, protocol %s; reason: %s"
            what = (effect.generation, effect.member_count, effect.leader_id, effect.protocol_name, effect.reason)
            log.info(line, name, *what)
        elif isinstance(effect, GroupEmptied):
            log.info("Group %s is empty in generation %d; reason: %s", name, effect.generation, effect.reason)
        elif isinstance(effect, RebalanceStarted):
            log.log(EXPLAIN, "Group %s waits for its members to join again: %s", name, effect.reason)
        elif isinstance(effect, GroupStabilized):
            if log.isEnabledFor(EXPLAIN):
                explain_assignment(group)
        elif isinstance(effect, MembersRemoved):
            log.log(EXPLAIN, "Group %s lost %s: %s", name, ", ".join(effect.member_ids), effect.why)


def explain_assignment(group: ClassicGroup) -> None:
    """Who reads what from now on, as far as that can be read; the broker itself never needs to know."""
    log.log(EXPLAIN, "Group %s is stable: its leader has assigned generation %d", group.group_id, group.generation)
    for member in group.roster.members.values():
        what = f"{len(member.assignment)} bytes that only its members understand"
        if group.uses_consumer_protocol:
            with contextlib.suppress(ValueError):
                partitions = assigned_partitions(member.assignment)
                what = ", ".join(f"{topic}-{index}" for topic, index in partitions) or "nothing"
        log.log(EXPLAIN, "Group %s: %s gets %s", group.group_id, member.member_id, what)


def deliver(effect: AnswerJoin | AnswerSync) -> None:
    """Calls the callback of whoever waits."""
    if isinstance(effect, AnswerJoin):
        effect.answer(effect.result)
    else:
        effect.answer(effect.result)


def unavailable(effect: AnswerJoin | AnswerSync) -> AnswerJoin | AnswerSync:
    """The answer when the state that it rests on could not be stored: the client looks for the coordinator again."""
    code = CoordinatorNotAvailable.code
    if isinstance(effect, AnswerJoin):
        return AnswerJoin(effect.answer, replace(effect.result, error_code=code, members=()))
    return AnswerSync(effect.answer, SyncResult(error_code=code))
