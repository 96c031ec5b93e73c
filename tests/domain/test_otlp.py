"""Metrics as clients push them."""

from __future__ import annotations

from struct import pack

import pytest

from kafka_server.domain.errors import InvalidRecord
from kafka_server.domain.otlp import SAMPLES_MAX, Sample, read_samples
from tests.domain.otlp_examples import counter, field, gauge, point, push, varint


def test_gauges_and_counters_are_read_with_their_attributes() -> None:
    data = push(
        gauge("org.apache.kafka.latency", point(1.5, node="1", topic="t"), point(2, node="2")),
        counter("org.apache.kafka.sent", point(7)),
        counter("total", point(8), temporality=2),
    )

    assert read_samples(data) == [
        Sample("org.apache.kafka.latency", (("node", "1"), ("topic", "t")), 1.5, is_delta=False),
        Sample("org.apache.kafka.latency", (("node", "2"),), 2.0, is_delta=False),
        Sample("org.apache.kafka.sent", (), 7.0, is_delta=True),
        Sample("total", (), 8.0, is_delta=False),
    ]


def test_whole_numbers_are_read_too() -> None:
    whole = varint(6 << 3 | 1) + pack("<q", -3)

    assert [sample.value for sample in read_samples(push(gauge("n", whole)))] == [-3.0]


def test_what_is_not_known_is_skipped() -> None:
    unknown = field(99, b"x") + field(98, 5) + field(97, 1.0) + varint(96 << 3 | 5) + b"four"

    assert read_samples(unknown + push(unknown + gauge("n", unknown + point(1)))) == [Sample("n", (), 1.0, False)]


def test_nothing_is_no_samples() -> None:
    assert read_samples(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b"\xff" * 11,
        push(gauge("n", point(1)))[:-1],
        push(field(1, b"\xff")) + push(gauge("", field(4, b"not eight"))),
        push(field(1, b"\xff\xfe") + field(5, field(1, point(1)))),
        push(gauge("n", *[point(1)] * (SAMPLES_MAX + 1))),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRecord):
        read_samples(data)
