"""Owns: the rules of the classic group protocol - states, generations, the join and sync barriers, sessions.
Must never know: the wire, clocks and timers (time comes in as ``now_ms``), who stores snapshots, how answers travel.

A group forms one *generation* after another. To form one it opens the join barrier (PreparingRebalance) and waits until
every known member has joined or the rebalance time-out is over. Then each is answered, the leader also with
the list of all members; the leader computes who reads what and brings that to the sync barrier (CompletingRebalance),
where the others wait for it. With the assignment in place the group is Stable until somebody comes, goes or dies.

The coordinator asks ``wake_at_ms`` when to call ``on_time`` next. That time is a lower bound: a heartbeat only moves
its member's own deadline, so thousands of members cost no timer work until the earliest deadline *might* be over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kafka_server.domain import group_values as values
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.consumer_subscription import CONSUMER_PROTOCOL_TYPE, subscribed_topics
from kafka_server.domain.errors import (
    CoordinatorNotAvailable,
    DomainError,
    FencedInstanceId,
    GroupIdNotFound,
    GroupMaxSizeReached,
    IllegalGeneration,
    InconsistentGroupProtocol,
    MemberIdRequired,
    MessageTooLarge,
    NonEmptyGroup,
    RebalanceInProgress,
    UnknownMemberId,
)
from kafka_server.domain.group_roster import Member, Roster
from kafka_server.domain.group_states import HEARTBEAT_REFUSAL, NEXT_STATE, Event, State, next_state
from kafka_server.domain.group_values import Effect, JoinAnswer, JoinCommand, JoinResult, SyncResult

UNEXPECTED_CODE = DomainError.code
NO_REASON = "no reason given"
SILENT_RETRY_MS_MIN = 1_000
"""A client may ask for a rebalance time-out of 0; waiting for silent members must not become a busy loop."""


class ClassicGroup:
    """One group of the classic protocol. Every operation returns the effects that it has, in order."""

    __slots__ = (
        "_effects",
        "_initial_wait_left_ms",
        "_join_deadline_ms",
        "_joined_since_delay",
        "_not_synced",
        "_previous_state",
        "_reason",
        "_sync_deadline_ms",
        "generation",
        "group_id",
        "limits",
        "protocol_name",
        "roster",
        "state",
        "state_since_ms",
        "topics",
        "wake_at_ms",
    )

    def __init__(self, group_id: str, limits: values.GroupLimits, now_ms: int) -> None:
        self.group_id = group_id
        self.limits = limits
        self.state = State.EMPTY
        self.state_since_ms = now_ms
        self.generation = 0
        self.protocol_name: str | None = None
        self.roster = Roster()
        self.topics: frozenset[str] | None = None
        """Topics that the members subscribe to, as of the last generation; None while we cannot tell."""
        self.wake_at_ms: int | None = None
        """``on_time`` has nothing to do before this; may be too early, never too late."""
        self._previous_state = State.DEAD
        self._join_deadline_ms: int | None = None
        self._sync_deadline_ms: int | None = None
        self._initial_wait_left_ms: int | None = None
        """Set while an empty group's first barrier is open: how much longer it may stay open for more members."""
        self._joined_since_delay = False
        self._not_synced: set[str] = set()
        self._reason = ""
        self._effects: list[Effect] = []

    # ---- what members ask ------------------------------------------------------------------------------------------

    def join(self, command: JoinCommand, answer: JoinAnswer, now_ms: int) -> Sequence[Effect]:
        """JoinGroup. The answer comes at once or when the barrier closes."""
        if self.state is State.DEAD:
            self._refuse_join(answer, CoordinatorNotAvailable, command.member_id)
        elif sum(len(name) + len(metadata) for name, metadata in command.protocols) > self.limits.member_bytes_max:
            self._refuse_join(answer, MessageTooLarge, command.member_id)
        elif not self._has_room_for(command.member_id):
            self.roster.remove(command.member_id)
            self._refuse_join(answer, GroupMaxSizeReached)
            self._maybe_complete_join(now_ms)
        elif not self._can_agree_with(command):
            self._refuse_join(answer, InconsistentGroupProtocol, command.member_id)
        elif not command.member_id:
            self._join_as_stranger(command, answer, now_ms)
        elif command.member_id in self.roster.pending:
            self._join_as_pending(command, answer, now_ms)
        else:
            self._join_as_member(command, answer, now_ms)
        return self._take_effects()

    def sync(self, command: values.SyncCommand, answer: values.SyncAnswer, now_ms: int) -> Sequence[Effect]:
        """SyncGroup. The leader's call ends the wait of the others."""
        try:
            member = self._validate_sync(command)
        except DomainError as error:
            return [values.AnswerSync(answer, SyncResult(error_code=error.code))]
        self._not_synced.discard(member.member_id)
        if not self._not_synced:
            self._sync_deadline_ms = None
        if self.state is State.STABLE:
            self._effects.append(values.AnswerSync(answer, self._sync_result(member)))
            return self._take_effects()
        self._refuse_sync(member, RebalanceInProgress)  # An older request of the same member must not hang for ever.
        member.sync_answer = answer
        if member.member_id == self.roster.leader_id:
            self._assign(command.assignments, now_ms)
        return self._take_effects()

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int, now_ms: int) -> None:
        """Keeps the session alive, also while it tells the member to join again. Raises a DomainError to say more."""
        if self.state is State.DEAD:
            raise CoordinatorNotAvailable
        member = self.roster.find(member_id, instance_id)
        if generation != self.generation:
            raise IllegalGeneration
        self._keep_alive(member, now_ms)
        refusal = HEARTBEAT_REFUSAL[self.state]
        if refusal is not None:
            raise refusal

    def leave(self, leaving: Sequence[values.LeavingMember], now_ms: int) -> tuple[list[int], Sequence[Effect]]:
        """LeaveGroup. One error code per leaving member, and the effects."""
        codes: list[int] = []
        left: list[str] = []
        for who in leaving:
            try:
                member_id = self._resolve_leaving(who)
            except DomainError as error:
                codes.append(error.code)
                continue
            codes.append(0)
            left.append(member_id)
            self._drop(member_id)
            self._effects.append(values.MembersRemoved((member_id,), f"left: {who.reason or NO_REASON}"))
        if left and self.state is not State.EMPTY:  # An empty group may only have lost a handed-out id.
            self._rebalance_or_complete_join(f"{', '.join(left)} left", now_ms)
        return codes, self._take_effects()

    # ---- what time does --------------------------------------------------------------------------------------------

    def on_time(self, now_ms: int) -> Sequence[Effect]:
        """Ends every wait and session whose time is over, and finds the next time to wake."""
        if self._sync_deadline_ms is not None and self._sync_deadline_ms <= now_ms:
            self._expire_sync(now_ms)
        if self._join_deadline_ms is not None and self._join_deadline_ms <= now_ms:
            self._expire_join(now_ms)
        for member in list(self.roster.members.values()):
            is_still_in = self.roster.members.get(member.member_id) is member
            if is_still_in and member.expires_at_ms is not None and member.expires_at_ms <= now_ms:
                self._expire_session(member, now_ms)
        for member_id, expires_at_ms in list(self.roster.pending.items()):
            if expires_at_ms <= now_ms:
                self.roster.remove(member_id)
                self._complete_join_if_all_are_in(now_ms)
        deadlines = [m.expires_at_ms for m in self.roster.members.values() if m.expires_at_ms is not None]
        deadlines += self.roster.pending.values()
        deadlines += [at for at in (self._join_deadline_ms, self._sync_deadline_ms) if at is not None]
        self.wake_at_ms = min(deadlines, default=None)
        return self._take_effects()

    # ---- what others need to know ----------------------------------------------------------------------------------

    @property
    def state_name(self) -> str:
        return self.state.value

    @property
    def type_name(self) -> str:
        return values.CLASSIC

    @property
    def protocol_type(self) -> str:
        return self.roster.protocol_type or ""

    @property
    def member_count(self) -> int:
        return len(self.roster.members)

    @property
    def is_dead(self) -> bool:
        return self.state is State.DEAD

    @property
    def is_empty(self) -> bool:
        return self.state is State.EMPTY

    @property
    def is_abandoned(self) -> bool:
        return self.state is State.EMPTY and not self.roster.pending

    @property
    def uses_consumer_protocol(self) -> bool:
        return self.roster.protocol_type == CONSUMER_PROTOCOL_TYPE

    def validate_offset_commit(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        now_ms: int,
        *,
        transactional: bool = False,
        knows_epochs: bool = True,
    ) -> None:
        """Raises what the commit deserves; a valid one by a member counts as a sign of life (Stable and Preparing)."""
        if self.state is State.DEAD:
            raise CoordinatorNotAvailable
        if generation < 0 and self.state is State.EMPTY:
            return  # An admin tool, or a consumer that assigns partitions itself: nobody is here to be disturbed.
        if generation >= 0 or member_id or instance_id is not None:
            member = self.roster.find(member_id, instance_id)
            if generation != self.generation:
                raise IllegalGeneration
            if not transactional and self.state in (State.STABLE, State.PREPARING_REBALANCE):
                self._keep_alive(member, now_ms)
        elif not transactional and self.state is not State.EMPTY:
            raise UnknownMemberId
        if not transactional and self.state is State.COMPLETING_REBALANCE:
            raise RebalanceInProgress

    def validate_offset_fetch(self, member_id: str | None, epoch: int) -> None:
        if self.state is State.DEAD:
            raise GroupIdNotFound

    def validate_offset_delete(self) -> None:
        if self.state is State.DEAD:
            raise GroupIdNotFound
        if self.state is not State.EMPTY and not self.uses_consumer_protocol:
            raise NonEmptyGroup

    def is_subscribed_to(self, topic: str) -> bool:
        return topic in self.topics if self.topics is not None else self.uses_consumer_protocol

    def retention_start_ms(self, offset: CommittedOffset) -> int | None:
        if self.roster.protocol_type is None:
            return offset.committed_at_ms  # Offsets without a group: only commits count as use.
        if self.state is State.EMPTY:
            return self.state_since_ms  # The clock starts when the last member is gone (KIP-211).
        if self.state is State.STABLE and self.uses_consumer_protocol and self.topics is not None:
            return offset.committed_at_ms  # For topics that nobody reads any more; the caller asks is_subscribed_to.
        return None

    def delete(self, now_ms: int) -> None:
        """DeleteGroups. NonEmptyGroup while there are members."""
        if self.state is State.DEAD:
            raise GroupIdNotFound
        if self.state is not State.EMPTY:
            raise NonEmptyGroup
        self._move(Event.DELETE, now_ms)

    def resume(self, now_ms: int) -> None:
        """After a restart: sessions start anew, and a group above a lowered ``group.max.size`` sheds members."""
        for member in self.roster.members.values():
            self._keep_alive(member, now_ms)
        self.topics = self._read_topics()
        if len(self.roster.members) > self.limits.size_max:
            self._start_rebalance("the group is larger than group.max.size", now_ms)

    # ---- moving between the protocols (KIP-848) ----------------------------------------------------------------------

    def adopt_protocol(self) -> None:
        """Decides the protocol of a group that came from the consumer protocol, where there is none."""
        self.protocol_name = self.roster.select_protocol()
        self.topics = self._read_topics()

    def dissolve(self) -> Sequence[Effect]:
        """A consumer group takes over: whoever waits is told to join again, and meets that group then."""
        for member in self.roster.members.values():
            self._refuse_waiting(member, RebalanceInProgress, member.member_id)
        return self._take_effects()

    def request_rebalance(self, reason: str, now_ms: int) -> Sequence[Effect]:
        """Opens the join barrier of a stable group."""
        self._start_rebalance(reason, now_ms)
        return self._take_effects()

    # ---- joining ---------------------------------------------------------------------------------------------------

    def _has_room_for(self, member_id: str) -> bool:
        """``group.max.size``. While the join barrier is open, those who wait count, so that a group that is too large
        (the limit was lowered) sends away whoever comes last."""
        if self.state is State.EMPTY:
            return True
        member = self.roster.members.get(member_id)
        if self.state is State.PREPARING_REBALANCE:
            is_waiting = member is not None and member.join_answer is not None
            return is_waiting or self.roster.joining_count < self.limits.size_max
        return member is not None or len(self.roster.members) < self.limits.size_max

    def _can_agree_with(self, command: JoinCommand) -> bool:
        if self.state is State.EMPTY:
            return bool(command.protocol_type and command.protocols)
        return self.roster.supports(command.protocol_type, command.protocols)

    def _join_as_stranger(self, command: JoinCommand, answer: JoinAnswer, now_ms: int) -> None:
        """A client without a member id: it gets one, and a static one may step into its own old shoes."""
        name = command.client_id if command.instance_id is None else command.instance_id
        member_id = f"{name}-{command.fresh_id}"
        if command.instance_id is not None and command.instance_id in self.roster.static_ids:
            self._join_as_successor(command, member_id, answer, now_ms)
        elif command.instance_id is not None or not command.requires_known_id:
            self._add(command, member_id, answer, now_ms)
        elif len(self.roster.pending) >= self.limits.pending_members_max:
            self._refuse_join(answer, GroupMaxSizeReached)
        else:
            self.roster.pending[member_id] = now_ms + command.session_timeout_ms
            self._wake_by(self.roster.pending[member_id])
            self._refuse_join(answer, MemberIdRequired, member_id)

    def _join_as_pending(self, command: JoinCommand, answer: JoinAnswer, now_ms: int) -> None:
        if command.instance_id is not None:
            # Ids are handed out to dynamic members only; Kafka meets this contradiction with its catch-all error too.
            self._effects.append(values.AnswerJoin(answer, JoinResult(error_code=UNEXPECTED_CODE)))
            return
        self._add(command, command.member_id, answer, now_ms)

    def _join_as_member(self, command: JoinCommand, answer: JoinAnswer, now_ms: int) -> None:
        """A member joins again: it was told to, its subscription changed, or an answer got lost."""
        try:
            member = self.roster.find(command.member_id, command.instance_id)
        except (UnknownMemberId, FencedInstanceId) as error:
            self._refuse_join(answer, type(error), command.member_id)
            return
        is_leader = member.member_id == self.roster.leader_id
        why = command.reason or NO_REASON
        if self.state is State.PREPARING_REBALANCE:
            self._update(member, command, answer, f"{member.member_id} joins again: {why}", now_ms)
        elif command.protocols != member.protocols:
            self._update(member, command, answer, f"{member.member_id} changed its metadata: {why}", now_ms)
        elif self.state is State.STABLE and is_leader:
            # Only the leader watches metadata; by joining again it asks for a new assignment (new partitions, say).
            self._update(member, command, answer, f"leader {member.member_id} asks for it: {why}", now_ms)
        else:
            self._effects.append(values.AnswerJoin(answer, self._join_result(member)))

    def _join_as_successor(self, command: JoinCommand, member_id: str, answer: JoinAnswer, now_ms: int) -> None:
        """A static member restarted. Its old process is fenced; a stable group keeps its assignment (KIP-345)."""
        assert command.instance_id is not None
        old_leader_id = self.roster.leader_id
        old = self.roster.members[self.roster.static_ids[command.instance_id]]
        self._refuse_waiting(old, FencedInstanceId, old.member_id)
        member = self.roster.replace_static(old, member_id)
        if old.member_id in self._not_synced:
            self._not_synced ^= {old.member_id, member_id}
        self._keep_alive(member, now_ms)
        self.roster.update(member, command, answer)
        if self.state is State.STABLE and self.roster.select_protocol() == self.protocol_name:
            self._effects.append(values.StoreGroup())
            self.roster.release_join(member)
            result = self._join_result(member, skip_assignment=member_id == self.roster.leader_id)
            if not command.can_skip_assignment:
                # Older clients cannot be told to lead without assigning; naming the old id keeps them followers.
                result = JoinResult(
                    0, member_id, self.generation, self.roster.protocol_type, self.protocol_name, old_leader_id or ""
                )
            self._effects.append(values.AnswerJoin(answer, result))
        else:
            # In CompletingRebalance too: the leader may be assigning to the old member id at this moment.
            self._rebalance_or_complete_join(f"static member {command.instance_id} came back as {member_id}", now_ms)

    def _add(self, command: JoinCommand, member_id: str, answer: JoinAnswer, now_ms: int) -> None:
        member = Member(
            member_id,
            command.instance_id,
            command.client_id,
            command.client_host,
            command.session_timeout_ms,
            command.rebalance_timeout_ms,
            command.protocols,
            join_answer=answer,
        )
        self.roster.add(member, command.protocol_type)
        self._expire_at(member, now_ms + self.limits.new_member_join_timeout_ms)
        self._joined_since_delay = self._initial_wait_left_ms is not None
        self._rebalance_or_complete_join(f"{member_id} joined: {command.reason or NO_REASON}", now_ms)

    def _update(self, member: Member, command: JoinCommand, answer: JoinAnswer, reason: str, now_ms: int) -> None:
        displaced = self.roster.release_join(member)
        if displaced is not None:  # The client gave up on its older request; it must not hang for ever.
            self._refuse_join(displaced, RebalanceInProgress, member.member_id)
        self.roster.update(member, command, answer)
        self._rebalance_or_complete_join(reason, now_ms)

    def _join_result(self, member: Member, skip_assignment: bool = False) -> JoinResult:
        is_leader = member.member_id == self.roster.leader_id
        return JoinResult(
            member_id=member.member_id,
            generation=self.generation,
            protocol_type=self.roster.protocol_type,
            protocol_name=self.protocol_name,
            leader_id=self.roster.leader_id or "",
            skip_assignment=skip_assignment,
            members=self.roster.listing(self.protocol_name or "") if is_leader else (),
        )

    # ---- the join barrier ------------------------------------------------------------------------------------------

    def _rebalance_or_complete_join(self, reason: str, now_ms: int) -> None:
        if (self.state, Event.REBALANCE) in NEXT_STATE:
            self._start_rebalance(reason, now_ms)
        else:
            self._maybe_complete_join(now_ms)

    def _start_rebalance(self, reason: str, now_ms: int) -> None:
        if self.state is State.COMPLETING_REBALANCE:
            for member in self.roster.members.values():
                member.assignment = b""
                if self._refuse_sync(member, RebalanceInProgress):
                    self._keep_alive(member, now_ms)
        self._not_synced.clear()
        self._sync_deadline_ms = None
        is_initial = self.state is State.EMPTY
        self._move(Event.REBALANCE, now_ms)
        self._reason = reason
        self._effects.append(values.RebalanceStarted(reason))
        if not is_initial:
            self._join_deadline_ms = now_ms + self.roster.rebalance_timeout_ms()
            self._wake_by(self._join_deadline_ms)
            self._complete_join_if_all_are_in(now_ms)
            return
        delay_ms = self.limits.initial_rebalance_delay_ms
        if delay_ms == 0:
            self._complete_join(now_ms)
            return
        self._initial_wait_left_ms = max(self.roster.rebalance_timeout_ms() - delay_ms, 0)
        self._joined_since_delay = False
        self._join_deadline_ms = now_ms + delay_ms
        self._wake_by(self._join_deadline_ms)

    def _maybe_complete_join(self, now_ms: int) -> None:
        """Closes the barrier when all are in; the first barrier of an empty group always waits out its delay."""
        if self._previous_state is not State.EMPTY:
            self._complete_join_if_all_are_in(now_ms)

    def _complete_join_if_all_are_in(self, now_ms: int) -> None:
        if self.state is State.PREPARING_REBALANCE and self.roster.all_joined():
            self._complete_join(now_ms)

    def _expire_join(self, now_ms: int) -> None:
        left_ms = self._initial_wait_left_ms
        if self._joined_since_delay and left_ms:
            delay_ms = min(self.limits.initial_rebalance_delay_ms, left_ms)
            self._joined_since_delay = False
            self._initial_wait_left_ms = max(left_ms - self.limits.initial_rebalance_delay_ms, 0)
            self._join_deadline_ms = now_ms + delay_ms
        else:
            self._complete_join(now_ms)

    def _complete_join(self, now_ms: int) -> None:
        """The next generation: those who joined, plus static members, who may be restarting and keep their place."""
        self._join_deadline_ms = None
        self._initial_wait_left_ms = None
        absent = [m.member_id for m in self.roster.members.values() if m.join_answer is None and m.instance_id is None]
        for member_id in absent:
            self.roster.remove(member_id)
        if absent:
            self._effects.append(values.MembersRemoved(tuple(absent), "did not join in time"))
        if self.roster.members and not self.roster.elect_joined_leader():
            # Only silent static members are left: wait until they join or their sessions end.
            self._join_deadline_ms = now_ms + max(self.roster.rebalance_timeout_ms(), SILENT_RETRY_MS_MIN)
            self._wake_by(self._join_deadline_ms)
            return
        self.generation += 1
        if not self.roster.members:
            self.protocol_name = None
            self._move(Event.DRAIN, now_ms)
            self.topics = self._read_topics()
            self._effects += [values.StoreGroup(), values.GroupEmptied(self.generation, self._reason)]
            return
        self.protocol_name = self.roster.select_protocol()
        self.topics = self._read_topics()
        self._move(Event.FORM, now_ms)
        size, leader_id = len(self.roster.members), self.roster.leader_id or ""
        formed = values.GenerationFormed(self.generation, size, leader_id, self.protocol_name, self._reason)
        self._effects.append(formed)
        for member in self.roster.members.values():
            answer = self.roster.release_join(member)
            if answer is not None:
                self._effects.append(values.AnswerJoin(answer, self._join_result(member)))
            member.is_new = False
            self._keep_alive(member, now_ms)
        self._not_synced = set(self.roster.members)
        self._sync_deadline_ms = now_ms + self.roster.rebalance_timeout_ms()
        self._wake_by(self._sync_deadline_ms)

    # ---- the sync barrier ------------------------------------------------------------------------------------------

    def _validate_sync(self, command: values.SyncCommand) -> Member:
        if self.state is State.DEAD:
            raise CoordinatorNotAvailable
        member = self.roster.find(command.member_id, command.instance_id)
        if command.generation != self.generation:
            raise IllegalGeneration
        told = ((command.protocol_type, self.roster.protocol_type), (command.protocol_name, self.protocol_name))
        if any(theirs is not None and ours is not None and theirs != ours for theirs, ours in told):
            raise InconsistentGroupProtocol
        if any(len(assignment) > self.limits.member_bytes_max for assignment in command.assignments.values()):
            raise MessageTooLarge
        if self.state is State.PREPARING_REBALANCE:
            raise RebalanceInProgress
        return member

    def _assign(self, assignments: Mapping[str, bytes], now_ms: int) -> None:
        self._move(Event.ASSIGN, now_ms)
        self._effects += [values.StoreGroup(), values.GroupStabilized(self.generation)]
        for member in self.roster.members.values():
            member.assignment = assignments.get(member.member_id, b"")
            answer, member.sync_answer = member.sync_answer, None
            if answer is not None:
                self._effects.append(values.AnswerSync(answer, self._sync_result(member)))
                self._keep_alive(member, now_ms)

    def _sync_result(self, member: Member) -> SyncResult:
        return SyncResult(0, self.roster.protocol_type, self.protocol_name, member.assignment)

    def _expire_sync(self, now_ms: int) -> None:
        """Members that took the new generation but never came for their assignment are out."""
        late = tuple(m for m in self.roster.members if m in self._not_synced)
        self._sync_deadline_ms = None
        if not late:
            return
        for member_id in late:
            self._drop(member_id)
        self._effects.append(values.MembersRemoved(late, "did not sync in time"))
        self._start_rebalance(f"{', '.join(late)} did not sync in time", now_ms)

    # ---- sessions and departures -----------------------------------------------------------------------------------

    def _keep_alive(self, member: Member, now_ms: int) -> None:
        self._expire_at(member, now_ms + member.session_timeout_ms)

    def _expire_at(self, member: Member, deadline_ms: int) -> None:
        member.expires_at_ms = deadline_ms
        self._wake_by(deadline_ms)

    def _wake_by(self, deadline_ms: int) -> None:
        if self.wake_at_ms is None or deadline_ms < self.wake_at_ms:
            self.wake_at_ms = deadline_ms

    def _expire_session(self, member: Member, now_ms: int) -> None:
        is_waiting = member.join_answer is not None or member.sync_answer is not None
        if is_waiting and not member.is_new:
            member.expires_at_ms = None  # It will be set when the barrier answers.
            return
        self._drop(member.member_id)
        self._effects.append(values.MembersRemoved((member.member_id,), "session timed out"))
        if self.state is State.PREPARING_REBALANCE:
            self._complete_join_if_all_are_in(now_ms)
        else:
            self._rebalance_or_complete_join(f"session of {member.member_id} timed out", now_ms)

    def _resolve_leaving(self, who: values.LeavingMember) -> str:
        """An administrator removes a static member by its instance id alone; everybody else names its member id."""
        if who.member_id in self.roster.pending:
            return who.member_id
        if not who.member_id and who.instance_id is not None:
            return self.roster.find(self.roster.static_ids.get(who.instance_id, ""), who.instance_id).member_id
        return self.roster.find(who.member_id, who.instance_id).member_id

    def _drop(self, member_id: str) -> None:
        """Takes out a member or a pending id; whoever waits in its name is told that it is no member any more."""
        member = self.roster.members.get(member_id)
        if member is not None:
            self._refuse_waiting(member, UnknownMemberId)
        self.roster.remove(member_id)
        self._not_synced.discard(member_id)

    # ---- small parts -----------------------------------------------------------------------------------------------

    def _move(self, event: Event, now_ms: int) -> None:
        self._previous_state, self.state = self.state, next_state(self.state, event)
        self.state_since_ms = now_ms

    def _take_effects(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def _refuse_join(self, answer: JoinAnswer, error: type[DomainError], member_id: str = "") -> None:
        self._effects.append(values.AnswerJoin(answer, JoinResult(error_code=error.code, member_id=member_id)))

    def _refuse_sync(self, member: Member, error: type[DomainError]) -> bool:
        answer, member.sync_answer = member.sync_answer, None
        if answer is not None:
            self._effects.append(values.AnswerSync(answer, SyncResult(error_code=error.code)))
        return answer is not None

    def _refuse_waiting(self, member: Member, error: type[DomainError], member_id: str = "") -> None:
        answer = self.roster.release_join(member)
        if answer is not None:
            self._refuse_join(answer, error, member_id)
        self._refuse_sync(member, error)

    def _read_topics(self) -> frozenset[str] | None:
        if not self.uses_consumer_protocol:
            return None
        if not self.roster.members:
            return frozenset()
        if self.protocol_name is None:
            return None
        read: Callable[[bytes], frozenset[str]] = subscribed_topics
        try:
            return frozenset().union(*(read(m.metadata(self.protocol_name)) for m in self.roster.members.values()))
        except ValueError:
            return None  # Not a subscription that we can read: then no offset of this group expires or is deleted.
