"""Topics, configs and their handlers over memory, for the examples in this folder.

Requests and answers pass through the wire format of the version that a test names, so that an answer which that version
cannot carry fails the test.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from kafka_protocol.dispatch import SERVED
from kafka_protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)

from kafka_server.application.broker_loggers import BrokerLoggers
from kafka_server.application.cluster import Cluster
from kafka_server.application.config_service import ConfigService
from kafka_server.application.context import RequestContext
from kafka_server.application.feature_service import FeatureService
from kafka_server.application.handlers.acls import AclHandlers
from kafka_server.application.handlers.api_versions import ApiVersionsHandlers
from kafka_server.application.handlers.configs import ConfigHandlers
from kafka_server.application.handlers.controller import ControllerHandlers
from kafka_server.application.handlers.delegation_tokens import DelegationTokenHandlers
from kafka_server.application.handlers.describe_cluster import DescribeClusterHandlers
from kafka_server.application.handlers.describe_topic_partitions import DescribeTopicPartitionsHandlers
from kafka_server.application.handlers.log_dirs import LogDirHandlers
from kafka_server.application.handlers.metadata import MetadataHandlers
from kafka_server.application.handlers.placement import PlacementHandlers
from kafka_server.application.handlers.quotas import QuotaHandlers
from kafka_server.application.handlers.scram_credentials import ScramCredentialHandlers
from kafka_server.application.handlers.telemetry import TelemetryHandlers
from kafka_server.application.handlers.topics import TopicHandlers
from kafka_server.application.quota_service import QuotaService
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.application.scram_service import ScramService
from kafka_server.application.telemetry_service import TelemetryService
from kafka_server.application.throttle import Throttle
from kafka_server.application.topic_service import NewTopic, TopicService
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.compression import Codecs
from kafka_server.infrastructure.network.addresses import SystemAddresses
from kafka_server.infrastructure.storage.memory import MemoryLogRepository, MemoryTopicRepository
from kafka_server.infrastructure.storage.memory_metadata import (
    MemoryConfigRepository,
    MemoryFeatureRepository,
    MemoryQuotaRepository,
    MemoryScramRepository,
)
from kafka_server.testing.clock import VirtualClock

NODE_ID = 7
CLUSTER = Cluster("admin-house-cluster-id", NODE_ID, rack="cellar")


class ReachedAddress:
    """AdvertisedListeners without configuration."""

    def address_for(self, context: RequestContext) -> tuple[str, int]:
        return context.local_host, context.local_port


class House:
    """Everything that serves topics and configs, wired as bootstrap does."""

    def __init__(
        self,
        static: Mapping[str, str] | None = None,
        topics: MemoryTopicRepository | None = None,
        logs: MemoryLogRepository | None = None,
    ) -> None:
        self.topic_repository = topics or MemoryTopicRepository()
        self.config_repository = MemoryConfigRepository()
        self.configs = ConfigService(NODE_ID, static or {}, self.config_repository, self.topic_repository)
        logs = logs or MemoryLogRepository()
        self.replicas = ReplicaManager(logs)
        self.topics = TopicService(NODE_ID, self.topic_repository, self.replicas, self.configs)
        features = MemoryFeatureRepository()
        self.features = FeatureService(lambda: features)
        self.loggers = BrokerLoggers()
        self.clock = VirtualClock()
        self.throttle = Throttle(lambda: 0)
        self.telemetry = TelemetryService(self.config_repository, Codecs(), self.clock, size_max=1000)
        self.quotas = QuotaService(MemoryQuotaRepository(), self.clock, self.throttle, SystemAddresses(), 1000, 11, 10)
        self.context = RequestContext("PLAINTEXT", "10.0.0.1", 9092, "10.0.0.2", 50000, "c")
        self._families: list[object] = [
            ApiVersionsHandlers(SERVED, self.features, CLUSTER.cluster_id, NODE_ID),
            MetadataHandlers(CLUSTER, self.topics, self.configs, ReachedAddress()),
            DescribeClusterHandlers(CLUSTER, ReachedAddress()),
            DescribeTopicPartitionsHandlers(NODE_ID, self.topics, self.configs),
            TopicHandlers(self.topics, self.configs, self.throttle),
            ConfigHandlers(self.configs, self.loggers),
            PlacementHandlers(NODE_ID, self.topics),
            ControllerHandlers(NODE_ID, self.features, ReachedAddress(), self.clock),
            AclHandlers(),
            DelegationTokenHandlers(),
            TelemetryHandlers(self.telemetry),
            LogDirHandlers(logs, logs, self.replicas),
            ScramCredentialHandlers(ScramService(MemoryScramRepository())),
            QuotaHandlers(self.quotas),
        ]

    def handler(self, api: str) -> Any:
        """The method that answers ``api``."""
        return next(getattr(family, api) for family in self._families if hasattr(family, api))

    async def ask(self, api: str, request: Any, response_type: Any, version: int | None = None) -> Any:
        """Sends ``request`` to the handler named ``api`` in ``version`` (the newest when None) and reads its answer."""
        version = request.max_version if version is None else version
        self.context.api_version = version
        answer = self.handler(api)(self.context, type(request).decode(request.encode(version), version))
        if inspect.isawaitable(answer):
            answer = await answer
        return response_type.decode(answer.encode(version), version)

    async def topic(self, name: str, partition_count: int = 1, **configs: str) -> Topic:
        """A new topic; ``retention_ms="5"`` sets retention.ms."""
        texts = {key.replace("_", "."): value for key, value in configs.items()}
        (made,) = await self.topics.create_many([NewTopic(name, partition_count, configs=texts)])
        assert isinstance(made, Topic), made
        return made

    async def create(self, *wanted: CreatableTopic, version: int = 7, validate_only: bool = False) -> Any:
        """Answers of CreateTopics by topic name."""
        request = CreateTopicsRequest(topics=list(wanted), validate_only=validate_only)
        response = await self.ask("create_topics", request, CreateTopicsResponse, version)
        return {result.name: result for result in response.topics}


def wanted(
    name: str,
    partition_count: int = -1,
    replication_factor: int = -1,
    assignments: Mapping[int, list[int]] | None = None,
    configs: Mapping[str, str | None] | None = None,
) -> CreatableTopic:
    """One topic of a CreateTopics request."""
    return CreatableTopic(
        name=name,
        num_partitions=partition_count,
        replication_factor=replication_factor,
        assignments=[
            CreatableReplicaAssignment(partition_index=index, broker_ids=ids)
            for index, ids in (assignments or {}).items()
        ],
        configs=[CreatableTopicConfig(name=key, value=value) for key, value in (configs or {}).items()],
    )
