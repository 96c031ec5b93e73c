"""The command line, as a process: what it prints, when it is ready, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.conftest import request

PATIENCE_S = 30


class Process:
    """``python -m kafka_server`` with its output, line by line."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KAFKA_")}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "kafka_server", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**clean, "KAFKA_STORAGE": "memory", **environ},
        )
        self.lines: list[str] = []

    def read_until(self, pattern: str) -> re.Match[str]:
        """The first match in the lines from here on."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line.rstrip())
            found = re.search(pattern, line)
            if found:
                return found
        raise AssertionError(f"no line has {pattern!r}: {self.lines}")

    def wait(self) -> int:
        return self.popen.wait(PATIENCE_S)


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """Processes that are killed after the test."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.popen.kill()
        process.popen.wait()
        assert process.popen.stdout is not None
        process.popen.stdout.close()


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("KAFKA_")}
    command = [sys.executable, "-m", "kafka_server", *arguments]
    env = {**clean, "KAFKA_STORAGE": "memory", **environ}
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=env, check=False)


def ask_api_versions(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.sendall(request(18, version=0, correlation_id=42))
        return sock.recv(10)


def test_start_says_where_it_listens_and_when_it_is_ready(started: list[Process]) -> None:
    process = Process("start", "--listeners", "PLAINTEXT://127.0.0.1:0", "--node-id", "7")
    started.append(process)
    port = int(process.read_until(r"listening on PLAINTEXT://127\.0\.0\.1:(\d+)$")[1])
    process.read_until(r"INFO +server: Kafka Server started \(node 7, cluster [\w-]{22}\)")
    answer = ask_api_versions(port)
    assert answer[4:8] == (42).to_bytes(4, "big")
    assert answer[8:10] == b"\0\0"


def test_the_ready_file_holds_the_addresses_while_the_server_runs(started: list[Process], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    ready.write_text("of an earlier run")
    process = Process("start", "--host", "127.0.0.1", "--port", "0", "--ready-file", str(ready))
    started.append(process)
    port = process.read_until(r"listening on PLAINTEXT://127\.0\.0\.1:(\d+)")[1]
    process.read_until("Kafka Server started")
    assert ready.read_text() == f"PLAINTEXT://127.0.0.1:{port}\n"
    process.popen.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert not ready.exists()


@pytest.mark.parametrize(
    ("everywhere", "here"),
    [("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")],
    ids=["all", "IPv4", "IPv6"],
)
def test_a_listener_on_all_addresses_is_told_under_one_that_tools_can_connect_to(
    started: list[Process], tmp_path: Path, everywhere: str, here: str
) -> None:
    ready = tmp_path / "ready"
    process = Process("start", "--listeners", f"PLAINTEXT://{everywhere}:0", "--ready-file", str(ready))
    started.append(process)
    line = process.read_until(rf"listening on PLAINTEXT://{re.escape(here)}:(\d+) \(and on all other addresses")
    process.read_until("Kafka Server started")
    assert ready.read_text() == f"PLAINTEXT://{here}:{line[1]}\n"
    with socket.create_connection((here.strip("[]"), int(line[1])), PATIENCE_S):
        pass


@pytest.mark.parametrize("path", ["", "no-such-folder/ready", "a-file/ready"])
def test_a_ready_file_that_cannot_be_written_is_told_before_anything_is_opened(tmp_path: Path, path: str) -> None:
    (tmp_path / "a-file").touch()
    result = run("start", "--port", "0", "--ready-file", str(tmp_path / path))
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(r"kafka-server: error: Cannot write the ready file \S+: [\w ]+\n", result.stderr)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a-file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full needs /dev/full")
def test_a_ready_file_that_fails_late_stops_the_broker_cleanly(tmp_path: Path) -> None:
    (tmp_path / "ready.tmp").symlink_to("/dev/full")
    data = tmp_path / "data"
    where = ("--storage", "disk", "--log-dirs", str(data))
    result = run("start", "--port", "0", *where, "--ready-file", str(tmp_path / "ready"))
    assert (result.returncode, "listening on" in result.stdout) == (2, False)
    assert (
        result.stderr == f"kafka-server: error: Cannot write the ready file {tmp_path}/ready: No space left on device\n"
    )
    assert (data / ".kafka_cleanshutdown").exists()
    assert sorted(tmp_path.iterdir()) == [data]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_gracefully(started: list[Process], number: signal.Signals) -> None:
    process = Process("start", "--host", "127.0.0.1", "--port", "0")
    started.append(process)
    process.read_until("Kafka Server started")
    process.popen.send_signal(number)
    process.read_until("Kafka Server stopped")
    assert process.wait() == 0


def test_a_second_signal_stops_it_at_once(started: list[Process]) -> None:
    process = Process("start", "--host", "127.0.0.1", "--port", "0", "--override", "shutdown.grace.ms=60000")
    started.append(process)
    port = int(process.read_until(r"listening on .*:(\d+)")[1])
    process.read_until("Kafka Server started")
    with (
        socket.create_connection(("127.0.0.1", port)) as first,
        socket.create_connection(("127.0.0.1", port)) as second,
    ):
        first.sendall(join_group(b""))
        assert first.recv(1000)
        second.sendall(join_group(b""))  # waits until the first member joins again or its session ends
        process.read_until("rebalance")
        process.popen.send_signal(signal.SIGTERM)
        process.read_until("Kafka Server stops")
        process.popen.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM


def join_group(member: bytes) -> bytes:
    """JoinGroup v0 of a member that offers the protocol "range" without metadata."""

    def text(value: bytes) -> bytes:
        return len(value).to_bytes(2, "big") + value

    body = text(b"group") + (30_000).to_bytes(4, "big") + text(member) + text(b"consumer")
    return request(11, body + (1).to_bytes(4, "big") + text(b"range") + (0).to_bytes(4, "big"), version=0)


def test_a_taken_port_is_an_error_that_names_the_process(started: list[Process]) -> None:
    first = Process("start", "--host", "127.0.0.1", "--port", "0")
    started.append(first)
    port = first.read_until(r"listening on .*:(\d+)")[1]
    second = run("start", "--host", "127.0.0.1", "--port", port)
    assert second.returncode == 3
    assert f"port {port} is taken by pid {first.popen.pid} (" in second.stderr
    assert "kafka_server start" in second.stderr


def test_a_taken_metrics_port_names_the_process_before_any_client_is_let_in(started: list[Process]) -> None:
    first = Process("start", "--port", "0", "--metrics-port", "0")
    started.append(first)
    port = first.read_until(r"metrics on http://127\.0\.0\.1:(\d+)/metrics")[1]
    second = run("start", "--port", "0", "--metrics-port", port)
    assert second.returncode == 3
    assert f"Cannot serve metrics on 127.0.0.1:{port}: port {port} is taken by pid {first.popen.pid} (" in second.stderr
    assert "listening on" not in second.stdout


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (
            ["--override", "num.partitions=many"],
            {},
            "num.partitions = 'many' (flag --override): must be a whole number",
        ),
        ([], {"KAFKA_NODE_ID": "x"}, "node.id = 'x' (variable KAFKA_NODE_ID): must be a whole number"),
        (["--storage", "tape"], {}, "storage = 'tape' (flag --storage): must be one of memory, disk"),
        (["--listeners", "PLAINTEXT://:1", "--port", "2"], {}, "--listeners says it all"),
        (["--explain", "--log-level", "info"], {}, "contradict each other"),
        (["--port", "1", "--port", "2"], {}, "--port is given twice; give it once"),
        (["--node-id", "1", "--override", "node.id=2"], {}, "node.id is given twice, by flag --node-id and by flag --"),
        (["--port", "1", "--override", "listeners=PLAINTEXT://:2"], {}, "listeners is given twice, by flag --override"),
        (["--explain", "--override", "log.level=info"], {}, "log.level is given twice"),
        (["--override", "num.partitions=1", "--override", "num.partitions=2"], {}, "num.partitions is given twice"),
        (["--override", "novalue"], {}, "is not of the form KEY=VALUE"),
        (["--port", "http"], {}, "--port 'http' is no port"),
        (["--config", "/no/such/file"], {}, "Cannot read the settings file /no/such/file: No such file or directory"),
        (["--no-such-flag"], {}, "No such option"),
        (["--port"], {}, "requires an argument"),
    ],
)
def test_a_mistake_is_one_readable_error(arguments: list[str], environ: dict[str, str], message: str) -> None:
    result = run("start", *arguments, **environ)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broker_whose_output_nobody_reads_any_more_goes_on_without_a_word(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "kafka_server", "start", "--port", "0", "--storage", "memory"]
    with subprocess.Popen(
        [*command, "--ready-file", str(ready), "--explain"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdout.readline()
            process.stdout.close()
            deadline = time.monotonic() + PATIENCE_S
            while not ready.exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            port = int(ready.read_text().rpartition(":")[2])
            for _ in range(3):
                assert ask_api_versions(port)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
        assert process.stderr.read() == b""


def test_version_and_help() -> None:
    assert re.fullmatch(r"kafka-server, version \d+\.\d+\.\d+\n", run("--version").stdout)
    assert "start" in run("--help").stdout
    assert "--ready-file" in run("start", "--help").stdout


def test_config_shows_what_is_set_and_by_whom(tmp_path: Path) -> None:
    file = tmp_path / "server.properties"
    file.write_text("num.partitions=3\nssl.key.password=hunter2\nnum.io.threads=4\n")
    result = run("config", "--config", str(file), "--node-id", "5", KAFKA_LOG_RETENTION_HOURS="1")
    assert result.returncode == 0
    assert "# server.properties:1\nnum.partitions=3\n" in result.stdout
    assert "# flag --node-id\nnode.id=5\n" in result.stdout
    assert "# variable KAFKA_LOG_RETENTION_HOURS\nlog.retention.hours=1\n" in result.stdout
    assert "# server.properties:3, without effect\nnum.io.threads=4\n" in result.stdout
    assert "hunter2" not in result.stdout
    assert "default: 1" in run("config", "num.partitions").stdout


def test_explain_tells_what_happens_to_a_request(started: list[Process]) -> None:
    process = Process("start", "--host", "127.0.0.1", "--port", "0", "--explain")
    started.append(process)
    port = int(process.read_until(r"listening on .*:(\d+)")[1])
    process.read_until("Kafka Server started")
    ask_api_versions(port)
    process.read_until(r"EXPLAIN network: .*ApiVersions v0")


def test_metrics_and_health_are_served_when_asked_for(started: list[Process]) -> None:
    process = Process("start", "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0")
    started.append(process)
    port = int(process.read_until(r"listening on .*:(\d+)")[1])
    metrics_port = int(process.read_until(r"metrics on http://127\.0\.0\.1:(\d+)/metrics")[1])
    process.read_until("Kafka Server started")
    ask_api_versions(port)

    def get(path: str) -> str:
        with socket.create_connection(("127.0.0.1", metrics_port), PATIENCE_S) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()

    assert get("/livez").endswith("\r\n\r\nalive\n")
    assert get("/readyz").startswith("HTTP/1.1 200 OK")
    assert 'kafka_network_requestmetrics_requests_total{request="ApiVersions",version="0"} 1' in get("/metrics")
    assert get("/else").startswith("HTTP/1.1 404")
