"""Owns: creating, growing, deleting and finding topics, with every check that Apache Kafka makes.
Must never know: the wire, how topics and logs are stored, who is allowed to do what.

Changes run one at a time, as they do in Kafka's controller, so that two clients cannot create the same topic at once,
and to their end even when the client that asked is gone.

The topics that Kafka keeps for itself (``__consumer_offsets`` and its kin) are no logs here: offsets live in the
offset repository. They are therefore neither listed nor created, and asking for one answers
UNKNOWN_TOPIC_OR_PARTITION - a topic that is listed can be read, and these cannot. No client needs them to work with
groups, because FindCoordinator says where a group lives.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from kafka_server.application.config_service import ConfigService
from kafka_server.application.ports import TopicRepository
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.application.serial_work import SerialWork
from kafka_server.domain.errors import (
    DomainError,
    InvalidConfig,
    InvalidPartitions,
    InvalidReplicaAssignment,
    InvalidReplicationFactor,
    InvalidRequest,
    InvalidTopic,
    PolicyViolation,
    TopicAlreadyExists,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from kafka_server.domain.topic import Topic
from kafka_server.domain.topic_name import (
    CLUSTER_METADATA_TOPIC,
    check_topic_name,
    draw_topic_id,
    find_collision,
    is_internal,
)

log = logging.getLogger("kafka_server.topic")

BROKER_DEFAULT = -1
"""Stands for "as the broker is configured" in a partition count or replication factor (KIP-464)."""
PARTITIONS_PER_REQUEST_MAX = 10_000


@dataclass(slots=True)
class NewTopic:
    """What a client says about a topic that it wants."""

    name: str
    partition_count: int = BROKER_DEFAULT
    replication_factor: int = BROKER_DEFAULT
    assignments: Sequence[tuple[int, Sequence[int]]] = ()
    """Partition index and broker ids; when given, count and factor must be left to the broker."""
    configs: Mapping[str, str | None] = field(default_factory=dict)


class TopicService:
    """The topics of one broker, which is the only one of its cluster."""

    __slots__ = (
        "_changing",
        "_configs",
        "_node_id",
        "_on_change",
        "_on_delete",
        "_random_bytes",
        "_replicas",
        "_topics",
    )

    def __init__(
        self,
        node_id: int,
        topics: TopicRepository,
        replicas: ReplicaManager,
        configs: ConfigService,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._node_id = node_id
        self._topics = topics
        self._replicas = replicas
        self._configs = configs
        self._random_bytes = random_bytes
        self._on_change: list[Callable[[Topic, bool], None]] = []
        self._on_delete: list[Callable[[Topic], None]] = []
        self._changing = SerialWork()

    async def start(self) -> None:
        """Opens every topic that is stored."""
        topics = self._topics.all()
        for topic in topics:
            topic.settings = self._configs.topic_settings(topic.configs)
        await asyncio.gather(*map(self._replicas.open_topic, topics))

    # ---- finding ---------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Topic:
        """The topic with that name. Raises InvalidTopic for an illegal name, else UnknownTopicOrPartition."""
        topic = self._topics.get(name)
        if topic is None:
            check_topic_name(name)
            raise UnknownTopicOrPartition
        return topic

    def get_by_id(self, topic_id: bytes) -> Topic:
        """The topic with that id. Raises UnknownTopicId."""
        topic = self._topics.get_by_id(topic_id)
        if topic is None:
            raise UnknownTopicId
        return topic

    def all(self) -> Sequence[Topic]:
        """Every topic, sorted by name."""
        return self._topics.all()

    # ---- creating --------------------------------------------------------------------------------------------------

    async def create_many(
        self,
        wanted: Sequence[NewTopic],
        *,
        validate_only: bool = False,
        admit: Callable[[int], None] = lambda count: None,
    ) -> list[Topic | DomainError]:
        """Creates topics; a failure of one does not touch the others. Per topic, in order, the topic or its error.

        With ``validate_only`` the topics are checked in the same way and returned without being kept; their id is
        drawn all the same, as Apache Kafka does. ``admit`` is asked before each topic whether that many partitions may
        be created, and raises when not.
        """
        if sum(max(self._count(new), 0) for new in wanted) > PARTITIONS_PER_REQUEST_MAX:
            return [
                PolicyViolation(f"More than {PARTITIONS_PER_REQUEST_MAX} partitions in one request") for _ in wanted
            ]
        return await self._changing.run(self._create_all(wanted, validate_only, admit))

    async def create_for_client(self, name: str) -> Topic:
        """Creates a topic with the broker's defaults because a client asked for its metadata. Raises as ``get``, and
        what creating raises; a topic that came into being meanwhile is simply returned.
        """
        check_topic_name(name)
        if is_internal(name) or name == CLUSTER_METADATA_TOPIC:
            raise UnknownTopicOrPartition
        return await self._changing.run(self._create_unless_there(name))

    async def _create_unless_there(self, name: str) -> Topic:
        existing = self._topics.get(name)
        return existing if existing is not None else await self._create(NewTopic(name), False, lambda count: None)

    async def _create_all(
        self, wanted: Sequence[NewTopic], validate_only: bool, admit: Callable[[int], None]
    ) -> list[Topic | DomainError]:
        outcomes: list[Topic | DomainError] = []
        for new in wanted:
            try:
                outcomes.append(await self._create(new, validate_only, admit))
            except DomainError as error:
                outcomes.append(error)
        return outcomes

    async def _create(self, new: NewTopic, validate_only: bool, admit: Callable[[int], None]) -> Topic:
        self._check_new_name(new.name)
        missing = [key for key, value in new.configs.items() if value is None]
        if missing:
            raise InvalidConfig(f"A value is missing for: {', '.join(missing)}")
        configs = {key: value for key, value in new.configs.items() if value is not None}
        self._configs.check_topic_configs(configs)
        count = self._check_layout(new)
        admit(count)
        settings = self._configs.topic_settings(configs)
        topic = Topic(new.name, draw_topic_id(self._random_bytes), count, settings, configs)
        if validate_only:
            return topic
        await self._topics.add(topic)
        try:
            await self._replicas.open_topic(topic)
        except DomainError:
            await self._replicas.discard_new(topic)
            await self._topics.remove(topic)
            raise
        self._configs.warn_of_topic_configs(configs)
        self._tell(topic, is_new=True)
        log.info("Created topic %s with %d partition(s), id %s", topic.name, count, topic.topic_id.hex())
        return topic

    def _check_new_name(self, name: str) -> None:
        check_topic_name(name)
        if is_internal(name) or name == CLUSTER_METADATA_TOPIC:
            raise InvalidRequest(f"Creation of the internal topic {name} is prohibited")
        if self._topics.get(name) is not None:
            raise TopicAlreadyExists(f"Topic '{name}' already exists.")
        if "." in name or "_" in name:
            other = find_collision(name, (topic.name for topic in self._topics.all()))
            if other is not None:
                raise InvalidTopic(f"Topic '{name}' collides with existing topic: {other}")

    def _check_layout(self, new: NewTopic) -> int:
        """The partition count, once count, factor and assignment are found to fit a cluster of this one broker."""
        if new.assignments:
            if new.replication_factor != BROKER_DEFAULT or new.partition_count != BROKER_DEFAULT:
                raise InvalidRequest("With a manual assignment, partition count and replication factor must be -1")
            for _, broker_ids in new.assignments:
                self._check_assignment(broker_ids)
            indexes = sorted(index for index, _ in new.assignments)
            if len(set(indexes)) != len(indexes):
                raise InvalidReplicaAssignment("A partition is assigned more than once")
            if indexes != list(range(len(indexes))):
                raise InvalidReplicaAssignment("Assigned partitions must be numbered from 0 without gaps")
            return len(indexes)
        if new.replication_factor < BROKER_DEFAULT or new.replication_factor == 0:
            raise InvalidReplicationFactor("Replication factor must be larger than 0, or -1 to use the default value")
        if new.partition_count < BROKER_DEFAULT or new.partition_count == 0:
            raise InvalidPartitions("Number of partitions must be larger than 0, or -1 to use the default value")
        factor = new.replication_factor
        if factor == BROKER_DEFAULT:
            factor = self._configs.integer("default.replication.factor")
        if factor > 1:
            raise InvalidReplicationFactor(
                f"Unable to replicate the partition {factor} time(s): this cluster has only 1 broker"
            )
        return self._count(new)

    def _count(self, new: NewTopic) -> int:
        if new.assignments:
            return len(new.assignments)
        count = new.partition_count
        return self._configs.integer("num.partitions") if count == BROKER_DEFAULT else count

    def _check_assignment(self, broker_ids: Sequence[int]) -> None:
        if not broker_ids:
            raise InvalidReplicaAssignment("The manual assignment has a partition without replicas")
        for broker_id in broker_ids:
            if broker_id != self._node_id:
                raise InvalidReplicaAssignment(f"The manual assignment names broker {broker_id}, which does not exist")
        if len(broker_ids) > 1:
            raise InvalidReplicaAssignment(f"The manual assignment names broker {self._node_id} more than once")

    # ---- growing and deleting --------------------------------------------------------------------------------------

    async def create_partitions(
        self,
        name: str,
        count: int,
        assignments: Sequence[Sequence[int]] | None = None,
        *,
        validate_only: bool = False,
        admit: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Grows a topic to ``count`` partitions. ``assignments`` names the brokers of each new partition.

        Raises UnknownTopicOrPartition, InvalidPartitions, InvalidReplicaAssignment, PolicyViolation.
        """
        await self._changing.run(self._create_partitions(name, count, assignments, validate_only, admit))

    async def _create_partitions(
        self,
        name: str,
        count: int,
        assignments: Sequence[Sequence[int]] | None,
        validate_only: bool,
        admit: Callable[[int], None],
    ) -> None:
        topic = self._topics.get(name)
        if topic is None:
            raise UnknownTopicOrPartition
        present = topic.partition_count
        self._check_growth(name, present, count, assignments)
        admit(count - present)
        if validate_only:
            return
        topic.partition_count = count
        try:
            await self._topics.update(topic)
        except BaseException:
            topic.partition_count = present
            raise
        try:
            await self._replicas.open_topic(topic)
        except DomainError:
            await self._replicas.discard_new(topic)
            topic.partition_count = present
            await self._topics.update(topic)
            raise
        self._tell(topic)
        log.info("Topic %s grew from %d to %d partitions", name, present, count)

    def _check_growth(self, name: str, present: int, count: int, assignments: Sequence[Sequence[int]] | None) -> None:
        if count == present:
            raise InvalidPartitions(f"Topic already has {present} partition(s)")
        if count < present:
            raise InvalidPartitions(
                f"The topic {name} currently has {present} partition(s); {count} would not be an increase"
            )
        if count - present > PARTITIONS_PER_REQUEST_MAX:
            raise PolicyViolation(f"More than {PARTITIONS_PER_REQUEST_MAX} partitions in one request")
        if assignments is None:
            return
        if len(assignments) != count - present:
            raise InvalidReplicaAssignment(
                f"{count - present} partition(s) are to be added, but {len(assignments)} are assigned"
            )
        for broker_ids in assignments:
            self._check_assignment(broker_ids)

    def on_change(self, listener: Callable[[Topic, bool], None]) -> None:
        """Calls ``listener`` after every creation (True), growth and deletion (False) of a topic."""
        self._on_change.append(listener)

    def _tell(self, topic: Topic, *, is_new: bool = False) -> None:
        for listener in self._on_change:
            listener(topic, is_new)

    def on_delete(self, listener: Callable[[Topic], None]) -> None:
        """Calls ``listener`` after every deletion of a topic."""
        self._on_delete.append(listener)

    async def delete(self, topic: Topic) -> None:
        """Deletes a topic with its records. Raises UnknownTopicId when it is gone already."""
        await self._changing.run(self._delete(topic))

    async def _delete(self, topic: Topic) -> None:
        if self._topics.get_by_id(topic.topic_id) is not topic:
            raise UnknownTopicId
        await self._topics.remove(topic)
        await self._replicas.remove_topic(topic)
        for listener in self._on_delete:
            listener(topic)
        self._tell(topic)
        log.info("Deleted topic %s, id %s", topic.name, topic.topic_id.hex())
