"""Every error that a client can be told about exists in Kafka under the same name and number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kafka_server.domain import records  # noqa: F401 - refines some errors
from kafka_server.domain.errors import DomainError

SPEC = yaml.safe_load((Path(__file__).parents[2] / "specs" / "errors.yaml").read_text(encoding="utf-8"))
NAMES = {entry["code"]: entry["name"] for entry in SPEC}

# Where our class leaves out a word that Kafka's constant has.
SHORTENED = {
    "InvalidTopic": "INVALID_TOPIC_EXCEPTION",
    "OutOfOrderSequence": "OUT_OF_ORDER_SEQUENCE_NUMBER",
    "DuplicateSequence": "DUPLICATE_SEQUENCE_NUMBER",
    "StorageError": "KAFKA_STORAGE_ERROR",
}


def refinements(error: type[DomainError]) -> Iterator[type[DomainError]]:
    for subclass in error.__subclasses__():
        yield subclass
        yield from refinements(subclass)


ERRORS = sorted(DomainError.__subclasses__(), key=lambda error: error.code)
REFINED = [refined for error in ERRORS for refined in refinements(error)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_a_domain_error_has_the_code_of_its_name(error: type[DomainError]) -> None:
    in_kafkas_spelling = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", error.__name__).upper()

    assert NAMES[error.code] == SHORTENED.get(error.__name__, in_kafkas_spelling)


@pytest.mark.parametrize("error", REFINED, ids=lambda error: error.__name__)
def test_an_error_that_refines_another_keeps_its_code(error: type[DomainError]) -> None:
    # It tells our own code more, for example which records are to blame; the client reads the same number.
    assert issubclass(error, tuple(ERRORS))
    assert error.code in {base.code for base in ERRORS if issubclass(error, base)}


def test_no_two_domain_errors_share_a_code() -> None:
    codes = [error.code for error in ERRORS]

    assert len(set(codes)) == len(codes)


def test_the_list_of_codes_has_no_gaps_and_says_what_each_means() -> None:
    assert [entry["code"] for entry in SPEC] == list(range(-1, len(SPEC) - 1))
    assert all(len(entry["meaning"]) > 20 and isinstance(entry["retriable"], bool) for entry in SPEC)
