"""Owns: the planted bugs - what each breaks, which check must notice, and whether that takes a power cut.

Must never know: how the checker works.

A bug replaces one method of the real broker before it starts. Each is a mistake that somebody could really make.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kafka_server.application.offset_manager import OffsetManager
from kafka_server.application.transaction_coordinator import TransactionCoordinator
from kafka_server.domain.aborted_transactions import AbortedTransactions
from kafka_server.domain.partition import Partition
from kafka_server.domain.producer_state import ProducerStates
from kafka_server.domain.record_batch import parse_header
from kafka_server.domain.transaction import Transaction
from kafka_server.infrastructure.storage.log import recovery
from kafka_server.infrastructure.storage.log.disk import OsDisk, OsFile
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog
from kafka_server.infrastructure.storage.sqlite.repositories import SqliteOffsetRepository, SqliteProducerIdRepository
from tests.crash.planted import batch_bugs, group_bugs, log_bugs, transaction_bugs


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug."""

    plant: Callable[[], None]
    caught_by: frozenset[str]
    """Each of these checks has to notice, by its name; others may, too."""
    needs_power_cut: bool = False
    fault: str = "kill"
    """What is done to the broker besides power cuts."""


def _replace(owner: type[Any], method: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(owner, method, make(getattr(owner, method)))


def no_fsync() -> None:
    """Group commit answers without having synced anything."""
    _replace(OsFile, "sync", lambda _: lambda self: None)
    _replace(OsDisk, "sync_folder", lambda _: lambda self, path: None)


def ack_before_write() -> None:
    """The newest batch of each log stays in the process until the next one comes; readers never notice."""
    held: dict[int, tuple[OsFile, bytes]] = {}

    def make(append: Callable[..., Any]) -> Callable[..., Any]:
        def late(self: OsFile, pieces: Any) -> None:
            previous = held.pop(id(self), None)
            if previous is not None:
                os.pwrite(self._descriptor, previous[1], self._size - len(previous[1]))
            whole = b"".join(pieces)
            append(self, [bytes(len(whole))])
            held[id(self)] = (self, whole)

        return late

    def make_read(read: Callable[..., Any]) -> Callable[..., Any]:
        def from_both(self: OsFile, position: int, size: int) -> memoryview:
            found = bytearray(read(self, position, size))
            previous = held.get(id(self))
            if previous is not None:
                start = self._size - len(previous[1]) - position
                for index, byte in enumerate(previous[1]):
                    if 0 <= start + index < len(found):
                        found[start + index] = byte
            return memoryview(bytes(found))

        return from_both

    _replace(OsFile, "append", make)
    _replace(OsFile, "read", make_read)
    _replace(OsFile, "read_cached", lambda _: OsFile.read)


def no_dedupe() -> None:
    """A repeated idempotent batch is appended again."""
    _replace(ProducerStates, "check", lambda _: lambda self, header: None)


def forgotten_producers() -> None:
    """After a restart the producers are unknown, so that a repeat of a batch from before is taken for new."""
    _replace(ProducerStates, "load", lambda _: lambda self, producers: None)
    original = Partition.replay

    def replay(self: Partition, header: Any, marker: Any = None) -> None:
        original(self, header._replace(producer_id=-1))

    _replace(Partition, "replay", lambda _: replay)


def bit_rot() -> None:
    """Now and then one bit of a batch is another one on disk."""
    count = 0

    def make(append: Callable[..., Any]) -> Callable[..., Any]:
        def rotten(self: OsFile, pieces: Any) -> None:
            nonlocal count
            count += 1
            whole = bytearray(b"".join(pieces))
            if count % 40 == 0:
                whole[-1] ^= 1
            append(self, [whole])

        return rotten

    _replace(OsFile, "append", make)


def cut_too_much() -> None:
    """Recovery drops the last sound batch, too."""
    original = recovery.rebuild

    def rebuild(disk: Any, folder: str, base_offset: int, *rest: Any) -> Any:
        segment, size, reason = original(disk, folder, base_offset, *rest)
        positions = [position for position, _ in segment.headers()]
        if len(positions) > 1:
            segment.truncate(positions[-1])
            return original(disk, folder, base_offset, *rest)
        return segment, size, reason

    setattr(recovery, "rebuild", rebuild)  # noqa: B010 - mypy is right to refuse a plain assignment, and so are we


def skipped_offset() -> None:
    """Every seventh batch leaves an offset out."""
    count = 0

    def make(advance: Callable[..., Any]) -> Callable[..., Any]:
        def skipping(self: Partition, *rest: Any, **named: Any) -> None:
            nonlocal count
            advance(self, *rest, **named)
            count += 1
            if count % 7 == 0:
                self.log_end_offset += 1

        return skipping

    _replace(Partition, "advance", make)


def skipping_reader() -> None:
    """A fetch now and then begins one batch too late."""
    count = 0

    def make(read: Callable[..., Any]) -> Callable[..., Any]:
        def late(self: DiskPartitionLog, offset: int, size_max: int, end_offset: int) -> Any:
            nonlocal count
            count += 1
            found = read(self, offset, size_max, end_offset)
            if count % 20 == 0 and isinstance(found, memoryview) and len(found) > 61:
                return found[parse_header(found).size :]
            return found

        return late

    _replace(DiskPartitionLog, "read", make)


def forgotten_commits() -> None:
    """Committed offsets are answered and not written."""

    def commit(self: Any, group_id: str, offsets: Any) -> None:
        return None

    _replace(SqliteOffsetRepository, "commit", lambda _: commit)


def reused_producer_ids() -> None:
    """The next producer id is not remembered over a restart."""

    async def reserve(self: Any, count: int) -> int:
        first: int = self._next
        self._next += count
        return first

    _replace(SqliteProducerIdRepository, "reserve", lambda _: reserve)


def resurrected_records() -> None:
    """DeleteRecords answers, and the new log start is not written down."""

    def forgetful(self: DiskPartitionLog, offset: int) -> None:
        return None

    for name in ("note_start", "truncate_prefix"):
        _replace(DiskPartitionLog, name, lambda _: forgetful)


def hanging_partition() -> None:
    """After a restart reads of old offsets never answer."""

    def make(read: Callable[..., Any]) -> Callable[..., Any]:
        def hanging(self: DiskPartitionLog, offset: int, size_max: int, end_offset: int) -> Any:
            if offset == 0:
                return asyncio.get_running_loop().create_future()
            return read(self, offset, size_max, end_offset)

        return hanging

    _replace(DiskPartitionLog, "read", make)


def forgotten_aborts() -> None:
    """Readers of committed data are not told which transactions were aborted."""
    _replace(AbortedTransactions, "between", lambda _: lambda self, offset, end_offset: [])


def hasty_stable_offset() -> None:
    """Open transactions hold nobody up."""
    setattr(Partition, "last_stable_offset", property(lambda self: self.high_watermark))  # noqa: B010 - as above


def no_fencing() -> None:
    """Whoever knows the transactional id may end its transaction, whatever the epoch."""
    _replace(Transaction, "_check_owner", lambda _: lambda self, producer: None)
    _replace(Transaction, "_check_owner_or_retry", lambda _: lambda self, producer: False)


def lost_staged_offsets() -> None:
    """Offsets of a transaction are dropped, however it ends."""
    _replace(OffsetManager, "end_transaction", lambda _: lambda self, producer_id, is_commit, concerns: None)


def endless_transactions() -> None:
    """Nobody aborts a transaction that is out of time."""
    _replace(TransactionCoordinator, "abort_timed_out", lambda _: lambda self: None)


def _of(*names: str) -> frozenset[str]:
    return frozenset(names)


BUGS: dict[str, Bug] = {
    "no-fsync": Bug(no_fsync, _of("lost-write"), needs_power_cut=True),
    "ack-before-write": Bug(ack_before_write, _of("lost-write")),
    "no-dedupe": Bug(no_dedupe, _of("duplicate")),
    "forgotten-producers": Bug(forgotten_producers, _of("duplicate")),
    "bit-rot": Bug(bit_rot, _of("corrupt")),
    "cut-too-much": Bug(cut_too_much, _of("reused-offset", "lost-write")),
    "skipped-offset": Bug(skipped_offset, _of("gap")),
    "skipping-reader": Bug(skipping_reader, _of("nonmonotonic")),
    "forgotten-commits": Bug(forgotten_commits, _of("commit-regress")),
    "reused-producer-ids": Bug(reused_producer_ids, _of("reused-producer-id")),
    "resurrected-records": Bug(resurrected_records, _of("watermark", "deleted-records")),
    "hanging-partition": Bug(hanging_partition, _of("stuck")),
    "forgotten-aborts": Bug(forgotten_aborts, _of("aborted-read")),
    "hasty-stable-offset": Bug(hasty_stable_offset, _of("precommitted-read", "lso-open")),
    "no-fencing": Bug(no_fencing, _of("fencing")),
    "lost-staged-offsets": Bug(lost_staged_offsets, _of("torn-offset")),
    "endless-transactions": Bug(endless_transactions, _of("lso-stuck")),
    "other-keys": Bug(batch_bugs.other_keys, _of("corrupt")),
    "other-headers": Bug(batch_bugs.other_headers, _of("corrupt")),
    "other-timestamps": Bug(batch_bugs.other_timestamps, _of("corrupt")),
    "two-faces": Bug(batch_bugs.two_faces, _of("inconsistent-offset", "reused-offset")),
    "forgotten-high-watermark": Bug(batch_bugs.forgotten_high_watermark, _of("watermark")),
    "refused-repeats": Bug(batch_bugs.refused_repeats, _of("refused")),
    "deaf-disk": Bug(batch_bugs.deaf_disk, _of("exit-code"), fault="eio-on-sync"),
    "half-marked": Bug(transaction_bugs.half_marked, _of("torn-transaction")),
    "stable-offset-above": Bug(transaction_bugs.stable_offset_above, _of("lso-above")),
    "stable-offset-back": Bug(transaction_bugs.stable_offset_back, _of("lso-back")),
    "unfenced-batches": Bug(transaction_bugs.unfenced_batches, _of("fencing")),
    "shared-assignment": Bug(group_bugs.shared_assignment, _of("split-ownership")),
    "hasty-handover": Bug(group_bugs.hasty_handover, _of("split-ownership")),
    "any-generation": Bug(group_bugs.any_generation, _of("stale-commit")),
    "forgetful-trim": Bug(log_bugs.forgetful_trim, _of("shown-though-aborted")),
    "hasty-out-of-range": Bug(log_bugs.hasty_out_of_range, _of("false-out-of-range")),
    "strict-size": Bug(log_bugs.strict_size, _of("stalled")),
    "greedy-compaction": Bug(log_bugs.greedy_compaction, _of("lost-key", "skipped")),
    "names-before-ids": Bug(log_bugs.names_before_ids, _of("mistaken-topic")),
}
