"""When a segment is full, by size, by the width of relative offsets, by the size of its index; where reads end."""

from __future__ import annotations

import random

import pytest

from kafka_server.application.stored_records import StoredRecords, in_memory
from kafka_server.domain.record_batch import assigned_prefix, parse_header
from kafka_server.infrastructure.storage.log import segment as segment_module
from kafka_server.infrastructure.storage.log.segment import STORED_MIN, Fetched, NotCached, Segment
from tests.crash.sim_disk import SimDisk
from tests.domain.batches import batch, messages

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


@pytest.mark.parametrize("is_proven", [True, False])
def test_a_read_from_the_file_ends_where_a_read_into_memory_does(
    is_proven: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the sizes of batches are beside the limit, the index and what is read of headers at a time."""
    luck = random.Random(7)
    disk = SimDisk()
    disk.make_folder(FOLDER)
    segment = Segment(disk, FOLDER, 0, index_interval_bytes=4096)
    at = 0
    for _ in range(150):
        data = batch(*messages(luck.choice((1, 3)), size=luck.choice((0, 10, 1_000, 9_000, 40_000))))
        header = parse_header(data)
        last_offset = at + header.last_offset_delta
        segment.append((assigned_prefix(at, header.batch_length, 0), data[16:]), header.size, last_offset, -1, 0)
        at = last_offset + 1
    segment._is_proven = is_proven
    for _ in range(400):
        offset, end_offset = luck.randrange(at), luck.choice((at, luck.randrange(at) + 1))
        size_max = luck.choice((1, 5_000, 32 * 1024, 100_000, 1 << 20, PLENTY))
        monkeypatch.setattr(segment_module, "STORED_MIN", PLENTY)
        copied = segment.read(offset, size_max, end_offset, {})
        segment._marks.clear()
        monkeypatch.setattr(segment_module, "STORED_MIN", 1)
        stored = segment.read(offset, size_max, end_offset, {})
        assert not len(stored) or isinstance(stored, StoredRecords)
        assert bytes(in_memory(stored)) == bytes(in_memory(copied))


def test_a_large_cold_read_is_fetched_in_one_go_and_not_header_by_header() -> None:
    disk = SimDisk()
    disk.make_folder(FOLDER)
    segment = Segment(disk, FOLDER, BASE, index_interval_bytes=PLENTY)
    large = bytes(8) + (STORED_MIN - 12).to_bytes(4, "big") + bytes(STORED_MIN - 12)
    for at in range(3):
        segment.append((large,), STORED_MIN, BASE + at, -1, 0)
    disk.is_cold = True
    with pytest.raises(NotCached) as missing:
        segment.read(BASE, 2 * STORED_MIN + 100, BASE + 3, {})
    fetched: Fetched = {}
    missing.value.fetch(fetched)
    assert len(segment.read(BASE, 2 * STORED_MIN + 100, BASE + 3, fetched)) == 2 * STORED_MIN
