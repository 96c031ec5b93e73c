"""ListGroups (key 16) v0-5, DescribeGroups (key 15) v0-6, DeleteGroups (key 42) v0-3: looking at groups from outside.

Contract
    ListGroups      Every group that this broker knows, also one that is nothing but offsets (its protocol type is "").
    DescribeGroups  State, protocol and members. Metadata of the members and the protocol's name are told while the
                    group is Stable; their assignments always. A group that is not there, or is a group of the consumer
                    protocol (ConsumerGroupDescribe shows those), is described as Dead.
    DeleteGroups    Removes empty groups with their offsets: GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP. A group named twice is
                    deleted and answered once, as in Kafka.
Version notes
    ListGroups      v4+ can filter by state (KIP-518), v5+ by type (KIP-848); neither minds upper and lower case.
    DescribeGroups  v3+ can ask what it may do with the group: without an authorizer, everything that a group allows.
                    v6+ a group that is not there is GROUP_ID_NOT_FOUND with a text (KIP-1043), before that no error.
    DeleteGroups    v3+ has room for a text per group; like Kafka we leave it null for these two errors.
Known gaps
    Groups of the share and streams protocols.

Owns: the shapes of these APIs. Must never know: how groups are stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from kafka_protocol.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse
from kafka_protocol.messages.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from kafka_protocol.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse

from kafka_server.application.context import RequestContext
from kafka_server.application.group_coordinator import GroupCoordinator
from kafka_server.application.offset_manager import OffsetManager
from kafka_server.domain.classic_group import ClassicGroup
from kafka_server.domain.errors import CoordinatorNotAvailable, DomainError, GroupIdNotFound
from kafka_server.domain.group_states import State

GROUP_OPERATIONS = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
"""READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS: a bit per code of AclOperation that fits a group."""


class GroupAdminHandlers:
    """What administrators ask about groups."""

    def __init__(self, coordinator: GroupCoordinator, offsets: OffsetManager) -> None:
        self._coordinator = coordinator
        self._offsets = offsets

    def list_groups(self, context: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse:
        return ListGroupsResponse(
            groups=[
                ListedGroup(
                    group_id=group.group_id,
                    protocol_type=group.protocol_type,
                    group_state=group.state_name,
                    group_type=group.type_name,
                )
                for group in self._coordinator.all(request.states_filter, request.types_filter)
            ]
        )

    def describe_groups(self, context: RequestContext, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
        response = DescribeGroupsResponse()
        for group_id in request.groups:
            try:
                described = describe(self._coordinator.find_classic(group_id))
            except GroupIdNotFound as error:
                described = DescribedGroup(group_id=group_id, group_state=State.DEAD.value)
                if context.api_version >= 6:
                    described.error_code, described.error_message = error.code, str(error)
            if request.include_authorized_operations and described.error_code == 0:
                described.authorized_operations = GROUP_OPERATIONS
            response.groups.append(described)
        return response

    def delete_groups(
        self, context: RequestContext, request: DeleteGroupsRequest
    ) -> DeleteGroupsResponse | Awaitable[DeleteGroupsResponse]:
        response = DeleteGroupsResponse()
        pending: list[tuple[DeletableGroupResult, Awaitable[None]]] = []
        for group_id in dict.fromkeys(request.groups_names):
            result = DeletableGroupResult(group_id=group_id)
            response.results.append(result)
            try:
                stored = self._offsets.delete_group(group_id)
            except DomainError as error:
                result.error_code = error.code
                continue
            if stored is not None:
                pending.append((result, stored))
        return self._finish_delete(response, pending) if pending else response

    async def _finish_delete(
        self, response: DeleteGroupsResponse, pending: list[tuple[DeletableGroupResult, Awaitable[None]]]
    ) -> DeleteGroupsResponse:
        for result, stored in pending:
            try:
                await asyncio.shield(stored)
            except DomainError:
                result.error_code = CoordinatorNotAvailable.code
        return response


def describe(group: ClassicGroup) -> DescribedGroup:
    """The group as DescribeGroups shows it."""
    protocol_name = group.protocol_name if group.state is State.STABLE else None
    return DescribedGroup(
        group_id=group.group_id,
        group_state=group.state_name,
        protocol_type=group.roster.protocol_type or "",
        protocol_data=protocol_name or "",
        members=[
            DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=b"" if protocol_name is None else member.metadata(protocol_name),
                member_assignment=member.assignment,
            )
            for member in group.roster.members.values()
        ],
    )
