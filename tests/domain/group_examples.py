"""A classic group with named members for the examples in test_classic_group*.py: no clock, no sockets, no asyncio."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import count

from kafka_server.domain.classic_group import ClassicGroup
from kafka_server.domain.group_values import (
    AnswerJoin,
    AnswerSync,
    Effect,
    GroupLimits,
    JoinCommand,
    JoinResult,
    LeavingMember,
    SyncCommand,
    SyncResult,
)

SESSION_MS = 10_000
REBALANCE_MS = 60_000


def subscription(*topics: str) -> bytes:
    """A consumer's subscription, version 0."""
    names = b"".join(struct.pack(">h", len(topic)) + topic.encode() for topic in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", -1)


def command(member_id: str = "", **changes: object) -> JoinCommand:
    """A JoinGroup of an ordinary consumer that reads topic ``t``."""
    values: dict[str, object] = {
        "member_id": member_id,
        "instance_id": None,
        "client_id": "app",
        "client_host": "127.0.0.1",
        "session_timeout_ms": SESSION_MS,
        "rebalance_timeout_ms": REBALANCE_MS,
        "protocol_type": "consumer",
        "protocols": (("range", subscription("t")),),
    }
    return JoinCommand(**{**values, **changes})  # type: ignore[arg-type]


class Scene:
    """One group, the time, and what everybody was answered. ``None`` as an answer means: still waiting."""

    def __init__(self, **limits: int) -> None:
        self.now_ms = 0
        self.group = ClassicGroup("g", GroupLimits(**limits), 0)
        self.effects: list[Effect] = []
        self._fresh = count(1)

    def join(self, member_id: str = "", **changes: object) -> list[JoinResult]:
        """Sends JoinGroup; the list fills when the answer comes."""
        answers: list[JoinResult] = []
        request = command(member_id, **{"fresh_id": str(next(self._fresh)), **changes})
        self._carry_out(self.group.join(request, answers.append, self.now_ms))
        return answers

    def sync(
        self, result: JoinResult, assignments: dict[str, bytes] | None = None, **changes: object
    ) -> list[SyncResult]:
        answers: list[SyncResult] = []
        values: dict[str, object] = {
            "member_id": result.member_id,
            "instance_id": None,
            "generation": result.generation,
            "protocol_type": result.protocol_type,
            "protocol_name": result.protocol_name,
            "assignments": assignments or {},
        }
        request = SyncCommand(**{**values, **changes})  # type: ignore[arg-type]
        self._carry_out(self.group.sync(request, answers.append, self.now_ms))
        return answers

    def leave(self, *who: LeavingMember) -> list[int]:
        codes, effects = self.group.leave(who, self.now_ms)
        self._carry_out(effects)
        return codes

    def pass_time(self, ms: int) -> None:
        """Moves time and wakes the group whenever it asked to be woken, as the coordinator does."""
        end_ms = self.now_ms + ms
        while self.group.wake_at_ms is not None and self.group.wake_at_ms <= end_ms:
            self.now_ms = self.group.wake_at_ms
            self._carry_out(self.group.on_time(self.now_ms))
        self.now_ms = end_ms

    def enter(self, **changes: object) -> list[JoinResult]:
        """A new dynamic member in both its steps: gets an id, then joins with it."""
        (hello,) = self.join(**changes)
        return self.join(hello.member_id, **changes)

    def stable(self, size: int = 2, **changes: object) -> list[JoinResult]:
        """A stable group of that many dynamic members; the first one leads."""
        joins = [self.join(requires_known_id=False, **changes)]
        for _ in range(size - 1):
            joins.append(self.join(requires_known_id=False, **changes))
            joins = [self.join(old[-1].member_id, **changes) if old else old for old in joins[:-1]] + joins[-1:]
        members = [join[-1] for join in joins]
        waiting = [self.sync(member) for member in members[1:]]
        self.sync(members[0], {member.member_id: member.member_id.encode() for member in members})
        assert all(answer[-1].error_code == 0 for answer in waiting)
        return members

    def told(self, kind: type[Effect]) -> list[Effect]:
        """The effects of that kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        self.effects += effects
        for effect in effects:
            if isinstance(effect, AnswerJoin | AnswerSync):
                effect.answer(effect.result)  # type: ignore[arg-type]
