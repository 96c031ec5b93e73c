"""Owns: reading JSON and YAML so that everything keeps its line; what is wrong is a ``SpecError`` with file and line.

Must never know: what a schema or a table says.

JSON is a subset of YAML, and YAML's composer gives nodes with their places, where its constructor would give bare
values: so both are read by it, and never built into objects.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import yaml

from codegen.versions import VersionError, Versions

Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAG = "tag:yaml.org,2002:str"
_NUMBER = re.compile(r"-?\d+")


class SpecError(ValueError):
    """A spec says something that the generator does not understand; the text begins with ``file:line:``."""


def read_text(path: Path) -> str:
    """The text of a file. Raises SpecError when it cannot be read or is not UTF-8."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}:1: cannot be read: {error.strerror}") from None
    return decode(raw, str(path))


def decode(raw: bytes, source: str) -> str:
    """The text of these bytes; ``source`` is the file name that errors show. Raises SpecError when it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(f"{source}:{line}: not UTF-8: {error.reason} 0x{raw[error.start]:02x}") from None


def compose(text: str, source: str) -> yaml.Node | None:
    """The root node, None for an empty text. Raises SpecError when it is no JSON or YAML."""
    try:
        return yaml.compose(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{source}:{line}: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        line = text.encode().count(b"\n", 0, error.position) + 1
        raise SpecError(f"{source}:{line}: {error.reason}") from None


def line_of(node: yaml.Node) -> int:
    """The line where it begins, counted from 1."""
    return int(node.start_mark.line) + 1


class Entry(NamedTuple):
    """A key of a mapping with its line and value."""

    key: str
    line: int
    value: yaml.Node


class Reader:
    """Walks the nodes of one file. Every method names the line that it complains about, as a SpecError."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, line: int, what: str) -> SpecError:
        return SpecError(f"{self.source}:{line}: {what}")

    def entries(self, node: yaml.Node | None, what: str) -> list[Entry]:
        """The entries of a mapping in their order, repeated keys included."""
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(1 if node is None else line_of(node), f"{what} must be an object")
        return [Entry(self.scalar(key), line_of(key), value) for key, value in node.value]

    def mapping(
        self, node: yaml.Node | None, known: frozenset[str], what: str, *, may_repeat: bool = False
    ) -> dict[str, yaml.Node]:
        """The values by key. ``may_repeat``: a key may stand twice while both say the same."""
        keys: dict[str, yaml.Node] = {}
        for key, line, value in self.entries(node, what):
            if key not in known:
                raise self.fail(line, f"{what} has no key {key!r}")
            if key in keys and not (may_repeat and keys[key].value == value.value):
                raise self.fail(line, f"{key!r} stands twice")
            keys[key] = value
        return keys

    def sequence(self, node: yaml.Node | None) -> list[yaml.Node]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise self.fail(line_of(node), "expected an array")
        return list(node.value)

    def strings(self, node: yaml.Node | None) -> list[str]:
        return [self.scalar(item) for item in self.sequence(node)]

    def scalar(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self.fail(line_of(node), "expected a plain value")
        return str(node.value)

    def value(self, keys: dict[str, yaml.Node], key: str, line: int) -> yaml.Node:
        """The node of a key that has to be there; ``line`` is where the mapping begins."""
        if key not in keys:
            raise self.fail(line, f"the key {key!r} is missing")
        return keys[key]

    def text(self, keys: dict[str, yaml.Node], key: str, line: int) -> str:
        return self.scalar(self.value(keys, key, line))

    def optional_text(self, keys: dict[str, yaml.Node], key: str) -> str | None:
        return self.scalar(keys[key]) if key in keys else None

    def words(self, keys: dict[str, yaml.Node], key: str, line: int) -> str:
        """A text that is not empty, and that YAML takes for one: no number, no truth value, no null."""
        node = self.value(keys, key, line)
        text = self.scalar(node)
        if not text or not is_text(node):
            raise self.fail(line_of(node), f"{key} must be a text, not {text!r}")
        return text

    def whole(self, keys: dict[str, yaml.Node], key: str, line: int) -> int:
        node = self.value(keys, key, line)
        return self.number(self.scalar(node), line_of(node))

    def number(self, text: str, line: int) -> int:
        if not _NUMBER.fullmatch(text):
            raise self.fail(line, f"{text!r} is not a number")
        return int(text)

    def flag(self, keys: dict[str, yaml.Node], key: str) -> bool:
        """False when the key is not there."""
        if key not in keys:
            return False
        text = self.scalar(keys[key])
        if text not in {"true", "false"}:
            raise self.fail(line_of(keys[key]), f"{key} must be true or false, not {text!r}")
        return text == "true"

    def versions(self, keys: dict[str, yaml.Node], key: str, absent: Versions | None, line: int) -> Versions:
        """A version range; ``absent`` when the key is not there, None if it has to be."""
        if key not in keys and absent is not None:
            return absent
        node = self.value(keys, key, line)
        try:
            return Versions.parse(self.scalar(node))
        except VersionError as error:
            raise self.fail(line_of(node), f"{key}: {error}") from None


def is_text(node: yaml.Node) -> bool:
    """Whether YAML takes a plain value for a text: it is quoted, or looks like nothing else."""
    return bool(node.tag == _TEXT_TAG)
