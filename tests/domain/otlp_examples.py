"""Owns: writing the few OpenTelemetry messages that tests push. Must never know: how they are read."""

from __future__ import annotations

from struct import pack


def field(number: int, value: int | bytes | float) -> bytes:
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 1) + pack("<d", value)
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def point(value: float, **attributes: str) -> bytes:
    listed = (field(1, key.encode()) + field(2, field(1, text.encode())) for key, text in attributes.items())
    return b"".join(field(7, each) for each in listed) + field(4, float(value))


def gauge(name: str, *points: bytes) -> bytes:
    return field(1, name.encode()) + field(5, b"".join(field(1, each) for each in points))


def counter(name: str, *points: bytes, temporality: int = 1) -> bytes:
    data = b"".join(field(1, each) for each in points) + field(2, temporality) + field(3, 1)
    return field(1, name.encode()) + field(3, b"unit") + field(7, data)


def push(*metrics: bytes) -> bytes:
    """A whole MetricsData, with a resource and a scope that nobody looks at."""
    scope = field(1, field(1, b"a scope")) + b"".join(field(2, each) for each in metrics)
    return field(1, field(1, b"") + field(2, scope))
