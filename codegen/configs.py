"""Owns: turning ``specs/configs.yaml`` into ``kafka_server/domain/config_definitions.py``.
Must never know: what a config does, how values are parsed at run time, files other than the one spec.

Parsing the YAML takes a quarter of a second, and compiling 400 rows of Python without a byte code cache 35 ms; the
whole start of the broker may take 150 ms. So the facts travel as one text in a line format that a person can read
and ``kafka_server.domain.config_def`` splits in about a millisecond.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

SCOPES = ("broker", "topic", "group", "client_metrics")
TYPES = ("boolean", "string", "int", "short", "long", "double", "list", "class", "password")
IMPORTANCES = ("high", "medium", "low")
UPDATES = ("read-only", "per-broker", "cluster-wide")
NEEDED = ("name", "type", "importance", "effect", "doc")
TEXTS = ("default", "min", "max", "pattern")
LISTS = ("also", "values", "synonyms")
FLAGS = ("required", "nonempty", "ignore_case", "internal")
_SYNONYM = re.compile(r"([a-z][a-z0-9._-]*)(?: \* [0-9]+)?")
_LINE_LENGTH = 120


class ConfigSpecError(Exception):
    """The spec says something that this renderer does not know; the message names scope and key."""


def render_configs(specs_dir: Path) -> str:
    """The source of ``config_definitions.py``. Raises ConfigSpecError when the spec is not understood."""
    spec = yaml.safe_load((specs_dir / "configs.yaml").read_text(encoding="utf-8"))
    if tuple(spec) != SCOPES:
        raise ConfigSpecError(f"configs.yaml must have the sections {', '.join(SCOPES)} in this order")
    broker_keys = {entry["name"] for entry in spec["broker"]}
    parts = [_HEADER]
    for scope in SCOPES:
        names = [entry["name"] for entry in spec[scope]]
        if names != sorted(set(names)):
            raise ConfigSpecError(f"{scope}: keys must be unique and sorted by name")
        parts.append(f'\n{scope.upper()}: Final = r"""\n')
        parts.extend(f"{line}\n" for entry in spec[scope] for line in _lines(scope, entry, broker_keys))
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


def _lines(scope: str, entry: Mapping[str, Any], broker_keys: set[str]) -> Iterator[str]:
    where = f"{scope}: {entry.get('name', '?')}"
    effect = _check(where, entry, scope)
    facts = [entry["name"], entry["type"], entry["importance"], entry.get("update", "cluster-wide"), effect]
    facts += [f"{field}={entry[field]}" for field in TEXTS if field in entry]
    for field in LISTS:
        if field in entry:
            facts.append(f"{field}=" + ",".join(text.replace(" ", "") for text in entry[field]))
    facts += [field for field in FLAGS if entry.get(field)]
    for text in entry.get("synonyms", ()):
        match = _SYNONYM.fullmatch(text)
        if match is None or match[1] not in broker_keys:
            raise ConfigSpecError(f"{where}: synonym {text!r} is no broker key (with ' * factor' where units differ)")
    if any(re.search(r'\s|"""', fact) for fact in facts):
        raise ConfigSpecError(f"{where}: a fact holds white space or quotes that would tear the line apart")
    # A line of facts that is too long goes on in lines that begin with "+ ".
    yield from textwrap.wrap(" ".join(facts), _LINE_LENGTH, subsequent_indent="+ ", break_on_hyphens=False)
    yield from textwrap.wrap(
        entry["doc"], _LINE_LENGTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


def _check(where: str, entry: Mapping[str, Any], scope: str) -> str:
    """Refuses what this renderer does not know; returns the effect as a word."""
    unknown = set(entry) - {*NEEDED, *TEXTS, *LISTS, *FLAGS, "update"}
    if unknown:
        raise ConfigSpecError(f"{where}: unknown fields {sorted(unknown)}")
    # YAML reads a bare yes as a truth value.
    effect = "yes" if entry.get("effect") is True else entry.get("effect")
    if effect not in ("yes", "none"):
        raise ConfigSpecError(f"{where}: effect must be yes or none")
    for field in ("name", "doc"):
        if not isinstance(entry.get(field), str) or not entry[field]:
            raise ConfigSpecError(f"{where}: {field} is missing or not a text")
    if '"""' in entry["doc"]:
        raise ConfigSpecError(f"{where}: the doc must not hold three quotes in a row")
    for field, known in (("type", TYPES), ("importance", IMPORTANCES)):
        if entry.get(field) not in known:
            raise ConfigSpecError(f"{where}: {field} must be one of {', '.join(known)}")
    if (scope == "broker") != ("update" in entry) or entry.get("update", "read-only") not in UPDATES:
        raise ConfigSpecError(f"{where}: update must be one of {', '.join(UPDATES)}, for broker keys only")
    if not isinstance(entry.get("default", ""), str):
        raise ConfigSpecError(f"{where}: the default must be quoted, since configs are texts")
    return effect
