"""JoinGroup (key 11) v0-9, SyncGroup (key 14) v0-5, Heartbeat (key 12) v0-4, LeaveGroup (key 13) v0-5: the classic
group protocol, in which a member of the group assigns and the coordinator only keeps the barriers.

Contract
    JoinGroup waits until the join barrier closes, SyncGroup until the leader has brought the assignment; the other two
    answer at once. A client that disconnects while it waits stays a member until its session or the rebalance time-out
    ends, because a new connection of the same member may be on its way. Errors are Kafka's: INVALID_GROUP_ID,
    INVALID_SESSION_TIMEOUT, INCONSISTENT_GROUP_PROTOCOL, MEMBER_ID_REQUIRED, UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION,
    REBALANCE_IN_PROGRESS, FENCED_INSTANCE_ID, GROUP_MAX_SIZE_REACHED, COORDINATOR_NOT_AVAILABLE.
Version notes
    JoinGroup   v0 has no rebalance time-out: the session time-out stands in. v4+ a stranger gets an id first (KIP-394).
                v5+ static members (KIP-345). v7+ the protocol may be null in an answer (KIP-559), before that it is
                empty. v8+ reasons (KIP-800). v9+ a static leader may be told to skip the assignment (KIP-814).
    SyncGroup   v5+ the protocol type and name are mandatory, else INCONSISTENT_GROUP_PROTOCOL (KIP-559).
    LeaveGroup  v3+ a list of members, by member id or by instance id alone (KIP-345), v0-2 one member: those are
                lifted to the list, and the one code is lowered to the top level.
Groups of the consumer protocol (KIP-848)
    While such a group has members, these APIs let clients of the classic protocol take part in it, so that a group can
    be upgraded one member at a time; JoinGroup and SyncGroup then answer at once, without a leader. An empty one
    becomes a classic group when somebody joins with JoinGroup.
Known gaps
    None.

Owns: the shapes of these APIs. Must never know: the rules of a group, sessions, timers.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable

from kafka_protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kafka_protocol.messages.join_group import JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember
from kafka_protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse
from kafka_protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse

from kafka_server.application.context import RequestContext
from kafka_server.application.group_coordinator import GroupCoordinator
from kafka_server.domain.errors import DomainError, InconsistentGroupProtocol
from kafka_server.domain.group_values import JoinCommand, JoinResult, LeavingMember, SyncCommand, SyncResult

REASON_LENGTH_MAX = 255
"""What clients cut their reasons to; longer ones are not from a Kafka client and not worth a log line."""


class GroupMembershipHandlers:
    """What members ask of their coordinator."""

    def __init__(self, coordinator: GroupCoordinator) -> None:
        self._coordinator = coordinator

    def join_group(
        self, context: RequestContext, request: JoinGroupRequest
    ) -> JoinGroupResponse | Awaitable[JoinGroupResponse]:
        version = context.api_version
        answered: asyncio.Future[JoinGroupResponse] = asyncio.get_running_loop().create_future()

        def answer(result: JoinResult) -> None:
            if not answered.done():  # The client may be gone; the connection has cancelled the future then.
                answered.set_result(join_response(result, version))

        self._coordinator.join(request.group_id, join_command(context, request), answer)
        return answered.result() if answered.done() else answered

    def sync_group(
        self, context: RequestContext, request: SyncGroupRequest
    ) -> SyncGroupResponse | Awaitable[SyncGroupResponse]:
        if context.api_version >= 5 and (request.protocol_type is None or request.protocol_name is None):
            return SyncGroupResponse(error_code=InconsistentGroupProtocol.code)
        answered: asyncio.Future[SyncGroupResponse] = asyncio.get_running_loop().create_future()

        def answer(result: SyncResult) -> None:
            if not answered.done():
                answered.set_result(sync_response(result))

        command = SyncCommand(
            request.member_id,
            request.group_instance_id,
            request.generation_id,
            request.protocol_type,
            request.protocol_name,
            {one.member_id: one.assignment for one in request.assignments},
        )
        self._coordinator.sync(request.group_id, command, answer)
        return answered.result() if answered.done() else answered

    def heartbeat(self, context: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse:
        try:
            self._coordinator.heartbeat(
                request.group_id, request.member_id, request.group_instance_id, request.generation_id
            )
        except DomainError as error:
            return HeartbeatResponse(error_code=error.code)
        return HeartbeatResponse()

    def leave_group(self, context: RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse:
        leaving = lift_leaving(request, context.api_version)
        try:
            codes = self._coordinator.leave(
                request.group_id,
                [LeavingMember(m.member_id, m.group_instance_id, cut(m.reason)) for m in leaving],
            )
        except DomainError as error:
            return LeaveGroupResponse(error_code=error.code)
        return lower_left(leaving, codes, context.api_version)


def join_command(context: RequestContext, request: JoinGroupRequest) -> JoinCommand:
    """What the client asks, free of versions."""
    version = context.api_version
    return JoinCommand(
        member_id=request.member_id,
        instance_id=request.group_instance_id,
        client_id=context.client_id,
        client_host=f"/{context.client_host}",  # Kafka prints Java's form of an address, and tools show it.
        session_timeout_ms=request.session_timeout_ms,
        rebalance_timeout_ms=request.rebalance_timeout_ms if version >= 1 else request.session_timeout_ms,
        protocol_type=request.protocol_type,
        protocols=tuple((protocol.name, protocol.metadata) for protocol in request.protocols),
        reason=cut(request.reason),
        requires_known_id=version >= 4,
        can_skip_assignment=version >= 9,
        fresh_id="" if request.member_id else str(uuid.uuid4()),
    )


def join_response(result: JoinResult, version: int) -> JoinGroupResponse:
    return JoinGroupResponse(
        error_code=result.error_code,
        generation_id=result.generation,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol_name if version >= 7 else result.protocol_name or "",
        leader=result.leader_id,
        skip_assignment=result.skip_assignment,
        member_id=result.member_id,
        members=[
            JoinGroupResponseMember(member_id=m.member_id, group_instance_id=m.instance_id, metadata=m.metadata)
            for m in result.members
        ],
    )


def sync_response(result: SyncResult) -> SyncGroupResponse:
    return SyncGroupResponse(
        error_code=result.error_code,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol_name,
        assignment=result.assignment,
    )


def lift_leaving(request: LeaveGroupRequest, version: int) -> list[MemberIdentity]:
    """Who leaves, as the list that v3 introduced."""
    return request.members if version >= 3 else [MemberIdentity(member_id=request.member_id)]


def lower_left(leaving: list[MemberIdentity], codes: list[int], version: int) -> LeaveGroupResponse:
    """One code per member; before v3 the one member's code is the answer's."""
    if version < 3:
        return LeaveGroupResponse(error_code=codes[0])
    return LeaveGroupResponse(
        members=[
            MemberResponse(member_id=m.member_id, group_instance_id=m.group_instance_id, error_code=code)
            for m, code in zip(leaving, codes, strict=True)
        ]
    )


def cut(reason: str | None) -> str:
    """A reason, short enough to keep."""
    return (reason or "")[:REASON_LENGTH_MAX]
