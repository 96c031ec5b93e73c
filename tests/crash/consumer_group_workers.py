"""Owns: members of a group of the consumer protocol (KIP-848) under attack. Must never know: which faults come, what is
right.

The broker assigns, and gives a partition to nobody before its former owner said that it let go. So what a member
reports as its own in a heartbeat is what it was given, from the moment when it was told.
"""

from __future__ import annotations

import asyncio
import uuid

from kafka_protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
    ConsumerGroupHeartbeatResponse,
)

from tests.crash.group_workers import CONSUMER_GROUP, GROUPED, REBALANCE_MS, Member
from tests.crash.wire_client import Lost
from tests.crash.workers import Setting

LEAVES = -1
PLANS, WEIGHTS = ("stay", "leave", "vanish", "sleep"), (958, 35, 4, 3)
SLEEP_SECONDS = 1.5
"""Longer than ``group.consumer.session.timeout.ms`` of the broker under attack."""


class ConsumerMember(Member):
    """One after the other of the members that this worker sends into the group."""

    def __init__(self, setting: Setting, number: int) -> None:
        super().__init__(setting, CONSUMER_GROUP, number, commit_version=9)
        self._topic_id: uuid.UUID | bytes | None = None

    async def live(self) -> None:
        """Joins and stays until it leaves, vanishes or is fenced."""
        self.lose()
        self.member_id, self.generation = str(uuid.UUID(int=self._rng.getrandbits(128))), 0
        while not self._setting.stop.is_set():
            (plan,) = self._rng.choices(PLANS, WEIGHTS)
            if plan == "leave" and self.generation > 0:
                await self._leave()
                return
            if plan == "vanish":
                self.lose()
                self._client.drop()
                return
            if plan == "sleep":
                await asyncio.sleep(SLEEP_SECONDS)
            try:
                code = await self._heartbeat()
                if not code:
                    await self.commit_something()  # an old epoch is possible: the group moved on in the meantime
            except Lost:
                await asyncio.sleep(0.1)
                continue
            if code:
                former = self.member_id, self.generation
                self.lose()
                if former[1] > 0:
                    await self.try_stale_commit(*former)
                return
            await asyncio.sleep(self._rng.uniform(0.05, 0.2))

    async def _heartbeat(self) -> int:
        self.note("invoke", "heartbeat")
        answer = await self._client.call(self._request(self.generation), 1, ConsumerGroupHeartbeatResponse)
        assert answer is not None
        if answer.error_code:
            self.note("fail", "heartbeat", code=answer.error_code)
            return answer.error_code
        self.generation = answer.member_epoch
        if answer.assignment is not None:
            parts = answer.assignment.topic_partitions
            self._topic_id = parts[0].topic_id if parts else self._topic_id
            partitions = {partition for part in parts for partition in part.partitions}
            if partitions != self.owned:
                await self.take(partitions)
        # Only now, so that what was taken away counts as confirmed up to the heartbeat before.
        self.note("ok", "heartbeat")
        return 0

    def _request(self, epoch: int) -> ConsumerGroupHeartbeatRequest:
        owned = []
        if self.owned and self._topic_id is not None:
            owned.append(ConsumerGroupHeartbeatRequestTopicPartitions(self._topic_id, sorted(self.owned)))
        return ConsumerGroupHeartbeatRequest(
            group_id=self.group,
            member_id=self.member_id,
            member_epoch=epoch,
            rebalance_timeout_ms=REBALANCE_MS,
            subscribed_topic_names=[GROUPED],
            topic_partitions=owned,
        )

    async def _leave(self) -> None:
        answer = await self._client.call(self._request(LEAVES), 1, ConsumerGroupHeartbeatResponse)
        assert answer is not None
        former = self.member_id, self.generation
        self.lose()
        if not answer.error_code:
            await self.try_stale_commit(*former)
