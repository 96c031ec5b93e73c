"""Owns: transactional ids in memory. Must never know: what the states of a transaction mean.

The adapter of TransactionRepository for ``--storage memory``. A restart of the services on the same object finds
everything again; the end of the process loses it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafka_server.domain.transaction import Transaction


class MemoryTransactionRepository:
    """TransactionRepository in a dict."""

    def __init__(self) -> None:
        self._transactions: dict[str, Transaction] = {}

    async def load(self) -> Sequence[Transaction]:
        return list(self._transactions.values())

    def save(self, transaction: Transaction) -> None:
        self._transactions[transaction.transactional_id] = transaction

    def delete(self, transactional_id: str) -> None:
        self._transactions.pop(transactional_id, None)
