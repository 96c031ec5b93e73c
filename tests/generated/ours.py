"""Owns: the generated codec behind the same shape as the peers - plain values in, plain values out.

Must never know: the wire format. Fields are paired with the spec's by position, so that a renamed, lost or added field
shows at once.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import kafka_protocol
from kafka_protocol.wire import Message as GeneratedMessage

from codegen.spec import Field, Message
from tests.generated.interpreter import UNKNOWN_TAGS, Value, defaults


def message_class(name: str) -> type[GeneratedMessage]:
    """The generated class of one message."""
    return kafka_protocol.load(name)


def to_object(message: Message, version: int, value: Mapping[str, Value]) -> GeneratedMessage:
    """A generated message filled from a plain value; fields that the version lacks keep their defaults."""
    filled: GeneratedMessage = _fill(dict(message.structs()), message.fields, message_class(message.name), value)
    return filled


def to_value(message: Message, version: int, decoded: GeneratedMessage) -> dict[str, Value]:
    """The plain value of a generated message: the fields that the version has."""
    return _plain(message, message.fields, version, decoded)


def encode(message: Message, version: int, value: Mapping[str, Value]) -> bytes:
    return to_object(message, version, value).encode(version)


def decode(message: Message, version: int, data: bytes) -> dict[str, Value]:
    return to_value(message, version, message_class(message.name).decode(data, version))


@cache
def _attributes(owner: type) -> tuple[tuple[str, Any], ...]:
    """Names and annotations of a generated struct's fields, without the unknown tags."""
    hints = typing.get_type_hints(owner)
    names = [item.name for item in dataclasses.fields(owner)]
    return tuple((name, hints[name]) for name in names if name != "unknown_tagged_fields")


def _pairs(fields: list[Field], owner: type) -> list[tuple[Field, str, Any]]:
    return [(item, name, hint) for item, (name, hint) in zip(fields, _attributes(owner), strict=True)]


@cache
def _struct_of(hint: Any) -> type:
    """The dataclass inside ``X``, ``X | None``, ``list[X]`` or ``list[X] | None``."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    return _struct_of(next(part for part in typing.get_args(hint) if part is not type(None)))


def _fill(structs: dict[str, list[Field]], fields: list[Field], owner: type, value: Mapping[str, Value]) -> Any:
    arguments: dict[str, Any] = {}
    for item, name, hint in _pairs(fields, owner):
        if item.name not in value:
            continue
        part = value[item.name]
        if item.is_struct and part is not None:
            inner, body = _struct_of(hint), structs[item.element_type]
            if item.is_array:
                part = [_fill(structs, body, inner, one) for one in part]
            else:
                part = _fill(structs, body, inner, part)
        arguments[name] = part
    if UNKNOWN_TAGS in value:
        arguments["unknown_tagged_fields"] = value[UNKNOWN_TAGS]
    return owner(**arguments)


def _plain(message: Message, fields: list[Field], version: int, decoded: Any) -> dict[str, Value]:
    structs = dict(message.structs())
    value: dict[str, Value] = {}
    for item, name, _ in _pairs(fields, type(decoded)):
        if version not in item.versions:
            continue
        part = getattr(decoded, name)
        if item.is_struct and part is not None:
            body = structs[item.element_type]
            if item.is_array:
                part = [_plain(message, body, version, one) for one in part]
            else:
                part = _plain(message, body, version, part)
        elif item.is_struct and not item.is_array and version in item.tagged:
            # A struct in a tag that did not come is None there, and means the struct with its defaults.
            part = defaults(message, version, structs[item.type])
        value[item.name] = bytes(part) if isinstance(part, memoryview) else part
    if getattr(decoded, "unknown_tagged_fields", None):
        value[UNKNOWN_TAGS] = decoded.unknown_tagged_fields
    return value
