"""What a client sees of the levels of features: at once, and after a restart."""

from __future__ import annotations

from pathlib import Path

from kafka_protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kafka_protocol.messages.consumer_group_describe import ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse
from kafka_protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from kafka_protocol.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest, UpdateFeaturesResponse

from kafka_server.testing.broker import threaded_broker
from tests.differential.raw_client import RawClient

UNSUPPORTED_VERSION = 35


def levels(client: RawClient) -> tuple[dict[str, int], int]:
    request = ApiVersionsRequest(client_software_name="a", client_software_version="1")
    answer = client.ask(request, ApiVersionsResponse, 4)
    return {one.name: one.max_version_level for one in answer.finalized_features}, answer.finalized_features_epoch


def update(client: RawClient, kind: int, **wanted: int) -> int:
    updates = [
        FeatureUpdateKey(feature=name.replace("_", "."), max_version_level=level, upgrade_type=kind)
        for name, level in wanted.items()
    ]
    return client.ask(UpdateFeaturesRequest(feature_updates=updates), UpdateFeaturesResponse, 2).error_code


def joins_a_consumer_group(client: RawClient) -> int:
    request = ConsumerGroupHeartbeatRequest(
        group_id="g",
        member_id="m",
        member_epoch=0,
        rebalance_timeout_ms=1000,
        subscribed_topic_names=[],
        topic_partitions=[],
    )
    return client.ask(request, ConsumerGroupHeartbeatResponse, 1).error_code


def test_levels_count_at_once_and_after_a_restart(tmp_path: Path) -> None:
    on_disk = {"storage": "disk", "log.dirs": str(tmp_path)}
    with threaded_broker(**on_disk) as broker, RawClient(broker.bootstrap) as client:
        assert levels(client) == ({"metadata.version": 33, "transaction.version": 2, "group.version": 1}, 1)
        assert joins_a_consumer_group(client) == 0
        assert update(client, 2, transaction_version=1, group_version=0) == 0
        assert joins_a_consumer_group(client) == UNSUPPORTED_VERSION
        answer = client.ask(ConsumerGroupDescribeRequest(group_ids=["g"]), ConsumerGroupDescribeResponse, 1)
        assert [group.error_code for group in answer.groups] == [UNSUPPORTED_VERSION]

    with threaded_broker(**on_disk) as broker, RawClient(broker.bootstrap) as client:
        assert levels(client) == ({"metadata.version": 33, "transaction.version": 1}, 2)
        assert joins_a_consumer_group(client) == UNSUPPORTED_VERSION
        assert update(client, 1, transaction_version=2, group_version=1) == 0
        assert levels(client)[1] == 3
        assert joins_a_consumer_group(client) == 0
