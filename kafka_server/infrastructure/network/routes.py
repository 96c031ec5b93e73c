"""Owns: what a connection needs of the dispatch table, what is counted per API, the odd ends of request headers.
Must never know: sockets, handlers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol

from kafka_server.application.context import RequestContext
from kafka_server.infrastructure.network.framing import FrameError
from kafka_server.infrastructure.network.outgoing import Chunk

Answer = Sequence[Chunk] | None


class Route(Protocol):
    """One API in one version, as the generated dispatch table offers it."""

    @property
    def name(self) -> str: ...
    @property
    def flexible_request(self) -> bool: ...
    @property
    def flexible_response(self) -> bool: ...
    def call(self, context: RequestContext, buffer: bytes | bytearray, offset: int) -> Answer | Awaitable[Any]:
        """The encoded answer, or what to wait for; the result of waiting goes through ``encode``."""

    def encode(self, answer: Any) -> Answer: ...


class Dispatch(Protocol):
    """The generated dispatch table, bound to handlers."""

    def lookup(self, api_key: int, version: int) -> Route | None: ...


class ServedRoute:
    """A route and what was counted on it. Counters only grow; metrics read them when asked."""

    __slots__ = (
        "api_key",
        "api_version",
        "call",
        "encode",
        "failures",
        "flexible_request",
        "flexible_response",
        "name",
        "request_bytes",
        "requests",
        "response_bytes",
        "total_ns",
    )

    def __init__(self, route: Route, api_key: int, api_version: int) -> None:
        self.api_key = api_key
        self.api_version = api_version
        self.name = route.name
        self.call = route.call
        self.encode = route.encode
        self.flexible_request = route.flexible_request
        self.flexible_response = route.flexible_response
        self.requests = 0
        self.request_bytes = 0
        self.response_bytes = 0
        self.failures = 0
        self.total_ns = 0
        """From the decoding of the request to its answer, waiting included."""


def signed(value: int) -> int:
    """The int16 with these 16 bits."""
    return value - 0x10000 if value & 0x8000 else value


def skip_tagged_fields(frame: bytes | bytearray, offset: int) -> int:
    """The offset behind the header's tagged fields. No version of Kafka defines any, so their content is skipped."""
    count, offset = _uvarint(frame, offset)
    for _ in range(count):
        _, offset = _uvarint(frame, offset)
        size, offset = _uvarint(frame, offset)
        offset += size
        if offset > len(frame):
            raise FrameError("a tagged field of the request header runs past the end of the frame")
    return offset


def _uvarint(frame: bytes | bytearray, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if offset >= len(frame) or shift > 28:
            raise FrameError("a tagged field of the request header is cut short or overlong")
        byte = frame[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
        shift += 7
