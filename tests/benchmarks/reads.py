"""`python -m tests.benchmarks.reads`: ways from the page cache into a socket: preadv and send, mmap and send, sendfile.

Owns: the comparison that the log's way of reading rests on (see storage/log/disk.py). Must never know: the broker.

A GiB is sent over loopback to a process that asks for each piece when it has the one before, as a consumer does, and
drops it. Both sides count: what sendfile spares the sender it can cost the receiver, who then copies from pages that no
processor has in its cache. (Sent in one stream, without waiting to be asked, sendfile loses: the receiver is always
behind, and the sender waits for it once per 64 KiB.)
"""

from __future__ import annotations

import argparse
import mmap
import os
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from tests.benchmarks.report import Table, machine, markdown, show, update

FILE_SIZE = 256 << 20
GIB = 1 << 30
SIZES = (16 << 10, 64 << 10, 1 << 20)

Send = Callable[[socket.socket, int, int], None]
"""Sends that many bytes from that position of the file."""


class Ways:
    """The ways, over one file that is in the page cache."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory = memoryview(bytearray(max(SIZES)))
        self._map = memoryview(mmap.mmap(descriptor, FILE_SIZE, prot=mmap.PROT_READ))

    def preadv(self, peer: socket.socket, position: int, size: int) -> None:
        """Into memory that is used again, only if nothing has to be waited for (RWF_NOWAIT)."""
        target = self._memory[:size]
        os.preadv(self._descriptor, [target], position, os.RWF_NOWAIT)
        peer.sendall(target)

    def mmap(self, peer: socket.socket, position: int, size: int) -> None:
        """By reference to mapped pages; a cold one makes the sender wait."""
        peer.sendall(self._map[position : position + size])

    def sendfile(self, peer: socket.socket, position: int, size: int) -> None:
        """Within the kernel; a cold page makes the sender wait, too."""
        end = position + size
        while position < end:
            position += os.sendfile(peer.fileno(), self._descriptor, position, end - position)


def send_gib(send: Send, size: int) -> tuple[float, float, float]:
    """CPU seconds of the sender, CPU seconds of the receiver, wall seconds; per GiB."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = socket.create_connection(listener.getsockname())
        sender, _ = listener.accept()
    for each in receiver, sender:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    child = os.fork()
    if not child:
        sender.close()
        ask_for_all(receiver, size)
        os._exit(0)
    receiver.close()
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(GIB // FILE_SIZE):
        for position in range(0, FILE_SIZE, size):
            sender.recv(1)
            send(sender, position, size)
    sender.close()
    _, _, theirs = os.wait4(child, 0)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    mine = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return mine, theirs.ru_utime + theirs.ru_stime, wall


def ask_for_all(receiver: socket.socket, size: int) -> None:
    """Asks for a piece whenever the last one is complete, until there is no more."""
    buffer = bytearray(256 << 10)
    while True:
        receiver.send(b"?")
        left = size
        while left:
            count = receiver.recv_into(buffer, min(left, len(buffer)))
            if not count:
                return
            left -= count


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds per figure (default: %(default)s)")
    parser.add_argument("--update", type=Path, nargs="+", help="also put the tables into these files")
    options = parser.parse_args(arguments)
    table = Table(
        "From the page cache to another process, CPU seconds per GiB: sender + receiver (wall seconds)",
        ["way", *(f"{size >> 10} KiB at a time" for size in SIZES)],
    )
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        for _ in range(FILE_SIZE >> 20):
            file.write(os.urandom(1 << 16) * 16)
        file.flush()
        ways = Ways(file.fileno())
        found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
        for _ in range(options.rounds):
            for size in SIZES:
                for send in (ways.preadv, ways.mmap, ways.sendfile):
                    found.setdefault((send.__name__, size), []).append(send_gib(send, size))
    for name in ("preadv", "mmap", "sendfile"):
        cells = []
        for size in SIZES:
            mine, theirs, wall = (median(column) for column in zip(*found[name, size], strict=True))
            cells.append(f"{mine:.2f} + {theirs:.2f} ({wall:.2f})")
        table.add(name, *cells)
    table.notes.append(f"{machine()}; medians of {options.rounds} rounds, interleaved.")
    show(table)
    if options.update:
        update(options.update, {"reads": markdown(table)})


if __name__ == "__main__":
    main()
