"""What a log is after a crash: everything that was synced, nothing that is broken, no hole - whatever the disk kept."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable

import pytest

from kafka_server.domain.errors import StorageError
from kafka_server.domain.legacy_message import build_message_set
from kafka_server.domain.record_batch import parse_header
from kafka_server.domain.topic import TopicSettings
from kafka_server.infrastructure.storage import StorageRefused
from kafka_server.infrastructure.storage.log import names
from tests.crash.sim_disk import Content, PowerCut, SimDisk
from tests.domain.batches import CODECS, batch, messages
from tests.storage.log_house import FOLDER, OpenLog, numbered, open_log, path, producer_facts

SMALL_SEGMENTS = TopicSettings(segment_bytes=400, index_interval_bytes=100)


async def written(disk: SimDisk, count: int = 5, settings: TopicSettings | None = None) -> tuple[OpenLog, list[bytes]]:
    """A log of ``count`` synced batches, and the batches as they are stored."""
    opened = open_log(disk, after_crash=False, settings=settings)
    for at in range(count):
        await opened.append_all(numbered(2 * at))
    content = await opened.content()
    stored, at = [], 0
    while at < len(content):
        size = parse_header(content, at).size
        stored.append(content[at : at + size])
        at += size
    assert len(stored) == count
    return opened, stored


def put(disk: SimDisk, file: str, content: bytes) -> None:
    disk._now[FOLDER][file.rpartition("/")[2]] = Content(content)


async def assert_holds(disk: SimDisk, stored: list[bytes], settings: TopicSettings | None = None) -> OpenLog:
    """The log opens after a crash, holds exactly these batches, knows their producer, and goes on."""
    opened = open_log(disk, after_crash=True, settings=settings)
    assert await opened.content() == b"".join(stored)
    assert opened.partition.log_end_offset == 2 * len(stored)
    again = open_log(SimDisk(), after_crash=False)
    await again.append_all(*(numbered(2 * at) for at in range(len(stored))))
    assert {k: f[:1] for k, f in producer_facts(opened.partition).items()} == {
        k: f[:1] for k, f in producer_facts(again.partition).items()
    }
    known = opened.partition.producers.get(7)
    expected = again.partition.producers.get(7)
    assert (known and list(known.batches)) == (expected and list(expected.batches))
    await opened.append_all(numbered(2 * len(stored)))
    assert opened.partition.log_end_offset == 2 * len(stored) + 2
    return opened


# ---- the tail of the log, exhaustively -------------------------------------------------------------------------------


async def test_a_log_that_is_torn_at_any_byte_of_its_last_two_batches_keeps_the_whole_ones() -> None:
    disk = SimDisk()
    _, stored = await written(disk)
    content = b"".join(stored)
    ends = [sum(map(len, stored[: count + 1])) for count in range(5)]
    for size in range(ends[2], ends[4] + 1):
        torn = SimDisk()
        torn.make_folder(FOLDER)
        put(torn, path(0), content[:size])
        await assert_holds(torn, stored[: sum(1 for end in ends if end <= size)])


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
async def test_a_log_with_any_byte_of_its_last_two_batches_changed_is_cut_before_that_batch(flip: int) -> None:
    disk = SimDisk()
    _, stored = await written(disk)
    content = b"".join(stored)
    start = len(b"".join(stored[:3]))
    for position in range(start, len(content)):
        in_batch = position - (start if position < start + len(stored[3]) else start + len(stored[3]))
        if 12 <= in_batch < 16:
            continue  # The leader epoch is the one number that neither a CRC nor a rule covers.
        broken = bytearray(content)
        broken[position] ^= flip
        wounded = SimDisk()
        wounded.make_folder(FOLDER)
        put(wounded, path(0), bytes(broken))
        await assert_holds(wounded, stored[: 3 if position < start + len(stored[3]) else 4])


@pytest.mark.parametrize("size", [1, 11, 12, 16, 60, 61, 62, 512, 4096, 5_000_000])
@pytest.mark.parametrize("fill", [b"\x00", b"\xff", b"\x02"])
async def test_zeros_or_garbage_behind_the_last_batch_are_cut_off(size: int, fill: bytes) -> None:
    disk = SimDisk()
    _, stored = await written(disk)
    put(disk, path(0), b"".join(stored) + fill * size)
    opened = await assert_holds(disk, stored)
    assert opened.log.size_bytes() == len(b"".join(stored)) + len(numbered(0))


async def test_a_copy_of_an_older_batch_behind_the_end_is_no_new_batch() -> None:
    disk = SimDisk()
    _, stored = await written(disk)
    put(disk, path(0), b"".join(stored) + stored[1])
    await assert_holds(disk, stored)


async def test_records_of_an_old_format_are_refused_instead_of_cut_off() -> None:
    disk = SimDisk()
    disk.make_folder(FOLDER)
    old = build_message_set(
        messages(3),
        magic=1,
        codec=0,
        log_append_time=False,
        compress=CODECS.compress_legacy,
        compress_v0=CODECS.compress_legacy,
    )
    put(disk, path(0), bytes(old))
    with pytest.raises(StorageRefused, match="format v1"):
        open_log(disk, after_crash=True)


# ---- other files -----------------------------------------------------------------------------------------------------


def missing(disk: SimDisk, file: str) -> None:
    disk.remove(file)


def shortened(disk: SimDisk, file: str) -> None:
    content = disk.read_file(file)
    assert content
    put(disk, file, content[:-1])


def garbled(disk: SimDisk, file: str) -> None:
    content = disk.read_file(file)
    assert content
    put(disk, file, bytes(byte ^ 0xFF for byte in content))


def emptied(disk: SimDisk, file: str) -> None:
    put(disk, file, b"")


@pytest.mark.parametrize("suffix", [names.OFFSET_INDEX, names.TIME_INDEX])
@pytest.mark.parametrize("wound", [missing, shortened, garbled, emptied])
@pytest.mark.parametrize("after_crash", [False, True])
async def test_an_index_that_is_missing_or_broken_is_built_anew(
    suffix: str, wound: Callable[[SimDisk, str], None], after_crash: bool
) -> None:
    disk = SimDisk()
    opened, stored = await written(disk, 12, SMALL_SEGMENTS)
    opened.log.close()
    indexes = [name for name in disk.names(FOLDER) if name.endswith(suffix) and disk.read_file(f"{FOLDER}/{name}")]
    assert indexes
    for name in indexes:
        wound(disk, f"{FOLDER}/{name}")

    again = open_log(disk, after_crash=after_crash, settings=SMALL_SEGMENTS)
    assert await again.content() == b"".join(stored)


@pytest.mark.parametrize("wound", [missing, shortened, garbled, emptied])
async def test_a_producer_snapshot_that_is_missing_or_broken_is_made_up_for_by_the_log(
    wound: Callable[[SimDisk, str], None],
) -> None:
    disk = SimDisk()
    opened, stored = await written(disk, 12, SMALL_SEGMENTS)
    opened.log.close()
    before = producer_facts(opened.partition)
    snapshots = [name for name in disk.names(FOLDER) if name.endswith(names.SNAPSHOT)]
    wound(disk, f"{FOLDER}/{snapshots[-1]}")

    again = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    assert producer_facts(again.partition) == before
    assert await again.content() == b"".join(stored)


async def test_over_a_clean_stop_a_producers_last_five_batches_are_remembered() -> None:
    disk = SimDisk()
    opened, _ = await written(disk, 12, SMALL_SEGMENTS)
    opened.log.close()
    again = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)

    for sequence in (14, 16, 18, 20, 22):
        repeated = again.partition.admit(parse_header(numbered(sequence)))
        assert repeated is not None
        assert repeated.first_offset == sequence
    assert again.partition.admit(parse_header(numbered(24))) is None


async def test_a_producer_whose_records_are_dropped_after_a_crash_is_known_after_the_next_crash_too() -> None:
    disk = SimDisk()
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    await opened.append_all(batch(count=1, producer_id=9, producer_epoch=3, base_sequence=0))
    await opened.append_all(*(numbered(2 * at) for at in range(12)))
    for name in disk.names(FOLDER):
        if name.endswith(names.SNAPSHOT):  # the crash comes between the rolls and their snapshots
            disk.remove(f"{FOLDER}/{name}")

    after_one = open_log(disk, after_crash=True, settings=SMALL_SEGMENTS)
    after_one.partition.acknowledge(after_one.partition.log_end_offset)
    start = after_one.partition.delete_records(20)
    deleted = after_one.log.truncate_prefix(start)
    assert deleted is not None
    await deleted
    await after_one.log.settle()
    assert path(0).rpartition("/")[2] not in disk.names(FOLDER)
    before = producer_facts(after_one.partition)

    after_two = open_log(disk, after_crash=True, settings=SMALL_SEGMENTS)
    assert producer_facts(after_two.partition) == before
    assert after_two.partition.producers.get(9)


@pytest.mark.parametrize("wound", [missing, shortened, garbled, emptied])
async def test_a_leader_epoch_checkpoint_that_is_missing_or_broken_is_read_from_the_log(
    wound: Callable[[SimDisk, str], None],
) -> None:
    disk = SimDisk()
    opened, _ = await written(disk, 3)
    opened.partition.begin_epoch(4)
    await opened.append_all(numbered(6))
    opened.log.close()
    wound(disk, f"{FOLDER}/{names.LEADER_EPOCHS}")

    again = open_log(disk, after_crash=False)
    assert again.partition.leader_epoch == 4
    assert again.partition.epochs() == opened.partition.epochs()


async def test_a_new_leader_epoch_begins_after_a_crash_and_none_after_a_clean_stop() -> None:
    disk = SimDisk()
    opened, _ = await written(disk, 3)
    crashed = open_log(disk, after_crash=True)
    assert crashed.partition.leader_epoch == opened.partition.leader_epoch + 1
    crashed.log.close()

    assert open_log(disk, after_crash=False).partition.leader_epoch == crashed.partition.leader_epoch


# ---- work that was under way -----------------------------------------------------------------------------------------


class History:
    """What a workload did to a log, and what it was told."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        """Every batch, as it is stored."""
        self.safe = 0
        """How many of them were told to be durable."""
        self.log_start_sent = 0
        self.log_start_safe = 0


async def workload(disk: SimDisk, luck: random.Random, history: History) -> None:
    """Appends, rolls, deletes records, and stops and starts cleanly, until the power fails or it is done."""
    opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    waiting: list[tuple[int, asyncio.Future[None]]] = []
    for step in range(14):
        data = numbered(2 * step, count=2)
        base, epoch = opened.partition.log_end_offset, opened.partition.leader_epoch
        history.sent.append(base.to_bytes(8, "big") + data[8:12] + epoch.to_bytes(4, "big") + data[16:])
        written = opened.append(data)
        assert isinstance(written, asyncio.Future)
        waiting.append((len(history.sent), written))
        if luck.random() < 0.6:
            await written
            history.safe = len(history.sent)
            opened.partition.acknowledge(opened.partition.log_end_offset)
        if luck.random() < 0.15 and history.safe:
            history.log_start_sent = opened.partition.delete_records(2 * luck.randint(0, history.safe))
            deleted = opened.log.truncate_prefix(history.log_start_sent)
            if deleted is not None:
                await deleted
            history.log_start_safe = history.log_start_sent
            await opened.log.settle()
        if luck.random() < 0.1:
            await opened.log.settle()
            opened.log.close()
            history.safe = len(history.sent)
            opened = open_log(disk, after_crash=False, settings=SMALL_SEGMENTS)
    for count, written in waiting:
        await written
        history.safe = max(history.safe, count)


async def survives(disk: SimDisk, history: History) -> None:
    """The log opens, and what it holds agrees with what was promised."""
    opened = open_log(disk, after_crash=True, settings=SMALL_SEGMENTS)
    start, end = opened.partition.log_start_offset, opened.partition.log_end_offset
    assert history.log_start_safe <= start <= max(history.log_start_sent, start if start == 0 else 0)
    assert 2 * history.safe <= end <= 2 * len(history.sent)
    first = next(at for at in range(len(history.sent) + 1) if 2 * at + 2 > start)
    assert await opened.content() == b"".join(history.sent[first : end // 2])
    known = opened.partition.producers.get(7)
    last = [batch.first_offset for batch in known.batches] if known else []
    assert last == [2 * at for at in range(end // 2)][-len(last) :] if last else end == 0 or start == end
    await opened.append_all(batch(count=1), batch(count=1))
    assert await opened.read(end)


async def until_the_power_fails(disk: SimDisk, luck: random.Random) -> History:
    history = History()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    with contextlib.suppress(PowerCut, StorageError):
        await workload(disk, luck, history)
    return history


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_moment_the_power_fails_at_nothing_that_was_promised_is_lost(seed: int) -> None:
    disk = SimDisk(random.Random(seed))
    await until_the_power_fails(disk, random.Random(seed))
    for moment in range(disk.changes):
        disk = SimDisk(random.Random(seed * 1_000_003 + moment))
        disk.cut_at = moment
        history = await until_the_power_fails(disk, random.Random(seed))
        await survives(disk.after_cut(), history)


@pytest.mark.parametrize("seed", range(60))
async def test_the_power_may_fail_again_during_recovery(seed: int) -> None:
    luck = random.Random(seed)
    disk = SimDisk(luck)
    disk.cut_at = luck.randint(20, 150)
    history = await until_the_power_fails(disk, random.Random(seed))
    for _ in range(3):
        disk = disk.after_cut()
        disk.cut_at = luck.randint(0, 12)
        with contextlib.suppress(PowerCut):
            open_log(disk, after_crash=True, settings=SMALL_SEGMENTS)
    await survives(disk.after_cut(), history)


async def test_a_segment_that_was_begun_and_got_nothing_is_where_the_log_goes_on() -> None:
    disk = SimDisk()
    _, stored = await written(disk)
    disk.open(path(10))
    opened = await assert_holds(disk, stored)
    assert disk.read_file(path(10)) != b""
    assert opened.partition.log_start_offset == 0


async def test_a_segment_behind_a_cut_goes_with_what_was_cut() -> None:
    disk = SimDisk()
    _, stored = await written(disk, 12, SMALL_SEGMENTS)
    first_base = [names.offset_of(name) for name in disk.names(FOLDER) if name.endswith(names.LOG)][1]
    assert first_base
    content = disk.read_file(path(first_base))
    assert content
    put(disk, path(first_base), content[:-1])
    size = parse_header(content).size
    kept = first_base // 2 + len(content) // size - 1

    await assert_holds(disk, stored[:kept], SMALL_SEGMENTS)


async def test_leftovers_of_deletions_and_of_unfinished_compactions_are_swept_away() -> None:
    disk = SimDisk()
    _, stored = await written(disk)
    for name in ("00000000000000000000.log.cleaned", "00000000000000000000.index.deleted", "x.tmp"):
        put(disk, name, b"anything")
    put(disk, path(77, names.OFFSET_INDEX), b"12345678")

    await assert_holds(disk, stored)
    assert not [name for name in disk.names(FOLDER) if name.endswith((".cleaned", ".deleted", ".tmp"))]
    assert path(77, names.OFFSET_INDEX).rpartition("/")[2] not in disk.names(FOLDER)


async def test_a_compaction_whose_result_was_complete_takes_the_place_of_its_sources() -> None:
    disk = SimDisk()
    opened, stored = await written(disk, 12, SMALL_SEGMENTS)
    opened.log.close()
    bases = [o for name in disk.names(FOLDER) if name.endswith(names.LOG) and (o := names.offset_of(name)) is not None]
    kept = [stored[0], *stored[2 : bases[2] // 2]]
    put(disk, path(0) + names.SWAP, b"".join(kept))
    compacting = TopicSettings(segment_bytes=400, index_interval_bytes=100, cleanup_compact=True)

    for after_crash in (False, True):
        again = open_log(disk, after_crash=after_crash, recovery_point=bases[-1], settings=compacting)
        assert await again.content() == b"".join([*kept, *stored[bases[2] // 2 :]])
