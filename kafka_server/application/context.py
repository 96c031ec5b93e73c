"""Owns: who asks, from where, in which version. Must never know: bytes, sockets, the generated protocol.

One RequestContext lives as long as its connection; the connection rewrites the request fields before each request.
That is safe because a connection handles one request at a time (see "concurrency model" in ARCHITECTURE.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _not_heard(duration_ms: int) -> None:
    """Outside a connection nobody is there to be muted."""


@dataclass(slots=True)
class RequestContext:
    """Facts about the connection and about the request that it handles now."""

    listener_name: str
    """Listener the client came in by, for example ``PLAINTEXT``; decides which advertised address it is told."""
    local_host: str
    """Address of ours that the client reached; advertised when no ``advertised.listeners`` is set."""
    local_port: int
    client_host: str
    """Peer address without port, as Kafka prints it in DescribeGroups (without the leading slash)."""
    client_port: int
    connection_id: str
    """Unique text for logs and metrics: ``local:port-peer:port-serial``."""
    security_protocol: str = "PLAINTEXT"
    principal: str = "User:ANONYMOUS"
    client_id: str = ""
    """``client.id`` of the current request; empty when the client sent null."""
    api_key: int = -1
    api_version: int = -1
    correlation_id: int = -1
    request_bytes: int = 0
    """Size of the current request, header included."""
    software_name: str = ""
    """From ApiVersions v3+ (KIP-511); empty when the client never said."""
    software_version: str = ""
    mute: Callable[[int], None] = _not_heard
    """Handles no further request of this connection for that many milliseconds; the answer at hand still goes out."""


class CloseConnection(Exception):
    """Raised by a handler when closing is the only way to tell the client: a failed acks=0 produce has no response.

    The text goes to the log. A handler that still answers never raises it.
    """
