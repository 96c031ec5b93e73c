"""Owns: which partitions this broker serves, and for each its rules, its bytes, its counters and who waits for it.
Must never know: the wire, what a request asks for, how logs are stored.

A Replica ties together what the domain keeps apart: ``Partition`` (rules) and ``PartitionLog`` (bytes). TopicService
opens and closes replicas when topics come and go; ProducerService and ConsumerService look them up by name or id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol

from kafka_server.application.counters import TopicCounters
from kafka_server.application.ports import LogRepository, PartitionLog
from kafka_server.domain.errors import UnknownTopicId, UnknownTopicOrPartition
from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic


class Waiter(Protocol):
    """Someone who waits for a partition to grow."""

    def grew(self, size_bytes: int) -> bool:
        """Told of every append that readers may see; True, once, when it has waited enough and wants to be woken."""

    def wake(self) -> None:
        """Called after the request that appended was handled, and when the partition stops being served."""


class Replica:
    """One partition as this broker serves it."""

    __slots__ = ("counters", "log", "partition", "topic", "unsafe", "waiters")

    def __init__(self, topic: Topic, partition: Partition, log: PartitionLog, counters: TopicCounters) -> None:
        self.topic = topic
        self.partition = partition
        self.log = log
        self.counters = counters
        self.unsafe: asyncio.Future[None] | None = None
        """Done when the newest batch that had to wait for the store is safe, and so are all before it."""
        self.waiters: dict[Waiter, None] = {}
        """Who waits for this partition, in the order of arrival; a dict, because leaving must be cheap, too."""


class ReplicaManager:
    """The replicas of this broker, by topic name and by topic id."""

    __slots__ = ("_by_id", "_by_name", "_logs")

    def __init__(self, logs: LogRepository) -> None:
        self._logs = logs
        self._by_name: dict[str, list[Replica]] = {}
        self._by_id: dict[bytes, list[Replica]] = {}

    def find(self, name: str, index: int) -> Replica:
        """The replica of a partition. Raises UnknownTopicOrPartition."""
        replicas = self._by_name.get(name)
        if replicas is None or not 0 <= index < len(replicas):
            raise UnknownTopicOrPartition
        return replicas[index]

    def find_by_id(self, topic_id: bytes, index: int) -> Replica:
        """The replica of a partition. Raises UnknownTopicId for the topic, UnknownTopicOrPartition for the index."""
        replicas = self._by_id.get(topic_id)
        if replicas is None:
            raise UnknownTopicId
        if not 0 <= index < len(replicas):
            raise UnknownTopicOrPartition
        return replicas[index]

    def name_of(self, topic_id: bytes) -> str | None:
        """The name of the topic with that id, or None when this broker does not serve it."""
        replicas = self._by_id.get(topic_id)
        return replicas[0].topic.name if replicas else None

    def __iter__(self) -> Iterator[Replica]:
        for replicas in self._by_name.values():
            yield from replicas

    def __len__(self) -> int:
        return sum(map(len, self._by_name.values()))

    def counters(self) -> Iterator[tuple[str, TopicCounters]]:
        """Topic name and counters of every topic that is served."""
        for name, replicas in self._by_name.items():
            if replicas:
                yield name, replicas[0].counters

    async def open_topic(self, topic: Topic) -> None:
        """Opens the partitions of ``topic`` that are not open yet, up to its ``partition_count``.

        Used for a new topic, for a topic that got more partitions, and for each stored topic when the broker starts.
        When one fails, the others were opened, too, but none is served.
        """
        replicas = self._by_name.get(topic.name, [])
        counters = replicas[0].counters if replicas else TopicCounters()
        partitions = [Partition(index) for index in range(len(topic.partitions), topic.partition_count)]
        # All at once; how many are under way at the same time is for the repository to say.
        opening = (self._logs.open(topic, partition) for partition in partitions)
        opened = await asyncio.gather(*opening, return_exceptions=True)
        logs = [log for log in opened if not isinstance(log, BaseException)]
        for error in opened:
            if isinstance(error, BaseException):
                raise error
        for partition, log in zip(partitions, logs, strict=True):
            topic.partitions.append(partition)
            replicas.append(Replica(topic, partition, log, counters))
        self._by_name[topic.name] = replicas
        self._by_id[topic.topic_id] = replicas

    async def discard_new(self, topic: Topic) -> None:
        """Deletes what ``open_topic`` opened before it failed, of partitions that nobody was told of yet."""
        for index in range(len(topic.partitions), topic.partition_count):
            await self._logs.remove(topic, Partition(index))

    async def remove_topic(self, topic: Topic) -> None:
        """Stops serving ``topic``, wakes whoever waits for it, and deletes its logs."""
        replicas = self._by_name.pop(topic.name, [])
        self._by_id.pop(topic.topic_id, None)
        for replica in replicas:
            for waiter in list(replica.waiters):
                waiter.wake()
            await self._logs.remove(topic, replica.partition)
