"""Owns: planted bugs of what is stored and shown of single batches, and of disks that fail. Must never know: how the
checker works."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from kafka_server.domain.errors import OutOfOrderSequence
from kafka_server.domain.partition import Partition
from kafka_server.domain.producer_state import ProducerStates
from kafka_server.domain.record_batch import crc32c
from kafka_server.infrastructure.storage.log.disk import OsDisk, OsFile
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog

_CRC, _CRC_START = 17, 21
_BASE_TIMESTAMP = 27


def _rewrite(change: Callable[[bytearray], bytearray]) -> None:
    """Every batch is changed on its way to the disk, and its CRC made to fit: nobody can tell from the bytes alone."""
    original = OsFile.append

    def append(self: OsFile, pieces: Any) -> None:
        whole = bytearray(b"".join(pieces))
        if self.path.endswith(".log") and len(whole) > _CRC_START:
            whole = change(whole)
            struct.pack_into(">I", whole, _CRC, crc32c(memoryview(whole)[_CRC_START:]))
        original(self, [whole])

    setattr(OsFile, "append", append)  # noqa: B010 - mypy is right to refuse a plain assignment; so below


def other_keys() -> None:
    """Keys are stored in lower case, say."""
    _rewrite(lambda batch: batch.replace(b"key-", b"kex-"))


def other_headers() -> None:
    """Headers get other names."""
    _rewrite(lambda batch: batch.replace(b"hdr-", b"hdx-"))


def other_timestamps() -> None:
    """Times are a millisecond late."""

    def later(batch: bytearray) -> bytearray:
        base, newest = struct.unpack_from(">qq", batch, _BASE_TIMESTAMP)
        struct.pack_into(">qq", batch, _BASE_TIMESTAMP, base + 1, newest + 1)
        return batch

    _rewrite(later)


def two_faces() -> None:
    """Now and then a batch is shown one offset further on than it lies."""
    original = DiskPartitionLog.read
    count = 0

    def read(self: DiskPartitionLog, *rest: Any) -> Any:
        nonlocal count
        count += 1
        found = original(self, *rest)
        if count % 20 or not isinstance(found, memoryview) or len(found) < _CRC_START:
            return found
        other = bytearray(found)
        (base,) = struct.unpack_from(">q", other)
        struct.pack_into(">q", other, 0, base + 1)
        return memoryview(other)

    setattr(DiskPartitionLog, "read", read)  # noqa: B010


def forgotten_high_watermark() -> None:
    """After a restart the newest records are there, and nobody may read them before others come."""
    original = Partition.begin_epoch

    def begin_epoch(self: Partition, epoch: int) -> None:
        original(self, epoch)
        self.high_watermark = max(self.log_start_offset, self.high_watermark - 10)

    setattr(Partition, "begin_epoch", begin_epoch)  # noqa: B010


def refused_repeats() -> None:
    """A repeated batch is no batch that comes next, so it is refused instead of answered."""
    original = ProducerStates.check

    def check(self: ProducerStates, header: Any) -> Any:
        if original(self, header) is not None:
            raise OutOfOrderSequence("the batch is old")

    setattr(ProducerStates, "check", check)  # noqa: B010


def deaf_disk() -> None:
    """A sync that fails is not heard of."""

    def make(sync: Callable[..., None]) -> Callable[..., None]:
        def deaf(self: Any, *rest: Any) -> None:
            try:
                sync(self, *rest)
            except OSError:
                return

        return deaf

    setattr(OsFile, "sync", make(OsFile.sync))  # noqa: B010
    setattr(OsDisk, "sync_folder", make(OsDisk.sync_folder))  # noqa: B010
