"""The rules of one connection, seen from a raw socket: order, one request at a time, what closes it, what is logged."""

from __future__ import annotations

import asyncio
from struct import pack

import pytest

from kafka_server.infrastructure.network.server import Limits
from tests.wire.conftest import (
    API_VERSIONS,
    BROKEN,
    BUG,
    BULK,
    ECHO,
    FAIL_SILENT,
    LATER,
    SILENT,
    WHO,
    Start,
    request,
)


async def test_an_answer_carries_the_correlation_id_of_its_request(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(ECHO, b"hello", correlation_id=77))
        assert await peer.receive() == (77, b"hello")


async def test_a_flexible_answer_has_an_empty_tag_section_in_its_header(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(ECHO, b"hello", version=2, correlation_id=78))
        assert await peer.receive() == (78, b"\0hello")


async def test_tagged_fields_in_the_request_header_are_skipped(start: Start) -> None:
    frame = pack(">hhih", ECHO, 2, 5, -1) + b"\x02\x00\x03abc\x81\x01\x00" + b"body"
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(len(frame).to_bytes(4, "big") + frame)
        assert await peer.receive() == (5, b"\0body")


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(b"".join(request(ECHO, b"%d" % n, correlation_id=n) for n in range(500)))
        assert [await peer.receive() for _ in range(500)] == [(n, b"%d" % n) for n in range(500)]


async def test_nothing_is_decoded_while_an_answer_is_awaited_and_the_order_holds(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(LATER, b"slow", correlation_id=1), request(ECHO, b"fast", correlation_id=2))
        await asyncio.sleep(0.05)
        assert bench.dispatch.handled == [b"slow"]
        assert bench.dispatch.waiting is not None
        bench.dispatch.waiting.set_result([b"done"])
        assert await peer.receive() == (1, b"done")
        assert await peer.receive() == (2, b"fast")


async def test_a_request_without_a_response_is_followed_by_the_next_answer(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(SILENT, b"acks=0"), request(ECHO, b"next", correlation_id=2))
        assert await peer.receive() == (2, b"next")
        assert bench.dispatch.handled == [b"acks=0", b"next"]


async def test_the_handler_sees_who_asks_and_which_address_was_reached(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(WHO, version=3, client_id="müller"))
        assert (await peer.receive())[1] == f"\0müller|3|127.0.0.1|{bench.port}".encode()
        await peer.send(request(WHO, client_id=None))
        assert (await peer.receive())[1] == f"|0|127.0.0.1|{bench.port}".encode()


async def test_record_bytes_go_out_by_reference_whole_and_in_order(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(*(request(BULK, correlation_id=n) for n in range(3)))
        for n in range(3):
            assert await peer.receive() == (n, b"head" + bytes(1 << 20) + b"tail")


async def test_a_request_of_megabytes_arrives_whole(start: Start) -> None:
    body = bytes(range(256)) * 20_000
    async with start() as bench:
        peer = await bench.connect()
        await asyncio.gather(peer.send(request(ECHO, body)), peer.receive())
        assert bench.dispatch.handled == [body]


async def test_only_a_produce_request_is_handed_on_in_the_buffer_that_it_was_received_into(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await asyncio.gather(peer.send(request(ECHO, bytes(100_000))), peer.receive())
        await asyncio.gather(peer.send(request(WHO, bytes(100_000))), peer.receive())
        assert bench.dispatch.buffers == [bytearray, bytes]


async def test_an_unknown_version_of_api_versions_gets_error_35_and_the_ranges_in_the_layout_of_version_0(
    start: Start,
) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(API_VERSIONS, b"a body of the future", version=99, correlation_id=9))
        assert await peer.receive() == (9, pack(">hihhh", 35, 1, 18, 0, 4))
        await peer.send(request(API_VERSIONS, version=0, correlation_id=10))
        assert await peer.receive() == (10, pack(">hihhh", 0, 1, 18, 0, 4))


@pytest.mark.parametrize(("key", "version"), [(ECHO, 99), (ECHO, -1), (999, 0), (-5, 0)])
async def test_any_other_unknown_key_or_version_closes_the_connection_and_is_logged(
    start: Start, caplog: pytest.LogCaptureFixture, key: int, version: int
) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(key, version=version))
        assert await peer.is_closed()
    assert f"key {key} in version {version}, which is not served" in caplog.text


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\xff\xff\xff\xff", "a negative frame size, -1"),
        ((100 * 1024 * 1024 + 1).to_bytes(4, "big"), "above the limit of 104857600"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "an HTTP request"),
        (b"\x16\x03\x01\x00\xf5\x01", "a TLS handshake"),
        (request(BROKEN), "ProduceRequest v9: topic_data[0].name at byte 27: runs past the end"),
        (b"\0\0\0\x0c" + pack(">hhih", ECHO, 0, 1, 500) + b"ab", "a client id of 500 bytes in a frame that has 2 left"),
        (b"\0\0\0\x0c" + pack(">hhih", ECHO, 0, 1, 2) + b"\xff\xfe", "a client id that is not UTF-8"),
        (b"\0\0\0\x0b" + pack(">hhih", ECHO, 2, 1, -1) + b"\xff", "cut short or overlong"),
    ],
)
async def test_bytes_that_break_the_protocol_close_the_connection_with_one_line_that_says_why(
    start: Start, caplog: pytest.LogCaptureFixture, data: bytes, line: str
) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(data)
        assert await peer.is_closed()
        neighbour = await bench.connect()
        await neighbour.send(request(ECHO, b"still here"))
        assert await neighbour.receive() == (1, b"still here")
    assert [line in record.getMessage() for record in caplog.records] == [True]


