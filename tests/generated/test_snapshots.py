"""What the messages look like: one text per served API, direction and version, beside this file.

Each shows the fields in schema order and then the bytes with the meaning of each. They are the place to look up what
really lies on the wire; a diff in one of them is a change of the wire or of a schema. `make snapshots` accepts it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from codegen.apis import read_apis, read_errors
from codegen.spec import read_folder
from tests.generated import ours
from tests.generated.annotated import annotate
from tests.generated.interpreter import Interpreter
from tests.generated.telling import telling
from tests.snapshots import PlainText

SPECS = Path(__file__).parents[2] / "specs"


def _shown() -> list[tuple[str, int]]:
    """The oldest and the newest served version of every request and response, and the headers."""
    messages = {message.name: message for message in read_folder(SPECS / "messages")}
    shown = [("RequestHeader", 1), ("RequestHeader", 2), ("ResponseHeader", 0), ("ResponseHeader", 1)]
    errors = {error.name for error in read_errors(SPECS / "errors.yaml")}
    for api in read_apis(SPECS / "apis.yaml", messages, errors):
        for version in sorted({api.versions.low, api.versions.high}):
            shown += [(f"{api.name}Request", version), (f"{api.name}Response", version)]
    return shown


SHOWN = _shown()


@pytest.mark.parametrize(("name", "version"), SHOWN, ids=[f"{name}_v{version}" for name, version in SHOWN])
def test_a_message_on_the_wire(name: str, version: int, interpreter: Interpreter, snapshot: SnapshotAssertion) -> None:
    message = interpreter.messages[name]
    data = ours.encode(message, version, telling(message, version))
    assert annotate(message, version, data, interpreter.dissect(name, version, data)) == snapshot(
        extension_class=PlainText
    )
