"""DescribeCluster v0-v2: the brokers of the cluster, for admin clients that need no topics (KIP-700).

Shapes: request - whether to tell the allowed operations, which kind of endpoint is meant (v1+), whether fenced brokers
count (v2+); response - cluster id, controller, brokers.
Behaviour: one broker, which is the controller, and is never fenced while it answers.
Versions: v1+ (KIP-919) an endpoint type that is not "broker" is MISMATCHED_ENDPOINT_TYPE, an unknown one
UNSUPPORTED_ENDPOINT_TYPE; v0 has no such field.
Known gaps: none.
"""

from __future__ import annotations

from kafka_protocol.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)

from kafka_server.application.cluster import Cluster
from kafka_server.application.context import RequestContext
from kafka_server.application.ports import AdvertisedListeners
from kafka_server.domain.access import CLUSTER_OPERATIONS, NOT_ASKED, operation_bits
from kafka_server.domain.errors import MismatchedEndpointType, UnsupportedEndpointType

BROKER_ENDPOINT = 1
CONTROLLER_ENDPOINT = 2


class DescribeClusterHandlers:
    """Answers DescribeCluster."""

    __slots__ = ("_cluster", "_listeners")

    def __init__(self, cluster: Cluster, listeners: AdvertisedListeners) -> None:
        self._cluster = cluster
        self._listeners = listeners

    def describe_cluster(self, context: RequestContext, request: DescribeClusterRequest) -> DescribeClusterResponse:
        if request.endpoint_type == CONTROLLER_ENDPOINT:
            return DescribeClusterResponse(
                error_code=MismatchedEndpointType.code,
                error_message="The request was sent to a broker, but asks for a controller",
            )
        if request.endpoint_type != BROKER_ENDPOINT:
            return DescribeClusterResponse(
                error_code=UnsupportedEndpointType.code,
                error_message=f"Unsupported endpoint type {request.endpoint_type}",
            )
        host, port = self._listeners.address_for(context)
        cluster = self._cluster
        asked = request.include_cluster_authorized_operations
        return DescribeClusterResponse(
            endpoint_type=BROKER_ENDPOINT,
            cluster_id=cluster.cluster_id,
            controller_id=cluster.node_id,
            brokers=[DescribeClusterBroker(broker_id=cluster.node_id, host=host, port=port, rack=cluster.rack)],
            cluster_authorized_operations=operation_bits(CLUSTER_OPERATIONS) if asked else NOT_ASKED,
        )
