"""Owns: what leaves the logs - records deleted on request, records past their retention, producers long unused.
Must never know: the wire, how logs are stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from kafka_server.application.ports import Clock, Timer
from kafka_server.application.replica_manager import Replica, ReplicaManager
from kafka_server.domain.errors import DomainError, InvalidTopic, PolicyViolation, StorageError, UnknownTopicOrPartition

log = logging.getLogger("kafka_server.retention")


class RetentionService:
    """Moves log start offsets up."""

    __slots__ = ("_clock", "_interval_ms", "_moving", "_producer_expiration_ms", "_replicas", "_timer")

    def __init__(
        self,
        replicas: ReplicaManager,
        clock: Clock,
        interval_ms: int = 300_000,
        producer_expiration_ms: Callable[[], int] = lambda: 86_400_000,
    ) -> None:
        self._replicas = replicas
        self._clock = clock
        self._interval_ms = interval_ms
        """``log.retention.check.interval.ms``"""
        self._producer_expiration_ms = producer_expiration_ms
        """``producer.id.expiration.ms``, asked each time"""
        self._timer: Timer | None = None
        self._moving: dict[Replica, asyncio.Future[None]] = {}
        """Partitions whose new log start is being written down."""

    def start(self) -> None:
        """Enforces retention every ``log.retention.check.interval.ms`` from now on, until ``stop``."""
        self._timer = self._clock.call_later(self._interval_ms, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self.enforce_retention(self._clock.now_ms())
        self.start()

    def enforce_retention(self, now_ms: int) -> None:
        """Drops what retention.ms and retention.bytes let go, and forgets idempotent producers that fell silent."""
        producers_from_ms = now_ms - self._producer_expiration_ms()
        for replica in self._replicas:
            replica.partition.producers.expire(producers_from_ms)
            settings = replica.topic.settings
            if not settings.cleanup_delete or (settings.retention_ms < 0 and settings.retention_bytes < 0):
                continue
            partition = replica.partition
            keep_after_ms = -1 if settings.retention_ms < 0 else max(0, now_ms - settings.retention_ms)
            offset = replica.log.retention_offset(settings.retention_bytes, keep_after_ms, partition.high_watermark)
            if offset > partition.log_start_offset and replica not in self._moving:
                log.info(
                    "Retention moves the log start of %s-%d to offset %d", replica.topic.name, partition.index, offset
                )
                noted = replica.log.note_start(offset)
                if noted is None:
                    self._start_at(replica, offset)
                else:
                    task = self._moving[replica] = asyncio.ensure_future(self._start_later(replica, offset, noted))
                    task.add_done_callback(partial(self._moved, replica))

    def _moved(self, replica: Replica, _: asyncio.Future[None]) -> None:
        self._moving.pop(replica, None)

    async def _start_later(self, replica: Replica, offset: int, noted: Awaitable[None]) -> None:
        """A log start that somebody was told must not go back in a crash. On a full disk it cannot be written down; it
        moves all the same, since nothing else would make room."""
        with contextlib.suppress(StorageError):
            await asyncio.shield(noted)
        self._start_at(replica, offset)

    def _start_at(self, replica: Replica, offset: int) -> None:
        if self._is_served(replica):
            replica.partition.delete_records(offset)
            replica.log.truncate_prefix(offset)

    def _is_served(self, replica: Replica) -> bool:
        try:
            return self._replicas.find(replica.topic.name, replica.partition.index) is replica
        except DomainError:
            return False

    async def delete_records(self, replica: Replica, offset: int) -> int:
        """Deletes what lies below ``offset`` (-1: all that can be read) and returns the new log start offset.

        Raises OffsetOutOfRange, PolicyViolation (the topic does not delete, it only compacts) or InvalidTopic.
        """
        if replica.topic.is_internal:
            raise InvalidTopic(f"Cannot delete records of the internal topic {replica.topic.name}")
        if not replica.topic.settings.cleanup_delete:
            raise PolicyViolation("cleanup.policy of the topic does not contain delete")
        target = replica.partition.start_after_deleting(offset)
        noted = replica.log.note_start(target)
        if noted is not None:
            await asyncio.shield(noted)  # others may wait for the same sync
            if not self._is_served(replica):
                raise UnknownTopicOrPartition
        low_watermark = replica.partition.delete_records(target)
        replica.log.truncate_prefix(low_watermark)
        return low_watermark
