"""Owns: one connection that speaks any API in any version. Must never know: which broker is at the other end.

It is built on our own codecs, which tests/generated holds against those of others.
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import ClassVar, TypeVar

from kafka_protocol.dispatch import FLEXIBLE_FROM
from kafka_protocol.wire import Message

Res = TypeVar("Res", bound=Message)
API_VERSIONS = 18
NEVER = 2**15
"""For an API that is not served, no flexible header is known; it is sent only to see that nobody answers."""


class RawClient:
    """A blocking client without any behaviour of its own: one request out, one response in."""

    sent: ClassVar[set[tuple[str, int, int]]] = set()
    """What was sent by all of them: to which address, which API, in which version."""

    def __init__(self, bootstrap: str, patience_s: float = 30) -> None:
        """A request that is not answered for ``patience_s`` raises TimeoutError; ``reconnect`` then."""
        self.bootstrap = bootstrap
        self.patience_s = patience_s
        self._serial = 0
        self._connection = self._connect()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(self, request: Message, response_type: type[Res], version: int) -> Res:
        """Sends the request in that version. Raises EOFError when the broker hangs up; the next request reconnects."""
        self.send(request, version)
        return self.receive(response_type, version)

    def send(self, request: Message, version: int) -> None:
        """Only sends, for requests that wait at the broker."""
        self.sent.add((self.bootstrap, request.api_key, version))
        self._serial += 1
        flexible = version >= FLEXIBLE_FROM.get(request.api_key, NEVER)
        header = struct.pack(">hhihc", request.api_key, version, self._serial, 1, b"d") + (b"\0" if flexible else b"")
        frame = header + request.encode(version)
        self._connection.sendall(struct.pack(">i", len(frame)) + frame)

    def receive(self, response_type: type[Res], version: int) -> Res:
        """The answer to the request that was sent last."""
        (size,) = struct.unpack(">i", self._exactly(4))
        answer = self._exactly(size)
        assert struct.unpack_from(">i", answer) == (self._serial,)
        flexible = version >= FLEXIBLE_FROM[response_type.api_key]
        return response_type.decode(answer, version, 5 if flexible and response_type.api_key != API_VERSIONS else 4)

    def reconnect(self) -> None:
        """Gives up what was asked and begins anew."""
        self._connection.close()
        self._connection = self._connect()

    def _connect(self) -> socket.socket:
        host, _, port = self.bootstrap.rpartition(":")
        return socket.create_connection((host, int(port)), timeout=self.patience_s)

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._connection.recv(size - len(data))
            if not piece:
                self.reconnect()
                raise EOFError
            data += piece
        return bytes(data)
