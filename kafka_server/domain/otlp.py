"""Owns: reading metrics as clients push them: OpenTelemetry's MetricsData in protocol buffers (KIP-714).
Must never know: who sent them, what becomes of them.

Of the many fields only those are read that a sample needs; everything else is skipped, as protocol buffers want it::

    MetricsData.resource_metrics  1     Metric.name   1     NumberDataPoint.attributes 7
    ResourceMetrics.scope_metrics 2     Metric.gauge  5     NumberDataPoint.as_double  4
    ScopeMetrics.metrics          2     Metric.sum    7     NumberDataPoint.as_int     6
    Gauge/Sum.data_points         1     Sum.aggregation_temporality 2 (1: delta, 2: cumulative)
    KeyValue.key 1, .value 2            AnyValue: string 1, bool 2, int 3, double 4

Histograms are skipped: no Kafka client sends any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from kafka_server.domain.errors import InvalidRecord

SAMPLES_MAX: Final = 10_000
"""Of one push. A Java client has a few hundred."""
DELTA: Final = 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DOUBLE = Struct("<d").unpack
_INT64 = Struct("<q").unpack

Value = int | bytes
"""Of a field: a varint as a number, anything else as its bytes."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric."""

    name: str
    attributes: tuple[tuple[str, str], ...]
    value: float
    is_delta: bool
    """The value is what was added since the last push."""


def read_samples(data: bytes) -> list[Sample]:
    """Raises InvalidRecord when the bytes are no MetricsData, or hold too many samples."""
    samples: list[Sample] = []
    try:
        for resource in _messages(data, 1):
            for scope in _messages(resource, 2):
                for metric in _messages(scope, 2):
                    samples.extend(_of_metric(metric))
                    if len(samples) > SAMPLES_MAX:
                        raise InvalidRecord(f"More than {SAMPLES_MAX} samples in one push")
    except (IndexError, ValueError) as error:
        raise InvalidRecord(f"The metrics cannot be read: {error}") from error
    return samples


def _of_metric(metric: bytes) -> Iterator[Sample]:
    fields = list(_fields(metric))
    name = next((_text(value) for number, value in fields if number == 1), "")
    for number, value in fields:
        if number not in (5, 7) or isinstance(value, int):
            continue
        is_delta = number == 7 and any(field == (2, DELTA) for field in _fields(value))
        for point in _messages(value, 1):
            yield _of_point(name, point, is_delta)


def _of_point(name: str, point: bytes, is_delta: bool) -> Sample:
    attributes: list[tuple[str, str]] = []
    number = 0.0
    for field, value in _fields(point):
        if field == 4 and isinstance(value, bytes):
            (number,) = _DOUBLE(_eight(value))
        elif field == 6 and isinstance(value, bytes):
            (number,) = _INT64(_eight(value))
        elif field == 7 and isinstance(value, bytes):
            attributes.append(_attribute(value))
    return Sample(name, tuple(sorted(attributes)), number, is_delta)


def _attribute(data: bytes) -> tuple[str, str]:
    key, text = "", ""
    for field, value in _fields(data):
        if field == 1:
            key = _text(value)
        elif field == 2 and isinstance(value, bytes):
            for kind, inner in _fields(value):
                if kind == 4 and isinstance(inner, bytes):
                    text = str(_DOUBLE(_eight(inner))[0])
                elif kind <= 3:
                    text = str(inner) if isinstance(inner, int) else _text(inner)
    return key, text


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    return (value for number, value in _fields(data) if number == wanted and isinstance(value, bytes))


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of each field. Raises ValueError, IndexError."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        size = 8 if kind == _FIXED64 else 4
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind not in (_FIXED64, _FIXED32):
            raise ValueError(f"wire type {kind} at byte {position}")
        if position + size > len(data):
            raise ValueError(f"a field of {size} bytes at byte {position} runs past the end")
        yield tag >> 3, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(f"a number of more than ten bytes at byte {position}")


def _eight(value: bytes) -> bytes:
    if len(value) != 8:
        raise ValueError(f"a number of {len(value)} bytes")
    return value


def _text(value: Value) -> str:
    if isinstance(value, int):
        raise ValueError("a number where a text belongs")
    return value.decode()
