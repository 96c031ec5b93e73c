"""Owns: what of two answers must be equal, and a list of where they are not. Must never know: sockets, APIs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any

UNLIKE = {
    "error_message": "our words",
    "cluster_id": "drawn at random",
    "finalized_features_epoch": "an offset of Kafka's metadata log",
    "host": "each has its own address",
    "port": "each has its own address",
    "unknown_tagged_fields": "no part of the answer",
}
"""Fields that two brokers never have in common, with the reason."""
TOLD_OR_NOT = ("documentation",)
"""Fields of which only the presence is compared: the words are our own."""
NAMES = (
    *("name", "topic", "topic_name", "api_key", "resource_name", "partition_index", "index", "partition", "user"),
    *("partition_id", "transactional_id", "group_id", "key"),
)
"""What tells the elements of a list apart. They are compared by it, and their order as a thing of its own."""


def plain(value: Any, ids: Mapping[bytes, str] = MappingProxyType({})) -> Any:
    """Messages as dicts without ``UNLIKE``; topic ids as ``ids`` has them, else only whether there is one."""
    if is_dataclass(value):
        told = (field.name for field in fields(value) if field.name not in UNLIKE)
        found = {name: plain(getattr(value, name), ids) for name in told}
        return {name: bool(item) if name in TOLD_OR_NOT else item for name, item in found.items()}
    if isinstance(value, list):
        return [plain(item, ids) for item in value]
    if isinstance(value, bytes) and len(value) == 16:
        return "no id" if value == bytes(16) else ids.get(value, "an id")
    return value


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    """``path: theirs, ours`` for every place where the plain answers differ."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in theirs:
            yield from differences(theirs[name], ours.get(name), f"{path}.{name}" if path else name)
    elif isinstance(theirs, list) and isinstance(ours, list) and (key := _key(theirs or ours)):
        a, b = _by(key, theirs), _by(key, ours)
        if a.keys() == b.keys() and list(a) != list(b):
            yield f"{path}: order {list(a)}, {list(b)}"
        for name in sorted({*a, *b}):
            if name not in a or name not in b:
                yield f"{path}[{name}]: only {'theirs' if name in a else 'ours'}"
            else:
                yield from differences(a[name], b[name], f"{path}[{name}]")
    elif theirs != ours:
        yield f"{path}: {theirs!r}, {ours!r}"


def _key(items: list[Any]) -> str | None:
    if not items or not isinstance(items[0], dict):
        return None
    return next((name for name in NAMES if name in items[0]), None)


def _by(key: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """The elements by name; those of one name are told apart by their order."""
    found: dict[str, Any] = {}
    for item in items:
        name, times = str(item[key]), 1
        while (label := name if times == 1 else f"{name}#{times}") in found:
            times += 1
        found[label] = item
    return found
