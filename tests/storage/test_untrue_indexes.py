"""An index is never believed against its log: whatever its bytes are, reads and searches find what the log holds."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from itertools import pairwise

import pytest

from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import iterate_batches, parse_header
from kafka_server.domain.records import RecordBatchBuilder
from kafka_server.domain.topic import TopicSettings
from kafka_server.infrastructure.storage.log import names, segment
from kafka_server.infrastructure.storage.log.index import OffsetIndex, TimeIndex
from tests.crash.sim_disk import Content, SimDisk
from tests.domain.batches import CODECS, NOW_MS
from tests.storage.log_house import FOLDER, OpenLog, open_log, path

SETTINGS = TopicSettings(segment_bytes=2_000, index_interval_bytes=150)
BATCHES = 40
PLENTY = 1 << 30


def timed(at: int, luck: random.Random) -> bytes:
    """A batch whose records have times of their own, mostly rising."""
    builder = RecordBatchBuilder()
    for number in range(luck.randint(1, 3)):
        builder.append(Message(b"k", b"v" * luck.randint(0, 30), (), NOW_MS + 10 * at + luck.randint(-30, 5) + number))
    return builder.build(CODECS.compress)


async def stored(disk: SimDisk, settings: TopicSettings = SETTINGS) -> None:
    """Several segments, closed cleanly."""
    luck = random.Random(1)
    opened = open_log(disk, after_crash=False, settings=settings)
    await opened.append_all(*(timed(at, luck) for at in range(BATCHES)))
    opened.log.close()


async def answers(opened: OpenLog) -> list[tuple[int, int]]:
    """The base offset of what each read and each search finds."""
    found = []
    end = opened.partition.log_end_offset
    for offset in range(end):
        piece = await opened.read(offset, 300)
        headers = [header for header, _ in iterate_batches(memoryview(piece))]
        assert sum(header.size for header in headers) == len(piece)
        assert headers[0].base_offset <= offset <= headers[0].last_offset
        assert all(after.base_offset == header.last_offset + 1 for header, after in pairwise(headers))
        found.append((offset, headers[0].base_offset))
    for at in range(0, 10 * BATCHES, 5):
        batch = bytes(await opened.log.find_batch(NOW_MS + at, 0, end))
        found.append((at, parse_header(batch).base_offset if batch else -1))
    return found


@pytest.mark.parametrize("suffix", [names.OFFSET_INDEX, names.TIME_INDEX])
@pytest.mark.parametrize(("flip", "stored_min"), [(0x01, PLENTY), (0x10, PLENTY), (0x80, PLENTY), (0x10, 1)])
async def test_any_bit_of_an_index_may_be_wrong(
    suffix: str, flip: int, stored_min: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``stored_min``: whether reads bring whole batches into memory, or no more than headers."""
    monkeypatch.setattr(segment, "STORED_MIN", stored_min)
    disk = SimDisk()
    await stored(disk)
    expected = await answers(open_log(disk, after_crash=False, settings=SETTINGS))
    files = [name for name in disk.names(FOLDER) if name.endswith(suffix)]
    assert len(files) > 2
    for name in files[1], files[-1]:
        whole = disk.read_file(f"{FOLDER}/{name}") or b""
        for position in range(len(whole)):
            broken = bytearray(whole)
            broken[position] ^= flip
            disk._now[FOLDER][name] = Content(bytes(broken))
            opened = open_log(disk, after_crash=False, settings=SETTINGS)
            assert await answers(opened) == expected
            for _ in range(2):
                opened.log.rest()
            assert await answers(opened) == expected
        disk._now[FOLDER][name] = Content(whole)


def another_position(index: bytes) -> bytes:
    """The fourth entry leads seven bytes too far, into a batch."""
    offset, position = struct.unpack_from(">ii", index, 24)
    return index[:24] + struct.pack(">ii", offset, position + 7) + index[32:]


