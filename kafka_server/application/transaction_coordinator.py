"""Owns: the transactional ids of this broker - finds them, stores each decision before it counts, drives it to its end.
Must never know: the wire and its versions, logs, the rules of a transaction (domain/transaction.py).

Nothing is true before it is stored: an operation computes the next state, stores it, and only then puts it in place.
Meanwhile the id is *changing*, and whoever else wants to change it is told CONCURRENT_TRANSACTIONS, which every client
takes as "soon again".

The end of a transaction is stored as a decision (PrepareCommit, PrepareAbort), then markers are written into every
partition that took part, then the end is stored, too. A crash in between leaves the decision, and the next start goes
on from there; a marker that is written twice does no harm. The client is answered when the markers are written, so it
reads what it committed - or earlier, if they cannot be written now: the decision stands, and they will be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from kafka_server.application.explain import EXPLAIN
from kafka_server.application.ports import Clock, Timer, TransactionRepository
from kafka_server.application.producer_service import ProducerIdService
from kafka_server.application.transaction_markers import TransactionMarkers
from kafka_server.domain.control_record import Marker
from kafka_server.domain.errors import (
    ConcurrentTransactions,
    CoordinatorNotAvailable,
    DomainError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidRequest,
    InvalidTransactionTimeout,
    StorageError,
    TransactionalIdNotFound,
    UnknownTopicOrPartition,
)
from kafka_server.domain.transaction import NO_PRODUCER_ID, Producer, Protocol, State, TopicPartition, Transaction

log = logging.getLogger("kafka_server.transaction")

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class TransactionSettings:
    """The broker's configuration of transactions."""

    timeout_ms_max: int = 900_000
    """``transaction.max.timeout.ms``"""
    abort_interval_ms: int = 10_000
    """``transaction.abort.timed.out.transaction.cleanup.interval.ms``"""
    expiration_ms: int = 604_800_000
    """``transactional.id.expiration.ms``"""
    expiration_interval_ms: int = 3_600_000
    """``transaction.remove.expired.transaction.cleanup.interval.ms``"""
    ids_max: int = 1_000_000
    """Transactional ids that this broker remembers; a new one beyond that is told COORDINATOR_NOT_AVAILABLE."""
    marker_retry_ms: int = 1_000
    """Pause before markers that could not be written are tried again."""


@dataclass(slots=True)
class TransactionCounters:
    """What happened to transactions since this process started. All only grow."""

    commits: int = 0
    aborts: int = 0
    timeouts: int = 0
    fencings: int = 0
    expirations: int = 0


@dataclass(slots=True)
class _Entry:
    """A transactional id, and whether a change of it is under way."""

    transaction: Transaction
    is_changing: bool = False


