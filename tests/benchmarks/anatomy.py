"""`python -m tests.benchmarks.anatomy`: where the microseconds of one produce and one fetch go, stage by stage.

Owns: taking a request apart. Must never know: other brokers, clients.

Every stage is the broker's own function on its own objects, timed alone and many times; the system calls are timed on a
pair of loopback sockets and a real segment. ``handled`` is the whole request inside the process - bytes are in the
buffer, the answer is handed to something that keeps nothing - so what the stages do not explain of it is the
connection, the dispatch table and the handler.
Times are the median of rounds, CPU of one thread. Runs on a broker that is built but listens for nobody.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

from kafka_server.application.replica_manager import Replica
from kafka_server.application.topic_service import NewTopic
from kafka_server.bootstrap import Broker
from kafka_server.domain.record_batch import LENGTH_OVERHEAD, PREFIX_SIZE, assigned_prefix, check_client_batch
from kafka_server.infrastructure.event_loop import new_event_loop
from kafka_server.infrastructure.network import connection as network
from kafka_server.infrastructure.network.connection import JOIN_MAX, Connection
from kafka_server.infrastructure.network.framing import SCRATCH_SIZE, FrameReader
from kafka_server.infrastructure.network.outgoing import Chunk, in_memory, send
from kafka_server.testing.broker import settings_for_test
from tests.benchmarks.broker.raw import batch_of, framed
from tests.benchmarks.report import Table, machine, markdown, show, significant, update

PRODUCE_VERSION = 10
FETCH_VERSION = 16
"""What librdkafka speaks today."""
SIZES = (1024, 16 * 1024, 1024 * 1000)
ROUND_BYTES = 64 << 20
"""What one round moves at most, so that large batches do not fill the disk."""
ROUNDS = 7

Stages = dict[str, float]
"""Microseconds by stage."""


class Nowhere(asyncio.Transport):
    """A transport of no socket; the address is one that a client could have."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 9092)}.get(name, default)

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


def timed(work: Callable[[], object], count: int, rounds: int = ROUNDS) -> float:
    """Microseconds of thread CPU per call: the median of the rounds, the first of which is thrown away."""
    found = []
    for number in range(rounds + 1):
        started = time.thread_time_ns()
        for _ in range(count):
            work()
        if number:
            found.append((time.thread_time_ns() - started) / count / 1000)
    return statistics.median(found)


def bring(frame: bytes, get_buffer: Callable[[], memoryview], received: Callable[[int], None]) -> None:
    """Brings a frame as a transport does: buffer by buffer, of which it keeps none."""
    rest = memoryview(frame)
    while rest:
        buffer = get_buffer()
        count = min(len(buffer), len(rest))
        buffer[:count] = rest[:count]
        del buffer
        received(count)
        rest = rest[count:]


