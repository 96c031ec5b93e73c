"""Owns: storage that lives and dies with the process: topics and partition logs in memory.
Must never know: validation, offset rules, the wire. It keeps the bytes it is given and finds them again.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafka_server.domain.errors import TopicAlreadyExists, UnknownTopicOrPartition
from kafka_server.domain.topic import Topic


class MemoryTopicRepository:
    """``TopicRepository`` on two dicts."""

    __slots__ = ("_by_id", "_by_name")

    def __init__(self) -> None:
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[bytes, Topic] = {}

    def get(self, name: str) -> Topic | None:
        return self._by_name.get(name)

    def get_by_id(self, topic_id: bytes) -> Topic | None:
        return self._by_id.get(topic_id)

    def all(self) -> Sequence[Topic]:
        return [self._by_name[name] for name in sorted(self._by_name)]

    async def add(self, topic: Topic) -> None:
        if topic.name in self._by_name or topic.topic_id in self._by_id:
            raise TopicAlreadyExists(f"Topic '{topic.name}' already exists")
        self._by_name[topic.name] = topic
        self._by_id[topic.topic_id] = topic

    async def update(self, topic: Topic) -> None:
        self._require(topic)

    async def remove(self, topic: Topic) -> None:
        self._require(topic)
        del self._by_name[topic.name]
        del self._by_id[topic.topic_id]

    def _require(self, topic: Topic) -> None:
        # Identity, not equality: a topic of the same name that was created anew is another topic.
        if self._by_name.get(topic.name) is not topic:
            raise UnknownTopicOrPartition(f"Topic '{topic.name}' is not stored")
