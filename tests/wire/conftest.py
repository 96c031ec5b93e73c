"""A server over a fake dispatch table: the rules of the connection are tested without any API.

Every test runs on asyncio's own loop and on uvloop, whose transports differ in when they write and pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from struct import pack

import pytest
import uvloop
from kafka_protocol.wire import ProtocolError

from kafka_server.application.context import CloseConnection, RequestContext
from kafka_server.infrastructure.network.listener import Listener
from kafka_server.infrastructure.network.outgoing import Chunk
from kafka_server.infrastructure.network.server import Limits, Server

Answer = list[Chunk] | None

ECHO, LATER, SILENT, FAIL_SILENT, BROKEN, BUG, API_VERSIONS, BULK, WHO, PREPARED = 0, 1, 2, 3, 4, 5, 18, 20, 21, 22


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = asyncio.DefaultEventLoopPolicy()
    if request.param == "uvloop":
        policy = uvloop.EventLoopPolicy()
    return policy


@dataclass
class FakeRoute:
    """ECHO answers the body at once, LATER when the test says so, and so on."""

    key: int
    version: int
    table: FakeDispatch

    @property
    def name(self) -> str:
        return f"Fake{self.key}"

    @property
    def flexible_request(self) -> bool:
        return self.version >= 2

    @property
    def flexible_response(self) -> bool:
        return self.version >= 2 and self.key != API_VERSIONS

    def call(self, context: RequestContext, buffer: bytes | bytearray, offset: int) -> Answer | Awaitable[Answer]:
        body = bytes(buffer[offset:])
        self.table.handled.append(body)
        self.table.buffers.append(type(buffer))
        match self.key:
            case 1:
                self.table.waiting = asyncio.get_running_loop().create_future()
                return self.table.waiting
            case 2:
                return None
            case 3:
                raise CloseConnection("NOT_ENOUGH_REPLICAS for topic orders")
            case 4:
                raise ProtocolError("ProduceRequest", 9, "topic_data[0].name", 27, "runs past the end")
            case 5:
                raise ZeroDivisionError("a bug of ours")
            case 18:
                error = 0 if context.api_version <= 4 else 35
                return [pack(">hi", error, 1) + pack(">hhh", 18, 0, 4)]
            case 20:
                return [b"head", memoryview(bytearray(1 << 20)), b"tail"]
            case 21:
                who = f"{context.client_id}|{context.api_version}|{context.local_host}|{context.local_port}"
                return [who.encode()]
            case 22:
                return list(self.table.prepared)
        return [body]

    def encode(self, answer: Answer) -> Answer:
        return answer


@dataclass
class FakeDispatch:
    handled: list[bytes] = field(default_factory=list)
    buffers: list[type] = field(default_factory=list)
    waiting: asyncio.Future[Answer] | None = None
    prepared: list[Chunk] = field(default_factory=list)
    """What PREPARED answers."""

    def lookup(self, api_key: int, version: int) -> FakeRoute | None:
        known = api_key in (ECHO, LATER, SILENT, FAIL_SILENT, BROKEN, BUG, API_VERSIONS, BULK, WHO, PREPARED)
        return FakeRoute(api_key, version, self) if known and 0 <= version <= 4 else None


def request(
    key: int, body: bytes = b"", version: int = 0, correlation_id: int = 1, client_id: str | None = "t"
) -> bytes:
    """A whole request frame, with header v1 or, from version 2 of the fake APIs, header v2."""
    name = b"" if client_id is None else client_id.encode()
    header = pack(">hhih", key, version, correlation_id, -1 if client_id is None else len(name)) + name
    frame = header + (b"\0" if version >= 2 else b"") + body
    return len(frame).to_bytes(4, "big") + frame


class Peer:
    """A raw client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
        await self.writer.drain()

    async def receive(self) -> tuple[int, bytes]:
        """Correlation id and the rest of the next answer."""
        size = int.from_bytes(await asyncio.wait_for(self.reader.readexactly(4), 5), "big")
        answer = await asyncio.wait_for(self.reader.readexactly(size), 5)
        return int.from_bytes(answer[:4], "big"), answer[4:]

    async def is_closed(self, within_s: float = 5.0) -> bool:
        """Whether the server closes without another byte."""
        try:
            return await asyncio.wait_for(self.reader.read(1), within_s) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False


@dataclass
class Bench:
    server: Server
    dispatch: FakeDispatch
    port: int
    peers: list[Peer] = field(default_factory=list)

    async def connect(self, host: str = "127.0.0.1") -> Peer:
        peer = Peer(*await asyncio.open_connection(host, self.port))
        self.peers.append(peer)
        return peer


Start = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def start() -> Start:
    """``async with start(Limits(...), "127.0.0.1", "::1") as bench``."""

    @asynccontextmanager
    async def running(limits: Limits | None = None, *hosts: str) -> AsyncIterator[Bench]:
        dispatch = FakeDispatch()
        server = Server(dispatch, limits or Limits())
        listeners = [Listener("PLAINTEXT" if not at else f"L{at}", host, 0) for at, host in enumerate(hosts)]
        await server.start(listeners or [Listener("PLAINTEXT", "127.0.0.1", 0)])
        bench = Bench(server, dispatch, server.listeners[0].port)
        try:
            yield bench
        finally:
            for peer in bench.peers:
                peer.writer.close()
            await server.stop(grace_ms=0)

    return running
