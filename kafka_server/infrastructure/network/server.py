"""Owns: which listeners are open, which connections are let in, how long they may stay, how the server stops.
Must never know: requests, APIs, configuration files.

A sweep every few seconds looks at all connections instead of a timer per connection, so that time limits cost the
requests nothing: it notices that the request counter did not move, or that a half-received frame does not grow.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from kafka_server.application.context import RequestContext
from kafka_server.application.unsent import Unsent
from kafka_server.infrastructure.network.connection import Connection
from kafka_server.infrastructure.network.framing import SCRATCH_SIZE, FrameBudget
from kafka_server.infrastructure.network.listener import Listener
from kafka_server.infrastructure.network.notices import Notices
from kafka_server.infrastructure.network.pace import Pace
from kafka_server.infrastructure.network.routes import Dispatch, ServedRoute
from kafka_server.infrastructure.network.shared import Shared
from kafka_server.infrastructure.network.sockets import BindError, open_sockets

log = logging.getLogger("kafka_server.network")

FRAME_RATE_MIN: Final = 8 * 1024
"""Bytes per second. After its grace time a frame must have arrived at this rate on average, or it is given up."""
CLOSING_S_MAX: Final = 5.0
"""How long a closing connection may take to read what was written to it."""
SWEEP_S_MAX: Final = 5.0
SWEEP_S_MIN: Final = 0.02


@dataclass(slots=True, frozen=True)
class Limits:
    """What one server accepts. The names in quotes are Kafka's settings."""

    request_size_max: int = 100 * 1024 * 1024
    """``socket.request.max.bytes``"""
    half_frame_bytes_max: int = 256 * 1024 * 1024
    """``queued.max.request.bytes``: what all half-received and waiting frames may hold together."""
    connections_max: int = 2**31 - 1
    """``max.connections``"""
    connections_per_ip_max: int = 2**31 - 1
    """``max.connections.per.ip``"""
    connections_per_ip_overrides: Mapping[str, int] = field(default_factory=dict)
    """``max.connections.per.ip.overrides``, by address"""
    pace: Pace | None = None
    """``max.connection.creation.rate``"""
    idle_ms_max: int = 600_000
    """``connections.max.idle.ms``; negative: for ever."""
    frame_grace_ms: int = 30_000
    """How long any frame may take, however slowly it arrives."""
    backlog: int = 50
    """``socket.listen.backlog.size``"""
    send_buffer_bytes: int = -1
    """``socket.send.buffer.bytes``; -1 leaves it to the operating system, which adapts it to the connection."""
    receive_buffer_bytes: int = -1
    """``socket.receive.buffer.bytes``; -1 as above."""


@dataclass(slots=True)
class NetworkCounters:
    """Only grow."""

    accepted: int = 0
    refused_total_limit: int = 0
    refused_ip_limit: int = 0
    refused_ip_rate: int = 0
    closed_idle: int = 0
    closed_slow: int = 0
    closed_surplus: int = 0


