"""DescribeTopicPartitions v0: the partitions of topics, page by page (KIP-966).

Shapes: request - topic names (none for all), how many partitions at most, and a cursor; response - topics sorted by
name with their partitions, and the cursor of the next page or none.
Behaviour: a page ends after ``response_partition_limit`` partitions, at most max.request.partition.size.limit and at
least one; the cursor names the first partition that did not fit. Names before the cursor's topic are passed over; when
names are given the cursor's must be among them, else, or when its partition is negative, every topic answers
INVALID_REQUEST. Unknown topics are told when they were asked for by name and cost nothing of the limit.
Known gaps: none. There are never eligible leader replicas besides the one replica, so both lists are empty.
"""

from __future__ import annotations

from kafka_protocol.messages.describe_topic_partitions import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsRequestCursor,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponseCursor,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)

from kafka_server.application.config_service import ConfigService
from kafka_server.application.context import RequestContext
from kafka_server.application.topic_service import TopicService
from kafka_server.domain.access import TOPIC_OPERATIONS, operation_bits
from kafka_server.domain.errors import DomainError, InvalidRequest
from kafka_server.domain.topic import Topic
from kafka_server.domain.topic_name import is_internal


class DescribeTopicPartitionsHandlers:
    """Answers DescribeTopicPartitions."""

    __slots__ = ("_configs", "_nodes", "_topics")

    def __init__(self, node_id: int, topics: TopicService, configs: ConfigService) -> None:
        self._nodes = [node_id]
        self._topics = topics
        self._configs = configs

    def describe_topic_partitions(
        self, context: RequestContext, request: DescribeTopicPartitionsRequest
    ) -> DescribeTopicPartitionsResponse:
        cursor = request.cursor
        wants_all = not request.topics
        names = {topic.name for topic in (self._topics.all() if wants_all else request.topics)}
        if cursor is not None and (cursor.partition_index < 0 or not (wants_all or cursor.topic_name in names)):
            return DescribeTopicPartitionsResponse(
                topics=[
                    DescribeTopicPartitionsResponseTopic(error_code=InvalidRequest.code, name=topic.name)
                    for topic in request.topics
                ]
            )
        return self._page(sorted(names), cursor, request.response_partition_limit)

    def _page(
        self, names: list[str], cursor: DescribeTopicPartitionsRequestCursor | None, limit: int
    ) -> DescribeTopicPartitionsResponse:
        room = max(min(limit, self._configs.integer("max.request.partition.size.limit")), 1)
        response = DescribeTopicPartitionsResponse()
        for name in names:
            if cursor is not None and name < cursor.topic_name:
                continue
            if room == 0:
                response.next_cursor = DescribeTopicPartitionsResponseCursor(topic_name=name, partition_index=0)
                break
            start = cursor.partition_index if cursor is not None and name == cursor.topic_name else 0
            try:
                topic = self._topics.get(name)
            except DomainError as error:
                response.topics.append(_unknown(name, error.code))
                continue
            end = min(topic.partition_count, start + room)
            response.topics.append(self._describe(topic, start, end))
            if end < topic.partition_count:
                response.next_cursor = DescribeTopicPartitionsResponseCursor(topic_name=name, partition_index=end)
                break
            room -= max(end - start, 0)
        return response

    def _describe(self, topic: Topic, start: int, end: int) -> DescribeTopicPartitionsResponseTopic:
        nodes = self._nodes
        partitions = []
        for index in range(start, end):
            partition = topic.partition(index)
            partitions.append(
                DescribeTopicPartitionsResponsePartition(
                    partition_index=index,
                    # A partition that is still opening has no leader yet.
                    leader_id=nodes[0] if partition is not None else -1,
                    leader_epoch=partition.leader_epoch if partition is not None else -1,
                    replica_nodes=nodes,
                    isr_nodes=nodes,
                    eligible_leader_replicas=[],
                    last_known_elr=[],
                )
            )
        return DescribeTopicPartitionsResponseTopic(
            name=topic.name,
            topic_id=topic.topic_id,
            is_internal=topic.is_internal,
            partitions=partitions,
            topic_authorized_operations=operation_bits(TOPIC_OPERATIONS),
        )


def _unknown(name: str, error_code: int) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(
        error_code=error_code,
        name=name,
        is_internal=is_internal(name),
        topic_authorized_operations=operation_bits(TOPIC_OPERATIONS),
    )
