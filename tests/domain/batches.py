"""Batches for tests: short ways to say "three messages in one batch"."""

from __future__ import annotations

import struct

from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import crc32c
from kafka_server.domain.records import RecordBatchBuilder
from kafka_server.infrastructure.compression import Codecs

NOW_MS = 1_700_000_000_000
CODECS = Codecs()


def messages(count: int, *, size: int = 10, timestamp: int = NOW_MS, key: bytes | None = b"key") -> list[Message]:
    """``count`` messages, one millisecond apart, with values that differ."""
    return [Message(key, f"{at:0{size}d}".encode(), (), timestamp + at) for at in range(count)]


def batch(
    *content: Message,
    count: int = 1,
    codec: int = 0,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    base_offset: int = 0,
) -> bytes:
    """A batch as a client would send it; ``count`` plain messages when none are given."""
    builder = RecordBatchBuilder(
        codec=codec,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        base_offset=base_offset,
    )
    for message in content or messages(count):
        builder.append(message)
    return builder.build(CODECS.compress)


def idempotent(sequence: int, count: int = 1, *, producer_id: int = 7, epoch: int = 0) -> bytes:
    """A batch of an idempotent producer."""
    return batch(count=count, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)


def patched(data: bytes, position: int, layout: str, *values: int, fix_crc: bool = True) -> bytes:
    """``data`` with some header bytes replaced, and the CRC made right again: a lie, not an accident."""
    changed = bytearray(data)
    struct.pack_into(">" + layout, changed, position, *values)
    if fix_crc:
        struct.pack_into(">I", changed, 17, crc32c(bytes(changed[21:])))
    return bytes(changed)
