"""Owns: whether records may begin to go into a partition as part of a transaction (KIP-890).
Must never know: logs, batches, the wire.

A transaction that the coordinator does not know of can never end, and everything behind its first record would stay
hidden from readers of committed data. So before a partition takes the first batch of a transaction, the coordinator is
asked: under the first protocol, whether the client has added the partition; under the second, to add it now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from kafka_server.application.ports import Clock
from kafka_server.application.transaction_coordinator import TransactionCoordinator
from kafka_server.domain.errors import (
    ConcurrentTransactions,
    CoordinatorNotAvailable,
    InvalidProducerEpoch,
    InvalidTxnState,
    NotEnoughReplicas,
    ProducerFenced,
    TransactionAbortable,
)
from kafka_server.domain.transaction import Producer, Protocol, TopicPartition


class TransactionGate:
    """Between those who store what belongs to a transaction and the coordinator."""

    __slots__ = ("_clock", "_coordinator", "_retry_ms", "_retry_ms_max", "_verifies")

    def __init__(
        self,
        clock: Clock,
        coordinator: TransactionCoordinator,
        verifies: Callable[[], bool],
        retry_ms: int = 20,
        retry_ms_max: int = 100,
    ) -> None:
        self._clock = clock
        self._coordinator = coordinator
        self._verifies = verifies
        """``transaction.partition.verification.enable`` as it is now; it can be changed while the broker runs."""
        self._retry_ms = retry_ms
        """``add.partitions.to.txn.retry.backoff.ms``"""
        self._retry_ms_max = retry_ms_max
        """``add.partitions.to.txn.retry.backoff.max.ms``"""

    def verify(
        self, transactional_id: str, producer: Producer, partition: TopicPartition, *, knows_abortable: bool
    ) -> None:
        """First protocol: raises what the client is told when the partition does not belong to the transaction."""
        if not self._verifies():
            return
        try:
            self._coordinator.verify(transactional_id, producer, partition)
        except TransactionAbortable as error:
            raise error if knows_abortable else InvalidTxnState(_NOT_ADDED) from None
        except (ConcurrentTransactions, CoordinatorNotAvailable) as error:
            # Clients of this protocol do not expect these codes here; this one they take as "soon again".
            raise NotEnoughReplicas(f"Whether the partition belongs to the transaction is not known: {error}") from None
        except ProducerFenced as error:
            raise InvalidProducerEpoch(str(error)) from None

    async def add(
        self, transactional_id: str, producer: Producer, partitions: Collection[TopicPartition], *, patient: bool
    ) -> None:
        """Second protocol: adds the partitions. Raises what the client is told when that is not possible.

        ``patient``: while the transaction before is still being ended, try again for a moment instead of failing.
        """
        deadline_ms = self._clock.steady_ms() + self._retry_ms_max
        while True:
            try:
                await self._coordinator.add_partitions(transactional_id, producer, partitions, Protocol.V2)
                return
            except ProducerFenced as error:
                raise InvalidProducerEpoch(str(error)) from None
            except CoordinatorNotAvailable as error:
                raise NotEnoughReplicas(f"The partition could not be added to the transaction: {error}") from None
            except ConcurrentTransactions:
                if not patient or self._clock.steady_ms() >= deadline_ms:
                    raise
            await self._pause()

    def check_open(self, transactional_id: str, producer: Producer, partition: TopicPartition) -> None:
        """To be asked after waiting, right before storing: another request may have ended the transaction meanwhile."""
        if not self._coordinator.is_open(transactional_id, producer, partition):
            raise InvalidTxnState("The transaction has ended meanwhile")

    async def _pause(self) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(self._retry_ms, lambda: None if over.done() else over.set_result(None))
        try:
            await over
        finally:
            timer.cancel()


_NOT_ADDED = "The partition was not added to the transaction"
