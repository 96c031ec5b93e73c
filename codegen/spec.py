"""Owns: the schema language - reads one message file into typed objects and refuses whatever it does not know.

Must never know: Python code generation, layouts, upstream's folders.

A schema is JSON with ``//`` comments. Each complaint is a ``SpecError`` that reads ``file:line: what is wrong``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from codegen.nodes import Reader, SpecError, compose, line_of, read_text
from codegen.versions import NONE, Versions

PRIMITIVES = frozenset("bool int8 int16 uint16 int32 uint32 int64 float64 string bytes records uuid".split())
"""Type names of the schema language that are not structs."""

NULLABLE_PRIMITIVES = frozenset({"string", "bytes", "records"})

MESSAGE_TYPES = frozenset({"request", "response", "header", "data"})

ENTITY_TYPES = frozenset({"unknown", "transactionalId", "producerId", "groupId", "topicName", "brokerId"})

_MESSAGE_KEYS = frozenset(
    "apiKey type name about validVersions deprecatedVersions flexibleVersions latestVersionUnstable listeners fields "
    "commonStructs".split()
)
_FIELD_KEYS = frozenset(
    "name type about versions nullableVersions taggedVersions flexibleVersions tag default ignorable mapKey entityType "
    "zeroCopy fields".split()
)
_STRUCT_KEYS = frozenset("name about versions fields".split())
_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*')
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9]*$")
_STRUCT_NAME = re.compile(r"^[A-Z][A-Za-z0-9]*$")


@dataclass(slots=True)
class Field:
    """One field of a struct, for all versions."""

    name: str
    type: str
    """As written: a primitive, ``[]`` and a primitive, a struct name, or ``[]`` and a struct name."""
    versions: Versions
    nullable: Versions = NONE
    tagged: Versions = NONE
    tag: int | None = None
    default: str | None = None
    """The default as the schema writes it; None when the schema is silent."""
    ignorable: bool = False
    map_key: bool = False
    entity_type: str | None = None
    zero_copy: bool = False
    flexible: Versions | None = None
    """Overrides the message's flexible versions for this field alone (RequestHeader.ClientId)."""
    about: str | None = None
    fields: list[Field] = field(default_factory=list)
    line: int = 0

    @property
    def is_array(self) -> bool:
        return self.type.startswith("[]")

    @property
    def element_type(self) -> str:
        """The type without its array brackets."""
        return self.type.removeprefix("[]")

    @property
    def is_struct(self) -> bool:
        """True for a struct and for an array of structs."""
        return self.element_type not in PRIMITIVES


@dataclass(slots=True)
class Struct:
    """A named struct that several fields of one message share."""

    name: str
    versions: Versions
    fields: list[Field]
    about: str | None = None
    line: int = 0


@dataclass(slots=True)
class Message:
    """One schema file."""

    name: str
    type: str
    api_key: int | None
    valid: Versions
    flexible: Versions
    fields: list[Field]
    common: list[Struct]
    about: str | None = None
    deprecated: Versions = NONE
    listeners: list[str] = field(default_factory=list)
    latest_unstable: bool = False
    source: str = ""
    line: int = 0

    def structs(self) -> Iterator[tuple[str, list[Field]]]:
        """Every struct of the message with its fields, in the order of first use, the message itself excluded."""
        common = {struct.name: struct for struct in self.common}
        seen: set[str] = set()

        def walk(fields: list[Field]) -> Iterator[tuple[str, list[Field]]]:
            for item in fields:
                name = item.element_type
                if not item.is_struct or name in seen:
                    continue
                seen.add(name)
                inner = common[name].fields if name in common else item.fields
                yield name, inner
                yield from walk(inner)

        yield from walk(self.fields)

    def fields_of(self, struct_name: str) -> list[Field]:
        """Fields of one struct by name."""
        return dict(self.structs())[struct_name]


def read_message(path: Path) -> Message:
    """Reads one schema file.

    Raises: SpecError, with file and line, for anything that is not understood.
    """
    return parse_message(read_text(path), str(path))


def parse_message(text: str, source: str) -> Message:
    """Reads one schema from its text; ``source`` is the file name that errors show."""
    plain = _COMMENT.sub(lambda m: m[0] if m[0].startswith('"') else "", text)
    message = _Reader(source).message(compose(plain, source))
    _check_structs(message)
    return message


def read_folder(folder: Path) -> list[Message]:
    """Reads every ``*.json`` below ``folder`` in name order; refuses two files that name the same message."""
    messages = [read_message(path) for path in sorted(folder.rglob("*.json"))]
    by_name: dict[str, Message] = {}
    for message in messages:
        twin = by_name.setdefault(message.name, message)
        if twin is not message:
            raise SpecError(f"{message.source}:1: {message.name} is defined in {twin.source} already")
    return messages


