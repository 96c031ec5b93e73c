"""Owns: the Message entity - what a user writes and reads - and its builder.
Must never know: batches, offsets assignment, compression, the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_TIMESTAMP = -1
NO_OFFSET = -1

Header = tuple[str, bytes | None]


@dataclass(slots=True)
class Message:
    """One record: a key, a value, headers, a time, and - once it is stored - an offset.

    ``key`` and ``value`` may be None, which is not the same as empty: a None key spreads over partitions, and a None
    value in a compacted topic is a tombstone that deletes the key. Header names may repeat and their order counts.
    """

    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[Header, ...] = ()
    timestamp: int = NO_TIMESTAMP
    """Milliseconds since the epoch; -1 when the producer gave none (possible in message format v0 only)."""
    offset: int = NO_OFFSET
    """Position in the partition; -1 until the broker has assigned one."""


class MessageBuilder:
    """Builds a Message step by step; every step returns the builder.

    >>> MessageBuilder().key(b"user-7").value(b"signed in").header("trace", b"1").timestamp(1_700_000_000_000).build()
    Message(key=b'user-7', value=b'signed in', headers=(('trace', b'1'),), timestamp=1700000000000, offset=-1)
    """

    __slots__ = ("_headers", "_key", "_offset", "_timestamp", "_value")

    def __init__(self) -> None:
        self._key: bytes | None = None
        self._value: bytes | None = None
        self._headers: list[Header] = []
        self._timestamp = NO_TIMESTAMP
        self._offset = NO_OFFSET

    def key(self, key: bytes | None) -> MessageBuilder:
        self._key = key
        return self

    def value(self, value: bytes | None) -> MessageBuilder:
        self._value = value
        return self

    def header(self, name: str, value: bytes | None) -> MessageBuilder:
        """Adds one header after those added before; a name may be added again."""
        self._headers.append((name, value))
        return self

    def timestamp(self, timestamp_ms: int) -> MessageBuilder:
        if timestamp_ms < NO_TIMESTAMP:
            raise ValueError(f"a timestamp is -1 (none) or at least 0, not {timestamp_ms}")
        self._timestamp = timestamp_ms
        return self

    def offset(self, offset: int) -> MessageBuilder:
        if offset < 0:
            raise ValueError(f"an offset is at least 0, not {offset}")
        self._offset = offset
        return self

    def build(self) -> Message:
        """A new Message; the builder may go on and build the next one from what it holds."""
        return Message(self._key, self._value, tuple(self._headers), self._timestamp, self._offset)
