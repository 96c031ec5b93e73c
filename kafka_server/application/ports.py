"""Owns: what the services need from the world, as small protocols in domain terms.
Must never know: who implements them.

Each port is written for its consumer and has at most six methods. Every adapter of a port passes the same suite in
``tests/ports``. Sections: time; log storage; topics; configs; credentials and quotas;
groups and offsets; transactions; addresses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # protocols need the names only; a start should not pay for what it does not use
    from kafka_server.application.context import RequestContext
    from kafka_server.application.stored_records import Records
    from kafka_server.domain.client_quota import Entity
    from kafka_server.domain.committed_offset import CommittedOffset
    from kafka_server.domain.config_def import ResourceType
    from kafka_server.domain.group_snapshot import AnySnapshot
    from kafka_server.domain.partition import Partition
    from kafka_server.domain.scram import ScramCredential, ScramMechanism
    from kafka_server.domain.topic import Topic
    from kafka_server.domain.transaction import Transaction

# ---- time ----------------------------------------------------------------------------------------------------------


class Timer(Protocol):
    """A pending call; ``cancel`` is idempotent and safe after the call ran."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Time as the services see it; the virtual clock in ``kafka_server.testing`` makes tests instant and exact."""

    def now_ms(self) -> int:
        """Wall clock, milliseconds since the epoch; jumps when the administrator or NTP sets it."""

    def steady_ms(self) -> int:
        """A clock that never jumps, from an arbitrary zero; for time-outs that must not end by a change of the date."""

    def call_later(self, delay_ms: float, callback: Callable[[], None]) -> Timer:
        """Runs ``callback`` once, on the event loop, ``delay_ms`` milliseconds from now."""


# ---- log storage ---------------------------------------------------------------------------------------------------

Buffer = bytes | bytearray | memoryview


class PartitionLog(Protocol):
    """The stored bytes of one partition: v2 batches in ascending order of offset, possibly with gaps between them.

    It does not know what is in a batch beyond the facts that ``append`` tells. A method that returns
    ``X | Awaitable[X]`` returns X when no waiting is needed, so that the hot path stays free of tasks; an adapter
    that must read cold data or call fsync returns an awaitable instead.
    """

    def append(
        self, head: Buffer, body: Buffer, base_offset: int, last_offset: int, max_timestamp: int
    ) -> Awaitable[None] | None:
        """Writes one batch, given in two pieces (``head`` was rebuilt, ``body`` is the client's), in one go.

        The bytes can be read when the call returns. They are as durable as the flush policy promises when the
        awaitable is done, or at once when there is none; it may be shared with others, so it must not be cancelled.
        Keeps neither buffer. Raises StorageError when nothing was written; the log is unchanged then.
        """

    def read(self, offset: int, size_max: int, end_offset: int) -> Records | Awaitable[Records]:
        """Whole batches, from the one that holds ``offset`` (or the next one after it) up to ``size_max`` bytes.

        The first batch comes even when it is larger than ``size_max``. A batch whose last offset is at or above
        ``end_offset`` stays back, and so does everything after it. Empty when there is none. The bytes never
        change afterwards. Raises StorageError, at once or out of the awaitable.
        """

    def find_batch(
        self, timestamp_ms: int | None, start_offset: int, end_offset: int
    ) -> memoryview | Awaitable[memoryview]:
        """The first batch that ends within [``start_offset``, ``end_offset``) and whose largest timestamp is at
        least ``timestamp_ms``; with None the first among those with the largest timestamp of all. Empty when there
        is none.
        """

    def note_start(self, offset: int) -> Awaitable[None] | None:
        """Writes down that the log is to start at ``offset``, before anybody is told. Done when it survives a crash, at
        once when there is nothing to wait for. Raises StorageError out of the awaitable, which is shared."""

    def truncate_prefix(self, offset: int) -> Awaitable[None] | None:
        """Forgets what lies wholly below ``offset``, as far as its layout allows; what is left may still be read."""

    def retention_offset(self, keep_bytes: int, keep_after_ms: int, end_offset: int) -> int:
        """Where the log may start under retention: behind the oldest batches that can go.

        A batch can go when at least ``keep_bytes`` remain without it (-1: size is no reason), or when its largest
        timestamp is below ``keep_after_ms`` (-1: age is no reason), and it ends below ``end_offset``. The log may
        decide in coarser pieces than batches. 0 when nothing can go.
        """

    def size_bytes(self) -> int:
        """Bytes held."""