class TransactionCoordinator:
    """Every transactional id of this broker."""

    def __init__(
        self,
        clock: Clock,
        repository: TransactionRepository,
        producer_ids: ProducerIdService,
        markers: TransactionMarkers,
        settings: TransactionSettings,
    ) -> None:
        self._clock = clock
        self._repository = repository
        self._producer_ids = producer_ids
        self._markers = markers
        self._settings = settings
        self._entries: dict[str, _Entry] = {}
        self._timers: dict[str, Timer] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._pauses: set[asyncio.Future[None]] = set()
        self._is_closing = False
        self.counters = TransactionCounters()

    # ---- start and stop ----------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Brings back what was stored and drives decisions to their end; before clients may come."""
        for transaction in await self._repository.load():
            entry = self._entries[transaction.transactional_id] = _Entry(transaction)
            if transaction.is_decided:
                log.info("Transaction of %s was decided and is brought to its end", shown(transaction.transactional_id))
                entry.is_changing = True
                await self._finish(entry)

    def start(self) -> None:
        """Aborts what runs out of time and forgets unused ids, by the clock, until ``close``."""
        self._every("abort", self._settings.abort_interval_ms, self.abort_timed_out)
        self._every("expire", self._settings.expiration_interval_ms, self.expire)

    async def close(self) -> None:
        """Stops the clockwork and lets changes that are under way finish. Markers that cannot be written are left to
        the next start."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._is_closing = True
        for pause in self._pauses:
            pause.cancel()
        while self._running:  # The end of one may begin another.
            await asyncio.wait(self._running)

    # ---- what producers ask ------------------------------------------------------------------------------------------

    async def initialise(self, transactional_id: str, timeout_ms: int, expected: Producer | None) -> Producer:
        """InitProducerId: a process becomes the owner of the id, and every earlier one is fenced.

        Raises InvalidRequest (empty id), InvalidTransactionTimeout, ProducerFenced, CoordinatorNotAvailable, and
        ConcurrentTransactions, also after it has aborted what the owner before left open.
        """
        if not transactional_id:
            raise InvalidRequest("The transactional id is empty")
        if not 0 < timeout_ms <= self._settings.timeout_ms_max:
            raise InvalidTransactionTimeout
        entry = self._entries.get(transactional_id)
        if entry is None:
            return await self._to_its_end(self._create(transactional_id, timeout_ms, expected))
        if entry.is_changing:
            raise ConcurrentTransactions
        entry.transaction.check_initialise(expected)
        entry.is_changing = True
        if entry.transaction.state is State.ONGOING:
            self.counters.fencings += 1
            log.info("A new producer takes %s over; the open transaction is aborted", shown(transactional_id))
            await self._to_its_end(self._abort_by_broker(entry))
            raise ConcurrentTransactions
        return await self._to_its_end(self._initialise(entry, timeout_ms, expected))

    async def add_partitions(
        self, transactional_id: str, producer: Producer, partitions: Collection[TopicPartition], protocol: Protocol
    ) -> None:
        """AddPartitionsToTxn and AddOffsetsToTxn: the partitions belong to the producer's transaction from now on.

        Raises InvalidRequest (empty id), InvalidProducerIdMapping, ProducerFenced, ConcurrentTransactions,
        CoordinatorNotAvailable.
        """
        entry = self._find(transactional_id)
        if entry.is_changing:
            raise ConcurrentTransactions
        entry.transaction.check_add(producer)
        if entry.transaction.contains(partitions):
            return
        entry.is_changing = True
        await self._to_its_end(self._add(entry, partitions, protocol))

    def verify(self, transactional_id: str, producer: Producer, partition: TopicPartition) -> None:
        """Whether the partition belongs to the producer's open transaction (KIP-890).

        Raises TransactionAbortable when it does not, and the errors of ``add_partitions``.
        """
        self._find(transactional_id).transaction.verify(producer, partition)

    def is_open(self, transactional_id: str, producer: Producer, partition: TopicPartition) -> bool:
        """Whether records of this producer may begin to go into the partition right now."""
        entry = self._entries.get(transactional_id)
        if entry is None:
            return False
        transaction = entry.transaction
        return transaction.producer == producer and transaction.contains((partition,))

    async def end(self, transactional_id: str, producer: Producer, commit: bool, protocol: Protocol) -> Producer:
        """EndTxn; returns the producer to go on with, which has a new epoch under the second protocol.

        Raises InvalidRequest (empty id), InvalidProducerIdMapping, ProducerFenced, ConcurrentTransactions,
        InvalidTxnState, CoordinatorNotAvailable.
        """
        entry = self._find(transactional_id)
        if entry.is_changing and protocol is Protocol.V2:
            raise ConcurrentTransactions
        must_prepare = entry.transaction.check_end(producer, commit, protocol)
        if entry.is_changing:
            raise ConcurrentTransactions
        if not must_prepare:
            return entry.transaction.producer
        entry.is_changing = True
        return await self._to_its_end(self._end(entry, commit, protocol))

    # ---- what administrators ask -------------------------------------------------------------------------------------

    def describe(self, transactional_id: str) -> Transaction:
        """Raises InvalidRequest (empty id) or TransactionalIdNotFound."""
        if not transactional_id:
            raise InvalidRequest("The transactional id is empty")
        entry = self._entries.get(transactional_id)
        if entry is None:
            raise TransactionalIdNotFound
        return entry.transaction

    def all(self) -> Iterator[Transaction]:
        """Every transactional id that is known."""
        return (entry.transaction for entry in self._entries.values())

    # ---- by the clock ------------------------------------------------------------------------------------------------

    def abort_timed_out(self) -> None:
        """Aborts each transaction that is open for longer than its owner said it would be (KIP-98)."""
        now_ms = self._clock.now_ms()
        for entry in list(self._entries.values()):
            if not entry.is_changing and entry.transaction.is_timed_out(now_ms):
                self.counters.timeouts += 1
                line = "The transaction of %s is open for more than %d ms and is aborted"
                log.info(line, shown(entry.transaction.transactional_id), entry.transaction.timeout_ms)
                entry.is_changing = True
                self._in_background(self._abort_by_broker(entry))

    def expire(self) -> None:
        """Forgets ids that nobody used for ``transactional.id.expiration.ms``."""
        unused_since_ms = self._clock.now_ms() - self._settings.expiration_ms
        for entry in list(self._entries.values()):
            if not entry.is_changing and entry.transaction.is_expired(unused_since_ms):
                entry.is_changing = True
                self._in_background(self._expire(entry))

    def _every(self, name: str, interval_ms: int, chore: Callable[[], None]) -> None:
        def run() -> None:
            chore()
            self._every(name, interval_ms, chore)

        self._timers[name] = self._clock.call_later(interval_ms, run)

    # ---- changes; each begins with ``is_changing`` set and clears it -------------------------------------------------

    async def _create(self, transactional_id: str, timeout_ms: int, expected: Producer | None) -> Producer:
        if len(self._entries) >= self._settings.ids_max:
            raise CoordinatorNotAvailable(
                f"This broker knows {len(self._entries)} transactional ids and admits no more"
            )
        blank = Transaction(transactional_id, NO_PRODUCER_ID, timeout_ms=timeout_ms, updated_ms=self._clock.now_ms())
        entry = self._entries[transactional_id] = _Entry(blank, is_changing=True)
        try:
            producer_id = await self._fresh_producer_id()
            entry.transaction = Transaction(
                transactional_id, producer_id, timeout_ms=timeout_ms, updated_ms=self._clock.now_ms()
            )
            return await self._initialise(entry, timeout_ms, expected)
        except BaseException:
            del self._entries[transactional_id]
            raise

    async def _initialise(self, entry: _Entry, timeout_ms: int, expected: Producer | None) -> Producer:
        try:
            transaction = entry.transaction
            fresh = await self._fresh_producer_id() if transaction.needs_producer_id(expected) else None
            following = transaction.initialise(timeout_ms, expected, self._clock.now_ms(), fresh)
            await self._save(entry, following)
        finally:
            entry.is_changing = False
        if log.isEnabledFor(EXPLAIN):
            line = "Transactional id %s belongs to producer %d with epoch %d now"
            log.log(EXPLAIN, line, shown(following.transactional_id), *following.producer)
        return following.producer

    async def _add(self, entry: _Entry, partitions: Collection[TopicPartition], protocol: Protocol) -> None:
        try:
            await self._save(entry, entry.transaction.add_partitions(partitions, self._clock.now_ms(), protocol))
        finally:
            entry.is_changing = False
        if log.isEnabledFor(EXPLAIN):
            what = ", ".join(f"{topic}-{index}" for topic, index in sorted(partitions))
            log.log(EXPLAIN, "Transaction of %s takes in %s", shown(entry.transaction.transactional_id), what)

    async def _abort_by_broker(self, entry: _Entry) -> None:
        """Fences the owner and aborts; like ``_end``, of the broker's own accord."""
        try:
            await self._decide(entry, entry.transaction.fence(), commit=False, protocol=Protocol.V2)
        except BaseException:
            entry.is_changing = False
            raise
        await self._finish(entry)

    async def _end(self, entry: _Entry, commit: bool, protocol: Protocol) -> Producer:
        try:
            await self._decide(entry, entry.transaction, commit, protocol)
        except BaseException:
            entry.is_changing = False
            raise
        producer = entry.transaction.complete(0).producer
        await self._finish(entry)
        return producer

    async def _decide(self, entry: _Entry, transaction: Transaction, commit: bool, protocol: Protocol) -> None:
        fresh = NO_PRODUCER_ID
        if protocol is Protocol.V2 and transaction.is_epoch_exhausted:
            fresh = await self._fresh_producer_id()
        await self._save(entry, transaction.prepare(commit, self._clock.now_ms(), protocol, fresh))
        if commit:
            self.counters.commits += 1
        else:
            self.counters.aborts += 1
        if log.isEnabledFor(EXPLAIN):
            how = "is committed" if commit else "is aborted"
            log.log(EXPLAIN, "Transaction of %s %s", shown(transaction.transactional_id), how)

    async def _finish(self, entry: _Entry) -> None:
        """Writes the markers of a decided transaction and stores its end. Goes on in the background when that fails."""
        left = await self._write_markers(entry.transaction, entry.transaction.partitions)
        if left:
            self._in_background(self._finish_later(entry, left))
        else:
            self._complete(entry)

    async def _finish_later(self, entry: _Entry, left: Collection[TopicPartition]) -> None:
        while left:
            if self._is_closing:
                return  # On a disk that failed every further try would fail, too, and the stop would wait for them all.
            await self._pause(self._settings.marker_retry_ms)
            left = await self._write_markers(entry.transaction, left)
        self._complete(entry)

    async def _write_markers(
        self, transaction: Transaction, partitions: Collection[TopicPartition]
    ) -> list[TopicPartition]:
        """Writes a marker into each partition; returns those that failed and are to be tried again."""
        is_commit = transaction.state is State.PREPARE_COMMIT
        marker = Marker(transaction.producer_id, transaction.producer_epoch, is_commit)
        unsafe: list[tuple[TopicPartition, Awaitable[None]]] = []
        failed: list[TopicPartition] = []
        for partition in sorted(partitions):
            try:
                pending = self._markers.write_own(marker, partition, transaction.protocol)
            except UnknownTopicOrPartition:
                continue  # The topic was deleted, and with it what the transaction did there.
            except InvalidProducerEpoch as error:
                # A later transaction of this id has ended here, so this one has, too.
                log.warning("No marker was written into %s-%d: %s", *partition, error)
                continue
            except DomainError as error:
                # Without a marker the transaction stays open for readers, whatever the reason is.
                log.error("A marker could not be written into %s-%d: %s", *partition, error)
                failed.append(partition)
                continue
            if pending is not None:
                unsafe.append((partition, pending))
        self._markers.wake()
        for partition, pending in unsafe:
            try:
                await asyncio.shield(pending)  # Others wait for the same sync.
            except StorageError as error:
                log.error("A marker in %s-%d may not be safe: %s", *partition, error)
                failed.append(partition)
        return failed

    def _complete(self, entry: _Entry) -> None:
        """The transaction is over at once. Its end need not be stored first: until it is, the decision is what a start
        would find, and what is stored later - the next transaction - is stored behind it."""
        entry.transaction = entry.transaction.complete(self._clock.now_ms())
        entry.is_changing = False
        stored = self._repository.save(entry.transaction)
        if stored is not None:
            self._in_background(_log_failure(stored))

    async def _expire(self, entry: _Entry) -> None:
        transactional_id = entry.transaction.expire().transactional_id
        try:
            stored = self._repository.delete(transactional_id)
            if stored is not None:
                await stored
        except DomainError as error:
            entry.is_changing = False
            log.error("Transactional id %s could not be forgotten: %s", shown(transactional_id), error)
            return
        del self._entries[transactional_id]
        self.counters.expirations += 1
        log.info("Transactional id %s was not used for long and is forgotten", shown(transactional_id))

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _find(self, transactional_id: str) -> _Entry:
        if not transactional_id:
            raise InvalidRequest("The transactional id is empty")
        entry = self._entries.get(transactional_id)
        if entry is None:
            raise InvalidProducerIdMapping
        return entry

    async def _save(self, entry: _Entry, following: Transaction) -> None:
        """Stores the next state, then puts it in place. Raises CoordinatorNotAvailable when it could not be stored."""
        try:
            stored = self._repository.save(following)
            if stored is not None:
                await stored
        except StorageError as error:
            raise CoordinatorNotAvailable(str(error)) from error
        entry.transaction = following

    async def _fresh_producer_id(self) -> int:
        try:
            return await self._producer_ids.allocate()
        except StorageError as error:
            raise CoordinatorNotAvailable(str(error)) from error

    async def _pause(self, delay_ms: int) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(delay_ms, lambda: None if over.done() else over.set_result(None))
        self._pauses.add(over)
        try:
            await over
        finally:
            self._pauses.discard(over)
            timer.cancel()

    async def _to_its_end(self, change: Coroutine[Any, Any, T]) -> T:
        """Runs a change that a client waits for. If the client goes away, the change goes on."""
        return await asyncio.shield(self._task(change))

    def _in_background(self, change: Coroutine[Any, Any, None]) -> None:
        self._task(_log_failure(change))

    def _task(self, change: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(change)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # Whoever waited was told; if the client is gone, nobody has to be.


async def _log_failure(change: Awaitable[None]) -> None:
    try:
        await change
    except DomainError as error:
        log.error("A change of a transaction failed: %s", error)


def shown(text: str) -> str:
    """Text of a client, fit for a log line."""
    return text if text.isprintable() else ascii(text)[1:-1]
