"""Owns: the vocabulary of groups - what members ask, what they are answered, what a group tells the world.
Must never know: how a group decides (classic_group.py), the wire, who waits for an answer and how.

A group never calls out. Each operation returns effects, in the order in which they have to happen; the coordinator in
the application layer carries them out. A member that has to wait leaves an ``answer`` callback with the group and gets
it called, later, through an ``AnswerJoin`` or ``AnswerSync`` effect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.errors import UnsupportedAssignor

INT32_MAX = 2**31 - 1
CLASSIC = "classic"
CONSUMER = "consumer"
"""The types of groups, as ListGroups spells them."""

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


@dataclass(slots=True, frozen=True)
class ConsumerLimits:
    """The settings that a consumer group obeys; some can be set for a single group, and change while it lives."""

    size_max: int = INT32_MAX
    """``group.consumer.max.size``"""
    session_timeout_ms: int = 45_000
    heartbeat_interval_ms: int = 5_000
    assignment_interval_ms: int = 1_000
    """Shortest time between two assignments, so that a crowd of newcomers costs one."""
    regex_refresh_interval_ms: int = 600_000
    assignors: tuple[str, ...] = ("uniform", "range")
    """The first one counts when no member prefers another."""
    may_upgrade: bool = True
    """``group.consumer.migration.policy``: a classic group with members may become a consumer group ..."""
    may_downgrade: bool = True
    """... and the other way round; with neither, classic members cannot join a consumer group at all."""
    classic: GroupLimits = field(default_factory=GroupLimits)
    """What the group obeys once it was downgraded."""

    def check_assignor(self, name: str | None) -> None:
        """Raises UnsupportedAssignor for one that is not among ``assignors``."""
        if name is not None and name not in self.assignors:
            raise UnsupportedAssignor(f"There is no assignor {name}; there are: {', '.join(self.assignors)}")


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


@dataclass(slots=True, frozen=True)
class HeartbeatCommand:
    """ConsumerGroupHeartbeat: a member of a consumer group (KIP-848) says what is new with it. None: nothing is."""

    member_id: str
    epoch: int
    """0 to join, -1 to leave, -2 to be away for a while (static members), else the epoch that it is in."""
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    rebalance_timeout_ms: int | None = None
    topics: frozenset[str] | None = None
    pattern: str | None = None
    assignor: str | None = None
    owned: Mapping[bytes, frozenset[int]] | None = None


@dataclass(slots=True, frozen=True)
class HeartbeatResult:
    error_code: int = 0
    error_message: str | None = None
    member_id: str | None = None
    epoch: int = 0
    heartbeat_interval_ms: int = 0
    assigned: Mapping[bytes, Collection[int]] | None = None
    """What the member may use from now on; None when that is as it was."""


JoinAnswer = Callable[[JoinResult], None]
SyncAnswer = Callable[[SyncResult], None]
HeartbeatAnswer = Callable[[HeartbeatResult], None]

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
class AnswerHeartbeat:
    answer: HeartbeatAnswer
    result: HeartbeatResult


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
class TargetAssigned:
    """The coordinator computed who should have what in a consumer group (KIP-848)."""

    epoch: int
    assignor: str
    member_count: int


@dataclass(slots=True, frozen=True)
class DowngradeDue:
    """Only members are left that speak the classic protocol: the group has to go on as a classic one.

    The consumer group itself is unchanged; who replaces it leaves out ``without``.
    """

    without: frozenset[str]
    reason: str | None
    """Why the classic group has to rebalance at once; None when its members have what they should."""


@dataclass(slots=True, frozen=True)
class GroupStabilized:
    """Every member has what it should have."""

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
    | AnswerHeartbeat
    | RebalanceStarted
    | GenerationFormed
    | TargetAssigned
    | DowngradeDue
    | GroupStabilized
    | GroupEmptied
    | MembersRemoved
)
Effects = Sequence[Effect]

# ---- what every kind of group can say ------------------------------------------------------------------------------


PartitionCheck = Callable[[bytes, int], None]
"""Raises the DomainError that a commit for this partition (topic id, index) deserves."""


class Group(Protocol):
    """What offsets and listings need to know of a group, whichever protocol its members speak."""

    @property
    def group_id(self) -> str: ...

    @property
    def state_name(self) -> str:
        """As ListGroups and DescribeGroups spell it."""

    @property
    def type_name(self) -> str:
        """``classic`` or ``consumer``, as ListGroups spells it."""

    @property
    def protocol_type(self) -> str:
        """What the members are; ``consumer`` almost always, empty for offsets without members."""

    @property
    def member_count(self) -> int: ...

    def validate_offset_commit(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        now_ms: int,
        *,
        transactional: bool = False,
        knows_epochs: bool = True,
    ) -> PartitionCheck | None:
        """Raises the DomainError that a commit by that member in that generation (or member epoch) deserves.

        When that depends on the partition, it returns the check that has to be made for each.
        """

    def validate_offset_fetch(self, member_id: str | None, epoch: int) -> None:
        """Raises the DomainError that a member deserves who asks for offsets with an epoch (OffsetFetch v9+)."""

    def validate_offset_delete(self) -> None:
        """Raises NonEmptyGroup when somebody may be using the offsets and we cannot tell which."""

    @property
    def is_abandoned(self) -> bool:
        """Nobody is in, and nobody was invited: without offsets there is no reason to keep the group."""

    def is_subscribed_to(self, topic: str) -> bool:
        """Whether a member reads that topic; True also when the group is in use and we cannot tell."""

    def retention_start_ms(self, offset: CommittedOffset) -> int | None:
        """Since when the offset counts as unused; None while it must not expire."""
