"""A message is built step by step."""

from __future__ import annotations

import doctest

import pytest

from kafka_server.domain import message
from kafka_server.domain.message import Message, MessageBuilder


def test_every_step_of_the_builder_returns_the_builder() -> None:
    built = MessageBuilder().key(b"k").value(b"v").header("a", b"1").header("a", None).timestamp(5).offset(9).build()

    assert built == Message(b"k", b"v", (("a", b"1"), ("a", None)), 5, 9)


def test_a_message_without_a_step_has_neither_key_nor_value_nor_time_nor_offset() -> None:
    assert MessageBuilder().build() == Message(None, None, (), -1, -1)


def test_a_builder_can_go_on_and_earlier_messages_stay_as_they_are() -> None:
    builder = MessageBuilder().header("trace", b"1")
    first = builder.build()
    second = builder.header("span", b"2").build()

    assert [name for name, _ in first.headers] == ["trace"]
    assert [name for name, _ in second.headers] == ["trace", "span"]


@pytest.mark.parametrize("offset", [-1, -2])
def test_an_assigned_offset_is_never_negative(offset: int) -> None:
    with pytest.raises(ValueError, match="offset"):
        MessageBuilder().offset(offset)


def test_the_example_in_the_documentation_is_true() -> None:
    assert doctest.testmod(message).failed == 0