class Compression(Protocol):
    """The codecs of the record formats; numbers as in ``record_batch.CODEC_NAMES``."""

    def compress(self, codec: int, block: Buffer, level: int | None = None) -> bytes:
        """The block as message format v2 wants it; ``level`` None stands for the codec's default."""

    def decompress(self, codec: int, block: Buffer) -> bytes:
        """The block before compression. Raises InvalidRecord when it is broken, or when what comes out exceeds the
        bound by bytes or by ratio (a decompression bomb).
        """

    def compress_legacy(self, codec: int, block: Buffer) -> bytes:
        """As message format v0 wants it: its lz4 frames carry a header checksum over too many bytes (KAFKA-3160)."""

    def decompress_legacy(self, codec: int, block: Buffer) -> bytes:
        """As message format v0 writes it: takes an lz4 frame whatever its header checksum says."""


class ProducerIdRepository(Protocol):
    """Gives out producer ids; none is ever given twice, also not after a crash."""

    async def reserve(self, count: int) -> int:
        """The first of ``count`` ids in a row that nobody had and nobody will get again."""


class LogRepository(Protocol):
    """Opens and removes the logs of partitions."""

    async def open(self, topic: Topic, partition: Partition) -> PartitionLog:
        """The log of that partition, created when there is none yet. What is stored is replayed into ``partition``
        (``restore``, then ``replay`` per batch), so that offsets, epochs and producers are as they were.
        Settings are read from ``topic.settings`` whenever they matter, because they may change.
        """

    async def remove(self, topic: Topic, partition: Partition) -> None:
        """Deletes that log for good; bytes that were handed out before stay readable."""

    def paths(self) -> Sequence[str]:
        """The folders that logs lie in; one name that stands for none when they lie in none."""

    def path_of(self, topic_name: str, index: int) -> str:
        """The one of ``paths`` where the open log of that partition lies."""

    def space(self, path: str) -> tuple[int, int]:
        """Bytes that the device of that folder has, and those that are left; -1 when nobody knows."""

    async def close(self) -> None:
        """Makes everything durable and marks the shutdown as clean."""


@dataclass(slots=True, frozen=True)
class Moving:
    """A partition on its way to another folder."""

    path: str
    size_bytes: int
    """What the copy has so far."""
    end_offset: int
    """Where the copy ends."""


class LogMover(Protocol):
    """Moves logs between the folders that ``LogRepository.paths`` tells, while they are written and read."""

    def move(self, topic_name: str, index: int, path: str) -> None:
        """Begins to move the open log of that partition there, in place of a move that is under way. To where it lies
        already, it only ends that one."""

    def moving(self) -> Mapping[tuple[str, int], Moving]:
        """What is on its way, by topic and index."""


# ---- topics ----------------------------------------------------------------------------------------------------------


class TopicRepository(Protocol):
    """The topics of this broker. Lookups answer at once from memory; what changes the store may have to wait for it.

    The same ``Topic`` object comes back from every lookup: it is the entity, not a copy of a row.
    """

    def get(self, name: str) -> Topic | None:
        """The topic with that name, or None."""

    def get_by_id(self, topic_id: bytes) -> Topic | None:
        """The topic with that 16-byte id, or None."""

    def all(self) -> Sequence[Topic]:
        """Every topic, sorted by name."""

    async def add(self, topic: Topic) -> None:
        """Stores a new topic. Raises TopicAlreadyExists when the name or the id is taken."""

    async def update(self, topic: Topic) -> None:
        """Stores the topic's partition count and configs as they are now. Raises UnknownTopicOrPartition."""

    async def remove(self, topic: Topic) -> None:
        """Forgets the topic. Raises UnknownTopicOrPartition when it is not stored."""


# ---- configs ---------------------------------------------------------------------------------------------------------


class ConfigRepository(Protocol):
    """Dynamic configs of brokers and groups, as texts. Those of topics are stored with their topic.

    A broker's name is its node id as text; the empty name stands for every broker.
    """

    def get(self, resource_type: ResourceType, name: str) -> Mapping[str, str]:
        """What is set for that resource; empty when nothing is."""

    def names(self, resource_type: ResourceType) -> Sequence[str]:
        """The resources of that type for which something is set, sorted."""

    async def put(self, resource_type: ResourceType, name: str, configs: Mapping[str, str]) -> None:
        """Replaces what is set for that resource; an empty mapping forgets it."""


class FeatureRepository(Protocol):
    """The levels of features that somebody set (KIP-584)."""

    def load(self) -> tuple[Mapping[str, int], int]:
        """Levels by name, and the epoch of the last change; 1 before the first."""

    async def put(self, levels: Mapping[str, int], epoch: int) -> None:
        """Stores these levels, with the epoch of the change; other features keep theirs."""


