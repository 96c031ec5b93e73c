"""Owns: reading ``specs/apis.yaml`` (what this server serves) and ``specs/errors.yaml``; refuses contradictions.

Must never know: templates, Python code generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from codegen.layout import snake
from codegen.spec import Loader, Message, SpecError
from codegen.versions import VersionError, Versions


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


def read_apis(path: Path, messages: dict[str, Message]) -> list[Api]:
    """Served APIs by key. Raises: SpecError when an API is unknown, or serves a version that its schemas lack."""
    found = []
    for name, row in _load(path).items():
        extra = set(row) - {"key", "versions", "family", "summary", "notes", "refuses"}
        if extra:
            raise SpecError(f"{path}:1: {name} has unknown keys {sorted(extra)}")
        try:
            versions = Versions.parse(str(row["versions"]))
        except (KeyError, VersionError) as error:
            raise SpecError(f"{path}:1: {name}: versions: {error}") from None
        notes = dict(row.get("notes") or {})
        api = Api(name, row["key"], versions, row["family"], row["summary"], notes, row.get("refuses"))
        _check(path, api, messages)
        found.append(api)
    return sorted(found, key=lambda api: api.key)


def _check(path: Path, api: Api, messages: dict[str, Message]) -> None:
    for kind in ("Request", "Response"):
        message = messages.get(api.name + kind)
        if message is None:
            raise SpecError(f"{path}:1: {api.name} is served, but {api.name}{kind} has no schema")
        if message.api_key != api.key:
            raise SpecError(f"{path}:1: {api.name} has key {api.key} here and {message.api_key} in its schema")
        if not message.valid.covers(api.versions):
            raise SpecError(f"{path}:1: {api.name} serves {api.versions}, {message.name} has only {message.valid}")
    for version in api.notes:
        if version not in api.versions:
            raise SpecError(f"{path}:1: {api.name}: note for v{version}, which is not served")


def read_errors(path: Path) -> list[ErrorCode]:
    """The error table in file order."""
    return [ErrorCode(row["code"], row["name"], row["retriable"], row["meaning"]) for row in _load(path)]


def _load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)  # noqa: S506 - Loader is a SafeLoader
