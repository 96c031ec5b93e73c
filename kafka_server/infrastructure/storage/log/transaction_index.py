"""Owns: the transaction index of a segment - which aborted transactions have their marker in it - as a file.
Must never know: readers, producers, when a segment is rolled.

``.txnindex``, 34 bytes an entry, in the order of the markers; as in Apache Kafka there is no file without an entry::

    version int16 = 0 | producer id int64 | first offset int64 | last offset int64 | last stable offset int64

It is written when a segment is rolled and when the log is closed, always before the producer snapshot of that offset.
So what lies below a snapshot is in the files, and what lies behind it comes back by replaying the log.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from struct import Struct

from kafka_server.domain.aborted_transactions import AbortedTransaction
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import BrokenFile
from kafka_server.infrastructure.storage.log.disk import Disk

_ENTRY = Struct(">hqqqq")
_VERSION = 0


def encode_transaction_index(entries: Sequence[AbortedTransaction]) -> bytes:
    """The content of the file."""
    return b"".join(_ENTRY.pack(_VERSION, *entry) for entry in entries)


def decode_transaction_index(path: str, content: bytes, base_offset: int) -> list[AbortedTransaction]:
    """The entries of the file. Raises BrokenFile when they cannot be those of a segment that begins there."""
    if len(content) % _ENTRY.size:
        raise BrokenFile(path, f"has {len(content)} bytes, which are no whole entries of {_ENTRY.size}")
    found: list[AbortedTransaction] = []
    before = base_offset - 1
    for version, *fields in _ENTRY.iter_unpack(content):
        entry = AbortedTransaction(*fields)
        if version != _VERSION:
            raise BrokenFile(path, f"has an entry of version {version}; only {_VERSION} is known")
        if entry.last_offset <= before or entry.first_offset > entry.last_offset:
            raise BrokenFile(path, f"has an entry [{entry.first_offset}, {entry.last_offset}] after {before}")
        before = entry.last_offset
        found.append(entry)
    return found


def write_transaction_index(disk: Disk, folder: str, base_offset: int, entries: Sequence[AbortedTransaction]) -> None:
    """Replaces the file of the segment that begins at ``base_offset``."""
    if entries:
        path = os.path.join(folder, names.file_name(base_offset, names.TRANSACTION_INDEX))
        disk.replace(path, encode_transaction_index(entries))


def cut_transaction_index(disk: Disk, folder: str, base_offset: int, last_offset: int) -> None:
    """Takes out what lies above the end of a segment that was cut; removes a file that is empty then, or broken."""
    path = os.path.join(folder, names.file_name(base_offset, names.TRANSACTION_INDEX))
    content = disk.read_file(path)
    if content is None:
        return
    try:
        entries = decode_transaction_index(path, content, base_offset)
    except BrokenFile:
        entries = []
    kept = [entry for entry in entries if entry.last_offset <= last_offset]
    if not kept:
        disk.remove(path)
    elif kept != entries:
        write_transaction_index(disk, folder, base_offset, kept)


def read_transaction_indexes(disk: Disk, folder: str, end_offset: int) -> list[AbortedTransaction]:
    """The transactions of all segments whose markers lie below ``end_offset``. Raises BrokenFile."""
    found: list[AbortedTransaction] = []
    for name in disk.names(folder):
        base_offset = names.offset_of(name)
        if not name.endswith(names.TRANSACTION_INDEX) or base_offset is None or base_offset >= end_offset:
            continue
        path = os.path.join(folder, name)
        found += decode_transaction_index(path, disk.read_file(path) or b"", base_offset)
    return [entry for entry in found if entry.last_offset < end_offset]
