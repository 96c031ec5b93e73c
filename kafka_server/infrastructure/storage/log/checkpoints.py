"""Owns: the small text files of a data folder - checkpoints, ids, the clean-shutdown marker - and the producer
snapshot.

Must never know: segments, when any of them is written.

Formats are Apache Kafka's (storage/internals/checkpoint, ProducerStateManager, MetaProperties), so that its tools read
ours and the other way round. A file that cannot be read raises ``BrokenFile`` with its path; whoever owns it decides
whether it can be rebuilt.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence

from kafka_server.domain.partition import EpochEntry
from kafka_server.domain.producer_state import SEQUENCE_MAX, ProducerEntry, StoredBatch
from kafka_server.domain.record_batch import crc32c
from kafka_server.infrastructure.storage.log.disk import Disk


class BrokenFile(Exception):
    """A file does not hold what its name promises."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


# ---- checkpoints: version, count, one entry a line -------------------------------------------------------------------


def _lines(path: str, content: bytes) -> list[list[str]]:
    try:
        lines = content.decode().splitlines()
        version, count, rows = lines[0].strip(), int(lines[1]), [line.split() for line in lines[2:] if line.strip()]
    except (UnicodeDecodeError, IndexError, ValueError):
        raise BrokenFile(path, "is no checkpoint: it must begin with a version and a count") from None
    if version != "0":
        raise BrokenFile(path, f"has version {version}; only 0 is known")
    if len(rows) != count:
        raise BrokenFile(path, f"promises {count} entries and holds {len(rows)}")
    return rows


def _checkpoint(rows: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in ("0", str(len(rows)), *rows)).encode()


def read_offsets(disk: Disk, path: str) -> dict[tuple[str, int], int]:
    """Offsets by (topic, partition); empty when there is no file."""
    content = disk.read_file(path)
    if content is None:
        return {}
    try:
        return {(topic, int(partition)): int(offset) for topic, partition, offset in _lines(path, content)}
    except ValueError:
        raise BrokenFile(path, "has an entry that is not `topic partition offset`") from None


def write_offsets(disk: Disk, path: str, offsets: Mapping[tuple[str, int], int]) -> None:
    """Replaces a checkpoint of offsets."""
    rows = [f"{topic} {partition} {offset}" for (topic, partition), offset in sorted(offsets.items())]
    disk.replace(path, _checkpoint(rows))


def read_epochs(disk: Disk, path: str) -> list[EpochEntry]:
    """Leader epochs with their first offsets; empty when there is no file."""
    content = disk.read_file(path)
    if content is None:
        return []
    try:
        return [EpochEntry(int(epoch), int(offset)) for epoch, offset in _lines(path, content)]
    except ValueError:
        raise BrokenFile(path, "has an entry that is not `epoch offset`") from None


def write_epochs(disk: Disk, path: str, epochs: Sequence[EpochEntry]) -> None:
    """Replaces a partition's leader-epoch-checkpoint."""
    disk.replace(path, _checkpoint([f"{entry.epoch} {entry.start_offset}" for entry in epochs]))


# ---- ids -------------------------------------------------------------------------------------------------------------


