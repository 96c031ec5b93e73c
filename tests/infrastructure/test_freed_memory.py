"""Freed memory stays with the process, so that the next request does not fault it in again."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from kafka_server.infrastructure.freed_memory import keep_freed_memory

# Six fetches of a megabyte each, as a consumer of six partitions causes, again and again; prints the page faults.
FETCHES = """
import resource
from kafka_server.infrastructure.freed_memory import keep_freed_memory
{first}
for _ in range(5):
    [bytearray(1 << 20) for _ in range(6)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    [bytearray(1 << 20) for _ in range(6)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(first: str) -> int:
    # A process of its own: the setting holds for as long as a process lives.
    done = subprocess.run(
        [sys.executable, "-c", FETCHES.format(first=first)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_memory_that_is_freed_and_taken_again_is_not_faulted_in_again() -> None:
    assert page_faults("keep_freed_memory()") * 10 < page_faults("")


def test_a_platform_without_the_setting_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
