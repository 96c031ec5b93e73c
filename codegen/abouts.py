"""Owns: our texts in ``specs`` - which are still missing, and how one is spoken in Python.

Must never know: versions of a layout, templates, what a good text is (tests/codegen/test_abouts.py judges that).

Every message needs an ``about``. Every field needs one where ``specs/apis.yaml`` says that the API is served, and in
the headers and the consumer protocol, which each client of a served API has to read or write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from codegen.layout import snake
from codegen.nodes import Reader, compose, read_text
from codegen.spec import Field, Message, read_folder

ALWAYS_SERVED = frozenset(
    {"RequestHeader", "ResponseHeader", "ConsumerProtocolSubscription", "ConsumerProtocolAssignment"}
)
"""Messages without an API key whose fields are documented like those of a served API."""

FIELD_NAME = re.compile(r"`([A-Za-z][A-Za-z0-9.]*)`")
"""How a text refers to another field of its API: `MinBytes`, or `CurrentLeader.LeaderId`."""


def missing(specs_dir: Path) -> list[str]:
    """Names ``Message``, ``Message.Field`` or ``Message.Struct.Field`` for each text that is due and not there.

    Raises: SpecError when apis.yaml or a message cannot be read.
    """
    served = served_messages(specs_dir)
    names: list[str] = []
    for message in read_folder(specs_dir / "messages"):
        if not message.about:
            names.append(message.name)
        if message.name in served:
            names += [path for path, item in fields(message) if not item.about]
    return names


def in_python(text: str) -> str:
    """A text with the fields that it names in backticks, like `MinBytes`, under the names that Python code has."""
    return FIELD_NAME.sub(lambda found: f"`{'.'.join(snake(part) for part in found[1].split('.'))}`", text)


def served_messages(specs_dir: Path) -> frozenset[str]:
    """The messages whose fields must be documented: both directions of each API in apis.yaml, and ALWAYS_SERVED."""
    path = specs_dir / "apis.yaml"
    apis = Reader(str(path)).entries(compose(read_text(path), str(path)), "the table of APIs")
    return ALWAYS_SERVED | {f"{api.key}{direction}" for api in apis for direction in ("Request", "Response")}


def fields(message: Message) -> Iterator[tuple[str, Field]]:
    """Every field of a message with its path; a field of a struct has the struct's name in front."""
    for owner, members in [("", message.fields), *message.structs()]:
        for item in members:
            yield ".".join(part for part in (message.name, owner, item.name) if part), item
