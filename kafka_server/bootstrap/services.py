"""Owns: which services there are, over which stores. Must never know: how they work, who asks them.

Each service is imported and built when it is first asked for. Stores that have nothing to bring back - in memory, or a
new folder - need none of them at a start.
"""

from __future__ import annotations

from functools import cached_property
from time import perf_counter_ns
from typing import TYPE_CHECKING

from kafka_server.application.cluster import Cluster
from kafka_server.application.throttle import Throttle
from kafka_server.application.unsent import Unsent
from kafka_server.bootstrap.stores import Stores
from kafka_server.config import Settings
from kafka_server.infrastructure.network.advertised import AdvertisedAddresses

if TYPE_CHECKING:
    from kafka_server.application.config_service import ConfigService, Follower
    from kafka_server.application.consumer_service import ConsumerService
    from kafka_server.application.feature_service import FeatureService
    from kafka_server.application.fetch_sessions import FetchSessions
    from kafka_server.application.group_coordinator import GroupCoordinator
    from kafka_server.application.offset_manager import OffsetManager
    from kafka_server.application.ports import Clock, TopicRepository
    from kafka_server.application.producer_service import ProducerIdService, ProducerService
    from kafka_server.application.quota_service import QuotaService
    from kafka_server.application.replica_manager import ReplicaManager
    from kafka_server.application.retention_service import RetentionService
    from kafka_server.application.scram_service import ScramService
    from kafka_server.application.telemetry_service import TelemetryService
    from kafka_server.application.topic_service import TopicService
    from kafka_server.application.transaction_coordinator import TransactionCoordinator
    from kafka_server.application.transaction_gate import TransactionGate
    from kafka_server.application.transaction_markers import TransactionMarkers
    from kafka_server.domain.group_values import ConsumerLimits
    from kafka_server.domain.topic import Topic
    from kafka_server.infrastructure.compression import Codecs


