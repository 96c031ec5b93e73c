"""Owns: how a decided transaction reaches its partitions: markers in logs, committed offsets made visible or dropped.
Must never know: who decides, transactional ids, the wire.

Offsets that a transaction commits count as partitions of the topic ``__consumer_offsets``, as they are in Apache Kafka.
This broker keeps offsets elsewhere and has no such topic, but clients and tools see these partitions in the
description of a transaction, and an administrator may end a hanging transaction there.
"""

from __future__ import annotations

from collections.abc import Awaitable

from kafka_server.application.offset_manager import OffsetManager
from kafka_server.application.producer_service import ProducerService
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.domain.control_record import Marker
from kafka_server.domain.errors import UnknownTopicOrPartition
from kafka_server.domain.transaction import Protocol, TopicPartition

OFFSETS_TOPIC = "__consumer_offsets"
_HASH_MASK = 0xFFFF_FFFF
_INT_MIN = -(2**31)


class TransactionMarkers:
    """Ends a producer's transaction in single partitions."""

    __slots__ = ("_offsets", "_offsets_partitions", "_producer", "_replicas")

    def __init__(
        self, replicas: ReplicaManager, producer: ProducerService, offsets: OffsetManager, offsets_partitions: int = 50
    ) -> None:
        self._replicas = replicas
        self._producer = producer
        self._offsets = offsets
        self._offsets_partitions = offsets_partitions
        """``offsets.topic.num.partitions``"""

    def partition_of_group(self, group_id: str) -> TopicPartition:
        """What stands for the offsets of that group in a transaction."""
        return OFFSETS_TOPIC, placed(java_hash(group_id)) % self._offsets_partitions

    def write(self, marker: Marker, partition: TopicPartition, protocol: Protocol) -> Awaitable[None] | None:
        """Ends the transaction in that partition; done, or safe when the awaitable is.

        Raises UnknownTopicOrPartition, InvalidProducerEpoch, TransactionCoordinatorFenced or StorageError, the last
        one also out of the awaitable.
        """
        topic, index = partition
        if topic == OFFSETS_TOPIC:
            if not 0 <= index < self._offsets_partitions:
                raise UnknownTopicOrPartition
            return self._offsets.end_transaction(
                marker.producer_id, marker.is_commit, lambda group_id: self.partition_of_group(group_id)[1] == index
            )
        return self._producer.end_transaction(self._replicas.find(topic, index), marker, protocol)

    def write_own(self, marker: Marker, partition: TopicPartition, protocol: Protocol) -> Awaitable[None] | None:
        """``write`` for the coordinator of this broker, which a partition does not take for an older one.

        Coordinators are counted in Apache Kafka, where they move from broker to broker, and a partition refuses markers
        that come from before the last move. This broker has one coordinator that nobody replaces. But a partition can
        know of others: it came from Apache Kafka, or an administrator wrote a marker. So ours counts as far as they do.
        """
        topic, index = partition
        if topic != OFFSETS_TOPIC:
            known = self._replicas.find(topic, index).partition.producers.get(marker.producer_id)
            if known is not None and known.coordinator_epoch > marker.coordinator_epoch:
                marker = marker._replace(coordinator_epoch=known.coordinator_epoch)
        return self.write(marker, partition, protocol)

    def wake(self) -> None:
        """Wakes the readers that waited for what was ended. Called once, after the last marker."""
        self._producer.wake()


def placed(java_hash: int) -> int:
    """What Kafka takes the remainder of: the hash without its sign; 0 for the one number that has no counterpart."""
    return 0 if java_hash == _INT_MIN else abs(java_hash)


def java_hash(text: str) -> int:
    """``String.hashCode`` of Java: Kafka places groups by it."""
    code = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for at in range(0, len(units), 2):
        code = (31 * code + (units[at] << 8 | units[at + 1])) & _HASH_MASK
    return code - (1 << 32) if code >> 31 else code
