"""``kafka-server storage``: what is in a data folder, and what is wrong with it."""

from __future__ import annotations

import asyncio
import re
import struct
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kafka_server.cli.app import cli
from kafka_server.domain.partition import Partition
from kafka_server.domain.record_batch import HEADER_SIZE, assigned_prefix, parse_header, rewrite
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.infrastructure.clock import SystemClock
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.disk import OsDisk
from kafka_server.infrastructure.storage.log.folders import DataFolder, Identity, open_folders
from kafka_server.infrastructure.storage.log.repository import DiskLogRepository
from kafka_server.infrastructure.storage.sqlite.store import FILE_NAME
from tests.storage.log_house import numbered


def opened(data: Path) -> DataFolder:
    return open_folders(OsDisk(), [str(data)], node_id=3, cluster_id="c", default=Identity(3, "c"))[0][0]


async def fill(folder: DataFolder, segment_bytes: int = 400, times_ms: int = 0) -> None:
    """Ten batches in several segments, ``times_ms`` apart, and a clean stop."""
    clock = SystemClock(asyncio.get_running_loop())
    repository = DiskLogRepository(clock, [folder], flush_on_ack=False, on_failure=print)
    settings = TopicSettings(segment_bytes=segment_bytes, index_interval_bytes=100)
    partition = Partition(0)
    log = await repository.open(Topic("orders", bytes(range(16)), 1, settings), partition)
    for at in range(10):
        data = numbered(2 * at)
        header = parse_header(data)
        later = header.base_timestamp + at * times_ms
        fields = {"attributes": header.attributes, "base_timestamp": later, "max_timestamp": later}
        data = rewrite(header, memoryview(data)[HEADER_SIZE:], **fields)
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


def segments_of(data: Path) -> list[str]:
    found = sorted(file.stem for file in (data / "orders-0").glob("*.log"))
    assert len(found) > 2
    return found


def findings(data: Path) -> list[str]:
    result = run("verify", str(data))
    assert result.exit_code == 1
    return [line for line in result.output.splitlines() if line.startswith(f"{data}/")]


def test_a_segment_that_is_gone_from_the_middle_leaves_a_hole(data: Path) -> None:
    first, gone, third = segments_of(data)[:3]
    for file in (data / "orders-0").glob(f"{gone}.*"):
        file.unlink()
    assert findings(data) == [
        f"{data}/orders-0: the offsets {int(gone)} to {int(third) - 1} are missing between two segments"
    ]
    assert int(first) == 0


def test_a_hole_that_compaction_explains_or_that_lies_below_the_log_start_is_none(data: Path) -> None:
    first, gone, third = segments_of(data)[:3]
    for file in (data / "orders-0").glob(f"{gone}.*"):
        file.unlink()
    (data / names.CLEANER_OFFSETS).write_text(f"0\n1\norders 0 {int(third)}\n")
    assert run("verify", str(data)).exit_code == 0
    (data / names.CLEANER_OFFSETS).unlink()
    (data / names.LOG_STARTS).write_text(f"0\n1\norders 0 {int(third)}\n")
    assert run("verify", str(data)).exit_code == 0
    assert int(first) == 0


def test_a_log_that_is_gone_is_missed_by_its_indexes_and_by_the_snapshot_behind_it(data: Path) -> None:
    last = segments_of(data)[-1]
    (data / "orders-0" / f"{last}.log").unlink()
    assert [line.partition(": ")[2] for line in findings(data)] == [
        "is an index without its log",
        "is an index without its log",
        f"was taken at offset 20, and the log ends before {int(last)}",
    ]


@pytest.mark.parametrize("suffix", [names.OFFSET_INDEX, names.TIME_INDEX])
def test_a_full_segment_has_indexes(data: Path, suffix: str) -> None:
    path = data / "orders-0" / f"{segments_of(data)[1]}{suffix}"
    path.unlink()
    assert findings(data) == [f"{path}: is missing"]
    (data / names.CLEAN_SHUTDOWN).unlink()
    (data / names.RECOVERY_POINTS).unlink()
    assert run("verify", str(data)).exit_code == 0  # The next start makes them.


def test_each_entry_of_a_time_index_is_looked_at(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    asyncio.run(fill(folder, segment_bytes=10_000, times_ms=100))
    folder.lock.release()
    path = tmp_path / "orders-0" / "00000000000000000000.timeindex"
    content = path.read_bytes()
    assert len(content) > 3 * 12
    (time,) = struct.unpack_from(">q", content, 12)
    path.write_bytes(content[:12] + struct.pack(">q", time + 1) + content[20:])
    (line,) = findings(tmp_path)
    assert "is no time index of this log" in line


def test_a_metadata_file_without_tables_is_told(data: Path) -> None:
    (data / FILE_NAME).touch()
    assert findings(data) == [
        f"{data}/{FILE_NAME}: is empty; a start would take the topics over from the partition folders"
    ]


def test_a_broken_meta_properties_is_told_and_hides_nothing(data: Path) -> None:
    path = data / names.META_PROPERTIES
    path.write_bytes(b"\xff\xfe\0")
    assert findings(data) == [f"{path}: is no properties file of `key=value` lines"]
    told = run("info", str(data))
    assert told.exit_code == 1
    assert f"{path}: is no properties file" in told.output
    assert "orders-0" in told.output


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
