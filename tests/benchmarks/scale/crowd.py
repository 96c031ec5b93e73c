"""Many clients in one process: `python -m tests.benchmarks.scale.crowd JSON` prints one JSON object.

Owns: the loops over many raw sockets. Must never know: which broker answers, or what is done with the figures.

Each client keeps one request in flight. Requests are made beforehand, and of the answers only the size is looked at, of
a fetch also whether it brought records: the crowd must cost less than the broker that serves it.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from kafka_protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

from tests.benchmarks.broker.processes import cpu_seconds
from tests.benchmarks.broker.raw import FETCH_VERSION, PRODUCE_VERSION, batch_of, connect, framed

METADATA_VERSION = 12
RECORD_SIZE = 1024
ENOUGH_S = 5.0
"""A measurement is over then, whatever was done: a broker that looks for records four times a second takes its time."""
EMPTY_FETCH_MAX = 100
"""A fetch answer of one partition without records is shorter than this."""
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """``units`` of work - what a unit is depends on the run - took so long, and so much of the broker's CPU."""

    units: int
    seconds: float
    broker_cpu_s: float
    client_cpu_s: float


class Stopwatch:
    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._broker, self._client, self._start = cpu_seconds(pid), time.process_time(), time.perf_counter()

    def stop(self, units: int) -> Measured:
        seconds = time.perf_counter() - self._start
        return Measured(units, seconds, cpu_seconds(self._pid) - self._broker, time.process_time() - self._client)


class Client:
    """One socket and what of an answer is there."""

    __slots__ = ("missing", "request", "socket")

    def __init__(self, connection: socket.socket, request: bytes) -> None:
        self.socket = connection
        self.request = request
        self.missing = 0

    def send(self) -> None:
        self.socket.sendall(self.request)

    def read(self, buffer: memoryview) -> int | None:
        """The size of the answer once all of it is there. The crowd's answers come one at a time for each socket."""
        got = self.socket.recv_into(buffer)
        if not got:
            raise ConnectionError("the broker closed the connection")
        size = 0
        if not self.missing:
            size = int.from_bytes(buffer[:4], "big")
            self.missing = size + 4
        self.missing -= got
        return None if self.missing else size or got


class Crowd:
    """Sockets that are waited for together."""

    def __init__(self, clients: list[Client]) -> None:
        self.clients = clients
        self._by_descriptor = {client.socket.fileno(): client for client in clients}
        self._poll = select.epoll()
        for descriptor in self._by_descriptor:
            self._poll.register(descriptor, select.EPOLLIN)
        self._buffer = memoryview(bytearray(1 << 20))

    def answers(self, on_answer: Callable[[Client, int], bool]) -> None:
        """Until ``on_answer(client, size)`` says that it was the last one."""
        deadline = time.perf_counter() + TIMEOUT_S
        while time.perf_counter() < deadline:
            for descriptor, _ in self._poll.poll(1.0):
                client = self._by_descriptor[descriptor]
                size = client.read(self._buffer)
                if size is not None and on_answer(client, size):
                    return
        raise TimeoutError(f"no last answer within {TIMEOUT_S} s")

    def check_produced(self, size: int) -> None:
        """That the answer that just came, in one piece, says that its batch was stored."""
        response, _ = ProduceResponse.codec.decode_prefix(bytes(self._buffer[4 : 4 + size]), PRODUCE_VERSION, 5)
        for topic in response.responses:
            for part in topic.partition_responses:
                if part.error_code:
                    raise RuntimeError(f"the broker refused a batch of partition {part.index}: {part.error_code}")

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()


def produce_request(topic: str, partition: int, batch: bytes) -> bytes:
    data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=partition, records=batch)])
    body = ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=[data]).encode(PRODUCE_VERSION)
    return framed(0, PRODUCE_VERSION, body)


def fetch_request(topic: str, offsets: dict[int, int], wait_ms: int) -> bytes:
    """Of these partitions from these offsets, without a session; waits for the first byte."""
    wanted = [
        FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=1 << 20)
        for index, offset in offsets.items()
    ]
    topics = [FetchTopic(topic=topic, partitions=wanted)]
    query = FetchRequest(max_wait_ms=wait_ms, min_bytes=1, max_bytes=50 << 20, session_epoch=-1, topics=topics)
    return framed(1, FETCH_VERSION, query.encode(FETCH_VERSION))


def producers(bootstrap: str, pid: int, topic: str, clients: int, partitions: int, requests: int) -> Measured:
    """A unit is one produce request of 1 KiB. Each client writes to one partition."""
    batch = batch_of(RECORD_SIZE)
    made = [Client(connect(bootstrap), produce_request(topic, i % partitions, batch)) for i in range(clients)]
    crowd = Crowd(made)

    def everybody(count: int) -> None:
        sent = done = 0
        for client in made[:count]:
            client.send()
            sent += 1

        def answered(client: Client, size: int) -> bool:
            nonlocal sent, done
            if done < clients:
                crowd.check_produced(size)
            done += 1
            if sent < count:
                client.send()
                sent += 1
            return done == count

        crowd.answers(answered)

    everybody(clients)
    watch = Stopwatch(pid)
    everybody(requests)
    measured = watch.stop(requests)
    crowd.close()
    return measured


