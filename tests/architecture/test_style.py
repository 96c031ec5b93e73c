"""Rules of style that can be counted. A limit is a question, not a knife: what is over it is listed with an answer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka_protocol.dispatch import NAMES, SERVED

ROOT = Path(__file__).parents[2]
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

LONG_MODULES = {
    "codegen/render.py": "everything that is said in Python, and only that; another language would be a second file",
    "codegen/runtime/wire.py": "copied out as one file, so that the generated package stands alone",
    "kafka_server/application/config_service.py": "reading, showing and changing stand on the same layers",
    "kafka_server/application/group_coordinator.py": "both kinds of groups have one place where their effects happen",
    "kafka_server/application/transaction_coordinator.py": "one state machine's effects, in the order of a transaction",
    "kafka_server/bootstrap/stores.py": "a property for each repository, in memory and on disk",
    "kafka_server/domain/classic_group.py": "one state machine, read from top to bottom",
    "kafka_server/domain/config_definitions.py": "generated from specs/configs.yaml",
    "kafka_server/domain/consumer_group.py": "one state machine, read from top to bottom",
    "kafka_server/domain/errors.py": "a table: one class for each error code",
    "kafka_server/domain/topic_pattern.py": "the grammar of one kind of expression",
    "kafka_server/infrastructure/network/connection.py": "the hot path of every request, without a call too many",
    "kafka_server/infrastructure/storage/log/partition_log.py": "what one log promises, from append to close",
    "kafka_server/infrastructure/storage/log/segment.py": "one file and its indexes, and how they prove each other",
}


def modules() -> Iterator[Path]:
    for package in ("kafka_server", "codegen"):
        yield from sorted((ROOT / package).rglob("*.py"))


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def test_long_modules_are_listed_with_a_reason() -> None:
    long = {name_of(file) for file in modules() if len(file.read_text().splitlines()) > MODULE_LINES_MAX}
    assert long <= LONG_MODULES.keys()


def test_no_function_is_longer_than_a_page() -> None:
    long = [
        f"{name_of(file)}: {node.name}"
        for file in modules()
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


@pytest.mark.parametrize("file", list(modules()), ids=name_of)
def test_a_module_says_what_it_owns(file: Path) -> None:
    header = ast.get_docstring(tree_of(file)) or ""
    if file.name != "__init__.py" and file.parent.name != "handlers":
        assert "Owns:" in header


HANDLERS = [file for file in modules() if file.parent.name == "handlers" and file.name != "__init__.py"]
_VERSIONS = re.compile(r"(\w+)(?: \((?:key )?\d+\))?,? v(\d+)(?:-v?(\d+))?(?!\w)")


def test_the_headers_of_the_handlers_name_the_versions_that_are_served() -> None:
    said: dict[str, tuple[int, int]] = {}
    for file in HANDLERS:
        header = " ".join((ast.get_docstring(tree_of(file)) or "").split())
        for name, low, high in _VERSIONS.findall(header):
            said.setdefault(name, (int(low), int(high or low)))
    assert {name: said.get(name) for name in NAMES.values()} == {NAMES[key]: served for key, served in SERVED.items()}


@pytest.mark.parametrize("file", HANDLERS, ids=name_of)
def test_the_header_of_a_handler_is_a_contract(file: Path) -> None:
    header = ast.get_docstring(tree_of(file)) or ""
    assert "Known gaps" in header
