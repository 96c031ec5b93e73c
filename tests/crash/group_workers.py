"""Owns: members of groups under attack, of the classic protocol - they join, lead, commit, leave, vanish, and come back
as zombies. Must never know: which faults come, what is right.

A member writes down what it was given (``assigned``), when the broker last confirmed it (``heartbeat``, an ``ok`` with
its ``invoke``), when it knows that it has it no more (``unassigned``), and every commit with its generation. What
members tell each other about the assignment is opaque to the broker, so it is JSON here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from kafka_protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kafka_protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from kafka_protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity
from kafka_protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from kafka_protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse

from tests.crash.wire_client import Lost
from tests.crash.workers import Setting, fetch_committed

GROUPED = "grouped"
"""The topic that members divide among themselves. Nothing is written to it: offsets and owners are what counts."""
PARTITIONS = 6
CLASSIC_GROUP, CONSUMER_GROUP = "classic-members", "consumer-members"
MEMBERS = 3
SESSION_MS, REBALANCE_MS = 1_000, 1_500
TOLD_TO_JOIN_AGAIN = {22, 27}
"""ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS"""
MEMBER_ID_REQUIRED = 79
PLANS, WEIGHTS = ("stay", "leave", "vanish", "sleep", "rejoin"), (84, 7, 3, 2, 4)


class Member:
    """What members of both protocols have in common: positions, commits, notes."""

    def __init__(self, setting: Setting, group: str, number: int, commit_version: int) -> None:
        self.name = f"{group}-{number}"
        self.group = group
        self.member_id = ""
        self.instance_id: str | None = None
        self.generation = -1
        self.owned: set[int] = set()
        self._commit_version = commit_version
        self._setting = setting
        self._history = setting.history
        self._rng = setting.rng(self.name)
        self._client = setting.client(self.name)
        self._positions: dict[int, int] = {}

    async def run(self) -> None:
        """One life after the other."""
        while not self._setting.stop.is_set():
            try:
                await self.live()
            except Lost:
                await asyncio.sleep(0.05)

    async def live(self) -> None:
        raise NotImplementedError

    def note(self, kind: str, operation: str, **facts: object) -> None:
        self._history.add(
            kind,  # type: ignore[arg-type]
            self.name,
            operation,
            group=self.group,
            member=self.member_id,
            # A static member that comes back under another id takes over in the same generation (KIP-345).
            owner=self.instance_id or self.member_id,
            generation=self.generation,
            **facts,
        )

    async def take(self, partitions: Iterable[int]) -> None:
        """From now on these are ours; positions of new ones are what the group has committed."""
        before, self.owned = self.owned, set(partitions)
        self.note("ok", "assigned", partitions=sorted(self.owned))
        for partition in before - self.owned:
            self._positions.pop(partition, None)
        if self.owned - self._positions.keys():
            await self._fetch_positions()

    async def _fetch_positions(self) -> None:
        found = await fetch_committed(self._setting, self._client, self.group, GROUPED, PARTITIONS, self.name)
        for partition in self.owned - self._positions.keys():
            self._positions[partition] = max(0, found.get(partition, 0))

    def lose(self) -> None:
        """Nothing is ours any more, and we know it."""
        if self.owned:
            self.note("ok", "unassigned")
        self.owned = set()
        self._positions.clear()

    async def commit_something(self) -> int:
        """Commits progress in one of our partitions; the error code."""
        ready = sorted(self.owned & self._positions.keys())
        if not ready:
            return 0
        partition = self._rng.choice(ready)
        self._positions[partition] += self._rng.randrange(1, 4)
        return await self.commit(partition, self._positions[partition], self.member_id, self.generation)

    async def commit(self, partition: int, offset: int, member_id: str, generation: int) -> int:
        """One OffsetCommit with that identity; the error code. Raises one of ``Lost``."""
        facts = {"group": self.group, "topic": GROUPED, "partition": partition, "offset": offset}
        facts |= {"member": member_id, "generation": generation}
        row = OffsetCommitRequestPartition(partition, offset, committed_metadata=f"m{offset}")
        request = OffsetCommitRequest(
            group_id=self.group,
            generation_id_or_member_epoch=generation,
            member_id=member_id,
            group_instance_id=self.instance_id,
            topics=[OffsetCommitRequestTopic(name=GROUPED, partitions=[row])],
        )
        self._history.add("invoke", self.name, "commit", **facts)
        try:
            answer = await self._client.call(request, self._commit_version, OffsetCommitResponse)
        except Lost as error:
            self._history.add("info", self.name, "commit", error=repr(error), **facts)
            raise
        assert answer is not None
        code = answer.topics[0].partitions[0].error_code
        self._history.add("fail" if code else "ok", self.name, "commit", code=code, **facts)
        return code

    async def try_stale_commit(self, member_id: str, generation: int) -> None:
        """A commit of somebody who is not a member any more, or in a generation that is over: it has to fail."""
        facts = {"group": self.group, "member": member_id, "generation": generation}
        code = await self.commit(self._rng.randrange(PARTITIONS), 0, member_id, generation)
        self._history.add("fail" if code else "ok", self.name, "group-stale", code=code, **facts)


class ClassicMember(Member):
    """One after the other of the members that this worker sends into the group. The first of them is a static one."""

    def __init__(self, setting: Setting, number: int) -> None:
        super().__init__(setting, CLASSIC_GROUP, number, commit_version=8)
        self.instance_id = self.name if number == 0 else None

    async def live(self) -> None:
        """Joins and stays until it leaves, vanishes or is thrown out."""
        while not self._setting.stop.is_set():
            previous = self.member_id, self.generation
            if not await self._join():
                continue
            if not await self._sync():
                continue
            # Not before: a generation is stored when its leader has assigned, a crash may take back an answered join.
            if 0 <= previous[1] < self.generation and self._rng.random() < 0.5:
                await self.try_stale_commit(*previous)
            if not await self._stay():
                return

    async def _join(self) -> bool:
        """Whether this is a member of a new generation now."""
        request = JoinGroupRequest(
            group_id=self.group,
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            member_id=self.member_id,
            group_instance_id=self.instance_id,
            protocol_type="crash",
            protocols=[JoinGroupRequestProtocol("json", b"")],
        )
        answer = await self._client.call(request, 7, JoinGroupResponse)
        assert answer is not None
        if answer.error_code == MEMBER_ID_REQUIRED:
            self.member_id = answer.member_id
            return False
        if answer.error_code:
            await self._refused(answer.error_code)
            return False
        if answer.generation_id != self.generation:
            self.lose()
        self.member_id, self.generation = answer.member_id, answer.generation_id
        self._others = [member.member_id for member in answer.members]
        self.note("ok", "joined", leader=answer.leader == self.member_id)
        return True

    async def _sync(self) -> bool:
        """Whether it has its part of the topic now."""
        request = SyncGroupRequest(self.group, self.generation, self.member_id, self.instance_id, "crash", "json")
        for place, member_id in enumerate(sorted(self._others)):
            # Another member gets another part in each generation.
            part = range((place + self.generation) % len(self._others), PARTITIONS, len(self._others))
            request.assignments.append(SyncGroupRequestAssignment(member_id, json.dumps(list(part)).encode()))
        answer = await self._client.call(request, 5, SyncGroupResponse)
        assert answer is not None
        if answer.error_code:
            await self._refused(answer.error_code)
            return False
        await self.take(json.loads(bytes(answer.assignment) or b"[]"))
        return True

    async def _stay(self) -> bool:
        """Works until something happens; whether it goes on as the same member."""
        while not self._setting.stop.is_set():
            (plan,) = self._rng.choices(PLANS, WEIGHTS)
            if plan == "leave":
                return await self._leave()
            if plan == "vanish":
                self._forget_itself()
                return False
            if plan == "sleep":
                await asyncio.sleep(SESSION_MS / 1000 + 0.5)
            if plan == "rejoin":
                return True
            try:
                code = await self._heartbeat() or await self.commit_something()
            except Lost:
                # The broker remembers the generation over a restart, so there is no reason to join again.
                await asyncio.sleep(0.1)
                continue
            if code:
                await self._refused(code)
                return True
            await asyncio.sleep(self._rng.uniform(0.05, 0.2))
        return False

    async def _heartbeat(self) -> int:
        self.note("invoke", "heartbeat")
        request = HeartbeatRequest(self.group, self.generation, self.member_id, self.instance_id)
        answer = await self._client.call(request, 4, HeartbeatResponse)
        assert answer is not None
        self.note("fail" if answer.error_code else "ok", "heartbeat", code=answer.error_code)
        return answer.error_code

    async def _leave(self) -> bool:
        who = MemberIdentity(self.member_id, self.instance_id)
        answer = await self._client.call(LeaveGroupRequest(self.group, members=[who]), 4, LeaveGroupResponse)
        assert answer is not None
        former = self.member_id, self.generation
        is_gone = not answer.error_code and not answer.members[0].error_code
        self._forget_itself()
        if is_gone:
            await self.try_stale_commit(*former)
        return False

    def _forget_itself(self) -> None:
        self.lose()
        self._client.drop()
        self.member_id, self.generation = "", -1

    async def _refused(self, code: int) -> None:
        """Whoever is told to join again keeps its id; whoever is unknown comes back as somebody else."""
        if code not in TOLD_TO_JOIN_AGAIN:
            self.lose()
            self.member_id, self.generation = "", -1
            await asyncio.sleep(0.05)
