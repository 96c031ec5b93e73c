"""Owns: an interpreter of the message specs, built with construct: parses, builds and dissects any message.

Must never know: codegen's layouts and templates, the generated package. It reads ``codegen.spec`` objects only, so
that a mistake in the generator cannot repeat itself here.

Values are plain: a struct is a ``dict`` keyed by the names of the spec (``{"ThrottleTimeMs": 0}``), an array a
``list``, a uuid 16 ``bytes``. A dict holds exactly the fields that its version has, tagged ones included; tagged
fields that this version does not define stand under ``UNKNOWN_TAGS`` as ``{tag: bytes}``.

    interpreter = Interpreter(read_folder(Path("specs/messages")))
    data = interpreter.build("HeartbeatResponse", 4, {"ThrottleTimeMs": 0, "ErrorCode": 25})
    for span in interpreter.dissect("HeartbeatResponse", 4, data).spans:
        print(span.start, span.end, span.path, span.value)
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from construct import (
    BytesInteger,
    Construct,
    ConstructError,
    ExprAdapter,
    Flag,
    Float64b,
    Int8sb,
    Int16sb,
    Int16ub,
    Int32sb,
    Int32ub,
    Int64sb,
    StreamError,
    stream_read,
    stream_tell,
    stream_write,
)

from codegen.spec import Field, Message

UNKNOWN_TAGS = "_unknown_tags"
"""Key of the tagged fields that a struct carries without its version defining them."""

Value = Any
"""None, bool, int, float, str, bytes, list of values or dict of values."""

_INTEGERS: dict[str, Construct] = {
    "int8": Int8sb,
    "int16": Int16sb,
    "uint16": Int16ub,
    "int32": Int32sb,
    "uint32": Int32ub,
    "int64": Int64sb,
}
_UUID_SIZE = 16
_VARINT_BYTES_MAX = 5


class WireError(ValueError):
    """The bytes are not the message, or the value does not fit it; the text holds the path of the field."""


class SpanKind(Enum):
    """What a run of bytes is."""

    MESSAGE = "message"
    STRUCT = "struct"
    ARRAY = "array"
    FIELD = "field"
    """A primitive, its own length prefix included."""
    COUNT = "count"
    """An array's length prefix."""
    MARKER = "marker"
    """The byte that says whether a nullable struct follows."""
    TAG_COUNT = "tag count"
    TAG = "tag"
    """Number and size that precede one tagged field."""

    @property
    def is_leaf(self) -> bool:
        return self not in (SpanKind.MESSAGE, SpanKind.STRUCT, SpanKind.ARRAY)


@dataclass(frozen=True, slots=True)
class Span:
    """Where one part of a message lies: ``data[start:end]`` is ``path`` and means ``value``."""

    path: str
    start: int
    end: int
    value: Value
    kind: SpanKind


@dataclass(frozen=True, slots=True)
class Dissection:
    """A message taken apart, a whole before its parts. The leaf spans cover every byte once, in order."""

    value: dict[str, Value]
    spans: list[Span]

    @property
    def leaves(self) -> list[Span]:
        return [span for span in self.spans if span.kind.is_leaf]


@dataclass(slots=True)
class _Trace:
    """Collects spans while construct parses; rides in the context parameters."""

    spans: list[Span] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.steps.append(name)
        try:
            yield
        finally:
            self.steps.pop()

    def path(self) -> str:
        return "".join(self.steps).removeprefix(".")


