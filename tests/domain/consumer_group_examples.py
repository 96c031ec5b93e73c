"""A group of the consumer protocol with named members for the examples in test_consumer_group*.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kafka_server.domain.consumer_group import ConsumerGroup
from kafka_server.domain.group_values import AnswerHeartbeat, ConsumerLimits, Effect, HeartbeatCommand, HeartbeatResult
from kafka_server.domain.topic import Topic

SESSION_MS = 45_000
REBALANCE_MS = 60_000


class Topics:
    """A catalog of topics that can be changed."""

    def __init__(self, **partition_counts: int) -> None:
        self.by_name = {name: Topic(name, topic_id(name), count) for name, count in partition_counts.items()}

    def get(self, name: str) -> Topic | None:
        return self.by_name.get(name)

    def get_by_id(self, wanted: bytes) -> Topic | None:
        return next((topic for topic in self.by_name.values() if topic.topic_id == wanted), None)

    def all(self) -> Sequence[Topic]:
        return list(self.by_name.values())


def topic_id(name: str) -> bytes:
    """The id of a topic: its name, filled up."""
    return name.encode().ljust(16, b".")


class Scene:
    """One group and the time. Members are named by letters and read topic ``t`` unless they say otherwise."""

    def __init__(self, **changes: Any) -> None:
        self.now_ms = 1_000
        self.topics = Topics(t=4, u=2)
        limits: dict[str, Any] = {"assignment_interval_ms": 0, "assignors": ("range", "uniform"), **changes}
        self.group = ConsumerGroup("g", ConsumerLimits(**limits), self.topics)
        self.effects: list[Effect] = []

    def beat(
        self, member: str, epoch: int, owned: Mapping[str, Sequence[int]] | None = None, **new: Any
    ) -> HeartbeatResult:
        """Sends a heartbeat; what it changed is in ``effects``."""
        answers: list[HeartbeatResult] = []
        if owned is not None:
            new["owned"] = {topic_id(name): frozenset(partitions) for name, partitions in owned.items()}
        command = HeartbeatCommand(member, epoch, client_id="app", client_host="/10.0.0.1", **new)
        self.effects = list(self.group.consumer_heartbeat(command, answers.append, self.now_ms))
        for effect in self.effects:
            if isinstance(effect, AnswerHeartbeat):
                effect.answer(effect.result)
        (answer,) = answers
        return answer

    def join(self, member: str, *topics: str, **new: Any) -> HeartbeatResult:
        fields: dict[str, Any] = {"rebalance_timeout_ms": REBALANCE_MS, "topics": frozenset(topics or ("t",)), **new}
        return self.beat(member, 0, {}, **fields)

    def pass_time(self, by_ms: int) -> None:
        self.now_ms += by_ms
        wake_at_ms = self.group.wake_at_ms
        if wake_at_ms is not None and wake_at_ms <= self.now_ms:
            self.effects = list(self.group.on_time(self.now_ms))

    def two(self) -> None:
        """Members ``a`` and ``b`` in epoch 3; each has what it should: 0 and 1, 2 and 3."""
        self.join("a")
        self.join("b")
        self.beat("a", 2)
        self.beat("a", 2, {"t": [0, 1]})
        self.beat("b", 3)
        assert self.group.state_name == "Stable"


def has(answer: HeartbeatResult) -> dict[str, list[int]] | None:
    """The assignment of an answer, by name."""
    if answer.assigned is None:
        return None
    return {topic.decode().rstrip("."): sorted(held) for topic, held in answer.assigned.items()}
