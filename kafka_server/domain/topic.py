"""Owns: the Topic entity - name, id, partitions and the configured values its data obeys.
Must never know: where configs come from, how names are checked, who stores the entity, the wire.

A topic has two identities: the name that people use and a 16-byte id that never comes back (KIP-516). A topic that is
deleted and created again keeps its name and gets a new id, so that a client with old metadata cannot write into it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kafka_server.domain.partition import Partition

ZERO_ID = bytes(16)
"""Stands for "no topic id" on the wire; no topic ever has it."""
_TIME_MAX = 2**63 - 1


@dataclass(slots=True, frozen=True)
class TopicSettings:
    """The effective topic configs that the data plane reads, already parsed; the defaults are Apache Kafka's.

    A change of config replaces ``Topic.settings`` as a whole; nothing keeps a copy, so the next batch obeys it.
    """

    max_message_bytes: int = 1_048_588
    """``max.message.bytes``: bound for the size of one batch as it arrives, compressed."""
    compression_type: str = "producer"
    """``compression.type``: ``producer`` keeps the client's codec, anything else names the codec to store."""
    compression_gzip_level: int = -1
    compression_lz4_level: int = 9
    compression_zstd_level: int = 3
    log_append_time: bool = False
    """``message.timestamp.type`` is ``LogAppendTime``: the broker's clock stamps every batch."""
    message_timestamp_before_ms_max: int = _TIME_MAX
    """``message.timestamp.before.max.ms``: how far a record's time may lie behind the broker's clock."""
    message_timestamp_after_ms_max: int = 3_600_000
    """``message.timestamp.after.max.ms``: how far a record's time may lie ahead of the broker's clock."""
    cleanup_compact: bool = False
    """``cleanup.policy`` contains ``compact``: keys are required, because the newest record per key is kept."""
    cleanup_delete: bool = True
    """``cleanup.policy`` contains ``delete``: retention by time and size applies."""
    retention_ms: int = 604_800_000
    """``retention.ms``; -1 keeps records for ever."""
    retention_bytes: int = -1
    """``retention.bytes`` per partition; -1 is without bound."""
    segment_bytes: int = 1_073_741_824
    """``segment.bytes``: also the largest batch that can be stored at all."""
    segment_ms: int = 604_800_000
    """``segment.ms``: a segment whose first record is older than this is followed by a new one."""
    segment_index_bytes: int = 10_485_760
    """``segment.index.bytes``: a segment whose index is as large as this is followed by a new one."""
    index_interval_bytes: int = 4096
    """``index.interval.bytes``: bytes between two entries of the sparse index."""
    flush_messages: int = _TIME_MAX
    """``flush.messages``: under ``flush=os``, how many records may be written before one sync. The batch that reaches
    it is answered when it is synced."""
    flush_ms: int = _TIME_MAX
    """``flush.ms``: under ``flush=os``, how long a record may be unsynced."""
    file_delete_delay_ms: int = 60_000
    """``file.delete.delay.ms``: how long a dropped file stays on disk under its ``.deleted`` name."""
    min_cleanable_dirty_ratio: float = 0.5
    """``min.cleanable.dirty.ratio``: share of records not compacted yet at which compaction is worth a pass."""
    delete_retention_ms: int = 86_400_000
    """``delete.retention.ms``: how long a tombstone stays after the first pass that met it."""
    min_compaction_lag_ms: int = 0
    """``min.compaction.lag.ms``: how long every record stays at least."""
    max_compaction_lag_ms: int = _TIME_MAX
    """``max.compaction.lag.ms``: how long a record may go uncompacted at most."""
    takes_batches_as_they_come: bool = field(init=False)
    """True when nothing in these settings makes the broker look into the records of a batch, or change its header
    behind the checksum. Derived; the hot path asks for nothing else."""

    def __post_init__(self) -> None:
        as_they_come = (
            self.compression_type == "producer"
            and not self.log_append_time
            and not self.cleanup_compact
            and self.message_timestamp_before_ms_max >= _TIME_MAX
        )
        object.__setattr__(self, "takes_batches_as_they_come", as_they_come)

    @property
    def syncs_by_count(self) -> bool:
        """Whether ``flush.messages`` asks for more than the flush policy of the broker."""
        return self.flush_messages < _TIME_MAX


@dataclass(slots=True)
class Topic:
    """A topic that this broker hosts.

    ``partition_count`` is the fact that is stored; ``partitions`` holds one domain object per partition once their
    logs are open, in the order of their index.
    """

    name: str
    topic_id: bytes
    partition_count: int
    settings: TopicSettings = field(default_factory=TopicSettings)
    configs: dict[str, str] = field(default_factory=dict)
    """Topic-level overrides exactly as set by the user; ``settings`` is derived from them and the broker's defaults."""
    is_internal: bool = False
    partitions: list[Partition] = field(default_factory=list)

    def partition(self, index: int) -> Partition | None:
        """The partition with that index, or None; a negative index is never a partition."""
        if 0 <= index < len(self.partitions):
            return self.partitions[index]
        return None
