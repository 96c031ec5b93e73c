"""Owns: how a message is shown to a reader - its fields in schema order, then its bytes with the meaning of each.

Must never know: how a message is decoded; it is handed spans.
"""

from __future__ import annotations

from collections.abc import Iterator

from codegen.spec import Field, Message
from tests.generated.interpreter import UNKNOWN_TAGS, Dissection, Span, SpanKind, Value

_PER_ROW = 16
_HEX_WIDTH = 3 * _PER_ROW - 1
_SHOWN_BYTES_MAX = 24


def annotate(message: Message, version: int, data: bytes, dissection: Dissection) -> str:
    """The whole text about one message in one version."""
    title = f"{message.name} v{version}, {len(data)} bytes"
    fields = _fields(message, version, message.fields, dissection.value, 0)
    rows = [row for span in dissection.leaves for row in _rows(data, span)]
    return "\n".join([title, "", *fields, "", *rows, ""])


def _fields(message: Message, version: int, fields: list[Field], value: Value, depth: int) -> Iterator[str]:
    """One line a field; members of structs stand two columns further in, each element begins with a dash."""
    structs = dict(message.structs())
    pad = "  " * depth
    for item in fields:
        if version not in item.versions:
            continue
        part = value[item.name]
        tag = f" (tag {item.tag})" if version in item.tagged else ""
        head = f"{pad}{item.name}{tag}:"
        if not item.is_struct or not part:
            yield f"{head} {_shown(part)}"
            continue
        yield head
        body = structs[item.element_type]
        for one in part if item.is_array else [part]:
            lines = list(_fields(message, version, body, one, depth + 2 if item.is_array else depth + 1))
            if item.is_array:
                lines[0] = f"{pad}  - {lines[0].lstrip()}"
            yield from lines
    for tag_number, raw in value.get(UNKNOWN_TAGS, {}).items():
        yield f"{pad}<tag {tag_number}>: {_shown(raw)}"


def _rows(data: bytes, span: Span) -> Iterator[str]:
    for start in range(span.start, max(span.end, span.start + 1), _PER_ROW):
        raw = data[start : min(span.end, start + _PER_ROW)]
        meaning = _meaning(span) if start == span.start else ""
        yield f"{start:04x}  {raw.hex(' '):{_HEX_WIDTH}}  {meaning}".rstrip()


def _meaning(span: Span) -> str:
    path = f"{span.path} " if span.path else ""
    match span.kind:
        case SpanKind.COUNT:
            return f"{path}count {'null' if span.value == -1 else span.value}"
        case SpanKind.MARKER:
            return f"{path}{'null' if span.value == -1 else 'present'}"
        case SpanKind.TAG_COUNT:
            return f"{path}tagged fields: {span.value}"
        case SpanKind.TAG:
            return f"{path}tag {span.value[0]}, size {span.value[1]}"
        case _:
            return f"{path}= {_shown(span.value)}"


def _shown(value: Value) -> str:
    if isinstance(value, bytes):
        more = f" ... ({len(value)} bytes)" if len(value) > _SHOWN_BYTES_MAX else ""
        return f"<{value[:_SHOWN_BYTES_MAX].hex()}>{more}"
    if isinstance(value, list):
        return "[" + ", ".join(_shown(one) for one in value) + "]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
