"""``kafka-server storage``: what is in a data folder, and what is wrong with it."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kafka_server.cli.app import cli
from kafka_server.domain.partition import Partition
from kafka_server.domain.record_batch import assigned_prefix, parse_header
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.infrastructure.clock import SystemClock
from kafka_server.infrastructure.storage.log.disk import OsDisk
from kafka_server.infrastructure.storage.log.folders import DataFolder, Identity, open_folders
from kafka_server.infrastructure.storage.log.repository import DiskLogRepository
from tests.storage.log_house import numbered


def opened(data: Path) -> DataFolder:
    return open_folders(OsDisk(), [str(data)], node_id=3, cluster_id="c", default=Identity(3, "c"))[0][0]


async def fill(folder: DataFolder) -> None:
    """Ten batches in several segments, and a clean stop."""
    clock = SystemClock(asyncio.get_running_loop())
    repository = DiskLogRepository(clock, [folder], flush_on_ack=False, on_failure=print)
    settings = TopicSettings(segment_bytes=400, index_interval_bytes=100)
    partition = Partition(0)
    log = await repository.open(Topic("orders", bytes(range(16)), 1, settings), partition)
    for at in range(10):
        data = numbered(2 * at)
        header = parse_header(data)
        log.append(assigned_prefix(2 * at, header.batch_length, 0), data[16:], 2 * at, 2 * at + 1, header.max_timestamp)
        partition.advance(header, 0, is_safe=True)
    await repository.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = opened(tmp_path)
    asyncio.run(fill(folder))
    folder.lock.release()
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["storage", *arguments])


def test_a_sound_folder_has_no_findings(data: Path) -> None:
    result = run("verify", str(data))
    assert (result.exit_code, "nothing is wrong" in result.output) == (0, True)


@pytest.mark.parametrize(
    ("file", "finding"),
    [
        ("00000000000000000000.log", "fails its CRC check"),
        ("00000000000000000000.index", "is no offset index"),
        ("00000000000000000000.timeindex", "is no time index"),
        ("00000000000000000020.snapshot", "has version"),
        ("partition.metadata", "must hold"),
        ("leader-epoch-checkpoint", "is no checkpoint"),
    ],
)
def test_a_broken_file_is_named_and_not_touched(data: Path, file: str, finding: str) -> None:
    path = data / "orders-0" / file
    broken = bytearray(path.read_bytes())
    broken[-1] ^= 0xFF
    broken[0] ^= 0xFF if path.suffix != ".log" else 0
    path.write_bytes(broken)

    result = run("verify", str(data))
    assert result.exit_code == 1
    assert any(str(path) in line and finding in line for line in result.output.splitlines())
    assert path.read_bytes() == broken


def test_the_figures_add_up_with_du(data: Path) -> None:
    output = run("info", str(data)).output
    shown = re.search(r"(\d+) +(\d+) +\(all\)", output)
    assert shown is not None
    said_by_du = subprocess.run(["du", "-s", "--block-size=1", str(data)], capture_output=True, text=True, check=True)
    assert shown[2] == said_by_du.stdout.split()[0]
    assert int(shown[1]) == sum(file.stat().st_size for file in data.glob("*/*.log"))
    assert "node.id = 3" in output
    assert f"{data}: clean" in output


def test_a_folder_in_use_names_the_pid(data: Path) -> None:
    import os

    folder = opened(data)
    assert f"in use by pid {os.getpid()}" in run("info", str(data)).output
    folder.lock.release()


def test_a_segment_is_told_in_words_records_and_bytes(data: Path) -> None:
    log = str(data / "orders-0" / "00000000000000000000.log")
    output = run("dump", "--records", "--bytes", log).output
    assert "at 0: offset 0 to 1, 2 record(s)" in output
    assert "producer 7/0 sequence 0" in output
    assert "0 2023-11-14T22:13:20.000Z b'key': b'0000000000'" in output
    assert re.search(r"00000010  02 +magic = 2", output)


def test_other_files_are_told_in_words(data: Path) -> None:
    files = sorted((data / "orders-0").glob("*"))
    result = run("dump", *map(str, files))
    assert result.exit_code == 0
    assert "sequence 18 to 19 at offset 18 to 19" in result.output
    assert re.search(r"offset \d+ at \d+", result.output)
    assert run("dump", "--bytes", *(str(file) for file in files if file.suffix != ".log")).exit_code == 0
