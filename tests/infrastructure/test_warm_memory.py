"""Memory that reads share: never while somebody looks at it, again as soon as nobody does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kafka_server.infrastructure.storage.log.disk import WARM_COUNT_MAX, WARM_SIZE, WARM_SIZE_MIN, OsDisk, WarmMemory


def test_memory_that_nobody_looks_at_is_handed_out_again() -> None:
    memory = WarmMemory()
    first = memory.take(WARM_SIZE)
    first[:4] = b"read"
    first.release()
    assert bytes(memory.take(WARM_SIZE)[:4]) == b"read"


def test_memory_is_kept_while_a_slice_of_a_slice_is_alive() -> None:
    memory = WarmMemory()
    kept = memory.take(WARM_SIZE).toreadonly()[100:200][:10]
    memory.take(WARM_SIZE)[:] = b"x" * WARM_SIZE
    assert bytes(kept) == bytes(10)


def test_more_readers_than_pieces_get_memory_of_their_own() -> None:
    memory = WarmMemory()
    views = [memory.take(WARM_SIZE) for _ in range(WARM_COUNT_MAX + 3)]
    for number, view in enumerate(views):
        view[:] = bytes([number]) * WARM_SIZE
    assert [view[0] for view in views] == list(range(WARM_COUNT_MAX + 3))


@pytest.mark.parametrize("size", [0, 1, WARM_SIZE_MIN - 1, WARM_SIZE_MIN, WARM_SIZE, WARM_SIZE + 1])
def test_a_view_is_as_long_as_was_asked_for(size: int) -> None:
    assert len(WarmMemory().take(size)) == size


def test_what_was_read_from_a_file_stays_as_it_is_while_more_is_read(tmp_path: Path) -> None:
    file = OsDisk().open(os.fspath(tmp_path / "00000000000000000000.log"))
    file.append([b"a" * WARM_SIZE, b"b" * WARM_SIZE])
    first = file.read_cached(0, WARM_SIZE)
    second = file.read_cached(WARM_SIZE, WARM_SIZE)
    assert first is not None
    assert second is not None
    assert (bytes(first[:1]), bytes(second[:1])) == (b"a", b"b")
