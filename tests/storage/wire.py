"""One request over a plain socket, through the generated codecs: what no client library would send."""

from __future__ import annotations

import socket
import struct
from typing import Protocol, TypeVar

R_co = TypeVar("R_co", covariant=True)


class Request(Protocol):
    @property
    def api_key(self) -> int: ...

    def encode(self, version: int, /) -> bytes: ...


class Response(Protocol[R_co]):
    def decode(self, buffer: bytes, version: int, /) -> R_co: ...


def ask(bootstrap: str, request: Request, version: int, response: Response[R_co], *, flexible: bool = True) -> R_co:
    """The answer to a request on a connection of its own."""
    host, port = bootstrap.rsplit(":", 1)
    tags = b"\0" if flexible else b""
    frame = struct.pack(">hhih", request.api_key, version, 1, -1) + tags + request.encode(version)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(struct.pack(">i", len(frame)) + frame)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        answer = _exactly(connection, size)
    return response.decode(answer[4 + len(tags) :], version)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        assert piece, "the broker closed the connection"
        data += piece
    return data