def spread(bootstrap: str, pid: int, topic: str, clients: int, partitions: int, requests: int) -> Measured:
    """A unit is one produce request of 1 KiB by one client, which goes from partition to partition."""
    batch = batch_of(RECORD_SIZE)
    made = [produce_request(topic, index, batch) for index in range(partitions)]
    client = Client(connect(bootstrap), made[0])
    crowd = Crowd([client])
    count = 0

    def answered(client: Client, size: int) -> bool:
        nonlocal count
        if wanted == partitions:
            crowd.check_produced(size)
        count += 1
        if count == wanted:
            return True
        client.request = made[count % partitions]
        client.send()
        return False

    for wanted in (partitions, requests):  # noqa: B007 - ``answered`` looks at it
        count = 0
        watch = Stopwatch(pid)
        client.send()
        crowd.answers(answered)
    measured = watch.stop(requests)
    crowd.close()
    return measured


def again_and_again(client: Client, pid: int, requests: int, units: int) -> Measured:
    """One client's request, of so many units, until it was answered often enough or for long enough."""
    crowd = Crowd([client])
    done = 0
    enough = time.perf_counter() + ENOUGH_S

    def answered(client: Client, _: int) -> bool:
        nonlocal done
        done += 1
        if done == requests or time.perf_counter() > enough:
            return True
        client.send()
        return False

    watch = Stopwatch(pid)
    client.send()
    crowd.answers(answered)
    measured = watch.stop(done * units)
    crowd.close()
    return measured


def wide_fetch(bootstrap: str, pid: int, topic: str, clients: int, partitions: int, requests: int) -> Measured:
    """A unit is one partition of a fetch that asks for all of them, of which each has one record."""
    client = Client(connect(bootstrap), fetch_request(topic, dict.fromkeys(range(partitions), 0), 500))
    return again_and_again(client, pid, requests, partitions)


def fan_out(bootstrap: str, pid: int, topic: str, clients: int, partitions: int, requests: int) -> Measured:
    """A unit is one record that one waiting consumer gets: all of them wait for the one partition that grows."""
    writer = Client(connect(bootstrap), produce_request(topic, 0, batch_of(RECORD_SIZE)))
    writing = Crowd([writer])
    made = [Client(connect(bootstrap), b"") for _ in range(clients)]
    crowd = Crowd(made)

    def round_of(offset: int) -> None:
        request = fetch_request(topic, {0: offset}, 20_000)
        for client in made:
            client.request = request
            client.send()
        writer.send()
        writing.answers(lambda *_: True)
        left = clients

        def answered(client: Client, size: int) -> bool:
            nonlocal left
            if size < EMPTY_FETCH_MAX:
                client.send()
                return False
            left -= 1
            return not left

        crowd.answers(answered)

    round_of(0)
    watch = Stopwatch(pid)
    enough = time.perf_counter() + ENOUGH_S
    done = 0
    while done < requests and time.perf_counter() < enough:
        done += 1
        round_of(done)
    measured = watch.stop(done * clients)
    crowd.close()
    writing.close()
    return measured


def pollers(bootstrap: str, pid: int, topic: str, clients: int, partitions: int, requests: int) -> Measured:
    """A unit is one fetch that waits for half a second in vain, as those of consumers do that have nothing to read."""
    made = [Client(connect(bootstrap), fetch_request(topic, {0: requests}, 500)) for _ in range(clients)]
    crowd = Crowd(made)
    count = 0
    ends = time.perf_counter() + 3.0

    def answered(client: Client, _: int) -> bool:
        nonlocal count
        count += 1
        client.send()
        return time.perf_counter() > ends

    watch = Stopwatch(pid)
    for client in made:
        client.send()
    crowd.answers(answered)
    measured = watch.stop(count)
    crowd.close()
    return measured


def idlers(bootstrap: str, pid: int, topic: str, clients: int, partitions: int, requests: int) -> Measured:
    """A unit is one produce request of one busy client, beside others that are connected and silent."""
    silent = [connect(bootstrap) for _ in range(clients)]
    measured = producers(bootstrap, pid, topic, 1, partitions, requests)
    for connection in silent:
        connection.close()
    return measured


def metadata(bootstrap: str, pid: int, topic: str, clients: int, partitions: int, requests: int) -> Measured:
    """A unit is one partition of a metadata refresh for the whole topic."""
    query = MetadataRequest(topics=[MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False)
    client = Client(connect(bootstrap), framed(3, METADATA_VERSION, query.encode(METADATA_VERSION)))
    return again_and_again(client, pid, requests, partitions)


RUNS: dict[str, Callable[..., Measured]] = {
    run.__name__: run for run in (producers, spread, wide_fetch, fan_out, pollers, idlers, metadata)
}


def main(arguments: dict[str, Any]) -> None:
    print(json.dumps(asdict(RUNS[arguments.pop("run")](**arguments))))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