# ---- credentials and quotas ------------------------------------------------------------------------------------------


class ScramRepository(Protocol):
    """SCRAM credentials, one per user and mechanism. Lookups answer at once from memory."""

    def get(self, user: str, mechanism: ScramMechanism) -> ScramCredential | None:
        """What is stored for that user under that mechanism."""

    def users(self) -> Sequence[str]:
        """Who has a credential, sorted."""

    async def change(
        self,
        stored: Mapping[tuple[str, ScramMechanism], ScramCredential],
        deleted: Collection[tuple[str, ScramMechanism]],
    ) -> None:
        """Stores and deletes all of these or none; those that are not there need no deletion."""


class QuotaRepository(Protocol):
    """Client quotas by entity. Lookups answer at once from memory."""

    def all(self) -> Mapping[Entity, Mapping[str, float]]:
        """Every entity that has a quota, and its quotas by key; it shows later changes too."""

    async def put(self, entity: Entity, quotas: Mapping[str, float]) -> None:
        """Replaces what is set for that entity; an empty mapping forgets it."""


class Addresses(Protocol):
    """What names of hosts stand for."""

    async def resolve(self, name: str) -> str | None:
        """The address in the form in which connections tell theirs; None when the name stands for none."""


# ---- groups and offsets --------------------------------------------------------------------------------------------

PartitionKey = tuple[str, int]
"""Topic name and partition index."""


class GroupRepository(Protocol):
    """What of the groups survives a restart. Writes finish in the order in which they were asked for.

    A write is as durable as the adapter promises when its awaitable is done, or at once when there is none. Nobody is
    told of a generation before it is stored. Raises StorageError when nothing was written.
    """

    async def load(self) -> Sequence[AnySnapshot]:
        """Every group that is stored; called once, at start."""

    def save(self, group: AnySnapshot) -> Awaitable[None] | None:
        """Stores the group in place of what was stored under its id, be that a classic or a consumer group."""

    def delete(self, group_id: str) -> Awaitable[None] | None:
        """Forgets the group; one that is not stored is fine."""


class OffsetRepository(Protocol):
    """Committed offsets, with the same promises as GroupRepository. The offset manager keeps them all in memory.

    Offsets that belong to an open transaction are *staged* by its producer id until the transaction ends. None in the
    place of a staged offset says that a plain commit came later, which counts when the transaction commits.
    """

    async def load(self) -> Mapping[str, Mapping[PartitionKey, CommittedOffset]]:
        """Every offset that is stored, by group id; called once, at start."""

    async def load_staged(self) -> Mapping[int, Mapping[str, Mapping[PartitionKey, CommittedOffset | None]]]:
        """Every staged offset, by producer id and group id; called once, at start."""

    def commit(self, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset]) -> Awaitable[None] | None:
        """Stores all of these offsets or none."""

    def stage(
        self, producer_id: int, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset | None]
    ) -> Awaitable[None] | None:
        """Stages all of these offsets or none."""

    def settle(
        self, producer_id: int, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset]
    ) -> Awaitable[None] | None:
        """In one go, commits these offsets of the group and forgets all that the producer has staged for it."""

    def delete(self, group_id: str, partitions: Collection[PartitionKey]) -> Awaitable[None] | None:
        """Forgets all of these offsets or none, staged ones too; those that are not stored are fine."""


# ---- transactions --------------------------------------------------------------------------------------------------


class TransactionRepository(Protocol):
    """What is known of transactional ids, with the same promises as GroupRepository. Writes finish in the order in
    which they were asked for, so a state that is stored implies that all before it were.
    """

    async def load(self) -> Sequence[Transaction]:
        """Every transactional id that is stored; called once, at start."""

    def save(self, transaction: Transaction) -> Awaitable[None] | None:
        """Stores the transaction in place of what was stored under its id."""

    def delete(self, transactional_id: str) -> Awaitable[None] | None:
        """Forgets the id; one that is not stored is fine."""


class Patterns(Protocol):
    """Regular expressions that clients send."""

    def compile(self, pattern: str) -> Callable[[str], bool]:
        """Tells of a text whether the expression matches all of it. Raises InvalidRegularExpression."""


# ---- addresses -----------------------------------------------------------------------------------------------------


class AdvertisedListeners(Protocol):
    """Which address a client is told to come back to (Metadata, FindCoordinator, DescribeCluster)."""

    def address_for(self, context: RequestContext) -> tuple[str, int]:
        """Host and port for the client of this request: ``advertised.listeners`` of the listener that it came in by,
        else the very address that it reached. That default is right behind no proxy and needs no configuration."""
