"""ElectLeaders v0-v2: which replica of a partition leads.

Shapes: the request lists partitions by topic (null for all); the response has a result per partition, in the order of
the request.
Behaviour: a cluster of one broker has one replica per partition, which is the preferred one and always leads. So an
election is never needed (ELECTION_NOT_NEEDED), and when all partitions are asked for, each topic comes without any.
Versions: v0 always elects the preferred replica; v1+ names the kind of election (KIP-460), and an unknown kind is
INVALID_REQUEST for the whole answer and for each partition that was named.
Known gaps: none.
"""

from __future__ import annotations

from kafka_protocol.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.topic_service import TopicService
from kafka_server.domain.errors import DomainError, ElectionNotNeeded, InvalidRequest, UnknownTopicOrPartition

PREFERRED_ELECTION = 0
UNCLEAN_ELECTION = 1


class PlacementHandlers:
    """Answers ElectLeaders."""

    __slots__ = ("_topics",)

    def __init__(self, topics: TopicService) -> None:
        self._topics = topics

    def elect_leaders(self, context: RequestContext, request: ElectLeadersRequest) -> ElectLeadersResponse:
        response = ElectLeadersResponse()
        refusal: DomainError | None = None
        if request.election_type not in (PREFERRED_ELECTION, UNCLEAN_ELECTION):
            refusal = InvalidRequest(f"Unknown election type {request.election_type}")
            response.error_code = refusal.code
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
