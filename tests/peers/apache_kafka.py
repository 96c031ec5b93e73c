"""A real Apache Kafka broker: one node in KRaft mode on the loopback address, from Maven's jars.

Owns: the life of that process and its data folder. Must never know: kafka_server, or what the caller does with it.

The oracle of our client tests and the opponent in our benchmarks:

    with ApacheKafka(version="4.4.0") as kafka:
        print(kafka.bootstrap)

`python -m tests.peers.apache_kafka [VERSION]` runs one in the foreground until it is interrupted.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType

from tests.peers import jvm

READY_LINE = "Kafka Server started"
NODE_ID = 1

# The collector settings of Kafka's own start script, so that a comparison meets the broker that people run.
AS_ITS_START_SCRIPT = ("-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35")


class ApacheKafka:
    """One broker process. `start` returns when it serves requests; `stop` is safe to call twice.

    heap: -Xmx of the broker (Kafka's own start script uses 1g).
    properties: overrides of server.properties; what is not named keeps Kafka's own default.
    data_dir: kept after stop when given; otherwise a temporary folder that stop removes.
    """

    def __init__(
        self,
        version: str = jvm.NEWEST,
        *,
        heap: str = "512m",
        properties: dict[str, str] | None = None,
        data_dir: Path | None = None,
        start_timeout_seconds: float = 60.0,
    ) -> None:
        self.version = version
        self.heap = heap
        self.port, self._controller_port = free_ports(2)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._overrides = dict(properties or {})
        self._start_timeout_seconds = start_timeout_seconds
        self._owns_folder = data_dir is None
        self.folder = data_dir if data_dir is not None else Path(tempfile.mkdtemp(prefix="apache-kafka-"))
        self.log_path = self.folder / "server.log"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError("Apache Kafka is not running")
        return self.process.pid

    def server_properties(self) -> dict[str, str]:
        """What the broker is started with: only what one node on the loopback address needs, then the overrides."""
        return {
            "process.roles": "broker,controller",
            "node.id": str(NODE_ID),
            "controller.quorum.voters": f"{NODE_ID}@127.0.0.1:{self._controller_port}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            # One node cannot replicate its internal topics three times, and 50 of their partitions only cost start-up.
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            **self._overrides,
        }

    def start(self) -> ApacheKafka:
        class_path = jvm.class_path(self.version)
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "server.properties"
        config.write_text("".join(f"{key}={value}\n" for key, value in self.server_properties().items()))
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(config)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(jvm.java(), f"-Xmx{self.heap}", *AS_ITS_START_SCRIPT),
                    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
                    *("-cp", class_path, "kafka.Kafka", str(config)),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )
        self._await_ready()
        return self

    def stop(self, timeout_seconds: float = 20.0) -> None:
        process, self.process = self.process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> ApacheKafka:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _format(self, config: Path) -> None:
        """Gives the data folder its cluster id; Kafka refuses to start on a folder without one."""
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        # A leading dash would read as an option of the tool.
        cluster_id = "A" + cluster_id[1:]
        done = subprocess.run(
            jvm.command(
                self.version, "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config", str(config)
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"formatting the data folder failed:\n{done.stdout}\n{done.stderr}")

    def _await_ready(self) -> None:
        process = self.process
        assert process is not None
        deadline = time.monotonic() + self._start_timeout_seconds
        while time.monotonic() < deadline:
            text = self.log_path.read_text(errors="replace")
            if process.poll() is not None:
                raise RuntimeError(f"Apache Kafka ended with {process.returncode}:\n{text[-3000:]}")
            if READY_LINE in text:
                return
            time.sleep(0.1)
        raise RuntimeError(f"Apache Kafka was not ready in {self._start_timeout_seconds} s:\n{text[-3000:]}")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago. All are held open together, so that none is given twice."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.bind(("127.0.0.1", 0))
            ports.append(int(listener.getsockname()[1]))
        return ports


def main(arguments: list[str]) -> int:
    # A termination has to stop the broker too, as an interrupt does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ApacheKafka(*arguments[:1]) as kafka:
        print(f"Apache Kafka {kafka.version} at {kafka.bootstrap}, log {kafka.log_path}, pid {kafka.pid}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            os.waitpid(kafka.pid, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
