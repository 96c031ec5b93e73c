"""Owns: the plan of one message in one version - an op list that says what lies on the wire, in wire order.

Must never know: Python, jinja2, files. Any language could be rendered from these ops.

Terms. A *run* is a stretch of adjacent fixed-size fields, read in one go. A *layout* is the op list of one version of
one struct; versions with equal layouts share one decoder and one encoder. ``absent`` lists the fields that the struct
has in some version but not in this one: a decoder gives them their default, an encoder refuses a value that would be
lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from codegen.nodes import SpecError
from codegen.spec import Field, Message
from codegen.versions import NONE, Versions

FIXED_SIZES = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "float64": 8,
    "uuid": 16,
}
"""Bytes of each type whose size does not depend on its value."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """One field of a run."""

    field: str
    type: str


@dataclass(frozen=True, slots=True)
class Run:
    """Adjacent fixed-size fields, big-endian, without padding."""

    kind: ClassVar[str] = "run"
    fields: tuple[Fixed, ...]

    @property
    def size(self) -> int:
        return sum(FIXED_SIZES[item.type] for item in self.fields)


@dataclass(frozen=True, slots=True)
class Blob:
    """A length and that many bytes: string, bytes or records. ``zero_copy`` asks for a view instead of a copy."""

    kind: ClassVar[str] = "blob"
    field: str
    type: str
    compact: bool
    nullable: bool
    zero_copy: bool


@dataclass(frozen=True, slots=True)
class Array:
    """A count and that many elements: a fixed-size primitive, a string, or a struct."""

    kind: ClassVar[str] = "array"
    field: str
    element: str
    """Primitive type, or the struct's name."""
    struct: Layout | None
    compact: bool
    nullable: bool

    @property
    def fixed_size(self) -> int:
        """Bytes of one element when all are equally long, else 0."""
        return FIXED_SIZES.get(self.element, 0)

    @property
    def element_size_min(self) -> int:
        """The fewest bytes that one element can take."""
        if self.struct is not None:
            return max(1, self.struct.size_min)
        return self.fixed_size or (1 if self.compact else 2)


@dataclass(frozen=True, slots=True)
class Nested:
    """A struct in place; a nullable one is preceded by an int8: -1 for null, 1 for present."""

    kind: ClassVar[str] = "nested"
    field: str
    struct: Layout
    nullable: bool


@dataclass(frozen=True, slots=True)
class Tagged:
    """A known tagged field: ``tag`` uvarint, ``size`` uvarint, then what ``op`` describes. Left out at its default."""

    tag: int
    op: Op

    @property
    def field(self) -> str:
        return self.op.fields[0].field if isinstance(self.op, Run) else self.op.field


Op = Run | Blob | Array | Nested


@dataclass(frozen=True, slots=True)
class Layout:
    """One struct in one version."""

    struct: str
    ops: tuple[Op, ...]
    flexible: bool
    """True when the struct ends with a tagged-field section."""
    tags: tuple[Tagged, ...]
    absent: tuple[str, ...]

    @property
    def size_min(self) -> int:
        """The fewest bytes that the struct can take; bounds how many elements the bytes left can hold."""
        return sum(_op_size_min(op) for op in self.ops) + self.flexible


def _op_size_min(op: Op) -> int:
    match op:
        case Run():
            return op.size
        case Blob():
            return 1 if op.compact else 2 if op.type == "string" else 4
        case Array():
            return 1 if op.compact else 4
        case Nested():
            return 1 if op.nullable else op.struct.size_min


def plan(message: Message, version: int) -> Layout:
    """The layout of ``message`` in ``version``.

    Raises: SpecError when the schema cannot be laid out (a tagged field in a version that is not flexible, a tag used
    twice).
    """
    if version not in message.valid:
        raise SpecError(f"{message.source}:{message.line}: {message.name} has no version {version}")
    return _Planner(message, version).struct(message.name, message.fields)


