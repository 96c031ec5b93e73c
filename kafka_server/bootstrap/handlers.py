"""Owns: which handler answers which API. Must never know: how handlers work, when they are called.

Handlers are built, and their modules and messages imported, when their API is first asked for: a client that only
produces should not wait for group administration to load. mypy checks every slot of ``Handlers`` all the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from kafka_protocol.dispatch import SERVED
from kafka_protocol.handlers import Handler, Handlers

from kafka_server.application.context import RequestContext
from kafka_server.application.throttle import Throttle

if TYPE_CHECKING:
    from kafka_server.application.handlers.acls import AclHandlers
    from kafka_server.application.handlers.api_versions import ApiVersionsHandlers
    from kafka_server.application.handlers.configs import ConfigHandlers
    from kafka_server.application.handlers.consumer_groups import ConsumerGroupHandlers
    from kafka_server.application.handlers.controller import ControllerHandlers
    from kafka_server.application.handlers.delegation_tokens import DelegationTokenHandlers
    from kafka_server.application.handlers.delete_records import DeleteRecordsHandlers
    from kafka_server.application.handlers.describe_cluster import DescribeClusterHandlers
    from kafka_server.application.handlers.describe_topic_partitions import DescribeTopicPartitionsHandlers
    from kafka_server.application.handlers.fetch import FetchHandlers
    from kafka_server.application.handlers.find_coordinator import FindCoordinatorHandler
    from kafka_server.application.handlers.group_admin import GroupAdminHandlers
    from kafka_server.application.handlers.group_membership import GroupMembershipHandlers
    from kafka_server.application.handlers.init_producer_id import InitProducerIdHandlers
    from kafka_server.application.handlers.list_offsets import OffsetHandlers as LogOffsetHandlers
    from kafka_server.application.handlers.log_dirs import LogDirHandlers
    from kafka_server.application.handlers.metadata import MetadataHandlers
    from kafka_server.application.handlers.offsets import OffsetHandlers
    from kafka_server.application.handlers.placement import PlacementHandlers
    from kafka_server.application.handlers.produce import ProduceHandlers
    from kafka_server.application.handlers.quotas import QuotaHandlers
    from kafka_server.application.handlers.scram_credentials import ScramCredentialHandlers
    from kafka_server.application.handlers.telemetry import TelemetryHandlers
    from kafka_server.application.handlers.topics import TopicHandlers
    from kafka_server.application.handlers.transaction_admin import TransactionAdminHandlers
    from kafka_server.application.handlers.transactions import TransactionHandlers
    from kafka_server.bootstrap.services import Services

Req = TypeVar("Req")
Res = TypeVar("Res")


class Deferred:
    """Makes handlers that are built when their first request comes, and are throttled while there are quotas."""

    def __init__(self, throttle: Throttle) -> None:
        self._throttle = throttle

    def __call__(self, build: Callable[[], Handler[RequestContext, Req, Res]]) -> Handler[RequestContext, Req, Res]:
        throttle = self._throttle
        handler: Handler[RequestContext, Req, Res] | None = None

        def call(context: RequestContext, request: Req) -> Res | Awaitable[Res | None] | None:
            nonlocal handler
            if handler is None:
                handler = build()
            if throttle.is_on:
                return throttle.handle(handler, context, request)
            return handler(context, request)

        return call


class Families:
    """The handler families, each imported and built at first use."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.throttle = services.throttle

    @cached_property
    def produce(self) -> ProduceHandlers:
        from kafka_server.application.handlers.produce import ProduceHandlers
        from kafka_server.application.message_conversion import MessageConversion

        of = self._services
        return ProduceHandlers(of.replicas, of.producer, MessageConversion(of.codecs), lambda: of.transaction_gate)

    @cached_property
    def fetch(self) -> FetchHandlers:
        from kafka_server.application.handlers.fetch import FetchHandlers
        from kafka_server.application.message_conversion import MessageConversion

        of = self._services
        return FetchHandlers(of.consumer, of.sessions, MessageConversion(of.codecs), of.clock, of.throttle)

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

        return InitProducerIdHandlers(self._services.producer_ids, lambda: self._services.transactions)

    @cached_property
    def transactions(self) -> TransactionHandlers:
        from kafka_server.application.handlers.transactions import TransactionHandlers

        of = self._services
        return TransactionHandlers(
            of.transactions, of.transaction_gate, of.transaction_markers, of.offsets, of.topic_repository, of.clock
        )

    @cached_property
    def transaction_admin(self) -> TransactionAdminHandlers:
        from kafka_server.application.handlers.transaction_admin import TransactionAdminHandlers
        from kafka_server.infrastructure.patterns import Re2Patterns

        of = self._services
        return TransactionAdminHandlers(of.transactions, of.replicas, Re2Patterns(), of.clock)

    @cached_property
    def api_versions(self) -> ApiVersionsHandlers:
        from kafka_server.application.handlers.api_versions import ApiVersionsHandlers

        of = self._services
        return ApiVersionsHandlers(SERVED, of.features, of.cluster.cluster_id, of.cluster.node_id)

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
    def controller(self) -> ControllerHandlers:
        from kafka_server.application.handlers.controller import ControllerHandlers

        of = self._services
        return ControllerHandlers(of.cluster.node_id, of.features, of.addresses, of.clock)

    @cached_property
    def acls(self) -> AclHandlers:
        from kafka_server.application.handlers.acls import AclHandlers

        return AclHandlers()

    @cached_property
    def scram_credentials(self) -> ScramCredentialHandlers:
        from kafka_server.application.handlers.scram_credentials import ScramCredentialHandlers

        return ScramCredentialHandlers(self._services.scram)

    @cached_property
    def quotas(self) -> QuotaHandlers:
        from kafka_server.application.handlers.quotas import QuotaHandlers

        return QuotaHandlers(self._services.quotas)

    @cached_property
    def log_dirs(self) -> LogDirHandlers:
        from kafka_server.application.handlers.log_dirs import LogDirHandlers

        return LogDirHandlers(self._services.stores.logs, self._services.stores.logs, self._services.replicas)

    @cached_property
    def telemetry(self) -> TelemetryHandlers:
        from kafka_server.application.handlers.telemetry import TelemetryHandlers

        return TelemetryHandlers(self._services.telemetry)

    @cached_property
    def delegation_tokens(self) -> DelegationTokenHandlers:
        from kafka_server.application.handlers.delegation_tokens import DelegationTokenHandlers

        return DelegationTokenHandlers()

    @cached_property
    def topic_partitions(self) -> DescribeTopicPartitionsHandlers:
        from kafka_server.application.handlers.describe_topic_partitions import DescribeTopicPartitionsHandlers

        of = self._services
        return DescribeTopicPartitionsHandlers(of.cluster.node_id, of.topics, of.configs)

    @cached_property
    def topics(self) -> TopicHandlers:
        from kafka_server.application.handlers.topics import TopicHandlers

        return TopicHandlers(self._services.topics, self._services.configs, self._services.throttle)

    @cached_property
    def placement(self) -> PlacementHandlers:
        from kafka_server.application.handlers.placement import PlacementHandlers

        return PlacementHandlers(self._services.cluster.node_id, self._services.topics)

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
    def consumer_groups(self) -> ConsumerGroupHandlers:
        from kafka_server.application.handlers.consumer_groups import ConsumerGroupHandlers
        from kafka_server.domain.features import GROUP_VERSION

        of = self._services
        is_configured = "consumer" in of.configs.texts("group.coordinator.rebalance.protocols")
        return ConsumerGroupHandlers(
            of.coordinator, of.topic_repository, lambda: is_configured and of.features.level(GROUP_VERSION) > 0
        )

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
        yield lambda: self.transactions
        yield lambda: self.transaction_admin
        yield lambda: self.topics
        yield lambda: self.placement
        yield lambda: self.configs
        yield lambda: self.cluster
        yield lambda: self.controller
        yield lambda: self.acls
        yield lambda: self.delegation_tokens
        yield lambda: self.telemetry
        yield lambda: self.log_dirs
        yield lambda: self.scram_credentials
        yield lambda: self.quotas
        yield lambda: self.topic_partitions
        yield lambda: self.group_admin
        yield lambda: self.consumer_groups
        yield lambda: self.delete_records