def another_offset(index: bytes) -> bytes:
    """The fourth entry says that its batch ends earlier than it does, so that what lies in it would be passed over."""
    before, _ = struct.unpack_from(">ii", index, 16)
    _, position = struct.unpack_from(">ii", index, 24)
    return index[:24] + struct.pack(">ii", before, position) + index[32:]


@pytest.mark.parametrize("wound", [another_position, another_offset])
async def test_an_index_that_was_found_to_be_wrong_is_written_anew_at_the_next_stop(
    wound: Callable[[bytes], bytes],
) -> None:
    disk = SimDisk()
    await stored(disk)
    name = [name for name in disk.names(FOLDER) if name.endswith(names.OFFSET_INDEX)][1]
    whole = disk.read_file(f"{FOLDER}/{name}") or b""
    disk._now[FOLDER][name] = Content(wound(whole))
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    opened.log.is_as_stored = True  # as it is after a clean stop
    await answers(opened)
    opened.log.close()
    assert disk.read_file(f"{FOLDER}/{name}") == whole


async def test_what_is_appended_while_an_index_is_made_anew_is_in_it() -> None:
    disk = SimDisk()
    roomy = TopicSettings(index_interval_bytes=150)
    await stored(disk, roomy)
    name = path(0, names.OFFSET_INDEX)
    disk.replace(name, another_position(disk.read_file(name) or b""))
    opened = open_log(disk, after_crash=False, settings=roomy)
    active = opened.log.segments()[-1]
    active.rebuild_indexes()
    luck = random.Random(2)
    await opened.append_all(*(timed(BATCHES + at, luck) for at in range(10)))
    active.settle()
    twin = open_log(disk, after_crash=True, settings=roomy).log.segments()[-1]
    assert active.indexes[0].entries() == twin.indexes[0].entries()
    assert active.indexes[1].entries() == twin.indexes[1].entries()


async def test_a_log_that_is_broken_keeps_the_index_that_leads_behind_the_break() -> None:
    disk = SimDisk()
    roomy = TopicSettings(index_interval_bytes=150)
    await stored(disk, roomy)
    end = open_log(disk, after_crash=False, settings=roomy).partition.log_end_offset
    content = bytearray(disk.read_file(path(0)) or b"")
    content[parse_header(content).size + 16] = 77  # the magic of the second batch
    disk.replace(path(0), bytes(content))
    index = disk.read_file(path(0, names.OFFSET_INDEX)) or b""
    disk.replace(path(0, names.OFFSET_INDEX), another_position(index))

    opened = open_log(disk, after_crash=False, settings=roomy)
    entries = OffsetIndex.decode(0, index, len(content))
    assert entries is not None
    await opened.read(entries.entries()[3][0] + 1, 1)  # finds the index to be wrong
    piece = await opened.read(end - 3, 1)
    assert parse_header(piece).base_offset <= end - 3 <= parse_header(piece).last_offset


async def test_an_append_to_a_log_at_rest_reads_no_index() -> None:
    disk = SimDisk()
    await stored(disk)
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    for _ in range(2):
        opened.log.rest()
    read_file, seen = disk.read_file, list[str]()

    def read(name: str) -> bytes | None:
        seen.append(name)
        return read_file(name)

    disk.read_file = read  # type: ignore[method-assign]
    luck = random.Random(3)
    for at in range(20):
        opened.append(timed(BATCHES + at, luck))
    assert seen == []
    await opened.log.settle()


async def test_a_segment_that_compaction_replaced_does_not_take_the_files_of_the_new_one_for_its_own() -> None:
    disk = SimDisk()
    await stored(disk)
    opened = open_log(disk, after_crash=False, settings=SETTINGS)
    old = opened.log.segments()[0]
    for _ in range(2):
        opened.log.rest()
    old.is_replaced = True
    with pytest.raises(FileNotFoundError):
        old.wake()
    with pytest.raises(FileNotFoundError):
        old.find_by_time(NOW_MS, 0, 100)
    assert TimeIndex.decode(0, disk.read_file(path(0, names.TIME_INDEX)) or b"") is not None
