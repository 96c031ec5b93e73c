"""Owns: the markers that end a transaction in a partition, as bytes and as facts.
Must never know: who decides how a transaction ends, partitions, files.

A marker is a control batch (KIP-98): a batch with the attributes ``transactional`` and ``control``, the producer's id
and epoch, no sequence, and exactly one record, never compressed::

    key    version int16 = 0 | type int16: 0 abort, 1 commit
    value  version int16 = 0 | coordinator epoch int32

Readers never see it as a message. It takes an offset all the same.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from kafka_server.domain.errors import CorruptMessage
from kafka_server.domain.record_batch import (
    CONTROL,
    HEADER_SIZE,
    LENGTH_OVERHEAD,
    MAGIC,
    TRANSACTIONAL,
    BatchHeader,
    Buffer,
    rewrite,
)

ABORT, COMMIT = 0, 1
NO_SEQUENCE = -1

_KEY = Struct(">hh")
_VALUE = Struct(">hi")
# One record of which only four numbers vary: its length (zigzag), no attributes, time and offset as in the header, the
# lengths of key and value, no headers. So each part lies at a fixed place.
_RECORD = Struct(">Bbbbb4sb6sb")
_BODY_SIZE = _RECORD.size - 1
_KEY_AT = HEADER_SIZE + 5
_VALUE_AT = _KEY_AT + _KEY.size + 1


class Marker(NamedTuple):
    """How the transaction of a producer ends."""

    producer_id: int
    producer_epoch: int
    is_commit: bool
    coordinator_epoch: int = 0
    """Counts the changes of the transaction coordinator; a marker of an older one is refused."""


def build_marker(marker: Marker, now_ms: int) -> bytes:
    """The control batch of a marker, with base offset and leader epoch still to be assigned."""
    key = _KEY.pack(0, COMMIT if marker.is_commit else ABORT)
    value = _VALUE.pack(0, marker.coordinator_epoch)
    body = _RECORD.pack(2 * _BODY_SIZE, 0, 0, 0, 2 * len(key), key, 2 * len(value), value, 0)
    header = BatchHeader(
        base_offset=0,
        batch_length=HEADER_SIZE - LENGTH_OVERHEAD + len(body),
        leader_epoch=0,
        magic=MAGIC,
        crc=0,
        attributes=TRANSACTIONAL | CONTROL,
        last_offset_delta=0,
        base_timestamp=now_ms,
        max_timestamp=now_ms,
        producer_id=marker.producer_id,
        producer_epoch=marker.producer_epoch,
        base_sequence=NO_SEQUENCE,
        record_count=1,
    )
    return rewrite(header, body, attributes=header.attributes, base_timestamp=now_ms, max_timestamp=now_ms)


def parse_marker(header: BatchHeader, batch: Buffer) -> Marker | None:
    """The marker in a control batch; None for control records of other kinds, which Kafka's own raft logs have.

    Raises CorruptMessage when the record ends too early.
    """
    if not header.is_control or header.record_count < 1:
        return None
    if len(batch) < _KEY_AT + _KEY.size:
        raise CorruptMessage("A control batch ends within its record")
    version, kind = _KEY.unpack_from(batch, _KEY_AT)
    if version < 0 or kind not in (ABORT, COMMIT) or header.producer_id < 0:
        return None
    if len(batch) < _VALUE_AT + _VALUE.size:
        raise CorruptMessage("A control batch ends within its record")
    _, coordinator_epoch = _VALUE.unpack_from(batch, _VALUE_AT)
    return Marker(header.producer_id, header.producer_epoch, kind == COMMIT, coordinator_epoch)
