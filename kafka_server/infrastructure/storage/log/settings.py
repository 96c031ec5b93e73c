"""Owns: what the broker's configuration says about compaction. Must never know: how it works.

On its own, because a start needs these two numbers and not the code that obeys them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CompactionSettings:
    """The broker's configuration of compaction; it is read whenever it matters, because it may change."""

    backoff_ms: int = 15_000
    """``log.cleaner.backoff.ms``"""
    bytes_per_second_max: float = float("inf")
    """``log.cleaner.io.max.bytes.per.second``; as in Apache Kafka there is no bound below 0, and no compaction at 0."""
