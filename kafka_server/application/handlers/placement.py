"""ElectLeaders v0-v2, AlterPartitionReassignments v0-v1, ListPartitionReassignments v0: where replicas are, who leads.

Shapes: requests list partitions by topic (null for all); responses have a result per partition, in the order of the
request.
Behaviour: a cluster of one broker has one replica per partition, which is the preferred one and always leads. So an
election is never needed (ELECTION_NOT_NEEDED), and when all partitions are asked for, each topic comes without any. A
partition can be reassigned to where it is, which is done at once; anywhere else there is no broker. No reassignment is
ever under way: there is none to list, and calling one off is NO_REASSIGNMENT_IN_PROGRESS.
Versions: ElectLeaders v0 always elects the preferred replica; v1+ names the kind of election (KIP-460), and an unknown
kind is INVALID_REQUEST for the whole answer and for each partition that was named. AlterPartitionReassignments v1
(KIP-860) may forbid that the replication factor changes, and echoes that; here it cannot change anyway.
Known gaps: none.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafka_protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)
from kafka_protocol.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)
from kafka_protocol.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.topic_service import TopicService
from kafka_server.domain.errors import (
    DomainError,
    ElectionNotNeeded,
    InvalidReplicaAssignment,
    InvalidRequest,
    NoReassignmentInProgress,
    UnknownTopicOrPartition,
)

PREFERRED_ELECTION = 0
UNCLEAN_ELECTION = 1


class PlacementHandlers:
    """Answers ElectLeaders, AlterPartitionReassignments and ListPartitionReassignments."""

    __slots__ = ("_node_id", "_topics")

    def __init__(self, node_id: int, topics: TopicService) -> None:
        self._node_id = node_id
        self._topics = topics

    def elect_leaders(self, context: RequestContext, request: ElectLeadersRequest) -> ElectLeadersResponse:
        response = ElectLeadersResponse()
        refusal: DomainError | None = None
        if request.election_type not in (PREFERRED_ELECTION, UNCLEAN_ELECTION):
            refusal = InvalidRequest(f"Unknown election type {request.election_type}")
            response.error_code = refusal.code
        if request.topic_partitions == []:
            # Apache Kafka does not look at the kind of an election in which nothing is elected.
            return ElectLeadersResponse()
        if request.topic_partitions is None:
            topics = [] if refusal is not None else self._topics.all()
            response.replica_election_results = [ReplicaElectionResult(topic=topic.name) for topic in topics]
            return response
        for wanted in request.topic_partitions:
            result = ReplicaElectionResult(topic=wanted.topic)
            for index in wanted.partitions:
                error = refusal or self._missing(wanted.topic, index) or ElectionNotNeeded()
                result.partition_result.append(
                    PartitionResult(partition_id=index, error_code=error.code, error_message=str(error))
                )
            response.replica_election_results.append(result)
        return response

    def alter_partition_reassignments(
        self, context: RequestContext, request: AlterPartitionReassignmentsRequest
    ) -> AlterPartitionReassignmentsResponse:
        if not request.topics:
            # Apache Kafka does not echo anything then.
            return AlterPartitionReassignmentsResponse()
        response = AlterPartitionReassignmentsResponse(
            allow_replication_factor_change=request.allow_replication_factor_change, error_message=None
        )
        for topic in request.topics:
            result = ReassignableTopicResponse(name=topic.name)
            for partition in topic.partitions:
                answer = ReassignablePartitionResponse(partition_index=partition.partition_index, error_message=None)
                error = self._missing(topic.name, partition.partition_index) or self._unassignable(partition.replicas)
                if error is not None:
                    answer.error_code, answer.error_message = error.code, str(error)
                result.partitions.append(answer)
            response.responses.append(result)
        return response

    def list_partition_reassignments(
        self, context: RequestContext, request: ListPartitionReassignmentsRequest
    ) -> ListPartitionReassignmentsResponse:
        return ListPartitionReassignmentsResponse(error_message=None)

    def _unassignable(self, replicas: Sequence[int] | None) -> DomainError | None:
        """Why a partition cannot be put on these brokers; None for the one that it is on already."""
        if replicas is None:
            return NoReassignmentInProgress()
        if not replicas:
            return InvalidReplicaAssignment("The assignment names no broker")
        strangers = [broker_id for broker_id in replicas if broker_id != self._node_id]
        if strangers:
            return InvalidReplicaAssignment(f"The assignment names broker {strangers[0]}, which is not registered")
        if len(replicas) > 1:
            return InvalidReplicaAssignment(f"The assignment names broker {self._node_id} more than once")
        return None

    def _missing(self, name: str, index: int) -> DomainError | None:
        """Why that partition cannot be spoken about, None when it is there."""
        try:
            count = self._topics.get(name).partition_count
        except DomainError:
            # An illegal name cannot exist, and that is all these APIs say about it.
            return UnknownTopicOrPartition(f"There is no topic named {name}")
        if not 0 <= index < count:
            return UnknownTopicOrPartition(f"There is no partition {name}-{index}")
        return None
