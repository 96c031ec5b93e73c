"""One class serves all versions of a message: what happens to a field in the versions that do not have it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from kafka_protocol.wire import EncodeError

from codegen.layout import snake
from codegen.spec import Field, Message
from tests.generated import ours
from tests.generated.interpreter import Value
from tests.generated.values import Shape, sample


def set_alone(message: Message, seed: int) -> Iterator[tuple[Field, dict[str, Value]]]:
    """Every field of the message that some version lacks, with a value in which nothing else is set."""
    for item in message.fields:
        having = item.versions & message.valid
        if having and having != message.valid:
            source = random.Random(f"{seed}:{message.name}:{item.name}")
            value = sample(message, having.high, source, Shape.FULL)
            yield item, {item.name: value[item.name]}


def test_a_set_field_that_a_version_lacks_is_dropped_if_ignorable_and_refused_if_not(
    messages: list[Message], seed: int
) -> None:
    dropped = refused = 0
    for message in messages:
        unset = ours.to_object(message, message.valid.high, {})
        for item, value in set_alone(message, seed):
            filled: Any = ours.to_object(message, message.valid.high, value)
            for version in message.valid:
                if version in item.versions:
                    continue
                where = f"{message.name} v{version} {item.name} (KAFKA_TEST_SEED={seed})"
                if item.ignorable:
                    dropped += 1
                    assert filled.encode(version) == unset.encode(version), where
                    continue
                refused += 1
                with pytest.raises(EncodeError, match=rf"{message.name} v{version}: .*\b{snake(item.name)}_? is set"):
                    filled.encode(version)
    assert dropped > 100
    assert refused > 100


def test_a_message_of_defaults_can_be_written_in_every_version_and_comes_back_equal(messages: list[Message]) -> None:
    for message in messages:
        unset = ours.message_class(message.name)()
        for version in message.valid:
            assert type(unset).decode(unset.encode(version), version) == unset, f"{message.name} v{version}"
