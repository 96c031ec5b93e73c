"""What every LogMover does: a log is in one of the folders, and what was read before the move is read after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kafka_server.application.ports import LogMover, LogRepository
from kafka_server.domain.partition import Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.clock import SystemClock
from kafka_server.infrastructure.storage.log.disk import OsDisk
from kafka_server.infrastructure.storage.log.folders import Identity, open_folders
from kafka_server.infrastructure.storage.log.repository import DiskLogRepository
from kafka_server.infrastructure.storage.memory import MemoryLogRepository
from tests.ports.test_partition_log import append, ready

Both = tuple[LogRepository, LogMover]


def memory(_: Path) -> Both:
    logs = MemoryLogRepository()
    return logs, logs


def on_disk(folder: Path) -> Both:
    def failed(error: BaseException) -> None:
        raise error

    paths = [str(folder / name) for name in "abc"]
    folders, _ = open_folders(OsDisk(), paths, node_id=1, cluster_id="ports", default=Identity(1, "ports"))
    clock = SystemClock(asyncio.get_running_loop())
    logs = DiskLogRepository(clock, folders, flush_on_ack=True, on_failure=failed)
    return logs, logs


ADAPTERS: dict[str, Callable[[Path], Both]] = {"memory": memory, "disk": on_disk}


@pytest.fixture(params=ADAPTERS)
async def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Both]:
    logs, mover = ADAPTERS[request.param](tmp_path)
    yield logs, mover
    await logs.close()


async def test_a_log_moves_to_every_folder_there_is_and_stays_the_same(adapter: Both) -> None:
    logs, mover = adapter
    log = await logs.open(Topic("orders", bytes(range(16)), 1), partition := Partition(0))
    stored = await append(log, 0, 3)
    partition.log_end_offset = 3

    for path in logs.paths():
        mover.move("orders", 0, path)
        assert set(mover.moving()) <= {("orders", 0)}
        for _ in range(500):
            if not mover.moving():
                break
            await asyncio.sleep(0.01)
        assert logs.path_of("orders", 0) == path
        assert bytes(await ready(log.read(0, 1000, 3))) == stored


async def test_a_move_to_where_the_log_lies_is_none_and_calls_off_another(adapter: Both) -> None:
    logs, mover = adapter
    await logs.open(Topic("orders", bytes(range(16)), 1), Partition(0))
    here = logs.path_of("orders", 0)

    mover.move("orders", 0, logs.paths()[-1])
    mover.move("orders", 0, here)

    assert mover.moving() == {}
    await asyncio.sleep(0.1)
    assert logs.path_of("orders", 0) == here
