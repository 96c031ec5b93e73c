"""librdkafka called directly, so that a benchmark loads the broker and not Python.

Owns: the few C functions of librdkafka that produce and consume in bulk.
Must never know: brokers, rounds, tables.

confluent-kafka's Python objects cost about a microsecond per message: at 100 bytes the client would be the limit. Its
wheel carries librdkafka itself, and its C functions keep Python out of the loop: `rd_kafka_produce_batch` queues a
thousand messages that all point at one payload, and `rd_kafka_consume_callback_queue` takes all messages that it has,
hands each to a C function that does nothing with it, and frees it. Keeping them instead would be simpler and would cost
more than receiving does: memory that is touched for the first time.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

_PRODUCER, _CONSUMER = 0, 1
_FLAG_BLOCK = 0x4
_OFFSET_BEGINNING = -2
_BATCH = 1_000


class _Message(ctypes.Structure):
    _fields_ = [
        ("err", ctypes.c_int),
        ("rkt", ctypes.c_void_p),
        ("partition", ctypes.c_int32),
        ("payload", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("key", ctypes.c_void_p),
        ("key_len", ctypes.c_size_t),
        ("offset", ctypes.c_int64),
        ("_private", ctypes.c_void_p),
    ]


def _load() -> ctypes.CDLL:
    import confluent_kafka

    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(folder.glob("librdkafka-*.so*"))))
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (integer, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [integer, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_topic_new": (pointer, [pointer, text, pointer]),
        "rd_kafka_topic_destroy": (None, [pointer]),
        "rd_kafka_produce_batch": (integer, [pointer, ctypes.c_int32, integer, ctypes.POINTER(_Message), integer]),
        "rd_kafka_flush": (integer, [pointer, integer]),
        "rd_kafka_queue_new": (pointer, [pointer]),
        "rd_kafka_queue_destroy": (None, [pointer]),
        "rd_kafka_consume_start_queue": (integer, [pointer, ctypes.c_int32, ctypes.c_int64, pointer]),
        "rd_kafka_consume_stop": (integer, [pointer, ctypes.c_int32]),
        "rd_kafka_consume_callback_queue": (integer, [pointer, integer, pointer, pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class _Handle:
    """One librdkafka instance with one topic."""

    def __init__(self, kind: int, topic: str, config: Mapping[str, str]) -> None:
        self._c = _load()
        error = ctypes.create_string_buffer(512)
        conf = self._c.rd_kafka_conf_new()
        for key, value in config.items():
            if self._c.rd_kafka_conf_set(conf, key.encode(), value.encode(), error, len(error)) != 0:
                raise ValueError(error.value.decode())
        self._rk = self._c.rd_kafka_new(kind, conf, error, len(error))
        if not self._rk:
            raise RuntimeError(error.value.decode())
        self._topic = self._c.rd_kafka_topic_new(self._rk, topic.encode(), None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._c.rd_kafka_topic_destroy(self._topic)
        self._c.rd_kafka_destroy(self._rk)


class BulkProducer(_Handle):
    """Queues equal messages in bulk; blocks while librdkafka's queue is full, as an application would."""

    def __init__(self, topic: str, config: Mapping[str, str], payload: bytes) -> None:
        super().__init__(_PRODUCER, topic, config)
        self._payload = ctypes.create_string_buffer(payload, len(payload))
        address = ctypes.cast(self._payload, ctypes.c_void_p)
        self._messages = (_Message * _BATCH)(*(_Message(payload=address, len=len(payload)) for _ in range(_BATCH)))

    def __enter__(self) -> BulkProducer:
        return self

    def produce(self, count: int, partitions: int) -> None:
        """Queue `count` messages, a thousand for one partition and then for the next."""
        queued = calls = 0
        # Large messages go round the partitions in smaller steps, so that each one gets its share.
        step = max(1, min(_BATCH, count // (partitions * 4) or 1))
        while queued < count:
            wanted = min(step, count - queued)
            accepted = self._c.rd_kafka_produce_batch(
                self._topic, calls % partitions, _FLAG_BLOCK, self._messages, wanted
            )
            if accepted != wanted:
                raise RuntimeError(f"librdkafka took {accepted} of {wanted} messages: {self._messages[0].err}")
            queued += accepted
            calls += 1

    def flush(self, timeout_s: float) -> None:
        """Wait until every queued message is acknowledged."""
        if self._c.rd_kafka_flush(self._rk, int(timeout_s * 1000)) != 0:
            raise TimeoutError(f"messages were still unacknowledged after {timeout_s} s")


class BulkConsumer(_Handle):
    """Reads all partitions of a topic from the beginning, without a group, and drops each message."""

    def __init__(self, topic: str, config: Mapping[str, str], partitions: int) -> None:
        super().__init__(_CONSUMER, topic, config)
        self._partitions = partitions
        self._queue = self._c.rd_kafka_queue_new(self._rk)
        # Each partition puts one entry of its own ahead of its messages: the barrier that marks the seek.
        self._arrived = -partitions
        # Any function of the C library that takes a word and leaves it alone.
        self._ignore = ctypes.cast(ctypes.CDLL(None).labs, ctypes.c_void_p)

    def __enter__(self) -> BulkConsumer:
        for partition in range(self._partitions):
            if self._c.rd_kafka_consume_start_queue(self._topic, partition, _OFFSET_BEGINNING, self._queue) != 0:
                raise RuntimeError(f"librdkafka cannot start partition {partition}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for partition in range(self._partitions):
            self._c.rd_kafka_consume_stop(self._topic, partition)
        self._c.rd_kafka_queue_destroy(self._queue)
        super().__exit__(kind, error, trace)

    def await_messages(self, count: int, timeout_s: float) -> int:
        """Return how many messages have arrived since the start as soon as there are `count`."""
        deadline = time.monotonic() + timeout_s
        while self._arrived < count:
            self._arrived += self._c.rd_kafka_consume_callback_queue(self._queue, 100, self._ignore, None)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._arrived} of {count} messages after {timeout_s} s")
        return self._arrived
