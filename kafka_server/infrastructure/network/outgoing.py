"""Owns: writing answers straight to a socket, and what waits until it takes more. Must never know: requests, answers.

A transport would do for bytes in memory, but a part of a file has to come between them in order, and goes from the page
cache to the socket within the kernel: a transport cannot do that, and does not tell what it has not written yet. So on
plain TCP nothing is written through the transport at all.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

from kafka_server.infrastructure.file_bytes import FileBytes

Buffer = bytes | bytearray | memoryview
Chunk = Buffer | FileBytes
"""A piece of an answer."""

_MORE: Final[int] = getattr(socket, "MSG_MORE", 0)
_PIECES_MAX: Final = 512
"""Pieces of one system call; the kernel takes 1024."""


def in_memory(chunk: Chunk) -> Buffer:
    """The bytes, for whoever cannot send a part of a file. Raises OSError."""
    return chunk.view() if isinstance(chunk, FileBytes) else chunk


def send(descriptor: int, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
    """Writes to a socket that does not block, in order, and returns what it did not take. Raises OSError."""
    if len(chunks) == 1:
        only = chunks[0]
        if not isinstance(only, FileBytes):
            try:
                count = os.write(descriptor, only)
            except BlockingIOError:
                return chunks
            return () if count == len(only) else (memoryview(only)[count:],)
    return _send_all(descriptor, chunks)


def _send_all(descriptor: int, chunks: Sequence[Chunk]) -> Sequence[Chunk]:
    at, end = 0, len(chunks)
    while at < end:
        chunk = chunks[at]
        try:
            if isinstance(chunk, FileBytes):
                count = chunk.send(descriptor)
                if count < len(chunk):
                    return [chunk.after(count), *chunks[at + 1 :]]
                at += 1
                continue
            run: list[Buffer] = []
            for piece in chunks[at : at + _PIECES_MAX]:
                if isinstance(piece, FileBytes):
                    break
                run.append(piece)
            count = _write(descriptor, run, more=at + len(run) < end)
        except BlockingIOError:
            return chunks[at:]
        for piece in run:
            if count < len(piece):
                return [memoryview(piece)[count:], *chunks[at + 1 :]]
            count -= len(piece)
            at += 1
    return ()


def _write(descriptor: int, pieces: Sequence[Buffer], *, more: bool) -> int:
    """``more`` follows at once: without being told, the kernel would send these few bytes on their own, and wake the
    peer for them."""
    if not more or not _MORE:
        return os.writev(descriptor, pieces)
    plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)
    try:
        return plain.sendmsg(pieces, (), _MORE)
    finally:
        plain.detach()


class Rest:
    """What a socket did not take yet. It goes on whenever the socket can take more."""

    __slots__ = ("_chunks", "_descriptor", "_loop", "_when_done")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        chunks: Sequence[Chunk],
        when_done: Callable[[OSError | None], None],
    ) -> None:
        """``when_done`` is called once, with what went wrong or None, unless ``drop`` is."""
        self._loop = loop
        self._chunks = chunks
        self._when_done = when_done
        # An event loop watches a descriptor for one owner, and that of the connection belongs to its transport.
        self._descriptor = os.dup(descriptor)
        loop.add_writer(self._descriptor, self._go_on)

    @property
    def size_in_memory(self) -> int:
        """Bytes that wait in our memory; those of files do not."""
        return sum(len(chunk) for chunk in self._chunks if not isinstance(chunk, FileBytes))

    def _go_on(self) -> None:
        failure = None
        try:
            self._chunks = send(self._descriptor, self._chunks)
        except OSError as error:
            failure = error
        if failure is not None or not self._chunks:
            self.drop()
            self._when_done(failure)

    def drop(self) -> None:
        """Sends no more."""
        self._chunks = ()
        if self._descriptor >= 0:
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
