"""Owns: which topic names are legal, which collide, which topics are internal, and how topic ids are drawn.
Must never know: which topics exist, where they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kafka_server.domain.errors import InvalidTopic

LENGTH_MAX = 249
"""A folder is called ``<topic>-<partition>.<32 hex digits>-delete`` at worst, and file systems allow 255 bytes."""

GROUP_METADATA_TOPIC = "__consumer_offsets"
TRANSACTION_STATE_TOPIC = "__transaction_state"
SHARE_GROUP_STATE_TOPIC = "__share_group_state"
CLUSTER_METADATA_TOPIC = "__cluster_metadata"
INTERNAL_TOPICS = frozenset({GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC, SHARE_GROUP_STATE_TOPIC})

_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")

METADATA_TOPIC_ID = bytes(15) + b"\x01"
"""Apache Kafka reserves the ids zero ("none") and one (its metadata log)."""


def check_topic_name(name: str) -> None:
    """Raises InvalidTopic when the name breaks Kafka's rules. What passes is safe as part of a folder name."""
    if not name:
        raise InvalidTopic("Topic name is invalid: it must not be empty")
    if name in (".", ".."):
        raise InvalidTopic(f"Topic name is invalid: '{name}' is not allowed")
    if len(name) > LENGTH_MAX:
        raise InvalidTopic(f"Topic name is invalid: it has {len(name)} characters, more than {LENGTH_MAX}")
    if not _LEGAL.issuperset(name):
        raise InvalidTopic(
            f"Topic name is invalid: {name!r} holds something other than ASCII letters, digits, '.', '_' and '-'"
        )


def is_internal(name: str) -> bool:
    """Whether the broker itself keeps that topic."""
    return name in INTERNAL_TOPICS


def collision_key(name: str) -> str:
    """Equal for names that differ only in '.' against '_': their metrics would have one name."""
    return name.replace(".", "_")


def find_collision(name: str, existing: Iterable[str]) -> str | None:
    """The first existing name that collides with ``name``; names without '.' and '_' never collide."""
    if "." not in name and "_" not in name:
        return None
    key = collision_key(name)
    return next((other for other in existing if other != name and collision_key(other) == key), None)


def draw_topic_id(random_bytes: Callable[[int], bytes]) -> bytes:
    """A fresh topic id: a version 4 UUID that is not reserved and whose base64 form does not begin with '-'.

    Tools take ids on their command line, where a leading '-' would read as an option. 248 to 251 are the first
    bytes that base64 turns into it.
    """
    while True:
        raw = bytearray(random_bytes(16))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        topic_id = bytes(raw)
        if topic_id not in (bytes(16), METADATA_TOPIC_ID) and topic_id[0] >> 2 != 62:
            return topic_id
