"""Owns: which adapters keep what the broker has to remember: all in memory, or logs in files and the rest in SQLite.
Must never know: what the services do with it.

Each repository is imported and built when it is first asked for, because a start has little time.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, Protocol

from kafka_server.config import Settings

if TYPE_CHECKING:
    from kafka_server.application.ports import (
        Clock,
        ConfigRepository,
        FeatureRepository,
        GroupRepository,
        LogMover,
        LogRepository,
        OffsetRepository,
        ProducerIdRepository,
        QuotaRepository,
        ScramRepository,
        TopicRepository,
        TransactionRepository,
    )
    from kafka_server.infrastructure.storage.log.repository import DiskLogRepository
    from kafka_server.infrastructure.storage.sqlite.repositories import SqliteTopicRepository
    from kafka_server.infrastructure.storage.sqlite.store import Store

log = logging.getLogger("kafka_server.log")

WHAT_AN_ACK_MEANS: Final = {
    "ack": "with acks=all an answer means: synced to the disk, so it survives a power cut (flush=ack)",
    "os": "an answer means: handed to the operating system, so it survives a kill but not a power cut (flush=os)",
}


METADATA_FILE: Final = "metadata.sqlite"


if TYPE_CHECKING:

    class Logs(LogRepository, LogMover, Protocol):
        """The logs of all partitions, in the folders between which they move."""


class Stores(Protocol):
    """The repositories of one broker."""

    node_id: int
    cluster_id: str

    @property
    def has_history(self) -> bool:
        """Whether there is anything to bring back before clients may come."""

    @property
    def may_lack_producers(self) -> bool:
        """Whether logs may know producer ids that are not known to have been given out: the metadata is new, or a power
        cut took its last changes."""

    @property
    def description(self) -> str:
        """What a start says about storage."""

    @property
    def topics(self) -> TopicRepository: ...

    @property
    def configs(self) -> ConfigRepository: ...

    @property
    def features(self) -> FeatureRepository: ...

    @property
    def scram(self) -> ScramRepository: ...

    @property
    def quotas(self) -> QuotaRepository: ...

    @property
    def logs(self) -> Logs: ...

    @property
    def producer_ids(self) -> ProducerIdRepository: ...

    @property
    def groups(self) -> GroupRepository: ...

    @property
    def offsets(self) -> OffsetRepository: ...

    @property
    def transactions(self) -> TransactionRepository: ...

    async def prepare(self) -> None:
        """Before topics are opened: brings folders and metadata to agree."""

    def holds(self, what: Literal["groups", "transactions"]) -> bool:
        """Whether any are stored."""

    def obey(self, *, recovery_threads: int, cleaner_backoff_ms: int, cleaner_bytes_per_second_max: float) -> None:
        """Takes other settings from now on."""

    def opening(self) -> AbstractContextManager[object]:
        """Around the opening of all topics: tells whoever watches how far it has come."""

    async def close(self) -> None:
        """Makes everything durable; nothing may be asked for afterwards."""


def open_stores(settings: Settings, clock: Clock, on_failure: Callable[[str], None]) -> Stores:
    """The stores that the settings ask for. ``on_failure`` is called, on the event loop, when a disk failed for good.

    Raises StorageRefused when a data folder cannot be used.
    """
    if settings.storage == "memory":
        return MemoryStores(settings)
    return DiskStores(settings, clock, on_failure)


class MemoryStores:
    """Everything is forgotten when the process ends."""

    has_history = False
    may_lack_producers = False
    description = "Storage is memory: records, topics and offsets are forgotten when the server stops"

    def __init__(self, settings: Settings) -> None:
        self.node_id = settings.node_id
        self.cluster_id = settings.cluster_id or new_cluster_id()

    @cached_property
    def topics(self) -> TopicRepository:
        from kafka_server.infrastructure.storage.memory import MemoryTopicRepository

        return MemoryTopicRepository()

    @cached_property
    def configs(self) -> ConfigRepository:
        from kafka_server.infrastructure.storage.memory_metadata import MemoryConfigRepository

        return MemoryConfigRepository()

    @cached_property
    def features(self) -> FeatureRepository:
        from kafka_server.infrastructure.storage.memory_metadata import MemoryFeatureRepository

        return MemoryFeatureRepository()

    @cached_property
    def scram(self) -> ScramRepository:
        from kafka_server.infrastructure.storage.memory_metadata import MemoryScramRepository

        return MemoryScramRepository()

    @cached_property
    def quotas(self) -> QuotaRepository:
        from kafka_server.infrastructure.storage.memory_metadata import MemoryQuotaRepository

        return MemoryQuotaRepository()

    @cached_property
    def logs(self) -> Logs:
        from kafka_server.infrastructure.storage.memory import MemoryLogRepository

        return MemoryLogRepository()

    @cached_property
    def producer_ids(self) -> ProducerIdRepository:
        from kafka_server.infrastructure.storage.memory import MemoryProducerIdRepository

        return MemoryProducerIdRepository()

    @cached_property
    def groups(self) -> GroupRepository:
        from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository

        return MemoryGroupRepository()

    @cached_property
    def offsets(self) -> OffsetRepository:
        from kafka_server.infrastructure.storage.memory_offsets import MemoryOffsetRepository

        return MemoryOffsetRepository()

    @cached_property
    def transactions(self) -> TransactionRepository:
        from kafka_server.infrastructure.storage.memory_transactions import MemoryTransactionRepository

        return MemoryTransactionRepository()

    async def prepare(self) -> None:
        """Nothing is kept, so nothing can disagree."""

    def holds(self, what: Literal["groups", "transactions"]) -> bool:
        return False

    def obey(self, *, recovery_threads: int, cleaner_backoff_ms: int, cleaner_bytes_per_second_max: float) -> None:
        """There is nothing to check, and memory is compacted by nobody."""

    def opening(self) -> AbstractContextManager[object]:
        return nullcontext()

    async def close(self) -> None:
        """Nothing to make durable."""


class DiskStores:
    """Logs in Apache Kafka's file format, everything else in one SQLite file in the first data folder."""

    def __init__(self, settings: Settings, clock: Clock, on_failure: Callable[[str], None]) -> None:
        from kafka_server.infrastructure.storage.log.disk import OsDisk
        from kafka_server.infrastructure.storage.log.folders import Identity, open_folders

        self._clock = clock
        self._flush = settings.flush
        self._checkpoint_interval_ms = settings.checkpoint_interval_ms
        self._recovery_threads = settings.recovery_threads
        self._cleaner = settings.cleaner_backoff_ms, settings.cleaner_bytes_per_second_max
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        default = Identity(settings.node_id, settings.cluster_id or new_cluster_id())
        self._folders, identity = open_folders(
            OsDisk(),
            list(settings.log_dirs),
            node_id=settings.node_id if settings.is_node_id_given else None,
            cluster_id=settings.cluster_id or None,
            default=default,
        )
        self.node_id, self.cluster_id = identity.node_id, identity.cluster_id
        self._metadata_path = self._find_metadata()
        self._is_new = not _has_content(self._metadata_path)
        self._adopts = False

    def _find_metadata(self) -> str:
        """Where the metadata lies, else the first folder: log.dirs may come in another order than last time."""
        paths = [os.path.join(folder.path, METADATA_FILE) for folder in self._folders]
        found = [path for path in paths if _has_content(path)]
        if len(found) > 1:
            from kafka_server.infrastructure.storage.log.folders import DataFolderError

            for folder in self._folders:
                folder.lock.release()
            raise DataFolderError(f"{found[0]} and {found[1]} are both there; folders of two brokers cannot be mixed")
        return found[0] if found else paths[0]

    @property
    def may_lack_producers(self) -> bool:
        return self._adopts or not all(folder.clean for folder in self._folders)

    @property
    def has_history(self) -> bool:
        return not self._is_new or any(folder.partitions() for folder in self._folders)

    @property
    def description(self) -> str:
        folders = ", ".join(folder.path for folder in self._folders)
        return f"Storage is disk: {folders}; {WHAT_AN_ACK_MEANS[self._flush]}"

    @cached_property
    def _store(self) -> Store:
        from kafka_server.infrastructure.storage.sqlite.store import Store

        def failed(error: Exception) -> None:
            self._on_failure(f"The metadata in {self._metadata_path} could not be written: {error}")

        return Store(self._metadata_path, durable=self._flush == "ack", on_failure=failed)

    @cached_property
    def topics(self) -> SqliteTopicRepository:
        from kafka_server.infrastructure.storage.sqlite.repositories import SqliteTopicRepository

        return SqliteTopicRepository(self._store)

    @cached_property
    def configs(self) -> ConfigRepository:
        from kafka_server.infrastructure.storage.sqlite.repositories import SqliteConfigRepository

        return SqliteConfigRepository(self._store)

    @cached_property
    def features(self) -> FeatureRepository:
        from kafka_server.infrastructure.storage.sqlite.repositories import SqliteFeatureRepository

        return SqliteFeatureRepository(self._store)

    @cached_property
    def scram(self) -> ScramRepository:
        from kafka_server.infrastructure.storage.sqlite.clients import SqliteScramRepository

        return SqliteScramRepository(self._store)

    @cached_property
    def quotas(self) -> QuotaRepository:
        from kafka_server.infrastructure.storage.sqlite.clients import SqliteQuotaRepository

        return SqliteQuotaRepository(self._store)

    @cached_property
    def logs(self) -> DiskLogRepository:
        from kafka_server.infrastructure.storage.log.repository import DiskLogRepository
        from kafka_server.infrastructure.storage.log.settings import CompactionSettings

        def failed(error: BaseException) -> None:
            self._on_failure(f"A write or sync of the log failed: {error}")

        return DiskLogRepository(
            self._clock,
            self._folders,
            flush_on_ack=self._flush == "ack",
            on_failure=failed,
            checkpoint_interval_ms=self._checkpoint_interval_ms,
            recovery_threads=self._recovery_threads,
            compaction=CompactionSettings(*self._cleaner) if self._cleaner[0] >= 0 else None,
        )

    @cached_property
    def producer_ids(self) -> ProducerIdRepository:
        from kafka_server.infrastructure.storage.sqlite.repositories import SqliteProducerIdRepository

        return SqliteProducerIdRepository(self._store)

    @cached_property
    def groups(self) -> GroupRepository:
        from kafka_server.infrastructure.storage.sqlite.repositories import SqliteGroupRepository

        return SqliteGroupRepository(self._store)

    @cached_property
    def offsets(self) -> OffsetRepository:
        from kafka_server.infrastructure.storage.sqlite.repositories import SqliteOffsetRepository

        return SqliteOffsetRepository(self._store)

    @cached_property
    def transactions(self) -> TransactionRepository:
        from kafka_server.infrastructure.storage.sqlite.transactions import SqliteTransactionRepository

        return SqliteTransactionRepository(self._store)

    async def prepare(self) -> None:
        from kafka_server.infrastructure.storage.reconcile import reconcile

        had_adopted = self.topics.has_adopted
        await reconcile(self.topics, self._folders)
        self._adopts = not had_adopted

    def holds(self, what: Literal["groups", "transactions"]) -> bool:
        tables = {
            "groups": ("groups", "consumer_groups", "offsets", "staged_offsets"),
            "transactions": ("transactions",),
        }
        return any(self._store.has_rows(table) for table in tables[what])

    def obey(self, *, recovery_threads: int, cleaner_backoff_ms: int, cleaner_bytes_per_second_max: float) -> None:
        self.logs.obey(
            recovery_threads=recovery_threads,
            cleaner_backoff_ms=cleaner_backoff_ms,
            cleaner_bytes_per_second_max=cleaner_bytes_per_second_max,
        )

    @contextmanager
    def opening(self) -> Iterator[None]:
        from time import perf_counter

        from kafka_server.infrastructure.observability.progress import bytes_checked

        total = sum(folder.bytes_to_check() for folder in self._folders)
        begun = perf_counter()
        with bytes_checked(total, "Checking the log after a crash") as advance:
            self.logs.progress = advance
            yield
        if total:
            log.info("Checked %d bytes of log after a crash in %.1f s", total, perf_counter() - begun)

    async def close(self) -> None:
        """The logs first: their clean mark must not be there before the topics are known to be stored."""
        if "logs" in self.__dict__:
            await self.logs.close()
        if "_store" in self.__dict__:
            await self._store.close()
        for folder in self._folders:
            folder.lock.release()


def _has_content(path: str) -> bool:
    """Whether the file says anything; what a crash left empty at its creation is as good as none."""
    return os.path.exists(path) and os.path.getsize(path) > 0


def new_cluster_id() -> str:
    """16 random bytes as Kafka writes ids: URL-safe base64 without padding, 22 characters."""
    return base64.urlsafe_b64encode(os.urandom(16)).rstrip(b"=").decode()
