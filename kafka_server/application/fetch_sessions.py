"""Owns: incremental fetch sessions (KIP-227): what each client last asked for, and what it was told last.
Must never know: how partitions are read, the wire.

A consumer of a thousand partitions would name them all in every fetch, and be told of them all. With a session it names
what changed, and is told what is new. A session is (id, epoch): the epoch counts the requests, so that a lost or a
repeated one is noticed and the client starts over.

    session id  epoch   means
    0           0       full fetch, please open a session
    0           -1      full fetch without a session
    n           -1      close session n; full fetch without a session
    n           0       close session n and open another one; full fetch
    n           1, 2 .. the next fetch of session n

The cache has a fixed number of slots. When it is full, a session gives way that was not used for two minutes or, after
it had two minutes to earn its keep, one that is smaller than the newcomer: larger sessions save more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from kafka_server.application.fetch_values import FetchTarget, ReadResult
from kafka_server.domain.errors import FetchSessionIdNotFound, FetchSessionTopicIdError, InvalidFetchSessionEpoch
from kafka_server.domain.topic import ZERO_ID

NO_SESSION = 0
INITIAL_EPOCH = 0
FINAL_EPOCH = -1
_EPOCH_MAX = 2**31 - 1
_ID_MAX = 2**31 - 1

Key = tuple[str | bytes, int]
"""Topic id or, where it is zero, topic name; and the partition's index."""


class ForgottenPartition(NamedTuple):
    """A partition that leaves the session."""

    topic: str
    topic_id: bytes
    partition: int


class FetchSession:
    """What one client fetches."""

    __slots__ = ("by_follower", "created_ms", "epoch", "last_used_ms", "session_id", "targets", "uses_topic_ids")

    def __init__(self, session_id: int, by_follower: bool, uses_topic_ids: bool, now_ms: int) -> None:
        self.session_id = session_id
        self.by_follower = by_follower
        self.uses_topic_ids = uses_topic_ids
        self.created_ms = now_ms
        self.last_used_ms = now_ms
        self.epoch = 1
        """The epoch that the next request must carry."""
        self.targets: dict[Key, FetchTarget] = {}
        """In the order in which they are read; a partition that gave records goes to the end, so none starves."""

    def update(self, targets: Iterable[FetchTarget], forgotten: Iterable[ForgottenPartition]) -> None:
        """Takes over what the client changed; what it was told stays remembered."""
        for target in targets:
            known = self.targets.get(_key(target.topic, target.topic_id, target.index))
            if known is None:
                self.targets[_key(target.topic, target.topic_id, target.index)] = target
            else:
                known.fetch_offset = target.fetch_offset
                known.size_max = target.size_max
                known.leader_epoch = target.leader_epoch
                known.last_fetched_epoch = target.last_fetched_epoch
        for gone in forgotten:
            self.targets.pop(_key(gone.topic, gone.topic_id, gone.partition), None)

    def news(self, results: Iterable[ReadResult]) -> list[ReadResult]:
        """The results that the client does not know yet, remembered as told."""
        fresh = []
        for result in results:
            target = result.target
            if (
                result.records
                or result.error_code
                or result.diverging is not None
                or target.told_high_watermark != result.high_watermark
                or target.told_log_start_offset != result.log_start_offset
            ):
                fresh.append(result)
                # After an error the partition is told of again, whatever its high watermark is then.
                target.told_high_watermark = -1 if result.error_code else result.high_watermark
                target.told_log_start_offset = result.log_start_offset
                if not target.seen_as and result.replica is not None:
                    target.seen_as = result.replica.topic.name
                if result.records:
                    key = _key(target.topic, target.topic_id, target.index)
                    if self.targets.pop(key, None) is not None:
                        self.targets[key] = target
        return fresh


class SessionFetch(NamedTuple):
    """What a fetch reads, as its session says."""

    targets: Sequence[FetchTarget]
    session: FetchSession | None
    """The session that goes on, or None for a full fetch."""
    wants_session: bool = False
    """A full fetch that asked for a session of its own."""
    next_epoch: int = 0
    """What the session expects after this request; another value at the time of the answer means that somebody else
    used the session meanwhile."""


