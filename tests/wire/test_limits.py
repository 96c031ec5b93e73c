"""What a hostile or broken peer can take from the server: a bounded amount, for a bounded time."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from kafka_server.infrastructure.network.framing import FIRST_CAPACITY
from kafka_server.infrastructure.network.listener import Listener
from kafka_server.infrastructure.network.server import Limits, Server
from kafka_server.infrastructure.network.sockets import BindError
from tests.wire.conftest import BULK, ECHO, LATER, FakeDispatch, Start, request

MIB = 1 << 20


async def test_a_peer_that_does_not_read_is_not_served_further_and_memory_stays_flat(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        tracemalloc.start()
        peer.writer.write(b"".join(request(BULK, correlation_id=n) for n in range(2_000)))
        await asyncio.sleep(0.5)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        # Answers of 2 GB were asked for. The kernel's socket buffers take a few of 1 MiB each, one more waits in ours.
        assert 1 <= len(bench.dispatch.handled) < 40
        assert held < 16 * MIB
        for n in range(200):
            assert (await peer.receive())[0] == n


async def test_requests_behind_a_long_poll_are_read_up_to_a_bound_only(start: Start) -> None:
    async with start(Limits(half_frame_bytes_max=8 * MIB)) as bench:
        peer = await bench.connect()
        await peer.send(request(LATER))
        for _ in range(64):
            peer.writer.write(request(ECHO, bytes(MIB)))
        await asyncio.sleep(0.3)
        assert len(bench.dispatch.handled) == 1
        assert bench.server.half_frame_bytes() <= 2 * MIB
        assert bench.dispatch.waiting is not None
        bench.dispatch.waiting.set_result([b"done"])
        for _ in range(65):
            await peer.receive()


async def test_a_claim_of_100_mib_holds_little_while_its_bytes_trickle(start: Start) -> None:
    async with start() as bench:
        peers = [await bench.connect() for _ in range(20)]
        for peer in peers:
            await peer.send((100 * MIB).to_bytes(4, "big") + b"\0" * 100)
        await asyncio.sleep(0.1)
        assert 0 < bench.server.half_frame_bytes() <= 20 * FIRST_CAPACITY


async def test_a_frame_that_does_not_arrive_in_time_closes_the_connection(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(Limits(frame_grace_ms=100)) as bench:
        peer = await bench.connect()
        await peer.send((100 * MIB).to_bytes(4, "big"))
        assert await peer.is_closed()
        assert bench.server.half_frame_bytes() == 0
        assert bench.server.counters.closed_slow == 1
    assert "still not complete after" in caplog.text


async def test_the_budget_of_all_connections_is_shared_and_honest_frames_still_get_through(start: Start) -> None:
    async with start(Limits(half_frame_bytes_max=2 * MIB)) as bench:
        peers = [await bench.connect() for _ in range(10)]
        await asyncio.gather(*(peer.send(request(ECHO, bytes(MIB))) for peer in peers), *(p.receive() for p in peers))
        assert len(bench.dispatch.handled) == 10
        assert bench.server.half_frame_bytes() == 0


async def test_an_idle_connection_is_closed_but_a_long_poll_is_not_idle(start: Start) -> None:
    async with start(Limits(idle_ms_max=150)) as bench:
        idle, polling = await bench.connect(), await bench.connect()
        await polling.send(request(LATER))
        assert await idle.is_closed()
        assert bench.server.counters.closed_idle == 1
        assert bench.dispatch.waiting is not None
        bench.dispatch.waiting.set_result([b"done"])
        assert await polling.receive() == (1, b"done")


async def test_max_connections_refuses_the_next_one_and_room_comes_back(start: Start) -> None:
    async with start(Limits(connections_max=2)) as bench:
        first, second = await bench.connect(), await bench.connect()
        await second.send(request(ECHO, b"in"))
        await second.receive()
        assert await (await bench.connect()).is_closed()
        first.writer.close()
        await asyncio.sleep(0.05)
        again = await bench.connect()
        await again.send(request(ECHO, b"in"))
        assert await again.receive() == (1, b"in")


async def test_max_connections_per_ip_and_its_overrides(start: Start) -> None:
    async with start(Limits(connections_per_ip_max=0, connections_per_ip_overrides={"127.0.0.1": 1})) as bench:
        peer = await bench.connect()
        await peer.send(request(ECHO, b"in"))
        assert await peer.receive() == (1, b"in")
        assert await (await bench.connect()).is_closed()
        assert bench.server.counters.refused_ip_limit == 1


async def test_several_listeners_and_both_families_are_served_and_named(start: Start) -> None:
    async with start(None, "127.0.0.1", "::1") as bench:
        assert [str(listener).rpartition(":")[0] for listener in bench.server.listeners] == [
            "PLAINTEXT://127.0.0.1",
            "L1://[::1]",
        ]
        bench.port = bench.server.listeners[1].port
        peer = await bench.connect("::1")
        await peer.send(request(ECHO, b"six"))
        assert await peer.receive() == (1, b"six")


async def test_an_empty_host_means_all_addresses_of_both_families_on_one_port(start: Start) -> None:
    async with start(None, "") as bench:
        for host in ("127.0.0.1", "::1"):
            peer = await bench.connect(host)
            await peer.send(request(ECHO, host.encode()))
            assert await peer.receive() == (1, host.encode())


async def test_a_taken_port_is_refused_and_says_by_whom(start: Start) -> None:
    async with start() as bench:
        second = Server(FakeDispatch(), Limits())
        with pytest.raises(BindError, match=rf"port {bench.port} is taken by pid \d+ \(.*pytest"):
            await second.start([Listener("PLAINTEXT", "127.0.0.1", 0), Listener("B", "127.0.0.1", bench.port)])
        assert second.listeners == []


async def test_stopping_answers_what_is_in_flight_and_nothing_more(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        idle = await bench.connect()
        await peer.send(request(LATER, correlation_id=4), request(ECHO, b"too late"))
        await asyncio.sleep(0.05)
        stopping = asyncio.ensure_future(bench.server.stop(grace_ms=5_000))
        assert await idle.is_closed()
        with pytest.raises(ConnectionRefusedError):
            await bench.connect()
        assert bench.dispatch.waiting is not None
        bench.dispatch.waiting.set_result([b"in flight"])
        assert await peer.receive() == (4, b"in flight")
        assert await peer.is_closed()
        await stopping


async def test_stopping_cuts_what_does_not_finish_in_time(start: Start) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(LATER))
        await asyncio.sleep(0.05)
        await bench.server.stop(grace_ms=100)
        assert await peer.is_closed()
        assert bench.dispatch.waiting is not None
        assert bench.dispatch.waiting.cancelled()


async def test_only_requests_with_records_may_be_large(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    async with start() as bench:
        peer = await bench.connect()
        await peer.send(request(LATER, bytes(9 * MIB)))
        assert await peer.is_closed()
        assert bench.dispatch.handled == []
        assert "which carries no records" in caplog.text


async def test_a_connection_of_an_address_that_connects_too_often_is_not_heard_and_closed_after_a_pause(
    start: Start,
) -> None:
    async with start() as bench:
        bench.server._pause_ms = lambda host: {"127.0.0.1": 300}[host]
        began = asyncio.get_running_loop().time()
        peer = await bench.connect()
        await peer.send(request(ECHO))
        assert not await peer.is_closed(within_s=0.1)
        assert await peer.is_closed()
        assert 0.25 < asyncio.get_running_loop().time() - began < 2
        assert bench.dispatch.handled == []
        assert bench.server.counters.refused_ip_rate == 1
        assert bench.server.connection_count() == 0


async def test_a_stop_does_not_wait_for_those_who_were_turned_away(start: Start) -> None:
    async with start() as bench:
        bench.server._pause_ms = lambda _: 60_000
        peer = await bench.connect()
        await peer.send(request(ECHO))
        await asyncio.sleep(0.05)
    assert await peer.is_closed()
