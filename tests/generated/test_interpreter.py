"""The interpreter on its own: known bytes, spans that tile a message, and what it refuses."""

from __future__ import annotations

import pytest

from codegen.spec import Message, parse_message
from tests.generated.interpreter import UNKNOWN_TAGS, Interpreter, SpanKind, WireError
from tests.generated.values import samples

PROBE = parse_message(
    """
    { "type": "data", "name": "Probe", "validVersions": "0-1", "flexibleVersions": "1+", "fields": [
      { "name": "Id", "type": "int16", "versions": "0+" },
      { "name": "Name", "type": "string", "versions": "0+", "nullableVersions": "0+" },
      { "name": "Parts", "type": "[]Part", "versions": "0+", "fields": [
        { "name": "Index", "type": "int8", "versions": "0+" }] },
      { "name": "Where", "type": "Place", "versions": "1+", "nullableVersions": "1+", "fields": [
        { "name": "Port", "type": "uint16", "versions": "1+" }] },
      { "name": "Hint", "type": "int32", "versions": "1+", "taggedVersions": "1+", "tag": 3, "default": "-1" }
    ] }
    """,
    "probe.json",
)

TABLE = [
    # version, value, bytes
    (0, {"Id": 1, "Name": "ab", "Parts": []}, "0001 0002 6162 00000000"),
    (0, {"Id": -1, "Name": None, "Parts": [{"Index": 7}]}, "ffff ffff 00000001 07"),
    (1, {"Id": 1, "Name": "ab", "Parts": [], "Where": None, "Hint": -1}, "0001 03 6162 01 ff 00"),
    (1, {"Id": 1, "Name": None, "Parts": [{"Index": 7}], "Where": None, "Hint": -1}, "0001 00 02 07 00 ff 00"),
    (1, {"Id": 1, "Name": "", "Parts": [], "Where": {"Port": 9092}, "Hint": -1}, "0001 01 01 01 2384 00 00"),
    (1, {"Id": 1, "Name": "", "Parts": [], "Where": None, "Hint": 5}, "0001 01 01 ff 01 03 04 00000005"),
    (
        1,
        {"Id": 1, "Name": "", "Parts": [], "Where": None, "Hint": 5, UNKNOWN_TAGS: {0: b"", 200: b"x"}},
        "0001 01 01 ff 03 00 00 03 04 00000005 c801 01 78",
    ),
]


@pytest.fixture(scope="module")
def probe() -> Interpreter:
    return Interpreter([PROBE])


@pytest.mark.parametrize(("version", "value", "text"), TABLE)
def test_known_values_are_known_bytes_in_both_directions(
    probe: Interpreter, version: int, value: dict[str, object], text: str
) -> None:
    data = bytes.fromhex(text)
    assert probe.build("Probe", version, value) == data
    assert probe.parse("Probe", version, data) == value


@pytest.mark.parametrize(
    ("version", "text", "why"),
    [
        (0, "0001 0002 61", "stream read less than specified amount"),
        (0, "0001 0000 00000000 00", "1 bytes left over"),
        (0, "0001 0000 ffffffff", "the length is -1"),
        (0, "0001 fffe 00000000", "the length is -2"),
        (1, "0001 ffffffffff 00", "a varint is longer than 5 bytes"),
        (1, "0001 01 01 02 00 00", "the byte before a nullable struct is 2"),
        (1, "0001 01 01 ff 02 03 04 00000005 03 04 00000005", "tag 3 follows tag 3"),
        (1, "0001 01 01 ff 01 03 05 00000005 00", "tag 3 claims 5 bytes and has 4"),
        (1, "0001 02 ff 01 ff 00", "can't decode byte 0xff"),
    ],
)
def test_broken_bytes_are_refused(probe: Interpreter, version: int, text: str, why: str) -> None:
    with pytest.raises(WireError, match=why):
        probe.parse("Probe", version, bytes.fromhex(text))


def test_a_span_says_where_a_field_lies_and_what_it_means(probe: Interpreter) -> None:
    dissection = probe.dissect("Probe", 1, bytes.fromhex("0001 00 02 07 00 ff 00"))
    assert [(span.start, span.end, span.path, span.kind, span.value) for span in dissection.leaves] == [
        (0, 2, "Id", SpanKind.FIELD, 1),
        (2, 3, "Name", SpanKind.FIELD, None),
        (3, 4, "Parts", SpanKind.COUNT, 1),
        (4, 5, "Parts[0].Index", SpanKind.FIELD, 7),
        (5, 6, "Parts[0]", SpanKind.TAG_COUNT, 0),
        (6, 7, "Where", SpanKind.MARKER, -1),
        (7, 8, "", SpanKind.TAG_COUNT, 0),
    ]


def test_every_message_round_trips_and_its_leaf_spans_cover_each_byte_once(
    interpreter: Interpreter, messages: list[Message], seed: int
) -> None:
    for message in messages:
        for version in message.valid:
            for where, value in samples(message, version, seed, unknown_tags=True):
                data = interpreter.build(message.name, version, value)
                dissection = interpreter.dissect(message.name, version, data)
                assert dissection.value == value, where
                edges = [0, *(span.end for span in dissection.leaves)]
                assert [span.start for span in dissection.leaves] == edges[:-1], where
                assert edges[-1] == len(data), where


def test_a_version_that_the_message_lacks_is_refused(interpreter: Interpreter) -> None:
    with pytest.raises(WireError, match="HeartbeatRequest has no version 99: it has 0-4"):
        interpreter.build("HeartbeatRequest", 99, {})


def test_a_layout_is_an_ordinary_construct(probe: Interpreter) -> None:
    value = {"Id": 1, "Name": "ab", "Parts": []}
    data = probe.layout("Probe", 0).build(value)
    assert probe.layout("Probe", 0).parse(data + b"more") == value


def test_a_string_above_32_767_bytes_is_refused_in_both_directions(probe: Interpreter) -> None:
    value = {"Id": 1, "Name": "x" * 32_767, "Parts": [], "Where": None, "Hint": -1}
    data = probe.build("Probe", 1, value)
    assert probe.parse("Probe", 1, data) == value
    with pytest.raises(WireError, match="a string of 32768 bytes"):
        probe.build("Probe", 1, {**value, "Name": "x" * 32_768})
    with pytest.raises(WireError, match="a string of 32768 bytes"):
        probe.parse("Probe", 1, data.replace(bytes.fromhex("808002") + b"x", bytes.fromhex("818002") + b"xx", 1))
