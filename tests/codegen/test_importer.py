"""Importing: several releases become one schema with every version of each, their facts and our texts."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from codegen.__main__ import main
from codegen.importer import import_releases, serialise
from codegen.layout import diagram, plan
from codegen.nodes import SpecError
from codegen.spec import read_folder, read_message

SPECS = Path(__file__).parents[2] / "specs" / "messages"

OLD = """
// Somebody else's comment.
{ "apiKey": 99, "type": "request", "name": "ProbeRequest", "validVersions": "0-2", "flexibleVersions": "none",
  "fields": [
    { "name": "ZooKeeperPath", "type": "string", "versions": "0", "about": "Somebody else's words." },
    { "name": "GroupId", "type": "string", "versions": "0+", "about": "Somebody else's words." } ] }
"""

NEW = """
{ "apiKey": 99, "type": "request", "name": "ProbeRequest", "validVersions": "2-3", "flexibleVersions": "3+",
  "fields": [
    { "name": "GroupId", "type": "string", "versions": "2+", "about": "Somebody else's words." },
    { "name": "MemberId", "type": "string", "versions": "3+", "nullableVersions": "3+", "default": "null" } ] }
"""


def release(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "ProbeRequest.json").write_text(text)
    return folder


def test_the_union_has_every_version_of_both_releases(tmp_path: Path) -> None:
    target = tmp_path / "specs"
    import_releases([release(tmp_path / "old", OLD), release(tmp_path / "new", NEW)], target)
    probe = read_message(target / "ProbeRequest.json")
    assert [diagram(plan(probe, version)).split("\n") for version in probe.valid] == [
        ["zoo_keeper_path string", "group_id string"],
        ["group_id string"],
        ["group_id string"],
        ["group_id compact_string", "member_id compact_string?", "tags"],
    ]


def test_texts_of_others_stay_behind_and_ours_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "specs"
    old, new = release(tmp_path / "old", OLD), release(tmp_path / "new", NEW)
    import_releases([old], target)
    path = target / "ProbeRequest.json"
    assert "Somebody" not in path.read_text()
    probe = read_message(path)
    probe.fields[1].about = "The group that asks."
    path.write_text(serialise(probe))
    import_releases([old, new], target)
    assert [item.about for item in read_message(path).fields] == [None, "The group that asks.", None]


def test_a_jar_is_read_like_a_folder(tmp_path: Path) -> None:
    jar = tmp_path / "kafka-clients.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("common/message/ProbeRequest.json", OLD)
        archive.writestr("common/message/README.md", "no schema")
    assert import_releases([jar], tmp_path / "specs") == ["ProbeRequest"]


def test_an_archive_without_schemas_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.jar", "w"):
        pass
    with pytest.raises(SpecError, match=r"other.jar:1: the archive has no common/message/\*.json"):
        import_releases([tmp_path / "other.jar"], tmp_path / "specs")


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (None, r"release.jar:1: cannot be read: No such file or directory"),
        (b"no archive", r"release.jar:1: no jar that can be read: File is not a zip file"),
        (b"", r"release.jar:1: no jar that can be read: "),
    ],
)
def test_what_is_no_jar_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], raw: bytes | None, what: str
) -> None:
    path = tmp_path / "release.jar"
    if raw is not None:
        path.write_bytes(raw)
    assert main(["import", str(path), "--specs", str(tmp_path / "specs")]) == 1
    told = capsys.readouterr().err
    assert what in told
    assert told.count("\n") == 1
    assert not (tmp_path / "specs").exists()


def test_a_damaged_or_foreign_file_in_a_jar_is_refused_by_name(tmp_path: Path) -> None:
    jar = tmp_path / "kafka-clients.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("common/message/ProbeRequest.json", OLD)
    whole = jar.read_bytes()
    jar.write_bytes(whole.replace(b"ZooKeeperPath", b"zooKeeperPath"))
    with pytest.raises(SpecError, match=r"kafka-clients.jar:1: no jar that can be read: Bad CRC-32"):
        import_releases([jar], tmp_path / "specs")
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("common/message/ProbeRequest.json", b"// caf\xe9\n")
    with pytest.raises(SpecError, match=r"kafka-clients.jar!common/message/ProbeRequest.json:1: not UTF-8"):
        import_releases([jar], tmp_path / "specs")


def test_a_folder_without_schemas_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"release:1: the folder has no \*.json"):
        import_releases([_empty(tmp_path / "release")], tmp_path / "specs")


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"validVersions": "2-3"', '"validVersions": "4-5"', "versions 0-2 and 4-5 of ProbeRequest leave a hole"),
        (
            '"type": "string", "versions": "2+"',
            '"type": "int32", "versions": "2+"',
            "changed its type from string to int32",
        ),
        # v1 comes from the older release, and there it is not flexible.
        ('"flexibleVersions": "3+"', '"flexibleVersions": "1+"', "merging changed ProbeRequest v1"),
    ],
)
def test_releases_that_contradict_each_other_are_refused(old: str, new: str, what: str, tmp_path: Path) -> None:
    sources = [release(tmp_path / "old", OLD), release(tmp_path / "new", NEW.replace(old, new))]
    with pytest.raises(SpecError) as caught:
        import_releases(sources, tmp_path / "specs")
    assert what in str(caught.value)


def test_importing_our_own_specs_would_change_nothing() -> None:
    for message in read_folder(SPECS):
        assert serialise(message) == Path(message.source).read_text(encoding="utf-8"), message.name
