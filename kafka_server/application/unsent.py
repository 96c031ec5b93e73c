"""Owns: how many bytes of answers wait for clients that do not read them, and how large the next answer may be.
Must never know: sockets, what an answer holds.

A fetch may ask for 50 MiB, and a client that then reads nothing keeps them in our memory. So while many bytes wait,
answers get smaller - a client takes that as it takes every limit, and asks for the rest next time.
"""

from __future__ import annotations

from typing import Final

LIMIT_BYTES: Final = 256 * 1024 * 1024
LEAST_BYTES: Final = 64 * 1024
"""What an answer may hold however many bytes wait: nobody who reads is starved by those who do not."""


class Unsent:
    """The bytes of one broker. Connections add and take away; who makes large answers asks for ``room``."""

    __slots__ = ("bytes", "limit_bytes")

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.bytes = 0
        self.limit_bytes = limit_bytes

    def room(self) -> int:
        """How many bytes the next answer may hold."""
        return max(self.limit_bytes - self.bytes, LEAST_BYTES)