class Interpreter:
    """Reads and writes messages by walking their specs."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = {message.name: message for message in messages}
        self._layouts: dict[tuple[str, int], Construct] = {}

    @property
    def messages(self) -> Mapping[str, Message]:
        return self._messages

    def layout(self, name: str, version: int) -> Construct:
        """The construct of one message at one version; usable on its own with ``parse`` and ``build``."""
        key = (name, version)
        if key not in self._layouts:
            message = self._messages[name]
            if version not in message.valid:
                raise WireError(f"{name} has no version {version}: it has {message.valid}")
            self._layouts[key] = _Planner(message, version).message()
        return self._layouts[key]

    def build(self, name: str, version: int, value: Mapping[str, Value]) -> bytes:
        """The bytes of one message, without its header. Raises: WireError."""
        try:
            return bytes(self.layout(name, version).build(value))
        except ConstructError as error:
            raise WireError(f"{name} v{version}: {error}") from error

    def parse(self, name: str, version: int, data: bytes) -> dict[str, Value]:
        """The value of one message; refuses bytes that are left over. Raises: WireError."""
        return self._read(name, version, data, None)

    def dissect(self, name: str, version: int, data: bytes) -> Dissection:
        """The value and the byte span of every part of it. Raises: WireError."""
        trace = _Trace()
        value = self._read(name, version, data, trace)
        return Dissection(value, trace.spans)

    def _read(self, name: str, version: int, data: bytes, trace: _Trace | None) -> dict[str, Value]:
        stream = io.BytesIO(data)
        try:
            value: dict[str, Value] = self.layout(name, version).parse_stream(stream, trace=trace)
        except (ConstructError, UnicodeDecodeError) as error:
            raise WireError(f"{name} v{version}: {error}") from error
        if stream.tell() != len(data):
            raise WireError(f"{name} v{version}: {len(data) - stream.tell()} bytes left over")
        return value


def defaults(message: Message, version: int, fields: list[Field]) -> dict[str, Value]:
    """One struct of a message, given by its fields, with everything that the version has at its default."""
    return _Planner(message, version).struct_default(fields)


class _Planner:
    """Turns the spec of one message at one version into constructs."""

    def __init__(self, message: Message, version: int) -> None:
        self._message = message
        self._version = version
        self._structs = dict(message.structs())

    def message(self) -> Construct:
        return _Spanned(self._struct(self._message.fields), SpanKind.MESSAGE)

    def present(self, fields: list[Field]) -> list[Field]:
        """The fields that this version has, in wire order, tagged ones last and by tag."""
        here = [item for item in fields if self._version in item.versions]
        plain = [item for item in here if self._version not in item.tagged]
        tagged = [item for item in here if self._version in item.tagged]
        return plain + sorted(tagged, key=lambda item: item.tag or 0)

    def struct_default(self, fields: list[Field]) -> dict[str, Value]:
        return {item.name: self.default(item) for item in self.present(fields)}

    def default(self, item: Field) -> Value:
        """The value of a field that nobody set."""
        text = item.default
        if text == "null":
            return None
        if item.is_array:
            return []
        if item.is_struct:
            return self.struct_default(self._structs[item.type])
        match item.type:
            case "string":
                return text or ""
            case "bytes":
                return b""
            case "records":
                # Records have no empty form of their own: unset means null.
                return None
            case "uuid":
                return bytes(_UUID_SIZE)
            case "bool":
                return text == "true"
            case "float64":
                return float(text or 0)
            case _:
                return int(text or "0", 0)

    def _struct(self, fields: list[Field]) -> Construct:
        here = self.present(fields)
        plain = {item.name: self._field(item) for item in here if self._version not in item.tagged}
        if self._version not in self._message.flexible:
            return _Record(plain, None)
        tagged = {
            item.tag: _Tagged(item.name, self._field(item), self.default(item))
            for item in here
            if self._version in item.tagged and item.tag is not None
        }
        return _Record(plain, tagged)

    def _field(self, item: Field) -> Construct:
        flexible = self._version in (self._message.flexible if item.flexible is None else item.flexible)
        nullable = self._version in item.nullable
        if item.is_array:
            element = self._element(item, flexible)
            count = _Spanned(_COMPACT_LENGTH if flexible else Int32sb, SpanKind.COUNT)
            return _Spanned(_Array(count, element, nullable), SpanKind.ARRAY)
        if item.is_struct:
            body = self._struct(self._structs[item.type])
            return _Spanned(_NullableStruct(body) if nullable else body, SpanKind.STRUCT)
        return _Spanned(_primitive(item.type, flexible, nullable), SpanKind.FIELD)

    def _element(self, item: Field, flexible: bool) -> Construct:
        if item.is_struct:
            return _Spanned(self._struct(self._structs[item.element_type]), SpanKind.STRUCT)
        return _Spanned(_primitive(item.element_type, flexible, nullable=False), SpanKind.FIELD)


def _primitive(type_: str, flexible: bool, nullable: bool) -> Construct:
    match type_:
        case "bool":
            return Flag
        case "float64":
            return Float64b
        case "uuid":
            return _UUID
        case "string":
            length = _COMPACT_LENGTH if flexible else Int16sb
            return _Sized(length, nullable, lambda raw: raw.decode("utf-8"), lambda text: text.encode("utf-8"))
        case "bytes" | "records":
            return _Sized(_COMPACT_LENGTH if flexible else Int32sb, nullable, bytes, bytes)
        case _:
            return _INTEGERS[type_]


class _UnsignedVarint(Construct):  # type: ignore[misc]  # construct ships no types
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


_UVARINT = _UnsignedVarint()
_COMPACT_LENGTH = ExprAdapter(_UVARINT, lambda wire, _: wire - 1, lambda length, _: length + 1)
"""Lengths of compact types are stored plus one, so that zero can mean null."""
_UUID = ExprAdapter(
    BytesInteger(_UUID_SIZE),
    lambda number, _: number.to_bytes(_UUID_SIZE, "big"),
    lambda raw, _: int.from_bytes(raw, "big"),
)


class _Spanned(Construct):  # type: ignore[misc]  # construct ships no types
    """Parses like its inner construct and tells the trace, if there is one, which bytes it took."""

    def __init__(self, inner: Construct, kind: SpanKind) -> None:
        super().__init__()
        self._inner = inner
        self._kind = kind

    def _parse(self, stream: Any, context: Any, path: str) -> Value:
        trace: _Trace | None = context._params.trace
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


class _Sized(Construct):  # type: ignore[misc]  # construct ships no types
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


class _Array(Construct):  # type: ignore[misc]  # construct ships no types
    """A count and that many elements; count -1 is null."""

    def __init__(self, count: Construct, element: Construct, nullable: bool) -> None:
        super().__init__()
        self._count = count
        self._element = element
        self._nullable = nullable

    def _parse(self, stream: Any, context: Any, path: str) -> list[Value] | None:
        trace: _Trace | None = context._params.trace
        count = self._count._parsereport(stream, context, path)
        if _is_null(count, self._nullable, path):
            return None
        items = []
        for index in range(count):
            with _step(trace, f"[{index}]"):
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


class _NullableStruct(Construct):  # type: ignore[misc]  # construct ships no types
    """One signed byte, 1 before a struct and -1 instead of it (KIP-893)."""

    def __init__(self, body: Construct) -> None:
        super().__init__()
        self._marker = _Spanned(Int8sb, SpanKind.MARKER)
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
class _Tagged:
    name: str
    construct: Construct
    default: Value


class _Record(Construct):  # type: ignore[misc]  # construct ships no types
    """Named fields in order and, in flexible versions, the tagged fields that differ from their defaults."""

    def __init__(self, fields: dict[str, Construct], tagged: dict[int, _Tagged] | None) -> None:
        super().__init__()
        self._fields = fields
        self._tagged = tagged
        self._tag_count = _Spanned(_UVARINT, SpanKind.TAG_COUNT)

    def _parse(self, stream: Any, context: Any, path: str) -> dict[str, Value]:
        trace: _Trace | None = context._params.trace
        value: dict[str, Value] = {}
        for name, construct in self._fields.items():
            with _step(trace, f".{name}"):
                value[name] = construct._parsereport(stream, context, f"{path}.{name}")
        if self._tagged is not None:
            self._parse_tags(self._tagged, value, stream, context, path)
        return value

    def _parse_tags(
        self, tagged: dict[int, _Tagged], value: dict[str, Value], stream: Any, context: Any, path: str
    ) -> None:
        trace: _Trace | None = context._params.trace
        for item in tagged.values():
            value[item.name] = item.default
        unknown: dict[int, bytes] = {}
        last = -1
        for _ in range(self._tag_count._parsereport(stream, context, path)):
            start = stream_tell(stream, path)
            tag = _UVARINT._parsereport(stream, context, path)
            size = _UVARINT._parsereport(stream, context, path)
            begin = stream_tell(stream, path)
            if tag <= last:
                raise StreamError(f"tag {tag} follows tag {last}", path=path)
            last = tag
            known = tagged.get(tag)
            name = known.name if known else f"<tag {tag}>"
            with _step(trace, f".{name}"):
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
        self, tagged: dict[int, _Tagged], obj: Mapping[str, Value], stream: Any, context: Any, path: str
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
            _UVARINT._build(tag, stream, context, path)
            _UVARINT._build(len(raw), stream, context, path)
            stream_write(stream, raw, len(raw), path)


@contextmanager
def _step(trace: _Trace | None, name: str) -> Iterator[None]:
    """One step further down the path, where anyone follows."""
    if trace is None:
        yield
    else:
        with trace.step(name):
            yield


def _is_null(length: int, nullable: bool, path: str) -> bool:
    if length >= 0:
        return False
    if length == -1 and nullable:
        return True
    raise StreamError(f"the length is {length}", path=path)


def _refuse_null(nullable: bool, path: str) -> None:
    if not nullable:
        raise StreamError("the field cannot be null", path=path)
