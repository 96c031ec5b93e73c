"""Owns: the primitives that generated codecs need, and the error they raise. Must never know: any one message.

Source of truth for this file is ``codegen/runtime/wire.py``; the generator copies it into ``kafka_protocol``, so that
the generated package stands alone.

How a decoder works. It is straight-line code over one buffer and a position. It does not check that bytes are left
before each read: reading a fixed-size run past the end raises ``struct.error``, reading a length raises
``IndexError``, and a slice past the end leaves the position beyond the buffer, which the next read or the final
comparison notices. Whatever goes wrong, ``Codec.decode`` then walks the layout diagram once more, slowly, to name the
field and the byte offset. Counts are compared with the bytes left before anything is built from them, so memory is
bounded by the frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ClassVar, Final, Generic, NamedTuple, NoReturn, TypeAlias, TypeVar

Buffer: TypeAlias = bytes | bytearray
"""What a decoder reads from: one whole frame."""

Chunk: TypeAlias = bytes | bytearray | memoryview
"""What an encoder emits, in order; record bytes stay the caller's own object, of which only the length is asked."""

Uuid: TypeAlias = bytes
"""Sixteen raw bytes; ``ZERO_UUID`` means "none"."""

ZERO_UUID: Final[Uuid] = bytes(16)

M = TypeVar("M", bound="Message")


class ProtocolError(ValueError):
    """The peer's bytes do not follow the schema: close the connection.

    ``message`` and ``version`` name the schema, ``field`` the dotted path with list indexes, ``offset`` the byte in the
    buffer at which that field begins, ``reason`` what is wrong with it.
    """

    def __init__(self, message: str, version: int, field: str, offset: int, reason: str) -> None:
        super().__init__(f"{message} v{version}: {field} at byte {offset}: {reason}")
        self.message = message
        self.version = version
        self.field = field
        self.offset = offset
        self.reason = reason


class EncodeError(ValueError):
    """A message cannot be written in the asked version: a value is out of range, null where null is not allowed, or a
    field that the version lacks is set and must not be dropped. This is a bug of the caller, not of the peer."""


EXPLAINED_FIELDS_MAX: Final = 20_000
"""Fields that the search for a fault looks at: a tenth of a second."""


class Fault(Exception):
    """Raised inside decoders for what ``struct`` and slicing cannot notice; never leaves this package."""


DECODE_FAULTS: Final = (Fault, struct.error, IndexError, UnicodeDecodeError, OverflowError, MemoryError)

# ---- variable-length integers ----------------------------------------------------------------------------------------

BYTE: Final[tuple[bytes, ...]] = tuple(bytes((value,)) for value in range(128))
"""Every uvarint of one byte."""