class Server:
    """``await start()``, serve, ``await stop()``. One event loop, any number of listeners."""

    def __init__(
        self,
        dispatch: Dispatch,
        limits: Limits,
        pause_ms: Callable[[str], int] = lambda _: 0,
        unsent: Unsent | None = None,
    ) -> None:
        """``pause_ms`` is told of each new connection's address; it says how long that one is held before it is closed,
        0 when it may stay. ``unsent`` hears of the bytes that wait for clients."""
        self.limits = limits
        self.counters = NetworkCounters()
        self.listeners: list[Listener] = []
        """What is open, with the real ports."""
        self._dispatch = dispatch
        self._pause_ms = pause_ms
        self.unsent = unsent or Unsent()
        self._turned_away: dict[asyncio.Transport, asyncio.TimerHandle] = {}
        self._shared: Shared | None = None
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._per_ip: dict[str, int] = {}
        self._serial = 0
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Event | None = None

    # -- start and stop -----------------------------------------------------------------------------------------------

    async def start(self, listeners: Iterable[Listener]) -> None:
        """Opens all listeners or none. Raises BindError."""
        loop = asyncio.get_running_loop()
        limits = self.limits
        self._shared = Shared(
            loop,
            self._dispatch,
            Notices(log, loop.time),
            FrameBudget(limits.half_frame_bytes_max),
            self.unsent,
            # The loop of Windows hands a buffer to the operating system, which fills it some time later; all others
            # fill it and tell us about it before they turn to another connection.
            None if sys.platform == "win32" else bytearray(SCRATCH_SIZE),
            limits.request_size_max,
        )
        await self.open(listeners)
        self._sweep_later()

    async def open(self, listeners: Iterable[Listener]) -> None:
        """Opens further listeners, all or none. Raises BindError."""
        shared, limits = self._shared, self.limits
        assert shared is not None
        opened: list[tuple[Listener, list[socket.socket]]] = []
        try:
            for listener in listeners:
                opened.append(open_sockets(listener, limits.send_buffer_bytes, limits.receive_buffer_bytes))
        except BindError:
            for _, sockets in opened:
                for sock in sockets:
                    sock.close()
            raise
        for listener, sockets in opened:
            servers = self._servers[listener.name] = []
            for sock in sockets:

                def connect(listener: Listener = listener) -> Connection:
                    return Connection(shared, lambda c, t: self._admit(c, t, listener), self._forget)

                servers.append(await shared.loop.create_server(connect, sock=sock, backlog=limits.backlog))
            self.listeners.append(listener)

    def close(self, listener_name: str) -> None:
        """Closes one listener; its connections get the answers they wait for, and close."""
        assert self._shared is not None
        for server in self._servers.pop(listener_name, ()):
            server.close()
        self.listeners = [listener for listener in self.listeners if listener.name != listener_name]
        for connection in list(self._shared.connections):
            if connection.context.listener_name == listener_name:
                connection.drain()

    def obey(self, limits: Limits) -> None:
        """Takes other limits from now on. Of too many connections those go that were silent for longest."""
        self.limits = limits
        connections = self._shared.connections if self._shared is not None else {}
        surplus = len(connections) - limits.connections_max
        if surplus > 0:
            for connection in sorted(connections, key=_last_heard)[:surplus]:
                self.counters.closed_surplus += 1
                connection.drain()

    async def stop(self, grace_ms: int) -> None:
        """Stops accepting, lets requests in flight finish for at most ``grace_ms``, closes everything."""
        for servers in self._servers.values():
            for server in servers:
                server.close()
        self._servers.clear()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        if self._shared is None:
            return
        for transport in list(self._turned_away):
            self._let_go(transport)
        connections = self._shared.connections
        for connection in list(connections):
            connection.drain()
        await self._all_gone(grace_ms / 1000)
        if connections:
            log.info("%d connections did not finish in time and are cut", len(connections))
        for connection in list(connections):
            connection.abort()
        await self._all_gone(CLOSING_S_MAX)

    async def _all_gone(self, timeout_s: float) -> None:
        if self._shared is None or not self._shared.connections:
            return
        self._empty = asyncio.Event()
        try:
            await asyncio.wait_for(self._empty.wait(), timeout_s)
        except TimeoutError:
            return

    # -- what metrics ask for -----------------------------------------------------------------------------------------

    def connection_count(self) -> int:
        return len(self._shared.connections) if self._shared is not None else 0

    def routes(self) -> list[ServedRoute]:
        """Every pair of API and version that was asked for so far, with its counters."""
        return list(self._shared.routes.values()) if self._shared is not None else []

    def half_frame_bytes(self) -> int:
        return self._shared.budget.held_bytes if self._shared is not None else 0

    # -- connections --------------------------------------------------------------------------------------------------

    def _admit(self, connection: Connection, transport: asyncio.Transport, listener: Listener) -> RequestContext | None:
        """Counts the connection in and names it; None when it must not stay."""
        assert self._shared is not None
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if not peer or not local:  # it was reset before we looked
            transport.abort()
            return None
        client_host, client_port = plain_host(peer[0]), int(peer[1])
        local_host, local_port = plain_host(local[0]), int(local[1])
        if not self._may_stay(client_host, transport):
            return None
        self._serial += 1
        self.counters.accepted += 1
        self._shared.connections[connection] = None
        self._per_ip[client_host] = self._per_ip.get(client_host, 0) + 1
        now_s = connection.sweep.idle_since_s = self._shared.loop.time()
        if self.limits.pace is not None:
            delay_ms = self.limits.pace.delay_ms(int(now_s * 1000))
            if delay_ms > 0:
                connection.mute(delay_ms)
        return RequestContext(
            listener_name=listener.name,
            local_host=local_host,
            local_port=local_port,
            client_host=client_host,
            client_port=client_port,
            connection_id=f"{local_host}:{local_port}-{client_host}:{client_port}-{self._serial}",
            security_protocol=listener.security_protocol,
        )

    def _may_stay(self, client_host: str, transport: asyncio.Transport) -> bool:
        """False when it is closed: at once, or after the pause of an address that connects too often."""
        pause_ms = self._pause_ms(client_host)
        if pause_ms > 0:
            self._hold(transport, pause_ms, client_host)
            return False
        if not self._has_room_for(client_host):
            transport.abort()
            return False
        return True

    def _hold(self, transport: asyncio.Transport, pause_ms: int, client_host: str) -> None:
        """Leaves a peer unheard for a while and then closes: one that was closed at once would be back at once."""
        assert self._shared is not None
        self.counters.refused_ip_rate += 1
        text = f"Refusing {client_host} for {pause_ms} ms: its connection_creation_rate is exceeded"
        self._shared.notices.warn("connection_creation_rate", text)
        transport.pause_reading()
        self._turned_away[transport] = self._shared.loop.call_later(pause_ms / 1000, self._let_go, transport)

    def _let_go(self, transport: asyncio.Transport) -> None:
        self._turned_away.pop(transport).cancel()
        transport.abort()

    def _has_room_for(self, client_host: str) -> bool:
        assert self._shared is not None
        limits, notices = self.limits, self._shared.notices
        if len(self._shared.connections) >= limits.connections_max:
            self.counters.refused_total_limit += 1
            notices.warn("max.connections", f"Refusing {client_host}: max.connections={limits.connections_max} reached")
            return False
        of_ip = limits.connections_per_ip_overrides.get(client_host, limits.connections_per_ip_max)
        if self._per_ip.get(client_host, 0) >= of_ip:
            self.counters.refused_ip_limit += 1
            notices.warn("max.connections.per.ip", f"Refusing {client_host}: max.connections.per.ip={of_ip} reached")
            return False
        return True

    def _forget(self, connection: Connection) -> None:
        assert self._shared is not None
        connections = self._shared.connections
        if connection not in connections:  # it was never let in
            return
        del connections[connection]
        host = connection.context.client_host
        self._per_ip[host] -= 1
        if not self._per_ip[host]:
            del self._per_ip[host]
        if not connections and self._empty is not None:
            self._empty.set()

    # -- time limits --------------------------------------------------------------------------------------------------

    def _sweep_later(self) -> None:
        assert self._shared is not None
        limits = [self.limits.frame_grace_ms]
        if self.limits.idle_ms_max >= 0:
            limits.append(self.limits.idle_ms_max)
        interval_s = min(SWEEP_S_MAX, max(SWEEP_S_MIN, min(limits) / 4000))
        self._sweep_timer = self._shared.loop.call_later(interval_s, self._sweep)

    def _sweep(self) -> None:
        assert self._shared is not None
        now_s = self._shared.loop.time()
        for connection in list(self._shared.connections):
            self._look_at(connection, now_s)
        self._sweep_later()

    def _look_at(self, connection: Connection, now_s: float) -> None:
        sweep = connection.sweep
        if connection.is_closing():
            sweep.closing_since_s = sweep.closing_since_s or now_s
            if now_s - sweep.closing_since_s > CLOSING_S_MAX:
                connection.abort()
            return
        if connection.requests != sweep.requests or connection.is_pending():
            sweep.requests = connection.requests
            sweep.idle_since_s = now_s
            sweep.frame_since_s = 0.0
        arrived = connection.half_received()
        if not arrived or connection.is_held_back():
            sweep.frame_since_s = 0.0
        elif not sweep.frame_since_s:
            sweep.frame_since_s = now_s
        elif now_s - sweep.frame_since_s > self.limits.frame_grace_ms / 1000 + arrived / FRAME_RATE_MIN:
            self.counters.closed_slow += 1
            seconds = now_s - sweep.frame_since_s
            connection.refuse("slow", f"a request that is still not complete after {seconds:.1f} s")
            return
        if 0 <= self.limits.idle_ms_max < (now_s - sweep.idle_since_s) * 1000 and not sweep.frame_since_s:
            self.counters.closed_idle += 1
            log.debug("Closing %s: idle for longer than connections.max.idle.ms", connection.context.connection_id)
            connection.close()


def _last_heard(connection: Connection) -> tuple[bool, bool, float]:
    """Grows with how lately the peer was heard; the sweeper knows it as of its last round."""
    sweep = connection.sweep
    return connection.is_pending(), connection.requests != sweep.requests, sweep.idle_since_s


def plain_host(host: str) -> str:
    """An IPv4 client that came through an IPv6 socket is shown, counted and advertised to as IPv4."""
    return host.removeprefix("::ffff:") if host.startswith("::ffff:") and "." in host else host
