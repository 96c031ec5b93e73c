"""Owns: questions about offsets - first, last, by time, by leader epoch.
Must never know: the wire, request versions, how logs are stored.
"""

from __future__ import annotations

from typing import NamedTuple

from kafka_server.application.ports import Clock, Compression
from kafka_server.application.replica_manager import Replica
from kafka_server.domain.partition import EpochEnd
from kafka_server.domain.record_batch import parse_header
from kafka_server.domain.records import iterate_messages

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING_UPLOAD = -1, -2, -3, -4, -5, -6
"""Times that are not times but questions, as ListOffsets writes them."""


class FoundOffset(NamedTuple):
    """An offset, the time of its record (-1 for the first and the last offset) and the epoch that wrote it."""

    offset: int = -1
    timestamp: int = -1
    leader_epoch: int = -1


NOT_FOUND = FoundOffset()


class OffsetService:
    """Looks offsets up."""

    __slots__ = ("_clock", "_compression")

    def __init__(self, compression: Compression, clock: Clock) -> None:
        self._compression = compression
        self._clock = clock

    async def find(self, replica: Replica, timestamp: int, read_committed: bool, leader_epoch: int) -> FoundOffset:
        """The offset that ``timestamp`` asks for, which is a time or one of the constants above.

        A time finds the first record at or after it, in the order of offsets. NOT_FOUND when there is none that the
        reader may see. Raises FencedLeaderEpoch or UnknownLeaderEpoch.
        """
        partition = replica.partition
        partition.check_leader_epoch(leader_epoch)
        end_offset = partition.last_stable_offset if read_committed else partition.high_watermark
        if timestamp == LATEST:
            return FoundOffset(end_offset, leader_epoch=partition.leader_epoch)
        if timestamp in (EARLIEST, EARLIEST_LOCAL):
            start = partition.log_start_offset
            return FoundOffset(start, leader_epoch=partition.epoch_of(start))
        if timestamp in (LATEST_TIERED, EARLIEST_PENDING_UPLOAD):
            return NOT_FOUND  # There is no remote tier, so nothing is in it and nothing waits to go there (KIP-405).
        return await self._find_record(replica, None if timestamp == MAX_TIMESTAMP else timestamp, end_offset)

    async def _find_record(self, replica: Replica, timestamp: int | None, end_offset: int) -> FoundOffset:
        log_start_offset = start_offset = replica.partition.log_start_offset
        while True:
            found = replica.log.find_batch(timestamp, start_offset, end_offset)
            batch = found if isinstance(found, memoryview) else await found
            if not batch:
                return NOT_FOUND
            header = parse_header(batch)
            wanted = header.max_timestamp if timestamp is None else timestamp
            for message in iterate_messages(batch, self._compression.decompress):
                if message.timestamp >= wanted and message.offset >= log_start_offset:
                    return FoundOffset(message.offset, message.timestamp, header.leader_epoch)
            # Its late record lies below the log start, or compaction took it away; the next batch may have one.
            start_offset = header.last_offset + 1

    async def offsets_before(self, replica: Replica, timestamp: int, count_max: int) -> list[int]:
        """What ListOffsets v0 asks: up to ``count_max`` offsets, descending, at which a reader may start so that all
        before was written by ``timestamp``. Its unit is the segment; the log counts as one here.
        """
        partition = replica.partition
        start, end = partition.log_start_offset, partition.high_watermark
        if timestamp == EARLIEST:
            offsets = [start]
        elif timestamp == LATEST or timestamp >= self._clock.now_ms():
            offsets = [end, start] if end > start else [start]
        else:
            newest = await self._find_record(replica, None, end)
            offsets = [start] if newest != NOT_FOUND and newest.timestamp <= timestamp else []
        return offsets[: max(count_max, 0)]

    def end_of_epoch(self, replica: Replica, leader_epoch: int, current_leader_epoch: int) -> EpochEnd:
        """Where the records of ``leader_epoch`` end. Raises FencedLeaderEpoch or UnknownLeaderEpoch."""
        replica.partition.check_leader_epoch(current_leader_epoch)
        return replica.partition.end_of_epoch(leader_epoch)