def read_uvarint(buffer: Buffer, pos: int) -> tuple[int, int]:
    """Reads an unsigned varint of at most 32 bits at ``pos``; returns the value and the position behind it.

    Raises: Fault when it takes more than five bytes, or says more than 32 bits; IndexError when bytes run out.
    """
    value = shift = 0
    while True:
        byte = buffer[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFFFFFF:
                raise Fault("a varint says more than 32 bits")
            return value, pos
        shift += 7
        if shift > 28:
            raise Fault("a varint is longer than five bytes")


def long_length(buffer: Buffer, pos: int) -> tuple[int, int]:
    """Reads a compact length outside 1 to 127: a longer varint, or the null that is not allowed here."""
    value, pos = read_uvarint(buffer, pos)
    if not value:
        raise Fault("null where the schema allows none")
    return value, pos


STRING_SIZE_MAX: Final = 32767
"""Bytes of a string. Compact lengths could say more; Kafka keeps the bound that the old int16 lengths set."""


def string_length(buffer: Buffer, pos: int) -> tuple[int, int]:
    """Like ``long_length`` for a string."""
    value, pos = long_length(buffer, pos)
    if value > STRING_SIZE_MAX + 1:
        raise Fault(f"a string of {value - 1} bytes, {STRING_SIZE_MAX} are allowed")
    return value, pos


def string_size(value: int) -> bytes:
    """The compact length ``value`` of a string, as it is written. Raises: EncodeError when the string is too long."""
    if value > STRING_SIZE_MAX + 1:
        raise EncodeError(f"a string of {value - 1} bytes, {STRING_SIZE_MAX} are allowed")
    return uvarint(value)


def long_count(buffer: Buffer, pos: int, element_size_min: int) -> tuple[int, int]:
    """Like ``long_length`` for an array's count, which the bytes left must be able to hold."""
    value, pos = long_length(buffer, pos)
    check_count(value - 1, (len(buffer) - pos) // element_size_min)
    return value, pos


def uvarint(value: int) -> bytes:
    """Writes an unsigned varint."""
    if value < 128:
        return BYTE[value]
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# ---- arrays of fixed-size elements -----------------------------------------------------------------------------------

_ARRAY_STRUCTS: dict[tuple[str, int], struct.Struct] = {}
_CACHED_COUNT_MAX: Final = 128


def array_struct(code: str, count: int) -> struct.Struct:
    """The precompiled layout of ``count`` big-endian elements of one struct code; small counts are kept."""
    found = _ARRAY_STRUCTS.get((code, count))
    if found is None:
        # An array of "16s" would read 16-byte strings; a repeat count before "s" means a longer string instead.
        found = struct.Struct(">" + (code * count if code == "16s" else f"{count}{code}"))
        if count <= _CACHED_COUNT_MAX:
            _ARRAY_STRUCTS[code, count] = found
    return found


INT32S: Final = tuple(array_struct("i", count).unpack_from for count in range(128))
"""``INT32S[n](buffer, pos)`` reads n int32: the element type of replica and partition lists."""

PACK_INT32S: Final = tuple(array_struct("i", count).pack for count in range(128))
"""``PACK_INT32S[n](*values)`` writes n int32."""

INT16: Final = struct.Struct(">h").pack
INT32: Final = struct.Struct(">i").pack


def int32s(count: int) -> Callable[[Buffer, int], tuple[int, ...]]:
    """``INT32S`` for any count."""
    return array_struct("i", count).unpack_from


def pack_int32s(count: int) -> Callable[..., bytes]:
    """``PACK_INT32S`` for any count."""
    return array_struct("i", count).pack


# ---- tagged fields ---------------------------------------------------------------------------------------------------


def read_unknown_tags(buffer: Buffer, pos: int) -> tuple[dict[int, bytes] | None, int]:
    """Reads a tagged-field section of which no tag is known; returns what it held, to be written back later."""
    count, pos = read_uvarint(buffer, pos)
    if not count:
        return None, pos
    check_count(count, len(buffer) - pos)
    tags: dict[int, bytes] = {}
    last = -1
    for _ in range(count):
        tag, pos = read_uvarint(buffer, pos)
        size, pos = read_uvarint(buffer, pos)
        last = check_tag(tag, last, size, len(buffer) - pos)
        tags[tag] = bytes(buffer[pos : pos + size])
        pos += size
    return tags, pos


def check_count(count: int, room: int) -> None:
    """Refuses a count above the number of elements that the bytes left can hold."""
    if not 0 <= count <= room:
        raise Fault(f"a count of {count} where at most {room} elements fit")


def check_tag(tag: int, last: int, size: int, room: int) -> int:
    """Tags rise strictly, and a tag's size fits the bytes left."""
    if tag <= last:
        raise Fault(f"tag {tag} follows tag {last}")
    if size > room:
        raise Fault(f"tag {tag} claims {size} bytes, {room} are left")
    return tag


def tagged_fields(known: list[tuple[int, list[Chunk]]], unknown: dict[int, bytes] | None) -> bytes:
    """Writes a tagged-field section: known tags with their encoded chunks, merged with unknown ones in tag order.

    Raises: EncodeError when an unknown tag bears the number of a known field.
    """
    entries: list[tuple[int, list[Chunk]]] = list(known)
    for tag, value in (unknown or {}).items():
        if any(tag == taken for taken, _ in known):
            raise EncodeError(f"tag {tag} is a known field and must not stand in unknown_tagged_fields")
        entries.append((tag, [value]))
    entries.sort(key=lambda entry: entry[0])
    out: list[Chunk] = [uvarint(len(entries))]
    for tag, chunks in entries:
        out += [uvarint(tag), uvarint(sum(map(len, chunks))), *chunks]
    return b"".join(out)


# ---- messages and their codecs ---------------------------------------------------------------------------------------


class Versions(NamedTuple):
    """A closed range of versions; empty when ``first > last``."""

    first: int
    last: int

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.first <= version <= self.last


Decode: TypeAlias = Callable[[Buffer, int], tuple[M, int]]
Encode: TypeAlias = Callable[[M, list[Chunk]], None]


class Codec(Generic[M]):
    """The encoders and decoders of one message, one entry per version; versions with equal layout share functions."""

    __slots__ = ("decoders", "diagrams", "encoders", "flexible_from", "name", "versions")

    def __init__(
        self,
        name: str,
        versions: Versions,
        flexible_from: int | None,
        decoders: tuple[Decode[M], ...],
        encoders: tuple[Encode[M], ...],
        diagrams: tuple[str, ...],
    ) -> None:
        self.name = name
        self.versions = versions
        self.flexible_from = flexible_from
        self.decoders = decoders
        self.encoders = encoders
        self.diagrams = diagrams
        """The wire layout of each version as text; see ``explain``."""

    def flexible(self, version: int) -> bool:
        """True when ``version`` uses compact lengths and tagged fields (KIP-482)."""
        return self.flexible_from is not None and version >= self.flexible_from

    def index(self, version: int) -> int:
        """Position of ``version`` in the tables. Raises: ValueError when this package has no such version."""
        if version not in self.versions:
            raise ValueError(f"{self.name} has no version {version}, only {self.versions.first}-{self.versions.last}")
        return version - self.versions.first

    def decode(self, buffer: Buffer, version: int, offset: int = 0) -> M:
        """Reads one message that fills ``buffer`` from ``offset`` to the end.

        Raises: ProtocolError for anything that does not follow the schema, trailing bytes included.
        """
        read = self.decoders[self.index(version)]
        try:
            message, end = read(buffer, offset)
        except DECODE_FAULTS as fault:
            self.explain_fault(buffer, version, offset, fault)
        if end != len(buffer):
            self.refuse_end(buffer, version, offset, end)
        return message

    def decode_prefix(self, buffer: Buffer, version: int, offset: int = 0) -> tuple[M, int]:
        """Reads one message at ``offset`` and returns it with the position behind it; more bytes may follow."""
        read = self.decoders[self.index(version)]
        try:
            message, end = read(buffer, offset)
        except DECODE_FAULTS as fault:
            self.explain_fault(buffer, version, offset, fault)
        if end > len(buffer):
            self.refuse_end(buffer, version, offset, end)
        return message, end

    def chunks(self, message: M, version: int) -> list[Chunk]:
        """Writes ``message`` as a list of pieces; record bytes and other views are passed on, not copied.

        Raises: EncodeError when the message cannot be written in ``version``.
        """
        write = self.encoders[self.index(version)]
        out: list[Chunk] = []
        try:
            write(message, out)
        except (struct.error, AttributeError, TypeError, UnicodeEncodeError, OverflowError) as error:
            raise EncodeError(f"{self.name} v{version}: {error}") from error
        except EncodeError as error:
            raise EncodeError(f"{self.name} v{version}: {error}") from None
        return out

    def refuse_end(self, buffer: Buffer, version: int, offset: int, end: int) -> NoReturn:
        """Raises the ProtocolError for a message that ends at ``end`` and not where its buffer does."""
        if end < len(buffer):
            raise ProtocolError(self.name, version, "(end)", end, f"{len(buffer) - end} bytes follow the last field")
        self.explain_fault(buffer, version, offset, Fault("the buffer ends too early"))

    def explain_fault(self, buffer: Buffer, version: int, offset: int, fault: BaseException) -> NoReturn:
        """Finds the field and the byte at which decoding goes wrong and raises the ProtocolError that says so.

        The walk is slow, so it ends after ``EXPLAINED_FIELDS_MAX`` fields: a peer must not buy seconds of it with one
        broken byte behind a million good ones. The error then names the last field that was looked at.
        """
        last = Span("", offset, offset, None)
        try:
            for span in islice(explain(self.diagrams[self.index(version)], buffer, offset), EXPLAINED_FIELDS_MAX):
                last = span
        except ProtocolFault as found:
            raise ProtocolError(self.name, version, found.field, found.offset, found.reason) from None
        raise ProtocolError(self.name, version, last.path or "(start)", last.start, str(fault)) from None


class Message:
    """Base of every generated message; structs inside messages do not have it."""

    __slots__ = ()

    message_name: ClassVar[str]
    """Name in Kafka's schemas, for example ``FetchRequest``."""
    api_key: ClassVar[int]
    """Number of the API, or -1 for a message that is no request or response."""
    min_version: ClassVar[int]
    max_version: ClassVar[int]
    codec: ClassVar[Codec[Any]]

    @classmethod
    def decode(cls: type[M], buffer: Buffer, version: int, offset: int = 0) -> M:
        """Reads one message that fills ``buffer`` from ``offset`` to its end. Raises: ProtocolError."""
        message: M = cls.codec.decode(buffer, version, offset)
        return message

    def encode(self, version: int) -> bytes:
        """Writes this message in ``version`` as one ``bytes``. Raises: EncodeError."""
        return b"".join(self.codec.chunks(self, version))

    def chunks(self, version: int) -> list[Chunk]:
        """Writes this message in ``version`` as pieces whose concatenation is the encoding. Raises: EncodeError."""
        return self.codec.chunks(self, version)


# ---- the slow walk: where does each field lie? -----------------------------------------------------------------------


class Span(NamedTuple):
    """Bytes ``start`` to ``end`` (excluded) of a buffer hold the field ``path``, whose value is ``value``."""

    path: str
    start: int
    end: int
    value: object


class ProtocolFault(Exception):
    """What ``explain`` found to be wrong, and where."""

    def __init__(self, field: str, offset: int, reason: str) -> None:
        super().__init__(f"{field} at byte {offset}: {reason}")
        self.field = field
        self.offset = offset
        self.reason = reason


class _Line(NamedTuple):
    """One line of a diagram with the lines below it."""

    words: tuple[str, ...]
    members: tuple[_Line, ...]


_FIXED: Final = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "float64": "d",
    "uuid": "16s",
}


def explain(diagram: str, buffer: Buffer, offset: int = 0) -> Iterator[Span]:
    """Walks ``buffer`` along a layout diagram and yields the span of every field, lengths and counts included.

    Raises: ProtocolFault at the first field that does not fit.
    """
    return (yield from _Walk(buffer, offset).struct(_parse(diagram), ""))


def _parse(diagram: str) -> tuple[_Line, ...]:
    lines = [(len(line) - len(line.lstrip()), tuple(line.split())) for line in diagram.splitlines() if line.strip()]

    def block(start: int, indent: int) -> tuple[tuple[_Line, ...], int]:
        found: list[_Line] = []
        while start < len(lines) and lines[start][0] == indent:
            words = lines[start][1]
            start += 1
            members: tuple[_Line, ...] = ()
            if start < len(lines) and lines[start][0] > indent:
                members, start = block(start, lines[start][0])
            found.append(_Line(words, members))
        return tuple(found), start

    return block(0, 0)[0]


class _Walk:
    """Position in a buffer; every method moves it and yields spans."""

    def __init__(self, buffer: Buffer, pos: int) -> None:
        self.buffer = buffer
        self.pos = pos

    def struct(self, lines: tuple[_Line, ...], prefix: str) -> Iterator[Span]:
        for line in lines:
            if line.words == ("tags",):
                yield from self.tags(line.members, prefix)
            else:
                yield from self.field(line.words[0], line.words[1:], line.members, prefix)

    def field(self, name: str, kind: tuple[str, ...], members: tuple[_Line, ...], prefix: str) -> Iterator[Span]:
        path = prefix + name
        nullable = kind[0].endswith("?")
        compact = kind[0].startswith("compact_")
        plain = kind[0].removeprefix("compact_").removesuffix("?")
        if plain in _FIXED:
            yield self.fixed(path, plain)
        elif plain == "struct":
            yield from self.nested(path, nullable, members)
        elif plain == "array":
            yield from self.array(path, compact, nullable, kind[1:], members)
        else:
            yield self.blob(path, plain, compact, nullable)

    def fixed(self, path: str, kind: str) -> Span:
        start = self.pos
        self.take(path, start, struct.calcsize(">" + _FIXED[kind]))
        return Span(path, start, self.pos, struct.unpack_from(">" + _FIXED[kind], self.buffer, start)[0])

    def nested(self, path: str, nullable: bool, members: tuple[_Line, ...]) -> Iterator[Span]:
        if nullable:
            present = self.fixed(path + "?", "int8")
            yield present
            if present.value == -1:
                return
            if present.value != 1:
                raise ProtocolFault(path, present.start, f"presence byte {present.value} is neither -1 nor 1")
        yield from self.struct(members, path + ".")

    def array(
        self, path: str, compact: bool, nullable: bool, element: tuple[str, ...], members: tuple[_Line, ...]
    ) -> Iterator[Span]:
        start = self.pos
        count = self.length(path, 4, compact, nullable)
        yield Span(path + "[]", start, self.pos, count)
        if count is None:
            return
        if count > len(self.buffer) - self.pos:
            room = len(self.buffer) - self.pos
            raise ProtocolFault(path, start, f"a count of {count} does not fit the {room} bytes left")
        for index in range(count):
            if members:
                yield from self.struct(members, f"{path}[{index}].")
            else:
                yield from self.field(f"{path}[{index}]", element, (), "")

    def blob(self, path: str, plain: str, compact: bool, nullable: bool) -> Span:
        start = self.pos
        size = self.length(path, 2 if plain == "string" else 4, compact, nullable)
        if size is None:
            return Span(path, start, self.pos, None)
        if plain == "string" and size > STRING_SIZE_MAX:
            raise ProtocolFault(path, start, f"a string of {size} bytes, {STRING_SIZE_MAX} are allowed")
        value = self.take(path, start, size)
        if plain != "string":
            return Span(path, start, self.pos, value)
        try:
            return Span(path, start, self.pos, value.decode())
        except UnicodeDecodeError as error:
            raise ProtocolFault(path, start, f"invalid UTF-8: {error.reason} at its byte {error.start}") from None

    def tags(self, known: tuple[_Line, ...], prefix: str) -> Iterator[Span]:
        start = self.pos
        path = prefix + "tags"
        count = self.uvarint(path)
        yield Span(path, start, self.pos, count)
        room = len(self.buffer) - self.pos
        if count > room // 2:
            raise ProtocolFault(path, start, f"a count of {count} tags does not fit the {room} bytes left")
        by_tag = {int(line.words[0]): line for line in known}
        last = -1
        for _ in range(count):
            start = self.pos
            tag = self.uvarint(path)
            size = self.uvarint(f"{path}[{tag}]")
            end = self.pos + size
            if tag <= last:
                raise ProtocolFault(f"{path}[{tag}]", start, f"tag {tag} follows tag {last}")
            if end > len(self.buffer):
                room = len(self.buffer) - self.pos
                raise ProtocolFault(f"{path}[{tag}]", start, f"claims {size} bytes, {room} are left")
            last = tag
            yield Span(f"{path}[{tag}]", start, self.pos, size)
            if tag in by_tag:
                line = by_tag[tag]
                yield from self.field(line.words[1], line.words[2:], line.members, prefix)
                if self.pos != end:
                    reason = f"the tag's size {size} is not what its value takes"
                    raise ProtocolFault(prefix + line.words[1], start, reason)
            else:
                yield Span(f"{path}[{tag}].value", self.pos, end, self.take(path, self.pos, size))

    def length(self, path: str, width: int, compact: bool, nullable: bool) -> int | None:
        start = self.pos
        value = self.uvarint(path) - 1 if compact else int.from_bytes(self.take(path, start, width), "big", signed=True)
        if value >= 0:
            return value
        if value == -1 and nullable:
            return None
        raise ProtocolFault(path, start, "null where the schema allows none" if value == -1 else f"length {value}")

    def uvarint(self, path: str) -> int:
        start = self.pos
        try:
            value, self.pos = read_uvarint(self.buffer, start)
        except IndexError:
            raise ProtocolFault(path, start, "the buffer ends inside a varint") from None
        except Fault as fault:
            raise ProtocolFault(path, start, str(fault)) from None
        return value

    def take(self, path: str, start: int, size: int) -> Buffer:
        end = self.pos + size
        if end > len(self.buffer):
            raise ProtocolFault(path, start, f"needs {size} bytes, {len(self.buffer) - self.pos} are left")
        value = self.buffer[self.pos : end]
        self.pos = end
        return value
