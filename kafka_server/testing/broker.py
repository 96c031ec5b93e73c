"""Owns: a broker inside the process that runs the tests. Must never know: pytest, what is tested.

In a test that is a coroutine, the broker shares the test's event loop::

    async with running_broker() as broker:
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)

In a plain test, with a client that blocks, it runs on a thread of its own::

    with threaded_broker(**{"num.partitions": "3"}) as broker:
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap})

Both listen on a free port of 127.0.0.1 and take any setting as text. They keep everything in memory, unless
``storage=disk`` and ``log.dirs`` say otherwise.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from kafka_server.bootstrap import Broker
from kafka_server.config import Given, Settings, load_settings
from kafka_server.infrastructure.event_loop import new_event_loop
from kafka_server.infrastructure.network.listener import format_address

LISTENERS = "PLAINTEXT://127.0.0.1:0"


@dataclass(slots=True, frozen=True)
class RunningBroker:
    """A broker that clients can connect to."""

    broker: Broker

    @property
    def bootstrap(self) -> str:
        """``host:port`` for a client's bootstrap.servers."""
        listener = self.broker.listeners[0].seen_from_here()
        return format_address(listener.host, listener.port)


def settings_for_test(settings: Mapping[str, str]) -> Settings:
    """Settings for a broker in a test; the environment of the process does not count."""
    given = {"listeners": LISTENERS, "storage": "memory", **settings}
    return load_settings([Given(key, text, "the test") for key, text in given.items()])


@asynccontextmanager
async def running_broker(**settings: str) -> AsyncIterator[RunningBroker]:
    """A broker on the running event loop. Stopping it cuts what is in flight."""
    broker = Broker(settings_for_test(settings), asyncio.get_running_loop())
    await broker.start()
    try:
        yield RunningBroker(broker)
    finally:
        await broker.stop(grace_ms=0)


@contextmanager
def threaded_broker(**settings: str) -> Iterator[RunningBroker]:
    """A broker on a thread of its own. Only its addresses may be used from other threads."""
    started = threading.Event()
    outcome: list[RunningBroker | BaseException] = []
    stops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        async with running_broker(**settings) as broker:
            stops.append((asyncio.get_running_loop(), stop))
            outcome.append(broker)
            started.set()
            await stop.wait()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            outcome.append(error)
            started.set()

    thread = threading.Thread(target=run, name="kafka-broker", daemon=True)
    thread.start()
    started.wait()
    first = outcome[0]
    if isinstance(first, BaseException):
        raise first
    try:
        yield first
    finally:
        loop, stop = stops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        failures = [one for one in outcome[1:] if isinstance(one, BaseException)]
        if failures:
            raise failures[0]
