"""Owns: how the objects of a broker meet: settings -> stores -> services -> handlers -> dispatch -> server.
Must never know: how any of them works.

This is the one place that names every class. Services are built at once, because they hold state. Handlers are built,
and their modules and messages imported, when their API is first asked for: a client that only produces should not wait
for group administration to load. mypy checks every slot of ``Handlers`` all the same.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

from kafka_protocol.dispatch import SERVED, Dispatch
from kafka_protocol.handlers import Handler, Handlers

from kafka_server.application.cluster import Cluster
from kafka_server.application.config_service import ConfigService
from kafka_server.application.consumer_service import ConsumerService
from kafka_server.application.context import RequestContext
from kafka_server.application.fetch_sessions import FetchSessions
from kafka_server.application.group_coordinator import GroupCoordinator, GroupSettings
from kafka_server.application.offset_manager import OffsetManager, OffsetSettings
from kafka_server.application.ports import Clock
from kafka_server.application.producer_service import ProducerIdService, ProducerService
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.application.retention_service import RetentionService
from kafka_server.application.topic_service import TopicService
from kafka_server.config import Settings
from kafka_server.domain.group_values import GroupLimits
from kafka_server.infrastructure.clock import SystemClock
from kafka_server.infrastructure.compression import Codecs
from kafka_server.infrastructure.network.advertised import AdvertisedAddresses
from kafka_server.infrastructure.network.listener import Listener, format_address
from kafka_server.infrastructure.network.server import Limits, Server
from kafka_server.infrastructure.storage.memory import (
    MemoryLogRepository,
    MemoryProducerIdRepository,
    MemoryTopicRepository,
)
from kafka_server.infrastructure.storage.memory_metadata import MemoryConfigRepository
from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository, MemoryOffsetRepository

if TYPE_CHECKING:
    from kafka_server.application.handlers.api_versions import ApiVersionsHandlers
    from kafka_server.application.handlers.configs import ConfigHandlers
    from kafka_server.application.handlers.delete_records import DeleteRecordsHandlers
    from kafka_server.application.handlers.describe_cluster import DescribeClusterHandlers
    from kafka_server.application.handlers.describe_topic_partitions import DescribeTopicPartitionsHandlers
    from kafka_server.application.handlers.fetch import FetchHandlers
    from kafka_server.application.handlers.find_coordinator import FindCoordinatorHandler
    from kafka_server.application.handlers.group_admin import GroupAdminHandlers
    from kafka_server.application.handlers.group_membership import GroupMembershipHandlers
    from kafka_server.application.handlers.init_producer_id import InitProducerIdHandlers
    from kafka_server.application.handlers.list_offsets import OffsetHandlers as LogOffsetHandlers
    from kafka_server.application.handlers.metadata import MetadataHandlers
    from kafka_server.application.handlers.offsets import OffsetHandlers
    from kafka_server.application.handlers.produce import ProduceHandlers
    from kafka_server.application.handlers.topics import TopicHandlers
    from kafka_server.infrastructure.observability.http import HttpServer

Req = TypeVar("Req")
Res = TypeVar("Res")


def deferred(build: Callable[[], Handler[RequestContext, Req, Res]]) -> Handler[RequestContext, Req, Res]:
    """A handler that is built when its first request comes."""
    handler: Handler[RequestContext, Req, Res] | None = None

    def call(context: RequestContext, request: Req) -> Res | Awaitable[Res | None] | None:
        nonlocal handler
        if handler is None:
            handler = build()
        return handler(context, request)

    return call


class Services:
    """What holds state, over stores in memory."""

    def __init__(self, settings: Settings, clock: Clock, cluster_id: str) -> None:
        self.clock = clock
        self.addresses = AdvertisedAddresses(settings.advertised)
        self.codecs = Codecs()
        self.topic_repository = MemoryTopicRepository()
        self.configs = ConfigService(
            settings.node_id, settings.broker_texts(), MemoryConfigRepository(), self.topic_repository
        )
        self.cluster = Cluster(cluster_id, settings.node_id, self.configs.text("broker.rack"))
        self.replicas = ReplicaManager(MemoryLogRepository())
        self.topics = TopicService(settings.node_id, self.topic_repository, self.replicas, self.configs)
        self.producer = ProducerService(self.codecs, clock)
        self.producer_ids = ProducerIdService(MemoryProducerIdRepository())
        self.consumer = ConsumerService(self.replicas, clock, self.configs.integer("fetch.max.bytes"))
        self.retention = RetentionService(
            self.replicas,
            clock,
            self.configs.integer("log.retention.check.interval.ms"),
            self.configs.integer("producer.id.expiration.ms"),
        )
        self.sessions = FetchSessions(self.configs.integer("max.incremental.fetch.session.cache.slots"))
        self.coordinator = GroupCoordinator(clock, MemoryGroupRepository(), group_settings(self.configs))
        self.offsets = OffsetManager(clock, MemoryOffsetRepository(), self.coordinator, offset_settings(self.configs))

    async def start(self) -> None:
        """Brings back what is stored."""
        await self.topics.start()
        await self.coordinator.load()
        await self.offsets.load()
        self.retention.start()

    async def stop(self) -> None:
        """Stops timers and makes everything durable."""
        self.retention.stop()
        await self.offsets.close()
        await self.coordinator.close()


def group_settings(configs: ConfigService) -> GroupSettings:
    """What the group coordinator obeys."""
    return GroupSettings(
        session_timeout_ms_min=configs.integer("group.min.session.timeout.ms"),
        session_timeout_ms_max=configs.integer("group.max.session.timeout.ms"),
        limits=GroupLimits(
            size_max=configs.integer("group.max.size"),
            initial_rebalance_delay_ms=configs.integer("group.initial.rebalance.delay.ms"),
        ),
    )


def offset_settings(configs: ConfigService) -> OffsetSettings:
    """What the offset manager obeys."""
    return OffsetSettings(
        metadata_length_max=configs.integer("offset.metadata.max.bytes"),
        retention_ms=configs.integer("offsets.retention.minutes") * 60_000,
        retention_check_interval_ms=configs.integer("offsets.retention.check.interval.ms"),
    )


class Families:
    """The handler families, each imported and built at first use."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @cached_property
    def produce(self) -> ProduceHandlers:
        from kafka_server.application.handlers.produce import ProduceHandlers
        from kafka_server.application.message_conversion import MessageConversion

        of = self._services
        return ProduceHandlers(of.replicas, of.producer, MessageConversion(of.codecs))

    @cached_property
    def fetch(self) -> FetchHandlers:
        from kafka_server.application.handlers.fetch import FetchHandlers
        from kafka_server.application.message_conversion import MessageConversion

        of = self._services
        return FetchHandlers(of.consumer, of.sessions, MessageConversion(of.codecs), of.clock)

    @cached_property
    def log_offsets(self) -> LogOffsetHandlers:
        from kafka_server.application.handlers.list_offsets import OffsetHandlers
        from kafka_server.application.offset_service import OffsetService

        of = self._services
        return OffsetHandlers(of.replicas, OffsetService(of.codecs, of.clock))

    @cached_property
    def delete_records(self) -> DeleteRecordsHandlers:
        from kafka_server.application.handlers.delete_records import DeleteRecordsHandlers

        return DeleteRecordsHandlers(self._services.replicas, self._services.retention)

    @cached_property
    def producer_ids(self) -> InitProducerIdHandlers:
        from kafka_server.application.handlers.init_producer_id import InitProducerIdHandlers

        return InitProducerIdHandlers(self._services.producer_ids)

    @cached_property
    def api_versions(self) -> ApiVersionsHandlers:
        from kafka_server.application.handlers.api_versions import FEATURES, ApiVersionsHandlers

        return ApiVersionsHandlers(SERVED, FEATURES, self._services.cluster.cluster_id, self._services.cluster.node_id)

    @cached_property
    def metadata(self) -> MetadataHandlers:
        from kafka_server.application.handlers.metadata import MetadataHandlers

        of = self._services
        return MetadataHandlers(of.cluster, of.topics, of.configs, of.addresses)

    @cached_property
    def cluster(self) -> DescribeClusterHandlers:
        from kafka_server.application.handlers.describe_cluster import DescribeClusterHandlers

        return DescribeClusterHandlers(self._services.cluster, self._services.addresses)

    @cached_property
    def topic_partitions(self) -> DescribeTopicPartitionsHandlers:
        from kafka_server.application.handlers.describe_topic_partitions import DescribeTopicPartitionsHandlers

        of = self._services
        return DescribeTopicPartitionsHandlers(of.cluster.node_id, of.topics, of.configs)

    @cached_property
    def topics(self) -> TopicHandlers:
        from kafka_server.application.handlers.topics import TopicHandlers

        return TopicHandlers(self._services.topics, self._services.configs)

    @cached_property
    def configs(self) -> ConfigHandlers:
        from kafka_server.application.broker_loggers import BrokerLoggers
        from kafka_server.application.handlers.configs import ConfigHandlers

        return ConfigHandlers(self._services.configs, BrokerLoggers())

    @cached_property
    def find_coordinator(self) -> FindCoordinatorHandler:
        from kafka_server.application.handlers.find_coordinator import FindCoordinatorHandler

        return FindCoordinatorHandler(self._services.cluster.node_id, self._services.addresses)

    @cached_property
    def membership(self) -> GroupMembershipHandlers:
        from kafka_server.application.handlers.group_membership import GroupMembershipHandlers

        return GroupMembershipHandlers(self._services.coordinator)

    @cached_property
    def group_admin(self) -> GroupAdminHandlers:
        from kafka_server.application.handlers.group_admin import GroupAdminHandlers

        return GroupAdminHandlers(self._services.coordinator, self._services.offsets)

    @cached_property
    def offsets(self) -> OffsetHandlers:
        from kafka_server.application.handlers.offsets import OffsetHandlers

        return OffsetHandlers(self._services.offsets, self._services.topic_repository, self._services.clock)

    def all(self) -> Iterator[Callable[[], object]]:
        """What builds each family; for a quiet moment after the start."""
        yield lambda: self.metadata
        yield lambda: self.produce
        yield lambda: self.fetch
        yield lambda: self.log_offsets
        yield lambda: self.find_coordinator
        yield lambda: self.membership
        yield lambda: self.offsets
        yield lambda: self.producer_ids
        yield lambda: self.topics
        yield lambda: self.configs
        yield lambda: self.cluster
        yield lambda: self.topic_partitions
        yield lambda: self.group_admin
        yield lambda: self.delete_records


