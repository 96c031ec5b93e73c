"""DeleteRecords (key 21), v0-v2: moves the log start of partitions up, so that what lies below is gone.

Behaviour
    Offset -1 stands for the high watermark. The answer is the low watermark: the first offset that is left. An offset
    above the high watermark is OFFSET_OUT_OF_RANGE; a topic that only compacts answers POLICY_VIOLATION; an internal
    topic INVALID_TOPIC_EXCEPTION. An offset below the log start changes nothing and succeeds.

Version notes
    v1 and v2 change the encoding only.

Known gaps
    timeout_ms is not needed: nothing waits for other replicas.
"""

from __future__ import annotations

from kafka_protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.application.retention_service import RetentionService
from kafka_server.domain.errors import DomainError


class DeleteRecordsHandlers:
    """DeleteRecords."""

    __slots__ = ("_replicas", "_retention")

    def __init__(self, replicas: ReplicaManager, retention: RetentionService) -> None:
        self._replicas = replicas
        self._retention = retention

    async def delete_records(self, context: RequestContext, request: DeleteRecordsRequest) -> DeleteRecordsResponse:
        topics = []
        for topic in request.topics:
            results = [await self._delete(topic.name, partition) for partition in topic.partitions]
            topics.append(DeleteRecordsTopicResult(topic.name, results))
        return DeleteRecordsResponse(topics=topics)

    async def _delete(self, topic: str, partition: DeleteRecordsPartition) -> DeleteRecordsPartitionResult:
        index = partition.partition_index
        try:
            replica = self._replicas.find(topic, index)
            low_watermark = await self._retention.delete_records(replica, partition.offset)
        except DomainError as error:
            return DeleteRecordsPartitionResult(partition_index=index, low_watermark=-1, error_code=error.code)
        return DeleteRecordsPartitionResult(partition_index=index, low_watermark=low_watermark)
