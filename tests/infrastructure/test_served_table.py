"""The table of APIs in generated/reference/README.md, cell by cell, against a running broker and its handlers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from kafka_protocol import load
from kafka_protocol.dispatch import SERVED
from kafka_protocol.errors import ErrorCode
from kafka_protocol.handlers import Handlers
from kafka_protocol.messages.create_acls import AclCreation, CreateAclsRequest
from kafka_protocol.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest

from codegen.layout import snake
from kafka_server.testing.broker import threaded_broker
from tests.differential.raw_client import RawClient

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\| (\d+) \| \[?(\w+)\]?(?:\(\w+\.md\))? \|((?: [SR-]? \|)+) ([^|]+) \|")
ONE_OF_EACH = {
    "CreateAcls": CreateAclsRequest(creations=[AclCreation()]),
    "DeleteAcls": DeleteAclsRequest(filters=[DeleteAclsFilter()]),
}
"""Requests whose answer tells an error for each element, so that there has to be one."""


def rows() -> Iterator[tuple[int, str, list[str], str]]:
    """Key, name, a cell for each version, state."""
    for line in (ROOT / "generated" / "reference" / "README.md").read_text(encoding="utf-8").splitlines():
        found = ROW.fullmatch(line)
        if found is not None:
            cells = [cell.strip() for cell in found[3].split("|")[:-1]]
            yield int(found[1]), found[2], cells, found[4]


ROWS = list(rows())


@pytest.fixture(scope="module")
def client() -> Iterator[RawClient]:
    with threaded_broker() as broker, RawClient(broker.bootstrap, patience_s=0.5) as client:
        yield client


def codes(answer: Any) -> Iterator[int]:
    """Every error code that the answer holds."""
    for field in fields(answer):
        value = getattr(answer, field.name)
        if field.name == "error_code":
            yield value
        for item in value if isinstance(value, list) else [value]:
            if is_dataclass(item):
                yield from codes(item)


def test_the_table_lists_every_api_that_kafka_has() -> None:
    names = [path.stem for path in (ROOT / "specs" / "messages").glob("*Request.json")]

    assert {key: f"{name}Request" for key, name, _, _ in ROWS} == {load(name).api_key: name for name in names}


def test_what_the_table_calls_served_has_a_handler_and_nothing_else_has() -> None:
    in_table = {
        key: (cells.index(cell), len("".join(cells).rstrip("-")) - 1)
        for key, _, cells, _ in ROWS
        for cell in sorted({*cells} & {"S", "R"})
    }

    assert in_table == dict(SERVED)
    assert {snake(name) for key, name, _, _ in ROWS if key in SERVED} == {slot.name for slot in fields(Handlers)}


@pytest.mark.parametrize(("name", "cells", "state"), [row[1:] for row in ROWS], ids=[row[1] for row in ROWS])
def test_a_running_broker_does_what_the_table_says(client: RawClient, name: str, cells: list[str], state: str) -> None:
    request_type, response_type = load(f"{name}Request"), load(f"{name}Response")
    for version, cell in enumerate(cells):
        request = ONE_OF_EACH.get(name, request_type())
        if not cell:
            continue
        try:
            answer = client.ask(request, response_type, version)
        except EOFError:
            assert cell == "-", f"{name} v{version} closed the connection"
        except TimeoutError:
            assert cell == "S", f"{name} v{version} was not answered"  # it waits, for records or for members
            client.reconnect()
        else:
            assert cell in ("S", "R"), f"{name} v{version} was answered"
            if cell == "R":
                assert set(codes(answer)) == {ErrorCode[state.removeprefix("refused: ")]}, f"{name} v{version}"