def build_handlers(families: Families) -> Handlers[RequestContext]:
    """One slot per API; a missing or mismatched handler is a type error here."""
    return Handlers(
        api_versions=deferred(lambda: families.api_versions.api_versions),
        produce=deferred(lambda: families.produce.produce),
        fetch=deferred(lambda: families.fetch.fetch),
        list_offsets=deferred(lambda: families.log_offsets.list_offsets),
        delete_records=deferred(lambda: families.delete_records.delete_records),
        offset_for_leader_epoch=deferred(lambda: families.log_offsets.offset_for_leader_epoch),
        init_producer_id=deferred(lambda: families.producer_ids.init_producer_id),
        metadata=deferred(lambda: families.metadata.metadata),
        describe_cluster=deferred(lambda: families.cluster.describe_cluster),
        describe_topic_partitions=deferred(lambda: families.topic_partitions.describe_topic_partitions),
        create_topics=deferred(lambda: families.topics.create_topics),
        delete_topics=deferred(lambda: families.topics.delete_topics),
        create_partitions=deferred(lambda: families.topics.create_partitions),
        describe_configs=deferred(lambda: families.configs.describe_configs),
        alter_configs=deferred(lambda: families.configs.alter_configs),
        incremental_alter_configs=deferred(lambda: families.configs.incremental_alter_configs),
        find_coordinator=deferred(lambda: families.find_coordinator.find_coordinator),
        join_group=deferred(lambda: families.membership.join_group),
        sync_group=deferred(lambda: families.membership.sync_group),
        heartbeat=deferred(lambda: families.membership.heartbeat),
        leave_group=deferred(lambda: families.membership.leave_group),
        list_groups=deferred(lambda: families.group_admin.list_groups),
        describe_groups=deferred(lambda: families.group_admin.describe_groups),
        delete_groups=deferred(lambda: families.group_admin.delete_groups),
        offset_commit=deferred(lambda: families.offsets.offset_commit),
        offset_fetch=deferred(lambda: families.offsets.offset_fetch),
        offset_delete=deferred(lambda: families.offsets.offset_delete),
    )


