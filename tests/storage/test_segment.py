"""When a segment is full: by size, by the width of relative offsets, by the size of its index."""

from __future__ import annotations

import pytest

from kafka_server.infrastructure.storage.log.segment import Fetched, NotCached, Segment
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


def test_bytes_of_a_segment_are_not_taken_for_those_of_the_one_that_replaces_it() -> None:
    """Compaction puts a new segment in the old one's place, maybe while bytes of the old one are being fetched."""
    fetched: Fetched = {}
    disks = SimDisk(), SimDisk()
    segments = []
    for disk in disks:
        disk.make_folder(FOLDER)
        segments.append(Segment(disk, FOLDER, BASE, index_interval_bytes=1))
        segments[-1].append((bytes(SIZE),), SIZE, BASE, -1, 0)
        disk.is_cold = True
    old, new = segments
    NotCached(old, 0, SIZE).fetch(fetched)
    assert len(old.read(BASE, SIZE, BASE + 1, fetched)) == SIZE
    with pytest.raises(NotCached):
        new.read(BASE, SIZE, BASE + 1, fetched)
