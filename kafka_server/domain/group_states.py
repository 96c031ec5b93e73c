"""Owns: the states of a classic group and every legal move between them, as a table. Must never know: members, time."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from kafka_server.domain.errors import CoordinatorNotAvailable, DomainError, RebalanceInProgress, UnknownMemberId


class State(enum.Enum):
    """The values are Kafka's spelling in ListGroups and DescribeGroups."""

    EMPTY = "Empty"
    """No members. What is left is a generation number and committed offsets."""
    PREPARING_REBALANCE = "PreparingRebalance"
    """The join barrier is open."""
    COMPLETING_REBALANCE = "CompletingRebalance"
    """The generation is formed; the sync barrier waits for the leader's assignment."""
    STABLE = "Stable"
    """Every member has its assignment."""
    DEAD = "Dead"
    """Deleted; only a request that was already under way can still meet it."""


class Event(enum.Enum):
    """The values finish the sentence "a group in state S cannot ..."."""

    REBALANCE = "start a rebalance"
    FORM = "form a generation"
    DRAIN = "lose the last member"
    ASSIGN = "receive the assignment"
    DELETE = "be deleted"


NEXT_STATE: Mapping[tuple[State, Event], State] = {
    (State.EMPTY, Event.REBALANCE): State.PREPARING_REBALANCE,
    (State.STABLE, Event.REBALANCE): State.PREPARING_REBALANCE,
    (State.COMPLETING_REBALANCE, Event.REBALANCE): State.PREPARING_REBALANCE,
    (State.PREPARING_REBALANCE, Event.FORM): State.COMPLETING_REBALANCE,
    (State.PREPARING_REBALANCE, Event.DRAIN): State.EMPTY,
    (State.COMPLETING_REBALANCE, Event.ASSIGN): State.STABLE,
    (State.EMPTY, Event.DELETE): State.DEAD,
}
"""Every legal move. A group with members is never deleted, so that only Empty leads to Dead."""

HEARTBEAT_REFUSAL: Mapping[State, type[DomainError] | None] = {
    State.EMPTY: UnknownMemberId,
    State.PREPARING_REBALANCE: RebalanceInProgress,
    State.COMPLETING_REBALANCE: None,
    State.STABLE: None,
    State.DEAD: CoordinatorNotAvailable,
}
"""What a heartbeat of a known member in the right generation is told; None: all is well."""


class IllegalTransitionError(RuntimeError):
    """An event met a state that has no answer to it: a bug of ours, never of a client."""


def next_state(state: State, event: Event) -> State:
    """Where the event leads. Raises IllegalTransitionError, naming both, when the table has no such move."""
    target = NEXT_STATE.get((state, event))
    if target is None:
        raise IllegalTransitionError(f"a group in state {state.value} cannot {event.value}")
    return target
