"""Owns: what a dissected message consists of - byte spans with a path, a kind and a value - and how they are collected.

Must never know: schemas, construct, any encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Value = Any
"""None, bool, int, float, str, bytes, list of values or dict of values."""


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
class Trace:
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


@contextmanager
def step(trace: Trace | None, name: str) -> Iterator[None]:
    """One step further down the path, where anyone follows."""
    if trace is None:
        yield
    else:
        with trace.step(name):
            yield
