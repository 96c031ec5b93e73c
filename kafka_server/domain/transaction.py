"""Owns: the life of a transactional id - who may do what to its transaction, and what comes of it.
Must never know: clocks, storage, partitions' logs, who asks and how they are answered.

A transactional id outlives the processes that use it. Each process that says "I am it now" gets a newer epoch of its
producer id, and with it every older one is fenced (KIP-98, KIP-360).

    Empty --add partitions--> Ongoing --commit--> PrepareCommit --markers written--> CompleteCommit
      ^                          |  `---abort---> PrepareAbort  --markers written--> CompleteAbort
      |                       fence                    ^                                  |
      |                          `--> PrepareEpochFence'   (of the broker's own accord)   |
      `---- initialise (a process begins) ---------------------------------- Complete* <--'

A transaction is decided when its Prepare state is stored; from there on it only goes forward, whatever breaks.

There are two protocols. In the first one the epoch stays over many transactions. In the second (KIP-890, transaction
version 2) each end of a transaction bumps it, so that a late request of one transaction can never end the next one; and
a transaction without partitions may be aborted, because the client cannot know whether its first records arrived.

``Transaction`` is a value: each operation returns the next one, so that nothing has changed until that is stored.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

from kafka_server.domain.errors import (
    ConcurrentTransactions,
    InvalidProducerIdMapping,
    InvalidTxnState,
    ProducerFenced,
    TransactionAbortable,
)

NO_PRODUCER_ID: Final = -1
NO_PRODUCER_EPOCH: Final = -1
EPOCH_MAX: Final = 2**15 - 1
EPOCH_LAST: Final = EPOCH_MAX - 1
"""The last epoch that a client gets; one more is kept back, so that the broker can always fence it."""
NOT_STARTED: Final = -1

TopicPartition = tuple[str, int]
"""Topic name and partition index."""


class State(Enum):
    """The states, as DescribeTransactions and ListTransactions spell them."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"
    DEAD = "Dead"
    PREPARE_EPOCH_FENCE = "PrepareEpochFence"


class Event(Enum):
    """What happens to a transaction."""

    INITIALISE = "initialise"
    ADD_PARTITIONS = "add partitions"
    COMMIT = "commit"
    ABORT = "abort"
    FENCE = "fence"
    MARKERS_WRITTEN = "markers written"
    EXPIRE = "expire"


_RESTING: Final = (State.EMPTY, State.COMPLETE_COMMIT, State.COMPLETE_ABORT)

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    **{(state, Event.INITIALISE): State.EMPTY for state in _RESTING},
    **{(state, Event.ADD_PARTITIONS): State.ONGOING for state in (*_RESTING, State.ONGOING)},
    (State.ONGOING, Event.COMMIT): State.PREPARE_COMMIT,
    (State.ONGOING, Event.ABORT): State.PREPARE_ABORT,
    **{(state, Event.ABORT): State.PREPARE_ABORT for state in _RESTING},
    (State.ONGOING, Event.FENCE): State.PREPARE_EPOCH_FENCE,
    (State.PREPARE_EPOCH_FENCE, Event.ABORT): State.PREPARE_ABORT,
    (State.PREPARE_COMMIT, Event.MARKERS_WRITTEN): State.COMPLETE_COMMIT,
    (State.PREPARE_ABORT, Event.MARKERS_WRITTEN): State.COMPLETE_ABORT,
    **{(state, Event.EXPIRE): State.DEAD for state in _RESTING},
}


