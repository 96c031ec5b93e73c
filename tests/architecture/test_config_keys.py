"""The list of configs tells the truth: what is said to have an effect is read somewhere, and what is read exists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from kafka_server.domain.config_def import ConfigKey, broker_keys, group_keys, topic_keys

PACKAGE = Path(__file__).parents[2] / "kafka_server"
READERS = {"boolean", "integer", "text", "texts", "topic_value", "group_value", "whole", "words", "is_given", "wrong"}
"""Methods of ConfigService, ConfigLayers and the reader in config.py whose first argument is the name of a key."""


@cache
def modules() -> tuple[ast.Module, ...]:
    files = (file for file in sorted(PACKAGE.rglob("*.py")) if file.name != "config_definitions.py")
    return tuple(ast.parse(file.read_text(encoding="utf-8")) for file in files)


@cache
def texts() -> frozenset[str]:
    """Every string literal of the program that is not a docstring of several words."""
    return frozenset(
        node.value
        for module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def names_read() -> Iterator[str]:
    for module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READERS:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value


def effective(keys: dict[str, ConfigKey]) -> list[str]:
    return [name for name, key in keys.items() if key.has_effect]


def stands_behind(name: str) -> bool:
    """Whether a key that is read falls back to this one."""
    keys = (*topic_keys().values(), *broker_keys().values(), *group_keys().values())
    readers = [key for key in keys if key.name in texts()]
    return any(name == synonym for key in readers for synonym, _ in key.synonyms)


def bounds_a_group_key(name: str) -> bool:
    """Whether it is the smallest or largest value of a group key that is read."""
    family, _, rest = name.removeprefix("group.").partition(".")
    bound, _, key = rest.partition(".")
    return bound in ("min", "max") and f"{family}.{key}" in texts()


@pytest.mark.parametrize("name", sorted(set(names_read())))
def test_every_key_that_the_code_reads_is_in_the_list(name: str) -> None:
    assert name in broker_keys() or name in topic_keys() or name in group_keys()


@pytest.mark.parametrize("name", effective(dict(broker_keys())))
def test_every_broker_key_with_an_effect_is_read(name: str) -> None:
    assert name in texts() or stands_behind(name) or bounds_a_group_key(name)


@pytest.mark.parametrize("name", effective(dict(topic_keys())))
def test_every_topic_key_with_an_effect_is_read(name: str) -> None:
    assert name in texts()


@pytest.mark.parametrize("name", sorted(set(names_read())))
def test_every_key_that_is_read_is_said_to_have_an_effect(name: str) -> None:
    known = [table[name] for table in (broker_keys(), topic_keys(), group_keys()) if name in table]

    assert any(key.has_effect for key in known) or name in ONLY_CHECKED


ONLY_CHECKED = {
    # Read to refuse contradictions; nothing obeys them yet.
    "remote.storage.enable",
}


ASKED_EACH_TIME = {
    "group.consumer.assignment.interval.ms",
    "producer.id.expiration.ms",
    "transaction.partition.verification.enable",
}
FOLLOWED = {
    node.value
    for node in ast.walk(ast.parse((PACKAGE / "bootstrap" / "live_settings.py").read_text(encoding="utf-8")))
    if isinstance(node, ast.Constant)
}


@pytest.mark.parametrize("name", [name for name, key in broker_keys().items() if key.has_effect and key.is_dynamic])
def test_a_broker_key_that_can_change_while_the_broker_runs_reaches_the_topics(name: str) -> None:
    # The other ways for a change to count are a Follower, and to ask for the value each time it matters.
    is_synonym = any(name == synonym for key in topic_keys().values() for synonym, _ in key.synonyms)
    assert name in ASKED_EACH_TIME | FOLLOWED or is_synonym
