"""Owns: the rules of one partition - which offset a batch gets, who may read how far, what each leader epoch wrote.
Must never know: where bytes lie, clocks, who waits, the wire.

    log start offset      last stable offset      high watermark      log end offset
         |  <= what read_committed sees |                |                   |
         |  <= what everybody sees -------------------->|                   |
         |  <= what is written ------------------------------------------->|

With one replica the high watermark follows the log end offset as soon as the store says that a batch is safe. The last
stable offset waits for the earliest transaction that is open, or whose marker is not safe yet.

An append takes three steps, so that a store that fails leaves no trace: ``admit`` plans without changing anything, the
store writes, ``advance`` makes it true. When the store has to wait for the disk, ``acknowledge`` moves the high
watermark later.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from kafka_server.domain.aborted_transactions import AbortedTransaction, AbortedTransactions
from kafka_server.domain.control_record import Marker
from kafka_server.domain.errors import (
    FencedLeaderEpoch,
    InvalidTxnState,
    OffsetOutOfRange,
    OutOfOrderSequence,
    UnknownLeaderEpoch,
)
from kafka_server.domain.producer_state import ProducerStates, StoredBatch
from kafka_server.domain.record_batch import TRANSACTIONAL, BatchHeader

UNKNOWN_EPOCH = -1
UNKNOWN_OFFSET = -1
TO_HIGH_WATERMARK = -1
"""In DeleteRecords: everything that can be read."""


class Membership(IntEnum):
    """What the transaction coordinator said of a transactional batch before it is appended (KIP-890)."""

    UNKNOWN = 0
    """Nothing: the batch is taken only if its producer has a transaction open in the partition."""
    VERIFIED = 1
    """The partition belongs to the producer's transaction."""
    ADDED = 2
    """The same, and the producer begins each transaction with a new epoch: its first batch has sequence 0."""


class EpochEntry(NamedTuple):
    """A leader epoch and the offset of its first record."""

    epoch: int
    start_offset: int


class EpochEnd(NamedTuple):
    """A leader epoch and the offset behind its last record."""

    epoch: int
    end_offset: int


UNKNOWN_EPOCH_END = EpochEnd(UNKNOWN_EPOCH, UNKNOWN_OFFSET)


