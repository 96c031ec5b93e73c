"""Owns: the repositories of topics, configs, groups, offsets and producer ids, on one metadata file.

Must never know: what is legal in them; the services above decide that.

What services look up at once is kept in memory and loaded at the start; each change is written first and becomes
visible when it is safe, so that nobody is told of a topic that a crash would take back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from kafka_server.application.ports import PartitionKey
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.config_def import ResourceType
from kafka_server.domain.errors import TopicAlreadyExists, UnknownTopicOrPartition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.sqlite.store import Statement, Store

if TYPE_CHECKING:
    from kafka_server.domain.group_snapshot import AnySnapshot, GroupSnapshot


class SqliteTopicRepository:
    """``TopicRepository``; settings are derived from ``configs`` by the config service when the broker starts."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_name: dict[str, Topic] = {}
        self._by_id: dict[bytes, Topic] = {}
        for topic_id, name, partition_count, is_internal in store.read(
            "SELECT topic_id, name, partition_count, is_internal FROM topics"
        ):
            topic = Topic(name, topic_id, partition_count, is_internal=bool(is_internal))
            self._by_name[name] = self._by_id[topic_id] = topic
        for topic_id, key, value in store.read("SELECT topic_id, key, value FROM topic_configs"):
            self._by_id[topic_id].configs[key] = value
        self.has_adopted = store.has_rows("adoption")
        """Whether this file has topics, or had. Until then they come from the folders; from then on a folder without a
        topic is a stray."""
        self.removed_ids = {row[0] for row in store.read("SELECT topic_id FROM removed_topics")}
        """Topics that were removed when this file was opened; some of their folders may still be there."""

    def get(self, name: str) -> Topic | None:
        return self._by_name.get(name)

    def get_by_id(self, topic_id: bytes) -> Topic | None:
        return self._by_id.get(topic_id)

    def all(self) -> Sequence[Topic]:
        return [self._by_name[name] for name in sorted(self._by_name)]

    async def add(self, topic: Topic) -> None:
        if topic.name in self._by_name or topic.topic_id in self._by_id:
            raise TopicAlreadyExists(f"Topic '{topic.name}' already exists")
        # Taken before the write, so that a second creation of the same name fails at once; given back if it fails.
        self._by_name[topic.name] = self._by_id[topic.topic_id] = topic
        try:
            await self._store.submit([*_insert(topic), *self._adoption()], always_synced=True)
        except BaseException:
            del self._by_name[topic.name], self._by_id[topic.topic_id]
            raise
        self.has_adopted = True

    async def adopt(self, topics: Sequence[Topic]) -> None:
        """Stores topics that were found in the folders of this file: all of them and that it was done, or nothing.

        Half of them would be worse than none: the folders of the others would belong to nobody at the next start.
        """
        inserts = [statement for topic in topics for statement in _insert(topic)]
        await self._store.submit([*inserts, *self._adoption()], always_synced=True)
        self.has_adopted = True
        for topic in topics:
            self._by_name[topic.name] = self._by_id[topic.topic_id] = topic

    def _adoption(self) -> list[Statement]:
        return [] if self.has_adopted else [("INSERT OR IGNORE INTO adoption VALUES (1)", ())]

    async def update(self, topic: Topic) -> None:
        self._require(topic)
        await self._store.submit(
            [
                ("UPDATE topics SET partition_count = ? WHERE topic_id = ?", (topic.partition_count, topic.topic_id)),
                ("DELETE FROM topic_configs WHERE topic_id = ?", (topic.topic_id,)),
                *_topic_configs(topic),
            ],
            always_synced=True,
        )

    async def remove(self, topic: Topic) -> None:
        self._require(topic)
        await self._store.submit(
            [
                ("DELETE FROM topics WHERE topic_id = ?", (topic.topic_id,)),
                ("INSERT INTO removed_topics VALUES (?)", (topic.topic_id,)),
            ],
            always_synced=True,
        )
        del self._by_name[topic.name], self._by_id[topic.topic_id]

    async def forget_removed(self) -> None:
        """The folders of the topics in ``removed_ids`` are gone."""
        await self._store.submit(
            [("DELETE FROM removed_topics WHERE topic_id = ?", (topic_id,)) for topic_id in self.removed_ids]
        )
        self.removed_ids = set()

    def _require(self, topic: Topic) -> None:
        # Identity, not equality: a topic of the same name that was created anew is another topic.
        if self._by_name.get(topic.name) is not topic:
            raise UnknownTopicOrPartition(f"Topic '{topic.name}' is not stored")


