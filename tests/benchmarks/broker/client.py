"""One client run in its own process: `python -m tests.benchmarks.broker.client '{"run": "produce", ...}'`.

Owns: the timed sections. Must never know: which broker answers, or what is done with the figures.

Prints one JSON object. A process of its own keeps the client's memory and CPU time apart from the benchmark's, so that
the report can say whether the client was the bottleneck.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.broker.librdkafka import BulkConsumer, BulkProducer
from tests.benchmarks.broker.processes import cpu_seconds, thread_cpu_seconds
from tests.benchmarks.broker.raw import batch_of, fetch_batches, produce_batches

TIMEOUT_S = 60.0
LATENCY_SECONDS_MAX = 12.0
PRODUCER = {"linger.ms": "5", "acks": "all", "queue.buffering.max.messages": "1000000", "log_level": "0"}
# Room in the client's queue: when it is full, librdkafka stops fetching for a second.
CONSUMER = {"queued.max.messages.kbytes": "2000000", "queued.min.messages": "10000000", "log_level": "0"}


@dataclass(frozen=True, slots=True)
class Section:
    """A timed section: what was moved (messages, in raw runs batches), wall time, CPU time of client and broker."""

    messages: int
    seconds: float
    client_cpu_s: float
    broker_cpu_s: float
    client_thread_s: float
    """CPU time of the client's busiest thread: when it is near ``seconds``, the client was the limit."""


class Stopwatch:
    def __init__(self, broker_pid: int) -> None:
        self._pid = broker_pid
        self._broker_cpu = cpu_seconds(broker_pid)
        self._client_cpu = time.process_time()
        self._threads = thread_cpu_seconds()
        self._start = time.perf_counter()

    def stop(self, messages: int) -> Section:
        seconds = time.perf_counter() - self._start
        client_cpu, broker_cpu = time.process_time() - self._client_cpu, cpu_seconds(self._pid) - self._broker_cpu
        busiest = max(spent - self._threads.get(thread, 0.0) for thread, spent in thread_cpu_seconds().items())
        return Section(messages, seconds, client_cpu, broker_cpu, busiest)


def produce(bootstrap: str, pid: int, topic: str, partitions: int, size: int, count: int) -> Section:
    """Throughput with acks=all. One message per partition goes first, so that connecting is not timed."""
    # Bytes that compress badly, in case a broker or a codec would profit from zeros.
    with BulkProducer(topic, {"bootstrap.servers": bootstrap, **PRODUCER}, os.urandom(size)) as producer:
        producer.produce(partitions, partitions)
        producer.flush(TIMEOUT_S)
        watch = Stopwatch(pid)
        producer.produce(count - partitions, partitions)
        producer.flush(TIMEOUT_S)
        return watch.stop(count - partitions)


def consume(bootstrap: str, pid: int, topic: str, partitions: int, count: int) -> Section:
    """Throughput of reading a topic from its beginning; the clock starts when the first batch is there."""
    with BulkConsumer(topic, {"bootstrap.servers": bootstrap, **CONSUMER}, partitions) as consumer:
        before = consumer.await_messages(1, TIMEOUT_S)
        watch = Stopwatch(pid)
        return watch.stop(consumer.await_messages(count, TIMEOUT_S) - before)


def raw(bootstrap: str, pid: int, topic: str, partitions: int, size: int, count: int) -> list[Section]:
    """A produce section and a fetch section of `count` batches of about `size` bytes, by raw sockets."""
    batch = batch_of(size)
    sections = []
    for prepare in (produce_batches, fetch_batches):
        run = prepare(bootstrap, topic, partitions, batch, count)
        watch = Stopwatch(pid)
        run()
        sections.append(watch.stop(count))
    return sections


def produce_latency(bootstrap: str, topic: str, count: int) -> list[float]:
    """Milliseconds from produce() to the delivery report, one message in flight."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, "socket.nagle.disable": True})
    payload = os.urandom(100)
    delivered: list[float] = []

    def on_delivery(error: Any, _: Any) -> None:
        if error is not None:
            raise RuntimeError(str(error))
        delivered.append(time.perf_counter())

    samples = []
    for number in range(count + count // 10):
        start = time.perf_counter()
        producer.produce(topic, payload, partition=0, on_delivery=on_delivery)
        while len(delivered) <= number:
            producer.poll(1.0)
        samples.append((delivered[number] - start) * 1e3)
    return samples[count // 10 :]


def end_to_end_latency(bootstrap: str, topic: str, count: int) -> list[float]:
    """Milliseconds from produce() until a consumer, whose fetch already waits, has the message.

    A broker that wakes waiting fetches by a timer takes a fraction of a second per sample: time is bounded, too.
    """
    from confluent_kafka import Consumer, Producer, TopicPartition

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0, "socket.nagle.disable": True})
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "socket.nagle.disable": True,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    payload = os.urandom(100)
    samples = []
    deadline = time.perf_counter() + LATENCY_SECONDS_MAX
    for _ in range(count + count // 10):
        start = time.perf_counter()
        producer.produce(topic, payload, partition=0)
        message = None
        while message is None or message.error():
            message = consumer.poll(TIMEOUT_S)
        samples.append((time.perf_counter() - start) * 1e3)
        if time.perf_counter() > deadline:
            break
        producer.poll(0)
    consumer.close()
    return samples[len(samples) // 10 :]


def hold_connections(bootstrap: str, count: int) -> None:
    """Open `count` connections, each with one ApiVersions exchange, and keep them until standard input closes."""
    host, _, port = bootstrap.rpartition(":")
    request = api_versions_request()
    held = []
    for _ in range(count):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(request)
        held.append(connection)
        read_frame(connection)
    print(json.dumps({"open": len(held)}), flush=True)
    sys.stdin.read()


def api_versions_request() -> bytes:
    """ApiVersions v0, which every broker answers: size, key 18, version 0, correlation id 1, client id "bench"."""
    body = bytes((0, 18, 0, 0, 0, 0, 0, 1, 0, 5)) + b"bench"
    return len(body).to_bytes(4, "big") + body


def read_frame(connection: socket.socket) -> bytes:
    def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = connection.recv(size - len(data))
            if not piece:
                raise ConnectionError("the broker closed the connection")
            data += piece
        return data

    return exactly(int.from_bytes(exactly(4), "big"))


def main(arguments: dict[str, Any]) -> None:
    run = arguments.pop("run")
    if run == "connections":
        hold_connections(**arguments)
    elif run == "produce":
        print(json.dumps(asdict(produce(**arguments))))
    elif run == "consume":
        print(json.dumps(asdict(consume(**arguments))))
    elif run == "raw":
        print(json.dumps([asdict(section) for section in raw(**arguments)]))
    elif run == "produce_latency":
        print(json.dumps(produce_latency(**arguments)))
    elif run == "end_to_end_latency":
        print(json.dumps(end_to_end_latency(**arguments)))
    else:
        raise ValueError(f"unknown run {run}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