class Partition:
    """One partition of a topic, as rules without bytes."""

    __slots__ = (
        "_epochs",
        "_unsafe_markers",
        "aborted",
        "first_unstable_offset",
        "high_watermark",
        "index",
        "leader_epoch",
        "log_end_offset",
        "log_start_offset",
        "producers",
    )

    def __init__(self, index: int, leader_epoch: int = 0) -> None:
        self.index = index
        self.leader_epoch = leader_epoch
        self.log_start_offset = 0
        self.log_end_offset = 0
        self.high_watermark = 0
        self.first_unstable_offset: int | None = None
        """First offset of the earliest transaction that readers of committed data must not pass; None without one."""
        self.aborted = AbortedTransactions()
        self._unsafe_markers: list[tuple[int, int]] = []
        """(marker's offset, transaction's first offset) of transactions that are over, but could be open again after
        a crash, because their markers are not safe yet."""
        self.producers = ProducerStates()
        self._epochs = [EpochEntry(leader_epoch, 0)]

    # ---- append ------------------------------------------------------------------------------------------------------

    def admit(self, header: BatchHeader, membership: Membership = Membership.UNKNOWN) -> StoredBatch | None:
        """Whether a checked batch may be appended next: None if so, or the stored batch that it repeats.

        The batch would get ``log_end_offset`` as its base offset. Raises OutOfOrderSequence, InvalidProducerEpoch or
        InvalidTxnState. Changes nothing.
        """
        if header.attributes & TRANSACTIONAL and not self.producers.has_open_transaction(
            header.producer_id, header.producer_epoch
        ):
            repeated = self.producers.repeated(header)
            if repeated is not None:
                return repeated
            self._admit_first_of_transaction(header, membership)
        if header.producer_id >= 0:
            return self.producers.check(header)
        return None

    def _admit_first_of_transaction(self, header: BatchHeader, membership: Membership) -> None:
        self.producers.check_epoch(header.producer_id, header.producer_epoch)
        if membership is Membership.UNKNOWN:
            raise InvalidTxnState("The batch does not belong to a transaction that is open in this partition")
        if membership is Membership.ADDED and header.base_sequence != 0:
            entry = self.producers.get(header.producer_id)
            if entry is None or not entry.batches:
                raise OutOfOrderSequence(
                    f"Producer {header.producer_id} begins with sequence {header.base_sequence}; nothing is known of "
                    "it here, so its transaction has to begin with 0"
                )

    def advance(self, header: BatchHeader, now_ms: int, *, is_safe: bool) -> None:
        """The admitted batch was written at ``log_end_offset``. ``is_safe`` says that readers may see it already;
        otherwise ``acknowledge`` will.
        """
        base_offset = self.log_end_offset
        self.log_end_offset = end_offset = base_offset + header.last_offset_delta + 1
        if is_safe:
            self.high_watermark = end_offset
            if self._unsafe_markers:
                self._settle_markers(end_offset)
        if header.producer_id >= 0:
            self.producers.record(header, base_offset, now_ms)
            if header.attributes & TRANSACTIONAL and self.first_unstable_offset is None:
                self.first_unstable_offset = base_offset

    def end_transaction(self, marker: Marker, now_ms: int, *, is_safe: bool) -> None:
        """The marker, which ``producers.check_marker`` admitted, was written at ``log_end_offset``."""
        offset = self.log_end_offset
        self.log_end_offset = offset + 1
        if is_safe:
            self.acknowledge(offset + 1)
        first_offset = self._complete(marker, offset, now_ms)
        if first_offset is not None:
            if not is_safe:
                self._unsafe_markers.append((offset, first_offset))
            self._find_first_unstable()

    def _complete(self, marker: Marker, offset: int, now_ms: int) -> int | None:
        first_offset = self.producers.end_transaction(marker, now_ms)
        if first_offset is not None and not marker.is_commit:
            still_open = self.producers.first_open_transaction()
            stable = offset + 1 if still_open is None else still_open
            self.aborted.append(AbortedTransaction(marker.producer_id, first_offset, offset, stable))
        return first_offset

    def _find_first_unstable(self) -> None:
        earliest = self.producers.first_open_transaction()
        for _, first_offset in self._unsafe_markers:
            if earliest is None or first_offset < earliest:
                earliest = first_offset
        self.first_unstable_offset = earliest

    def acknowledge(self, end_offset: int) -> None:
        """Everything below ``end_offset`` is as safe as the flush policy promises; readers may see it."""
        if end_offset > self.high_watermark:
            self.high_watermark = end_offset
            if self._unsafe_markers:
                self._settle_markers(end_offset)

    def _settle_markers(self, end_offset: int) -> None:
        self._unsafe_markers = [unsafe for unsafe in self._unsafe_markers if unsafe[0] >= end_offset]
        self._find_first_unstable()

    # ---- read --------------------------------------------------------------------------------------------------------

    @property
    def last_stable_offset(self) -> int:
        """Readers of committed data stop here: at the first open transaction, or at the high watermark."""
        unstable = self.first_unstable_offset
        if unstable is None or unstable > self.high_watermark:
            return self.high_watermark
        # Records of an open transaction can be deleted; what is gone holds nobody up.
        return unstable if unstable > self.log_start_offset else self.log_start_offset

    def readable_end(self, offset: int, read_committed: bool) -> int:
        """The offset that a read from ``offset`` must stay below.

        Raises OffsetOutOfRange when ``offset`` is below the log start or above the log end - and only then, because
        a client that is told so throws its position away.
        """
        if not self.log_start_offset <= offset <= self.log_end_offset:
            raise OffsetOutOfRange(
                f"Offset {offset} lies outside [{self.log_start_offset}, {self.log_end_offset}] of this partition"
            )
        return self.last_stable_offset if read_committed else self.high_watermark

    # ---- log start ---------------------------------------------------------------------------------------------------

    def delete_records(self, offset: int) -> int:
        """Moves the log start offset up to ``offset`` (-1: the high watermark) and returns where it is now.

        It never moves down. Raises OffsetOutOfRange for an offset above the high watermark or below -1.
        """
        target = self.start_after_deleting(offset)
        if target > self.log_start_offset:
            self.log_start_offset = target
            self._forget_epochs_below(target)
            self.aborted.forget_below(target)
        return self.log_start_offset

    def start_after_deleting(self, offset: int) -> int:
        """What ``delete_records(offset)`` would return. Changes nothing, raises the same."""
        target = self.high_watermark if offset == TO_HIGH_WATERMARK else offset
        if not 0 <= target <= self.high_watermark:
            raise OffsetOutOfRange(f"Offset {target} lies outside [0, {self.high_watermark}] of this partition")
        return max(target, self.log_start_offset)

    # ---- leader epochs -----------------------------------------------------------------------------------------------

    def check_leader_epoch(self, epoch: int) -> None:
        """Compares the epoch a client believes in with ours; -1 is no opinion (KIP-320).

        Raises FencedLeaderEpoch when the client is behind, UnknownLeaderEpoch when it is ahead.
        """
        if epoch == UNKNOWN_EPOCH or epoch == self.leader_epoch:
            return
        if epoch < self.leader_epoch:
            raise FencedLeaderEpoch(f"The client has leader epoch {epoch}, the broker {self.leader_epoch}")
        raise UnknownLeaderEpoch(f"The client has leader epoch {epoch}, the broker {self.leader_epoch}")

    def epochs(self) -> list[EpochEntry]:
        """Each leader epoch that has records, with its first offset; ascending in both."""
        return list(self._epochs)

    def epoch_of(self, offset: int) -> int:
        """The leader epoch that wrote ``offset``, or -1 when it is not known."""
        for entry in reversed(self._epochs):
            if entry.start_offset <= offset:
                return entry.epoch
        return UNKNOWN_EPOCH

    def end_of_epoch(self, epoch: int) -> EpochEnd:
        """The largest known epoch that is not above ``epoch``, and where it ends (KIP-279).

        The current epoch ends at the log end. An epoch older than all that are known ends where the first one starts;
        one newer than all is unknown.
        """
        entries = self._epochs
        if epoch == UNKNOWN_EPOCH or not entries:
            return UNKNOWN_EPOCH_END
        if epoch == entries[-1].epoch:
            return EpochEnd(epoch, self.log_end_offset)
        floor = epoch
        for entry in entries:
            if entry.epoch > epoch:
                return EpochEnd(floor, entry.start_offset)
            floor = entry.epoch
        return UNKNOWN_EPOCH_END

    def diverging_epoch(self, offset: int, last_fetched_epoch: int) -> EpochEnd | None:
        """Where the reader's log and this one part, or None when they agree (KIP-595).

        The reader says that the record before ``offset`` was written in ``last_fetched_epoch``.
        Raises OffsetOutOfRange when that epoch is not known here.
        """
        if last_fetched_epoch == UNKNOWN_EPOCH:
            return None
        end = self.end_of_epoch(last_fetched_epoch)
        if end.epoch == UNKNOWN_EPOCH or end.end_offset == UNKNOWN_OFFSET:
            raise OffsetOutOfRange(f"No end offset is known for leader epoch {last_fetched_epoch}")
        if end.epoch < last_fetched_epoch or end.end_offset < offset:
            return end
        return None

    def begin_epoch(self, epoch: int) -> None:
        """A new leadership begins at the log end. An epoch never goes back; an older one is ignored."""
        if epoch <= self.leader_epoch:
            return
        self.leader_epoch = epoch
        if self._epochs and self._epochs[-1].start_offset == self.log_end_offset:
            self._epochs.pop()  # The epoch before wrote nothing.
        self._epochs.append(EpochEntry(epoch, self.log_end_offset))

    def _forget_epochs_below(self, offset: int) -> None:
        entries = self._epochs
        first = 0
        while first + 1 < len(entries) and entries[first + 1].start_offset <= offset:
            first += 1
        # The epoch that covers the log start stays, and starts there now.
        self._epochs = [
            EpochEntry(entries[first].epoch, max(offset, entries[first].start_offset)),
            *entries[first + 1 :],
        ]

    # ---- when a log is opened ----------------------------------------------------------------------------------------

    def restore(self, log_start_offset: int, epochs: list[EpochEntry]) -> None:
        """Starts from what a store knows before it replays its batches."""
        self.log_start_offset = self.log_end_offset = self.high_watermark = log_start_offset
        if epochs:
            self._epochs = list(epochs)
            self._forget_epochs_below(log_start_offset)
            self.leader_epoch = max(self.leader_epoch, epochs[-1].epoch)

    def replay(self, header: BatchHeader, marker: Marker | None = None) -> None:
        """A batch that the store holds, in ascending order of offset; ``marker`` is what a control batch says."""
        last_epoch = self._epochs[-1].epoch if self._epochs else UNKNOWN_EPOCH
        if header.leader_epoch > last_epoch:
            self._epochs.append(EpochEntry(header.leader_epoch, header.base_offset))
            self.leader_epoch = max(self.leader_epoch, header.leader_epoch)
        if marker is not None:
            self._complete(marker, header.base_offset, header.max_timestamp)
        elif header.producer_id >= 0 and header.base_sequence >= 0:
            self.producers.record(header, header.base_offset, header.max_timestamp)
        self.log_end_offset = self.high_watermark = header.last_offset + 1
        self.first_unstable_offset = self.producers.first_open_transaction()