class Broker:
    """A broker, from settings to open listeners. ``await start()``, ``await stop(grace_ms)``."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.cluster_id = settings.cluster_id or new_cluster_id()
        self.services = Services(settings, SystemClock(loop), self.cluster_id)
        self.families = Families(self.services)
        self.dispatch = Dispatch(build_handlers(self.families))
        self.server = Server(self.dispatch, limits(settings))
        self.metrics_address: str | None = None
        self.is_ready = False
        self._http: HttpServer | None = None

    @property
    def listeners(self) -> list[Listener]:
        """What is open, with the real ports."""
        return self.server.listeners

    async def start(self) -> None:
        """Ready for clients when it returns. Raises BindError."""
        await self.services.start()
        await self.server.start(self.settings.listeners)
        if self.settings.metrics_port >= 0:
            await self._start_http()
        self.is_ready = True

    async def stop(self, grace_ms: int) -> None:
        """Lets requests in flight finish for that long, then closes everything."""
        self.is_ready = False
        await self.server.stop(grace_ms)
        await self.services.stop()
        if self._http is not None:
            self._http.stop()

    def preload_steps(self) -> Iterator[Callable[[], object]]:
        """Imports everything that the first request of each API would import, one module or so per step."""
        for api_key, (_, newest) in SERVED.items():
            yield partial(self.dispatch.lookup, api_key, newest)
        yield from self.families.all()

    async def _start_http(self) -> None:
        from kafka_server.infrastructure.network.server import BindError
        from kafka_server.infrastructure.observability.http import PROMETHEUS, HttpServer, Page
        from kafka_server.infrastructure.observability.metrics import Metrics, Sources

        of = self.services
        metrics = Metrics(Sources(of.replicas, of.coordinator, of.offsets, of.sessions, self.server))
        self._http = HttpServer(
            {
                "/metrics": lambda: Page(200, metrics.render(), PROMETHEUS),
                "/livez": lambda: Page(200, "alive\n"),
                "/readyz": lambda: Page(200, "ready\n") if self.is_ready else Page(503, "not ready\n"),
            }
        )
        host, port = self.settings.metrics_host, self.settings.metrics_port
        try:
            self.metrics_address = format_address(*await self._http.start(host, port))
        except OSError as error:
            await self.stop(grace_ms=0)
            raise BindError(f"Cannot serve metrics on {format_address(host, port)}: {error.strerror}") from error


def limits(settings: Settings) -> Limits:
    """What the network obeys."""
    return Limits(
        request_size_max=settings.request_size_max,
        half_frame_bytes_max=(
            settings.half_frame_bytes_max if settings.half_frame_bytes_max > 0 else Limits().half_frame_bytes_max
        ),
        connections_max=settings.connections_max,
        connections_per_ip_max=settings.connections_per_ip_max,
        connections_per_ip_overrides=settings.connections_per_ip_overrides,
        idle_ms_max=settings.connections_idle_ms_max,
        backlog=settings.backlog,
        send_buffer_bytes=settings.send_buffer_bytes,
        receive_buffer_bytes=settings.receive_buffer_bytes,
    )


def new_cluster_id() -> str:
    """16 random bytes as Kafka writes ids: URL-safe base64 without padding, 22 characters."""
    return base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
