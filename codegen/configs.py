"""Owns: turning ``specs/configs.yaml`` into ``kafka_server/domain/config_definitions.py``.
Must never know: what a config does, how values are parsed at run time, files other than the one spec.

Parsing the YAML takes a quarter of a second, and compiling 400 rows of Python without a byte code cache 35 ms; the
whole start of the broker may take 150 ms. So the facts travel as one text in a line format that a person can read
and ``kafka_server.domain.config_def`` splits in about a millisecond.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import yaml

from codegen.nodes import Reader, SpecError, compose, is_text, line_of, read_text

SCOPES = ("broker", "topic", "group", "client_metrics")
TYPES = ("boolean", "string", "int", "short", "long", "double", "list", "class", "password")
IMPORTANCES = ("high", "medium", "low")
UPDATES = ("read-only", "per-broker", "cluster-wide")
NEEDED = ("name", "type", "importance", "effect", "doc")
TEXTS = ("default", "min", "max", "pattern")
LISTS = ("also", "values", "synonyms")
FLAGS = ("required", "nonempty", "ignore_case", "internal")
_KEYS = frozenset((*NEEDED, *TEXTS, *LISTS, *FLAGS, "update"))
_BOUND = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_SYNONYM = re.compile(r"([a-z][a-z0-9._-]*)(?: \* [0-9]+)?")
_LINE_LENGTH = 120


@dataclass(slots=True, frozen=True)
class _Entry:
    """One config of one scope, with the nodes of its fields."""

    scope: str
    name: str
    line: int
    fields: dict[str, yaml.Node]


def render_configs(specs_dir: Path) -> str:
    """The source of ``config_definitions.py``. Raises SpecError when the spec is not understood."""
    path = specs_dir / "configs.yaml"
    read = _Reader(str(path))
    scopes = read.entries(compose(read_text(path), str(path)), "the table of configs")
    if tuple(scope.key for scope in scopes) != SCOPES:
        raise read.fail(1, f"configs.yaml must have the sections {', '.join(SCOPES)} in this order")
    entries = {scope.key: [read.entry(scope.key, node) for node in read.sequence(scope.value)] for scope in scopes}
    broker_keys = {entry.name for entry in entries["broker"]}
    parts = [_HEADER]
    for scope, of_scope in entries.items():
        for before, entry in pairwise(of_scope):
            if entry.name <= before.name:
                raise read.wrong(entry, f"keys must be unique and sorted by name, but {before.name} stands before it")
        parts.append(f'\n{scope.upper()}: Final = r"""\n')
        parts.extend(f"{line}\n" for entry in of_scope for line in read.lines(entry, broker_keys))
        parts.append('"""\n')
    return "".join(parts)


_HEADER = '''\
"""Owns: the facts about every config, as plain data. Must never know: how they are parsed, checked or used.

generated from specs/configs.yaml by make codegen; edit the spec, not this file.

Per key one line of facts - name, type, importance, update mode, effect, then what applies of ``default=`` ``min=``
``max=`` ``pattern=`` ``also=`` ``values=`` ``synonyms=`` and of the flags ``required`` ``nonempty`` ``ignore_case``
``internal`` - going on in lines that begin with ``+``, and the doc on the indented lines below it.
"""

from typing import Final
'''


class _Reader(Reader):
    """Walks the nodes of the spec."""

    def wrong(self, entry: _Entry, what: str, field: str = "") -> SpecError:
        """Names the line of the field, when the entry has it, else the line of the entry."""
        line = line_of(entry.fields[field]) if field in entry.fields else entry.line
        return self.fail(line, f"{entry.scope}: {entry.name}: {what}")

    def entry(self, scope: str, node: yaml.Node) -> _Entry:
        fields = self.mapping(node, _KEYS, f"a key of the scope {scope}")
        line = line_of(node)
        return _Entry(scope, self.words(fields, "name", line), line, fields)

    def lines(self, entry: _Entry, broker_keys: set[str]) -> Iterator[str]:
        """What stands in the module for this entry."""
        self._check(entry)
        fields = entry.fields
        facts = [entry.name, self.scalar(fields["type"]), self.scalar(fields["importance"])]
        facts += [self.optional_text(fields, "update") or "cluster-wide", self.scalar(fields["effect"])]
        facts += [f"{field}={self.scalar(fields[field])}" for field in TEXTS if field in fields]
        for field in LISTS:
            if field in fields:
                facts.append(f"{field}=" + ",".join(text.replace(" ", "") for text in self.strings(fields[field])))
        facts += [field for field in FLAGS if self.flag(fields, field)]
        for text in self.strings(fields.get("synonyms")):
            match = _SYNONYM.fullmatch(text)
            if match is None or match[1] not in broker_keys:
                what = f"synonym {text!r} is no broker key (with ' * factor' where units differ)"
                raise self.wrong(entry, what, "synonyms")
        if any(re.search(r'\s|"""', fact) for fact in facts):
            raise self.wrong(entry, "a fact holds white space or quotes that would tear the line apart")
        # A line of facts that is too long goes on in lines that begin with "+ ".
        yield from textwrap.wrap(" ".join(facts), _LINE_LENGTH, subsequent_indent="+ ", break_on_hyphens=False)
        doc = self.scalar(fields["doc"])
        yield from textwrap.wrap(doc, _LINE_LENGTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)

    def _check(self, entry: _Entry) -> None:
        """Refuses what this renderer does not know."""
        fields = entry.fields
        one_of = {"type": TYPES, "importance": IMPORTANCES, "effect": ("yes", "none")}
        for field, known in one_of.items():
            if self.text(fields, field, entry.line) not in known:
                raise self.wrong(entry, f"{field} must be one of {', '.join(known)}", field)
        if (entry.scope == "broker") != ("update" in fields) or (
            "update" in fields and self.scalar(fields["update"]) not in UPDATES
        ):
            raise self.wrong(entry, f"update must be one of {', '.join(UPDATES)}, for broker keys only", "update")
        if '"""' in self.words(fields, "doc", entry.line):
            raise self.wrong(entry, "the doc must not hold three quotes in a row", "doc")
        if "default" in fields and not is_text(fields["default"]):
            raise self.wrong(entry, "the default must be quoted, since configs are texts", "default")
        for field in ("min", "max"):
            if field in fields and not _BOUND.fullmatch(self.scalar(fields[field])):
                raise self.wrong(entry, f"{field} must be a number", field)
