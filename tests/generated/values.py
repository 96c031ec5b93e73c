"""Owns: made-up values for any message at any version, from a seeded random source or from hypothesis.

Must never know: how a value is encoded, any codec.

A value has the shape that ``interpreter`` documents: dicts keyed by spec names, exactly the fields of the version.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum

from hypothesis import strategies as st

from codegen.spec import Field, Message
from tests.generated.interpreter import UNKNOWN_TAGS, Value

_BITS = {"int8": 7, "int16": 15, "int32": 31, "int64": 63}
_UNSIGNED_BITS = {"uint16": 16, "uint32": 32}

_TEXTS = (
    "a",
    "orders.v1",
    "Zażółć gęślą jaźń",
    "日本語のトピック",
    "\N{ELECTRIC LIGHT BULB}\N{ROCKET}",
    'nul\0 tab\t quote" back\\slash',
    "é" * 63,  # 126 bytes: the longest compact string whose length still takes one byte
    "y" * 127,  # the shortest that takes two
    "z" * 300,
)
_BLOBS = (b"\0", b"\xff" * 16, bytes(range(256)), b"k" * 126, b"l" * 127)


class Shape(Enum):
    """How a value is filled in."""

    DEFAULT = "every field at its default, and one element in each array so that inner fields are met too"
    EMPTY = "null where that is allowed, else empty, zero or false"
    FULL = "nothing at its default, several elements, every tagged field present"
    MIXED = "a fair draw of all of these, field by field"


def sample(
    message: Message,
    version: int,
    source: random.Random,
    shape: Shape = Shape.MIXED,
    *,
    unknown_tags: bool = False,
) -> dict[str, Value]:
    """One value of ``message`` at ``version``. The same source state gives the same value."""
    return _Filler(message, version, source, shape, unknown_tags).struct(message.fields, depth=0)


def samples(
    message: Message, version: int, seed: int, *, unknown_tags: bool = False
) -> list[tuple[str, dict[str, Value]]]:
    """A full and a mixed value, and an empty or a default one in turn; each with a text that says how to get it again.

    The seed, the message and the version decide them alone. ``unknown_tags`` adds one more, for those who keep them.
    """
    source = random.Random(f"{seed}:{message.name}:{version}")
    where = f"{message.name} v{version} {{}} (KAFKA_TEST_SEED={seed})"
    shapes = (Shape.FULL, Shape.MIXED, Shape.EMPTY if version % 2 else Shape.DEFAULT)
    drawn = [(where.format(shape.name), sample(message, version, source, shape)) for shape in shapes]
    if unknown_tags and version in message.flexible:
        drawn.append((where.format("unknown tags"), sample(message, version, source, unknown_tags=True)))
    return drawn


def values(message: Message, version: int, *, unknown_tags: bool = False) -> st.SearchStrategy[dict[str, Value]]:
    """A hypothesis strategy for values of one message at one version."""
    return st.randoms(use_true_random=False).map(
        lambda source: sample(message, version, source, unknown_tags=unknown_tags)
    )


class _Filler:
    def __init__(self, message: Message, version: int, source: random.Random, shape: Shape, unknown_tags: bool) -> None:
        self._flexible = version in message.flexible
        self._version = version
        self._structs = dict(message.structs())
        self._source = source
        self._shape = shape
        self._unknown_tags = unknown_tags and self._flexible

    def struct(self, fields: list[Field], depth: int) -> dict[str, Value]:
        value = {item.name: self.field(item, depth) for item in fields if self._version in item.versions}
        if self._unknown_tags and self._source.random() < 0.5:
            # Far above any tag that a schema defines, and one beyond one byte.
            tags = self._source.sample((60, 61, 127, 128, 20_000), k=2)
            value[UNKNOWN_TAGS] = {tag: self._source.choice((b"", *_BLOBS)) for tag in tags}
        return value

    def field(self, item: Field, depth: int) -> Value:
        shape = self._shape if self._shape is not Shape.MIXED else self._source.choice(tuple(Shape)[:3])
        nullable = self._version in item.nullable
        if shape is Shape.EMPTY and nullable:
            return None
        if shape is Shape.DEFAULT and nullable and (item.default == "null" or item.type == "records"):
            return None
        if item.is_array:
            return [self.element(item, depth) for _ in range(self.count(shape, depth))]
        if item.is_struct:
            if shape is Shape.DEFAULT and self._version in item.tagged:
                return self.default_struct(self._structs[item.type])
            return self.struct(self._structs[item.type], depth + 1)
        return self.primitive(item.type, shape, item)

    def count(self, shape: Shape, depth: int) -> int:
        """How many elements an array gets: fewer the deeper it lies, so that a message stays small."""
        match shape:
            case Shape.EMPTY:
                return 0
            case Shape.DEFAULT:
                return 1
            case _:
                return self._source.choice((2, 3)) if depth == 0 else self._source.choice((1, 2))

    def element(self, item: Field, depth: int) -> Value:
        if item.is_struct:
            return self.struct(self._structs[item.element_type], depth + 1)
        return self.primitive(item.element_type, Shape.FULL, item)

    def default_struct(self, fields: list[Field]) -> dict[str, Value]:
        """A struct at its defaults: what a tagged struct that is absent decodes to."""
        value: dict[str, Value] = {}
        for item in fields:
            if self._version not in item.versions:
                continue
            if item.default == "null":
                value[item.name] = None
            elif item.is_array:
                value[item.name] = []
            elif item.is_struct:
                value[item.name] = self.default_struct(self._structs[item.type])
            else:
                value[item.name] = self.primitive(item.type, Shape.DEFAULT, item)
        return value

    def primitive(self, type_: str, shape: Shape, item: Field) -> Value:
        if shape is Shape.EMPTY:
            return _ZERO[type_]
        if shape is Shape.DEFAULT:
            return _default(type_, item.default)
        default = None if item.is_array else _default(type_, item.default)
        while (value := self.interesting(type_)) == default:
            pass
        return value

    def interesting(self, type_: str) -> Value:
        source = self._source
        if type_ in _BITS:
            high = (1 << _BITS[type_]) - 1
            return source.choice((-1, 0, 1, high, -high - 1, source.randint(-high - 1, high)))
        if type_ in _UNSIGNED_BITS:
            high = (1 << _UNSIGNED_BITS[type_]) - 1
            return source.choice((1, high, source.randint(0, high)))
        return _INTERESTING[type_](source)


_ZERO: dict[str, Value] = {
    "bool": False,
    "string": "",
    "bytes": b"",
    "records": b"",
    "uuid": bytes(16),
    "float64": 0.0,
    **dict.fromkeys((*_BITS, *_UNSIGNED_BITS), 0),
}

_INTERESTING: dict[str, Callable[[random.Random], Value]] = {
    "bool": lambda source: source.random() < 0.5,
    "string": lambda source: source.choice(_TEXTS),
    "bytes": lambda source: source.choice(_BLOBS),
    "records": lambda source: source.choice(_BLOBS),
    "uuid": lambda source: source.randbytes(16),
    "float64": lambda source: source.choice((1.5, -0.1, 1e300, 5e-324, source.uniform(-1e6, 1e6))),
}


def _default(type_: str, text: str | None) -> Value:
    """The default of a primitive where null is not an option."""
    if text is None or text == "null":
        return _ZERO[type_]
    match type_:
        case "string":
            return text
        case "bool":
            return text == "true"
        case "float64":
            return float(text)
        case _:
            return int(text, 0)
