"""A client that does next to nothing: ready-made requests over one blocking socket, answers hardly looked at.

Owns: the bulk loops over raw sockets. Must never know: which broker answers.

librdkafka spends more CPU on a message than the brokers do, so with it the client is the limit of many rows. Here the
client's share is the kernel's copy, and what is left is the broker: five produce requests in flight, as Java's and
librdkafka's defaults allow, and one fetch at a time, as consumers do.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

from kafka_server.domain.message import Message
from kafka_server.domain.records import RecordBatchBuilder

IN_FLIGHT = 5
PRODUCE_VERSION = 9
FETCH_VERSION = 12
RECORD_SIZE = 1024
_HEADER_SIZE = 5
"""Correlation id and the count of tagged fields."""


def connect(bootstrap: str) -> socket.socket:
    host, _, port = bootstrap.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def framed(api_key: int, version: int, body: bytes) -> bytes:
    """A request with correlation id 1, client id "bench" and no tagged field in its header."""
    header = api_key.to_bytes(2, "big") + version.to_bytes(2, "big") + b"\0\0\0\1\0\5bench\0"
    return (len(header) + len(body)).to_bytes(4, "big") + header + body


class Answers:
    """Reads answers one by one into a buffer that is used again: fresh memory costs more than the copy."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray(1 << 16)

    def next(self) -> bytearray:
        """A buffer that begins with the next answer, its header included; overwritten by the one after it."""
        self._fill(4)
        size = int.from_bytes(self._buffer[:4], "big")
        if size > len(self._buffer):
            self._buffer = bytearray(size)
        self._fill(size)
        return self._buffer

    def _fill(self, size: int) -> None:
        view, filled = memoryview(self._buffer), 0
        while filled < size:
            got = self._connection.recv_into(view[filled:size])
            if not got:
                raise ConnectionError("the broker closed the connection")
            filled += got


def batch_of(size: int) -> bytes:
    """One batch of about `size` bytes, in records of 1 KiB (or one smaller record)."""
    builder = RecordBatchBuilder()
    now_ms = int(time.time() * 1000)
    for _ in range(max(size // RECORD_SIZE, 1)):
        builder.append(Message(None, os.urandom(min(size, RECORD_SIZE)), (), now_ms))
    return builder.build()


def produce_batches(bootstrap: str, topic: str, partitions: int, batch: bytes, count: int) -> Callable[[], None]:
    """Connects, sends one batch to each partition, and returns the function to be timed: it sends `count` more."""
    connection = connect(bootstrap)
    answers = Answers(connection)
    requests = []
    for partition in range(partitions):
        data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=partition, records=batch)])
        body = ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=[data]).encode(PRODUCE_VERSION)
        requests.append(framed(0, PRODUCE_VERSION, body))

    def check(answer: bytearray) -> None:
        response, _ = ProduceResponse.codec.decode_prefix(answer, PRODUCE_VERSION, _HEADER_SIZE)
        errors = [part.error_code for part in response.responses[0].partition_responses if part.error_code]
        if errors:
            raise RuntimeError(f"the broker refused a batch with error {errors[0]}")

    def run() -> None:
        in_flight = 0
        for number in range(count):
            connection.sendall(requests[number % partitions])
            in_flight += 1
            if in_flight == IN_FLIGHT:
                check(answers.next())
                in_flight -= 1
        for _ in range(in_flight):
            check(answers.next())

    for request in requests:
        connection.sendall(request)
        check(answers.next())
    return run


def fetch_batches(bootstrap: str, topic: str, partitions: int, batch: bytes, count: int) -> Callable[[], None]:
    """Connects, and returns the function to be timed: it reads `count` equal batches from the beginning."""
    connection = connect(bootstrap)
    answers = Answers(connection)
    records_per_batch = int.from_bytes(batch[57:61], "big")
    offsets = [0] * partitions

    def request() -> bytes:
        wanted = [
            FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=1 << 20)
            for index, offset in enumerate(offsets)
        ]
        topics = [FetchTopic(topic=topic, partitions=wanted)]
        query = FetchRequest(max_wait_ms=500, min_bytes=1, max_bytes=50 << 20, session_epoch=-1, topics=topics)
        return framed(1, FETCH_VERSION, query.encode(FETCH_VERSION))

    def run() -> None:
        seen = 0
        while seen < count:
            connection.sendall(request())
            response, _ = FetchResponse.codec.decode_prefix(answers.next(), FETCH_VERSION, _HEADER_SIZE)
            for part in response.responses[0].partitions:
                if part.error_code:
                    raise RuntimeError(f"the broker refused a fetch with error {part.error_code}")
                # Apache Kafka may cut the last batch off: a rest that is no whole batch comes again.
                whole = len(part.records or b"") // len(batch)
                seen += whole
                offsets[part.partition_index] += whole * records_per_batch

    return run