def nothing_left(descriptor: int, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
    """A socket that takes everything at once."""
    return ()


class Subject:
    """One partition of a broker on disk (flush=os), a connection to it, and the requests that are taken apart."""

    def __init__(self, broker: Broker, replica: Replica, connection: Connection, size: int) -> None:
        self.broker = broker
        self.replica = replica
        self.connection = connection
        self.batch = batch_of(size)
        self.count = max(min(ROUND_BYTES // size // ROUNDS, 2000), 8)
        """How often a stage is run in a round."""
        data = [PartitionProduceData(index=0, records=self.batch)]
        topics = [TopicProduceData(name=replica.topic.name, partition_data=data)]
        self.produce_body = ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=topics).encode(PRODUCE_VERSION)

    def fetch_body(self) -> bytes:
        """A fetch of the newest batch, as of a consumer that keeps up."""
        offset = self.replica.partition.high_watermark - 1
        wanted = [FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20)]
        topics = [FetchTopic(topic_id=self.replica.topic.topic_id, partitions=wanted)]
        query = FetchRequest(max_wait_ms=500, min_bytes=1, max_bytes=50 << 20, session_epoch=-1, topics=topics)
        return query.encode(FETCH_VERSION)

    def feed(self, frame: bytes) -> None:
        """Brings a frame to the connection as a transport does: buffer by buffer."""
        bring(frame, lambda: self.connection.get_buffer(-1), self.connection.buffer_updated)

    def answer(self, api_key: int, version: int, body: bytes) -> list[Chunk]:
        """The body of the broker's answer to a request."""
        route = self.broker.dispatch.lookup(api_key, version)
        assert route is not None
        self.connection.context.api_version = version
        chunks = route.call(self.connection.context, body, 0)
        assert isinstance(chunks, list)
        return chunks

    def handled_us(self, frame: bytes) -> float:
        """The whole request; what would be written is dropped."""
        self.connection._descriptor = 0
        with mock.patch.object(network, "send", nothing_left):
            return timed(lambda: self.feed(frame), self.count)

    def framing_us(self, frame: bytes) -> tuple[float, float]:
        """The frame reader's own time; and the copy into its buffers, which in life is the kernel's."""
        shared = self.connection._shared
        reader = FrameReader(bytearray(SCRATCH_SIZE), shared.budget, shared.request_size_max)

        def read() -> None:
            bring(frame, reader.get_buffer, reader.received)
            reader.pop()

        scratch = memoryview(bytearray(len(frame)))

        def copy() -> None:
            scratch[:] = frame

        copying = timed(copy, self.count)
        return max(timed(read, self.count) - copying, 0.0), copying


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    for each in sender, receiver:
        each.setblocking(False)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sender, receiver


def socket_us(chunks: Sequence[Chunk], count: int) -> tuple[float, float]:
    """CPU of the system calls that bring these bytes in and out over loopback: (receive, send)."""
    sender, receiver = pair()
    size = sum(map(len, chunks))
    target = memoryview(bytearray(size))
    received, sent = [], []
    with sender, receiver:
        for _ in range(count):
            sending = receiving = at = 0
            rest = chunks
            while at < size:
                started = time.thread_time_ns()
                rest = send(sender.fileno(), rest)
                middle = time.thread_time_ns()
                end = size - sum(map(len, rest))
                while at < end:
                    at += receiver.recv_into(target[at:end])
                receiving += time.thread_time_ns() - middle
                sending += middle - started
            received.append(receiving / 1000)
            sent.append(sending / 1000)
    return statistics.median(received), statistics.median(sent)


def written(chunks: Sequence[Chunk]) -> Sequence[Chunk]:
    """An answer as a connection writes it."""
    prefix = bytes(8)
    if sum(map(len, chunks)) > JOIN_MAX:
        return [prefix, *chunks]
    return [b"".join((prefix, *map(in_memory, chunks)))]


def produce_stages(subject: Subject) -> Stages:
    """A produce of one batch to one partition, acks=all."""
    replica, batch, count = subject.replica, subject.batch, subject.count
    producer = subject.broker.services.producer
    decode = ProduceRequest.codec.decoders[ProduceRequest.codec.index(PRODUCE_VERSION)]
    chunks = subject.answer(0, PRODUCE_VERSION, subject.produce_body)
    answer = ProduceResponse.decode(joined(chunks), PRODUCE_VERSION)
    size_max = replica.topic.settings.max_message_bytes
    header = check_client_batch(batch, size_max)
    body = memoryview(batch)[PREFIX_SIZE:]
    partition = replica.partition

    def store() -> None:
        offset = partition.log_end_offset
        prefix = assigned_prefix(offset, len(batch) - LENGTH_OVERHEAD, 0)
        replica.log.append(prefix, body, offset, offset + header.last_offset_delta, header.max_timestamp)
        partition.advance(header, 0, is_safe=True)

    frame = framed(0, PRODUCE_VERSION, subject.produce_body)
    framing, copying = subject.framing_us(frame)
    inside: Stages = {
        "framing": framing,
        "decode the request": timed(lambda: decode(subject.produce_body, 0), count),
        "check header and CRC": timed(lambda: check_client_batch(batch, size_max), count),
        "append to the file": timed(store, count),
    }
    explained = inside["check header and CRC"] + inside["append to the file"]
    inside["producer service"] = max(timed(lambda: producer.append(replica, batch), count) - explained, 0.0)
    inside["encode the answer"] = timed(lambda: ProduceResponse.codec.chunks(answer, PRODUCE_VERSION), count)
    handled = subject.handled_us(frame) - copying
    return whole(inside, handled, socket_us([frame], min(count, 500))[0], socket_us(written(chunks), 500)[1])


def fetch_stages(subject: Subject) -> Stages:
    """A fetch of one batch at the end of the log, from the page cache."""
    count, log = subject.count, subject.replica.log
    decode = FetchRequest.codec.decoders[FetchRequest.codec.index(FETCH_VERSION)]
    body = subject.fetch_body()
    chunks = subject.answer(1, FETCH_VERSION, body)
    answer = FetchResponse.decode(joined(chunks), FETCH_VERSION)
    end_offset = subject.replica.partition.high_watermark
    frame = framed(1, FETCH_VERSION, body)
    framing, copying = subject.framing_us(frame)
    inside: Stages = {
        "framing": framing,
        "decode the request": timed(lambda: decode(body, 0), count),
        "read from the file": timed(lambda: log.read(end_offset - 1, 1 << 20, end_offset), count),
        "encode the answer": timed(lambda: FetchResponse.codec.chunks(answer, FETCH_VERSION), count),
    }
    handled = subject.handled_us(frame) - copying
    return whole(inside, handled, socket_us([frame], 500)[0], socket_us(written(chunks), min(count, 500))[1])


def joined(chunks: Sequence[Chunk]) -> bytes:
    return b"".join(map(in_memory, chunks))


def whole(inside: Stages, handled: float, received: float, sent: float) -> Stages:
    """All stages of a request, in the order in which it meets them."""
    rest = max(handled - sum(inside.values()), 0.0)
    stages = {"receive": received, **inside, "connection, dispatch, handler": rest, "send the answer": sent}
    return {**stages, "whole": sum(stages.values())}


async def measure(folder: Path, sizes: Sequence[int]) -> dict[int, tuple[Stages, Stages]]:
    """Stages of a produce and of a fetch, by the size of their batch."""
    given = {"storage": "disk", "log.dirs": str(folder), "flush": "os"}
    broker = Broker(settings_for_test(given), asyncio.get_running_loop())
    await broker.start()
    try:
        server, listener = broker.server, broker.listeners[0]
        assert server._shared is not None
        connection = Connection(server._shared, lambda c, t: server._admit(c, t, listener), server._forget)
        connection.connection_made(Nowhere())
        found = {}
        for size in sizes:
            name = f"anatomy-{size}"
            await broker.services.topics.create_many([NewTopic(name, 1)])
            subject = Subject(broker, broker.services.replicas.find(name, 0), connection, size)
            found[size] = produce_stages(subject), fetch_stages(subject)
        connection.connection_lost(None)
        return found
    finally:
        await broker.stop(grace_ms=0)


COPIES = {
    "receive": "kernel to buffer",
    "framing": "a frame that shared its read with others is copied out",
    "append to the file": "buffer to page cache",
    "read from the file": "page cache to buffer; none from 32 KiB on",
    "encode the answer": "none: records by reference",
    "send the answer": "buffer to kernel; none from 32 KiB on",
}
"""What of the records is copied where."""


def table_of(title: str, by_size: dict[int, Stages]) -> Table:
    columns = [title, *(f"{size // 1024} KiB" for size in by_size), "copies of the records"]
    table = Table(f"{title}, microseconds of CPU", columns)
    for stage in next(iter(by_size.values())):
        figures = [significant(stages[stage]) for stages in by_size.values()]
        table.add(stage, *figures, COPIES.get(stage, ""))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.anatomy", description=__doc__)
    parser.add_argument("--update", type=Path, nargs="+", help="also put the tables into these files")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="bytes per batch (default: %(default)s)")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="anatomy-") as folder,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        found = runner.run(measure(Path(folder), options.sizes))
    produce = table_of("produce", {size: stages[0] for size, stages in found.items()})
    fetch = table_of("fetch", {size: stages[1] for size, stages in found.items()})
    fetch.notes.append(f"{machine()}.")
    for table in (produce, fetch):
        show(table)
    if options.update:
        update(options.update, {"anatomy": "\n".join(markdown(table) for table in (produce, fetch))})


if __name__ == "__main__":
    main()
