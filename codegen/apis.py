"""Owns: reading ``specs/apis.yaml`` (what this server serves) and ``specs/errors.yaml``; refuses contradictions.

Must never know: templates, Python code generation.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import yaml

from codegen.layout import snake
from codegen.nodes import Entry, Reader, compose, line_of, read_text
from codegen.spec import Message
from codegen.versions import Versions

_API_KEYS = frozenset({"key", "versions", "family", "summary", "notes", "refuses"})
_ERROR_KEYS = frozenset({"code", "name", "retriable", "meaning"})
_ERROR_NAME = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Api:
    """One served API."""

    name: str
    key: int
    versions: Versions
    family: str
    summary: str
    notes: dict[int, str]
    refuses: str | None = None
    """Name of the error that every request is answered with, for an API that is there to refuse."""

    @property
    def slot(self) -> str:
        """Name of its handler slot and of its module: ``FindCoordinator`` becomes ``find_coordinator``."""
        return snake(self.name)


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One row of Kafka's error table."""

    code: int
    name: str
    retriable: bool
    meaning: str


def read_apis(path: Path, messages: dict[str, Message], errors: Collection[str]) -> list[Api]:
    """Served APIs by key. ``errors`` are the names that an API may refuse with.

    Raises: SpecError, with file and line, when a row is not understood, an API is unknown, or serves a version that its
    schemas lack.
    """
    read = Reader(str(path))
    found: dict[str, Api] = {}
    for row in read.entries(compose(read_text(path), str(path)), "the table of APIs"):
        if row.key in found:
            raise read.fail(row.line, f"{row.key} stands twice")
        found[row.key] = _api(read, row, messages, errors)
    return sorted(found.values(), key=lambda api: api.key)


def _api(read: Reader, row: Entry, messages: dict[str, Message], errors: Collection[str]) -> Api:
    keys = read.mapping(row.value, _API_KEYS, row.key)
    versions = read.versions(keys, "versions", None, row.line)
    if not versions:
        raise read.fail(line_of(keys["versions"]), f"{row.key} is served in no version")
    api = Api(
        name=row.key,
        key=read.whole(keys, "key", row.line),
        versions=versions,
        family=read.words(keys, "family", row.line),
        summary=read.words(keys, "summary", row.line),
        notes=_notes(read, row.key, keys["notes"], versions) if "notes" in keys else {},
        refuses=read.words(keys, "refuses", row.line) if "refuses" in keys else None,
    )
    if api.refuses is not None and api.refuses not in errors:
        raise read.fail(line_of(keys["refuses"]), f"{api.name} refuses with {api.refuses}, which errors.yaml lacks")
    for kind in ("Request", "Response"):
        message = messages.get(api.name + kind)
        if message is None:
            raise read.fail(row.line, f"{api.name} is served, but {api.name}{kind} has no schema")
        if message.api_key != api.key:
            where = f"{api.key} here and {message.api_key} in its schema"
            raise read.fail(line_of(keys["key"]), f"{api.name} has key {where}")
        if not message.valid.covers(api.versions):
            has = f"{message.name} has only {message.valid}"
            raise read.fail(line_of(keys["versions"]), f"{api.name} serves {api.versions}, {has}")
    return api


def _notes(read: Reader, api: str, node: yaml.Node, served: Versions) -> dict[int, str]:
    """What each version changed."""
    notes: dict[int, str] = {}
    for text, line, value in read.entries(node, f"notes of {api}"):
        version = read.number(text, line)
        if version in notes:
            raise read.fail(line, f"{api}: two notes for v{version}")
        if version not in served:
            raise read.fail(line, f"{api}: note for v{version}, which is not served")
        notes[version] = read.words({text: value}, text, line)
    return notes


def read_errors(path: Path) -> list[ErrorCode]:
    """The error table in file order. Raises: SpecError, with file and line, when a row is not understood, or says again
    what an earlier one said."""
    read = Reader(str(path))
    found: list[ErrorCode] = []
    lines: dict[int | str, int] = {}
    for node in read.sequence(compose(read_text(path), str(path))):
        line = line_of(node)
        error = _error(read, node, line)
        for once in (error.code, error.name):
            if once in lines:
                raise read.fail(line, f"{once} stands in line {lines[once]} already")
            lines[once] = line
        found.append(error)
    return found


def _error(read: Reader, node: yaml.Node, line: int) -> ErrorCode:
    keys = read.mapping(node, _ERROR_KEYS, "an error")
    code, name = read.whole(keys, "code", line), read.words(keys, "name", line)
    if not -(2**15) <= code < 2**15:
        raise read.fail(line_of(keys["code"]), f"{code} is no int16")
    if not _ERROR_NAME.fullmatch(name):
        raise read.fail(
            line_of(keys["name"]), f"{name!r} is no name of an error: capitals, digits and single underscores"
        )
    read.value(keys, "retriable", line)
    return ErrorCode(code, name, read.flag(keys, "retriable"), read.words(keys, "meaning", line))
