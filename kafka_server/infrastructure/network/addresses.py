"""Owns: which address a text stands for, by Java's rules. Must never know: what the address is for."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import Final

_NUMBERS: Final = re.compile(r"[0-9]{1,10}(\.[0-9]{1,10}){0,3}")
"""Short forms count, too: in ``127.1`` the last number fills the bytes that are left. All numbers are decimal."""
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")


class SystemAddresses:
    """Literals are read at once; for names the operating system is asked, in a thread."""

    async def resolve(self, name: str) -> str | None:
        literal = read_literal(name)
        if literal is not None or _NUMBERS.fullmatch(name) or not _NAME.fullmatch(name):
            return literal
        try:
            found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return None
        # Java takes the first of several, and IPv4 before IPv6.
        addresses = [str(entry[4][0]) for entry in sorted(found, key=lambda entry: entry[0] != socket.AF_INET)]
        return addresses[0] if addresses else None


def read_literal(text: str) -> str | None:
    """The canonical form of an address, None when the text is none."""
    if _NUMBERS.fullmatch(text):
        *leading, last = (int(part) for part in text.split("."))
        if any(part > 255 for part in leading) or last >= 1 << 8 * (4 - len(leading)):
            return None
        value = last + sum(part << 8 * (3 - place) for place, part in enumerate(leading))
        return str(ipaddress.IPv4Address(value))
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    return str(address.ipv4_mapped or address)  # as connections tell it, see plain_host of the server
