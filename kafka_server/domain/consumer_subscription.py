"""Owns: how to read the topics out of a consumer's subscription. Must never know: groups, the generated protocol.

To the coordinator the metadata of a JoinGroup protocol is opaque, with one exception: for protocol type ``consumer`` it
looks up which topics the group reads, because offsets of those topics must not expire or be deleted under the members.
Every version of the subscription starts like version 0, so that one reader serves them all::

    int16 version | int32 count | count x (int16 length | UTF-8 bytes) | what later versions add
"""

from __future__ import annotations

import struct

CONSUMER_PROTOCOL_TYPE = "consumer"

_HEAD = struct.Struct(">hi")
_LENGTH = struct.Struct(">h")


def subscribed_topics(metadata: bytes) -> frozenset[str]:
    """The topic names in a subscription. Raises ValueError when the bytes are not a subscription."""
    try:
        version, count = _HEAD.unpack_from(metadata)
        if version < 0 or count < 0:
            raise ValueError(f"version {version} with {count} topics is no subscription")
        topics: set[str] = set()
        position = _HEAD.size
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(metadata, position)
            start, position = position + _LENGTH.size, position + _LENGTH.size + length
            if length < 0 or position > len(metadata):
                raise ValueError(f"a topic name of {length} bytes does not fit")
            topics.add(metadata[start:position].decode())
    except struct.error as error:
        raise ValueError("the subscription is cut short") from error
    return frozenset(topics)
