"""Owns: bringing a partition's rules - offsets, leader epochs, producers - to what they were when its log is opened.

Must never know: how segments were checked, the event loop.

Producers and aborted transactions come from the newest sound snapshot, with the transaction indexes below it, and from
the batches behind it; leader epochs from their checkpoint, or from the batches when it is gone.
"""

from __future__ import annotations

import logging
import os

from kafka_server.domain.control_record import parse_marker
from kafka_server.domain.partition import EpochEntry, Partition
from kafka_server.domain.record_batch import BatchHeader
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import (
    BrokenFile,
    decode_snapshot,
    encode_snapshot,
    read_epochs,
)
from kafka_server.infrastructure.storage.log.disk import PASSING, Disk
from kafka_server.infrastructure.storage.log.recovery import remove_segment
from kafka_server.infrastructure.storage.log.segment import Segment
from kafka_server.infrastructure.storage.log.transaction_index import read_transaction_indexes, write_transaction_index

log = logging.getLogger("kafka_server.log")


def restore_partition(
    disk: Disk, folder: str, partition: Partition, segments: list[Segment], log_start: int, *, after_crash: bool
) -> int:
    """``partition`` is as it was, up to the end of the log. Returns the offset from which on nothing but the batches
    told of producers and of aborted transactions.

    After a crash a new leader epoch begins, unless the log is empty: what was cut off may have been seen by somebody,
    and the epoch is how they find out that other records took its place (KIP-101).
    """
    first_base = segments[0].base_offset
    end_offset = max(segments[-1].last_offset + 1, log_start, first_base)
    log_start = max(log_start, first_base)
    stored = _stored_epochs(disk, folder)
    partition.restore(log_start, _epochs_between(stored or [], log_start, end_offset))
    producers_from = _load_snapshot(disk, folder, partition, segments, end_offset)
    partition.aborted.forget_below(log_start)
    replay_from = first_base if stored is None else producers_from
    for segment in segments:
        if segment.last_offset < replay_from:
            continue
        for position, header in segment.headers(replay_from):
            if header.last_offset < replay_from:
                continue
            if header.base_offset < producers_from:
                partition.replay(_without_producer(header))
            elif header.is_control:
                partition.replay(header, parse_marker(header, segment.batch(position, header)))
            else:
                partition.replay(header)
        segment.is_used = False
    partition.log_end_offset = partition.high_watermark = end_offset
    partition.first_unstable_offset = partition.producers.first_open_transaction()
    _drop_below(disk, folder, partition, segments)
    if after_crash and end_offset > first_base:
        newest = max([partition.leader_epoch, *(entry.epoch for entry in stored or ())])
        partition.begin_epoch(newest + 1)
    return producers_from


def _drop_below(disk: Disk, folder: str, partition: Partition, segments: list[Segment]) -> None:
    """Removes the segments that lie wholly below the log start, once their producers are known.

    The log goes on at its start, in a new segment, when nothing of it is left. On a full disk they go without what they
    tell of producers being written down first, because that may be the only room there is: a producer that wrote
    nothing since is forgotten then if a crash follows, as when it had expired.
    """
    log_start = partition.log_start_offset
    last = segments[-1]
    is_over = last.base_offset < log_start and last.last_offset < log_start
    count = len(segments) if is_over else sum(1 for after in segments[1:] if after.base_offset <= log_start)
    if not count:
        return
    is_written = _write_producers(disk, folder, partition, segments)
    if is_over:
        segments.append(Segment(disk, folder, log_start, last.index_interval_bytes))
        disk.sync_folder(folder)
    for segment in segments[:count]:
        remove_segment(disk, folder, segment.base_offset)
    disk.sync_folder(folder)
    del segments[:count]
    if not is_written:
        _write_producers(disk, folder, partition, segments)


def _write_producers(disk: Disk, folder: str, partition: Partition, segments: list[Segment]) -> bool:
    """Writes down what is known of producers at the end of the log; False when the disk is full."""
    ends = [*(after.base_offset for after in segments[1:]), partition.log_end_offset]
    try:
        # A snapshot promises that the transaction indexes below it are there.
        for segment, end in zip(segments, ends, strict=True):
            entries = partition.aborted.ending_between(segment.base_offset, end)
            write_transaction_index(disk, folder, segment.base_offset, entries)
        snapshot = encode_snapshot(partition.producers.items())
        disk.replace(os.path.join(folder, names.file_name(partition.log_end_offset, names.SNAPSHOT)), snapshot)
    except OSError as error:
        if error.errno not in PASSING:
            raise
        log.warning("%s: what is known of producers cannot be written: %s", folder, error.strerror)
        return False
    return True


def _epochs_between(stored: list[EpochEntry], log_start: int, end_offset: int) -> list[EpochEntry]:
    """Those that cover what is left of the log. The one that covers its start begins there now."""
    kept = [entry for entry in stored if entry.start_offset <= end_offset]
    below = sum(1 for entry in kept[1:] if entry.start_offset <= log_start)
    return [EpochEntry(entry.epoch, max(entry.start_offset, log_start)) for entry in kept[below:]]


def _without_producer(header: BatchHeader) -> BatchHeader:
    # The snapshot knows this batch's producer; only its leader epoch is news.
    return header._replace(producer_id=-1)


def _stored_epochs(disk: Disk, folder: str) -> list[EpochEntry] | None:
    """What the checkpoint says; None when there is none to be trusted."""
    try:
        return read_epochs(disk, os.path.join(folder, names.LEADER_EPOCHS)) or None
    except BrokenFile as broken:
        log.warning("%s; it is rebuilt from the log", broken)
        return None


def _load_snapshot(disk: Disk, folder: str, partition: Partition, segments: list[Segment], end_offset: int) -> int:
    """Loads the newest usable producer snapshot, removes those that nothing needs, and returns the offset from which
    producers are to be replayed."""
    offsets = sorted(
        (
            offset
            for name in disk.names(folder)
            if name.endswith(names.SNAPSHOT) and (offset := names.offset_of(name)) is not None
        ),
        reverse=True,
    )
    bases = {segment.base_offset for segment in segments}
    loaded = -1
    for offset in offsets:
        path = os.path.join(folder, names.file_name(offset, names.SNAPSHOT))
        # One from behind the end was taken of a log that was longer than what survived.
        usable = offset <= end_offset
        if usable and loaded < 0:
            try:
                producers = decode_snapshot(path, disk.read_file(path) or b"")
                partition.aborted.load(read_transaction_indexes(disk, folder, offset))
                partition.producers.load(producers)
                loaded = offset
            except BrokenFile as broken:
                log.warning("%s; an older snapshot or the log itself is used", broken)
                usable = False
        if not usable or (offset != loaded and offset not in bases):
            disk.remove(path)
    return loaded if loaded >= 0 else segments[0].base_offset
