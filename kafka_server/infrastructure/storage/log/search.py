"""Owns: finding batches by time across the segments of a log. Must never know: the event loop; it may have to wait.

Segments that cannot hold what is looked for are skipped by their largest timestamp and their offsets.
"""

from __future__ import annotations

from kafka_server.infrastructure.storage.log.disk import EMPTY
from kafka_server.infrastructure.storage.log.segment import Segment, newest_time


def first_since(segments: list[Segment], timestamp: int, start_offset: int, end_offset: int) -> memoryview:
    """The first batch within the bounds that is as new as ``timestamp``."""
    for segment in segments:
        if segment.last_offset < start_offset or segment.max_timestamp < timestamp:
            continue
        if segment.base_offset >= end_offset:
            break
        found = segment.find_by_time(timestamp, start_offset, end_offset)
        if found:
            return found
    return EMPTY


def newest(segments: list[Segment], start_offset: int, end_offset: int) -> memoryview:
    """The first of the batches with the largest timestamp of all within the bounds."""
    best, best_timestamp = EMPTY, -1
    for segment in segments:
        if segment.last_offset < start_offset or segment.max_timestamp <= best_timestamp:
            continue
        timestamp = segment.max_timestamp
        found = segment.find_by_time(timestamp, start_offset, end_offset)
        if not found:
            # Its newest batch lies outside the bounds; look at each of the others.
            found, timestamp = _newest_by_scan(segment, start_offset, end_offset, best_timestamp)
        if found:
            best, best_timestamp = found, timestamp
    return best


def _newest_by_scan(segment: Segment, start_offset: int, end_offset: int, above: int) -> tuple[memoryview, int]:
    best, best_timestamp = EMPTY, above
    for position, header in segment.headers():
        if header.last_offset >= end_offset:
            break
        if header.last_offset >= start_offset and newest_time(header) > best_timestamp:
            best, best_timestamp = segment.batch(position, header), header.max_timestamp
    return best, best_timestamp
