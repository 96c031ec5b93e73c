"""Owns: the states of a consumer group (KIP-848), as a table of what they follow from.
Must never know: members, time.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class ConsumerGroupState(enum.Enum):
    """The values are Kafka's spelling in ListGroups and ConsumerGroupDescribe."""

    EMPTY = "Empty"
    """No members; offsets may be left."""
    ASSIGNING = "Assigning"
    """Something changed, and who should have what is still to be computed."""
    RECONCILING = "Reconciling"
    """The target is there, and members are on their way to it."""
    STABLE = "Stable"
    """Every member has its target."""
    DEAD = "Dead"
    """Deleted, or replaced by a group of the other protocol."""


STATE: Mapping[tuple[bool, bool, bool], ConsumerGroupState] = {
    (False, False, False): ConsumerGroupState.EMPTY,
    (False, False, True): ConsumerGroupState.EMPTY,
    (False, True, False): ConsumerGroupState.EMPTY,
    (False, True, True): ConsumerGroupState.EMPTY,
    (True, False, False): ConsumerGroupState.ASSIGNING,
    (True, False, True): ConsumerGroupState.ASSIGNING,
    (True, True, False): ConsumerGroupState.RECONCILING,
    (True, True, True): ConsumerGroupState.STABLE,
}
"""By: has members, the target is as new as the group epoch, every member has arrived at the target.

A consumer group never waits at a barrier, so that it has no transitions of its own: where it stands is a fact about
its members and epochs, and each heartbeat may change it.
"""
