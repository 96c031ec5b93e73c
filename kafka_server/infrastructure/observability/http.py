"""Owns: a tiny HTTP/1.1 server for /metrics, /livez and /readyz. Must never know: what is measured.

It answers GET and HEAD, one request per connection, and nothing else: enough for Prometheus, Kubernetes and curl, and
too little to attack. It is off unless asked for and listens on loopback unless told otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

HEAD_SIZE_MAX: Final = 8 * 1024
TIMEOUT_S: Final = 5.0
CONNECTIONS_MAX: Final = 64

PLAIN: Final = "text/plain; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(slots=True, frozen=True)
class Page:
    """One answer."""

    status: int
    body: str
    content_type: str = PLAIN


class HttpServer:
    """Serves pages by exact path; a page is a function that is called for each request."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listens and returns the real address. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_SIZE_MAX)
        address = self._server.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS_MAX:
                await asyncio.wait_for(self._answer(reader, writer), TIMEOUT_S)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        page = self._page(words)
        body = page.body.encode()
        lines = (
            f"HTTP/1.1 {page.status} {_REASONS[page.status]}",
            f"Content-Type: {page.content_type}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if words[0] == "HEAD" else body))
        await writer.drain()

    def _page(self, words: list[str]) -> Page:
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return Page(400, "this is not an HTTP/1 request\n")
        method, target, _ = words
        if method not in ("GET", "HEAD"):
            return Page(405, "only GET and HEAD are answered here\n")
        page = self._pages.get(target.partition("?")[0])
        if page is None:
            return Page(404, f"there is {', '.join(self._pages)}\n")
        return page()
