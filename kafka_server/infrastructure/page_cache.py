"""Owns: asking the kernel whether a part of a file is in memory. Must never know: what the file holds.

``cachestat`` (Linux 6.5, number 451 on every architecture) counts pages without touching them. Where it does not exist,
or a sandbox forbids it, nothing is said to be cached, and callers read as they do without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from mmap import PAGESIZE
from typing import Final

_CACHESTAT: Final = 451


def is_cached(descriptor: int, position: int, size: int) -> bool:
    """Whether all of these bytes can be read without waiting for a device. False also when nobody can tell."""
    count = _count()
    if count is None:
        return False
    pages = (position + size - 1) // PAGESIZE - position // PAGESIZE + 1
    return count(descriptor, position, size) >= pages


@cache
def _count() -> Callable[[int, int, int], int] | None:
    """``count(descriptor, position, size)``: how many pages of that range are in memory, -1 if the kernel refused."""
    if sys.platform != "linux":
        return None
    import ctypes  # not before the first large read: it takes a tenth of a start

    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    call.argtypes = (ctypes.c_long, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint)
    extent_type = ctypes.c_uint64 * 2
    found_type = ctypes.c_uint64 * 5  # in memory, dirty, under way to the device, evicted, evicted lately

    def count(descriptor: int, position: int, size: int) -> int:
        extent, found = extent_type(position, size), found_type()
        refused = call(_CACHESTAT, descriptor, ctypes.addressof(extent), ctypes.addressof(found), 0)
        return -1 if refused else found[0]

    return count
