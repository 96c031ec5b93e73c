"""Owns: the numbers that the data plane counts while it works. Must never know: metric names, endpoints, formats.

Services add to plain ints; whoever exports metrics reads them when asked. So counting costs an attribute, not a call.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TopicCounters:
    """What happened to one topic since this process started. All only grow."""

    messages_in: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_rejected: int = 0
    produce_requests: int = 0
    fetch_requests: int = 0
    failed_produce_requests: int = 0
    failed_fetch_requests: int = 0
    produce_conversions: int = 0
    fetch_conversions: int = 0
