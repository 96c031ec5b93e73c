"""Owns: how to read and write what consumers tell each other. Must never know: groups, the generated protocol.

To the coordinator the metadata of a JoinGroup protocol is opaque, with one exception: for protocol type ``consumer`` it
looks up which topics the group reads, because offsets of those topics must not expire or be deleted under the members.
Every version of the subscription starts like version 0, so that one reader serves them all::

    int16 version | int32 count | count x (int16 length | UTF-8 bytes) | what later versions add

An assignment begins in the same way::

    int16 version | int32 count | count x (int16 length | UTF-8 bytes | int32 count | count x int32) | user data

When a group moves between the classic and the consumer protocol (KIP-848) the rest is needed, too. Of a subscription::

    ... | user data | v1+: owned partitions, as in an assignment | v2+: int32 generation | v3+: nullable string rack

User data is an int32 length (-1 for none) and so many bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONSUMER_PROTOCOL_TYPE = "consumer"

_HEAD = struct.Struct(">hi")
_LENGTH = struct.Struct(">h")
_COUNT = struct.Struct(">i")


NEWEST_VERSION = 3


@dataclass(slots=True, frozen=True)
class ConsumerSubscription:
    """What a consumer tells the others: what it reads, what it has, where it stands."""

    version: int
    topics: frozenset[str]
    owned: Sequence[tuple[str, int]] = ()
    rack_id: str | None = None


def read_subscription(metadata: bytes) -> ConsumerSubscription:
    """A whole subscription; versions that we do not know yet begin like the newest. Raises ValueError."""
    try:
        (version, _), topics = _HEAD.unpack_from(metadata), set[str]()
        count, position = _read_head(metadata)
        for _ in range(count):
            topic, position = _read_text(metadata, position)
            topics.add(topic)
        _, position = _read_user_data(metadata, position)
        owned: list[tuple[str, int]] = []
        rack_id: str | None = None
        if version >= 1:
            (count,) = _COUNT.unpack_from(metadata, position)
            owned, position = _read_partitions(metadata, position + _COUNT.size, count)
        if version >= 3:
            position += _COUNT.size  # The generation of the owned partitions; epochs of members tell that now.
            (length,) = _LENGTH.unpack_from(metadata, position)
            rack_id = None if length < 0 else _read_text(metadata, position)[0]
    except struct.error as error:
        raise ValueError("the subscription is cut short") from error
    return ConsumerSubscription(version, frozenset(topics), tuple(owned), rack_id)


def write_assignment(partitions: Mapping[str, Sequence[int]], version: int) -> bytes:
    """An assignment for a consumer that subscribed in that version."""
    chunks = [_HEAD.pack(min(version, NEWEST_VERSION), len(partitions))]
    for topic, indexes in partitions.items():
        name = topic.encode()
        chunks.append(_LENGTH.pack(len(name)) + name + struct.pack(f">{len(indexes) + 1}i", len(indexes), *indexes))
    return b"".join(chunks) + _COUNT.pack(-1)


def has_user_data(assignment: bytes) -> bool:
    """Whether a leader put something of its own into an assignment. Raises ValueError."""
    try:
        count, position = _read_head(assignment)
        _, position = _read_partitions(assignment, position, count)
        data, _ = _read_user_data(assignment, position)
    except struct.error as error:
        raise ValueError("the assignment is cut short") from error
    return bool(data)


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
        count, position = _read_head(assignment)
        partitions, _ = _read_partitions(assignment, position, count)
    except struct.error as error:
        raise ValueError("the assignment is cut short") from error
    return partitions


def _read_partitions(data: bytes, position: int, count: int) -> tuple[list[tuple[str, int]], int]:
    """``count`` topics with their partitions, and where the next thing begins."""
    partitions: list[tuple[str, int]] = []
    for _ in range(count):
        topic, position = _read_text(data, position)
        (size,) = _COUNT.unpack_from(data, position)
        if size * _COUNT.size > len(data):
            raise ValueError(f"{size} partitions do not fit")
        indexes = struct.unpack_from(f">{size}i", data, position + _COUNT.size) if size >= 0 else ()
        position += _COUNT.size * (1 + len(indexes))
        partitions += [(topic, index) for index in indexes]
    return partitions, position


def _read_user_data(data: bytes, position: int) -> tuple[bytes, int]:
    """Nullable bytes, and where the next thing begins."""
    (length,) = _COUNT.unpack_from(data, position)
    start = position + _COUNT.size
    end = start + max(length, 0)
    if end > len(data):
        raise ValueError(f"user data of {length} bytes do not fit")
    return data[start:end], end


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
