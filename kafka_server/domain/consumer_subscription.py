"""Owns: how to read what consumers tell each other. Must never know: groups, the generated protocol.

To the coordinator the metadata of a JoinGroup protocol is opaque, with one exception: for protocol type ``consumer`` it
looks up which topics the group reads, because offsets of those topics must not expire or be deleted under the members.
Every version of the subscription starts like version 0, so that one reader serves them all::

    int16 version | int32 count | count x (int16 length | UTF-8 bytes) | what later versions add

An assignment, which is read only to explain to people who reads what, begins in the same way::

    int16 version | int32 count | count x (int16 length | UTF-8 bytes | int32 count | count x int32) | user data
"""

from __future__ import annotations

import struct

CONSUMER_PROTOCOL_TYPE = "consumer"

_HEAD = struct.Struct(">hi")
_LENGTH = struct.Struct(">h")
_COUNT = struct.Struct(">i")


def subscribed_topics(metadata: bytes) -> frozenset[str]:
    """The topic names in a subscription. Raises ValueError when the bytes are not a subscription."""
    try:
        topics: set[str] = set()
        count, position = _read_head(metadata)
        for _ in range(count):
            topic, position = _read_text(metadata, position)
            topics.add(topic)
    except struct.error as error:
        raise ValueError("the subscription is cut short") from error
    return frozenset(topics)


def assigned_partitions(assignment: bytes) -> list[tuple[str, int]]:
    """The partitions in an assignment. Raises ValueError when the bytes are not an assignment."""
    try:
        partitions: list[tuple[str, int]] = []
        count, position = _read_head(assignment)
        for _ in range(count):
            topic, position = _read_text(assignment, position)
            (size,) = _COUNT.unpack_from(assignment, position)
            indexes = struct.unpack_from(f">{size}i", assignment, position + _COUNT.size) if size >= 0 else ()
            position += _COUNT.size * (1 + len(indexes))
            partitions += [(topic, index) for index in indexes]
    except struct.error as error:
        raise ValueError("the assignment is cut short") from error
    return partitions


def _read_head(data: bytes) -> tuple[int, int]:
    """The number of topics, and where they begin."""
    version, count = _HEAD.unpack_from(data)
    if version < 0 or count < 0:
        raise ValueError(f"version {version} with {count} topics is neither subscription nor assignment")
    return count, _HEAD.size


def _read_text(data: bytes, position: int) -> tuple[str, int]:
    """A string, and where the next thing begins."""
    (length,) = _LENGTH.unpack_from(data, position)
    start, end = position + _LENGTH.size, position + _LENGTH.size + length
    if length < 0 or end > len(data):
        raise ValueError(f"a topic name of {length} bytes does not fit")
    return data[start:end].decode(), end
