"""An answer may be made of parts of files, which go from the page cache to the socket and never into our memory."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from unittest import mock

import pytest

from kafka_server.infrastructure.file_bytes import FileBytes
from kafka_server.infrastructure.network.outgoing import Chunk
from kafka_server.infrastructure.storage.log.disk import OsFile, WarmMemory
from tests.wire.conftest import ECHO, PREPARED, Bench, Peer, Start, request

MIB = 1 << 20
LARGE = 24 * MIB
"""More than a socket and its peer take before anybody reads."""


class LogFile(OsFile):
    """A file of random bytes, and the means to hand out parts of it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, True, WarmMemory())
        self.content = os.urandom(MIB) * (LARGE // MIB)
        self.append([self.content])

    def part(self, position: int, size: int) -> FileBytes:
        return FileBytes(self, self._descriptor, position, size)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> LogFile:
    return LogFile(str(tmp_path_factory.mktemp("log") / "00000000000000000000.log"))


@pytest.fixture(autouse=True)
def every_descriptor_is_closed() -> Iterator[None]:
    before = open_sockets()
    yield
    assert open_sockets() <= before


def open_sockets() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:  # the descriptor of the listing
            continue
    return found


def digest(chunks: list[Chunk]) -> bytes:
    whole = sha256()
    for chunk in chunks:
        whole.update(chunk.view() if isinstance(chunk, FileBytes) else chunk)
    return whole.digest()


async def received(peer: Peer) -> bytes:
    """The digest of the next answer's body."""
    _, body = await peer.receive()
    return sha256(body).digest()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen in time")


async def until_congested(bench: Bench) -> None:
    """Until the peer's and our buffers are full of an answer that nobody reads."""
    shared = bench.server._shared
    assert shared is not None
    await until(lambda: any(connection._rest for connection in shared.connections))


async def test_parts_of_files_come_between_bytes_of_memory_in_order(start: Start, file: LogFile) -> None:
    async with start() as bench:
        chunks = bench.dispatch.prepared = [
            b"head",
            file.part(0, MIB),
            b"",
            bytes(100_000),
            file.part(5, 3),
            file.part(MIB + 1, 2 * MIB),
            *(bytes([n % 256]) * 1_000 for n in range(2_000)),
            file.part(LARGE - 1, 1),
        ]
        peer = await bench.connect()
        await peer.send(request(PREPARED), request(ECHO, b"between"), request(PREPARED), request(ECHO, b"after"))
        assert await received(peer) == digest(chunks)
        assert (await peer.receive())[1] == b"between"
        assert await received(peer) == digest(chunks)
        assert (await peer.receive())[1] == b"after"


async def test_many_small_pieces_around_a_part_of_a_file_are_sent_as_one(start: Start, file: LogFile) -> None:
    async with start() as bench:
        chunks = bench.dispatch.prepared = [*([b"piece"] * 300), file.part(0, 40_000)]
        peer = await bench.connect()
        await peer.send(request(PREPARED))
        assert await received(peer) == digest(chunks)


async def test_a_peer_that_reads_late_gets_all_of_it_and_holds_none_of_our_memory(start: Start, file: LogFile) -> None:
    async with start() as bench:
        chunks = bench.dispatch.prepared = [b"head", file.part(0, LARGE), bytes(30_000)]
        peer = await bench.connect()
        await peer.send(request(PREPARED), request(ECHO, b"after"))
        await until_congested(bench)
        assert bench.server.unsent.bytes == 30_000
        assert bench.dispatch.handled == [b""]  # nobody answers a peer that does not read
        assert await received(peer) == digest(chunks)
        assert (await peer.receive())[1] == b"after"
        assert bench.server.unsent.bytes == 0


async def test_a_peer_that_will_ask_no_more_still_gets_its_answer(start: Start, file: LogFile) -> None:
    async with start() as bench:
        chunks = bench.dispatch.prepared = [file.part(0, LARGE)]
        peer = await bench.connect()
        await peer.send(request(PREPARED))
        await until_congested(bench)
        peer.writer.write_eof()
        await asyncio.sleep(0.05)
        assert await received(peer) == digest(chunks)
        assert await peer.is_closed()


async def test_what_was_asked_before_a_broken_frame_is_answered_whole(start: Start, file: LogFile) -> None:
    async with start() as bench:
        chunks = bench.dispatch.prepared = [file.part(0, LARGE)]
        peer = await bench.connect()
        await peer.send(request(PREPARED) + b"GET / HTTP/1.1\r\n\r\n")
        await until_congested(bench)
        assert await received(peer) == digest(chunks)
        assert await peer.is_closed()


async def test_a_stop_lets_an_answer_that_is_read_come_to_its_end(start: Start, file: LogFile) -> None:
    async with start() as bench:
        chunks = bench.dispatch.prepared = [file.part(0, LARGE)]
        peer = await bench.connect()
        await peer.send(request(PREPARED))
        await until_congested(bench)
        stopping = asyncio.ensure_future(bench.server.stop(grace_ms=5_000))
        await asyncio.sleep(0.05)
        assert await received(peer) == digest(chunks)
        assert await peer.is_closed()
        await stopping


@pytest.mark.parametrize("linger", [True, False], ids=["reset", "closed"])
async def test_a_peer_that_leaves_in_the_middle_leaves_nothing_behind(
    start: Start, file: LogFile, linger: bool
) -> None:
    async with start() as bench:
        bench.dispatch.prepared = [file.part(0, LARGE)]
        with socket.create_connection(("127.0.0.1", bench.port)) as peer:
            if linger:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            await asyncio.get_running_loop().run_in_executor(None, peer.sendall, request(PREPARED))
            await until_congested(bench)
        await until(lambda: bench.server.connection_count() == 0)


async def test_a_file_that_was_cut_ends_the_connection_and_says_so(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = LogFile(str(tmp_path / "short.log"))
    async with start() as bench:
        bench.dispatch.prepared = [file.part(LARGE - 10, 40_000)]
        peer = await bench.connect()
        with caplog.at_level(logging.WARNING):
            await peer.send(request(PREPARED))
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await peer.receive()
        assert f"A log file ended before byte {LARGE + 39_990}" in caplog.text


async def test_a_file_system_without_sendfile_is_read(
    start: Start, file: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", refuse)
    read = mock.Mock(side_effect=file.read)
    async with start() as bench:
        bench.dispatch.prepared = [b"head", FileBytes(mock.Mock(read=read), -1, 0, LARGE)]
        peer = await bench.connect()
        await peer.send(request(PREPARED))
        assert await received(peer) == digest([b"head", file.part(0, LARGE)])
    assert max(size for (_, size), _ in read.call_args_list) <= MIB  # not all of it again for each piece that fits


async def test_a_process_without_a_free_descriptor_cuts_the_answer_off_and_says_so(
    start: Start, file: LogFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async with start() as bench:
        bench.dispatch.prepared = [file.part(0, LARGE)]
        peer = await bench.connect()
        monkeypatch.setattr(os, "dup", refuse)
        with caplog.at_level(logging.WARNING):
            await peer.send(request(PREPARED))
            await until(lambda: bench.server.connection_count() == 0)
        assert "was cut off: [Errno 24] Too many open files" in caplog.text
        other = await bench.connect()
        await other.send(request(ECHO, b"still here"))
        assert (await other.receive())[1] == b"still here"
