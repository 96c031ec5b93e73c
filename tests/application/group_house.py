"""Coordinator, offsets and handlers over memory and a virtual clock, for the examples in this folder.

Requests and answers pass through the wire format of the version that a test names, so that an answer which that version
cannot carry fails the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from kafka_protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from kafka_protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse

from kafka_server.application.context import RequestContext
from kafka_server.application.group_coordinator import GroupCoordinator, GroupSettings
from kafka_server.application.handlers.consumer_groups import ConsumerGroupHandlers
from kafka_server.application.handlers.find_coordinator import FindCoordinatorHandler
from kafka_server.application.handlers.group_admin import GroupAdminHandlers
from kafka_server.application.handlers.group_membership import GroupMembershipHandlers
from kafka_server.application.handlers.offsets import OffsetHandlers
from kafka_server.application.offset_manager import OffsetManager, OffsetSettings
from kafka_server.application.ports import GroupRepository, OffsetRepository
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.memory import MemoryTopicRepository
from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository, MemoryOffsetRepository
from kafka_server.testing.clock import VirtualClock
from tests.domain.group_examples import REBALANCE_MS, SESSION_MS, subscription

TOPIC_ID = bytes(range(16))


class ReachedAddress:
    """AdvertisedListeners without configuration."""

    def address_for(self, context: RequestContext) -> tuple[str, int]:
        return context.local_host, context.local_port


@dataclass
class House:
    """Everything that serves groups, wired as bootstrap does."""

    group_settings: GroupSettings = field(default_factory=GroupSettings)
    offset_settings: OffsetSettings = field(default_factory=OffsetSettings)
    groups: GroupRepository = field(default_factory=MemoryGroupRepository)
    offsets: OffsetRepository = field(default_factory=MemoryOffsetRepository)
    clock: VirtualClock = field(default_factory=VirtualClock)

    async def open(self) -> House:
        self.topics = MemoryTopicRepository()
        await self.topics.add(Topic("t", TOPIC_ID, 2))
        self.coordinator = GroupCoordinator(self.clock, self.groups, self.group_settings, self.topics)
        self.manager = OffsetManager(self.clock, self.offsets, self.coordinator, self.offset_settings)
        await self.coordinator.load()
        await self.manager.load()
        families: list[object] = [
            FindCoordinatorHandler(7, ReachedAddress()),
            GroupMembershipHandlers(self.coordinator),
            OffsetHandlers(self.manager, self.topics, self.clock),
            GroupAdminHandlers(self.coordinator, self.manager),
            ConsumerGroupHandlers(self.coordinator, self.topics),
        ]
        self.handlers = {
            name: getattr(family, name) for family in families for name in dir(family) if not name.startswith("_")
        }
        return self

    def ask(self, request: Any, version: int | None = None, client_id: str = "app") -> Any:
        """The decoded answer, or an awaitable of it when the handler has to wait."""
        version = type(request).max_version if version is None else version
        context = RequestContext("PLAINTEXT", "10.0.0.1", 9092, "10.0.0.9", 40_000, "c", client_id=client_id)
        context.api_version = version
        decoded = type(request).decode(request.encode(version), version)
        name = snake(type(request).__name__.removesuffix("Request"))
        answer = self.handlers[name](context, decoded)
        if isinstance(answer, Awaitable):
            return _later(answer, version)
        return over_the_wire(answer, version)

    def join(self, member_id: str = "", version: int = 9, **changes: Any) -> Any:
        fields: dict[str, Any] = {
            "group_id": "g",
            "session_timeout_ms": SESSION_MS,
            "rebalance_timeout_ms": REBALANCE_MS,
            "member_id": member_id,
            "protocol_type": "consumer",
            "protocols": [JoinGroupRequestProtocol(name="range", metadata=subscription("t"))],
        }
        return self.ask(JoinGroupRequest(**{**fields, **changes}), version)

    def sync(self, joined: JoinGroupResponse, assignments: dict[str, bytes] | None = None, version: int = 5) -> Any:
        request = SyncGroupRequest(
            group_id="g",
            generation_id=joined.generation_id,
            member_id=joined.member_id,
            protocol_type="consumer",
            protocol_name=joined.protocol_name,
            assignments=[
                SyncGroupRequestAssignment(member_id=member_id, assignment=assignment)
                for member_id, assignment in (assignments or {}).items()
            ],
        )
        return self.ask(request, version)

    def stable_member(self, version: int = 3) -> JoinGroupResponse:
        """The only member of group ``g``, which is stable; joined with a version that needs one step."""
        joined: JoinGroupResponse = self.join(version=version)
        synced: SyncGroupResponse = self.sync(joined, {joined.member_id: b"all"})
        assert (joined.error_code, synced.error_code, synced.assignment) == (0, 0, b"all")
        return joined


async def _later(answer: Awaitable[Any], version: int) -> Any:
    return over_the_wire(await answer, version)


def over_the_wire(message: Any, version: int) -> Any:
    return type(message).decode(message.encode(version), version)


def waiting(answer: Any) -> asyncio.Task[Any]:
    """A request that waits, begun; ``done()`` tells whether it was answered."""
    assert isinstance(answer, Awaitable)
    return asyncio.ensure_future(answer)  # type: ignore[arg-type,return-value]


async def settle() -> None:
    """Lets everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


def snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")