class _Reader(Reader):
    """Walks the nodes of one schema. Upstream repeats a key here and there, harmless while both say the same."""

    def message(self, node: yaml.Node | None) -> Message:
        keys = self.mapping(node, _MESSAGE_KEYS, "a message", may_repeat=True)
        line = 1 if node is None else line_of(node)
        type_ = self.text(keys, "type", line)
        if type_ not in MESSAGE_TYPES:
            raise self.fail(line, f"message type {type_!r} is none of {', '.join(sorted(MESSAGE_TYPES))}")
        valid = self.versions(keys, "validVersions", None, line)
        api_key = self.scalar(keys["apiKey"]) if "apiKey" in keys else None
        if type_ in {"request", "response"} and api_key is None:
            raise self.fail(line, f"a {type_} needs an apiKey")
        return Message(
            name=self.name(keys, line),
            type=type_,
            api_key=None if api_key is None else self.number(api_key, line),
            valid=valid,
            # A message without versions (an API that a release removed) says nothing about flexibility.
            flexible=self.versions(keys, "flexibleVersions", NONE if not valid else None, line),
            fields=self.fields(keys.get("fields")),
            common=self.common(keys.get("commonStructs")),
            about=self.optional_text(keys, "about"),
            deprecated=self.versions(keys, "deprecatedVersions", NONE, line),
            listeners=self.strings(keys.get("listeners")),
            latest_unstable=self.flag(keys, "latestVersionUnstable"),
            source=self.source,
            line=line,
        )

    def field(self, node: yaml.Node) -> Field:
        keys = self.mapping(node, _FIELD_KEYS, "a field", may_repeat=True)
        line = line_of(node)
        name = self.name(keys, line)
        type_ = self.text(keys, "type", line)
        self.check_type(name, type_, line)
        tag = self.scalar(keys["tag"]) if "tag" in keys else None
        entity = self.optional_text(keys, "entityType")
        if entity is not None and entity not in ENTITY_TYPES:
            raise self.fail(line, f"field {name}: unknown entityType {entity!r}")
        item = Field(
            name=name,
            type=type_,
            versions=self.versions(keys, "versions", None, line),
            nullable=self.versions(keys, "nullableVersions", NONE, line),
            tagged=self.versions(keys, "taggedVersions", NONE, line),
            tag=None if tag is None else self.number(tag, line),
            default=self.scalar(keys["default"]) if "default" in keys else None,
            ignorable=self.flag(keys, "ignorable"),
            map_key=self.flag(keys, "mapKey"),
            entity_type=entity,
            zero_copy=self.flag(keys, "zeroCopy"),
            flexible=self.versions(keys, "flexibleVersions", NONE, line) if "flexibleVersions" in keys else None,
            about=self.optional_text(keys, "about"),
            fields=self.fields(keys.get("fields")),
            line=line,
        )
        self.check_field(item)
        return item

    def check_type(self, name: str, type_: str, line: int) -> None:
        element = type_.removeprefix("[]")
        if element not in PRIMITIVES and not _STRUCT_NAME.match(element):
            raise self.fail(line, f"field {name}: unknown type {type_!r}")

    def check_field(self, item: Field) -> None:
        if (item.tag is None) != (not item.tagged):
            raise self.fail(item.line, f"field {item.name}: tag and taggedVersions go together")
        if item.nullable and not (item.is_array or item.is_struct or item.type in NULLABLE_PRIMITIVES):
            raise self.fail(item.line, f"field {item.name}: a {item.type} cannot be null")
        if item.fields and not item.is_struct:
            raise self.fail(item.line, f"field {item.name}: a {item.type} has no fields")
        names = [inner.name for inner in item.fields]
        for twice in {name for name in names if names.count(name) > 1}:
            raise self.fail(item.line, f"field {item.name}: {twice} is defined twice")

    def fields(self, node: yaml.Node | None) -> list[Field]:
        return [self.field(item) for item in self.sequence(node)]

    def common(self, node: yaml.Node | None) -> list[Struct]:
        result = []
        for item in self.sequence(node):
            keys = self.mapping(item, _STRUCT_KEYS, "a struct", may_repeat=True)
            line = line_of(item)
            result.append(
                Struct(
                    name=self.name(keys, line),
                    versions=self.versions(keys, "versions", None, line),
                    fields=self.fields(keys.get("fields")),
                    about=self.optional_text(keys, "about"),
                    line=line,
                )
            )
        return result

    def name(self, keys: dict[str, yaml.Node], line: int) -> str:
        name = self.text(keys, "name", line)
        if not _NAME.match(name):
            raise self.fail(line, f"{name!r} is no name: letters and digits only")
        return name


def _check_structs(message: Message) -> None:
    """Every struct that a field names is defined exactly once: inline at its first use or in commonStructs."""
    defined = {struct.name: struct.line for struct in message.common}

    def collect(fields: list[Field]) -> None:
        for item in fields:
            if item.is_struct and item.fields:
                name = item.element_type
                if name in defined:
                    raise SpecError(
                        f"{message.source}:{item.line}: struct {name} is defined in line {defined[name]} already"
                    )
                defined[name] = item.line
            collect(item.fields)

    collect(message.fields)
    for struct in message.common:
        collect(struct.fields)

    def resolve(fields: list[Field]) -> None:
        for item in fields:
            if item.is_struct and item.element_type not in defined:
                raise SpecError(f"{message.source}:{item.line}: struct {item.element_type} is not defined")
            resolve(item.fields)

    resolve(message.fields)
    for struct in message.common:
        resolve(struct.fields)
