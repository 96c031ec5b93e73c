"""Owns: the vocabulary of groups - what members ask, what they are answered, what a group tells the world.
Must never know: how a group decides (classic_group.py), the wire, who waits for an answer and how.

A group never calls out. Each operation returns effects, in the order in which they have to happen; the coordinator in
the application layer carries them out. A member that has to wait leaves an ``answer`` callback with the group and gets
it called, later, through an ``AnswerJoin`` or ``AnswerSync`` effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from kafka_server.domain.committed_offset import CommittedOffset

INT32_MAX = 2**31 - 1

Protocols = tuple[tuple[str, bytes], ...]
"""The protocols that a member supports with their opaque metadata, best first."""


@dataclass(slots=True, frozen=True)
class GroupLimits:
    """The broker's settings that a classic group obeys."""

    size_max: int = INT32_MAX
    """``group.max.size``: members that one group admits."""
    pending_members_max: int = 10_000
    """Ids handed out with MEMBER_ID_REQUIRED that have not come back; bounds what strangers make us remember."""
    member_bytes_max: int = 1_048_576
    """Bytes of metadata, or of assignment, that one member may make us keep. Kafka's bound is the largest record of its
    offsets topic, 1 MiB for the group as a whole by default, and it notices only when the leader syncs."""
    initial_rebalance_delay_ms: int = 0
    """``group.initial.rebalance.delay.ms``: how long an empty group waits for more members after its first one."""
    new_member_join_timeout_ms: int = 300_000
    """How long a new member may wait in its first JoinGroup; it knows no member id yet and cannot send heartbeats."""


# ---- what members ask and are answered -----------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class JoinCommand:
    """A member wants to be in the next generation."""

    member_id: str
    """Empty when the client has none yet."""
    instance_id: str | None
    """``group.instance.id`` of a static member (KIP-345)."""
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: Protocols
    reason: str = ""
    """Why the client joins, in its own words (KIP-800)."""
    requires_known_id: bool = True
    """JoinGroup v4+: a new dynamic member is first sent away with an id of its own (KIP-394)."""
    can_skip_assignment: bool = True
    """JoinGroup v9+: a static leader can be told that it leads and need not assign (KIP-814)."""
    fresh_id: str = ""
    """Random text that makes a new member id unique; randomness comes in from outside, like time."""


@dataclass(slots=True, frozen=True)
class JoinedMember:
    """One line of the list that the leader gets to compute the assignment from."""

    member_id: str
    instance_id: str | None
    metadata: bytes


@dataclass(slots=True, frozen=True)
class JoinResult:
    error_code: int = 0
    member_id: str = ""
    generation: int = -1
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader_id: str = ""
    skip_assignment: bool = False
    members: tuple[JoinedMember, ...] = ()
    """Everyone, for the leader; empty for the others."""


@dataclass(slots=True, frozen=True)
class SyncCommand:
    """A member asks for its assignment; the leader brings everybody's."""

    member_id: str
    instance_id: str | None
    generation: int
    protocol_type: str | None
    protocol_name: str | None
    assignments: dict[str, bytes]


@dataclass(slots=True, frozen=True)
class SyncResult:
    error_code: int = 0
    protocol_type: str | None = None
    protocol_name: str | None = None
    assignment: bytes = b""


@dataclass(slots=True, frozen=True)
class LeavingMember:
    """Who leaves: a member id, or for an administrator only the instance id of a static member."""

    member_id: str
    instance_id: str | None = None
    reason: str | None = None


JoinAnswer = Callable[[JoinResult], None]
SyncAnswer = Callable[[SyncResult], None]

# ---- what a group tells the world ----------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class StoreGroup:
    """The group's snapshot has to be stored; the answers that follow rest on it and leave afterwards."""


@dataclass(slots=True, frozen=True)
class AnswerJoin:
    answer: JoinAnswer
    result: JoinResult


@dataclass(slots=True, frozen=True)
class AnswerSync:
    answer: SyncAnswer
    result: SyncResult


@dataclass(slots=True, frozen=True)
class RebalanceStarted:
    reason: str


@dataclass(slots=True, frozen=True)
class GenerationFormed:
    """Everybody who came in time is in; the leader now assigns."""

    generation: int
    member_count: int
    leader_id: str
    protocol_name: str
    reason: str


@dataclass(slots=True, frozen=True)
class GroupStabilized:
    """The leader's assignment is in place."""

    generation: int


@dataclass(slots=True, frozen=True)
class GroupEmptied:
    generation: int
    reason: str


@dataclass(slots=True, frozen=True)
class MembersRemoved:
    member_ids: tuple[str, ...]
    why: str


Effect = (
    StoreGroup
    | AnswerJoin
    | AnswerSync
    | RebalanceStarted
    | GenerationFormed
    | GroupStabilized
    | GroupEmptied
    | MembersRemoved
)
Effects = Sequence[Effect]

# ---- what every kind of group can say ------------------------------------------------------------------------------


class Group(Protocol):
    """What offsets and listings need to know of a group, whichever protocol its members speak."""

    @property
    def group_id(self) -> str: ...

    @property
    def state_name(self) -> str:
        """As ListGroups and DescribeGroups spell it."""

    def validate_offset_commit(
        self, member_id: str, instance_id: str | None, generation: int, now_ms: int, *, transactional: bool = False
    ) -> None:
        """Raises the DomainError that a commit by that member in that generation deserves."""

    def validate_offset_delete(self) -> None:
        """Raises NonEmptyGroup when somebody may be using the offsets and we cannot tell which."""

    @property
    def is_abandoned(self) -> bool:
        """Nobody is in, and nobody was invited: without offsets there is no reason to keep the group."""

    def is_subscribed_to(self, topic: str) -> bool:
        """Whether a member reads that topic; True also when the group is in use and we cannot tell."""

    def retention_start_ms(self, offset: CommittedOffset) -> int | None:
        """Since when the offset counts as unused; None while it must not expire."""
