"""Broken bytes: whatever a peer sends, a decoder answers with a message or with a ProtocolError that names the place.

The interpreter is the second opinion: it has to refuse what the codec refuses, and to read what the codec reads.
"""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka_protocol.wire import ProtocolError

from codegen.spec import Message
from tests.generated import ours
from tests.generated.interpreter import Interpreter, Value, WireError
from tests.generated.java_peer import RELEASES, JavaPeer, as_java_shows_it
from tests.generated.values import Shape, sample, values
from tests.generated.wounds import mutate, wounds

CUTS_PER_VERSION = 3
WOUNDS_PER_VERSION = 4

CUT_EVERYWHERE = ["ProduceRequest", "FetchRequest", "JoinGroupRequest"]
"""Cut at every byte, in their oldest and newest versions."""


def full(message: Message, version: int, seed: int) -> tuple[dict[str, Value], random.Random]:
    source = random.Random(f"{seed}:{message.name}:{version}:broken")
    return sample(message, version, source, Shape.FULL), source


def refused(message: Message, version: int, data: bytes) -> ProtocolError:
    """The complaint about bytes that must not be read."""
    with pytest.raises(ProtocolError) as caught:
        ours.message_class(message.name).decode(data, version)
    error = caught.value
    assert (error.message, error.version) == (message.name, version)
    assert error.field
    assert 0 <= error.offset <= len(data)
    return error


def test_a_message_that_ends_too_early_is_refused_wherever_it_ends(
    interpreter: Interpreter, messages: list[Message], seed: int
) -> None:
    for message in messages:
        for version in message.valid:
            value, source = full(message, version, seed)
            data = interpreter.build(message.name, version, value)
            ends: Sequence[int] = range(len(data))
            if message.name not in CUT_EVERYWHERE or version not in (message.valid.low, message.valid.high):
                ends = source.sample(ends, min(CUTS_PER_VERSION, len(data)))
            for end in ends:
                error = refused(message, version, data[:end])
                assert error.offset <= end, f"{error} (KAFKA_TEST_SEED={seed})"


def test_bytes_behind_the_last_field_are_refused_at_the_byte_where_they_begin(
    interpreter: Interpreter, messages: list[Message], seed: int
) -> None:
    for message in messages:
        for version in message.valid:
            value, _ = full(message, version, seed)
            data = interpreter.build(message.name, version, value)
            error = refused(message, version, data + b"\0")
            assert (error.field, error.offset) == ("(end)", len(data)), f"{error} (KAFKA_TEST_SEED={seed})"


def test_a_broken_length_count_or_text_is_refused_by_name_and_offset(
    interpreter: Interpreter, messages: list[Message], seed: int
) -> None:
    for message in messages:
        for version in message.valid:
            value, source = full(message, version, seed)
            data = interpreter.build(message.name, version, value)
            found = list(wounds(message, version, data, interpreter.dissect(message.name, version, data)))
            for wound in source.sample(found, min(WOUNDS_PER_VERSION, len(found))):
                where = f"{message.name} v{version} {wound.what} at {wound.field} (KAFKA_TEST_SEED={seed})"
                error = refused(message, version, wound.data)
                assert (error.field, error.offset) == (wound.field, wound.offset), f"{where}: {error}"
                with pytest.raises(WireError):
                    interpreter.parse(message.name, version, wound.data)


def test_a_huge_count_costs_no_memory(interpreter: Interpreter, messages: list[Message], seed: int) -> None:
    for message in messages:
        version = message.valid.high
        value, _ = full(message, version, seed)
        data = interpreter.build(message.name, version, value)
        huge = [
            wound
            for wound in wounds(message, version, data, interpreter.dissect(message.name, version, data))
            if wound.what.startswith("a huge")
        ]
        for wound in huge[:3]:
            tracemalloc.start()
            refused(message, version, wound.data)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 512 * 1024, f"{message.name} v{version} {wound.what} at {wound.field}: {peak} bytes"


