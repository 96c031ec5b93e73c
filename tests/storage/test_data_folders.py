"""Data folders as operators treat them: several, listed in another order, from elsewhere, broken, full."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kafka_server.application.ports import PartitionLog
from kafka_server.domain.errors import StorageError
from kafka_server.domain.partition import Partition
from kafka_server.domain.record_batch import assigned_prefix, parse_header
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.infrastructure.storage import StorageRefused
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import read_offsets
from kafka_server.infrastructure.storage.log.disk import OsDisk
from kafka_server.infrastructure.storage.log.folders import DataFolder, Identity, open_folders
from kafka_server.infrastructure.storage.log.repository import DiskLogRepository
from kafka_server.infrastructure.storage.sqlite.store import FILE_NAME, Statement, Store
from kafka_server.testing.broker import running_broker
from kafka_server.testing.clock import VirtualClock
from tests.domain.batches import NOW_MS, batch

CHECKPOINT_MS = 60_000


def on(*folders: Path) -> dict[str, str]:
    return {"storage": "disk", "log.dirs": ",".join(map(str, folders))}


def opened(
    *paths: Path, disk: OsDisk | None = None, failures: list[BaseException] | None = None
) -> tuple[DiskLogRepository, list[DataFolder], VirtualClock]:
    clock = VirtualClock(NOW_MS)
    folders, _ = open_folders(
        disk or OsDisk(), [str(path) for path in paths], node_id=1, cluster_id="c", default=Identity(1, "c")
    )
    logs = DiskLogRepository(
        clock,
        folders,
        flush_on_ack=False,
        on_failure=[].append if failures is None else failures.append,
        checkpoint_interval_ms=CHECKPOINT_MS,
    )
    return logs, folders, clock


def append(log: PartitionLog, partition: Partition, data: bytes) -> None:
    header = parse_header(data)
    prefix = assigned_prefix(partition.log_end_offset, header.batch_length, 0)
    base = partition.log_end_offset
    log.append(prefix, memoryview(data)[16:], base, base + header.last_offset_delta, header.max_timestamp)
    partition.advance(header, NOW_MS, is_safe=True)


async def test_the_metadata_is_found_in_whichever_folder_it_lies(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    async with running_broker(**on(one, two)) as broker:
        first_id = await broker.broker.services.producer_ids.allocate()
    async with running_broker(**on(two, one)) as broker:
        assert await broker.broker.services.producer_ids.allocate() > first_id


async def test_folders_that_were_used_apart_are_not_mixed(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        async with running_broker(**on(folder), **{"cluster.id": "c"}) as broker:
            await broker.broker.services.producer_ids.allocate()
    with pytest.raises(StorageRefused, match="both"):
        async with running_broker(**on(tmp_path / "one", tmp_path / "two")):
            pass


async def test_a_producer_id_that_adopted_logs_know_is_not_given_to_somebody_else(tmp_path: Path) -> None:
    logs, folders, _ = opened(tmp_path)
    partition = Partition(0)
    log = await logs.open(Topic("orders", bytes(range(16)), 1), partition)
    append(log, partition, batch(producer_id=5_000, producer_epoch=0, base_sequence=0))
    await logs.close()
    folders[0].lock.release()

    async with running_broker(**on(tmp_path)) as broker:
        assert broker.broker.services.replicas.find("orders", 0).partition.log_end_offset == 1
        assert await broker.broker.services.producer_ids.allocate() > 5_000


def folders_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if one.is_dir())


async def with_topics_that_no_metadata_knows(folder: Path) -> None:
    logs, folders, _ = opened(folder)
    for number in range(4):
        await logs.open(Topic(f"t{number}", bytes([number] * 16), 1), Partition(0))
    await logs.close()
    folders[0].lock.release()


async def topics_after_a_start(folder: Path) -> list[str]:
    async with running_broker(**on(folder)) as broker:
        return [topic.name for topic in broker.broker.services.topics.all()]


async def test_all_topics_of_a_folder_are_adopted_or_none_is_and_the_next_start_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_topics_that_no_metadata_knows(tmp_path)
    submit, calls = Store.submit, 0

    def dies(store: Store, statements: list[Statement], *, always_synced: bool = False) -> asyncio.Future[None]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RuntimeError("killed")
        return submit(store, statements, always_synced=always_synced)

    monkeypatch.setattr(Store, "submit", dies)
    with contextlib.suppress(RuntimeError):
        await topics_after_a_start(tmp_path)
    monkeypatch.undo()
    assert await topics_after_a_start(tmp_path) == ["t0", "t1", "t2", "t3"]
    assert folders_in(tmp_path) == ["t0-0", "t1-0", "t2-0", "t3-0"]


@pytest.mark.parametrize("is_empty", [True, False])
async def test_a_metadata_file_that_a_crash_left_before_the_adoption_is_as_good_as_none(
    tmp_path: Path, is_empty: bool
) -> None:
    await with_topics_that_no_metadata_knows(tmp_path)
    if is_empty:
        (tmp_path / FILE_NAME).touch()
    else:
        await Store(str(tmp_path / FILE_NAME), durable=True, on_failure=print).close()
    assert await topics_after_a_start(tmp_path) == ["t0", "t1", "t2", "t3"]


async def test_two_topics_of_one_id_are_no_reason_not_to_start(tmp_path: Path) -> None:
    await with_topics_that_no_metadata_knows(tmp_path)
    shutil.copytree(tmp_path / "t0-0", tmp_path / "t0-copy-0")
    assert await topics_after_a_start(tmp_path) == ["t0", "t1", "t2", "t3"]


async def test_a_deletion_that_a_crash_interrupted_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object) -> None:
        """The metadata knows of the deletion, the folders do not yet."""

    async with running_broker(**on(tmp_path)) as broker:
        of = broker.broker.services
        topic = await of.topics.create_for_client("orders")
        monkeypatch.setattr(DiskLogRepository, "remove", crash)
        await of.topics.delete(topic)
    assert folders_in(tmp_path) == ["orders-0"]
    monkeypatch.undo()
    async with running_broker(**on(tmp_path)):
        assert folders_in(tmp_path) == []


async def test_a_folder_that_belongs_to_no_topic_is_put_aside_and_not_deleted(tmp_path: Path) -> None:
    async with running_broker(**on(tmp_path)) as broker:
        await broker.broker.services.topics.create_for_client("orders")
    (tmp_path / "strange-0").mkdir()
    (tmp_path / "strange-0" / "00000000000000000000.log").write_bytes(b"whose?")
    async with running_broker(**on(tmp_path)) as broker:
        assert [topic.name for topic in broker.broker.services.topics.all()] == ["orders"]
    ours, theirs = folders_in(tmp_path)
    assert (ours, theirs.startswith("strange-0."), theirs.endswith("-stray")) == ("orders-0", True, True)
    assert (tmp_path / theirs / "00000000000000000000.log").read_bytes() == b"whose?"


async def test_the_partitions_of_a_new_topic_are_spread_over_the_folders(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    logs, folders, _ = opened(one, two)
    topic = Topic("orders", bytes(range(16)), 4)
    await asyncio.gather(*(logs.open(topic, Partition(index)) for index in range(4)))
    await logs.close()
    assert [len(folder.partitions()) for folder in folders] == [2, 2]


async def test_a_checkpoint_under_way_does_not_bring_back_a_topic_that_is_removed_meanwhile(tmp_path: Path) -> None:
    logs, folders, clock = opened(tmp_path)
    topic, partition = Topic("orders", bytes(range(16)), 1), Partition(0)
    log = await logs.open(topic, partition)
    for _ in range(3):
        append(log, partition, batch())
    partition.delete_records(2)
    with folders[0].writing:
        clock.advance(CHECKPOINT_MS)  # The checkpoint begins, and waits for its turn to write.
        await asyncio.sleep(0.05)
        await logs.remove(topic, partition)
    await asyncio.sleep(0.05)

    again = Partition(0)
    await logs.open(Topic("orders", bytes(range(1, 17)), 1), again)
    assert again.log_start_offset == 0
    await logs.close()


async def test_a_stop_is_not_a_clean_one_while_a_partition_was_never_checked_after_a_crash(tmp_path: Path) -> None:
    topic = Topic("orders", bytes(range(16)), 2)
    logs, folders, _ = opened(tmp_path)
    await asyncio.gather(*(logs.open(topic, Partition(index)) for index in range(2)))
    folders[0].lock.release()  # A crash: nobody closes the logs.

    marks = []
    for count in (1, 2):
        logs, folders, _ = opened(tmp_path)
        await asyncio.gather(*(logs.open(topic, Partition(index)) for index in range(count)))
        await logs.close()
        folders[0].lock.release()
        marks.append((tmp_path / names.CLEAN_SHUTDOWN).exists())
    assert marks == [False, True]


async def test_a_topic_created_anew_is_compacted_from_its_start(tmp_path: Path) -> None:
    logs, folders, _ = opened(tmp_path)
    topic, partition = Topic("orders", bytes(range(16)), 1), Partition(0)
    await logs.open(topic, partition)
    folders[0].write_cleaner_offset(("orders", 0), 500, folders[0].removals)
    await logs.remove(topic, partition)
    folders[0].write_cleaner_offset(("orders", 0), 600, gathered=0)  # A pass that was under way.
    await logs.open(Topic("orders", bytes(range(1, 17)), 1), Partition(0))
    assert folders[0].cleaner_offsets == {}
    await logs.close()


async def test_what_is_written_in_the_place_of_what_was_cut_off_counts_as_dirty(tmp_path: Path) -> None:
    topic, partition = Topic("orders", bytes(range(16)), 1), Partition(0)
    logs, folders, _ = opened(tmp_path)
    log = await logs.open(topic, partition)
    append(log, partition, batch())
    folders[0].write_cleaner_offset(("orders", 0), 10, folders[0].removals)
    folders[0].lock.release()  # A crash, and offsets 1 to 9 are lost.

    logs, _, _ = opened(tmp_path)
    await logs.open(topic, Partition(0))
    assert read_offsets(OsDisk(), str(tmp_path / names.CLEANER_OFFSETS)) == {("orders", 0): 1}
    await logs.close()


async def test_what_compaction_took_out_is_no_flaw_when_the_topic_is_no_longer_compacted(tmp_path: Path) -> None:
    topic, partition = Topic("orders", bytes(range(16)), 1), Partition(0)
    logs, folders, _ = opened(tmp_path)
    log = await logs.open(topic, partition)
    append(log, partition, batch())
    partition.log_end_offset = 10  # The records between have newer ones of the same keys.
    append(log, partition, batch())
    folders[0].write_cleaner_offset(("orders", 0), 10, folders[0].removals)
    folders[0].lock.release()  # A crash: nobody closes the log.

    again = Partition(0)
    logs, _, _ = opened(tmp_path)
    await logs.open(topic, again)
    assert again.log_end_offset == 11
    await logs.close()


class FullDisk(OsDisk):
    """Takes no new files any more once it is full."""

    is_full = False

    def replace(self, path: str, content: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        super().replace(path, content)


async def test_deleting_records_on_a_full_disk_is_refused_and_stays_possible(tmp_path: Path) -> None:
    disk, failures = FullDisk(), list[BaseException]()
    logs, _, clock = opened(tmp_path, disk=disk, failures=failures)
    partition = Partition(0)
    log = await logs.open(Topic("orders", bytes(range(16)), 1), partition)
    for _ in range(4):
        append(log, partition, batch())
    disk.is_full = True
    for _ in range(2):
        refused = log.truncate_prefix(partition.delete_records(2))
        assert refused is not None
        with pytest.raises(StorageError):
            await refused
    assert failures == []

    disk.is_full = False
    clock.advance(CHECKPOINT_MS)  # What was refused is remembered, and written as soon as there is room.
    await logs.close()
    assert read_offsets(disk, str(tmp_path / names.LOG_STARTS)) == {("orders", 0): 2}


async def test_a_checkpoint_under_way_does_not_give_a_topic_created_anew_the_log_start_of_the_old_one(
    tmp_path: Path,
) -> None:
    logs, folders, clock = opened(tmp_path)
    topic, partition = Topic("orders", bytes(range(16)), 1), Partition(0)
    log = await logs.open(topic, partition)
    for _ in range(3):
        append(log, partition, batch())
    partition.delete_records(2)
    again = Partition(0)
    with folders[0].writing:
        clock.advance(CHECKPOINT_MS)  # The checkpoint begins, and waits for its turn to write.
        await asyncio.sleep(0.05)
        await logs.remove(topic, partition)
        await logs.open(Topic("orders", bytes(range(1, 17)), 1), again)
    await asyncio.sleep(0.05)
    assert folders[0].log_starts.get(("orders", 0), 0) == 0
    await logs.close()


async def test_the_longest_name_that_a_topic_can_have_leaves_room_for_putting_its_folder_aside(tmp_path: Path) -> None:
    name = "x" * 249
    logs, folders, _ = opened(tmp_path)
    await logs.open(Topic(name, bytes(range(16)), 1), Partition(0))
    await logs.close()
    folders[0].lock.release()
    logs, _, _ = opened(tmp_path)
    await logs.open(Topic(name, bytes(range(1, 17)), 1), Partition(0))
    assert sorted(one.endswith("-stray") for one in folders_in(tmp_path)) == [False, True]
    await logs.close()


async def test_a_stop_on_a_full_disk_is_not_a_clean_one_but_ends(tmp_path: Path) -> None:
    disk = FullDisk()
    logs, _, _ = opened(tmp_path, disk=disk)
    partition = Partition(0)
    log = await logs.open(Topic("orders", bytes(range(16)), 1), partition)
    append(log, partition, batch())
    disk.is_full = True
    await logs.close()
    assert not (tmp_path / names.CLEAN_SHUTDOWN).exists()


@pytest.mark.parametrize("content", ["", "garbage", "version: 0\ntopic_id: short\n"])
async def test_a_partition_metadata_that_is_broken_is_written_anew(tmp_path: Path, content: str) -> None:
    async with running_broker(**on(tmp_path)) as broker:
        topic = await broker.broker.services.topics.create_for_client("orders")
    file = tmp_path / "orders-0" / names.PARTITION_METADATA
    expected = file.read_text()
    file.write_text(content)
    async with running_broker(**on(tmp_path)) as broker:
        assert broker.broker.services.topics.get("orders").topic_id == topic.topic_id
        assert broker.broker.services.replicas.find("orders", 0)
    assert file.read_text() == expected


@pytest.mark.parametrize(
    ("content", "told"), [(b"\xff\xfe\0", "no properties file"), (b"version=1\nnode.id=first\n", "no number")]
)
async def test_a_folder_that_does_not_say_whose_it_is_is_refused_in_words(
    tmp_path: Path, content: bytes, told: str
) -> None:
    (tmp_path / names.META_PROPERTIES).write_bytes(content)
    with pytest.raises(StorageRefused, match=told):
        async with running_broker(**on(tmp_path)):
            pass


async def test_a_hole_in_a_log_is_told_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    topic = Topic("orders", bytes(range(16)), 1, TopicSettings(segment_bytes=100))
    logs, folders, _ = opened(tmp_path)
    partition = Partition(0)
    log = await logs.open(topic, partition)
    for _ in range(4):
        append(log, partition, batch())
    await logs.close()
    folders[0].lock.release()
    (tmp_path / "orders-0" / "00000000000000000001.log").unlink()
    (tmp_path / "orders-0" / "00000000000000000002.log").unlink()

    logs, _, _ = opened(tmp_path)
    await logs.open(topic, Partition(0))
    assert "the offsets 1 to 2 are missing" in caplog.text
    await logs.close()


async def test_a_partition_that_cannot_be_opened_is_a_readable_error(tmp_path: Path) -> None:
    logs, folders, _ = opened(tmp_path)
    await logs.open(Topic("orders", bytes(range(16)), 1), Partition(0))
    await logs.close()
    folders[0].lock.release()
    (log,) = (tmp_path / "orders-0").glob("*.log")
    log.unlink()
    log.mkdir()

    command = [sys.executable, "-m", "kafka_server", "start", "--port", "0", "--log-dirs", str(tmp_path)]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (4, 1)
    assert "orders-0 cannot be opened" in ended.stderr


async def test_a_checkpoint_that_is_older_than_a_log_start_does_not_take_it_back(tmp_path: Path) -> None:
    _, (folder,), _ = opened(tmp_path)
    gathered = folder.removals
    folder.write_log_starts({("orders", 0): 45}, gathered)
    folder.write_log_starts({("orders", 0): 24}, gathered)
    assert read_offsets(OsDisk(), str(tmp_path / names.LOG_STARTS)) == {("orders", 0): 45}


async def test_a_partition_folder_without_a_segment_is_no_reason_not_to_start(tmp_path: Path) -> None:
    async with running_broker(**on(tmp_path)):
        pass
    (tmp_path / ".kafka_cleanshutdown").unlink()
    (tmp_path / "orders-0").mkdir()  # a crash came before its first segment
    async with running_broker(**on(tmp_path)) as broker:
        assert broker.broker.is_ready