def encode_id(topic_id: bytes) -> str:
    """Sixteen bytes as Kafka prints them: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(topic_id).decode().rstrip("=")


def decode_id(text: str) -> bytes:
    """The sixteen bytes of a printed id. Raises ValueError."""
    value = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if len(value) != 16:
        raise ValueError(f"{text!r} is no id of 16 bytes")
    return value


def read_partition_metadata(disk: Disk, path: str) -> bytes | None:
    """The topic id that a partition folder belongs to, or None when it does not say."""
    content = disk.read_file(path)
    if content is None:
        return None
    try:
        fields = dict(line.split(":", 1) for line in content.decode().splitlines() if line.strip())
        if fields["version"].strip() != "0":
            raise BrokenFile(path, f"has version {fields['version'].strip()}; only 0 is known")
        return decode_id(fields["topic_id"].strip())
    except (UnicodeDecodeError, KeyError, ValueError):
        raise BrokenFile(path, "must hold `version: 0` and `topic_id: <id>`") from None


def write_partition_metadata(disk: Disk, path: str, topic_id: bytes) -> None:
    """Says which topic a partition folder belongs to."""
    disk.replace(path, f"version: 0\ntopic_id: {encode_id(topic_id)}\n".encode())


def read_meta_properties(disk: Disk, path: str) -> dict[str, str]:
    """``cluster.id``, ``node.id``, ``directory.id``, ``version``; empty when there is no file."""
    content = disk.read_file(path)
    if content is None:
        return {}
    try:
        rows = [line.strip() for line in content.decode().splitlines()]
        pairs = (row.split("=", 1) for row in rows if row and not row.startswith("#"))
        return {key.strip(): value.strip() for key, value in pairs}
    except (UnicodeDecodeError, ValueError):
        raise BrokenFile(path, "is no properties file of `key=value` lines") from None


def write_meta_properties(disk: Disk, path: str, properties: Mapping[str, str]) -> None:
    """Says whose data folder this is."""
    disk.replace(path, "".join(f"{key}={value}\n" for key, value in sorted(properties.items())).encode())


def clean_shutdown_marker() -> bytes:
    """Content of ``.kafka_cleanshutdown``; broker epochs are a matter of several brokers, so ours is -1."""
    return json.dumps({"version": 0, "brokerEpoch": -1}).encode()


# ---- producer snapshot -----------------------------------------------------------------------------------------------
#
#     version int16 = 1 | crc uint32 (CRC-32C of what follows) | count int32 | entries of 50 bytes each:
#     producer id int64 | epoch int16 | last sequence int32 | last offset int64 | offset delta int32 | timestamp int64
#     | coordinator epoch int32 | first offset of the open transaction int64, or -1

_SNAPSHOT_HEAD = struct.Struct(">hI")
_COUNT = struct.Struct(">i")
_PRODUCER = struct.Struct(">qhiqiqiq")
_SNAPSHOT_VERSION = 1
_NO_SEQUENCE = -1
_NO_OFFSET = -1


def encode_snapshot(producers: Sequence[tuple[int, ProducerEntry]]) -> bytes:
    """A producer snapshot.

    Kafka keeps one row per producer, of its last batch, and so forgets over a restart which older batches a client may
    still repeat. Here each of the last five batches has a row, the newest last: Kafka reads rows of one producer as
    updates, so it ends up with the newest, and we with all of them.
    """
    rows = [
        _PRODUCER.pack(
            producer_id,
            entry.epoch,
            batch.last_sequence if batch else _NO_SEQUENCE,
            batch.last_offset if batch else _NO_OFFSET,
            batch.last_offset - batch.first_offset if batch else 0,
            batch.timestamp if batch else entry.last_used_ms,
            entry.coordinator_epoch,
            _NO_OFFSET if entry.transaction_first_offset is None else entry.transaction_first_offset,
        )
        for producer_id, entry in producers
        for batch in entry.batches or (None,)
    ]
    body = b"".join((_COUNT.pack(len(rows)), *rows))
    return _SNAPSHOT_HEAD.pack(_SNAPSHOT_VERSION, crc32c(body)) + body


def decode_snapshot(path: str, content: bytes) -> list[tuple[int, ProducerEntry]]:
    """The producers of a snapshot. Raises BrokenFile."""
    try:
        version, crc = _SNAPSHOT_HEAD.unpack_from(content)
        (count,) = _COUNT.unpack_from(content, _SNAPSHOT_HEAD.size)
    except struct.error:
        raise BrokenFile(path, "ends within its head") from None
    if version != _SNAPSHOT_VERSION:
        raise BrokenFile(path, f"has version {version}; only {_SNAPSHOT_VERSION} is known")
    if crc32c(memoryview(content)[_SNAPSHOT_HEAD.size :]) != crc:
        raise BrokenFile(path, "fails its CRC check")
    start = _SNAPSHOT_HEAD.size + _COUNT.size
    if len(content) != start + count * _PRODUCER.size:
        raise BrokenFile(path, f"promises {count} producers in {len(content)} bytes")
    found: dict[int, ProducerEntry] = {}
    for position in range(start, len(content), _PRODUCER.size):
        producer_id, epoch, sequence, offset, delta, timestamp, coordinator_epoch, first_offset = _PRODUCER.unpack_from(
            content, position
        )
        entry = found.get(producer_id)
        if entry is None or entry.epoch != epoch:
            entry = found[producer_id] = ProducerEntry(epoch)
        entry.last_used_ms = timestamp
        entry.coordinator_epoch = coordinator_epoch
        entry.transaction_first_offset = None if first_offset == _NO_OFFSET else first_offset
        if sequence != _NO_SEQUENCE:
            first_sequence = (sequence - delta) % (SEQUENCE_MAX + 1)
            entry.batches.append(StoredBatch(first_sequence, sequence, offset - delta, offset, timestamp))
    return list(found.items())
