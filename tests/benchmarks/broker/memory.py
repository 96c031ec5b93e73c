"""Memory that costs every broker the same.

Owns: touching memory before a run. Must never know: what the run does.

A hypervisor gives a virtual machine each page of memory when it is first touched, and takes free pages back after a
few seconds. On the machine where this was found, a gigabyte of page cache then cost 0.3 s or 1.5 s of CPU, depending on
what had run before: more than anything that a broker does with it. Whoever comes first would pay for the others.
"""

from __future__ import annotations

import mmap

POPULATE = getattr(mmap, "MAP_POPULATE", 0)


def warm(size: int) -> None:
    """Touches ``size`` bytes of memory and frees them: what is allocated within the next seconds is not new."""
    if POPULATE and size:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | POPULATE).close()
