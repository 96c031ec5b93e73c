"""Owns: the life of a broker: start, settle, stop. Must never know: what services and handlers do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final

from kafka_protocol.dispatch import SERVED, Dispatch

from kafka_server.bootstrap.handlers import Families, build_handlers
from kafka_server.bootstrap.live_settings import AT_START_TOO, LiveSettings
from kafka_server.bootstrap.services import Services
from kafka_server.bootstrap.stores import open_stores
from kafka_server.config import Settings
from kafka_server.infrastructure.clock import SystemClock
from kafka_server.infrastructure.network.listener import Listener, format_address
from kafka_server.infrastructure.network.server import Limits, Server

if TYPE_CHECKING:
    from kafka_server.infrastructure.observability.http import HttpServer

SETTLE_DELAY_S: Final = 0.25
"""What a first client needs is loaded when it asks; the rest this long after the start, bit by bit."""


class Broker:
    """A broker, from settings to open listeners. ``await start()``, ``await stop(grace_ms)``."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        clock = SystemClock(loop)
        self.failure: asyncio.Future[str] = loop.create_future()
        """Done when a disk failed for good, with what to tell the operator: the broker has to be stopped."""
        self.stores = open_stores(settings, clock, self._fail)
        self.services = Services(settings, clock, self.stores)
        self.families = Families(self.services)
        self.dispatch = Dispatch(build_handlers(self.families))
        self.server = Server(self.dispatch, limits(settings), self.services.throttle.connected, self.services.unsent)
        self._live = LiveSettings(settings, self.server, self.stores)
        self.services.followers.append(self._live)
        self.metrics_address: str | None = None
        self.is_ready = False
        self.settling: asyncio.Task[None] | None = None
        """Done when everything is loaded."""
        self._http: HttpServer | None = None

    @property
    def listeners(self) -> list[Listener]:
        """What is open, with the real ports."""
        return self.server.listeners

    async def start(self) -> None:
        """Ready for clients when it returns. Raises BindError."""
        try:
            await self.services.load()
            if not AT_START_TOO.isdisjoint(self.settings.given):
                await self.services.configs.bring()
        except BaseException:
            await self.stores.close()
            raise
        try:
            # Metrics first: a client that came in must not lose its broker because another port is taken.
            if self.settings.metrics_port >= 0:
                await self._start_http()
            await self._live.open()
        except BaseException:
            await self.stop(grace_ms=0)
            raise
        self.is_ready = True
        self.settling = asyncio.get_running_loop().create_task(self._settle())

    def _fail(self, reason: str) -> None:
        if not self.failure.done():
            self.failure.set_result(reason)

    async def stop(self, grace_ms: int) -> None:
        """Lets requests in flight finish for that long, then closes everything."""
        self.is_ready = False
        if self.settling is not None:
            self.settling.cancel()
        await self.server.stop(grace_ms)
        await self.services.stop()
        if self._http is not None:
            self._http.stop()

    async def _settle(self) -> None:
        """Imports everything that the first request of each API would import; requests get their turn in between."""
        await asyncio.sleep(SETTLE_DELAY_S)
        steps: Iterator[Callable[[], object]] = chain(
            (partial(self.dispatch.lookup, api_key, newest) for api_key, (_, newest) in SERVED.items()),
            self.families.all(),
        )
        for step in steps:
            step()
            await asyncio.sleep(0)
        await self.services.settle()

    async def _start_http(self) -> None:
        from kafka_server.infrastructure.network.sockets import BindError, why_not
        from kafka_server.infrastructure.observability.http import PROMETHEUS, HttpServer, Page
        from kafka_server.infrastructure.observability.metrics import Metrics, Sources

        of = self.services
        metrics = Metrics(
            Sources(of.replicas, of.coordinator, of.offsets, of.sessions, of.quotas, of.telemetry, self.server)
        )
        self._http = HttpServer(
            {
                "/metrics": lambda: Page(200, metrics.render(), PROMETHEUS),
                "/livez": lambda: Page(200, "alive\n"),
                "/readyz": lambda: Page(200, "ready\n") if self.is_ready else Page(503, "not ready\n"),
            }
        )
        host, port = self.settings.metrics_host, self.settings.metrics_port
        try:
            self.metrics_address = format_address(*await self._http.start(host, port))
        except OSError as error:
            raise BindError(why_not(f"serve metrics on {format_address(host, port)}", host, port, error)) from error


def limits(settings: Settings) -> Limits:
    """What the network obeys."""
    return Limits(
        request_size_max=settings.request_size_max,
        half_frame_bytes_max=(
            settings.half_frame_bytes_max if settings.half_frame_bytes_max > 0 else Limits().half_frame_bytes_max
        ),
        connections_max=settings.connections_max,
        connections_per_ip_max=settings.connections_per_ip_max,
        idle_ms_max=settings.connections_idle_ms_max,
        backlog=settings.backlog,
        send_buffer_bytes=settings.send_buffer_bytes,
        receive_buffer_bytes=settings.receive_buffer_bytes,
    )
