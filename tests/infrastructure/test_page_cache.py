"""What the kernel says of a file's pages decides whether they are sent from the file."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from kafka_server.infrastructure import page_cache
from kafka_server.infrastructure.storage.log.disk import OsDisk

PAGE = page_cache.PAGESIZE
SIZE = 8 * PAGE


@pytest.fixture
def path(tmp_path: Path) -> str:
    path = str(tmp_path / "00000000000000000000.log")
    file = OsDisk().open(path)
    file.append([bytes(SIZE)])
    file.sync()
    descriptor = os.open(path, os.O_RDWR)
    if not page_cache.is_cached(descriptor, 0, SIZE):
        pytest.skip("this kernel has no cachestat (Linux 6.5), or a sandbox forbids it")
    os.close(descriptor)
    return path


def test_what_was_just_written_is_in_memory_to_its_last_byte(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR)
    for position, size in ((0, SIZE), (0, 1), (SIZE - 1, 1), (PAGE - 1, 2), (PAGE, PAGE)):
        assert page_cache.is_cached(descriptor, position, size)
    os.close(descriptor)


def test_what_was_evicted_is_not_sent_from_the_file(path: str) -> None:
    file = OsDisk().open(path)
    assert len(file.stored(0, SIZE) or b"") == SIZE
    descriptor = os.open(path, os.O_RDWR)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    assert file.stored(0, SIZE) is None
    assert file.stored(SIZE - 1, 1) is None
    os.pread(descriptor, SIZE, 0)
    os.close(descriptor)
    assert file.stored(0, SIZE) is not None


def test_a_kernel_that_cannot_tell_means_that_bytes_are_read(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "_count", lambda: None)
    assert OsDisk().open(path).stored(0, SIZE) is None


def test_brokers_in_several_threads_of_one_process_do_not_get_each_others_answers(path: str, tmp_path: Path) -> None:
    empty = os.open(tmp_path / "empty", os.O_RDWR | os.O_CREAT)
    descriptor = os.open(path, os.O_RDWR)

    begin = Barrier(2)

    def ask(of: int, expected: bool) -> bool:
        begin.wait()
        return all(page_cache.is_cached(of, 0, SIZE) is expected for _ in range(20_000))

    with ThreadPoolExecutor(2) as threads:
        there, missing = threads.submit(ask, descriptor, True), threads.submit(ask, empty, False)
        assert there.result()
        assert missing.result()
    os.close(descriptor)
    os.close(empty)
