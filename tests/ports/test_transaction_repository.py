"""What every TransactionRepository does, and what every OffsetRepository does with offsets of open transactions."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from kafka_server.application.ports import OffsetRepository, TransactionRepository
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.transaction import Protocol, State, Transaction
from kafka_server.infrastructure.storage.memory_offsets import MemoryOffsetRepository
from kafka_server.infrastructure.storage.memory_transactions import MemoryTransactionRepository
from kafka_server.infrastructure.storage.sqlite.repositories import SqliteOffsetRepository
from kafka_server.infrastructure.storage.sqlite.transactions import SqliteTransactionRepository
from tests.ports.stores import Stores

Opener = Callable[[], tuple[TransactionRepository, OffsetRepository]]
"""Opens both on the same storage; calling it again is a restart."""


def memory(_: Stores) -> Opener:
    repositories = MemoryTransactionRepository(), MemoryOffsetRepository()
    return lambda: repositories


def sqlite(stores: Stores) -> Opener:
    def open_both() -> tuple[TransactionRepository, OffsetRepository]:
        store = stores.open()
        return SqliteTransactionRepository(store), SqliteOffsetRepository(store)

    return open_both


ADAPTERS: dict[str, Callable[[Stores], Opener]] = {"memory": memory, "sqlite": sqlite}


@pytest.fixture(params=list(ADAPTERS))
def reopen(request: pytest.FixtureRequest, stores: Stores) -> Opener:
    return ADAPTERS[request.param](stores)


async def done(write: Awaitable[None] | None) -> None:
    """Waits until a write is durable."""
    if inspect.isawaitable(write):
        await write


TRANSACTION = Transaction(
    "payments-ä",
    2**62,
    32_766,
    2**61,
    32_765,
    2**60,
    60_000,
    State.PREPARE_COMMIT,
    frozenset({("orders", 0), ("orders", 11), ("__consumer_offsets", 49)}),
    1_700_000_000_000,
    1_700_000_000_001,
    Protocol.V2,
)
OFFSET = CommittedOffset(2**62, 4, "méta\n", 1_700_000_000_000, -1, bytes(range(16)))


async def test_a_transaction_comes_back_as_it_was(reopen: Opener) -> None:
    transactions, _ = reopen()
    fresh = Transaction("fresh", 1)
    await done(transactions.save(TRANSACTION))
    await done(transactions.save(fresh))
    again = await reopen()[0].load()
    assert {one.transactional_id: one for one in again} == {"payments-ä": TRANSACTION, "fresh": fresh}


async def test_the_last_saved_state_counts(reopen: Opener) -> None:
    transactions, _ = reopen()
    complete = TRANSACTION.complete(7)
    writes = [transactions.save(replace(TRANSACTION, updated_ms=at)) for at in range(20)]
    writes.append(transactions.save(complete))
    for write in writes:
        await done(write)
    assert list(await reopen()[0].load()) == [complete]


async def test_a_deleted_id_is_forgotten(reopen: Opener) -> None:
    transactions, _ = reopen()
    await done(transactions.save(TRANSACTION))
    await done(transactions.delete(TRANSACTION.transactional_id))
    await done(transactions.delete("never stored"))
    assert list(await reopen()[0].load()) == []


async def test_staged_offsets_come_back_and_are_not_committed(reopen: Opener) -> None:
    _, offsets = reopen()
    await done(offsets.stage(7, "g", {("t", 0): OFFSET, ("t", 1): None}))
    await done(offsets.stage(7, "g", {("t", 2): OFFSET}))
    await done(offsets.stage(8, "g", {("t", 0): OFFSET}))
    _, again = reopen()
    assert dict(await again.load()) == {}
    assert await again.load_staged() == {
        7: {"g": {("t", 0): OFFSET, ("t", 1): None, ("t", 2): OFFSET}},
        8: {"g": {("t", 0): OFFSET}},
    }


async def test_settling_commits_what_it_is_given_and_forgets_the_rest_of_that_group(reopen: Opener) -> None:
    _, offsets = reopen()
    for group in ("g", "h"):
        await done(offsets.stage(7, group, {("t", 0): OFFSET, ("t", 1): OFFSET}))
    await done(offsets.settle(7, "g", {("t", 0): OFFSET}))
    _, again = reopen()
    assert await again.load() == {"g": {("t", 0): OFFSET}}
    assert await again.load_staged() == {7: {"h": {("t", 0): OFFSET, ("t", 1): OFFSET}}}


async def test_settling_nothing_drops_what_was_staged(reopen: Opener) -> None:
    _, offsets = reopen()
    await done(offsets.stage(7, "g", {("t", 0): OFFSET}))
    await done(offsets.settle(7, "g", {}))
    await done(offsets.settle(7, "never staged", {}))
    _, again = reopen()
    assert dict(await again.load()) == {}
    assert dict(await again.load_staged()) == {}


async def test_deleting_offsets_deletes_staged_ones_too(reopen: Opener) -> None:
    _, offsets = reopen()
    await done(offsets.stage(7, "g", {("t", 0): OFFSET, ("t", 1): OFFSET}))
    await done(offsets.delete("g", [("t", 0)]))
    assert await reopen()[1].load_staged() == {7: {"g": {("t", 1): OFFSET}}}