class Services:
    """What holds state, over the stores."""

    def __init__(self, settings: Settings, clock: Clock, stores: Stores) -> None:
        self._settings = settings
        self.clock = clock
        self.stores = stores
        self._is_loaded = False
        self.followers: list[Follower] = []
        """What changes of configs have to be brought to."""
        self.addresses = AdvertisedAddresses(settings.advertised)
        self.throttle = Throttle(perf_counter_ns)
        self.unsent = Unsent()
        self.cluster = Cluster(stores.cluster_id, stores.node_id, settings.rack)

    # -- what several need --

    @cached_property
    def configs(self) -> ConfigService:
        from kafka_server.application.config_service import ConfigService

        texts = self._settings.broker_texts()
        configs = ConfigService(self.cluster.node_id, texts, self.stores.configs, self.stores.topics)
        for follower in self.followers:
            configs.lead(follower)
        return configs

    @cached_property
    def features(self) -> FeatureService:
        from kafka_server.application.feature_service import FeatureService

        return FeatureService(lambda: self.stores.features)

    @cached_property
    def scram(self) -> ScramService:
        from kafka_server.application.scram_service import ScramService

        return ScramService(self.stores.scram)

    @cached_property
    def quotas(self) -> QuotaService:
        from kafka_server.application.quota_service import QuotaService
        from kafka_server.infrastructure.network.addresses import SystemAddresses

        of = self.configs
        sampling = of.integer("quota.window.size.seconds") * 1000, of.integer("quota.window.num")
        burst_s = of.integer("controller.quota.window.size.seconds") * of.integer("controller.quota.window.num")
        addresses = SystemAddresses()
        return QuotaService(self.stores.quotas, self.clock, self.throttle, addresses, *sampling, burst_s)

    @cached_property
    def telemetry(self) -> TelemetryService:
        from kafka_server.application.telemetry_service import TelemetryService

        size_max = self.configs.integer("telemetry.max.bytes")
        return TelemetryService(self.stores.configs, self.codecs, self.clock, size_max)

    @cached_property
    def codecs(self) -> Codecs:
        from kafka_server.infrastructure.compression import Codecs

        return Codecs()

    @property
    def topic_repository(self) -> TopicRepository:
        return self.stores.topics

    # -- topics and records --

    @cached_property
    def replicas(self) -> ReplicaManager:
        from kafka_server.application.replica_manager import ReplicaManager

        return ReplicaManager(self.stores.logs)

    @cached_property
    def topics(self) -> TopicService:
        from kafka_server.application.topic_service import TopicService

        topics = TopicService(self.cluster.node_id, self.topic_repository, self.replicas, self.configs)
        topics.on_delete(lambda topic: self.offsets.forget_topic(topic.name))
        topics.on_change(self._tell_groups)
        return topics

    @cached_property
    def producer(self) -> ProducerService:
        from kafka_server.application.producer_service import ProducerService

        return ProducerService(self.codecs, self.clock)

    @cached_property
    def producer_ids(self) -> ProducerIdService:
        from kafka_server.application.producer_service import ProducerIdService

        return ProducerIdService(self.stores.producer_ids)

    @cached_property
    def consumer(self) -> ConsumerService:
        from kafka_server.application.consumer_service import ConsumerService

        return ConsumerService(self.replicas, self.clock, self.configs.integer("fetch.max.bytes"), self.unsent)

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
            lambda: self.configs.integer("producer.id.expiration.ms"),
        )

    # -- groups --

    @cached_property
    def coordinator(self) -> GroupCoordinator:
        from kafka_server.application.group_coordinator import GroupCoordinator, GroupSettings
        from kafka_server.domain.group_values import GroupLimits

        of = self.configs
        settings = GroupSettings(
            session_timeout_ms_min=of.integer("group.min.session.timeout.ms"),
            session_timeout_ms_max=of.integer("group.max.session.timeout.ms"),
            limits=GroupLimits(
                size_max=of.integer("group.max.size"),
                initial_rebalance_delay_ms=of.integer("group.initial.rebalance.delay.ms"),
            ),
            consumer_limits=self._consumer_limits,
        )
        return GroupCoordinator(self.clock, self.stores.groups, settings, self.topic_repository)

    def _consumer_limits(self, group_id: str) -> ConsumerLimits:
        """What a consumer group obeys now: some of it can be set for each group, and changes while it lives."""
        from kafka_server.domain.group_values import ConsumerLimits, GroupLimits

        of = self.configs
        policy = str(of.text("group.consumer.migration.policy")).lower()
        return ConsumerLimits(
            size_max=of.integer("group.consumer.max.size"),
            session_timeout_ms=of.group_integer(group_id, "consumer.session.timeout.ms"),
            heartbeat_interval_ms=of.group_integer(group_id, "consumer.heartbeat.interval.ms"),
            assignment_interval_ms=of.group_integer(group_id, "consumer.assignment.interval.ms"),
            regex_refresh_interval_ms=of.integer("group.consumer.regex.refresh.interval.ms"),
            assignors=tuple(of.texts("group.consumer.assignors")),
            may_upgrade=policy in ("upgrade", "bidirectional"),
            may_downgrade=policy in ("downgrade", "bidirectional"),
            classic=GroupLimits(
                size_max=of.integer("group.max.size"),
                initial_rebalance_delay_ms=of.integer("group.initial.rebalance.delay.ms"),
            ),
        )

    def _tell_groups(self, topic: Topic, is_new: bool) -> None:
        if "coordinator" in vars(self):  # Before the first client of a group there is no group to tell.
            self.coordinator.on_topic_change(topic.name, is_new=is_new)

    @cached_property
    def offsets(self) -> OffsetManager:
        from kafka_server.application.offset_manager import OffsetManager, OffsetSettings

        of = self.configs
        settings = OffsetSettings(
            metadata_length_max=of.integer("offset.metadata.max.bytes"),
            retention_ms=of.integer("offsets.retention.minutes") * 60_000,
            retention_check_interval_ms=of.integer("offsets.retention.check.interval.ms"),
        )
        return OffsetManager(self.clock, self.stores.offsets, self.coordinator, settings)

    # -- transactions --

    @cached_property
    def transaction_markers(self) -> TransactionMarkers:
        from kafka_server.application.transaction_markers import TransactionMarkers

        partitions = self.configs.integer("offsets.topic.num.partitions")
        return TransactionMarkers(self.replicas, self.producer, self.offsets, partitions)

    @cached_property
    def transactions(self) -> TransactionCoordinator:
        from kafka_server.application.transaction_coordinator import TransactionCoordinator, TransactionSettings

        of = self.configs
        settings = TransactionSettings(
            timeout_ms_max=of.integer("transaction.max.timeout.ms"),
            abort_interval_ms=of.integer("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
            expiration_ms=of.integer("transactional.id.expiration.ms"),
            expiration_interval_ms=of.integer("transaction.remove.expired.transaction.cleanup.interval.ms"),
        )
        return TransactionCoordinator(
            self.clock, self.stores.transactions, self.producer_ids, self.transaction_markers, settings
        )

    @cached_property
    def transaction_gate(self) -> TransactionGate:
        from kafka_server.application.transaction_gate import TransactionGate

        of = self.configs
        return TransactionGate(
            self.clock,
            self.transactions,
            lambda: of.boolean("transaction.partition.verification.enable"),
            of.integer("add.partitions.to.txn.retry.backoff.ms"),
            of.integer("add.partitions.to.txn.retry.backoff.max.ms"),
        )

    # -- start and stop --

    async def settle(self) -> None:
        """Starts the chores that run by the clock."""
        if not self._is_loaded:
            # There was nothing to bring back. Loading now would put what is stored over groups that live already.
            self.offsets.start_expiry()
        self.retention.start()
        self.transactions.start()

    async def load(self) -> None:
        """Brings back what the stores kept, before clients may come. Costs nothing when there is nothing."""
        if self.stores.has_history:
            await self.stores.prepare()
            await self.configs.bring()
            self.features.load()
            with self.stores.opening():
                await self.topics.start()
            if self.stores.may_lack_producers:
                known = (producer_id for one in self.replicas for producer_id, _ in one.partition.producers.items())
                await self.producer_ids.pass_over(max(known, default=-1))
            await self.quotas.start()
            # Most of what a start may cost is loading these modules; a broker without groups need not yet.
            if self.stores.holds("groups"):
                await self._load_groups()
            if self.stores.holds("transactions"):
                await self.transactions.load()

    async def _load_groups(self) -> None:
        await self.coordinator.load()
        await self.offsets.load()
        self._is_loaded = True

    async def stop(self) -> None:
        """Stops the chores and lets stores finish."""
        self.retention.stop()
        await self.transactions.close()
        await self.offsets.close()
        await self.coordinator.close()
        await self.stores.close()
