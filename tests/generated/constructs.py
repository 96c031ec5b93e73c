"""Owns: Kafka's wire types as constructs - varints, sized and counted values, nullable structs, tagged fields.

Must never know: schemas. The interpreter puts these together.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from construct import (
    BytesInteger,
    Construct,
    ExprAdapter,
    Int8sb,
    StreamError,
    stream_read,
    stream_tell,
    stream_write,
)

from tests.generated.spans import Span, SpanKind, Trace, Value, step

UNKNOWN_TAGS = "_unknown_tags"
"""Key of the tagged fields that a struct carries without its version defining them."""

UUID_SIZE = 16
_VARINT_BYTES_MAX = 5


class UnsignedVarint(Construct):  # type: ignore[misc]  # construct ships no types
    """Seven bits per byte, least significant group first; at most five bytes, because it carries 32 bits.

    construct's own VarInt has no upper bound.
    """

    def _parse(self, stream: Any, context: Any, path: str) -> int:
        value = 0
        for index in range(_VARINT_BYTES_MAX):
            byte: int = stream_read(stream, 1, path)[0]
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if value >> 32:
                    raise StreamError("a varint says more than 32 bits", path=path)
                return value
        raise StreamError(f"a varint is longer than {_VARINT_BYTES_MAX} bytes", path=path)

    def _build(self, obj: int, stream: Any, context: Any, path: str) -> int:
        left = obj
        while left >= 0x80:
            stream_write(stream, bytes([left & 0x7F | 0x80]), 1, path)
            left >>= 7
        stream_write(stream, bytes([left]), 1, path)
        return obj


UVARINT = UnsignedVarint()
COMPACT_LENGTH = ExprAdapter(UVARINT, lambda wire, _: wire - 1, lambda length, _: length + 1)
"""Lengths of compact types are stored plus one, so that zero can mean null."""
UUID = ExprAdapter(
    BytesInteger(UUID_SIZE),
    lambda number, _: number.to_bytes(UUID_SIZE, "big"),
    lambda raw, _: int.from_bytes(raw, "big"),
)


class Spanned(Construct):  # type: ignore[misc]  # construct ships no types
    """Parses like its inner construct and tells the trace, if there is one, which bytes it took."""

    def __init__(self, inner: Construct, kind: SpanKind) -> None:
        super().__init__()
        self._inner = inner
        self._kind = kind

    def _parse(self, stream: Any, context: Any, path: str) -> Value:
        trace: Trace | None = context._params.get("trace")
        if trace is None:
            return self._inner._parsereport(stream, context, path)
        start = stream_tell(stream, path)
        # Its place is taken before its parts are parsed: a whole stands before its parts.
        place = len(trace.spans)
        trace.spans.append(Span(trace.path(), start, start, None, self._kind))
        value = self._inner._parsereport(stream, context, path)
        trace.spans[place] = Span(trace.path(), start, stream_tell(stream, path), value, self._kind)
        return value

    def _build(self, obj: Value, stream: Any, context: Any, path: str) -> Value:
        return self._inner._build(obj, stream, context, path)


class Sized(Construct):  # type: ignore[misc]  # construct ships no types
    """A length and that many bytes; length -1 is null."""

    def __init__(
        self, length: Construct, nullable: bool, decode: Callable[[bytes], Value], encode: Callable[[Value], bytes]
    ) -> None:
        super().__init__()
        self._length = length
        self._nullable = nullable
        self._decode = decode
        self._encode = encode

    def _parse(self, stream: Any, context: Any, path: str) -> Value:
        length = self._length._parsereport(stream, context, path)
        if _is_null(length, self._nullable, path):
            return None
        return self._decode(stream_read(stream, length, path))

    def _build(self, obj: Value, stream: Any, context: Any, path: str) -> Value:
        if obj is None:
            _refuse_null(self._nullable, path)
            self._length._build(-1, stream, context, path)
            return obj
        raw = self._encode(obj)
        self._length._build(len(raw), stream, context, path)
        stream_write(stream, raw, len(raw), path)
        return obj


class Array(Construct):  # type: ignore[misc]  # construct ships no types
    """A count and that many elements; count -1 is null."""

    def __init__(self, count: Construct, element: Construct, nullable: bool) -> None:
        super().__init__()
        self._count = count
        self._element = element
        self._nullable = nullable

    def _parse(self, stream: Any, context: Any, path: str) -> list[Value] | None:
        trace: Trace | None = context._params.get("trace")
        count = self._count._parsereport(stream, context, path)
        if _is_null(count, self._nullable, path):
            return None
        items = []
        for index in range(count):
            with step(trace, f"[{index}]"):
                items.append(self._element._parsereport(stream, context, f"{path}[{index}]"))
        return items

    def _build(self, obj: list[Value] | None, stream: Any, context: Any, path: str) -> Value:
        if obj is None:
            _refuse_null(self._nullable, path)
            self._count._build(-1, stream, context, path)
            return obj
        self._count._build(len(obj), stream, context, path)
        for index, item in enumerate(obj):
            self._element._build(item, stream, context, f"{path}[{index}]")
        return obj


class NullableStruct(Construct):  # type: ignore[misc]  # construct ships no types
    """One signed byte, 1 before a struct and -1 instead of it (KIP-893)."""

    def __init__(self, body: Construct) -> None:
        super().__init__()
        self._marker = Spanned(Int8sb, SpanKind.MARKER)
        self._body = body

    def _parse(self, stream: Any, context: Any, path: str) -> Value:
        marker = self._marker._parsereport(stream, context, path)
        if marker == -1:
            return None
        if marker != 1:
            raise StreamError(f"the byte before a nullable struct is {marker}", path=path)
        return self._body._parsereport(stream, context, path)

    def _build(self, obj: Value, stream: Any, context: Any, path: str) -> Value:
        self._marker._build(-1 if obj is None else 1, stream, context, path)
        if obj is not None:
            self._body._build(obj, stream, context, path)
        return obj


@dataclass(frozen=True, slots=True)
class Tagged:
    name: str
    construct: Construct
    default: Value


class Record(Construct):  # type: ignore[misc]  # construct ships no types
    """Named fields in order and, in flexible versions, the tagged fields that differ from their defaults."""

    def __init__(self, fields: dict[str, Construct], tagged: dict[int, Tagged] | None) -> None:
        super().__init__()
        self._fields = fields
        self._tagged = tagged
        self._tag_count = Spanned(UVARINT, SpanKind.TAG_COUNT)

    def _parse(self, stream: Any, context: Any, path: str) -> dict[str, Value]:
        trace: Trace | None = context._params.get("trace")
        value: dict[str, Value] = {}
        for name, construct in self._fields.items():
            with step(trace, f".{name}"):
                value[name] = construct._parsereport(stream, context, f"{path}.{name}")
        if self._tagged is not None:
            self._parse_tags(self._tagged, value, stream, context, path)
        return value

    def _parse_tags(
        self, tagged: dict[int, Tagged], value: dict[str, Value], stream: Any, context: Any, path: str
    ) -> None:
        trace: Trace | None = context._params.get("trace")
        for item in tagged.values():
            value[item.name] = item.default
        unknown: dict[int, bytes] = {}
        last = -1
        for _ in range(self._tag_count._parsereport(stream, context, path)):
            start = stream_tell(stream, path)
            tag = UVARINT._parsereport(stream, context, path)
            size = UVARINT._parsereport(stream, context, path)
            begin = stream_tell(stream, path)
            if tag <= last:
                raise StreamError(f"tag {tag} follows tag {last}", path=path)
            last = tag
            known = tagged.get(tag)
            name = known.name if known else f"<tag {tag}>"
            with step(trace, f".{name}"):
                if trace is not None:
                    trace.spans.append(Span(trace.path(), start, begin, (tag, size), SpanKind.TAG))
                if known is not None:
                    value[known.name] = known.construct._parsereport(stream, context, f"{path}.{name}")
                    taken = stream_tell(stream, path) - begin
                    if taken != size:
                        raise StreamError(f"tag {tag} claims {size} bytes and has {taken}", path=path)
                    continue
                unknown[tag] = stream_read(stream, size, path)
                if trace is not None:
                    trace.spans.append(Span(trace.path(), begin, begin + size, unknown[tag], SpanKind.FIELD))
        if unknown:
            value[UNKNOWN_TAGS] = unknown

    def _build(self, obj: Mapping[str, Value], stream: Any, context: Any, path: str) -> Value:
        for name, construct in self._fields.items():
            if name not in obj:
                raise StreamError("the field is missing", path=f"{path}.{name}")
            construct._build(obj[name], stream, context, f"{path}.{name}")
        if self._tagged is not None:
            self._build_tags(self._tagged, obj, stream, context, path)
        return obj

    def _build_tags(
        self, tagged: dict[int, Tagged], obj: Mapping[str, Value], stream: Any, context: Any, path: str
    ) -> None:
        parts = dict(obj.get(UNKNOWN_TAGS, {}))
        for tag, item in tagged.items():
            present = obj.get(item.name, item.default)
            if present != item.default:
                inner = io.BytesIO()
                item.construct._build(present, inner, context, f"{path}.{item.name}")
                parts[tag] = inner.getvalue()
        self._tag_count._build(len(parts), stream, context, path)
        for tag, raw in sorted(parts.items()):
            UVARINT._build(tag, stream, context, path)
            UVARINT._build(len(raw), stream, context, path)
            stream_write(stream, raw, len(raw), path)


def _is_null(length: int, nullable: bool, path: str) -> bool:
    if length >= 0:
        return False
    if length == -1 and nullable:
        return True
    raise StreamError(f"the length is {length}", path=path)


def _refuse_null(nullable: bool, path: str) -> None:
    if not nullable:
        raise StreamError("the field cannot be null", path=path)
