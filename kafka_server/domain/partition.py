"""Owns: the rules of one partition - offsets, high watermark, leader epochs, what may be appended.
Must never know: bytes on disk, clocks, waiting clients, the wire.
"""

from __future__ import annotations


class Partition:
    """One partition of a topic, as rules without bytes."""

    __slots__ = ("high_watermark", "index", "leader_epoch", "log_end_offset", "log_start_offset")

    def __init__(self, index: int, leader_epoch: int = 0) -> None:
        self.index = index
        self.leader_epoch = leader_epoch
        self.log_start_offset = 0
        self.log_end_offset = 0
        self.high_watermark = 0
