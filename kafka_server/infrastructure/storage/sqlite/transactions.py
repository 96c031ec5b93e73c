"""Owns: the repository of transactional ids on the metadata file. Must never know: what their states mean."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Iterable, Sequence

from kafka_server.domain.transaction import Protocol, State, TopicPartition, Transaction
from kafka_server.infrastructure.storage.sqlite.store import Store

_READ = """
    SELECT transactional_id, producer_id, producer_epoch, previous_producer_id, last_producer_epoch, next_producer_id,
        timeout_ms, state, partitions, started_ms, updated_ms, protocol
    FROM transactions
"""


class SqliteTransactionRepository:
    """``TransactionRepository``. Partitions are one JSON text, because they are only ever written and read together."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def load(self) -> Sequence[Transaction]:
        return [
            Transaction(*(*before, State(state), _decode(partitions), started_ms, updated_ms, Protocol(protocol)))
            for *before, state, partitions, started_ms, updated_ms, protocol in self._store.read(_READ)
        ]

    def save(self, transaction: Transaction) -> Awaitable[None]:
        one = transaction
        row = (
            *(one.transactional_id, one.producer_id, one.producer_epoch, one.previous_producer_id),
            *(one.last_producer_epoch, one.next_producer_id, one.timeout_ms, one.state.value),
            *(_encode(one.partitions), one.started_ms, one.updated_ms, one.protocol.value),
        )
        sql = "INSERT OR REPLACE INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        return self._store.submit([(sql, row)])

    def delete(self, transactional_id: str) -> Awaitable[None]:
        return self._store.submit([("DELETE FROM transactions WHERE transactional_id = ?", (transactional_id,))])


def _encode(partitions: Iterable[TopicPartition]) -> str:
    return json.dumps(sorted(partitions), separators=(",", ":"))


def _decode(text: str) -> frozenset[TopicPartition]:
    return frozenset((topic, index) for topic, index in json.loads(text))
