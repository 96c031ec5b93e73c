"""Owns: one client connection: request headers, answers in order, back-pressure, when to close.
Must never know: what any API does, how bodies are laid out, which listeners exist.

Everything runs on the event loop, inside the callback that brought the bytes: decode, handle, encode and write take no
task and no queue when the handler answers at once. When it answers later, nothing more of this connection is decoded
until then, which is what keeps answers in order (behaviour: one request at a time per connection).

``_blocked`` holds the reasons why no further request may be handled, as bits::

    PENDING     the answer to a request is awaited
    CONGESTED   the peer does not read what we wrote: the socket does not take the rest of an answer
    MUTED       the client exceeded a quota (KIP-219: the answer goes out at once, then the channel is silent)
    YIELDED     many requests came in one read; others get their turn first
    CLOSING     nothing will be handled any more

While a reason holds, bytes are still read until one read's worth of complete frames waits; then reading pauses. So at
most one scratch buffer of small frames, or one large frame, waits per connection, and while none waits a disconnect is
noticed at once, also during a long poll.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from struct import Struct
from time import perf_counter_ns
from typing import Any, Final, cast

from kafka_protocol.wire import ProtocolError

from kafka_server.application.context import CloseConnection, RequestContext
from kafka_server.application.explain import EXPLAIN
from kafka_server.infrastructure.network.framing import SCRATCH_SIZE, FrameError, FrameReader
from kafka_server.infrastructure.network.outgoing import Chunk, Rest, in_memory, send
from kafka_server.infrastructure.network.routes import (
    ServedRoute,
    signed,
    skip_tagged_fields,
)
from kafka_server.infrastructure.network.shared import Shared, Sweep

log = logging.getLogger("kafka_server.network")
explains = log.isEnabledFor

PENDING: Final = 1
CONGESTED: Final = 2
MUTED: Final = 4
YIELDED: Final = 8
CLOSING: Final = 16

PRODUCE: Final = 0
API_VERSIONS: Final = 18
TURN: Final = 64
"""Requests handled before other connections get their turn."""
SIZE_MAX_WITHOUT_RECORDS: Final = 8 * 1024 * 1024
"""Bound for requests that carry no records. ``socket.request.max.bytes`` is meant for those that do: 100 MiB of tiny
elements would become gigabytes of objects and stop everybody else for a minute."""
JOIN_MAX: Final = 16 * 1024
"""Answers up to this size are joined into one piece: copying it is cheaper than more entries in a writev. Measured over
loopback, joining wins by a tenth up to here, and loses a third at 256 KiB."""
CHUNK_MIN: Final = 512
"""So are larger answers whose pieces are smaller than this on average, such as metadata of 10,000 partitions: 30,000
pieces are 30 system calls, and the kernel takes longer over an entry than a copy of so few bytes takes."""
FLUSH_SIZE: Final = 64 * 1024
"""Answers to pipelined requests are gathered up to this size and written with one system call."""

_HEADER = Struct(">iih").unpack_from
_PREFIX = Struct(">ii").pack
_PREFIX_FLEXIBLE = Struct(">iiB").pack


class Connection(asyncio.BufferedProtocol):
    """One accepted connection. ``admit`` is asked once it is made; with None it has closed it, or will."""

    __slots__ = (
        "_admit",
        "_blocked",
        "_client_id",
        "_descriptor",
        "_draining",
        "_forget",
        "_frames",
        "_get_buffer",
        "_out",
        "_out_size",
        "_pending",
        "_pending_since_ns",
        "_reader",
        "_reading",
        "_rest",
        "_shared",
        "_transport",
        "_unsent",
        "context",
        "requests",
        "sweep",
        "waiting_for",
    )

    def __init__(
        self,
        shared: Shared,
        admit: Callable[[Connection, asyncio.Transport], RequestContext | None],
        forget: Callable[[Connection], None],
    ) -> None:
        self._shared = shared
        self._admit = admit
        self._forget = forget
        scratch = bytearray(SCRATCH_SIZE) if shared.scratch is None else shared.scratch
        self._reader = reader = FrameReader(scratch, shared.budget, shared.request_size_max)
        self._frames = reader.frames
        self._get_buffer = reader.get_buffer
        self._blocked = 0
        self._draining = False
        self._reading = True
        self._descriptor = -1
        """The socket, when answers are written to it directly; -1: through the transport."""
        self._out: list[Chunk] = []
        self._out_size = 0
        self._rest: Rest | None = None
        """What the socket has not taken yet of the last answers."""
        self._unsent = 0
        self._client_id = b""
        self._pending: asyncio.Future[Any] | None = None
        self._pending_since_ns = 0
        self.waiting_for: tuple[ServedRoute, int] | None = None
        """The route and correlation id of the request whose answer is awaited."""
        self.requests = 0
        self.sweep = Sweep()

    # -- the transport calls these ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        context = self._admit(self, self._transport)
        if context is None:
            self._blocked = CLOSING
            return
        context.mute = self.mute
        self.context = context
        plain = transport.get_extra_info("socket")
        # An event loop that reads in the background (no scratch) also writes in the background.
        if plain is not None and self._shared.scratch is not None and transport.get_extra_info("sslcontext") is None:
            self._descriptor = plain.fileno()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        reader = self._reader
        try:
            reader.received(nbytes)
        except FrameError as error:
            if self._frames and not self._blocked:
                self._serve()  # what came whole before the broken bytes is answered first
            self.refuse("frame", str(error))
            return
        if self._frames and not self._blocked:
            self._serve()
        elif self._frames or reader.starved or self._blocked & CLOSING:
            self._steer_reading()

    def eof_received(self) -> bool:
        """A peer that will ask no more may still read what it asked for; then we close."""
        if self._rest is None:
            return False
        self._blocked |= CLOSING
        return True

    def pause_writing(self) -> None:
        self._blocked |= CONGESTED
        self._count_unsent(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._count_unsent(0)
        self._unblock(CONGESTED)

    def _count_unsent(self, size: int) -> None:
        """While the peer does not read, nothing is added to what waits for it."""
        self._shared.unsent.bytes += size - self._unsent
        self._unsent = size

    def connection_lost(self, exc: Exception | None) -> None:
        self._blocked |= CLOSING
        if self._pending is not None:
            self._pending.cancel()
        self._shared.budget.forget(self._feed_again)
        if self._rest is not None:
            self._rest.drop()
            self._rest = None
        self._count_unsent(0)
        self._reader.close()
        self._out.clear()
        self._forget(self)

    # -- requests -----------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Handles waiting frames until none is left or something blocks; then writes what was answered."""
        frames, pop, handle = self._frames, self._reader.pop, self._handle
        turn = TURN
        while True:
            handle(pop())
            if self._blocked or not frames:
                break
            turn -= 1
            if not turn:
                self._blocked |= YIELDED
                self._shared.loop.call_soon(self._unblock, YIELDED)
                break
        if self._out:
            self._flush()
        if frames or not self._reading or self._reader.starved:
            self._steer_reading()

    def _handle(self, frame: bytes | bytearray) -> None:
        key: int
        correlation_id: int
        client_id_size: int
        key, correlation_id, client_id_size = _HEADER(frame)
        shared = self._shared
        served = shared.routes.get(key) or shared.route(key)
        if served is None:
            self._unserved(key >> 16, signed(key & 0xFFFF), correlation_id)
            return
        started_ns = perf_counter_ns()
        if frame.__class__ is bytearray and served.api_key != PRODUCE:
            # Record batches are served as views of the frame. All other bytes become values that somebody may keep and
            # use as a key, and a slice of a bytearray is a bytearray.
            if len(frame) > SIZE_MAX_WITHOUT_RECORDS:
                self.refuse("frame", f"a {served.name} request of {len(frame)} bytes, which carries no records")
                return
            frame = bytes(frame)
        context = self.context
        offset = 10
        try:
            if client_id_size > 0:
                offset += client_id_size
                client_id = frame[10:offset]
                if client_id != self._client_id or offset > len(frame):
                    self._learn_client_id(bytes(client_id), client_id_size)
            elif self._client_id:
                self._client_id = b""
                context.client_id = ""
            if served.flexible_request:
                # The header's tagged fields are empty in all but theory; the first byte counts them.
                if frame[offset : offset + 1] == b"\0":
                    offset += 1
                else:
                    offset = skip_tagged_fields(frame, offset)
            context.api_key = served.api_key
            context.api_version = served.api_version
            context.correlation_id = correlation_id
            context.request_bytes = len(frame)
            if explains(EXPLAIN):
                _explain(served, context, len(frame))
            answer = served.call(context, frame, offset)
        except Exception as error:
            self._failed(served, served.api_version, error)
            return
        self.requests += 1
        served.requests += 1
        served.request_bytes += len(frame)
        if answer.__class__ is list:
            self._respond(served, correlation_id, answer)
            served.total_ns += perf_counter_ns() - started_ns
        elif answer is not None:
            self._await(served, correlation_id, cast(Awaitable[Any], answer), started_ns)

    def _learn_client_id(self, raw: bytes, size: int) -> None:
        """Clients keep their id, so it is decoded once per connection and compared after that."""
        if len(raw) != size:
            raise FrameError(f"a client id of {size} bytes in a frame that has {len(raw)} left")
        try:
            self.context.client_id = raw.decode()
        except UnicodeDecodeError as error:
            raise FrameError(f"a client id that is not UTF-8: {raw[:40]!r}") from error
        self._client_id = raw

    def _unserved(self, api_key: int, api_version: int, correlation_id: int) -> None:
        """Any unknown pair closes the connection, but for ApiVersions: it must be able to say what there is.

        KIP-511: the answer to an unknown ApiVersions version is laid out as version 0. The body of the request cannot
        be read, so the handler gets an empty one and sees the version that was asked for in the context.
        """
        shared = self._shared
        served = None
        if api_key == API_VERSIONS:
            served = shared.routes.get(api_key << 16) or shared.route(api_key << 16)
        if served is None:
            self.refuse("unserved", f"a request with key {api_key} in version {api_version}, which is not served")
            return
        context = self.context
        context.api_key = api_key
        context.api_version = api_version
        context.correlation_id = correlation_id
        self.requests += 1
        served.requests += 1
        try:
            answer = served.call(context, b"", 0)
        except Exception as error:
            self._failed(served, self.context.api_version, error)
            return
        if isinstance(answer, list):
            self._respond(served, correlation_id, answer)
        elif answer is not None:
            self._await(served, correlation_id, cast(Awaitable[Any], answer), perf_counter_ns())

    # -- answers ------------------------------------------------------------------------------------------------------

    def _respond(self, served: ServedRoute, correlation_id: int, chunks: Sequence[Chunk]) -> None:
        """Frames an answer and queues it for the write at the end of this turn."""
        size = len(chunks[0]) if len(chunks) == 1 else sum(map(len, chunks))
        if served.flexible_response:
            prefix = _PREFIX_FLEXIBLE(size + 5, correlation_id, 0)
        else:
            prefix = _PREFIX(size + 4, correlation_id)
        served.response_bytes += size
        out = self._out
        if size <= JOIN_MAX or size < len(chunks) * CHUNK_MIN:
            out.append(b"".join((prefix, *map(in_memory, chunks))))
        else:
            out.append(prefix)
            out.extend(chunks)
        self._out_size += size
        if self._out_size > FLUSH_SIZE:
            self._flush()

    def _flush(self) -> None:
        out = self._out
        self._out = []
        self._out_size = 0
        # Once it closes, its descriptor may be another connection's.
        if self._transport.is_closing():
            return
        try:
            if self._descriptor < 0:
                self._transport.writelines([in_memory(chunk) for chunk in out])
                return
            rest = send(self._descriptor, out)
            if rest:
                self._rest = Rest(self._shared.loop, self._descriptor, rest, self._written)
                self._blocked |= CONGESTED
                self._count_unsent(self._rest.size_in_memory)
        except OSError as error:
            self._unwritable(error)

    def _written(self, failure: OSError | None) -> None:
        """The rest is gone, or cannot be written."""
        self._rest = None
        self._count_unsent(0)
        if failure is not None:
            self._unwritable(failure)
        elif self._blocked & CLOSING:
            self._transport.close()
        else:
            self._unblock(CONGESTED)

    def _unwritable(self, error: OSError) -> None:
        """The peer is gone, which is its business; or what was to be sent could not be read."""
        if not isinstance(error, ConnectionError):
            self._shared.notices.warn("unwritable", f"An answer to {self.context.connection_id} was cut off: {error}")
        self.abort()

    def _await(self, served: ServedRoute, correlation_id: int, answer: Awaitable[Any], started_ns: int) -> None:
        """Blocks until the answer is there. A future costs a callback, only a coroutine costs a task."""
        self._blocked |= PENDING
        self.waiting_for = (served, correlation_id)
        self._pending_since_ns = started_ns
        if isinstance(answer, asyncio.Future):
            pending = answer
        else:
            pending = asyncio.ensure_future(answer, loop=self._shared.loop)
        self._pending = pending
        pending.add_done_callback(self._answered)

    def _answered(self, pending: asyncio.Future[Any]) -> None:
        assert self.waiting_for is not None
        served, correlation_id = self.waiting_for
        self._pending = self.waiting_for = None
        if self._blocked & CLOSING:
            if not pending.cancelled():
                pending.exception()  # seen, so that asyncio does not report it as never retrieved
            return
        self._blocked &= ~PENDING
        try:
            chunks = served.encode(pending.result())
        except asyncio.CancelledError:
            self.refuse("cancelled", f"the server dropped a {served.name} request")
            return
        except Exception as error:
            self._failed(served, self.context.api_version, error)
            return
        if chunks is not None:
            self._respond(served, correlation_id, chunks)
        served.total_ns += perf_counter_ns() - self._pending_since_ns
        if self._out:
            self._flush()
        self._go_on()

    # -- flow control -------------------------------------------------------------------------------------------------

    def mute(self, duration_ms: float) -> None:
        """Handles no further request for that long; the answer that carries throttle_time_ms goes out (KIP-219)."""
        self._blocked |= MUTED
        self._shared.loop.call_later(duration_ms / 1000, self._unblock, MUTED)

    def _unblock(self, reason: int) -> None:
        self._blocked &= ~reason
        self._go_on()

    def _go_on(self) -> None:
        if self._blocked:
            return
        if self._draining:
            self.close()
        elif self._frames:
            self._serve()
        elif not self._reading:
            self._steer_reading()

    def _steer_reading(self) -> None:
        """Reads when there is a place and a use for bytes; see the head of this module."""
        starved = self._reader.starved
        if starved and self._reader.broken is not None and not self._frames:
            self.refuse("frame", str(self._reader.broken))
        wanted = not self._frames and not starved and not self._blocked & CLOSING
        if wanted == self._reading:
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
            if starved:
                self._shared.budget.wait(self._feed_again)

    def _feed_again(self) -> None:
        if self._reader.feed_again():
            self._steer_reading()
        else:
            self._shared.budget.wait(self._feed_again)

    # -- the end ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Shutdown: what is in flight is answered, nothing further is decoded, then the connection closes."""
        self._draining = True
        if not self._blocked & (PENDING | CONGESTED | CLOSING):
            self.close()

    def abort(self) -> None:
        """Closes without flushing."""
        self._blocked |= CLOSING
        self._transport.abort()

    def is_pending(self) -> bool:
        """Whether an answer is awaited: such a connection is not idle."""
        return self._pending is not None

    def is_held_back(self) -> bool:
        """Whether it is our own doing that no bytes are read."""
        return not self._reading

    def is_closing(self) -> bool:
        return bool(self._blocked & CLOSING)

    def half_received(self) -> int:
        return self._reader.half_received()

    def close(self) -> None:
        """Closes once what was written is flushed; the sweeper aborts when the peer never reads it."""
        if self._out:
            self._flush()
        self._blocked |= CLOSING
        if self._rest is None:
            self._transport.close()

    def refuse(self, kind: str, reason: str) -> None:
        """Closes with a log line, of which there are only so many per ``kind``."""
        if self._blocked & CLOSING:
            return
        context = self.context
        client = f" ({context.client_id})" if context.client_id else ""
        host, port, listener = context.client_host, context.client_port, context.listener_name
        self._shared.notices.warn(kind, f"Closing the connection of {host}:{port}{client} on {listener}: {reason}")
        self.close()

    def _failed(self, served: ServedRoute, api_version: int, error: Exception) -> None:
        """The peer broke the wire, the handler wants to close, or we have a bug: one line each, and close.

        ``api_version`` is the one that was asked for. The context knows it only once the header was read, and the route
        of an ApiVersions request in an unknown version is that of another one.
        """
        served.failures += 1
        what = f"{served.name} v{api_version}"
        if isinstance(error, ProtocolError):
            self.refuse("protocol", str(error))
        elif isinstance(error, FrameError):
            self.refuse("protocol", f"{what}: {error}")
        elif isinstance(error, CloseConnection):
            self.refuse("unanswered", f"{what}: {error}")
        else:
            log.error("A bug in handling %s from %s", what, self.context.connection_id, exc_info=error)
            self.close()


def _explain(served: ServedRoute, context: RequestContext, size: int) -> None:
    who = f"{context.client_host}:{context.client_port} ({context.client_id})"
    log.log(EXPLAIN, "%s v%d from %s, %d bytes", served.name, served.api_version, who, size)
