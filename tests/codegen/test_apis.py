"""The tables of served APIs and of errors: what is not understood is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.apis import read_apis, read_errors
from codegen.nodes import SpecError
from codegen.spec import Message, parse_message

REQUEST = """{ "apiKey": 7, "type": "request", "name": "ProbeRequest", "validVersions": "0-2",
  "flexibleVersions": "none", "fields": [] }"""

APIS = """\
# What is served.
Probe:
  key: 7
  versions: 0-2
  family: cluster
  summary: Asks.
  notes:
    0: "The first one."
    2: "The last one."
  refuses: NOT_TODAY
"""

ERRORS = """\
- code: -1
  name: UNKNOWN
  retriable: false
  meaning: Nobody knows.
- code: 7
  name: NOT_TODAY
  retriable: true
  meaning: Ask again.
"""


def messages() -> dict[str, Message]:
    response = REQUEST.replace("request", "response").replace("Request", "Response")
    return {"ProbeRequest": parse_message(REQUEST, "Q"), "ProbeResponse": parse_message(response, "R")}


def test_a_row_is_read_into_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "apis.yaml").write_text(APIS)
    (api,) = read_apis(tmp_path / "apis.yaml", messages(), {"NOT_TODAY"})
    assert (api.name, api.key, str(api.versions), api.family, api.summary) == ("Probe", 7, "0-2", "cluster", "Asks.")
    assert (api.notes, api.refuses) == ({0: "The first one.", 2: "The last one."}, "NOT_TODAY")


@pytest.mark.parametrize(
    ("find", "replace", "line", "what"),
    [
        ("  summary: Asks.\n", "", 2, "the key 'summary' is missing"),
        ("  key: 7\n", "", 2, "the key 'key' is missing"),
        ("  versions: 0-2\n", "", 2, "the key 'versions' is missing"),
        ("  family:", "  clan:", 5, "Probe has no key 'clan'"),
        ("  family: cluster", "  key: 7", 5, "'key' stands twice"),
        ("key: 7", "key: seven", 3, "'seven' is not a number"),
        ("key: 7", "key: 8", 3, "Probe has key 8 here and 7 in its schema"),
        ("versions: 0-2", "versions: 2-0", 4, "versions: '2-0' ends before it begins"),
        ("versions: 0-2", "versions: 0-3", 4, "Probe serves 0-3, ProbeRequest has only 0-2"),
        ("versions: 0-2", "versions: none", 4, "Probe is served in no version"),
        ("summary: Asks.", "summary: 5", 6, "summary must be a text, not '5'"),
        ("summary: Asks.", "summary:", 6, "summary must be a text, not ''"),
        ('    2: "The', '    3: "The', 9, "Probe: note for v3, which is not served"),
        ('    2: "The', '    0: "The', 9, "Probe: two notes for v0"),
        ('    2: "The', '    two: "The', 9, "'two' is not a number"),
        ('2: "The last one."', "2: []", 9, "expected a plain value"),
        ("NOT_TODAY", "NO_SUCH_ERROR", 10, "Probe refuses with NO_SUCH_ERROR, which errors.yaml lacks"),
        ("Probe:", "Prose:", 2, "Prose is served, but ProseRequest has no schema"),
        ("  refuses: NOT_TODAY", "Probe: {}", 10, "Probe stands twice"),
        ("  refuses: NOT_TODAY", "Other: 5", 10, "Other must be an object"),
        ("summary: Asks.", "summary: {", 8, "did not find expected"),
        ("Asks.", "Asks \x07", 6, "control characters are not allowed"),
    ],
)
def test_a_row_that_is_not_understood_is_refused_with_its_line(
    tmp_path: Path, find: str, replace: str, line: int, what: str
) -> None:
    assert find in APIS
    (tmp_path / "apis.yaml").write_text(APIS.replace(find, replace, 1))
    with pytest.raises(SpecError) as caught:
        read_apis(tmp_path / "apis.yaml", messages(), {"NOT_TODAY"})
    assert str(caught.value).startswith(f"{tmp_path}/apis.yaml:{line}: ")
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("find", "replace", "line", "what"),
    [
        ("code: 7", "code: -1", 5, "-1 stands in line 1 already"),
        ("name: NOT_TODAY", "name: UNKNOWN", 5, "UNKNOWN stands in line 1 already"),
        ("- code: 7\n  name", "- name", 5, "the key 'code' is missing"),
        ("  name: NOT_TODAY\n", "", 5, "the key 'name' is missing"),
        ("  retriable: true\n", "", 5, "the key 'retriable' is missing"),
        ("  meaning: Ask again.\n", "", 5, "the key 'meaning' is missing"),
        ("meaning: Ask", "sense: Ask", 8, "an error has no key 'sense'"),
        ("retriable: true", "retriable: maybe", 7, "retriable must be true or false, not 'maybe'"),
        ("code: 7", "code: 1.5", 5, "'1.5' is not a number"),
        ("code: 7", "code: 40000", 5, "40000 is no int16"),
        ("NOT_TODAY", "NotToday", 6, "'NotToday' is no name of an error"),
        ("meaning: Ask again.", "meaning: null", 8, "meaning must be a text"),
        ("- code: 7", "- 7\n- code: 7", 5, "an error must be an object"),
    ],
)
def test_an_error_that_is_not_understood_is_refused_with_its_line(
    tmp_path: Path, find: str, replace: str, line: int, what: str
) -> None:
    assert find in ERRORS
    (tmp_path / "errors.yaml").write_text(ERRORS.replace(find, replace, 1))
    with pytest.raises(SpecError) as caught:
        read_errors(tmp_path / "errors.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/errors.yaml:{line}: ")
    assert what in str(caught.value)


def test_a_table_that_is_missing_or_not_utf_8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "errors.yaml"
    with pytest.raises(SpecError, match=r"errors\.yaml:1: cannot be read: No such file"):
        read_errors(path)
    path.write_bytes(ERRORS.encode() + b"# caf\xe9\n")
    with pytest.raises(SpecError, match=r"errors\.yaml:9: not UTF-8: invalid continuation byte 0xe9"):
        read_errors(path)


def test_an_empty_table_is_refused_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing yet\n")
    assert read_errors(path) == []
    with pytest.raises(SpecError, match=r"empty\.yaml:1: the table of APIs must be an object"):
        read_apis(path, messages(), ())
