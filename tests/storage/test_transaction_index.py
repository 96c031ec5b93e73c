"""Open and aborted transactions are the same after a stop, after a crash, and with files that are gone or broken."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from kafka_server.domain.aborted_transactions import AbortedTransaction
from kafka_server.domain.control_record import Marker, build_marker
from kafka_server.domain.partition import Membership
from kafka_server.domain.record_batch import TRANSACTIONAL, assigned_prefix, parse_header
from kafka_server.domain.topic import TopicSettings
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import BrokenFile
from kafka_server.infrastructure.storage.log.transaction_index import (
    decode_transaction_index,
    encode_transaction_index,
)
from tests.crash.sim_disk import SimDisk
from tests.domain.batches import NOW_MS, idempotent, patched
from tests.storage.log_house import FOLDER, OpenLog, open_log, path

SMALL_SEGMENTS = replace(TopicSettings(), segment_bytes=600)
ENTRIES = [AbortedTransaction(1, 0, 9, 5), AbortedTransaction(2**62, 5, 12, 13)]


async def write(opened: OpenLog, producer_id: int, sequence: int, count: int = 2) -> None:
    """Transactional records of a producer."""
    data = patched(idempotent(sequence, count, producer_id=producer_id), 21, "h", TRANSACTIONAL)
    opened.partition.admit(parse_header(data), Membership.VERIFIED)
    await opened.append_all(data)


async def end(opened: OpenLog, producer_id: int, *, commit: bool) -> None:
    """A marker."""
    partition = opened.partition
    marker = Marker(producer_id, 0, commit)
    data = memoryview(build_marker(marker, NOW_MS))
    offset = partition.log_end_offset
    head = assigned_prefix(offset, parse_header(data).batch_length, partition.leader_epoch)
    written = opened.log.append(head, data[16:], offset, offset, NOW_MS)
    partition.end_transaction(marker, NOW_MS, is_safe=written is None)
    if written is not None:
        await written
        partition.acknowledge(partition.log_end_offset)


async def busy_log(disk: SimDisk) -> OpenLog:
    """Three segments and more; some transactions committed, some aborted, one left open."""
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    for number in range(8):
        await write(opened, 1, 2 * number)
        await write(opened, 2, 2 * number)
        await end(opened, 1, commit=number % 2 == 0)
        await end(opened, 2, commit=number % 3 == 0)
    await write(opened, 3, 0)
    return opened


def facts(opened: OpenLog) -> tuple[object, ...]:
    partition = opened.partition
    return (
        partition.aborted.between(0, 10**6),
        partition.producers.open_transactions,
        partition.last_stable_offset,
        partition.log_end_offset,
    )


@pytest.mark.parametrize("after_crash", [False, True])
async def test_a_start_knows_what_was_aborted_and_what_is_open(after_crash: bool) -> None:
    disk = SimDisk(random.Random(1))
    opened = await busy_log(disk)
    expected = facts(opened)
    assert len(opened.partition.aborted) == 9
    assert opened.partition.last_stable_offset < opened.partition.log_end_offset
    if not after_crash:
        opened.log.close()

    disk = disk.after_cut() if after_crash else disk
    assert facts(open_log(disk, after_crash=after_crash, settings=SMALL_SEGMENTS)) == expected


async def test_a_segments_index_holds_the_markers_that_lie_in_it() -> None:
    disk = SimDisk()
    opened = await busy_log(disk)
    opened.log.close()
    found = []
    for name in disk.names(FOLDER):
        base = names.offset_of(name)
        if name.endswith(names.TRANSACTION_INDEX) and base is not None:
            found += decode_transaction_index(name, disk.read_file(f"{FOLDER}/{name}") or b"", base)

    assert found == opened.partition.aborted.ending_between(0, 10**6)


async def test_a_broken_index_is_made_up_for_by_the_log() -> None:
    disk = SimDisk()
    opened = await busy_log(disk)
    expected = facts(opened)
    opened.log.close()
    first = next(name for name in disk.names(FOLDER) if name.endswith(names.TRANSACTION_INDEX))
    disk.replace(f"{FOLDER}/{first}", b"\xff" * 34)

    assert facts(open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)) == expected


async def test_without_an_aborted_transaction_there_is_no_file() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False)
    await write(opened, 1, 0)
    await end(opened, 1, commit=True)
    opened.log.close()

    assert disk.read_file(path(0, names.TRANSACTION_INDEX)) is None


def test_an_entry_takes_34_bytes_and_survives_them() -> None:
    content = encode_transaction_index(ENTRIES)

    assert len(content) == 2 * 34
    assert decode_transaction_index("x", content, 0) == ENTRIES


@pytest.mark.parametrize(
    "content",
    [encode_transaction_index(ENTRIES)[:-1], b"\0\1" + bytes(32), encode_transaction_index(ENTRIES[::-1])],
    ids=["torn", "another version", "out of order"],
)
def test_a_file_that_cannot_be_right_is_refused(content: bytes) -> None:
    with pytest.raises(BrokenFile):
        decode_transaction_index("x", content, 0)


async def test_two_crashes_forget_nothing_of_which_the_first_one_came_before_the_index_was_written() -> None:
    disk = SimDisk(random.Random(1))
    opened = await busy_log(disk)
    bases = [offset for name in disk.names(FOLDER) if name.endswith(names.LOG) and (offset := names.offset_of(name))]
    newest_index = max(offset for offset in bases if opened.partition.aborted.ending_between(offset, bases[-1]))
    expected = facts(opened)
    # The crash came after later segments were begun and before what goes with the full one was written.
    disk.remove(path(newest_index, names.TRANSACTION_INDEX))
    for offset in bases:
        if offset > newest_index:
            disk.remove(path(offset, names.SNAPSHOT))
    opened = open_log(disk, after_crash=True, settings=SMALL_SEGMENTS)
    assert facts(opened) == expected

    for number in range(8, 12):
        await write(opened, 1, 2 * number)
        await end(opened, 1, commit=True)
    expected = facts(opened)
    opened = open_log(disk, after_crash=True, settings=SMALL_SEGMENTS)

    assert facts(opened) == expected


async def test_a_torn_end_behind_a_clean_stop_leaves_what_the_index_tells_of_the_rest() -> None:
    disk = SimDisk(random.Random(1))
    opened = open_log(disk, after_crash=False)
    for number in range(4):
        await write(opened, 1, 2 * number)
        await end(opened, 1, commit=False)
    opened.log.close()
    opened = open_log(disk, after_crash=False)
    expected = facts(opened)
    await write(opened, 2, 0)
    file = disk.open(path(0))
    file.truncate(file.size() - 1)  # the crash tore the batch that was written last

    opened = open_log(disk, after_crash=True)

    assert facts(opened)[0] == expected[0]
    assert len(opened.partition.aborted) == 4
