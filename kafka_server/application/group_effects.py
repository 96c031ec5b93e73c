"""Owns: what becomes of a group's effects that change nothing: answers, counters, and what people are told.
Must never know: which groups there are, how they are stored, the rules of a group.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kafka_server.application.explain import EXPLAIN
from kafka_server.domain.classic_group import ClassicGroup
from kafka_server.domain.consumer_group import ConsumerGroup
from kafka_server.domain.consumer_subscription import assigned_partitions
from kafka_server.domain.errors import CoordinatorNotAvailable
from kafka_server.domain.group_values import (
    AnswerHeartbeat,
    AnswerJoin,
    AnswerSync,
    Effect,
    GenerationFormed,
    GroupEmptied,
    GroupStabilized,
    HeartbeatResult,
    MembersRemoved,
    RebalanceStarted,
    SyncResult,
    TargetAssigned,
)

log = logging.getLogger("kafka_server.group")

Answer = AnswerJoin | AnswerSync | AnswerHeartbeat


@dataclass(slots=True)
class GroupCounters:
    """What happened to groups since this process started. All only grow."""

    rebalances_started: int = 0
    rebalances_completed: int = 0
    members_removed: int = 0
    groups_refused: int = 0

    def count(self, effect: Effect) -> None:
        if isinstance(effect, RebalanceStarted):
            self.rebalances_started += 1
        elif isinstance(effect, GroupStabilized | GroupEmptied):
            self.rebalances_completed += 1
        elif isinstance(effect, MembersRemoved):
            self.members_removed += len(effect.member_ids)


def explain(group: ClassicGroup | ConsumerGroup, effect: Effect) -> None:
    """One INFO line a rebalance for the operator; the steps in between for whoever wants to learn."""
    name = group.group_id
    if isinstance(effect, GenerationFormed):
        line = "Group %s rebalanced: generation %d has %d member(s), leader %s, protocol %s; reason: %s"
        facts = (effect.generation, effect.member_count, effect.leader_id, effect.protocol_name, effect.reason)
        log.info(line, name, *facts)
    elif isinstance(effect, TargetAssigned):
        line = "Group %s rebalances: epoch %d has %d member(s), assignor %s"
        log.info(line, name, effect.epoch, effect.member_count, effect.assignor)
    elif isinstance(effect, GroupEmptied):
        log.info("Group %s is empty in generation %d; reason: %s", name, effect.generation, effect.reason)
    elif isinstance(effect, RebalanceStarted):
        what = "waits for its members to join again" if isinstance(group, ClassicGroup) else "needs a new target"
        log.log(EXPLAIN, "Group %s %s: %s", name, what, effect.reason)
    elif isinstance(effect, GroupStabilized):
        if not log.isEnabledFor(EXPLAIN):
            return
        if isinstance(group, ClassicGroup):
            explain_assignment(group)
        else:
            log.log(EXPLAIN, "Group %s is stable: every member has its part of epoch %d", name, effect.generation)
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


def deliver(effect: Answer) -> None:
    """Calls the callback of whoever waits."""
    match effect:
        case AnswerJoin(answer, result):
            answer(result)
        case AnswerSync(answer_sync, synced):
            answer_sync(synced)
        case AnswerHeartbeat(answer_heartbeat, beaten):
            answer_heartbeat(beaten)


def deliver_all(effects: Sequence[Effect]) -> None:
    """Calls the callbacks; these effects have nothing else."""
    for effect in effects:
        if isinstance(effect, AnswerJoin | AnswerSync | AnswerHeartbeat):
            deliver(effect)


def unavailable(effect: Answer) -> Answer:
    """The answer when the state that it rests on could not be stored: the client looks for the coordinator again."""
    code = CoordinatorNotAvailable.code
    if isinstance(effect, AnswerJoin):
        return AnswerJoin(effect.answer, replace(effect.result, error_code=code, members=()))
    if isinstance(effect, AnswerHeartbeat):
        return AnswerHeartbeat(effect.answer, HeartbeatResult(error_code=code))
    return AnswerSync(effect.answer, SyncResult(error_code=code))
