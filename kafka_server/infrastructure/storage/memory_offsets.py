"""Owns: groups and committed offsets in memory. Must never know: what a generation is, when an offset expires.

The adapters of GroupRepository and OffsetRepository for ``--storage memory``. A restart of the services on the same
object finds everything again; the end of the process loses it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kafka_server.application.ports import PartitionKey
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.group_snapshot import GroupSnapshot


class MemoryGroupRepository:
    """GroupRepository in a dict."""

    def __init__(self) -> None:
        self._groups: dict[str, GroupSnapshot] = {}

    async def load(self) -> Sequence[GroupSnapshot]:
        return list(self._groups.values())

    def save(self, group: GroupSnapshot) -> None:
        self._groups[group.group_id] = group

    def delete(self, group_id: str) -> None:
        self._groups.pop(group_id, None)


class MemoryOffsetRepository:
    """OffsetRepository in a dict of dicts; the values are shared with the offset manager, which never changes them."""

    def __init__(self) -> None:
        self._offsets: dict[str, dict[PartitionKey, CommittedOffset]] = {}

    async def load(self) -> Mapping[str, Mapping[PartitionKey, CommittedOffset]]:
        return {group_id: dict(offsets) for group_id, offsets in self._offsets.items()}

    def commit(self, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset]) -> None:
        self._offsets.setdefault(group_id, {}).update(offsets)

    def delete(self, group_id: str, partitions: Collection[PartitionKey]) -> None:
        offsets = self._offsets.get(group_id, {})
        for partition in partitions:
            offsets.pop(partition, None)
        if not offsets:
            self._offsets.pop(group_id, None)