async def test_a_flood_of_broken_clients_writes_few_lines(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async with start() as bench:
        for _ in range(30):
            peer = await bench.connect()
            await peer.send(b"GET / HTTP/1.1\r\n")
            assert await peer.is_closed()
    assert len(caplog.records) == 5


async def test_what_came_whole_before_broken_bytes_is_answered_first(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(ECHO, b"good", correlation_id=3) + b"\xff\xff\xff\xff")
        assert await peer.receive() == (3, b"good")
        assert await peer.is_closed()


async def test_many_requests_before_broken_bytes_are_all_answered(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(b"".join(request(ECHO, b"", correlation_id=n) for n in range(300)) + b"GET / HTTP/1.1\r\n")
        assert [(await peer.receive())[0] for _ in range(300)] == list(range(300))
        assert await peer.is_closed()
    assert "an HTTP request" in caplog.text


async def test_an_error_that_cannot_be_answered_closes_the_connection(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(FAIL_SILENT))
        assert await peer.is_closed()
    assert "NOT_ENOUGH_REPLICAS for topic orders" in caplog.text


async def test_a_bug_in_a_handler_closes_one_connection_and_shows_its_traceback(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with start() as bench:
        peer, neighbour = await bench.connect(), await bench.connect()
        await peer.send(request(BUG))
        assert await peer.is_closed()
        await neighbour.send(request(ECHO, b"still here"))
        assert await neighbour.receive() == (1, b"still here")
    assert "A bug in handling Fake5 v0" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_disconnect_cancels_what_the_request_waits_for(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(LATER))
        await asyncio.sleep(0.05)
        waiting = bench.dispatch.waiting
        assert waiting is not None
        peer.writer.close()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 5)
        assert bench.server.connection_count() == 0


async def test_a_muted_connection_answers_later_and_its_neighbour_at_once(start: Start) -> None:
    async with start() as bench:
        peer, neighbour = await bench.connect(), await bench.connect()
        await peer.send(request(ECHO, b"before"))
        await peer.receive()
        assert bench.server._shared is not None
        next(iter(bench.server._shared.connections)).mute(100)
        await peer.send(request(ECHO, b"muted"))
        await neighbour.send(request(ECHO, b"free"))
        assert await neighbour.receive() == (1, b"free")
        assert b"muted" not in bench.dispatch.handled
        assert await peer.receive() == (1, b"muted")


async def test_requests_are_counted_by_api_and_version(start: Start) -> None:
    async with start(Limits()) as bench:
        peer = await bench.connect()
        for n in range(3):
            await peer.send(request(ECHO, b"12345", version=1, correlation_id=n))
            await peer.receive()
        (route,) = bench.server.routes()
        assert (route.name, route.api_version, route.requests, route.response_bytes) == ("Fake0", 1, 3, 15)
        assert route.total_ns > 0


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        (pack(">hhih", ECHO, 3, 1, 50) + b"short", "Fake0 v3: a client id of 50 bytes"),
        (pack(">hhih", ECHO, 4, 1, 2) + b"\xff\xff", "Fake0 v4: a client id that is not UTF-8"),
        (pack(">hhih", ECHO, 2, 1, -1) + b"\x01\x00\x09x", "Fake0 v2: a tagged field of the request header"),
    ],
    ids=["a client id that runs past the end", "a client id that is not UTF-8", "a tagged field past the end"],
)
async def test_a_broken_header_is_told_with_the_version_of_its_own_request(
    start: Start, caplog: pytest.LogCaptureFixture, frame: bytes, named: str
) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(ECHO, b"first", version=1))
        await peer.receive()
        await peer.send(len(frame).to_bytes(4, "big") + frame)
        assert await peer.is_closed()
    assert named in caplog.text
