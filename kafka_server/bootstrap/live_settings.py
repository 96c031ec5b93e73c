"""Owns: bringing changed configs to parts of the running broker that cannot ask for them: listeners, limits of the
network, compaction. Must never know: where configs come from, which of them may change.

A listener is known by its name. It comes and goes with its name; one that stays keeps its address and protocol, so a
change of either is refused (Apache Kafka accepts another address, and opens it when it is started again). An address
that cannot be bound is refused before anything is stored.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kafka_server.config import ConfigError, Settings, listeners_with
from kafka_server.infrastructure.network.listener import Listener
from kafka_server.infrastructure.network.server import Server
from kafka_server.infrastructure.network.sockets import BindError, open_sockets

if TYPE_CHECKING:
    from kafka_server.bootstrap.stores import Stores
    from kafka_server.domain.broker_rules import Values
    from kafka_server.infrastructure.network.pace import Pace

AT_START_TOO: Final = frozenset(("max.connection.creation.rate", "max.connections.per.ip.overrides"))
"""What only this module obeys, also when nothing is dynamic: names of hosts have to be looked up, for one."""
UNBOUNDED: Final = 2**31 - 1

log = logging.getLogger("kafka_server.config")


class LiveSettings:
    """A ``Follower`` of the configs."""

    def __init__(self, settings: Settings, server: Server, stores: Stores) -> None:
        self._settings = settings
        self._server = server
        self._stores = stores
        self._listeners = {listener.name: listener for listener in settings.listeners}
        """What shall be open, as it was configured: a port may be 0."""
        self._is_open = False

    async def open(self) -> None:
        """Opens the listeners. Raises BindError, but not for one that was added while the broker ran: a start that it
        prevents would leave no way to take it away."""
        self._is_open = True
        static = set(self._settings.listeners)
        await self._server.start(listener for listener in self._listeners.values() if listener in static)
        for listener in self._listeners.values():
            if listener not in static:
                await self._add(listener)
        if not self._server.listeners:
            raise BindError("None of the listeners could be opened")

    # ---- the follower ------------------------------------------------------------------------------------------------

    async def check(self, before: Values, after: Values) -> None:
        from kafka_server.domain.errors import InvalidConfig

        overrides = "max.connections.per.ip.overrides"
        if after(overrides) != before(overrides):
            unknown = [host for host, address in (await _resolved(after)).items() if address is None]
            if unknown:
                raise InvalidConfig(f"{overrides}: {', '.join(unknown)} stands for no address")
        keys = ("listeners", "listener.security.protocol.map")
        if any(after(key) != before(key) for key in keys):
            self._check_listeners(after)

    def _check_listeners(self, values: Values) -> None:
        from kafka_server.domain.errors import InvalidConfig

        try:
            for listener in self._wanted(values).values():
                present = self._listeners.get(listener.name)
                if present is None:
                    for sock in open_sockets(listener, -1, -1)[1]:
                        sock.close()
                elif present != listener:
                    raise InvalidConfig(f"The listener {present} is open; give one at another address another name")
        except (ConfigError, BindError) as error:
            raise InvalidConfig(str(error)) from error

    async def follow(self, values: Values) -> None:
        self._stores.obey(
            recovery_threads=_whole(values, "num.recovery.threads.per.data.dir"),
            cleaner_backoff_ms=_whole(values, "log.cleaner.backoff.ms"),
            cleaner_bytes_per_second_max=float(str(values("log.cleaner.io.max.bytes.per.second"))),
        )
        await self._follow_limits(values)
        try:
            self._listeners = wanted = self._wanted(values)
        except ConfigError as error:
            log.error("The listeners stay as they are: %s", error)
            return
        if self._is_open:
            present = {listener.name: listener for listener in self._server.listeners}
            for name in present.keys() - wanted.keys():
                log.info("Closing the listener %s", present[name])
                self._server.close(name)
            for name in wanted.keys() - present.keys():
                await self._add(wanted[name])

    async def _add(self, listener: Listener) -> None:
        try:
            await self._server.open([listener])
        except BindError as error:
            log.error("%s. It was added to the listeners while the broker ran, which goes on without it", error)
        else:
            log.info("listening on %s", self._server.listeners[-1])

    def _wanted(self, values: Values) -> dict[str, Listener]:
        """Raises ConfigError."""
        listeners = values("listeners")
        assert isinstance(listeners, list)
        texts = {
            "listeners": ",".join(listeners),
            "listener.security.protocol.map": str(values("listener.security.protocol.map")),
        }
        return {listener.name: listener for listener in listeners_with(self._settings.given, texts)}

    async def _follow_limits(self, values: Values) -> None:
        from kafka_server.domain.broker_rules import parse_overrides

        text = str(values("max.connections.per.ip.overrides") or "")
        counts: dict[str, int] = {}
        if text:
            bounds = parse_overrides(text)
            for host, address in (await _resolved(values)).items():
                if address is None:
                    log.error("max.connections.per.ip.overrides: %s stands for no address, so it bounds nobody", host)
                else:
                    counts[address] = bounds[host]
        limits = replace(
            self._server.limits,
            connections_max=_whole(values, "max.connections"),
            connections_per_ip_max=_whole(values, "max.connections.per.ip"),
            connections_per_ip_overrides=counts,
            pace=self._pace(values),
        )
        if limits != self._server.limits:
            self._server.obey(limits)

    def _pace(self, values: Values) -> Pace | None:
        per_second_max = _whole(values, "max.connection.creation.rate")
        if per_second_max == UNBOUNDED:
            return None
        pace = self._server.limits.pace
        if pace is None:
            from kafka_server.domain.client_quota import QuotaRate
            from kafka_server.infrastructure.network.pace import Pace

            window_ms = _whole(values, "quota.window.size.seconds") * 1000
            rate = QuotaRate(window_ms, _whole(values, "quota.window.num"))
            return Pace(rate, window_ms, per_second_max)
        pace.per_second_max = per_second_max
        return pace


async def _resolved(values: Values) -> dict[str, str | None]:
    """The addresses of the hosts that have a bound of their own."""
    from kafka_server.domain.broker_rules import parse_overrides
    from kafka_server.infrastructure.network.addresses import SystemAddresses

    addresses = SystemAddresses()
    hosts = parse_overrides(str(values("max.connections.per.ip.overrides") or ""))
    return {host: await addresses.resolve(host) for host in hosts}


def _whole(values: Values, name: str) -> int:
    value = values(name)
    assert isinstance(value, int)
    return value