class FetchSessions:
    """The sessions of this broker."""

    __slots__ = ("_eviction_ms", "_random_id", "_sessions", "_slots", "evictions")

    def __init__(
        self,
        slots: int = 1000,
        eviction_ms: int = 120_000,
        random_id: Callable[[], int] = lambda: secrets.randbelow(_ID_MAX) + 1,
    ) -> None:
        self._slots = slots
        """``max.incremental.fetch.session.cache.slots``"""
        self._eviction_ms = eviction_ms
        self._random_id = random_id
        self._sessions: dict[int, FetchSession] = {}
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def partition_count(self) -> int:
        """Partitions in all sessions together."""
        return sum(len(session.targets) for session in self._sessions.values())

    def begin(
        self,
        session_id: int,
        epoch: int,
        targets: Sequence[FetchTarget],
        forgotten: Sequence[ForgottenPartition],
        uses_topic_ids: bool,
        now_ms: int,
    ) -> SessionFetch:
        """What this request reads.

        Raises FetchSessionIdNotFound, InvalidFetchSessionEpoch or FetchSessionTopicIdError; the client then starts
        over with a full fetch.
        """
        if epoch in (INITIAL_EPOCH, FINAL_EPOCH):
            if session_id != NO_SESSION:
                self._sessions.pop(session_id, None)
            return SessionFetch(targets, None, wants_session=epoch == INITIAL_EPOCH)
        session = self._sessions.get(session_id)
        if session is None:
            raise FetchSessionIdNotFound
        if session.epoch != epoch:
            raise InvalidFetchSessionEpoch(f"The session expects epoch {session.epoch}, not {epoch}")
        if session.uses_topic_ids != uses_topic_ids:
            raise FetchSessionTopicIdError
        if targets or forgotten:
            session.update(targets, forgotten)
        if not session.targets:
            del self._sessions[session_id]
            return SessionFetch(targets, None)
        session.last_used_ms = now_ms
        session.epoch = 1 if epoch == _EPOCH_MAX else epoch + 1
        return SessionFetch(list(session.targets.values()), session, next_epoch=session.epoch)

    def open(
        self, results: Sequence[ReadResult], uses_topic_ids: bool, by_follower: bool, now_ms: int
    ) -> FetchSession | None:
        """A new session over what a full fetch has just read, or None when there is no room for it."""
        if len(self._sessions) >= self._slots and not self._evict(by_follower, len(results), now_ms):
            return None
        session_id = self._random_id()
        while session_id in self._sessions:
            session_id = self._random_id()
        session = FetchSession(session_id, by_follower, uses_topic_ids, now_ms)
        session.update((result.target for result in results), ())
        for result in results:
            result.target.told_high_watermark = result.high_watermark
            result.target.told_log_start_offset = result.log_start_offset
            if result.replica is not None:
                result.target.seen_as = result.replica.topic.name
        self._sessions[session_id] = session
        return session

    def _evict(self, by_follower: bool, size: int, now_ms: int) -> bool:
        if not self._sessions:
            return False
        stalest = min(self._sessions.values(), key=lambda session: session.last_used_ms)
        if now_ms - stalest.last_used_ms > self._eviction_ms:
            return self._remove(stalest)
        # A follower may push out any consumer; a consumer only what has been there for a while.
        candidates = [
            session
            for session in self._sessions.values()
            if now_ms - session.created_ms > self._eviction_ms or (by_follower and not session.by_follower)
        ]
        if not candidates:
            return False
        smallest = min(candidates, key=lambda session: (session.by_follower, len(session.targets)))
        if (by_follower, size) <= (smallest.by_follower, len(smallest.targets)):
            return False
        return self._remove(smallest)

    def _remove(self, session: FetchSession) -> bool:
        del self._sessions[session.session_id]
        self.evictions += 1
        return True


def _key(topic: str, topic_id: bytes, index: int) -> Key:
    return (topic if topic_id == ZERO_ID else topic_id, index)