def _insert(topic: Topic) -> list[Statement]:
    row = (topic.topic_id, topic.name, topic.partition_count, int(topic.is_internal))
    return [("INSERT INTO topics VALUES (?, ?, ?, ?)", row), *_topic_configs(topic)]


def _topic_configs(topic: Topic) -> list[Statement]:
    return [
        ("INSERT INTO topic_configs VALUES (?, ?, ?)", (topic.topic_id, key, value))
        for key, value in topic.configs.items()
    ]


class SqliteFeatureRepository:
    """``FeatureRepository``. With each level stands the epoch of its last change; the largest is that of all."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self) -> tuple[Mapping[str, int], int]:
        rows = self._store.read("SELECT name, level, epoch FROM features")
        return {name: level for name, level, _ in rows}, max((epoch for _, _, epoch in rows), default=1)

    async def put(self, levels: Mapping[str, int], epoch: int) -> None:
        sql = "INSERT OR REPLACE INTO features VALUES (?, ?, ?)"
        rows: list[Statement] = [(sql, (name, level, epoch)) for name, level in levels.items()]
        await self._store.submit(rows, always_synced=True)


class SqliteConfigRepository:
    """``ConfigRepository``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._configs: dict[tuple[ResourceType, str], dict[str, str]] = {}
        for kind, name, key, value in store.read("SELECT resource_type, name, key, value FROM configs"):
            self._configs.setdefault((ResourceType(kind), name), {})[key] = value

    def get(self, resource_type: ResourceType, name: str) -> Mapping[str, str]:
        return self._configs.get((resource_type, name), {})

    def names(self, resource_type: ResourceType) -> Sequence[str]:
        return sorted(name for kind, name in self._configs if kind is resource_type)

    async def put(self, resource_type: ResourceType, name: str, configs: Mapping[str, str]) -> None:
        kind = resource_type.value
        await self._store.submit(
            [
                ("DELETE FROM configs WHERE resource_type = ? AND name = ?", (kind, name)),
                *(
                    ("INSERT INTO configs VALUES (?, ?, ?, ?)", (kind, name, key, value))
                    for key, value in configs.items()
                ),
            ],
            always_synced=True,
        )
        if configs:
            self._configs[resource_type, name] = dict(configs)
        else:
            self._configs.pop((resource_type, name), None)