@dataclass(frozen=True, slots=True)
class _Planner:
    message: Message
    version: int

    def struct(self, name: str, fields: list[Field]) -> Layout:
        flexible = self.version in self.message.flexible
        ops: list[Op] = []
        run: list[Fixed] = []
        tags: list[Tagged] = []
        absent: list[str] = []
        for item in fields:
            if self.version not in item.versions:
                absent.append(item.name)
            elif self.version in item.tagged:
                tags.append(self.tagged(item, flexible))
            elif item.type in FIXED_SIZES:
                run.append(Fixed(item.name, item.type))
            else:
                if run:
                    ops.append(Run(tuple(run)))
                    run = []
                ops.append(self.op(item))
        if run:
            ops.append(Run(tuple(run)))
        tags.sort(key=lambda tagged: tagged.tag)
        self.check_tags(name, tags)
        return Layout(name, tuple(ops), flexible, tuple(tags), tuple(absent))

    def op(self, item: Field) -> Op:
        flexible_versions: Versions = self.message.flexible if item.flexible is None else item.flexible
        compact = self.version in flexible_versions
        nullable = self.version in item.nullable
        if item.type in FIXED_SIZES:
            return Run((Fixed(item.name, item.type),))
        if item.is_array:
            struct = self.inner(item) if item.is_struct else None
            return Array(item.name, item.element_type, struct, compact, nullable)
        if item.is_struct:
            return Nested(item.name, self.inner(item), nullable)
        return Blob(item.name, item.type, compact, nullable, item.zero_copy or item.type == "records")

    def inner(self, item: Field) -> Layout:
        return self.struct(item.element_type, item.fields or self.message.fields_of(item.element_type))

    def tagged(self, item: Field, flexible: bool) -> Tagged:
        if not flexible or item.tag is None:
            raise SpecError(
                f"{self.message.source}:{item.line}: {item.name} is tagged in v{self.version}, "
                f"but {self.message.name} is flexible only in {self.message.flexible}"
            )
        return Tagged(item.tag, self.op(item))

    def check_tags(self, name: str, tags: list[Tagged]) -> None:
        numbers = [tagged.tag for tagged in tags]
        if len(set(numbers)) != len(numbers):
            raise SpecError(f"{self.message.source}:{self.message.line}: {name} uses a tag twice: {numbers}")


def distinct(message: Message) -> list[tuple[list[int], Layout]]:
    """The layouts of a message in version order, each with the versions that share it."""
    groups: list[tuple[list[int], Layout]] = []
    for version in message.valid if message.valid else NONE:
        layout = plan(message, version)
        for versions, known in groups:
            if known == layout:
                versions.append(version)
                break
        else:
            groups.append(([version], layout))
    return groups


def diagram(layout: Layout) -> str:
    """The layout as indented text, one field a line: what a reader sees, and what locates a decoding error.

    ``name type``, a ``?`` behind a nullable type, ``compact_`` where lengths are uvarints; members of a struct or array
    stand two columns further in; ``tags`` ends a flexible struct, its known tags below it as ``<tag> name type``.
    """
    return "\n".join(_lines(layout, 0))


def _lines(layout: Layout, indent: int) -> list[str]:
    lines = [line for op in layout.ops for line in _op_lines(op, " " * indent, indent)]
    if layout.flexible:
        lines.append(" " * indent + "tags")
        for tagged in layout.tags:
            lines += _op_lines(tagged.op, " " * (indent + 2) + f"{tagged.tag} ", indent + 2)
    return lines


def _op_lines(op: Op, head: str, indent: int) -> list[str]:
    null = "?" if not isinstance(op, Run) and op.nullable else ""
    match op:
        case Run():
            return [f"{head}{snake(item.field)} {item.type}" for item in op.fields]
        case Blob():
            return [f"{head}{snake(op.field)} {'compact_' if op.compact else ''}{op.type}{null}"]
        case Array():
            prefix = "compact_" if op.compact else ""
            if op.struct is None:
                element = prefix + op.element if op.element == "string" else op.element
                return [f"{head}{snake(op.field)} {prefix}array{null} {element}"]
            return [f"{head}{snake(op.field)} {prefix}array{null}", *_lines(op.struct, indent + 2)]
        case Nested():
            return [f"{head}{snake(op.field)} struct{null}", *_lines(op.struct, indent + 2)]


def snake(name: str) -> str:
    """``ForgottenTopicsData`` becomes ``forgotten_topics_data``; ``ISRNodes`` becomes ``isr_nodes``."""
    out: list[str] = []
    for i, char in enumerate(name):
        starts_word = (
            char.isupper() and i > 0 and (not name[i - 1].isupper() or (i + 1 < len(name) and name[i + 1].islower()))
        )
        out.append("_" + char.lower() if starts_word else char.lower())
    return "".join(out)
