"""Owns: what a listener is and how its address is written. Must never know: sockets, settings files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

ALL_ADDRESSES: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a name for it, not a bind
"""Hosts that mean every address of the machine, or every one of a family, with one that a client here can connect to.
An empty host opens both families."""


@dataclass(slots=True, frozen=True)
class Listener:
    """Where to listen: ``name`` is Kafka's listener name, an empty host means all addresses, port 0 any free one."""

    name: str
    host: str
    port: int
    security_protocol: str = "PLAINTEXT"

    def __str__(self) -> str:
        return f"{self.name}://{format_address(self.host, self.port)}"

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens on every address of the machine, so that its host is none to connect to."""
        return self.host in ALL_ADDRESSES

    def seen_from_here(self) -> Listener:
        """The same listener under an address that a client on this machine can connect to."""
        return replace(self, host=ALL_ADDRESSES.get(self.host, self.host))


def format_address(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
