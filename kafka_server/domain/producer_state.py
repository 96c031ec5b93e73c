"""Owns: what a partition remembers of each idempotent producer, and whether a batch is new, a repeat or out of order.
Must never know: bytes, clocks, who asks, the transaction coordinator.

A producer numbers its records per partition (KIP-98). A retry repeats the numbers, so the partition can tell a batch
that it has from one that it lacks. It keeps the last five batches of each producer, because that is how many requests
a client may have in flight at once; a repeat of one of them is answered with the offset it got the first time.

Sequences count from 0 to 2**31 - 1 and start again at 0. A new epoch starts at 0, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from kafka_server.domain.errors import InvalidProducerEpoch, InvalidTxnState, OutOfOrderSequence
from kafka_server.domain.record_batch import BatchHeader

BATCHES_KEPT = 5
SEQUENCE_MAX = 2**31 - 1
NO_EPOCH = -1


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

    __slots__ = ("_entries", "_entries_max")

    def __init__(self, entries_max: int = 100_000) -> None:
        # The dict's order is the order of last use: `record` moves an entry to the end.
        self._entries: dict[int, ProducerEntry] = {}
        self._entries_max = entries_max

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
            if entry.batches and sequence != expected:
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
        return min(
            (e.transaction_first_offset for e in self._entries.values() if e.transaction_first_offset is not None),
            default=None,
        )

    def _forget_oldest(self) -> None:
        # A cap, so that a client that asks for ids without end cannot fill the memory. The least recently used
        # producer without an open transaction goes; should it come back, it may start with any sequence.
        for producer_id, entry in self._entries.items():
            if entry.transaction_first_offset is None:
                del self._entries[producer_id]
                return


def next_sequence(sequence: int) -> int:
    """The sequence after ``sequence``; 0 follows the largest one."""
    return 0 if sequence == SEQUENCE_MAX else sequence + 1


def last_sequence_of(header: BatchHeader) -> int:
    """The sequence of the batch's last record, wrapped around where needed."""
    last = header.base_sequence + header.last_offset_delta
    return last if last <= SEQUENCE_MAX else last - SEQUENCE_MAX - 1
