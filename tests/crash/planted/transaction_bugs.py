"""Owns: planted bugs of transactions: markers, epochs, last stable offset. Must never know: how the checker works."""

from __future__ import annotations

from typing import Any

from kafka_server.application.offset_service import OffsetService
from kafka_server.application.transaction_gate import TransactionGate
from kafka_server.application.transaction_markers import TransactionMarkers
from kafka_server.domain.partition import Partition
from kafka_server.domain.producer_state import ProducerStates


def half_marked() -> None:
    """A commit reaches one partition; in all others the transaction is aborted."""
    original = TransactionMarkers.write_own
    first: dict[tuple[int, int], Any] = {}

    def write_own(self: TransactionMarkers, marker: Any, partition: Any, protocol: Any) -> Any:
        chosen = first.setdefault((marker.producer_id, marker.producer_epoch), partition)
        return original(self, marker._replace(is_commit=marker.is_commit and partition == chosen), partition, protocol)

    setattr(TransactionMarkers, "write_own", write_own)  # noqa: B010 - mypy is right to refuse an assignment; so below


def _stable_offset(change: Any) -> None:
    original = Partition.last_stable_offset.fget
    assert original is not None
    setattr(Partition, "last_stable_offset", property(lambda self: change(self, original(self))))  # noqa: B010


def stable_offset_above() -> None:
    """Who asks for the end of what is committed is told one offset too much."""
    original = OffsetService.find

    async def find(self: OffsetService, replica: Any, timestamp: int, read_committed: bool, epoch: int) -> Any:
        found = await original(self, replica, timestamp, read_committed, epoch)
        return found._replace(offset=found.offset + 1) if read_committed else found

    setattr(OffsetService, "find", find)  # noqa: B010


def stable_offset_back() -> None:
    """Now and then an older last stable offset is told."""
    count = 0

    def back(partition: Partition, stable: int) -> int:
        nonlocal count
        count += 1
        return stable if count % 10 else max(partition.log_start_offset, stable - 5)

    _stable_offset(back)


def unfenced_batches() -> None:
    """Partitions take batches of whoever was once the owner of a transactional id."""
    check = ProducerStates.check

    def check_newest(self: ProducerStates, header: Any) -> Any:
        entry = self.get(header.producer_id)
        if entry is not None and header.producer_epoch < entry.epoch:
            return None
        return check(self, header)

    async def add(*_: Any, **__: Any) -> None:
        return None

    setattr(ProducerStates, "check", check_newest)  # noqa: B010
    setattr(ProducerStates, "check_epoch", lambda *_: None)  # noqa: B010
    setattr(TransactionGate, "verify", lambda *_, **__: None)  # noqa: B010
    setattr(TransactionGate, "check_open", lambda *_: None)  # noqa: B010
    original = TransactionGate.add

    async def add_if_allowed(self: TransactionGate, *rest: Any, **named: Any) -> None:
        try:
            await original(self, *rest, **named)
        except Exception:
            await add()

    setattr(TransactionGate, "add", add_if_allowed)  # noqa: B010