def build_handlers(families: Families) -> Handlers[RequestContext]:
    """One slot per API; a missing or mismatched handler is a type error here."""
    deferred = Deferred(families.throttle)
    return Handlers(
        api_versions=deferred(lambda: families.api_versions.api_versions),
        produce=deferred(lambda: families.produce.produce),
        fetch=deferred(lambda: families.fetch.fetch),
        list_offsets=deferred(lambda: families.log_offsets.list_offsets),
        delete_records=deferred(lambda: families.delete_records.delete_records),
        offset_for_leader_epoch=deferred(lambda: families.log_offsets.offset_for_leader_epoch),
        init_producer_id=deferred(lambda: families.producer_ids.init_producer_id),
        add_partitions_to_txn=deferred(lambda: families.transactions.add_partitions_to_txn),
        add_offsets_to_txn=deferred(lambda: families.transactions.add_offsets_to_txn),
        end_txn=deferred(lambda: families.transactions.end_txn),
        txn_offset_commit=deferred(lambda: families.transactions.txn_offset_commit),
        write_txn_markers=deferred(lambda: families.transactions.write_txn_markers),
        describe_transactions=deferred(lambda: families.transaction_admin.describe_transactions),
        list_transactions=deferred(lambda: families.transaction_admin.list_transactions),
        describe_producers=deferred(lambda: families.transaction_admin.describe_producers),
        metadata=deferred(lambda: families.metadata.metadata),
        describe_cluster=deferred(lambda: families.cluster.describe_cluster),
        describe_topic_partitions=deferred(lambda: families.topic_partitions.describe_topic_partitions),
        create_topics=deferred(lambda: families.topics.create_topics),
        delete_topics=deferred(lambda: families.topics.delete_topics),
        create_partitions=deferred(lambda: families.topics.create_partitions),
        elect_leaders=deferred(lambda: families.placement.elect_leaders),
        alter_partition_reassignments=deferred(lambda: families.placement.alter_partition_reassignments),
        list_partition_reassignments=deferred(lambda: families.placement.list_partition_reassignments),
        describe_quorum=deferred(lambda: families.controller.describe_quorum),
        update_features=deferred(lambda: families.controller.update_features),
        unregister_broker=deferred(lambda: families.controller.unregister_broker),
        describe_acls=deferred(lambda: families.acls.describe_acls),
        create_acls=deferred(lambda: families.acls.create_acls),
        delete_acls=deferred(lambda: families.acls.delete_acls),
        create_delegation_token=deferred(lambda: families.delegation_tokens.create_delegation_token),
        renew_delegation_token=deferred(lambda: families.delegation_tokens.renew_delegation_token),
        expire_delegation_token=deferred(lambda: families.delegation_tokens.expire_delegation_token),
        describe_delegation_token=deferred(lambda: families.delegation_tokens.describe_delegation_token),
        describe_user_scram_credentials=deferred(lambda: families.scram_credentials.describe_user_scram_credentials),
        alter_user_scram_credentials=deferred(lambda: families.scram_credentials.alter_user_scram_credentials),
        describe_client_quotas=deferred(lambda: families.quotas.describe_client_quotas),
        alter_client_quotas=deferred(lambda: families.quotas.alter_client_quotas),
        describe_log_dirs=deferred(lambda: families.log_dirs.describe_log_dirs),
        alter_replica_log_dirs=deferred(lambda: families.log_dirs.alter_replica_log_dirs),
        get_telemetry_subscriptions=deferred(lambda: families.telemetry.get_telemetry_subscriptions),
        push_telemetry=deferred(lambda: families.telemetry.push_telemetry),
        list_config_resources=deferred(lambda: families.configs.list_config_resources),
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
        consumer_group_heartbeat=deferred(lambda: families.consumer_groups.consumer_group_heartbeat),
        consumer_group_describe=deferred(lambda: families.consumer_groups.consumer_group_describe),
        offset_commit=deferred(lambda: families.offsets.offset_commit),
        offset_fetch=deferred(lambda: families.offsets.offset_fetch),
        offset_delete=deferred(lambda: families.offsets.offset_delete),
    )
