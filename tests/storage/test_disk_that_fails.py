"""A disk that fails under a running broker process: it says so, stops with its own exit code, and claims nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.verification import verify

PROGRAM = """
import errno, sys
from kafka_server.__main__ import main
from kafka_server.infrastructure.storage.log.disk import OsFile

syncs, sync = 0, OsFile.sync

def fails_in_the_end(self):
    global syncs
    syncs += 1
    if syncs > 20:
        raise OSError(errno.EIO, "Input/output error")
    sync(self)

OsFile.sync = fails_in_the_end
sys.argv = ["kafka-server", "start", "--port", "0", "--log-dirs", sys.argv[1]]
main()
"""


def test_a_failed_sync_stops_the_broker_with_exit_code_5_and_no_clean_mark(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        address = ""
        for line in process.stdout:
            if found := re.search(r"listening on PLAINTEXT://(\S+)", line):
                address = found[1]
            if "Kafka Server started" in line:
                break
        acknowledged: list[int] = []

        def told(error: KafkaError | None, message: Message) -> None:
            if error is None:
                acknowledged.append(message.offset() or 0)

        producer = Producer({"bootstrap.servers": address, "linger.ms": 0, "message.timeout.ms": 5_000, "log_level": 0})
        for _ in range(200):
            try:
                producer.produce("orders", b"value", on_delivery=told)
                producer.flush(5)
            except KafkaException:
                break
            if process.poll() is not None:
                break
        assert process.wait(30) == 5
        assert "Input/output error" in process.stdout.read()
    assert 0 < len(acknowledged) < 200
    assert not (tmp_path / names.CLEAN_SHUTDOWN).exists()
    assert list(verify(str(tmp_path))) == []
