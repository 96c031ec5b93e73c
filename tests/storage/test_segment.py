"""When a segment is full: by size, by the width of relative offsets, by the size of its index."""

from __future__ import annotations

import pytest

from kafka_server.infrastructure.storage.log.segment import Segment
from tests.crash.sim_disk import SimDisk

FOLDER = "/data/orders-0"
BASE, SIZE = 100, 70
PLENTY = 2**30


@pytest.fixture
def segment() -> Segment:
    """Holds three batches of 70 bytes, each but the first with an entry in the index."""
    disk = SimDisk()
    disk.make_folder(FOLDER)
    segment = Segment(disk, FOLDER, BASE, index_interval_bytes=1)
    for at in range(3):
        segment.append((bytes(SIZE),), SIZE, BASE + at, -1, 0)
    assert len(segment.indexes[0]) == 2
    return segment


@pytest.mark.parametrize(
    ("last_offset", "segment_bytes", "index_bytes", "fits"),
    [
        (BASE + 3, 4 * SIZE, PLENTY, True),
        (BASE + 3, 4 * SIZE - 1, PLENTY, False),
        (BASE + 2**31 - 1, PLENTY, PLENTY, True),
        (BASE + 2**31, PLENTY, PLENTY, False),
        (BASE + 3, PLENTY, 3 * 8, True),
        (BASE + 3, PLENTY, 3 * 8 - 1, False),
    ],
)
def test_a_batch_has_to_fit_in_every_way(
    segment: Segment, last_offset: int, segment_bytes: int, index_bytes: int, fits: bool
) -> None:
    assert segment.has_room(SIZE, last_offset, segment_bytes, index_bytes) is fits


def test_an_empty_segment_takes_any_batch() -> None:
    disk = SimDisk()
    disk.make_folder(FOLDER)
    assert Segment(disk, FOLDER, BASE, 1).has_room(SIZE, BASE, 1, 1)
