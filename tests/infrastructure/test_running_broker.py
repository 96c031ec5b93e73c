"""Brokers inside a test: fast to start, gone when the block ends."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kafka_protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kafka_protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from kafka_protocol.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

from kafka_server.bootstrap import Broker
from kafka_server.infrastructure.event_loop import new_event_loop
from kafka_server.infrastructure.network.sockets import BindError
from kafka_server.testing.broker import running_broker, settings_for_test, threaded_broker
from tests.wire.conftest import request


async def ask_api_versions(bootstrap: str) -> bytes:
    host, _, port = bootstrap.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request(18, version=0, correlation_id=5))
    answer = await asyncio.wait_for(reader.readexactly(10), 5)
    writer.close()
    return answer[4:]


async def test_a_broker_shares_the_event_loop_of_a_coroutine_test() -> None:
    async with running_broker() as broker:
        assert await ask_api_versions(broker.bootstrap) == b"\0\0\0\5\0\0"
    with pytest.raises(ConnectionRefusedError):
        await ask_api_versions(broker.bootstrap)


def test_a_broker_on_a_thread_serves_clients_that_block() -> None:
    with threaded_broker() as broker:
        host, _, port = broker.bootstrap.rpartition(":")
        with socket.create_connection((host, int(port)), 5) as sock:
            sock.sendall(request(18, version=0, correlation_id=5))
            assert sock.recv(10)[4:] == b"\0\0\0\5\0\0"


async def test_settings_are_given_as_in_server_properties() -> None:
    async with running_broker(**{"node.id": "9", "max.connections": "0"}) as broker:
        assert broker.broker.settings.node_id == 9
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await ask_api_versions(broker.bootstrap)


def test_a_failure_to_start_is_raised_in_the_thread_that_asked() -> None:
    with threaded_broker() as broker:
        taken = f"PLAINTEXT://{broker.bootstrap}"
        with pytest.raises(BindError, match="is taken by pid"), threaded_broker(listeners=taken):
            raise AssertionError("it must not start")


@pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])
def test_no_listener_is_open_when_the_metrics_port_is_taken(loop_name: str) -> None:
    async def taken(port: int, metrics_port: int) -> None:
        settings = {"listeners": f"PLAINTEXT://127.0.0.1:{port}", "metrics.port": str(metrics_port)}
        broker = Broker(settings_for_test(settings), asyncio.get_running_loop())
        with pytest.raises(BindError, match=rf"Cannot serve metrics on .*: port {metrics_port} is taken by pid \d+ \("):
            await broker.start()
        assert broker.listeners == []

    with socket.create_server(("127.0.0.1", 0)) as holder, socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
        probe.close()
        factory = asyncio.new_event_loop if loop_name == "asyncio" else new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(taken(free, holder.getsockname()[1]))


async def test_a_metrics_host_that_is_unknown_is_told_so() -> None:
    settings = {"metrics.port": "0", "metrics.host": "no.such.host.invalid"}
    with pytest.raises(BindError, match=r"the host .no\.such\.host\.invalid. is unknown"):
        async with running_broker(**settings):
            raise AssertionError("it must not start")


async def test_a_broker_on_all_addresses_has_a_bootstrap_that_clients_can_use() -> None:
    async with running_broker(listeners="PLAINTEXT://:0") as broker:
        assert broker.bootstrap.startswith("127.0.0.1:")
        assert await ask_api_versions(broker.bootstrap) == b"\0\0\0\5\0\0"


async def test_everything_is_loaded_soon_after_the_start() -> None:
    async with running_broker() as broker:
        settling = broker.broker.settling
        assert settling is not None
        families = vars(broker.broker.families)
        assert "group_admin" not in families
        await asyncio.wait_for(settling, 20)
        assert "group_admin" in families


def test_the_pytest_fixture_gives_other_peoples_tests_a_broker(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["kafka_server.testing.pytest_plugin"]\n')
    (tmp_path / "test_mine.py").write_text(
        "import socket\n"
        "def test_it(kafka_broker):\n"
        "    host, _, port = kafka_broker.bootstrap.rpartition(':')\n"
        "    socket.create_connection((host, int(port))).close()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "1 passed" in result.stdout, result.stdout


async def test_a_group_that_formed_before_the_broker_settled_lives_on() -> None:
    async with running_broker() as broker:
        host, _, port = broker.bootstrap.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))

        async def ask(key: int, body: bytes) -> bytes:
            writer.write(request(key, body, version=0))
            size = int.from_bytes(await asyncio.wait_for(reader.readexactly(4), 5), "big")
            return (await reader.readexactly(size))[4:]

        protocols = [JoinGroupRequestProtocol(name="range", metadata=b"")]
        join = JoinGroupRequest(group_id="g", session_timeout_ms=30_000, protocol_type="consumer", protocols=protocols)
        joined = JoinGroupResponse.decode(await ask(11, join.encode(0)), 0)
        mine = [SyncGroupRequestAssignment(member_id=joined.member_id, assignment=b"all")]
        await ask(14, SyncGroupRequest("g", joined.generation_id, joined.member_id, assignments=mine).encode(0))
        settling = broker.broker.settling
        assert settling is not None
        await asyncio.wait_for(settling, 20)
        heartbeat = HeartbeatRequest("g", joined.generation_id, joined.member_id)
        assert HeartbeatResponse.decode(await ask(12, heartbeat.encode(0)), 0).error_code == 0
        writer.close()
