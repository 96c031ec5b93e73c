"""ConsumerGroupHeartbeat (key 68) v0-1, ConsumerGroupDescribe (key 69) v0-1: the consumer protocol of KIP-848.

Contract
    ConsumerGroupHeartbeat  Everything in the life of a member. Epoch 0 joins, and says all: rebalance time-out, what to
                read, no partitions. Later ones say what is new and which partitions the member has; the answer tells
                what it may use, when that changed or the request said all again. Epoch -1 leaves, -2 says that a
                static member will be back. Answered at once; when state changed, as soon as that is stored.
                Errors: INVALID_REQUEST (a first request without one of its parts, empty ids), UNSUPPORTED_ASSIGNOR,
                INVALID_REGULAR_EXPRESSION, GROUP_ID_NOT_FOUND (no such group, or a classic one that cannot be
                upgraded), UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID, FENCED_INSTANCE_ID,
                GROUP_MAX_SIZE_REACHED, COORDINATOR_NOT_AVAILABLE. Without ``consumer`` in
                group.coordinator.rebalance.protocols, or at group.version 0: UNSUPPORTED_VERSION.
    ConsumerGroupDescribe   A group that is not there, or not of this protocol, is GROUP_ID_NOT_FOUND, an empty id
                            INVALID_GROUP_ID.
Version notes
    ConsumerGroupHeartbeat  v0 a member without an id is given one. v1+ members bring their own (KIP-1082), and may
                            subscribe by regular expression.
    ConsumerGroupDescribe   v1+ tells which protocol a member speaks (KIP-1099).
Known gaps
    Racks are stored and shown; no assignor looks at them, as in Apache Kafka.

Owns: the shapes of these APIs. Must never know: the rules of a group, sessions, timers.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from kafka_protocol.messages.consumer_group_describe import (
    Assignment as DescribedAssignment,
)
from kafka_protocol.messages.consumer_group_describe import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
    Member,
)
from kafka_protocol.messages.consumer_group_describe import (
    TopicPartitions as DescribedPartitions,
)
from kafka_protocol.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
    ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatResponseTopicPartitions,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.group_coordinator import GroupCoordinator
from kafka_server.application.handlers.group_admin import GROUP_OPERATIONS
from kafka_server.application.ports import TopicRepository
from kafka_server.domain.consumer_group import ConsumerGroup
from kafka_server.domain.consumer_member import AWAY_EPOCH, LEFT_EPOCH, ConsumerMember
from kafka_server.domain.errors import DomainError, GroupIdNotFound, InvalidGroupId, InvalidRequest, UnsupportedVersion
from kafka_server.domain.group_values import HeartbeatCommand, HeartbeatResult

UNCHANGED = -1
CLASSIC_MEMBER, CONSUMER_MEMBER = 0, 1


class ConsumerGroupHandlers:
    """What members of the consumer protocol ask, and what administrators ask about them."""

    def __init__(
        self, coordinator: GroupCoordinator, topics: TopicRepository, is_enabled: Callable[[], bool] = lambda: True
    ) -> None:
        self._coordinator = coordinator
        self._topics = topics
        self._is_enabled = is_enabled

    def consumer_group_heartbeat(
        self, context: RequestContext, request: ConsumerGroupHeartbeatRequest
    ) -> ConsumerGroupHeartbeatResponse | Awaitable[ConsumerGroupHeartbeatResponse]:
        try:
            if not self._is_enabled():
                raise UnsupportedVersion
            check_request(request, context.api_version)
        except DomainError as error:
            return ConsumerGroupHeartbeatResponse(error_code=error.code, error_message=str(error))
        answered: asyncio.Future[ConsumerGroupHeartbeatResponse] | None = None
        response: ConsumerGroupHeartbeatResponse | None = None

        def answer(result: HeartbeatResult) -> None:
            nonlocal response
            response = heartbeat_response(result)
            if answered is not None and not answered.done():  # The client may be gone.
                answered.set_result(response)

        self._coordinator.consumer_heartbeat(request.group_id, heartbeat_command(context, request), answer)
        if response is not None:
            return response
        answered = asyncio.get_running_loop().create_future()
        return answered

    def consumer_group_describe(
        self, context: RequestContext, request: ConsumerGroupDescribeRequest
    ) -> ConsumerGroupDescribeResponse:
        response = ConsumerGroupDescribeResponse()
        for group_id in request.group_ids:
            if not self._is_enabled():
                response.groups.append(DescribedGroup(group_id=group_id, error_code=UnsupportedVersion.code))
                continue
            try:
                if not group_id:
                    raise InvalidGroupId
                described = self._describe(self._coordinator.find_consumer(group_id))
            except (GroupIdNotFound, InvalidGroupId) as error:
                described = DescribedGroup(group_id=group_id, error_code=error.code, error_message=str(error))
            if request.include_authorized_operations and described.error_code == 0:
                described.authorized_operations = GROUP_OPERATIONS
            response.groups.append(described)
        return response

    def _describe(self, group: ConsumerGroup) -> DescribedGroup:
        return DescribedGroup(
            group_id=group.group_id,
            group_state=group.state_name,
            group_epoch=group.epoch,
            assignment_epoch=group.target_epoch,
            assignor_name=group.preferred_assignor(),
            members=[self._describe_member(group, member) for member in group.roster.members.values()],
        )

    def _describe_member(self, group: ConsumerGroup, member: ConsumerMember) -> Member:
        has: dict[bytes, list[int]] = {}
        for held in (member.assigned, member.revoking):
            for topic_id, partitions in held.items():
                has.setdefault(topic_id, []).extend(partitions)
        return Member(
            member_id=member.member_id,
            instance_id=member.instance_id,
            rack_id=member.rack_id,
            member_epoch=member.epoch,
            client_id=member.client_id,
            client_host=member.client_host,
            subscribed_topic_names=sorted(member.topics),
            subscribed_topic_regex=member.pattern,
            assignment=self._describe_partitions(has),
            target_assignment=self._describe_partitions(group.targets.get(member.member_id, {})),
            member_type=CONSUMER_MEMBER if member.classic is None else CLASSIC_MEMBER,
        )

    def _describe_partitions(self, partitions: Mapping[bytes, Iterable[int]]) -> DescribedAssignment:
        """By name and id; a topic that was deleted meanwhile has no name and is left out."""
        topics = ((self._topics.get_by_id(topic_id), indexes) for topic_id, indexes in partitions.items())
        return DescribedAssignment(
            topic_partitions=[
                DescribedPartitions(topic_id=topic.topic_id, topic_name=topic.name, partitions=sorted(indexes))
                for topic, indexes in topics
                if topic is not None
            ]
        )


def check_request(request: ConsumerGroupHeartbeatRequest, version: int) -> None:
    """Raises InvalidRequest for a heartbeat that contradicts itself."""
    epoch = request.member_epoch
    if (version >= 1 or epoch > 0 or epoch == LEFT_EPOCH) and not request.member_id.strip():
        raise InvalidRequest("The member id must not be empty")
    texts = (("group id", request.group_id), ("instance id", request.instance_id), ("rack id", request.rack_id))
    for name, text in texts:
        if text is not None and not text.strip():
            raise InvalidRequest(f"The {name} must not be empty")
    if epoch == 0:
        if request.rebalance_timeout_ms == UNCHANGED:
            raise InvalidRequest("A member that joins must tell its rebalance time-out")
        if request.topic_partitions is None or request.topic_partitions:
            raise InvalidRequest("A member that joins must tell that it has no partitions")
        if request.subscribed_topic_names is None and request.subscribed_topic_regex is None:
            raise InvalidRequest("A member that joins must tell what it reads: names or a regular expression")
    elif epoch == AWAY_EPOCH and request.instance_id is None:
        raise InvalidRequest("Only a member with an instance id can say that it will be back")
    elif epoch < AWAY_EPOCH:
        raise InvalidRequest(f"There is no member epoch {epoch}")


def heartbeat_command(context: RequestContext, request: ConsumerGroupHeartbeatRequest) -> HeartbeatCommand:
    """What the member says, free of the wire's stand-ins for "as before"."""
    names, timeout_ms = request.subscribed_topic_names, request.rebalance_timeout_ms
    return HeartbeatCommand(
        member_id=request.member_id or str(uuid.uuid4()),
        epoch=request.member_epoch,
        instance_id=request.instance_id,
        rack_id=request.rack_id,
        client_id=context.client_id,
        client_host=f"/{context.client_host}",  # Kafka prints Java's form of an address, and tools show it.
        rebalance_timeout_ms=None if timeout_ms == UNCHANGED else timeout_ms,
        topics=None if names is None else frozenset(names),
        pattern=request.subscribed_topic_regex,
        assignor=request.server_assignor,
        owned=None if request.topic_partitions is None else owned_partitions(request.topic_partitions),
    )


def owned_partitions(
    reported: Sequence[ConsumerGroupHeartbeatRequestTopicPartitions],
) -> dict[bytes, frozenset[int]]:
    """What the member says that it has."""
    owned: dict[bytes, frozenset[int]] = {}
    for topic in reported:
        owned[topic.topic_id] = owned.get(topic.topic_id, frozenset()) | frozenset(topic.partitions)
    return owned


def heartbeat_response(result: HeartbeatResult) -> ConsumerGroupHeartbeatResponse:
    assignment = None
    if result.assigned is not None:
        assignment = Assignment(
            topic_partitions=[
                ConsumerGroupHeartbeatResponseTopicPartitions(topic_id=topic_id, partitions=list(partitions))
                for topic_id, partitions in result.assigned.items()
            ]
        )
    return ConsumerGroupHeartbeatResponse(
        error_code=result.error_code,
        error_message=result.error_message,
        member_id=result.member_id,
        member_epoch=result.epoch,
        heartbeat_interval_ms=result.heartbeat_interval_ms,
        assignment=assignment,
    )