@pytest.mark.parametrize(
    ("name", "version", "element"),
    [
        ("MetadataRequest", 0, bytes.fromhex("0000")),
        ("MetadataRequest", 12, bytes(16) + bytes.fromhex("00 00")),
        ("FetchRequest", 17, bytes(16) + bytes.fromhex("01 00")),
        ("OffsetFetchRequest", 9, bytes.fromhex("01 00 00000000 01 00")),
        ("DeleteGroupsRequest", 2, bytes.fromhex("01")),
    ],
)
def test_memory_for_the_smallest_elements_is_a_small_multiple_of_the_bytes(
    name: str, version: int, element: bytes, interpreter: Interpreter
) -> None:
    """What an attacker gets for a frame: here 16 KiB of the cheapest element there is."""
    count = 16_384 // len(element)
    head = bytes(4 + 4 + 4 + 1 + 4 + 4) if name == "FetchRequest" else b""
    compact = bytes([count + 1 & 0x7F | 0x80, count + 1 >> 7 & 0x7F | 0x80, count + 1 >> 14])
    frame = head + (compact if version in interpreter.messages[name].flexible else count.to_bytes(4, "big"))
    frame += element * count
    tracemalloc.start()
    # The frame lacks its last fields; every element is built before that shows.
    with pytest.raises(ProtocolError):
        ours.message_class(name).decode(frame + b"\xff" * 3, version)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(frame) < peak < 100 * len(frame)


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_random_damage_is_read_by_both_or_refused_by_both(
    data: st.DataObject, interpreter: Interpreter, messages: list[Message]
) -> None:
    message = data.draw(st.sampled_from(messages))
    version = data.draw(st.sampled_from(list(message.valid)))
    value = data.draw(values(message, version, unknown_tags=True))
    source = data.draw(st.randoms(use_true_random=False))
    check_both(interpreter, message, version, mutate(interpreter.build(message.name, version, value), source))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(noise=st.binary(max_size=200), data=st.data())
def test_noise_is_read_by_both_or_refused_by_both(
    noise: bytes, data: st.DataObject, interpreter: Interpreter, messages: list[Message]
) -> None:
    message = data.draw(st.sampled_from(messages))
    check_both(interpreter, message, data.draw(st.sampled_from(list(message.valid))), noise)


STRICTER = re.compile(r"invalid UTF-8|^length -\d|the tag's size|claims \d+ bytes|follows tag|neither -1 nor 1")
"""Why this codec alone refuses bytes. Apache Kafka puts a replacement character where UTF-8 is broken, takes every
negative length for null, and overlooks the size of a tag that it knows and the order of tags."""

LAXER = re.compile(r"Tag \d+ is not valid for version")
"""Why Apache Kafka alone refuses bytes: a tag that only a later version defines is unknown here, and kept."""


@pytest.mark.jvm
def test_damage_is_judged_as_apache_kafka_judges_it(
    java: JavaPeer, interpreter: Interpreter, messages: list[Message], seed: int
) -> None:
    read_by_both = 0
    for message in messages:
        source = random.Random(f"{seed}:{message.name}:damage")
        asked = []
        for version in message.valid:
            value = sample(message, version, source, unknown_tags=True)
            asked.append((version, mutate(interpreter.build(message.name, version, value), source)))
        for (version, data), verdict in zip(asked, java.judge(RELEASES[0], message, asked), strict=True):
            where = f"{message.name} v{version} {data.hex()} (KAFKA_TEST_SEED={seed})"
            decoded, reason = read(message, version, data)
            if decoded is None:
                assert verdict.data is None or STRICTER.search(reason), f"{where}: {reason}"
            elif verdict.error is not None:
                assert LAXER.search(verdict.error), f"{where}: {verdict.error}"
            elif not verdict.absent:
                read_by_both += 1
                assert as_java_shows_it(message, version, decoded) == verdict.json, where
                assert ours.encode(message, version, decoded) == verdict.data, where
    assert read_by_both > 50


def read(message: Message, version: int, data: bytes) -> tuple[dict[str, Value] | None, str]:
    """The value of some bytes, or None and the reason against them."""
    try:
        return ours.decode(message, version, data), ""
    except ProtocolError as error:
        return None, error.reason


def check_both(interpreter: Interpreter, message: Message, version: int, data: bytes) -> None:
    """Codec and interpreter agree: both refuse, or both read the same value, which can be written again."""
    decoded, _ = read(message, version, data)
    if decoded is None:
        with pytest.raises(WireError):
            interpreter.parse(message.name, version, data)
        return
    assert shown(decoded) == shown(interpreter.parse(message.name, version, data))
    assert shown(ours.decode(message, version, ours.encode(message, version, decoded))) == shown(decoded)


def shown(value: Any) -> str:
    """A text that is equal for equal values, NaN included."""
    return json.dumps(value, sort_keys=True, default=repr)
