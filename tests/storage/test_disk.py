"""What the adapter on the operating system's files promises to the log."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kafka_server.infrastructure.storage.log.disk import OsDisk

DISK = OsDisk()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls that decide what survives a power cut, as they come."""
    made: list[str] = []

    def noted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any) -> Any:
            is_folder = name == "fsync" and os.path.isdir(f"/proc/self/fd/{arguments[0]}")
            made.append("fsync of the folder" if is_folder else name)
            return call(*arguments)

        return wrapper

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    return made


def test_a_small_file_is_replaced_as_a_whole_and_durably(tmp_path: Path, calls: list[str]) -> None:
    path = str(tmp_path / "checkpoint")
    DISK.replace(path, b"old")
    DISK.replace(path, b"new")
    assert DISK.read_file(path) == b"new"
    assert calls == ["fsync", "replace", "fsync of the folder"] * 2


def test_a_new_folder_is_durable_with_every_parent_that_was_missing(tmp_path: Path, calls: list[str]) -> None:
    DISK.make_folder(str(tmp_path / "a" / "b"))
    assert calls == ["fsync of the folder"] * 2


def test_pieces_are_appended_as_one_and_read_back(tmp_path: Path) -> None:
    file = DISK.open(str(tmp_path / "log"))
    file.append((b"head", memoryview(b"body")))
    file.append((b"!",))
    assert (bytes(file.read(0, 100)), bytes(file.read(4, 4)), file.size()) == (b"headbody!", b"body", 9)


@pytest.mark.parametrize("short", [0, 3])
def test_a_write_that_ends_early_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: int) -> None:
    file = DISK.open(str(tmp_path / "log"))
    monkeypatch.setattr(os, "pwritev", lambda fd, pieces, at: os.pwrite(fd, b"".join(pieces)[:short], at))
    file.append((b"head", b"body"))
    assert (bytes(file.read(0, 100)), file.size()) == (b"headbody", 8)


def test_a_write_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    file = DISK.open(str(path))
    file.append((b"before",))

    def full(descriptor: int, pieces: list[bytes], at: int) -> int:
        os.pwrite(descriptor, b"half of it", at)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(OSError, match="No space"):
        file.append((b"head", b"body"))
    assert (path.read_bytes(), file.size()) == (b"before", 6)


def test_a_reader_in_another_thread_never_meets_a_reused_descriptor(tmp_path: Path) -> None:
    """Closing is dropping the last reference: whoever still reads holds one."""
    (tmp_path / "one").write_bytes(b"mine")
    (tmp_path / "two").write_bytes(b"yours")
    one = DISK.open(str(tmp_path / "one"))
    reading = one.read
    del one
    _others = [DISK.open(str(tmp_path / "two")) for _ in range(10)]
    assert bytes(reading(0, 100)) == b"mine"
