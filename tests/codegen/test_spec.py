"""What a schema may say: everything that the generator does not understand is refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.generate import render_all
from codegen.layout import plan
from codegen.nodes import SpecError
from codegen.spec import parse_message, read_folder, read_message
from codegen.versions import NONE, OPEN, VersionError, Versions

GOOD = """\
// A comment, as upstream's files have them.
{ "apiKey": 99, "type": "request", "name": "ProbeRequest",
  "validVersions": "0-2", "flexibleVersions": "2+",
  "fields": [
    { "name": "Name", "type": "string", "versions": "0+", "nullableVersions": "1+" }, // "//" in a comment
    { "name": "Parts", "type": "[]Part", "versions": "0+", "fields": [
      { "name": "Index", "type": "int32", "versions": "0+", "default": "-1" } ]},
    { "name": "Extra", "type": "Part", "versions": "2+", "taggedVersions": "2+", "tag": 0 }
  ] }
"""

REFUSED = [
    # replaced, with, line, what is said
    ('"validVersions"', '"validVersion"', 3, "a message has no key 'validVersion'"),
    ('"nullableVersions"', '"nullable"', 5, "a field has no key 'nullable'"),
    ('"type": "string"', '"type": "text"', 5, "field Name: unknown type 'text'"),
    ('"type": "int32"', '"type": "int128"', 7, "field Index: unknown type 'int128'"),
    ('"type": "[]Part"', '"type": "[][]Part"', 6, "field Parts: unknown type '[][]Part'"),
    ('"type": "Part"', '"type": "Whole"', 8, "struct Whole is not defined"),
    ('"type": "request"', '"type": "question"', 2, "message type 'question' is none of"),
    ('"apiKey": 99, ', "", 2, "a request needs an apiKey"),
    ('"apiKey": 99', '"apiKey": "x"', 2, "'x' is not a number"),
    ('"versions": "0+", "nullableVersions": "1+"', '"versions": "0+?"', 5, "versions: '0+?' is not a version range"),
    ('"validVersions": "0-2"', '"validVersions": "2-0"', 3, "validVersions: '2-0' ends before it begins"),
    ('"versions": "0+", "default"', '"default"', 7, "the key 'versions' is missing"),
    (', "tag": 0', "", 8, "field Extra: tag and taggedVersions go together"),
    ('"default": "-1"', '"nullableVersions": "0+"', 7, "field Index: a int32 cannot be null"),
    ('"default": "-1"', '"ignorable": "yes"', 7, "ignorable must be true or false, not 'yes'"),
    ('"default": "-1"', '"entityType": "shoe"', 7, "field Index: unknown entityType 'shoe'"),
    ('"default": "-1"', '"versions": "1+"', 7, "'versions' stands twice"),
    ('"name": "Index"', '"name": "In dex"', 7, "'In dex' is no name"),
    ('"type": "[]Part"', '"type": "string"', 6, "field Parts: a string has no fields"),
    (
        '"tag": 0',
        '"tag": 0, "fields": [{"name": "A", "type": "int8", "versions": "2+"}]',
        8,
        "struct Part is defined in",
    ),
    (
        '"default": "-1" }',
        '"default": "-1" }, { "name": "Index", "type": "int8", "versions": "0+" }',
        6,
        "Index is defined",
    ),
    ("  ] }\n", "  ] ", 10, "did not find expected"),
]


def test_a_good_schema_is_read_with_the_line_of_each_field() -> None:
    message = parse_message(GOOD, "Probe.json")
    assert (message.name, message.api_key, message.valid) == ("ProbeRequest", 99, Versions(0, 2))
    assert [(item.name, item.line) for item in message.fields] == [("Name", 5), ("Parts", 6), ("Extra", 8)]
    assert message.fields[0].nullable == Versions(1, OPEN)
    assert [name for name, _ in message.structs()] == ["Part"]


@pytest.mark.parametrize(("old", "new", "line", "what"), REFUSED, ids=[row[3] for row in REFUSED])
def test_what_is_not_understood_is_refused_with_file_and_line(old: str, new: str, line: int, what: str) -> None:
    assert old in GOOD
    with pytest.raises(SpecError) as caught:
        parse_message(GOOD.replace(old, new, 1), "Probe.json")
    assert str(caught.value).startswith(f"Probe.json:{line}: ")
    assert what in str(caught.value)


def test_a_tagged_field_in_a_version_without_tags_cannot_be_laid_out() -> None:
    message = parse_message(GOOD.replace('"flexibleVersions": "2+"', '"flexibleVersions": "none"'), "Probe.json")
    with pytest.raises(
        SpecError, match=r"Probe.json:8: Extra is tagged in v2, but ProbeRequest is flexible only in none"
    ):
        plan(message, 2)


def test_two_fields_cannot_share_a_tag() -> None:
    twin = '{ "name": "More", "type": "int8", "versions": "2+", "taggedVersions": "2+", "tag": 0 }\n  ] }'
    message = parse_message(GOOD.replace('"tag": 0 }\n  ] }', f'"tag": 0 }},\n{twin}'), "Probe.json")
    with pytest.raises(SpecError, match=r"ProbeRequest uses a tag twice: \[0, 0\]"):
        plan(message, 2)


def test_a_default_that_is_no_value_of_its_type_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Probe.json").write_text(GOOD.replace('"default": "-1"', '"default": "many"'))
    with pytest.raises(SpecError, match=r"Probe.json:7: field Index: default 'many' is no int32"):
        render_all(tmp_path)


def test_two_files_cannot_define_one_message(tmp_path: Path) -> None:
    (tmp_path / "A.json").write_text(GOOD)
    (tmp_path / "B.json").write_text(GOOD)
    with pytest.raises(SpecError, match=r"B.json:1: ProbeRequest is defined in .*A.json already"):
        read_folder(tmp_path)


def test_a_folder_without_schemas_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no message schemas found"):
        render_all(tmp_path)


def test_a_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "Probe.json"
    path.write_text("[]")
    with pytest.raises(SpecError, match=r"Probe.json:1: a message must be an object"):
        read_message(path)


def test_a_schema_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "Probe.json"
    path.write_bytes(GOOD.encode().replace(b"Index", b"Ind\xffex"))
    with pytest.raises(SpecError, match=r"Probe.json:7: not UTF-8: invalid start byte 0xff"):
        read_message(path)


@pytest.mark.parametrize(
    ("text", "versions", "shown"),
    [
        ("none", NONE, "none"),
        ("3", Versions(3, 3), "3"),
        ("2-5", Versions(2, 5), "2-5"),
        ("4+", Versions(4, OPEN), "4+"),
    ],
)
def test_a_version_range_reads_and_shows_the_same(text: str, versions: Versions, shown: str) -> None:
    assert Versions.parse(text) == versions
    assert str(versions) == shown


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "1-2-3", "+", "5-4", "1 - 2"])
def test_what_is_no_version_range_is_refused(text: str) -> None:
    with pytest.raises(VersionError):
        Versions.parse(text)
