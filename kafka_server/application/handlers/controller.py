"""DescribeQuorum v0-v2, UpdateFeatures v0-v2, UnregisterBroker v0: what a cluster's controller is asked.

Shapes: DescribeQuorum - a topic and partition, which can only be ``__cluster_metadata`` 0, and its voters;
UpdateFeatures - the levels wanted, and one error for all; UnregisterBroker - a broker id.
Behaviour: this broker is the whole quorum: leader, only voter, always caught up. Any other partition, or another one
beside it, is UNKNOWN_TOPIC_OR_PARTITION. Levels of features change all together or not at all, and count from the next
request on: below transaction.version 2 producers that read it take the first protocol, and at group.version 0 the
consumer protocol is refused. A level that this broker does not know, a downgrade that is not called one, and any of
metadata.version, is INVALID_UPDATE_VERSION. A broker that is not registered cannot be unregistered
(BROKER_ID_NOT_REGISTERED), and this one not either, since it answers (INVALID_REQUEST).
Versions: DescribeQuorum v1+ (KIP-836) tells times, v2+ (KIP-853) addresses and errors in words. UpdateFeatures v0
can only go up, v1+ says the kind of change and whether it is a dry run; v0-v1 list a result per feature on success.
Known gaps: metadata is no replicated log here, so its leader epoch is 1 and its offsets are 0.
"""

from __future__ import annotations

from kafka_protocol.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    DescribeQuorumResponsePartitionData,
    DescribeQuorumResponseTopicData,
    Listener,
    Node,
    ReplicaState,
)
from kafka_protocol.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse
from kafka_protocol.messages.update_features import (
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.feature_service import FeatureService
from kafka_server.application.ports import AdvertisedListeners, Clock
from kafka_server.domain.errors import (
    BrokerIdNotRegistered,
    DomainError,
    InvalidRequest,
    UnknownTopicOrPartition,
)
from kafka_server.domain.features import UPGRADE
from kafka_server.domain.topic_name import CLUSTER_METADATA_TOPIC

LEADER_EPOCH = 1


class ControllerHandlers:
    """Answers DescribeQuorum, UpdateFeatures and UnregisterBroker."""

    __slots__ = ("_clock", "_features", "_listeners", "_node_id")

    def __init__(self, node_id: int, features: FeatureService, listeners: AdvertisedListeners, clock: Clock) -> None:
        self._node_id = node_id
        self._features = features
        self._listeners = listeners
        self._clock = clock

    def describe_quorum(self, context: RequestContext, request: DescribeQuorumRequest) -> DescribeQuorumResponse:
        asked = [
            (topic.topic_name, partition.partition_index) for topic in request.topics for partition in topic.partitions
        ]
        if asked == [(CLUSTER_METADATA_TOPIC, 0)] and len(request.topics) == 1:
            return self._quorum(context)
        missing = UnknownTopicOrPartition()
        return DescribeQuorumResponse(
            topics=[
                DescribeQuorumResponseTopicData(
                    topic_name=topic.topic_name,
                    partitions=[
                        DescribeQuorumResponsePartitionData(
                            partition_index=partition.partition_index,
                            error_code=missing.code,
                            error_message=str(missing),
                        )
                        for partition in topic.partitions
                    ],
                )
                for topic in request.topics
            ]
        )

    def _quorum(self, context: RequestContext) -> DescribeQuorumResponse:
        now_ms = self._clock.now_ms()
        host, port = self._listeners.address_for(context)
        this = ReplicaState(
            replica_id=self._node_id, log_end_offset=0, last_fetch_timestamp=now_ms, last_caught_up_timestamp=now_ms
        )
        partition = DescribeQuorumResponsePartitionData(
            leader_id=self._node_id, leader_epoch=LEADER_EPOCH, high_watermark=0, current_voters=[this]
        )
        response = DescribeQuorumResponse(
            topics=[DescribeQuorumResponseTopicData(topic_name=CLUSTER_METADATA_TOPIC, partitions=[partition])]
        )
        if context.api_version >= 2:
            address = Listener(name=context.listener_name, host=host, port=port)
            response.nodes = [Node(node_id=self._node_id, listeners=[address])]
        return response

    async def update_features(self, context: RequestContext, request: UpdateFeaturesRequest) -> UpdateFeaturesResponse:
        # Apache Kafka, too, looks at ``allow_downgrade`` of v0 no longer.
        updates = [
            (update.feature, update.max_version_level, update.upgrade_type if context.api_version >= 1 else UPGRADE)
            for update in request.feature_updates
        ]
        try:
            await self._features.update(updates, validate_only=request.validate_only)
        except DomainError as error:
            return UpdateFeaturesResponse(error_code=error.code, error_message=str(error))
        response = UpdateFeaturesResponse(error_message=None)
        if context.api_version <= 1:
            response.results = [
                UpdatableFeatureResult(feature=update.feature, error_message=None) for update in request.feature_updates
            ]
        return response

    def unregister_broker(self, context: RequestContext, request: UnregisterBrokerRequest) -> UnregisterBrokerResponse:
        error: DomainError = BrokerIdNotRegistered(f"No broker with id {request.broker_id} is registered")
        if request.broker_id == self._node_id:
            error = InvalidRequest("This is the broker that answers, and the only one; stop it instead")
        return UnregisterBrokerResponse(error_code=error.code, error_message=str(error))
