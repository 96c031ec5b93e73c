"""The metadata file: one thread writes, many wait for it, and one who is wrong harms nobody else."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kafka_server.domain.errors import StorageError
from kafka_server.infrastructure.storage.sqlite.store import MIGRATIONS, MetadataError, Statement, Store


@asynccontextmanager
async def opened(path: Path, failures: list[Exception] | None = None) -> AsyncIterator[Store]:
    store = Store(
        str(path / "metadata.sqlite"), durable=False, on_failure=([] if failures is None else failures).append
    )
    try:
        yield store
    finally:
        await store.close()


def config(key: str, value: object = "v") -> list[Statement]:
    return [("INSERT INTO configs VALUES (?, ?, ?, ?)", (4, "0", key, value))]


def keys(store: Store) -> list[str]:
    return [row[0] for row in store.read("SELECT key FROM configs ORDER BY key")]


async def test_a_change_can_be_read_once_it_is_done(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.submit(config("a"))
        assert keys(store) == ["a"]


@pytest.mark.parametrize(("durable", "synchronous"), [(True, 2), (False, 1)], ids=["flush=ack", "flush=os"])
async def test_a_change_waits_for_the_device_where_an_answer_promises_it(
    tmp_path: Path, durable: bool, synchronous: int
) -> None:
    store = Store(str(tmp_path / "metadata.sqlite"), durable=durable, on_failure=lambda _: None)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    await store.close()


async def test_all_statements_of_a_change_count_or_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with pytest.raises(StorageError):
            await store.submit([*config("a"), *config("a")])
        assert keys(store) == []


@pytest.mark.parametrize("value", [2**63, object(), "\ud800"], ids=["too large", "no value", "no text"])
async def test_a_value_that_cannot_be_stored_is_refused_alone_and_the_store_goes_on(
    tmp_path: Path, value: object
) -> None:
    failures: list[Exception] = []
    async with opened(tmp_path, failures) as store:
        # Submitted in one turn, so that all three meet in one transaction.
        before, wrong, after = (store.submit(config(key, with_)) for key, with_ in (("a", 1), ("b", value), ("c", 1)))
        with pytest.raises(StorageError):
            await asyncio.wait_for(wrong, 10)
        await asyncio.wait_for(asyncio.gather(before, after), 10)
        assert keys(store) == ["a", "c"]
    assert failures == []


async def test_what_was_submitted_before_closing_is_written_and_later_changes_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        pending = [store.submit(config(f"{n:03}")) for n in range(200)]
    await asyncio.gather(*pending)
    with pytest.raises(StorageError, match="closed"):
        await store.submit(config("late"))
    async with opened(tmp_path) as again:
        assert len(keys(again)) == 200


async def test_a_file_that_cannot_be_written_any_more_ends_the_broker(tmp_path: Path) -> None:
    failures: list[Exception] = []
    async with opened(tmp_path, failures) as store:
        with sqlite3.connect(tmp_path / "metadata.sqlite") as other:
            other.execute("DROP TABLE configs")
        with pytest.raises(StorageError):
            await store.submit(config("a"))
        await asyncio.sleep(0)
        assert len(failures) == 1


async def test_a_file_that_somebody_else_holds_refuses_and_goes_on_later(tmp_path: Path) -> None:
    failures: list[Exception] = []
    async with opened(tmp_path, failures) as store:
        store._connection.execute("PRAGMA busy_timeout = 10")
        with sqlite3.connect(tmp_path / "metadata.sqlite", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="locked"):
                await store.submit(config("a"))
            other.execute("ROLLBACK")
        await store.submit(config("b"))
        assert keys(store) == ["b"]
    assert failures == []


async def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "metadata.sqlite") as file:
        file.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(MetadataError, match="newer release"):
        async with opened(tmp_path):
            pass


async def test_what_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "metadata.sqlite").write_bytes(b"certainly not a database, " * 100)
    with pytest.raises(MetadataError, match="cannot be used"):
        async with opened(tmp_path):
            pass


async def test_a_file_that_is_damaged_inside_is_refused_in_words(tmp_path: Path) -> None:
    file = tmp_path / "metadata.sqlite"
    async with opened(tmp_path) as store:
        await store.submit([one for n in range(3000) for one in config(f"{n:04}", "v" * 100)])
    content = file.read_bytes()
    third = len(content) // 3
    file.write_bytes(content[:third] + b"\xa5" * third + content[2 * third :])
    with pytest.raises(MetadataError, match=r"metadata\.sqlite"):
        async with opened(tmp_path) as store:
            keys(store)
