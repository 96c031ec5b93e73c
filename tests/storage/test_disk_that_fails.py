"""A disk that fails under a running broker process: it says so, stops with its own exit code, and claims nothing."""

from __future__ import annotations

import os
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

HANGS = """
import errno, sys, time
from kafka_server.__main__ import main
from kafka_server.cli import start
from kafka_server.infrastructure.storage.log.disk import OsDisk, OsFile

def fails_while_others_hang(self):
    OsDisk.replace = lambda *_: time.sleep(600)
    time.sleep(0.5)  # time for a checkpoint
    raise OSError(errno.EIO, "Input/output error")

OsFile.sync = fails_while_others_hang
start.GIVE_UP_S = 0.5
sys.argv = ["kafka-server", "start", "--port", "0", "--log-dirs", sys.argv[1]]
main()
"""


def test_a_failed_sync_stops_the_broker_with_exit_code_5_and_no_clean_mark(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        address = address_of(process)
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
        assert process.stdout is not None
        assert "Input/output error" in process.stdout.read()
    assert 0 < len(acknowledged) < 200
    assert not (tmp_path / names.CLEAN_SHUTDOWN).exists()
    assert list(verify(str(tmp_path))) == []


def test_a_disk_that_hangs_does_not_keep_a_broker_that_has_to_stop(tmp_path: Path) -> None:
    often = {"KAFKA_LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS": "50"}
    with subprocess.Popen(
        [sys.executable, "-c", HANGS, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | often,
    ) as process:
        producer = Producer({"bootstrap.servers": address_of(process), "message.timeout.ms": 1_000, "log_level": 0})
        producer.produce("orders", b"value")
        producer.flush(5)
        assert process.wait(30) == 5
        assert process.stdout is not None
        assert "what still waited for the disk was left" in process.stdout.read()
    assert not (tmp_path / names.CLEAN_SHUTDOWN).exists()


def address_of(process: subprocess.Popen[str]) -> str:
    """Where a broker listens, when it is ready."""
    assert process.stdout is not None
    address = ""
    for line in process.stdout:
        if found := re.search(r"listening on PLAINTEXT://(\S+)", line):
            address = found[1]
        if "Kafka Server started" in line:
            break
    return address
