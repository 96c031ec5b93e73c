"""Owns: what a fetch asks for, and what reading one partition gave. Must never know: the wire, how logs are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kafka_server.application.replica_manager import Replica
from kafka_server.application.stored_records import Records
from kafka_server.domain.aborted_transactions import AbortedTransaction
from kafka_server.domain.partition import EpochEnd

NOTHING = memoryview(b"")


class FetchTarget:
    """One partition that a fetch reads, and what a session remembers of it.

    ``FetchQuery.uses_topic_ids`` says whether ``topic_id`` names the topic or ``topic``.
    """

    __slots__ = (
        "fetch_offset",
        "index",
        "last_fetched_epoch",
        "leader_epoch",
        "seen_as",
        "size_max",
        "told_high_watermark",
        "told_log_start_offset",
        "topic",
        "topic_id",
    )

    def __init__(
        self,
        topic: str,
        topic_id: bytes,
        index: int,
        fetch_offset: int,
        size_max: int,
        leader_epoch: int = -1,
        last_fetched_epoch: int = -1,
    ) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.index = index
        self.fetch_offset = fetch_offset
        self.size_max = size_max
        self.leader_epoch = leader_epoch
        self.last_fetched_epoch = last_fetched_epoch
        self.told_high_watermark = -1
        """What the session's client was told last; a partition without news is left out of an incremental answer."""
        self.told_log_start_offset = -1
        self.seen_as = ""
        """The name that the topic id had when the session read from it; empty before."""


@dataclass(slots=True)
class FetchQuery:
    """What a fetch wants."""

    targets: Sequence[FetchTarget]
    wait_ms_max: int
    size_min: int
    size_max: int
    read_committed: bool = False
    uses_topic_ids: bool = False
    from_follower: bool = False
    client_id: str = ""


class ReadResult:
    """What reading one partition gave. On error the offsets are -1 and there are no records."""

    __slots__ = (
        "aborted",
        "diverging",
        "error_code",
        "high_watermark",
        "last_stable_offset",
        "log_start_offset",
        "records",
        "replica",
        "target",
    )

    def __init__(self, target: FetchTarget) -> None:
        self.target = target
        self.replica: Replica | None = None
        self.error_code = 0
        self.high_watermark = -1
        self.last_stable_offset = -1
        self.log_start_offset = -1
        self.diverging: EpochEnd | None = None
        self.records: Records = NOTHING
        self.aborted: Sequence[AbortedTransaction] = ()
        """What a reader of committed data has to leave out: the aborted transactions that have records among those
        that were read, by their first offset. Taken together with the records, because the partition forgets them
        when its log start passes them."""
