"""Owns: one connection that speaks raw protocol messages, for what no client library does: exact resends, stale
commits.

Must never know: what the answers should be. Batches are built and read by aiokafka, so that the checker does not judge
the broker's record code by itself.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from kafka_protocol.dispatch import FLEXIBLE_FROM
from kafka_protocol.wire import Message

from tests.crash.history import Dress, dress_of, is_intact

M = TypeVar("M", bound=Message)

Lost = (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, TimeoutError)
"""What a call may raise when the broker dies, hangs or is not there: nothing is known about the request then."""


DAMAGED = b"damaged:crc:0:"


class StoredRecord(NamedTuple):
    """A record as the broker serves it."""

    offset: int
    value: bytes
    producer_id: int
    dress: Dress | None = None
    is_control: bool = False

    @property
    def is_as_sent(self) -> bool:
        """Whether value, key, headers and timestamp are those that were sent."""
        return is_intact(self.value) and self.dress == dress_of(self.value)


class WireClient:
    """Connects on first use and again after every failure."""

    def __init__(self, port: int, name: str, timeout_s: float = 5.0) -> None:
        self._port = port
        self._name = name.encode()
        self._timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._correlation_id = 0

    async def call(self, request: Message, version: int, answer: type[M], *, expect_answer: bool = True) -> M | None:
        """Sends one request and waits for its answer. Raises one of ``Lost`` when the outcome is unknown."""
        try:
            return await asyncio.wait_for(self._call(request, version, answer, expect_answer), self._timeout_s)
        except Lost:
            self.drop()
            raise

    async def _call(self, request: Message, version: int, answer: type[M], expect_answer: bool) -> M | None:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**24)
        reader, writer = self._streams
        self._correlation_id += 1
        flexible = version >= FLEXIBLE_FROM[request.api_key]
        head = struct.pack(">hhih", request.api_key, version, self._correlation_id, len(self._name)) + self._name
        body = head + (b"\0" if flexible else b"") + request.encode(version)
        writer.write(struct.pack(">i", len(body)) + body)
        await writer.drain()
        if not expect_answer:
            return None
        (size,) = struct.unpack(">i", await reader.readexactly(4))
        frame = await reader.readexactly(size)
        (correlation_id,) = struct.unpack_from(">i", frame)
        if correlation_id != self._correlation_id:
            raise AssertionError(f"answer {correlation_id} came for request {self._correlation_id}")
        return answer.decode(frame, version, 5 if flexible else 4)

    @property
    def writer(self) -> asyncio.StreamWriter | None:
        """The open connection, for whoever wants to break it."""
        return self._streams[1] if self._streams is not None else None

    def drop(self) -> None:
        """Closes the connection; the next call opens another."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


def build_batch(
    values: Sequence[bytes],
    dresses: Sequence[Dress] | None = None,
    producer_id: int = -1,
    producer_epoch: int = -1,
    sequence: int = -1,
    *,
    is_transactional: bool = False,
) -> bytes:
    """One batch of format v2; each record has the key, the headers and the timestamp that belong to its value, or those
    that are given."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=int(is_transactional),
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=sequence,
        batch_size=16 * 1024 * 1024,
    )
    for position, value in enumerate(values):
        key, headers, timestamp_ms = dresses[position] if dresses is not None else dress_of(value)
        builder.append(position, timestamp=timestamp_ms, key=key, value=value, headers=list(headers))
    return bytes(builder.build())


def read_committed(data: bytes, aborted: Sequence[tuple[int, int]]) -> tuple[list[StoredRecord], int]:
    """The records that a reader shows, and the offset behind all batches.

    ``aborted`` are producer ids with the first offsets of their aborted transactions, as the broker tells a reader of
    committed data: from there up to the abort marker the records of that producer do not count.
    """
    found: list[StoredRecord] = []
    ahead = sorted(aborted, key=lambda each: each[1])
    hidden: set[int] = set()
    following = 0
    records = MemoryRecords(data)
    while records.has_next():
        batch = records.next_batch()
        following = batch.next_offset
        while ahead and ahead[0][1] < batch.next_offset:
            hidden.add(ahead.pop(0)[0])
        if not batch.validate_crc():
            found += _damaged(batch)
        elif batch.is_control_batch:
            if any(record.key[3] == 0 for record in batch):
                hidden.discard(batch.producer_id)
        elif not (batch.is_transactional and batch.producer_id in hidden):
            found += [_stored(record, batch) for record in batch]
    return found, following


def _damaged(batch: Any) -> list[StoredRecord]:
    return [StoredRecord(offset, DAMAGED, -1) for offset in range(batch.base_offset, batch.next_offset)]


def _stored(record: Any, batch: Any) -> StoredRecord:
    key = None if record.key is None else bytes(record.key)
    headers = tuple((name, None if content is None else bytes(content)) for name, content in record.headers)
    dress = Dress(key, headers, record.timestamp)
    return StoredRecord(
        record.offset, bytes(record.value or b""), batch.producer_id, dress, is_control=batch.is_control_batch
    )


def read_batches(data: bytes) -> list[StoredRecord]:
    """Every record in a run of stored batches, markers of transactions too. A batch whose CRC is wrong comes as records
    that are not intact."""
    found = []
    records = MemoryRecords(data)
    while records.has_next():
        try:
            batch = records.next_batch()
        except CorruptRecordException:
            break  # No batch at all. What should be there is missing, and its absence is what is judged.
        if not batch.validate_crc():
            found += _damaged(batch)
            continue
        found += [_stored(record, batch) for record in batch]
    return found
