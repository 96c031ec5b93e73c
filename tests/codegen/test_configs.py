"""``specs/configs.yaml`` becomes a table of plain facts, and what the renderer does not know it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.configs import render_configs
from codegen.nodes import SpecError
from kafka_server.domain.config_def import ConfigTable, ConfigType

ROOT = Path(__file__).parents[2]

BROKER = """
  - name: a.ms
    type: long
    default: '5'
    min: -1
    importance: high
    update: cluster-wide
    effect: yes
    doc: How long a is.
"""
TOPIC = """
  - name: t.a
    type: list
    values: [x, y]
    importance: low
    synonyms: [a.ms * 1000]
    effect: none
    doc: 'A doc: with a colon.'
"""


def rendered(tmp_path: Path, broker: str = BROKER, topic: str = TOPIC) -> dict[str, str]:
    group = topic.replace("t.a", "g.a")
    (tmp_path / "configs.yaml").write_text(f"broker:\n{broker}\ntopic:\n{topic}\ngroup:\n{group}\nclient_metrics: []\n")
    module: dict[str, str] = {}
    exec(render_configs(tmp_path), module)
    return module


def test_the_generated_table_is_the_one_in_the_tree() -> None:
    in_tree = (ROOT / "kafka_server" / "domain" / "config_definitions.py").read_text(encoding="utf-8")

    assert render_configs(ROOT / "specs") == in_tree, "run: make codegen"


def test_the_facts_of_a_key_survive_the_way_into_the_table(tmp_path: Path) -> None:
    module = rendered(tmp_path)
    a, t = ConfigTable(module["BROKER"])["a.ms"], ConfigTable(module["TOPIC"])["t.a"]

    assert (a.type, a.default, a.bounds, a.update, a.has_effect) == (
        ConfigType.LONG,
        "5",
        (-1, None),
        "cluster-wide",
        True,
    )
    assert (t.values, t.synonyms, t.has_effect, t.doc) == (
        ("x", "y"),
        (("a.ms", 1000),),
        False,
        "A doc: with a colon.",
    )


@pytest.mark.parametrize(
    ("find", "replace", "line", "reason"),
    [
        ("type: long", "type: longer", 4, "broker: a.ms: type must be one of"),
        ("importance: high", "importance: huge", 7, "broker: a.ms: importance must be one of"),
        ("update: cluster-wide", "update: daily", 8, "broker: a.ms: update must be one of"),
        ("    update: cluster-wide\n", "", 3, "broker: a.ms: update must be one of"),
        ("    importance: high\n", "", 3, "the key 'importance' is missing"),
        ("effect: yes", "effect: some", 9, "broker: a.ms: effect must be one of yes, none"),
        ("doc: How long a is.", "doc: ''", 10, "doc must be a text"),
        ("    doc: How long a is.\n", "", 3, "the key 'doc' is missing"),
        ("default: '5'", "default: 5", 5, "broker: a.ms: the default must be quoted"),
        ("default: '5'", "default: 'a b'", 3, "broker: a.ms: a fact holds white space"),
        ("min: -1", "least: -1", 6, "a key of the scope broker has no key 'least'"),
        ("min: -1", "min: few", 6, "broker: a.ms: min must be a number"),
        ("min: -1", "required: perhaps", 6, "required must be true or false"),
        ("min: -1", "type: long", 6, "'type' stands twice"),
        ("- name: a.ms", "- name: 5", 3, "name must be a text, not '5'"),
        ("synonyms: [a.ms * 1000]", "synonyms: [b.ms]", 18, "topic: t.a: synonym 'b.ms' is no broker key"),
        ("values: [x, y]", "values: x", 16, "expected an array"),
        ("values: [x, y]", "values: [x, y", 17, "did not find expected"),
    ],
)
def test_what_the_renderer_does_not_know_it_refuses_with_file_and_line(
    tmp_path: Path, find: str, replace: str, line: int, reason: str
) -> None:
    assert find in BROKER + TOPIC

    with pytest.raises(SpecError) as caught:
        rendered(tmp_path, BROKER.replace(find, replace, 1), TOPIC.replace(find, replace, 1))

    assert str(caught.value).startswith(f"{tmp_path}/configs.yaml:{line}: ")
    assert reason in str(caught.value)


def test_keys_must_be_sorted_and_unique(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"configs\.yaml:12: broker: a\.ms: keys must be unique and sorted"):
        rendered(tmp_path, broker=BROKER + BROKER)


def test_the_sections_are_fixed(tmp_path: Path) -> None:
    (tmp_path / "configs.yaml").write_text("broker: []\ntopic: []\n")
    with pytest.raises(SpecError, match=r"configs\.yaml:1: configs\.yaml must have the sections broker, topic, group"):
        render_configs(tmp_path)
