"""Owns: the rules for our texts in specs/messages. Must never know: how the texts are rendered."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from copy import deepcopy
from pathlib import Path

import pytest

from codegen import abouts
from codegen.importer import serialise
from codegen.spec import Field, Message, read_folder

SPECS = Path(__file__).parents[2] / "specs"

CONSTANT = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
NOT_ERRORS = {"CLUSTER_ACTION", "CREATE_TOKENS", "SASL_PLAINTEXT", "SASL_SSL", "STALE_TOPOLOGY"}
"""Permissions, security protocols and a status of Streams groups, which are written like error codes."""


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return read_folder(SPECS / "messages")


@pytest.fixture(scope="module")
def served(messages: list[Message]) -> list[tuple[str, Field]]:
    names = abouts.served_messages(SPECS)
    return [pair for message in messages if message.name in names for pair in abouts.fields(message)]


def texts(messages: list[Message]) -> list[tuple[str, str]]:
    """Every text that is written, of messages and of fields, with the name that it stands at."""
    written = [(message.name, message.about) for message in messages]
    written += [(path, item.about) for message in messages for path, item in abouts.fields(message)]
    return [(name, text) for name, text in written if text is not None]


def test_every_message_and_every_field_of_a_served_api_has_a_text() -> None:
    assert abouts.missing(SPECS) == []


def test_both_directions_of_each_served_api_count_as_served(served: list[tuple[str, Field]]) -> None:
    owners = {path.split(".")[0] for path, _ in served}
    assert {"FetchRequest", "FetchResponse", "RequestHeader", "ConsumerProtocolAssignment"} <= owners
    assert not {"VoteRequest", "EndTxnMarker"} & owners
    assert len(served) > 400


def test_a_text_that_is_taken_away_is_named_with_its_struct(tmp_path: Path, messages: list[Message]) -> None:
    shutil.copy(SPECS / "apis.yaml", tmp_path)
    (tmp_path / "messages").mkdir()
    fetch = deepcopy(next(message for message in messages if message.name == "FetchRequest"))
    fetch.about = None
    for _, item in abouts.fields(fetch):
        item.about = item.about if item.name not in {"MaxBytes", "FetchOffset"} else None
    (tmp_path / "messages" / "FetchRequest.json").write_text(serialise(fetch), encoding="utf-8")

    assert abouts.missing(tmp_path) == [
        "FetchRequest",
        "FetchRequest.MaxBytes",
        "FetchRequest.FetchPartition.FetchOffset",
    ]


def test_a_text_is_long_enough_to_teach(messages: list[Message]) -> None:
    assert [(name, text) for name, text in texts(messages) if len(text) < 20] == []


def test_a_text_fits_into_a_docstring_of_two_or_three_lines(messages: list[Message]) -> None:
    assert [(name, len(text)) for name, text in texts(messages) if len(text) > 260] == []


def test_a_text_is_written_for_its_field_and_not_for_many(messages: list[Message]) -> None:
    counts = Counter(text for _, text in texts(messages))
    assert {text: count for text, count in counts.items() if count > 6} == {}


def test_a_text_is_a_sentence_on_one_line(messages: list[Message]) -> None:
    odd = [name for name, text in texts(messages) if "\n" in text or text != text.strip() or text[-1] not in ".:!?"]
    assert odd == []


def test_a_name_in_backticks_is_a_field_of_the_same_api(messages: list[Message]) -> None:
    known: dict[str, set[str]] = {}
    for message in messages:
        known.setdefault(api(message.name), set()).update(path.split(".")[-1] for path, _ in abouts.fields(message))
    unknown = [
        (name, found)
        for name, text in texts(messages)
        for found in abouts.FIELD_NAME.findall(text)
        if not set(found.split(".")) <= known[api(name.split(".")[0])]
    ]
    assert unknown == []


def test_an_error_that_a_text_names_exists(messages: list[Message]) -> None:
    codes = (SPECS / "errors.yaml").read_text(encoding="utf-8")
    named = {(name, word) for name, text in texts(messages) for word in CONSTANT.findall(text)}
    assert len(named) > 100
    assert {(name, word) for name, word in named if word not in NOT_ERRORS and f"name: {word}\n" not in codes} == set()


def test_generated_python_speaks_of_fields_by_their_python_names() -> None:
    assert abouts.in_python("Fewer than `MinBytes`, see `CurrentLeader.LeaderId`.") == (
        "Fewer than `min_bytes`, see `current_leader.leader_id`."
    )


def api(message_name: str) -> str:
    return message_name.removesuffix("Request").removesuffix("Response")
