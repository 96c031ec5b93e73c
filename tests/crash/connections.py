"""Owns: every connection of the workload, and how they are reset. Must never know: who uses them for what.

A proxy stands between the real clients and the broker, which advertises it; the raw client connects directly. A reset
is what the name says: the kernel sends RST, whatever was under way in either direction ends in the middle of a frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import weakref

from tests.crash.wire_client import WireClient

_PIECE = 2**16


def reset(writer: asyncio.StreamWriter) -> None:
    """Closes with RST."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Connections:
    """Lives on the event loop of the workload, but for ``reset_some``."""

    def __init__(self, broker_port: int, proxy_port: int) -> None:
        self.proxy_port = proxy_port
        self.broker_port = broker_port
        self._clients: weakref.WeakSet[WireClient] = weakref.WeakSet()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.proxy_port)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._reset(1.0, random.Random(0))
        await asyncio.sleep(0)

    def client(self, name: str) -> WireClient:
        """A raw client whose connection can be reset."""
        client = WireClient(self.broker_port, name)
        self._clients.add(client)
        return client

    def reset_some(self, share: float, luck: random.Random) -> None:
        """Resets about that share of all connections. May be called from any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._reset, share, luck)

    def _reset(self, share: float, luck: random.Random) -> None:
        writers = [writer for pair in self._pairs if luck.random() < share for writer in pair]
        writers += [client.writer for client in self._clients if client.writer is not None and luck.random() < share]
        for writer in writers:
            reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self.broker_port)
        except OSError:
            reset(writer)
            return
        pair = (writer, broker_writer)
        self._pairs.add(pair)
        # asyncio.run cancels what is left at its end, and streams of Python 3.11 report that as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(_pump(reader, broker_writer), _pump(broker_reader, writer))
        self._pairs.discard(pair)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Passes bytes on until one side is gone; then the other goes, too."""
    with contextlib.suppress(OSError):
        while piece := await source.read(_PIECE):
            target.write(piece)
            await target.drain()
    target.close()
