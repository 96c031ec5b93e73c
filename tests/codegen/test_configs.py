"""``specs/configs.yaml`` becomes a table of plain facts, and what the renderer does not know it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from codegen.configs import ConfigSpecError, render_configs
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
    ("find", "replace", "reason"),
    [
        ("type: long", "type: longer", "a.ms: type must be one of"),
        ("importance: high", "importance: huge", "a.ms: importance must be one of"),
        ("update: cluster-wide", "update: daily", "a.ms: update must be one of"),
        ("    update: cluster-wide\n", "", "a.ms: update must be one of"),
        ("effect: yes", "effect: some", "a.ms: effect must be yes or none"),
        ("doc: How long a is.", "doc: ''", "a.ms: doc is missing"),
        ("default: '5'", "default: 5", "a.ms: the default must be quoted"),
        ("default: '5'", "default: 'a b'", "a.ms: a fact holds white space"),
        ("min: -1", "least: -1", r"a.ms: unknown fields \['least'\]"),
        ("synonyms: [a.ms * 1000]", "synonyms: [b.ms]", "t.a: synonym 'b.ms' is no broker key"),
    ],
)
def test_what_the_renderer_does_not_know_it_refuses_by_scope_and_key(
    tmp_path: Path, find: str, replace: str, reason: str
) -> None:
    assert find in BROKER + TOPIC

    with pytest.raises(ConfigSpecError, match=reason):
        rendered(tmp_path, BROKER.replace(find, replace), TOPIC.replace(find, replace))


def test_keys_must_be_sorted_and_unique(tmp_path: Path) -> None:
    with pytest.raises(ConfigSpecError, match="broker: keys must be unique"):
        rendered(tmp_path, broker=BROKER + BROKER)
