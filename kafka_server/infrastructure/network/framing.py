"""Owns: cutting a stream of bytes into size-prefixed frames, and how much memory half a frame may hold.
Must never know: sockets, the event loop, what is inside a frame, logging.

A frame on the wire::

    0        4                          4 + size
    +--------+--------------------------+
    |  size  |  request: header + body  |      size: big-endian int32, without itself
    +--------+--------------------------+

The reader is sans-IO: ``get_buffer()`` says where the next bytes go, ``received(n)`` that they are there.
Complete frames are then in ``frames``, without their prefix. Where bytes land depends on what is under way:

- Nothing, or the first bytes of a small frame: the *scratch* buffer, which all connections of an event loop share,
  because its content is always consumed before the loop turns to another connection. An idle connection therefore
  holds no receive buffer. Each frame found there is copied out into a ``bytes`` of its own.
- A frame larger than ``CARRY_MAX`` that is not complete yet: its own ``bytearray``, into which the socket is read
  directly. Record batches of it are kept and served as views, so such a buffer is never used for another frame.

A claimed size is a rumour: capacity starts small and at most doubles what has really arrived, and every byte of it is
taken from a ``FrameBudget`` that all connections share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from struct import Struct
from typing import Final

from kafka_server.infrastructure.unfilled_memory import lengthen

SCRATCH_SIZE: Final = 64 * 1024
"""Bytes of one read into the shared buffer. Larger would save system calls on tiny requests only, and copy more of each
large one: what is read here is copied once more, what is read into a frame's own buffer is not."""

CARRY_MAX: Final = 4096
"""An incomplete frame up to this size is carried over to the next read instead of getting a buffer of its own."""

FRAMES_MAX: Final = 64
"""Complete frames that may wait. While any waits, the caller must not read: there may be more that are not cut yet."""

FIRST_CAPACITY: Final = 128 * 1024
"""First capacity of a frame's own buffer (less when the frame is smaller); it doubles from there as bytes arrive."""

FRAME_SIZE_MIN: Final = 10
"""api_key, api_version, correlation_id and the length of the client id: no request is shorter."""

SUSPICIOUS_SIZE: Final = 16 * 1024 * 1024
"""Sizes above this are compared with the first bytes of other protocols. Read as a size, "GET " claims 1.1 GiB and a
TLS hello 352 MiB, which a generous socket.request.max.bytes would let pass."""

_SIZE = Struct(">I").unpack_from

_OTHER_PROTOCOLS: Final = {
    b"GET ": "an HTTP request",
    b"HEAD": "an HTTP request",
    b"POST": "an HTTP request",
    b"PUT ": "an HTTP request",
    b"DELE": "an HTTP request",
    b"OPTI": "an HTTP request",
    b"PATC": "an HTTP request",
    b"CONN": "an HTTP proxy request",
    b"PRI ": "an HTTP/2 preface",
    b"SSH-": "an SSH client",
}


class FrameError(Exception):
    """The peer broke the framing; the connection cannot be read any further. The text says what it looked like."""


def looks_like(first: bytes) -> str | None:
    """What other protocol the first four bytes of a stream belong to, in words, or None."""
    if first[:2] == b"\x16\x03":
        return "a TLS handshake; this listener speaks plaintext (client setting security.protocol)"
    return _OTHER_PROTOCOLS.get(first[:4])


