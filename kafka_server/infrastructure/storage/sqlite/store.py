"""Owns: one SQLite file, its schema with migrations, and a writer that commits many changes at once.

Must never know: topics, groups, what the rows mean; the repositories beside this file do.

All changes go through ``submit``, in order. One thread writes: it takes whatever has gathered, runs it in one
transaction, and tells everybody. So a thousand OffsetCommits that come together cost one commit. Under ``flush=ack``
a commit is synced (synchronous=FULL), so a change that was told to be done survives a power cut; under ``flush=os``
(synchronous=NORMAL, write-ahead log) it survives the death of the process, and a power cut leaves an older but
consistent state. Either way a transaction is there as a whole or not at all.

Topics, configs and producer ids are synced under both policies, as Apache Kafka syncs its metadata log: a topic whose
records are on disk must not be missing, and an id that was given out must not be given out again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from kafka_server.domain.errors import StorageError
from kafka_server.infrastructure.storage import StorageRefused

log = logging.getLogger("kafka_server.metadata")

FILE_NAME: Final = "metadata.sqlite"

Statement = tuple[str, Sequence[Any]]
Change = tuple[list[Statement], asyncio.Future[None], bool]
"""Statements that belong together, who waits for them, and whether they are synced whatever the policy."""

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE topics (
        topic_id BLOB PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        partition_count INTEGER NOT NULL,
        is_internal INTEGER NOT NULL
    );
    CREATE TABLE topic_configs (
        topic_id BLOB NOT NULL REFERENCES topics ON DELETE CASCADE,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (topic_id, key)
    ) WITHOUT ROWID;
    CREATE TABLE removed_topics (
        topic_id BLOB PRIMARY KEY
    ) WITHOUT ROWID;
    CREATE TABLE configs (
        resource_type INTEGER NOT NULL,
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (resource_type, name, key)
    ) WITHOUT ROWID;
    CREATE TABLE groups (
        group_id TEXT PRIMARY KEY,
        generation INTEGER NOT NULL,
        protocol_type TEXT,
        protocol_name TEXT,
        leader_id TEXT,
        state_since_ms INTEGER NOT NULL
    );
    CREATE TABLE members (
        group_id TEXT NOT NULL REFERENCES groups ON DELETE CASCADE,
        position INTEGER NOT NULL,
        member_id TEXT NOT NULL,
        instance_id TEXT,
        client_id TEXT NOT NULL,
        client_host TEXT NOT NULL,
        session_timeout_ms INTEGER NOT NULL,
        rebalance_timeout_ms INTEGER NOT NULL,
        assignment BLOB NOT NULL,
        PRIMARY KEY (group_id, position)
    ) WITHOUT ROWID;
    CREATE TABLE member_protocols (
        group_id TEXT NOT NULL,
        position INTEGER NOT NULL,
        preference INTEGER NOT NULL,
        name TEXT NOT NULL,
        metadata BLOB NOT NULL,
        PRIMARY KEY (group_id, position, preference),
        FOREIGN KEY (group_id, position) REFERENCES members ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE TABLE offsets (
        group_id TEXT NOT NULL,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        committed INTEGER NOT NULL,
        leader_epoch INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        committed_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        topic_id BLOB NOT NULL,
        PRIMARY KEY (group_id, topic, partition)
    ) WITHOUT ROWID;
    CREATE TABLE producer_ids (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        next INTEGER NOT NULL
    );
    INSERT INTO producer_ids VALUES (1, 0);
    """,
    """
    CREATE TABLE transactions (
        transactional_id TEXT PRIMARY KEY,
        producer_id INTEGER NOT NULL,
        producer_epoch INTEGER NOT NULL,
        previous_producer_id INTEGER NOT NULL,
        last_producer_epoch INTEGER NOT NULL,
        next_producer_id INTEGER NOT NULL,
        timeout_ms INTEGER NOT NULL,
        state TEXT NOT NULL,
        partitions TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        protocol INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE staged_offsets (
        producer_id INTEGER NOT NULL,
        group_id TEXT NOT NULL,
        topic TEXT NOT NULL,
        partition INTEGER NOT NULL,
        committed INTEGER,
        leader_epoch INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        committed_at_ms INTEGER NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        topic_id BLOB NOT NULL,
        PRIMARY KEY (producer_id, group_id, topic, partition)
    ) WITHOUT ROWID;
    CREATE INDEX staged_offsets_of_group ON staged_offsets (group_id, topic, partition);
    """,
    """
    CREATE TABLE scram_credentials (
        user TEXT NOT NULL,
        mechanism INTEGER NOT NULL,
        salt BLOB NOT NULL,
        iterations INTEGER NOT NULL,
        stored_key BLOB NOT NULL,
        server_key BLOB NOT NULL,
        PRIMARY KEY (user, mechanism)
    ) WITHOUT ROWID;
    CREATE TABLE client_quotas (
        entity TEXT NOT NULL,
        key TEXT NOT NULL,
        value REAL NOT NULL,
        PRIMARY KEY (entity, key)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE consumer_groups (
        group_id TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL,
        target_epoch INTEGER NOT NULL,
        assigned_at_ms INTEGER NOT NULL,
        metadata_hash BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE consumer_members (
        group_id TEXT NOT NULL REFERENCES consumer_groups ON DELETE CASCADE,
        position INTEGER NOT NULL,
        member_id TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        previous_epoch INTEGER NOT NULL,
        instance_id TEXT,
        rack_id TEXT,
        client_id TEXT NOT NULL,
        client_host TEXT NOT NULL,
        rebalance_timeout_ms INTEGER NOT NULL,
        topics TEXT NOT NULL,
        pattern TEXT NOT NULL,
        assignor TEXT,
        state TEXT NOT NULL,
        assigned TEXT NOT NULL,
        revoking TEXT NOT NULL,
        classic TEXT,
        target TEXT NOT NULL,
        PRIMARY KEY (group_id, position)
    ) WITHOUT ROWID;
    CREATE TABLE consumer_patterns (
        group_id TEXT NOT NULL REFERENCES consumer_groups ON DELETE CASCADE,
        pattern TEXT NOT NULL,
        topics TEXT NOT NULL,
        found_at_ms INTEGER NOT NULL,
        PRIMARY KEY (group_id, pattern)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE adoption (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1)
    );
    INSERT INTO adoption SELECT 1 WHERE EXISTS (SELECT 1 FROM topics) OR EXISTS (SELECT 1 FROM removed_topics);
    """,
    """
    CREATE TABLE features (
        name TEXT PRIMARY KEY,
        level INTEGER NOT NULL,
        epoch INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
)
"""Each brings the schema one version further; ``PRAGMA user_version`` counts how many have run. Never edit one that was
released: add the next."""


class MetadataError(StorageRefused):
    """The metadata file cannot be used; the text says why and what to do."""


class Store:
    """The file, open. ``submit`` and ``read`` are for the event loop; writing happens in a thread of its own.

    ``on_failure`` is called on the event loop when a write failed for a reason that does not pass by itself.
    """

    def __init__(self, path: str, *, durable: bool, on_failure: Callable[[Exception], None]) -> None:
        self._path = path
        self._on_failure = on_failure
        self._work: deque[Change] = deque()
        self._durable = durable
        self._syncs = durable
        self._wake = threading.Event()
        self._closing = False
        self._connection = self._open(path, durable)
        # Readers have a connection of their own: they never see a half-done change, and never wait for a sync.
        self._reader = sqlite3.connect(path, isolation_level=None)
        self._thread = threading.Thread(target=self._write, name="metadata", daemon=True)
        self._thread.start()

    def _open(self, path: str, durable: bool) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection, path)
        except sqlite3.DatabaseError as error:
            raise MetadataError(f"{path} cannot be used: {error}") from error
        return connection

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows, at once, as of the last commit. Raises MetadataError when the file is damaged."""
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise MetadataError(f"{self._path} cannot be read: {error}; restore a copy of it") from error

    def has_rows(self, table: str) -> bool:
        """Whether there is anything in a table of the schema."""
        (found,) = self._reader.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()
        return bool(found)

    def submit(self, statements: list[Statement], *, always_synced: bool = False) -> asyncio.Future[None]:
        """Runs all of them or none, after all that was submitted before. Fails with StorageError.

        ``always_synced``: done means that it survives a power cut, whatever the flush policy says.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closing:
            future.set_exception(StorageError("The metadata store is closed"))
            return future
        self._work.append((statements, future, always_synced))
        self._wake.set()
        return future

    async def close(self) -> None:
        """Writes what is left and closes the file."""
        self._closing = True
        self._wake.set()
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._reader.close()
        self._connection.close()

    # ---- the writer --------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._work:
                batch = [self._work.popleft() for _ in range(len(self._work))]
                self._commit(batch)
            if self._closing and not self._work:
                return

    def _commit(self, batch: list[Change]) -> None:
        error = self._try(batch)
        if error is not None and _is_ours(error):
            # It must not take the changes of others with it, nor end this thread: nobody would be answered any more.
            if len(batch) > 1:
                for one in batch:
                    self._commit([one])
                return
            log.error("A bug in what is written to %s", self._path, exc_info=error)
        elif isinstance(error, sqlite3.Error) and error.sqlite_errorcode not in _PASSING:
            # A full disk, or somebody else who holds the file for long, refuses what was asked and may take the next;
            # anything else means that the file is lost to us.
            log.error("Writing %s failed: %s", self._path, error)
            batch[0][1].get_loop().call_soon_threadsafe(self._on_failure, error)
        for _, future, _ in batch:
            future.get_loop().call_soon_threadsafe(_tell, future, error)

    def _try(self, batch: list[Change]) -> Exception | None:
        """Writes all in one transaction, or nothing and says why."""
        try:
            syncs = self._durable or any(always_synced for _, _, always_synced in batch)
            if syncs != self._syncs:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if syncs else 'NORMAL'}")
                self._syncs = syncs
            self._connection.execute("BEGIN IMMEDIATE")
            for statements, _, _ in batch:
                for sql, parameters in statements:
                    self._connection.execute(sql, parameters)
            self._connection.execute("COMMIT")
        except Exception as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return error
        return None


_PASSING: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)


def _is_ours(error: Exception) -> bool:
    """Whether the statement is wrong and the file is not: a value that SQLite cannot take, a broken constraint."""
    return not isinstance(error, sqlite3.Error) or isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError)


def _tell(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(StorageError(f"The metadata could not be written: {error}"))
        future.exception()


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise MetadataError(
            f"{path} was written by a newer release (schema {version}, this one knows {len(MIGRATIONS)}); "
            "start that release, or restore a copy made before the upgrade"
        )
    for number in range(version, len(MIGRATIONS)):
        # The script and the count are one transaction: a crash in between leaves the old schema.
        connection.executescript(f"BEGIN;\n{MIGRATIONS[number]}\nPRAGMA user_version = {number + 1};\nCOMMIT;")
