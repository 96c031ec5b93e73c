"""Owns: what the connections of one server share, and what its sweeper notes about each. Must never know: requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kafka_server.application.unsent import Unsent
from kafka_server.infrastructure.network.framing import FrameBudget
from kafka_server.infrastructure.network.notices import Notices
from kafka_server.infrastructure.network.routes import Dispatch, ServedRoute, signed

if TYPE_CHECKING:
    from kafka_server.infrastructure.network.connection import Connection


class Shared:
    """What all connections of one server share."""

    __slots__ = (
        "budget",
        "connections",
        "dispatch",
        "loop",
        "notices",
        "request_size_max",
        "routes",
        "scratch",
        "unsent",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dispatch: Dispatch,
        notices: Notices,
        budget: FrameBudget,
        unsent: Unsent,
        scratch: bytearray | None,
        request_size_max: int,
    ) -> None:
        self.loop = loop
        self.dispatch = dispatch
        self.notices = notices
        self.budget = budget
        self.unsent = unsent
        self.scratch = scratch
        """None: the event loop reads in the background, and each connection needs a buffer of its own."""
        self.request_size_max = request_size_max
        self.routes: dict[int, ServedRoute] = {}
        """By the first four bytes of a request (key and version as one number). Only served pairs get in."""
        self.connections: dict[Connection, None] = {}

    def route(self, key: int) -> ServedRoute | None:
        """The route of that pair, remembered for the next request; None when it is not served."""
        api_key, api_version = key >> 16, signed(key & 0xFFFF)
        found = self.dispatch.lookup(api_key, api_version)
        if found is None:
            return None
        served = self.routes[key] = ServedRoute(found, api_key, api_version)
        return served


class Sweep:
    """What the server's sweeper noted about one connection; see ``Server``. Times are of the loop's clock, 0: none."""

    __slots__ = ("closing_since_s", "frame_since_s", "idle_since_s", "requests")

    def __init__(self) -> None:
        self.requests = -1
        self.idle_since_s = 0.0
        self.frame_since_s = 0.0
        self.closing_since_s = 0.0
