"""Group commit: many appends wait for one sync, and a sync that failed is never tried again."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from kafka_server.domain.errors import StorageError
from kafka_server.infrastructure.storage.log.commit import Committer, NotNow


class Device:
    """Counts syncs; each waits until the test lets it go."""

    def __init__(self) -> None:
        self.written = 0
        self.synced: list[int] = []
        """How much was written when each sync was prepared."""
        self.fails = False
        self.may_finish = threading.Event()

    def prepare_sync(self) -> Callable[[], None]:
        covers = self.written

        def sync() -> None:
            self.may_finish.wait(5)
            self.synced.append(covers)
            if self.fails:
                raise OSError(errno.EIO, "Input/output error")

        return sync


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


async def test_all_who_come_in_one_turn_share_a_sync(executor: ThreadPoolExecutor) -> None:
    device = Device()
    device.may_finish.set()
    committer = Committer(device, executor, lambda _: None)
    waiting = []
    for device.written in range(1, 101):
        waiting.append(committer.join())
    await asyncio.gather(*waiting)
    assert device.synced == [100]


async def test_who_comes_while_a_sync_runs_waits_for_the_next_one(executor: ThreadPoolExecutor) -> None:
    device = Device()
    committer = Committer(device, executor, lambda _: None)
    device.written = 1
    first = committer.join()
    await asyncio.sleep(0.01)
    device.written = 2
    second = committer.join()
    device.may_finish.set()
    await first
    assert not second.done()
    await second
    assert device.synced == [1, 2]


async def test_a_sync_that_failed_is_never_tried_again_and_nothing_is_promised_any_more(
    executor: ThreadPoolExecutor,
) -> None:
    device, failures = Device(), list[BaseException]()
    device.fails = True
    committer = Committer(device, executor, failures.append)
    first = committer.join()
    await asyncio.sleep(0.01)
    second = committer.join()
    device.may_finish.set()
    for waiting in (first, second):
        with pytest.raises(StorageError):
            await waiting
    device.fails = False  # What the kernel says now, it says of pages that it has dropped.
    with pytest.raises(StorageError):
        await committer.join()
    assert len(device.synced) == len(failures) == 1


async def test_work_that_can_be_done_again_is_when_what_failed_it_has_passed(executor: ThreadPoolExecutor) -> None:
    device, failures = Device(), list[BaseException]()
    device.may_finish.set()
    device.fails = True
    committer = Committer(device, executor, failures.append, passes=lambda error: isinstance(error, OSError))
    with pytest.raises(NotNow):
        await committer.join()
    device.fails = False
    await committer.join()
    assert failures == []
