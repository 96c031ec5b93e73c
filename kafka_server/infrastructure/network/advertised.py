"""Owns: which address a client is told. Must never know: which API asks."""

from __future__ import annotations

from collections.abc import Mapping

from kafka_server.application.context import RequestContext


class AdvertisedAddresses:
    """The AdvertisedListeners port: what was configured for the listener, else the address that the client reached."""

    __slots__ = ("_by_listener",)

    def __init__(self, by_listener: Mapping[str, tuple[str, int]]) -> None:
        self._by_listener = by_listener

    def address_for(self, context: RequestContext) -> tuple[str, int]:
        configured = self._by_listener.get(context.listener_name)
        return (context.local_host, context.local_port) if configured is None else configured
