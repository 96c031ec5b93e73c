"""ListOffsets (key 2), v0-v11, and OffsetForLeaderEpoch (key 23), v0-v4: where to start reading.

Behaviour
    ListOffsets answers -1 (latest), -2 (earliest) and times for each partition. Latest is the high watermark, or the
    last stable offset under read_committed. A time finds the first record at or after it, inside its batch; -1 as the
    offset says that there is none. A partition that is named twice is answered with INVALID_REQUEST.
    OffsetForLeaderEpoch says where the records of a leader epoch end, which tells a client whether its log and ours
    have parted (KIP-279, KIP-320).

Version notes
    ListOffsets v0    answers a list of offsets per partition instead of one offset with its time.
    v2      isolation level.          v4   leader epochs, checked and returned.
    v7      -3, the record with the largest time (KIP-734).       v8   -4, the first offset that is local (KIP-405).
    v9      -5, the last offset in the remote tier (KIP-1005).    v11  -6, the first that waits to go there (KIP-1023).
            There is no remote tier here: -4 equals -2, and -5 and -6 find nothing. Below the version that brought
            it, such a time is answered with UNSUPPORTED_VERSION.
    v10     timeout_ms is for remote tiers; nothing waits here.
    OffsetForLeaderEpoch v1 answers the epoch found, v2 checks the client's current epoch, v3 has replica_id.

Known gaps
    v0 with a time works on segments in Kafka; here the whole log counts as one.
"""

from __future__ import annotations

from kafka_protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from kafka_protocol.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.offset_service import (
    EARLIEST,
    EARLIEST_LOCAL,
    EARLIEST_PENDING_UPLOAD,
    LATEST_TIERED,
    MAX_TIMESTAMP,
    OffsetService,
)
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.domain.errors import DomainError, InvalidRequest, UnsupportedVersion

_FIRST_VERSION_WITH_EPOCH = 4
_FIRST_VERSION_OF = {MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}


class OffsetHandlers:
    """ListOffsets and OffsetForLeaderEpoch."""

    __slots__ = ("_offsets", "_replicas")

    def __init__(self, replicas: ReplicaManager, offsets: OffsetService) -> None:
        self._replicas = replicas
        self._offsets = offsets

    async def list_offsets(self, context: RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse:
        seen: set[tuple[str, int]] = set()
        repeated: set[tuple[str, int]] = set()
        for topic in request.topics:
            for partition in topic.partitions:
                key = (topic.name, partition.partition_index)
                (repeated if key in seen else seen).add(key)
        topics = []
        for topic in request.topics:
            answers = []
            for partition in topic.partitions:
                is_repeated = (topic.name, partition.partition_index) in repeated
                answers.append(await self._find(context.api_version, request, topic.name, partition, is_repeated))
            topics.append(ListOffsetsTopicResponse(topic.name, answers))
        return ListOffsetsResponse(topics=topics)

    async def _find(
        self, version: int, request: ListOffsetsRequest, topic: str, partition: ListOffsetsPartition, is_repeated: bool
    ) -> ListOffsetsPartitionResponse:
        answer = ListOffsetsPartitionResponse(partition_index=partition.partition_index)
        timestamp = partition.timestamp
        try:
            if is_repeated and version > 0:
                raise InvalidRequest("The partition is named twice")
            if timestamp < EARLIEST and version < _FIRST_VERSION_OF.get(timestamp, version + 1):
                raise UnsupportedVersion(f"Timestamp {timestamp} has no meaning in ListOffsets v{version}")
            replica = self._replicas.find(topic, partition.partition_index)
            if version == 0:
                answer.old_style_offsets = await self._offsets.offsets_before(
                    replica, timestamp, partition.max_num_offsets
                )
                return answer
            found = await self._offsets.find(
                replica, timestamp, request.isolation_level == 1, partition.current_leader_epoch
            )
        except DomainError as error:
            answer.error_code = error.code
            return answer
        answer.offset, answer.timestamp, leader_epoch = found
        if version >= _FIRST_VERSION_WITH_EPOCH:  # Not ignorable: older clients would not notice that it is missing.
            answer.leader_epoch = leader_epoch
        return answer

    def offset_for_leader_epoch(
        self, context: RequestContext, request: OffsetForLeaderEpochRequest
    ) -> OffsetForLeaderEpochResponse:
        return OffsetForLeaderEpochResponse(
            topics=[
                OffsetForLeaderTopicResult(
                    topic.topic, [self._end_of_epoch(topic.topic, partition) for partition in topic.partitions]
                )
                for topic in request.topics
            ]
        )

    def _end_of_epoch(self, topic: str, partition: OffsetForLeaderPartition) -> EpochEndOffset:
        try:
            replica = self._replicas.find(topic, partition.partition)
            end = self._offsets.end_of_epoch(replica, partition.leader_epoch, partition.current_leader_epoch)
        except DomainError as error:
            return EpochEndOffset(error_code=error.code, partition=partition.partition)
        return EpochEndOffset(partition=partition.partition, leader_epoch=end.epoch, end_offset=end.end_offset)