class FrameBudget:
    """How many bytes all half-received and waiting frames of a server may hold together.

    When it is used up, readers wait in line for what others give back. So that a budget full of half frames still
    drains, one frame at a time may overdraw it; memory is bounded by the limit plus one largest frame.
    """

    __slots__ = ("_overdrawn_by", "_waiting", "held_bytes", "limit_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._overdrawn_by: object | None = None
        self._waiting: deque[Callable[[], None]] = deque()

    def take(self, owner: object, count: int) -> bool:
        """Takes ``count`` bytes for ``owner``; False when it must wait (see ``wait``)."""
        if self.held_bytes + count > self.limit_bytes:
            if self._overdrawn_by is not None and self._overdrawn_by is not owner:
                return False
            self._overdrawn_by = owner
        self.held_bytes += count
        return True

    def give_back(self, owner: object, count: int) -> None:
        """Returns ``count`` bytes and calls those who wait, in the order in which they came."""
        self.held_bytes -= count
        if self._overdrawn_by is owner:
            self._overdrawn_by = None
        for _ in range(len(self._waiting)):
            if self.held_bytes >= self.limit_bytes and self._overdrawn_by is not None:
                break
            self._waiting.popleft()()

    def wait(self, retry: Callable[[], None]) -> None:
        """``retry`` is called once when bytes were given back; it takes again, and waits again when that fails."""
        self._waiting.append(retry)

    def forget(self, retry: Callable[[], None]) -> None:
        """The one who waits is gone."""
        if retry in self._waiting:
            self._waiting.remove(retry)


class FrameReader:
    """Bytes in, frames out, for one connection."""

    __slots__ = (
        "_budget",
        "_capacity",
        "_carry",
        "_charged",
        "_filled",
        "_frame",
        "_has_uncut",
        "_size",
        "_view",
        "broken",
        "bytes_received",
        "frames",
        "size_max",
        "starved",
    )

    def __init__(self, scratch: bytearray, budget: FrameBudget, size_max: int) -> None:
        self.frames: deque[bytes | bytearray] = deque()
        """Complete frames, oldest first. Use ``pop``: it returns what the frame took from the budget."""
        self.size_max = size_max
        self.starved = False
        """The budget refused more room: stop reading until ``feed_again`` says True."""
        self.broken: FrameError | None = None
        """Nothing behind the frames that wait can be read."""
        self.bytes_received = 0
        self._view = memoryview(scratch)
        self._budget = budget
        self._carry = b""
        self._has_uncut = False
        self._frame: bytearray | None = None
        self._filled = 0
        self._size = 0
        self._capacity = 0
        self._charged = 0

    def get_buffer(self) -> memoryview:
        """Where the next bytes of this stream go; never empty."""
        frame = self._frame
        if frame is None:
            carry = self._carry
            if not carry:
                return self._view
            self._view[: len(carry)] = carry
            return self._view[len(carry) :]
        # Growing happens here and not in ``received``, because asyncio's own loop still holds its view of the buffer
        # while it tells us how much was received, and a bytearray with a view on it cannot be resized.
        if len(frame) < self._capacity:
            lengthen(frame, self._capacity)
        return memoryview(frame)[self._filled :]

    def received(self, count: int) -> None:
        """``count`` bytes were put where ``get_buffer`` said. Raises FrameError."""
        self.bytes_received += count
        if self._frame is not None:
            self._received_into_frame(count)
            return
        self._cut(self._view, len(self._carry) + count)

    def pop(self) -> bytes | bytearray:
        """The oldest complete frame; what it took from the budget goes back, because its handling begins.

        When what lies behind it is broken, ``starved`` and ``broken`` say so once it is the last.
        """
        frame = self.frames.popleft()
        if type(frame) is bytearray:
            self._give_back(len(frame))
        if self._has_uncut and not self.frames:
            try:
                self._cut(memoryview(self._carry), len(self._carry))
            except FrameError as error:
                self.broken = error
                self.starved = True
        return frame

    def _cut(self, view: memoryview, end: int) -> None:
        """Takes the frames out of ``view[:end]`` and keeps what is left.

        Not more than ``FRAMES_MAX`` at a time: cut into the smallest frames, one read would take ten times its size.
        """
        frames = self.frames
        self._has_uncut = False
        start = 0
        while end - start >= 4:
            if len(frames) == FRAMES_MAX:
                self._has_uncut = True
                break
            size: int = _SIZE(view, start)[0]
            if not FRAME_SIZE_MIN <= size <= self.size_max or size > SUSPICIOUS_SIZE:
                self._check_size(size, bytes(view[start : start + 4]))
            body = start + 4
            stop = body + size
            if stop > end:
                if size > CARRY_MAX:
                    self._begin(size, view[body:end])
                    return
                break
            frames.append(bytes(view[body:stop]))
            start = stop
        self._carry = bytes(view[start:end]) if start < end else b""

    def feed_again(self) -> bool:
        """Tries again to get the room that the budget refused."""
        if self.starved:
            self.starved = not self._take(self._wanted())
        return not self.starved

    def half_received(self) -> int:
        """How many bytes of an incomplete frame are here (0: the stream stands between two frames)."""
        return self._filled + 4 if self._frame is not None else len(self._carry)

    def close(self) -> None:
        """Drops everything and gives the budget back."""
        self.frames.clear()
        self._frame = None
        self._carry = b""
        self._has_uncut = False
        self._give_back(self._charged)

    # -- a frame with its own buffer ---------------------------------------------------------------------------------

    def _begin(self, size: int, first_bytes: memoryview) -> None:
        self._carry = b""
        self._frame = bytearray(first_bytes)
        self._filled = self._capacity = len(first_bytes)
        self._size = size
        self._take(self._filled, forced=True)
        self.starved = not self._take(self._wanted())

    def _received_into_frame(self, count: int) -> None:
        frame = self._frame
        assert frame is not None
        self._filled += count
        if self._filled == self._size:
            self.frames.append(frame)
            self._frame = None
        elif self._filled == self._capacity:
            self.starved = not self._take(self._wanted())

    def _wanted(self) -> int:
        """How much more room the frame should get now."""
        return min(self._size, max(FIRST_CAPACITY, 2 * self._filled)) - self._capacity

    def _take(self, count: int, forced: bool = False) -> bool:
        if forced:  # these bytes are in memory already, at most one scratch buffer of them
            self._budget.held_bytes += count
        elif self._budget.take(self, count):
            self._capacity += count
        else:
            return False
        self._charged += count
        return True

    def _give_back(self, count: int) -> None:
        if count:
            self._charged -= count
            self._budget.give_back(self, count)

    def _check_size(self, size: int, prefix: bytes) -> None:
        other = looks_like(prefix)
        if other is not None:
            raise FrameError(f"the first bytes {prefix!r} look like {other}")
        if size >= 1 << 31:
            raise FrameError(f"a negative frame size, {size - (1 << 32)}")
        if size > self.size_max:
            raise FrameError(f"a frame of {size} bytes, above the limit of {self.size_max} (socket.request.max.bytes)")
        if size < FRAME_SIZE_MIN:
            raise FrameError(f"a frame of {size} bytes, too short for a request header")
