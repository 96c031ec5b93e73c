"""Record batches: build and parse 1,000 records of 100 bytes with each library.

Owns: the calls into each library's batch code, with the same records for all.
Must never know: rounds or tables.

What the libraries promise differs, so each contestant states it: aiokafka's builder and reader are compiled (Cython),
the others are Python. "parse" means that key, value and headers of every record are available.
"""

from __future__ import annotations

import datetime
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass

RECORD_COUNT = 1_000
VALUE = bytes(range(100))
KEY = b"key-0001"
BASE_TIMESTAMP_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class BatchLibrary:
    """`build` returns one whole v2 batch; `parse` returns how many records it saw in the batch it was made for."""

    name: str
    note: str
    build: Callable[[], bytes | bytearray]
    parser: Callable[[bytes], Callable[[], int]]


def ours() -> BatchLibrary:
    messages = importlib.import_module("kafka_server.domain.message")
    batches = importlib.import_module("kafka_server.domain.record_batch")
    records = importlib.import_module("kafka_server.domain.records")

    def build() -> bytes:
        builder = records.RecordBatchBuilder()
        for i in range(RECORD_COUNT):
            builder.append(messages.Message(KEY, VALUE, (), BASE_TIMESTAMP_MS + i))
        batch: bytes = builder.build()
        return batch

    def no_codec(codec: int, block: bytes | memoryview) -> bytes:
        raise AssertionError(f"the batch is not compressed, yet codec {codec} was asked for {len(block)} bytes")

    def parser(wire: bytes) -> Callable[[], int]:
        def parse() -> int:
            header = batches.parse_header(wire)
            if batches.crc32c(memoryview(wire)[batches.CRC_START :]) != header.crc:
                raise ValueError("the checksum is wrong")
            return sum(1 for _ in records.iterate_messages(wire, no_codec))

        return parse

    return BatchLibrary("kafka_server", "Python", build, parser)


def kafka_python() -> BatchLibrary:
    records = importlib.import_module("kafka.record.default_records")

    def build() -> bytes | bytearray:
        builder = records.DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 24)
        for i in range(RECORD_COUNT):
            builder.append(i, BASE_TIMESTAMP_MS + i, KEY, VALUE, [])
        built: bytes | bytearray = builder.build()
        return built

    def parser(wire: bytes) -> Callable[[], int]:
        def parse() -> int:
            batch = records.DefaultRecordBatch(wire)
            batch.validate_crc()
            return sum(1 for _ in batch)

        return parse

    return BatchLibrary("kafka-python", "Python", build, parser)


def aiokafka() -> BatchLibrary:
    records = importlib.import_module("aiokafka.record.default_records")
    compiled = records.DefaultRecordBatchBuilder.__module__.endswith("_crecords.default_records")

    def build() -> bytes | bytearray:
        builder = records.DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 24)
        for i in range(RECORD_COUNT):
            builder.append(i, BASE_TIMESTAMP_MS + i, KEY, VALUE, [])
        built: bytes | bytearray = builder.build()
        return built

    def parser(wire: bytes) -> Callable[[], int]:
        def parse() -> int:
            batch = records.DefaultRecordBatch(wire)
            batch.validate_crc()
            return sum(1 for _ in batch)

        return parse

    return BatchLibrary("aiokafka", "Cython" if compiled else "Python", build, parser)


def kio() -> BatchLibrary:
    schema = importlib.import_module("kio.records.schema")
    readers = importlib.import_module("kio.records.readers")
    writers = importlib.import_module("kio.records.writers")
    base = datetime.datetime.fromtimestamp(BASE_TIMESTAMP_MS / 1000, tz=datetime.UTC)

    def build() -> bytes:
        records = tuple(
            schema.Record(
                attributes=0,
                timestamp=base + datetime.timedelta(milliseconds=i),
                offset=i,
                key=KEY,
                value=VALUE,
                headers=(),
            )
            for i in range(RECORD_COUNT)
        )
        batch = schema.NewRecordBatch(
            producer_id=-1, producer_epoch=-1, base_sequence=-1, records=records, attributes=0
        )
        out = io.BytesIO()
        writers.write_new_batch(out, batch)
        return out.getvalue()

    def parser(wire: bytes) -> Callable[[], int]:
        return lambda: len(readers.read_batch(wire, 0)[0].records)

    return BatchLibrary("kio", "Python, native readers", build, parser)


def installed_batch_libraries() -> list[BatchLibrary]:
    """Ours first; a peer that is not installed is left out."""
    libraries = []
    for make in (ours, kio, kafka_python, aiokafka):
        try:
            libraries.append(make())
        except ModuleNotFoundError:
            continue
    return libraries
