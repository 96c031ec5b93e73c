"""Names and ids of topics."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kafka_server.domain.errors import InvalidTopic
from kafka_server.domain.topic_name import (
    METADATA_TOPIC_ID,
    check_topic_name,
    draw_topic_id,
    find_collision,
    is_internal,
)


@pytest.mark.parametrize("name", ["a", "orders", "a.b_c-d", "0", "...", "x" * 249, "__consumer_offsets"])
def test_a_legal_name_passes(name: str) -> None:
    check_topic_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "x" * 250, "../x", "a/b", "a b", "a\0", "ä", "a\n", "a:b", "\u0661", "a\\b", "%2e"]
)
def test_an_illegal_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidTopic):
        check_topic_name(name)


@pytest.mark.parametrize(
    ("name", "existing", "collides_with"),
    [
        ("a.b", ["a_b"], "a_b"),
        ("a_b", ["x", "a.b"], "a.b"),
        ("a.b_c", ["a_b.c"], "a_b.c"),
        ("a.b", ["a.b"], None),
        ("ab", ["a_b", "a.b"], None),
        ("a-b", ["a_b"], None),
    ],
)
def test_names_collide_when_they_differ_only_in_dot_against_underscore(
    name: str, existing: list[str], collides_with: str | None
) -> None:
    assert find_collision(name, existing) == collides_with


def test_only_the_topics_that_kafka_keeps_for_itself_are_internal() -> None:
    assert is_internal("__consumer_offsets")
    assert not is_internal("__my_own")


def bytes_from(*draws: bytes) -> Callable[[int], bytes]:
    left = list(draws)
    return lambda size: left.pop(0)


def test_a_topic_id_is_a_random_uuid() -> None:
    topic_id = draw_topic_id(bytes_from(b"\x11" * 16))

    assert topic_id.hex() == "11111111111141119111111111111111"


@pytest.mark.parametrize("first", [0xF8, 0xF9, 0xFA, 0xFB])
def test_an_id_whose_base64_would_begin_with_a_dash_is_drawn_again(first: int) -> None:
    unlucky, lucky = bytes([first]) * 16, b"\x22" * 16

    assert draw_topic_id(bytes_from(unlucky, lucky))[0] == 0x22


def test_reserved_ids_cannot_be_drawn() -> None:
    # The version bits of a UUID alone keep zero and one away.
    assert draw_topic_id(bytes_from(bytes(16))) not in (bytes(16), METADATA_TOPIC_ID)
