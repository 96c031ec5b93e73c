"""Owns: which services there are, over which stores. Must never know: how they work, who asks them.

Each service is imported and built when it is first asked for. Stores in memory have nothing to bring back, so a start
needs none of them.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from kafka_server.application.cluster import Cluster
from kafka_server.config import Settings
from kafka_server.infrastructure.network.advertised import AdvertisedAddresses

if TYPE_CHECKING:
    from kafka_server.application.config_service import ConfigService
    from kafka_server.application.consumer_service import ConsumerService
    from kafka_server.application.fetch_sessions import FetchSessions
    from kafka_server.application.group_coordinator import GroupCoordinator
    from kafka_server.application.offset_manager import OffsetManager
    from kafka_server.application.ports import Clock, TopicRepository
    from kafka_server.application.producer_service import ProducerIdService, ProducerService
    from kafka_server.application.replica_manager import ReplicaManager
    from kafka_server.application.retention_service import RetentionService
    from kafka_server.application.topic_service import TopicService
    from kafka_server.infrastructure.compression import Codecs


class Services:
    """What holds state, over stores in memory."""

    def __init__(self, settings: Settings, clock: Clock, cluster_id: str) -> None:
        self._settings = settings
        self.clock = clock
        self.addresses = AdvertisedAddresses(settings.advertised)
        self.cluster = Cluster(cluster_id, settings.node_id, settings.rack)

    # -- what several need --

    @cached_property
    def configs(self) -> ConfigService:
        from kafka_server.application.config_service import ConfigService
        from kafka_server.infrastructure.storage.memory_metadata import MemoryConfigRepository

        texts = self._settings.broker_texts()
        return ConfigService(self.cluster.node_id, texts, MemoryConfigRepository(), self.topic_repository)

    @cached_property
    def codecs(self) -> Codecs:
        from kafka_server.infrastructure.compression import Codecs

        return Codecs()

    @cached_property
    def topic_repository(self) -> TopicRepository:
        from kafka_server.infrastructure.storage.memory import MemoryTopicRepository

        return MemoryTopicRepository()

    # -- topics and records --

    @cached_property
    def replicas(self) -> ReplicaManager:
        from kafka_server.application.replica_manager import ReplicaManager
        from kafka_server.infrastructure.storage.memory import MemoryLogRepository

        return ReplicaManager(MemoryLogRepository())

    @cached_property
    def topics(self) -> TopicService:
        from kafka_server.application.topic_service import TopicService

        topics = TopicService(self.cluster.node_id, self.topic_repository, self.replicas, self.configs)
        topics.on_delete(lambda topic: self.offsets.forget_topic(topic.name))
        return topics

    @cached_property
    def producer(self) -> ProducerService:
        from kafka_server.application.producer_service import ProducerService

        return ProducerService(self.codecs, self.clock)

    @cached_property
    def producer_ids(self) -> ProducerIdService:
        from kafka_server.application.producer_service import ProducerIdService
        from kafka_server.infrastructure.storage.memory import MemoryProducerIdRepository

        return ProducerIdService(MemoryProducerIdRepository())

    @cached_property
    def consumer(self) -> ConsumerService:
        from kafka_server.application.consumer_service import ConsumerService

        return ConsumerService(self.replicas, self.clock, self.configs.integer("fetch.max.bytes"))

    @cached_property
    def sessions(self) -> FetchSessions:
        from kafka_server.application.fetch_sessions import FetchSessions

        return FetchSessions(self.configs.integer("max.incremental.fetch.session.cache.slots"))

    @cached_property
    def retention(self) -> RetentionService:
        from kafka_server.application.retention_service import RetentionService

        return RetentionService(
            self.replicas,
            self.clock,
            self.configs.integer("log.retention.check.interval.ms"),
            self.configs.integer("producer.id.expiration.ms"),
        )

    # -- groups --

    @cached_property
    def coordinator(self) -> GroupCoordinator:
        from kafka_server.application.group_coordinator import GroupCoordinator, GroupSettings
        from kafka_server.domain.group_values import GroupLimits
        from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository

        of = self.configs
        settings = GroupSettings(
            session_timeout_ms_min=of.integer("group.min.session.timeout.ms"),
            session_timeout_ms_max=of.integer("group.max.session.timeout.ms"),
            limits=GroupLimits(
                size_max=of.integer("group.max.size"),
                initial_rebalance_delay_ms=of.integer("group.initial.rebalance.delay.ms"),
            ),
        )
        return GroupCoordinator(self.clock, MemoryGroupRepository(), settings)

    @cached_property
    def offsets(self) -> OffsetManager:
        from kafka_server.application.offset_manager import OffsetManager, OffsetSettings
        from kafka_server.infrastructure.storage.memory_offsets import MemoryOffsetRepository

        of = self.configs
        settings = OffsetSettings(
            metadata_length_max=of.integer("offset.metadata.max.bytes"),
            retention_ms=of.integer("offsets.retention.minutes") * 60_000,
            retention_check_interval_ms=of.integer("offsets.retention.check.interval.ms"),
        )
        return OffsetManager(self.clock, MemoryOffsetRepository(), self.coordinator, settings)

    # -- start and stop --

    async def settle(self) -> None:
        """Starts the chores that run by the clock. A store that keeps things over a restart also needs, before the
        listeners open: ``topics.start()``, ``coordinator.load()``, then ``offsets.load()``."""
        await self.offsets.load()
        self.retention.start()

    async def stop(self) -> None:
        """Stops the chores and lets stores finish."""
        self.retention.stop()
        await self.offsets.close()
        await self.coordinator.close()
