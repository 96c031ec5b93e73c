"""Owns: planted bugs of logs that change while they are read. Must never know: how the checker works."""

from __future__ import annotations

from typing import Any

from kafka_server.application.replica_manager import Replica, ReplicaManager
from kafka_server.domain.aborted_transactions import AbortedTransactions
from kafka_server.domain.compaction import Pass
from kafka_server.domain.errors import OffsetOutOfRange
from kafka_server.domain.partition import Partition
from kafka_server.domain.record_batch import parse_header
from kafka_server.infrastructure.storage.log import cleaner
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog


def forgetful_trim() -> None:
    """When the log start moves, all aborted transactions are forgotten."""
    original = AbortedTransactions.forget_below
    setattr(AbortedTransactions, "forget_below", lambda self, offset: original(self, 2**62))  # noqa: B010 - as in bugs.py, and so below


def hasty_out_of_range() -> None:
    """Now and then a reader is told that its offset does not exist."""
    original = Partition.readable_end
    count = 0

    def readable_end(self: Partition, offset: int, read_committed: bool) -> int:
        nonlocal count
        count += 1
        if count % 20 == 0:
            raise OffsetOutOfRange
        return original(self, offset, read_committed)

    setattr(Partition, "readable_end", readable_end)  # noqa: B010


def strict_size() -> None:
    """A first batch that is larger than the reader wants is left out."""
    original = DiskPartitionLog.read

    def read(self: DiskPartitionLog, offset: int, size_max: int, end_offset: int) -> Any:
        found = original(self, offset, size_max, end_offset)
        too_large = isinstance(found, memoryview) and len(found) > 0 and parse_header(found).size > size_max
        return memoryview(b"") if too_large else found

    setattr(DiskPartitionLog, "read", read)  # noqa: B010


def greedy_compaction() -> None:
    """Of each key that a pass finds, the newest record goes as well."""

    def stricter(is_newest: Any, *rest: Any) -> Pass:
        return Pass(lambda key, offset: is_newest(key, offset - 1), *rest)

    setattr(cleaner, "Pass", stricter)  # noqa: B010


def names_before_ids() -> None:
    """A topic id that is gone is served by the topic that bears its name now."""
    names: dict[bytes, str] = {}
    original = ReplicaManager.find_by_id

    def find_by_id(self: ReplicaManager, topic_id: bytes, index: int) -> Replica:
        name = self.name_of(topic_id)
        if name is not None:
            names[topic_id] = name
            return original(self, topic_id, index)
        return self.find(names[topic_id], index) if topic_id in names else original(self, topic_id, index)

    setattr(ReplicaManager, "find_by_id", find_by_id)  # noqa: B010