class IllegalTransitionError(Exception):
    """A bug of ours: no request may lead here."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"A transaction in state {state.value} cannot take the event: {event.value}")


def next_state(state: State, event: Event) -> State:
    """The state that follows. Raises IllegalTransitionError."""
    following = TRANSITIONS.get((state, event))
    if following is None:
        raise IllegalTransitionError(state, event)
    return following


class Producer(NamedTuple):
    """A producer id in one of its epochs."""

    producer_id: int
    epoch: int


NO_PRODUCER: Final = Producer(NO_PRODUCER_ID, NO_PRODUCER_EPOCH)


class Protocol(Enum):
    """How a client runs transactions; the numbers are levels of the feature ``transaction.version``."""

    V1 = 0
    """Partitions are added by requests of their own; the epoch stays. Levels 0 and 1 differ in storage alone."""
    V2 = 2
    """KIP-890: producing adds the partition, and the end of each transaction bumps the epoch."""


@dataclass(slots=True, frozen=True)
class Transaction:
    """What is known of a transactional id."""

    transactional_id: str
    producer_id: int
    producer_epoch: int = NO_PRODUCER_EPOCH
    """-1 until the first InitProducerId is through."""
    previous_producer_id: int = NO_PRODUCER_ID
    last_producer_epoch: int = NO_PRODUCER_EPOCH
    """The epoch before, as far as its owner may still be the same process: it tells a retry from a zombie."""
    next_producer_id: int = NO_PRODUCER_ID
    """Takes over once the markers are written, because the epochs of the present one are used up."""
    timeout_ms: int = 0
    state: State = State.EMPTY
    partitions: frozenset[TopicPartition] = frozenset()
    """Those that belong to the open transaction; committed offsets count as partitions of ``__consumer_offsets``."""
    started_ms: int = NOT_STARTED
    updated_ms: int = 0
    protocol: Protocol = Protocol.V1
    """How the client ran the last transaction."""

    # ---- facts -------------------------------------------------------------------------------------------------------

    @property
    def producer(self) -> Producer:
        return Producer(self.producer_id, self.producer_epoch)

    @property
    def is_decided(self) -> bool:
        """Committed or aborted for good, but not all markers are known to be written."""
        return self.state in (State.PREPARE_COMMIT, State.PREPARE_ABORT)

    @property
    def is_epoch_exhausted(self) -> bool:
        return is_exhausted(self.producer_epoch)

    def is_timed_out(self, now_ms: int) -> bool:
        return self.state is State.ONGOING and self.started_ms + self.timeout_ms < now_ms

    def is_expired(self, unused_since_ms: int) -> bool:
        """Whether the id may be forgotten: nothing is open, and nobody used it since then."""
        return self.state in _RESTING and self.updated_ms <= unused_since_ms

    # ---- InitProducerId ----------------------------------------------------------------------------------------------

    def check_initialise(self, expected: Producer | None) -> None:
        """Whether a process may become the owner. ``expected`` is who it thinks it is (KIP-360), None for a new one.

        Raises ProducerFenced, or ConcurrentTransactions while markers are being written.
        """
        if expected is not None and not self._may_be(expected):
            raise ProducerFenced
        if self.is_decided:
            raise ConcurrentTransactions

    def _may_be(self, expected: Producer) -> bool:
        # Without an epoch the id was just created: a producer that the broker forgot starts anew. A retry may name the
        # id before, when its epochs were used up and the answer with the new id got lost.
        return (
            self.producer_epoch == NO_PRODUCER_EPOCH
            or expected.producer_id == self.producer_id
            or (expected.producer_id == self.previous_producer_id and is_exhausted(expected.epoch))
        )

    def needs_producer_id(self, expected: Producer | None) -> bool:
        """Whether ``initialise`` needs a fresh producer id, since there is no epoch left to bump to."""
        return self.is_epoch_exhausted and (expected is None or expected.epoch == self.producer_epoch)

    def initialise(
        self, timeout_ms: int, expected: Producer | None, now_ms: int, fresh_producer_id: int | None = None
    ) -> Transaction:
        """A process becomes the owner. Raises ProducerFenced when ``expected`` is neither the owner nor a retry."""
        if fresh_producer_id is not None:
            producer_id, epoch = fresh_producer_id, 0
            last_epoch = NO_PRODUCER_EPOCH if expected is None else self.producer_epoch
        else:
            producer_id = self.producer_id
            epoch, last_epoch = self._bumped(expected)
        return replace(
            self,
            state=next_state(self.state, Event.INITIALISE),
            producer_id=producer_id,
            previous_producer_id=self.producer_id,
            next_producer_id=NO_PRODUCER_ID,
            producer_epoch=epoch,
            last_producer_epoch=last_epoch,
            timeout_ms=timeout_ms,
            partitions=frozenset(),
            started_ms=NOT_STARTED,
            updated_ms=now_ms,
        )

    def _bumped(self, expected: Producer | None) -> tuple[int, int]:
        """The new epoch and the last one."""
        if expected is None:
            return self.producer_epoch + 1, NO_PRODUCER_EPOCH
        if self.producer_epoch == NO_PRODUCER_EPOCH or expected.epoch == self.producer_epoch:
            return self.producer_epoch + 1, self.producer_epoch
        if expected.epoch == self.last_producer_epoch:
            # The answer to the bump got lost. Nobody else can have become the owner since: that clears the last epoch.
            return self.producer_epoch, self.last_producer_epoch
        raise ProducerFenced

    # ---- adding partitions -------------------------------------------------------------------------------------------

    def check_add(self, producer: Producer) -> None:
        """Raises InvalidProducerIdMapping, ProducerFenced, or ConcurrentTransactions while markers are written."""
        self._check_owner(producer)
        if self.is_decided:
            raise ConcurrentTransactions

    def contains(self, partitions: Collection[TopicPartition]) -> bool:
        """Whether all of them belong to the open transaction."""
        return self.state is State.ONGOING and self.partitions.issuperset(partitions)

    def add_partitions(self, partitions: Collection[TopicPartition], now_ms: int, protocol: Protocol) -> Transaction:
        """The transaction with these partitions; it begins with the first of them."""
        return replace(
            self,
            state=next_state(self.state, Event.ADD_PARTITIONS),
            partitions=self.partitions.union(partitions),
            started_ms=self.started_ms if self.state is State.ONGOING else now_ms,
            updated_ms=now_ms,
            previous_producer_id=self.producer_id,
            protocol=protocol,
        )

    def verify(self, producer: Producer, partition: TopicPartition) -> None:
        """Raises TransactionAbortable when the partition does not belong to the open transaction (KIP-890), and what
        ``check_add`` raises."""
        self.check_add(producer)
        if partition not in self.partitions:
            raise TransactionAbortable

    def _check_owner(self, producer: Producer) -> None:
        if producer.producer_id != self.producer_id:
            raise InvalidProducerIdMapping
        if producer.epoch != self.producer_epoch:
            raise ProducerFenced

    # ---- ending ------------------------------------------------------------------------------------------------------

    def check_end(self, producer: Producer, commit: bool, protocol: Protocol) -> bool:
        """Whether the end has still to be prepared; False when this is a retry of one that is through.

        Raises InvalidProducerIdMapping, ProducerFenced, ConcurrentTransactions (this end is under way) or
        InvalidTxnState (nothing is open, or it was decided otherwise).
        """
        if protocol is Protocol.V1:
            self._check_owner(producer)
            is_retry = self.state is not State.ONGOING
        else:
            is_retry = self._check_owner_or_retry(producer)
        wanted = (
            (State.PREPARE_COMMIT, State.COMPLETE_COMMIT) if commit else (State.PREPARE_ABORT, State.COMPLETE_ABORT)
        )
        if self.state is State.ONGOING:
            return True
        if self.is_decided and self.state in wanted:
            raise ConcurrentTransactions
        if is_retry and self.state in wanted:
            return False
        if protocol is Protocol.V2 and not commit and not is_retry and not self.is_decided:
            return True  # An abort of a transaction to which nothing was added.
        raise InvalidTxnState(f"The transaction is in state {self.state.value}")

    def _check_owner_or_retry(self, producer: Producer) -> bool:
        """True for a retry: each end bumps the epoch, so an earlier end came with the epoch before."""
        is_after_bump = producer.epoch + 1 == self.producer_epoch
        is_after_overflow = (
            producer.producer_id == self.previous_producer_id
            and producer.epoch == EPOCH_LAST
            and self.producer_epoch == 0
        )
        if producer.producer_id != self.producer_id and not is_after_overflow:
            raise InvalidProducerIdMapping
        is_current = producer.epoch == self.producer_epoch
        if self.is_decided:
            is_valid = is_after_bump
        elif self.state in (State.COMPLETE_COMMIT, State.COMPLETE_ABORT):
            is_valid = is_after_bump or is_after_overflow or is_current
        else:
            is_valid = is_current
        if not is_valid:
            raise ProducerFenced
        return is_after_bump or is_after_overflow

    def fence(self) -> Transaction:
        """The broker ends the transaction itself, because its owner is gone or too slow; ``prepare`` comes next."""
        return replace(self, state=next_state(self.state, Event.FENCE))

    def prepare(
        self, commit: bool, now_ms: int, protocol: Protocol, fresh_producer_id: int = NO_PRODUCER_ID
    ) -> Transaction:
        """The decision. ``fresh_producer_id`` is needed when the second protocol runs out of epochs.

        When the broker fences, the epoch is bumped under either protocol.
        """
        epoch, last_epoch = self.producer_epoch, self.last_producer_epoch
        if protocol is Protocol.V2:
            epoch, last_epoch = min(epoch + 1, EPOCH_MAX), epoch
        was_empty = self.state in _RESTING
        return replace(
            self,
            state=next_state(self.state, Event.COMMIT if commit else Event.ABORT),
            producer_epoch=epoch,
            last_producer_epoch=last_epoch,
            previous_producer_id=self.producer_id,
            next_producer_id=fresh_producer_id,
            started_ms=now_ms if was_empty else self.started_ms,
            updated_ms=now_ms,
            protocol=protocol,
        )

    def complete(self, now_ms: int) -> Transaction:
        """All markers are written."""
        rotates = self.protocol is Protocol.V2 and self.next_producer_id != NO_PRODUCER_ID
        return replace(
            self,
            state=next_state(self.state, Event.MARKERS_WRITTEN),
            producer_id=self.next_producer_id if rotates else self.producer_id,
            producer_epoch=0 if rotates else self.producer_epoch,
            previous_producer_id=self.producer_id,
            next_producer_id=NO_PRODUCER_ID,
            partitions=frozenset(),
            updated_ms=now_ms,
        )

    def expire(self) -> Transaction:
        """Nobody uses the id any more."""
        return replace(self, state=next_state(self.state, Event.EXPIRE), partitions=frozenset())


def is_exhausted(epoch: int) -> bool:
    """Whether no client may get an epoch above this one."""
    return epoch >= EPOCH_LAST