class SqliteGroupRepository:
    """``GroupRepository``. What groups are is imported when there is one: a start should not wait for it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> Sequence[AnySnapshot]:
        from kafka_server.infrastructure.storage.sqlite import consumer_groups

        return [*self._load_classic(), *consumer_groups.load(self._store)]

    def _load_classic(self) -> list[GroupSnapshot]:
        from kafka_server.domain.group_snapshot import GroupSnapshot, MemberSnapshot

        protocols: dict[tuple[str, int], list[tuple[str, bytes]]] = {}
        for group_id, position, name, metadata in self._store.read(
            "SELECT group_id, position, name, metadata FROM member_protocols ORDER BY group_id, position, preference"
        ):
            protocols.setdefault((group_id, position), []).append((name, metadata))
        members: dict[str, list[MemberSnapshot]] = {}
        for group_id, position, *facts, assignment in self._store.read(
            "SELECT group_id, position, member_id, instance_id, client_id, client_host, session_timeout_ms, "
            "rebalance_timeout_ms, assignment FROM members ORDER BY group_id, position"
        ):
            wanted = tuple(protocols.get((group_id, position), ()))
            members.setdefault(group_id, []).append(MemberSnapshot(*(*facts, wanted, assignment)))
        return [
            GroupSnapshot(*(group_id, *facts, tuple(members.get(group_id, ()))))
            for group_id, *facts in self._store.read(
                "SELECT group_id, generation, protocol_type, protocol_name, leader_id, state_since_ms FROM groups"
            )
        ]

    def save(self, group: AnySnapshot) -> Awaitable[None]:
        from kafka_server.domain.group_snapshot import GroupSnapshot
        from kafka_server.infrastructure.storage.sqlite import consumer_groups

        # A group may have changed its type: nothing of the other one may stay.
        classic = ("DELETE FROM groups WHERE group_id = ?", (group.group_id,))
        if not isinstance(group, GroupSnapshot):
            return self._store.submit([classic, *consumer_groups.save(group)])
        statements: list[Statement] = [
            classic,
            *consumer_groups.delete(group.group_id),
            (
                "INSERT INTO groups VALUES (?, ?, ?, ?, ?, ?)",
                (
                    group.group_id,
                    group.generation,
                    group.protocol_type,
                    group.protocol_name,
                    group.leader_id,
                    group.state_since_ms,
                ),
            ),
        ]
        for position, member in enumerate(group.members):
            statements.append(
                (
                    "INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        group.group_id,
                        position,
                        member.member_id,
                        member.instance_id,
                        member.client_id,
                        member.client_host,
                        member.session_timeout_ms,
                        member.rebalance_timeout_ms,
                        bytes(member.assignment),
                    ),
                )
            )
            statements += [
                (
                    "INSERT INTO member_protocols VALUES (?, ?, ?, ?, ?)",
                    (group.group_id, position, preference, name, bytes(metadata)),
                )
                for preference, (name, metadata) in enumerate(member.protocols)
            ]
        return self._store.submit(statements)

    def delete(self, group_id: str) -> Awaitable[None]:
        from kafka_server.infrastructure.storage.sqlite import consumer_groups

        return self._store.submit(
            [("DELETE FROM groups WHERE group_id = ?", (group_id,)), *consumer_groups.delete(group_id)]
        )


class SqliteOffsetRepository:
    """``OffsetRepository``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> Mapping[str, Mapping[PartitionKey, CommittedOffset]]:
        found: dict[str, dict[PartitionKey, CommittedOffset]] = {}
        for group_id, topic, partition, *facts in self._store.read(
            "SELECT group_id, topic, partition, committed, leader_epoch, metadata, committed_at_ms, expires_at_ms, "
            "topic_id FROM offsets"
        ):
            found.setdefault(group_id, {})[topic, partition] = CommittedOffset(*facts)
        return found

    async def load_staged(self) -> Mapping[int, Mapping[str, Mapping[PartitionKey, CommittedOffset | None]]]:
        found: dict[int, dict[str, dict[PartitionKey, CommittedOffset | None]]] = {}
        for producer_id, group_id, topic, partition, *facts in self._store.read(
            "SELECT producer_id, group_id, topic, partition, committed, leader_epoch, metadata, committed_at_ms, "
            "expires_at_ms, topic_id FROM staged_offsets"
        ):
            offset = None if facts[0] is None else CommittedOffset(*facts)
            found.setdefault(producer_id, {}).setdefault(group_id, {})[topic, partition] = offset
        return found

    def commit(self, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset]) -> Awaitable[None]:
        return self._store.submit(_commits(group_id, offsets))

    def stage(
        self, producer_id: int, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset | None]
    ) -> Awaitable[None]:
        sql = "INSERT OR REPLACE INTO staged_offsets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        return self._store.submit(
            [
                (sql, (producer_id, group_id, topic, partition, *(_NO_OFFSET if one is None else _facts(one))))
                for (topic, partition), one in offsets.items()
            ]
        )

    def settle(
        self, producer_id: int, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset]
    ) -> Awaitable[None]:
        forget = "DELETE FROM staged_offsets WHERE producer_id = ? AND group_id = ?"
        return self._store.submit([*_commits(group_id, offsets), (forget, (producer_id, group_id))])

    def delete(self, group_id: str, partitions: Collection[PartitionKey]) -> Awaitable[None]:
        everywhere = (
            "DELETE FROM offsets WHERE group_id = ? AND topic = ? AND partition = ?",
            "DELETE FROM staged_offsets WHERE group_id = ? AND topic = ? AND partition = ?",
        )
        return self._store.submit(
            [(sql, (group_id, topic, partition)) for topic, partition in partitions for sql in everywhere]
        )


_NO_OFFSET = (None, -1, "", 0, -1, b"")


def _facts(one: CommittedOffset) -> tuple[int, int, str, int, int, bytes]:
    return one.offset, one.leader_epoch, one.metadata, one.committed_at_ms, one.expires_at_ms, one.topic_id


def _commits(group_id: str, offsets: Mapping[PartitionKey, CommittedOffset]) -> list[Statement]:
    sql = "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    return [(sql, (group_id, topic, partition, *_facts(one))) for (topic, partition), one in offsets.items()]


class SqliteProducerIdRepository:
    """``ProducerIdRepository``: the next free id is written before an id below it is given out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next: int = store.read("SELECT next FROM producer_ids")[0][0]

    async def reserve(self, count: int) -> int:
        first = self._next
        self._next += count
        change = ("UPDATE producer_ids SET next = ?", (first + count,))
        await self._store.submit([change], always_synced=True)
        return first
