"""Owns: making a bytearray longer without filling what it gains. Must never know: who reads into it.

Python fills every byte of a bytearray that it makes longer. For bytes that a socket is about to overwrite that is one
more pass over the memory: of a produce request of 1 MiB it was a tenth of the cost. CPython's own C interface has the
function that only makes room, and ctypes reaches it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Final

_ZEROS: Final = memoryview(bytes(1024 * 1024))


def lengthen(array: bytearray, size: int) -> None:
    """Makes ``array``, which is shorter, ``size`` bytes long.

    The new bytes hold anything; whoever calls must overwrite them before showing them to somebody. Raises BufferError
    when a view of ``array`` exists.
    """
    _lengthen()(array, size)


@cache
def _lengthen() -> Callable[[bytearray, int], object]:
    if sys.implementation.name != "cpython":
        return _fill
    import ctypes  # not before the first large request: it takes a tenth of a start

    resize = ctypes.pythonapi.PyByteArray_Resize
    resize.argtypes = (ctypes.py_object, ctypes.c_ssize_t)
    resize.restype = ctypes.c_int
    return resize


def _fill(array: bytearray, size: int) -> None:
    while (missing := size - len(array)) > 0:
        array += _ZEROS[:missing]
