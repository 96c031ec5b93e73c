"""Owns: how a well-formed message is broken on purpose, one field at a time, with the place where that must be noticed.

Must never know: any codec. It works on the spans of the interpreter.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from codegen.layout import snake
from codegen.spec import Field, Message
from tests.generated.interpreter import Dissection, Span, SpanKind

_HUGE = 2**31 - 1
_HUGE_VARINT = bytes.fromhex("ffffffff07")
_OVERLONG_VARINT = bytes.fromhex("8080808080 00")


@dataclass(frozen=True, slots=True)
class Wound:
    """Broken bytes, what was done to them, and the field and offset that the complaint has to name."""

    what: str
    data: bytes
    field: str
    offset: int


def wounds(message: Message, version: int, data: bytes, dissection: Dissection) -> Iterator[Wound]:
    """Every single-field wound of one message, in wire order. Whatever stood behind the wound stays as it was.

    Inside a tagged field only those wounds count that keep its size: with another size it is the tag that is wrong.
    """
    tags = [span for span in dissection.leaves if span.kind is SpanKind.TAG]
    sized = [range(span.end, span.end + span.value[1]) for span in tags]
    for wound in _wounds(message, version, data, dissection):
        if len(wound.data) == len(data) or not any(wound.offset in inside for inside in sized):
            yield wound


def _wounds(message: Message, version: int, data: bytes, dissection: Dissection) -> Iterator[Wound]:
    fields = {owner: {item.name: item for item in items} for owner, items in message.structs()}
    fields[message.name] = {item.name: item for item in message.fields}
    for span in dissection.leaves:
        if span.kind is SpanKind.COUNT:
            yield from _length_wounds(_field_at(message, fields, span.path), version, message, data, span, True)
        elif span.kind is SpanKind.MARKER:
            yield _wound("a presence byte of 2", data, span.start, b"\x02", 1, span.path, "")
        elif span.kind is SpanKind.TAG_COUNT:
            yield _wound("a huge tag count", data, span.start, _HUGE_VARINT, span.end - span.start, span.path, "tags")
        elif span.kind is SpanKind.FIELD and isinstance(span.value, str | bytes) and span.end > span.start:
            item = _field_at(message, fields, span.path)
            if item is None or item.element_type == "uuid":
                continue
            yield from _length_wounds(item, version, message, data, span, False)
            if isinstance(span.value, str) and span.value:
                broken = data[: span.end - 1] + b"\xff" + data[span.end :]
                yield Wound("invalid UTF-8", broken, wire_path(span.path), span.start)


def _length_wounds(
    item: Field | None, version: int, message: Message, data: bytes, span: Span, count: bool
) -> Iterator[Wound]:
    assert item is not None, span.path
    flexible = version in (message.flexible if item.flexible is None else item.flexible)
    nullable = version in item.nullable and not (item.is_array and not count)
    if flexible:
        taken = next(index for index in range(5) if data[span.start + index] < 0x80) + 1
        kinds = [("a huge length", _HUGE_VARINT), ("an overlong varint", _OVERLONG_VARINT)]
        high, null = _HUGE, b"\0"
    else:
        taken = 2 if item.element_type == "string" and not count else 4
        high = min(_HUGE, (1 << 8 * taken - 1) - 1)
        kinds = [
            ("a huge length", high.to_bytes(taken, "big")),
            ("length -2", (-2).to_bytes(taken, "big", signed=True)),
        ]
        null = b"\xff" * taken
    if not nullable:
        kinds.append(("null where null is not allowed", null))
    for what, replacement in kinds:
        if what == "a huge length" and taken == 2 and len(data) > high:
            continue
        yield _wound(what, data, span.start, replacement, taken, span.path, "")


def _wound(what: str, data: bytes, start: int, replacement: bytes, taken: int, path: str, last: str) -> Wound:
    name = ".".join(part for part in (wire_path(path), last) if part)
    return Wound(what, data[:start] + replacement + data[start + taken :], name, start)


def _field_at(message: Message, fields: dict[str, dict[str, Field]], path: str) -> Field | None:
    """The field that a path such as ``Topics[0].Partitions[1].Index`` ends at; None below an unknown tag."""
    owner, item = message.name, None
    for step in path.split("."):
        item = fields[owner].get(step.split("[")[0])
        if item is None:
            return None
        owner = item.element_type
    return item


def wire_path(path: str) -> str:
    """A path as ``ProtocolError`` writes it: ``Topics[0].PartitionIndex`` -> ``topics[0].partition_index``."""
    steps = []
    for step in path.split("."):
        name, bracket, index = step.partition("[")
        steps.append(snake(name) + bracket + index)
    return ".".join(steps)


def mutate(data: bytes, source: random.Random) -> bytes:
    """The bytes after a few random edits: bits flipped, bytes replaced, cut out, doubled or inserted."""
    out = bytearray(data)
    for _ in range(source.choice((1, 1, 2, 4))):
        at = source.randrange(len(out) + 1)
        size = source.choice((1, 1, 2, 5))
        match source.randrange(5):
            case 0 if at < len(out):
                out[at] ^= 1 << source.randrange(8)
            case 1:
                out[at : at + size] = source.choice((b"\xff", b"\x7f", b"\x80", b"\0")) * size
            case 2:
                del out[at : at + size]
            case 3:
                out[at:at] = out[max(0, at - size) : at]
            case _:
                out[at:at] = source.randbytes(size)
    return bytes(out)
