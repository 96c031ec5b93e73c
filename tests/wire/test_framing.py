"""Framing, as a table read in every direction: whole, byte by byte, and in awkward pieces."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from kafka_server.infrastructure.network import framing
from kafka_server.infrastructure.network.framing import FrameBudget, FrameError, FrameReader

Frames = list[bytes]


def new_reader(size_max: int = 100 << 20, budget: FrameBudget | None = None) -> FrameReader:
    return FrameReader(bytearray(framing.SCRATCH_SIZE), budget or FrameBudget(1 << 30), size_max)


def feed(reader: FrameReader, data: bytes) -> None:
    """Puts all of ``data`` into the reader in as few steps as its buffers allow."""
    while data and not reader.starved:
        buffer = reader.get_buffer()
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        del buffer  # a view on the buffer would keep it from growing
        reader.received(count)
        data = data[count:]


def wire(*frames: bytes) -> bytes:
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)


def filler(size: int) -> bytes:
    return random.Random(size).randbytes(size)


STREAMS: dict[str, Frames] = {
    "the shortest request": [filler(10)],
    "one small request": [filler(40)],
    "three in one read": [filler(40), filler(11), filler(300)],
    "just carried over": [filler(4096), filler(10)],
    "just too large to carry": [filler(4097), filler(10)],
    "around the scratch buffer": [filler(65_531), filler(65_532), filler(65_533), filler(20)],
    "large then small": [filler(300_000), filler(10)],
    "small then large then large": [filler(10), filler(1_000_000), filler(131_072)],
}


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    for at in range(min(len(data), 9_000)):
        yield data[at : at + 1]
    if len(data) > 9_000:
        yield data[9_000:]


def awkward_pieces(data: bytes) -> Iterator[bytes]:
    draw = random.Random(7)
    at = 0
    while at < len(data):
        count = draw.choice([1, 3, 5, 1_000, 4_096, 70_000])
        yield data[at : at + count]
        at += count


@pytest.mark.parametrize("cut", [whole, byte_by_byte, awkward_pieces])
@pytest.mark.parametrize("name", STREAMS)
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(
    name: str, cut: Callable[[bytes], Iterator[bytes]]
) -> None:
    budget = FrameBudget(1 << 30)
    reader = new_reader(budget=budget)
    seen: Frames = []
    for piece in cut(wire(*STREAMS[name])):
        feed(reader, piece)
        while reader.frames:
            seen.append(bytes(reader.pop()))
    assert seen == STREAMS[name]
    assert reader.half_received() == 0
    assert budget.held_bytes == 0


BROKEN: dict[str, tuple[bytes, str]] = {
    "negative size": (b"\xff\xff\xff\xff", "negative frame size, -1"),
    "above the limit": ((100 << 20 | 1).to_bytes(4, "big"), "above the limit"),
    "too short for a header": (b"\0\0\0\x09", "too short"),
    "empty": (b"\0\0\0\0", "too short"),
    "http": (b"GET / HTTP/1.1\r\n", "HTTP request"),
    "http 2": (b"PRI * HTTP/2.0\r\n", "HTTP/2"),
    "tls": (b"\x16\x03\x01\x02\x00\x01", "TLS handshake"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_prefix_is_refused_and_named(name: str) -> None:
    data, message = BROKEN[name]
    with pytest.raises(FrameError, match=message):
        feed(new_reader(), data)


def test_another_protocol_is_recognised_even_where_the_limit_would_let_its_size_pass() -> None:
    with pytest.raises(FrameError, match="TLS"):
        feed(new_reader(size_max=(1 << 31) - 1), b"\x16\x03\x01\x02\x00")


def test_a_claimed_size_allocates_nothing_and_capacity_follows_what_arrives() -> None:
    budget = FrameBudget(1 << 30)
    reader = new_reader(budget=budget)
    feed(reader, (100 << 20).to_bytes(4, "big"))
    assert budget.held_bytes <= framing.FIRST_CAPACITY
    for arrived in (1, 100_000, 200_000, 3_000_000):
        feed(reader, bytes(arrived))
        assert budget.held_bytes <= max(framing.FIRST_CAPACITY, 2 * reader.half_received())


def test_a_large_frame_is_read_into_its_own_buffer_which_is_never_used_again() -> None:
    reader = new_reader()
    feed(reader, wire(b"a" * 200_000))
    first = reader.pop()
    kept = memoryview(first)[1000:1010]
    feed(reader, wire(b"b" * 200_000))
    assert isinstance(first, bytearray)
    assert reader.pop() is not first
    assert kept == b"a" * 10


def test_when_the_budget_is_used_up_one_frame_may_overdraw_it_and_the_next_waits_its_turn() -> None:
    budget = FrameBudget(300_000)
    first, second = new_reader(budget=budget), new_reader(budget=budget)
    feed(first, wire(bytes(1 << 20))[: 1 << 19])
    feed(second, wire(bytes(1 << 20))[: 1 << 19])
    assert not first.starved
    assert second.starved
    retried: list[bool] = []
    budget.wait(lambda: retried.append(second.feed_again()))
    feed(first, bytes((1 << 20) + 4 - first.half_received()))
    first.pop()
    assert retried == [True]
    feed(second, bytes((1 << 20) + 4 - second.half_received()))
    assert len(second.pop()) == 1 << 20
    assert budget.held_bytes == 0


def test_a_read_full_of_tiny_frames_is_cut_a_few_at_a_time() -> None:
    reader = new_reader()
    feed(reader, wire(*[filler(10)] * 3_000) + wire(filler(5_000))[:2_000])
    assert len(reader.frames) == framing.FRAMES_MAX
    seen = 0
    while reader.frames:
        assert len(reader.frames) <= framing.FRAMES_MAX
        assert reader.pop() == filler(10)
        seen += 1
    assert seen == 3_000
    assert reader.half_received() == 2_000


def test_broken_bytes_behind_many_frames_are_noticed_when_it_is_their_turn() -> None:
    reader = new_reader()
    feed(reader, wire(*[filler(10)] * 100) + b"\xff\xff\xff\xff")
    for _ in range(99):
        assert reader.pop() == filler(10)
    assert reader.pop() == filler(10)
    assert "negative" in str(reader.broken)


def test_closing_gives_the_budget_back() -> None:
    budget = FrameBudget(1 << 30)
    reader = new_reader(budget=budget)
    feed(reader, wire(bytes(200_000)) + (1 << 20).to_bytes(4, "big") + bytes(500_000))
    assert budget.held_bytes > 700_000
    reader.close()
    assert budget.held_bytes == 0
