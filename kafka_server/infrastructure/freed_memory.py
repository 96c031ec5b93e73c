"""Owns: what the C library does with memory that the process frees. Must never know: who frees it.

A busy broker allocates and frees about a megabyte per request. glibc gives the end of its heap back to the kernel as
soon as 128 KiB of it are free, and then each new megabyte is 256 page faults, which take longer than copying it.
"""

from __future__ import annotations

import sys
from typing import Final

KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
"""Freed memory at the end of the heap that the process keeps for its next requests."""
OWN_MAPPING_SIZE_MIN: Final = 4 * 1024 * 1024
"""A larger piece, such as a full segment of a log in memory, is mapped on its own and goes back when it is freed."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed_memory() -> bool:
    """Tells glibc to keep some freed memory; False where the C library has no such setting (macOS, Windows, musl)."""
    if sys.platform != "linux":
        return False
    import ctypes  # not before a start is over

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Setting one of them ends glibc's own adjustment of both, so both are set.
    return bool(mallopt(_M_MMAP_THRESHOLD, OWN_MAPPING_SIZE_MIN) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES_MAX))
