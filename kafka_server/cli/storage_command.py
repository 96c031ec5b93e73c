"""Owns: ``kafka-server storage dump | verify | info``: what is printed about files and folders, and the exit codes.
Must never know: file formats, beyond which function reads which.

Exit codes of ``verify``: 0 nothing is wrong, 1 something is; of ``info``: 1 when nobody knows whose folder it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from kafka_server.cli.start import EXIT_USAGE, fail
from kafka_server.domain.control_record import parse_marker
from kafka_server.domain.errors import DomainError
from kafka_server.domain.record_batch import CODEC_NAMES, DELETE_HORIZON, BatchHeader
from kafka_server.infrastructure.storage.log import inspection, names, verification
from kafka_server.infrastructure.storage.log.checkpoints import BrokenFile, decode_snapshot
from kafka_server.infrastructure.storage.log.index import OffsetIndex, TimeIndex
from kafka_server.infrastructure.storage.log.transaction_index import decode_transaction_index

EXIT_FINDINGS = 1


def dump(paths: Sequence[str], *, records: bool, raw: bool) -> int:
    """Prints log files, indexes, snapshots and checkpoints."""
    code = 0
    for path in paths:
        print(path)
        try:
            for line in _lines(path, records=records, raw=raw):
                print(line)
        except BrokenFile as broken:
            sys.stdout.flush()
            code = fail(str(broken), EXIT_FINDINGS)
        except OSError as error:
            sys.stdout.flush()
            code = fail(f"{path}: {error.strerror}", EXIT_USAGE)
    return code


def _lines(path: str, *, records: bool, raw: bool) -> Iterator[str]:
    base = names.offset_of(os.path.basename(path)) or 0
    suffix = os.path.splitext(path)[1]
    if suffix == names.LOG:
        yield from _log_lines(path, records=records, raw=raw)
        return
    with open(path, "rb") as file:
        content = file.read()
    if raw:
        yield from _raw_lines(suffix, content)
    elif suffix == names.OFFSET_INDEX:
        index = OffsetIndex.decode(base, content, 2**31)
        if index is None:
            raise BrokenFile(path, "is no offset index")
        yield from (f"  offset {offset} at {position}" for offset, position in index.entries())
    elif suffix == names.TIME_INDEX:
        times = TimeIndex.decode(base, content)
        if times is None:
            raise BrokenFile(path, "is no time index")
        yield from (f"  {_time(at)} up to offset {offset}" for at, offset in times.entries())
    elif suffix == names.TRANSACTION_INDEX:
        for entry in decode_transaction_index(path, content, base):
            yield f"  producer {entry.producer_id} aborted {entry.first_offset} to {entry.last_offset}"
    elif suffix == names.SNAPSHOT:
        for producer_id, producer in decode_snapshot(path, content):
            begun = producer.transaction_first_offset
            note = "" if begun is None else f", in a transaction since offset {begun}"
            yield f"  producer {producer_id} epoch {producer.epoch}{note}"
            for one in producer.batches:
                sequences = f"{one.first_sequence} to {one.last_sequence}"
                yield f"    sequence {sequences} at offset {one.first_offset} to {one.last_offset}"
    else:
        yield from (f"  {line}" for line in content.decode(errors="replace").splitlines())


def _log_lines(path: str, *, records: bool, raw: bool) -> Iterator[str]:
    for position, header, batch in inspection.batches(path):
        yield f"  at {position}: offset {header.base_offset} to {header.last_offset}, {_described(header)}"
        if raw:
            from kafka_server.infrastructure.storage.log.dissector import BATCH_HEADER, annotated, dissect

            yield from annotated(dissect(BATCH_HEADER, batch, position))
        if records and header.is_control:
            marker = parse_marker(header, batch)
            yield f"    {('commit' if marker.is_commit else 'abort') if marker else 'control record'}"
        elif records:
            yield from _record_lines(batch)


def _record_lines(batch: bytes) -> Iterator[str]:
    from kafka_server.domain.records import iterate_messages
    from kafka_server.infrastructure.compression import Codecs

    try:
        for message in iterate_messages(batch, Codecs().decompress):
            headers = "".join(f" {name}={value!r}" for name, value in message.headers)
            yield f"    {message.offset} {_time(message.timestamp)} {message.key!r}: {message.value!r}{headers}"
    except DomainError as error:
        yield f"    the records cannot be read: {error}"


def _described(header: BatchHeader) -> str:
    parts = [f"{header.record_count} record(s)", f"{header.size} bytes", CODEC_NAMES[header.codec]]
    parts.append(f"{'log append' if header.is_log_append_time else 'create'} time {_time(header.max_timestamp)}")
    parts.append(f"epoch {header.leader_epoch}")
    if header.producer_id >= 0:
        parts.append(f"producer {header.producer_id}/{header.producer_epoch} sequence {header.base_sequence}")
    if header.is_transactional:
        parts.append("transactional")
    if header.is_control:
        parts.append("control")
    if header.attributes & DELETE_HORIZON:
        parts.append(f"delete horizon {_time(header.base_timestamp)}")
    return ", ".join(parts)


def _raw_lines(suffix: str, content: bytes) -> Iterator[str]:
    from kafka_server.infrastructure.storage.log import dissector

    layouts = {
        names.OFFSET_INDEX: dissector.OFFSET_ENTRY,
        names.TIME_INDEX: dissector.TIME_ENTRY,
        names.TRANSACTION_INDEX: dissector.TRANSACTION_ENTRY,
        names.SNAPSHOT: dissector.SNAPSHOT_ENTRY,
    }
    layout = layouts.get(suffix)
    at = 0
    if suffix == names.SNAPSHOT:
        yield from dissector.annotated(dissector.dissect(dissector.SNAPSHOT_HEAD, content))
        at = dissector.SNAPSHOT_HEAD.sizeof()
    while layout is not None and at + layout.sizeof() <= len(content):
        yield from dissector.annotated(dissector.dissect(layout, content[at : at + layout.sizeof()], at))
        at += layout.sizeof()


def _time(at_ms: int) -> str:
    if at_ms < 0:
        return "(no time)"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"


# ---- folders ---------------------------------------------------------------------------------------------------------


def verify(folders: Sequence[str]) -> int:
    """Reads everything and repairs nothing."""
    count = 0
    for folder in folders:
        if not os.path.isdir(folder):
            return fail(f"{folder} is no folder", EXIT_USAGE)
        facts = inspection.facts_of(folder)
        if facts.holder:
            print(f"{folder}: in use by pid {facts.holder}; what it writes right now may look unfinished")
        for finding in verification.verify(folder):
            count += 1
            print(f"{finding.path}: {finding.what}")
        size = sum(partition.log_bytes for partition in facts.partitions)
        print(f"{folder}: {len(facts.partitions)} partition(s), {size} bytes of records checked")
    print("nothing is wrong" if not count else f"{count} finding(s)")
    return EXIT_FINDINGS if count else 0


def info(folders: Sequence[str]) -> int:
    """Whose folder it is, how it was left, and what takes how much room."""
    code = 0
    for folder in folders:
        if not os.path.isdir(folder):
            return fail(f"{folder} is no folder", EXIT_USAGE)
        facts = inspection.facts_of(folder)
        state = (
            f"in use by pid {facts.holder}" if facts.holder else ("clean" if facts.is_clean else "not stopped cleanly")
        )
        print(f"{facts.path}: {state}")
        if facts.flaw:
            print(f"  {facts.flaw}")
            code = EXIT_FINDINGS
        for key, value in sorted(facts.identity.items()):
            print(f"  {key} = {value}")
        in_partitions = 0
        print(f"  {'records':>14} {'on disk':>14} {'segments':>9} {'first offset':>13}  partition")
        for one in facts.partitions:
            in_partitions += one.disk_bytes
            print(f"  {one.log_bytes:>14} {one.disk_bytes:>14} {one.segments:>9} {one.start_offset:>13}  {one.name}")
        print(f"  {'':>14} {facts.disk_bytes - in_partitions:>14} {'':>9} {'':>13}  (everything else)")
        records = sum(one.log_bytes for one in facts.partitions)
        print(f"  {records:>14} {facts.disk_bytes:>14} {'':>9} {'':>13}  (all)")
    return code
