"""Room for bytes that are about to arrive."""

from __future__ import annotations

import pytest

from kafka_server.infrastructure import unfilled_memory
from kafka_server.infrastructure.unfilled_memory import lengthen

MIB = 1 << 20


@pytest.mark.parametrize("way", [lengthen, unfilled_memory._fill], ids=["CPython's", "by filling"])
def test_what_was_there_stays_and_the_rest_can_be_written(way: object) -> None:
    array = bytearray(b"head")

    assert callable(way)
    way(array, 3 * MIB)
    array[4:] = b"x" * (3 * MIB - 4)

    assert array == b"head" + b"x" * (3 * MIB - 4)


def test_an_array_that_somebody_looks_at_does_not_move() -> None:
    array = bytearray(b"head")
    view = memoryview(array)

    with pytest.raises(BufferError):
        lengthen(array, MIB)

    assert view == b"head"
