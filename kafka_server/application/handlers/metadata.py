"""Metadata v0-v13: the brokers with their addresses, and the partitions of topics with their leaders.

Shapes: request - topics by name or by id, and whether missing ones may be created; response - brokers, controller,
cluster id, and per topic its id, partitions, leaders and replicas.
Behaviour: topics come back in the order of the request, each once; all topics come sorted by name. This broker leads
every partition, is its only replica, and is the controller. The address is the one of the listener that the client
came in by. A topic that is missing is created when the client and auto.create.topics.enable both allow it, and is
described at once - Apache Kafka answers UNKNOWN_TOPIC_OR_PARTITION first and lets the client ask again.
Versions: v0 takes an empty list for "all topics"; v1+ null means all and empty none. v4+ the client may forbid
creation. v8-v10 operations that are allowed on the cluster, v8+ on topics, when asked for (KIP-430). v10+ topic ids
are told; v12+ topics may be asked for by id, and once one is, entries by name are passed over. Before v12 an id or a
null name is INVALID_REQUEST for every topic.
Known gaps: REBOOTSTRAP_REQUIRED (v13) is never sent. Internal topics: see ``topic_service``.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Sequence

from kafka_protocol.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

from kafka_server.application.cluster import Cluster
from kafka_server.application.config_service import ConfigService
from kafka_server.application.context import RequestContext
from kafka_server.application.explain import EXPLAIN
from kafka_server.application.ports import AdvertisedListeners
from kafka_server.application.topic_service import TopicService
from kafka_server.domain.access import CLUSTER_OPERATIONS, TOPIC_OPERATIONS, operation_bits
from kafka_server.domain.errors import (
    DomainError,
    InvalidRequest,
    LeaderNotAvailable,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from kafka_server.domain.topic import ZERO_ID, Topic
from kafka_server.domain.topic_name import is_internal

log = logging.getLogger("kafka_server.topic")

_FIRST_VERSION_WITH_IDS = 12


class MetadataHandlers:
    """Answers Metadata."""

    __slots__ = ("_cluster", "_configs", "_listeners", "_nobody", "_nodes", "_topics")

    def __init__(
        self, cluster: Cluster, topics: TopicService, configs: ConfigService, listeners: AdvertisedListeners
    ) -> None:
        self._cluster = cluster
        self._topics = topics
        self._configs = configs
        self._listeners = listeners
        self._nodes = [cluster.node_id]
        self._nobody: list[int] = []

    def metadata(
        self, context: RequestContext, request: MetadataRequest
    ) -> MetadataResponse | Awaitable[MetadataResponse]:
        version = context.api_version
        wanted = request.topics
        if wanted is None or (version == 0 and not wanted):
            return self._response(context, request, [self._describe(topic) for topic in self._topics.all()])
        ids = dict.fromkeys(topic.topic_id for topic in wanted if topic.topic_id != ZERO_ID)
        if ids and version >= _FIRST_VERSION_WITH_IDS:
            return self._response(context, request, [self._describe_id(topic_id) for topic_id in ids])
        if any(_is_invalid(topic, version) for topic in wanted):
            return _refuse(wanted, version)
        names = list(dict.fromkeys(topic.name or "" for topic in wanted))
        answers = [self._describe_name(name) for name in names]
        missing = [index for index, answer in enumerate(answers) if answer.error_code == UnknownTopicOrPartition.code]
        if missing and request.allow_auto_topic_creation and self._configs.boolean("auto.create.topics.enable"):
            return self._create_missing(context, request, names, answers, missing)
        return self._response(context, request, answers)

    async def _create_missing(
        self,
        context: RequestContext,
        request: MetadataRequest,
        names: Sequence[str],
        answers: list[MetadataResponseTopic],
        missing: Sequence[int],
    ) -> MetadataResponse:
        for index in missing:
            try:
                answers[index] = self._describe(await self._topics.create_for_client(names[index]))
            except DomainError as error:
                answers[index] = _unknown(names[index], error.code)
        return self._response(context, request, answers)

    def _response(
        self, context: RequestContext, request: MetadataRequest, topics: list[MetadataResponseTopic]
    ) -> MetadataResponse:
        host, port = self._listeners.address_for(context)
        cluster = self._cluster
        if log.isEnabledFor(EXPLAIN):
            log.log(
                EXPLAIN,
                "Client %s asked for metadata: %d topic(s), all led by broker %d at %s:%d",
                context.client_id,
                len(topics),
                cluster.node_id,
                host,
                port,
            )
        response = MetadataResponse(
            brokers=[MetadataResponseBroker(node_id=cluster.node_id, host=host, port=port, rack=cluster.rack)],
            cluster_id=cluster.cluster_id,
            controller_id=cluster.node_id,
            topics=topics,
        )
        if request.include_cluster_authorized_operations:
            response.cluster_authorized_operations = operation_bits(CLUSTER_OPERATIONS)
        if request.include_topic_authorized_operations:
            for topic in topics:
                # Apache Kafka leaves the field untouched for ids that it does not know.
                if topic.name is not None:
                    topic.topic_authorized_operations = operation_bits(TOPIC_OPERATIONS)
        return response

    def _describe_name(self, name: str) -> MetadataResponseTopic:
        try:
            return self._describe(self._topics.get(name))
        except DomainError as error:
            return _unknown(name, error.code)

    def _describe_id(self, topic_id: bytes) -> MetadataResponseTopic:
        try:
            return self._describe(self._topics.get_by_id(topic_id))
        except UnknownTopicId as error:
            return MetadataResponseTopic(error_code=error.code, name=None, topic_id=topic_id)

    def _describe(self, topic: Topic) -> MetadataResponseTopic:
        # The lists are shared: encoders only read them, and a cluster may have many thousand partitions.
        nodes, nobody = self._nodes, self._nobody
        leader = self._cluster.node_id
        # By position: error, index, leader, epoch, replicas, in sync, offline. By name would take half as long again.
        partitions = [
            MetadataResponsePartition(0, partition.index, leader, partition.leader_epoch, nodes, nodes, nobody)
            for partition in topic.partitions
        ]
        # A topic is known as soon as it is stored; its last partitions may still be opening.
        for index in range(len(partitions), topic.partition_count):
            partitions.append(
                MetadataResponsePartition(
                    error_code=LeaderNotAvailable.code,
                    partition_index=index,
                    leader_id=-1,
                    replica_nodes=nodes,
                    isr_nodes=nodes,
                )
            )
        return MetadataResponseTopic(
            name=topic.name, topic_id=topic.topic_id, is_internal=topic.is_internal, partitions=partitions
        )


def _is_invalid(topic: MetadataRequestTopic, version: int) -> bool:
    if version < _FIRST_VERSION_WITH_IDS:
        return topic.name is None or topic.topic_id != ZERO_ID
    return topic.name is None and topic.topic_id == ZERO_ID


def _refuse(wanted: Sequence[MetadataRequestTopic], version: int) -> MetadataResponse:
    """The request fails as a whole, so it tells nothing of the cluster either."""
    topics = [
        MetadataResponseTopic(error_code=InvalidRequest.code, name=topic.name or "", topic_id=topic.topic_id)
        for topic in wanted
    ]
    return MetadataResponse(topics=topics, error_code=InvalidRequest.code if version >= 13 else 0)


def _unknown(name: str, error_code: int) -> MetadataResponseTopic:
    return MetadataResponseTopic(error_code=error_code, name=name, is_internal=is_internal(name))
