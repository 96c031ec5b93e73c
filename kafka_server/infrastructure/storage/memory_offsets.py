"""Owns: groups and committed offsets in memory. Must never know: what a generation is, when an offset expires.

The adapters of GroupRepository and OffsetRepository for ``--storage memory``. A restart of the services on the same
object finds everything again; the end of the process loses it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from kafka_server.application.ports import PartitionKey
from kafka_server.domain.committed_offset import CommittedOffset

if TYPE_CHECKING:
    from kafka_server.domain.group_snapshot import AnySnapshot

V = TypeVar("V")


class MemoryGroupRepository:
    """GroupRepository in a dict."""

    def __init__(self) -> None:
        self._groups: dict[str, AnySnapshot] = {}

    async def load(self) -> Sequence[AnySnapshot]:
        return list(self._groups.values())

    def save(self, group: AnySnapshot) -> None:
        self._groups[group.group_id] = group

    def delete(self, group_id: str) -> None:
        self._groups.pop(group_id, None)


class MemoryOffsetRepository:
    """OffsetRepository in a dict of dicts; the values are shared with the offset manager, which never changes them."""

    def __init__(self) -> None:
        self._offsets: dict[str, dict[PartitionKey, CommittedOffset]] = {}
        self._staged: dict[int, dict[str, dict[PartitionKey, CommittedOffset | None]]] = {}

    async def load(self) -> Mapping[str, Mapping[PartitionKey, CommittedOffset]]:
        return {group_id: dict(offsets) for group_id, offsets in self._offsets.items()}

    async def load_staged(self) -> Mapping[int, Mapping[str, Mapping[PartitionKey, CommittedOffset | None]]]:
        return {
            producer_id: {group_id: dict(offsets) for group_id, offsets in groups.items()}
            for producer_id, groups in self._staged.items()
        }

    def commit(self, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset]) -> None:
        self._offsets.setdefault(group_id, {}).update(offsets)

    def stage(self, producer_id: int, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset | None]) -> None:
        self._staged.setdefault(producer_id, {}).setdefault(group_id, {}).update(offsets)

    def settle(self, producer_id: int, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset]) -> None:
        groups = self._staged.get(producer_id, {})
        groups.pop(group_id, None)
        if not groups:
            self._staged.pop(producer_id, None)
        if offsets:
            self.commit(group_id, offsets)

    def delete(self, group_id: str, partitions: Collection[PartitionKey]) -> None:
        staged = [(producer_id, groups[group_id]) for producer_id, groups in self._staged.items() if group_id in groups]
        for producer_id, offsets in staged:
            _remove(offsets, partitions)
            if not offsets:
                self.settle(producer_id, group_id, {})
        offsets_of_group = self._offsets.get(group_id, {})
        _remove(offsets_of_group, partitions)
        if not offsets_of_group:
            self._offsets.pop(group_id, None)


def _remove(offsets: dict[PartitionKey, V], partitions: Collection[PartitionKey]) -> None:
    for partition in partitions:
        offsets.pop(partition, None)
