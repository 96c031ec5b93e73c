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
from collections.abc import Iterable, Mapping

from construct import (
    Construct,
    ConstructError,
    Flag,
    Float64b,
    Int8sb,
    Int16sb,
    Int16ub,
    Int32sb,
    Int32ub,
    Int64sb,
    StringError,
)

from codegen.spec import Field, Message
from tests.generated.constructs import (
    COMPACT_LENGTH,
    UNKNOWN_TAGS,
    UUID,
    UUID_SIZE,
    Array,
    NullableStruct,
    Record,
    Sized,
    Spanned,
    Tagged,
)
from tests.generated.spans import Dissection, Span, SpanKind, Trace, Value

__all__ = ["UNKNOWN_TAGS", "Dissection", "Interpreter", "Span", "SpanKind", "Value", "WireError", "defaults"]

_INTEGERS: dict[str, Construct] = {
    "int8": Int8sb,
    "int16": Int16sb,
    "uint16": Int16ub,
    "int32": Int32sb,
    "uint32": Int32ub,
    "int64": Int64sb,
}

_STRING_BYTES_MAX = 32_767
"""Kafka keeps to it in compact strings too, whose length could say more."""


class WireError(ValueError):
    """The bytes are not the message, or the value does not fit it; the text holds the path of the field."""


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
        trace = Trace()
        value = self._read(name, version, data, trace)
        return Dissection(value, trace.spans)

    def _read(self, name: str, version: int, data: bytes, trace: Trace | None) -> dict[str, Value]:
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
        return Spanned(self._struct(self._message.fields), SpanKind.MESSAGE)

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
                return bytes(UUID_SIZE)
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
            return Record(plain, None)
        tagged = {
            item.tag: Tagged(item.name, self._field(item), self.default(item))
            for item in here
            if self._version in item.tagged and item.tag is not None
        }
        return Record(plain, tagged)

    def _field(self, item: Field) -> Construct:
        flexible = self._version in (self._message.flexible if item.flexible is None else item.flexible)
        nullable = self._version in item.nullable
        if item.is_array:
            element = self._element(item, flexible)
            count = Spanned(COMPACT_LENGTH if flexible else Int32sb, SpanKind.COUNT)
            return Spanned(Array(count, element, nullable), SpanKind.ARRAY)
        if item.is_struct:
            body = self._struct(self._structs[item.type])
            return Spanned(NullableStruct(body) if nullable else body, SpanKind.STRUCT)
        return Spanned(_primitive(item.type, flexible, nullable), SpanKind.FIELD)

    def _element(self, item: Field, flexible: bool) -> Construct:
        if item.is_struct:
            return Spanned(self._struct(self._structs[item.element_type]), SpanKind.STRUCT)
        return Spanned(_primitive(item.element_type, flexible, nullable=False), SpanKind.FIELD)


def _primitive(type_: str, flexible: bool, nullable: bool) -> Construct:
    match type_:
        case "bool":
            return Flag
        case "float64":
            return Float64b
        case "uuid":
            return UUID
        case "string":
            length = COMPACT_LENGTH if flexible else Int16sb
            return Sized(length, nullable, _text, _raw)
        case "bytes" | "records":
            return Sized(COMPACT_LENGTH if flexible else Int32sb, nullable, bytes, bytes)
        case _:
            return _INTEGERS[type_]


def _text(raw: bytes) -> str:
    if len(raw) > _STRING_BYTES_MAX:
        raise StringError(f"a string of {len(raw)} bytes")
    return raw.decode("utf-8")


def _raw(text: str) -> bytes:
    raw = text.encode("utf-8")
    if len(raw) > _STRING_BYTES_MAX:
        raise StringError(f"a string of {len(raw)} bytes")
    return raw
