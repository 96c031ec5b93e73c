"""Owns: what a partition remembers of each idempotent producer, and whether a batch is new, a repeat or out of order.
Must never know: bytes, clocks, who asks, how the transaction coordinator decides.

A producer numbers its records per partition (KIP-98). A retry repeats the numbers, so the partition can tell a batch
that it has from one that it lacks. It keeps the last five batches of each producer, because that is how many requests
a client may have in flight at once; a repeat of one of them is answered with the offset it got the first time.

Sequences count from 0 to 2**31 - 1 and start again at 0. A new epoch starts at 0, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from kafka_server.domain.control_record import Marker
from kafka_server.domain.errors import (
    InvalidProducerEpoch,
    InvalidTxnState,
    OutOfOrderSequence,
    TransactionCoordinatorFenced,
)
from kafka_server.domain.record_batch import BatchHeader

BATCHES_KEPT = 5
SEQUENCE_MAX = 2**31 - 1
NO_EPOCH = -1
EPOCH_MAX = 2**15 - 1


class StoredBatch(NamedTuple):
    """A batch that was appended, as a repeat of it would be recognised and answered."""

    first_sequence: int
    last_sequence: int
    first_offset: int
    last_offset: int
    timestamp: int
    """The batch's largest timestamp; with LogAppendTime the broker's stamp."""


class ProducerEntry:
    """The state of one producer id in one partition."""

    __slots__ = ("batches", "coordinator_epoch", "epoch", "last_used_ms", "transaction_first_offset")

    def __init__(self, epoch: int = NO_EPOCH) -> None:
        self.epoch = epoch
        self.batches: deque[StoredBatch] = deque(maxlen=BATCHES_KEPT)
        self.last_used_ms = 0
        self.coordinator_epoch = -1
        """Epoch of the coordinator whose marker came last; an older one is a zombie."""
        self.transaction_first_offset: int | None = None
        """Offset of the first batch of the transaction that is open in this partition."""

    @property
    def last_sequence(self) -> int:
        return self.batches[-1].last_sequence if self.batches else -1


class ProducerStates:
    """Every producer that a partition remembers."""

    __slots__ = ("_entries", "_entries_max", "evicted", "open_transactions")

    def __init__(self, entries_max: int = 100_000) -> None:
        # The dict's order is the order of last use: `record` moves an entry to the end.
        self._entries: dict[int, ProducerEntry] = {}
        self._entries_max = entries_max
        self.evicted = 0
        """Producers that the cap made this partition forget since this process started."""
        self.open_transactions: dict[int, int] = {}
        """Producer id by first offset, of each transaction that is open here. Transactions are added as they begin,
        so the dict is in ascending order and its first key is the earliest."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, producer_id: int) -> ProducerEntry | None:
        return self._entries.get(producer_id)

    def items(self) -> list[tuple[int, ProducerEntry]]:
        """Producer ids with their entries, least recently used first (DescribeProducers, snapshots)."""
        return list(self._entries.items())

    def load(self, producers: Iterable[tuple[int, ProducerEntry]]) -> None:
        """Starts from what a snapshot remembers, before the batches behind it are replayed."""
        self._entries = dict(producers)
        begun = ((entry.transaction_first_offset, producer_id) for producer_id, entry in self._entries.items())
        self.open_transactions = dict(sorted((offset, who) for offset, who in begun if offset is not None))

    def repeated(self, header: BatchHeader) -> StoredBatch | None:
        """The stored batch that this one repeats, or None."""
        entry = self._entries.get(header.producer_id)
        if entry is None or header.producer_epoch != entry.epoch:
            return None
        last_sequence = last_sequence_of(header)
        for batch in entry.batches:
            if batch.first_sequence == header.base_sequence and batch.last_sequence == last_sequence:
                return batch
        return None

    def check(self, header: BatchHeader) -> StoredBatch | None:
        """None when the batch comes next, or the stored batch that it repeats.

        Raises InvalidProducerEpoch (a newer producer took over) or OutOfOrderSequence (batches are missing).
        An unknown producer may start with any sequence: its state can have been lost to retention or expiry.
        """
        entry = self._entries.get(header.producer_id)
        if entry is None:
            return None
        sequence = header.base_sequence
        if header.producer_epoch == entry.epoch:
            last_sequence = last_sequence_of(header)
            for batch in entry.batches:
                if batch.first_sequence == sequence and batch.last_sequence == last_sequence:
                    return batch
            expected = next_sequence(entry.last_sequence)
            if sequence != expected:
                raise OutOfOrderSequence(
                    f"Producer {header.producer_id} sent sequence {sequence}, the partition expects {expected}"
                )
        elif header.producer_epoch < entry.epoch:
            raise InvalidProducerEpoch(
                f"Producer {header.producer_id} has epoch {header.producer_epoch}, the partition knows {entry.epoch}"
            )
        elif sequence != 0 and entry.epoch != NO_EPOCH:
            raise OutOfOrderSequence(
                f"Producer {header.producer_id} starts epoch {header.producer_epoch} with sequence {sequence}, not 0"
            )
        if entry.transaction_first_offset is not None and not header.is_transactional:
            raise InvalidTxnState(f"Producer {header.producer_id} has an open transaction in this partition")
        return None

    def record(self, header: BatchHeader, base_offset: int, now_ms: int) -> None:
        """Remembers that the batch was appended at ``base_offset``, with the header that it was stored with."""
        entries = self._entries
        entry = entries.pop(header.producer_id, None)
        if entry is None:
            entry = ProducerEntry(header.producer_epoch)
            if len(entries) >= self._entries_max:
                self._forget_oldest()
        elif entry.epoch != header.producer_epoch:
            entry.epoch = header.producer_epoch
            entry.batches.clear()
        entries[header.producer_id] = entry
        last_offset = base_offset + header.last_offset_delta
        entry.batches.append(
            StoredBatch(header.base_sequence, last_sequence_of(header), base_offset, last_offset, header.max_timestamp)
        )
        entry.last_used_ms = now_ms
        if header.is_transactional and entry.transaction_first_offset is None:
            entry.transaction_first_offset = base_offset
            self.open_transactions[base_offset] = header.producer_id

    # ---- transactions ------------------------------------------------------------------------------------------------

    def has_open_transaction(self, producer_id: int, producer_epoch: int) -> bool:
        """Whether that producer, in that epoch, has a transaction open in this partition."""
        entry = self._entries.get(producer_id)
        return entry is not None and entry.transaction_first_offset is not None and entry.epoch == producer_epoch

    def check_epoch(self, producer_id: int, producer_epoch: int) -> None:
        """Raises InvalidProducerEpoch when a newer producer took over."""
        entry = self._entries.get(producer_id)
        if entry is not None and producer_epoch < entry.epoch:
            raise InvalidProducerEpoch(
                f"Producer {producer_id} has epoch {producer_epoch}, the partition knows {entry.epoch}"
            )

    def check_marker(self, marker: Marker, *, epoch_is_bumped: bool) -> None:
        """Whether a marker may be written. Raises InvalidProducerEpoch or TransactionCoordinatorFenced.

        Where each transaction has an epoch of its own (KIP-890), the marker's epoch lies above that of the records it
        ends, so an equal epoch is a marker that came late - unless nothing is open, then it is a harmless repetition.
        """
        entry = self._entries.get(marker.producer_id) or ProducerEntry()
        is_stale = marker.producer_epoch < entry.epoch
        if epoch_is_bumped and marker.producer_epoch == entry.epoch:
            is_stale = entry.transaction_first_offset is not None and marker.producer_epoch != EPOCH_MAX
        if is_stale:
            raise InvalidProducerEpoch(
                f"A marker of producer {marker.producer_id} has epoch {marker.producer_epoch}, "
                f"the partition knows {entry.epoch}"
            )
        if marker.coordinator_epoch < entry.coordinator_epoch:
            raise TransactionCoordinatorFenced(
                f"A marker comes from coordinator epoch {marker.coordinator_epoch}, "
                f"the partition knows {entry.coordinator_epoch}"
            )

    def end_transaction(self, marker: Marker, now_ms: int) -> int | None:
        """The marker was written; returns the first offset of the transaction that it ends, None if none was open."""
        entry = self._entries.pop(marker.producer_id, None)
        if entry is None:
            entry = ProducerEntry(marker.producer_epoch)
            if len(self._entries) >= self._entries_max:
                self._forget_oldest()
        elif entry.epoch != marker.producer_epoch:
            entry.epoch = marker.producer_epoch
            entry.batches.clear()
        self._entries[marker.producer_id] = entry
        entry.coordinator_epoch = marker.coordinator_epoch
        entry.last_used_ms = now_ms
        first_offset, entry.transaction_first_offset = entry.transaction_first_offset, None
        if first_offset is not None:
            self.open_transactions.pop(first_offset, None)
        return first_offset

    def expire(self, unused_since_ms: int) -> int:
        """Forgets producers not used at or after ``unused_since_ms`` that have no open transaction; says how many."""
        expired = [
            producer_id
            for producer_id, entry in self._entries.items()
            if entry.last_used_ms < unused_since_ms and entry.transaction_first_offset is None
        ]
        for producer_id in expired:
            del self._entries[producer_id]
        return len(expired)

    def first_open_transaction(self) -> int | None:
        """Offset of the earliest open transaction, or None; the last stable offset never passes it."""
        return next(iter(self.open_transactions), None)

    def _forget_oldest(self) -> None:
        # A cap, so that a client that asks for ids without end cannot fill the memory. The least recently used
        # producer without an open transaction goes; should it come back, it may start with any sequence.
        for producer_id, entry in self._entries.items():
            if entry.transaction_first_offset is None:
                del self._entries[producer_id]
                self.evicted += 1
                return


def next_sequence(sequence: int) -> int:
    """The sequence after ``sequence``; 0 follows the largest one."""
    return 0 if sequence == SEQUENCE_MAX else sequence + 1


def last_sequence_of(header: BatchHeader) -> int:
    """The sequence of the batch's last record, wrapped around where needed."""
    last = header.base_sequence + header.last_offset_delta
    return last if last <= SEQUENCE_MAX else last - SEQUENCE_MAX - 1
