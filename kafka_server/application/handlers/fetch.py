"""Fetch (key 1), v0-v18: reads record batches, and waits for them.

Behaviour
    Partitions are read in the order of the request (or of the session) until max_bytes is used up; the first batch
    comes whole even when it is larger. When there are fewer than min_bytes, the request waits for up to max_wait_ms;
    an error of any partition is answered at once. Stored bytes become part of the response by reference. A client that
    exceeds its consumer_byte_rate gets throttle_time_ms and nothing else.

Version notes
    v0-v1   message format v0, by conversion; v2-v3 message format v1. A partition whose first batch is zstd answers
            UNSUPPORTED_COMPRESSION_TYPE. Up to v2 the limits are hard: the last message may be cut, and a client that
            gets a part of one message only knows that its limit is too small.
    v4      isolation level, last stable offset, aborted transactions (KIP-98).
    v5      below v6 a storage error is told as NOT_LEADER_OR_FOLLOWER, which such clients retry.
    v7      incremental sessions (KIP-227).
    v9      the reader's leader epoch is checked (KIP-320).
    v10     the client knows zstd (KIP-110). To v4-v9 zstd batches are sent as they are, like everything that needs no
            conversion; Apache Kafka refused them for topics with compression.type=zstd up to 3.9 and no longer does.
    v11     rack_id: this broker has no other replica to point to.
    v12     last_fetched_epoch: where the reader's log and ours part (KIP-595).
    v13     topics by id (KIP-516); the zero id is nobody's. An id that is not known is UNKNOWN_TOPIC_ID. A session that
            has read from it is told UNKNOWN_TOPIC_OR_PARTITION instead while its name is gone as well, and
            INCONSISTENT_TOPIC_ID once another topic bears it.
    v15     replica_id moved into replica_state (KIP-903).
    v17/18  replica_directory_id and high_watermark concern raft replicas, which this broker does not serve.

Known gaps
    Followers get NOT_LEADER_OR_FOLLOWER: no partition here has another replica.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from kafka_protocol.messages.fetch import (
    AbortedTransaction,
    EpochEndOffset,
    FetchableTopicResponse,
    FetchRequest,
    FetchResponse,
    PartitionData,
)

from kafka_server.application.consumer_service import ConsumerService
from kafka_server.application.context import RequestContext
from kafka_server.application.fetch_sessions import FetchSessions, ForgottenPartition, SessionFetch
from kafka_server.application.fetch_values import FetchQuery, FetchTarget, ReadResult
from kafka_server.application.message_conversion import MessageConversion
from kafka_server.application.ports import Clock
from kafka_server.application.stored_records import Records, in_memory
from kafka_server.application.throttle import Throttle
from kafka_server.domain.errors import (
    DomainError,
    InvalidFetchSessionEpoch,
    NotLeaderOrFollower,
    StorageError,
    UnknownTopicId,
    UnknownTopicOrPartition,
    UnsupportedCompressionType,
)
from kafka_server.domain.legacy_message import MAGIC_V0, MAGIC_V1

_LAST_VERSION_WITH_HARD_LIMITS = 2
_LAST_VERSION_WITH_V0 = 1
_LAST_VERSION_WITH_CONVERSION = 3
_LAST_VERSION_WITHOUT_STORAGE_ERROR = 5
_FIRST_VERSION_WITH_TOPIC_IDS = 13
# Kafka has an empty list of aborted transactions here, and null beside errors that come from reading.
_REFUSED_UNREAD = (UnknownTopicOrPartition.code, UnknownTopicId.code, UnsupportedCompressionType.code)


class FetchHandlers:
    """Fetch."""

    __slots__ = ("_clock", "_consumer", "_conversion", "_sessions", "_throttle")

    def __init__(
        self,
        consumer: ConsumerService,
        sessions: FetchSessions,
        conversion: MessageConversion,
        clock: Clock,
        throttle: Throttle,
    ) -> None:
        self._consumer = consumer
        self._sessions = sessions
        self._conversion = conversion
        self._clock = clock
        self._throttle = throttle

    def fetch(self, context: RequestContext, request: FetchRequest) -> FetchResponse | Awaitable[FetchResponse]:
        version = context.api_version
        uses_topic_ids = version >= _FIRST_VERSION_WITH_TOPIC_IDS
        replica_id = request.replica_id if request.replica_state is None else request.replica_state.replica_id
        targets = [
            FetchTarget(
                topic.topic,
                topic.topic_id,
                partition.partition,
                partition.fetch_offset,
                partition.partition_max_bytes,
                partition.current_leader_epoch,
                partition.last_fetched_epoch,
            )
            for topic in request.topics
            for partition in topic.partitions
        ]
        try:
            fetch = self._sessions.begin(
                request.session_id,
                request.session_epoch,
                targets,
                _forgotten(request) if request.forgotten_topics_data else (),
                uses_topic_ids,
                self._clock.now_ms(),
            )
        except DomainError as error:
            return FetchResponse(error_code=error.code)
        query = FetchQuery(
            fetch.targets,
            request.max_wait_ms,
            request.min_bytes,
            request.max_bytes,
            read_committed=request.isolation_level == 1,
            uses_topic_ids=uses_topic_ids,
            from_follower=replica_id >= 0,
            client_id=context.client_id,
        )

        def answer(results: list[ReadResult]) -> FetchResponse:
            return self._answer(version, query, fetch, results)

        if self._throttle.is_on:
            return self._throttled(context, query, fetch, answer)
        return self._consumer.fetch(query, answer)

    def _throttled(
        self,
        context: RequestContext,
        query: FetchQuery,
        fetch: SessionFetch,
        answer: Callable[[list[ReadResult]], FetchResponse],
    ) -> FetchResponse | Awaitable[FetchResponse]:
        """As Apache Kafka: never more than the whole quota window holds, and no records at all in a throttled answer,
        which leaves the session as it was, so that the same records come again after the pause.
        """
        bytes_max = self._throttle.fetch_bytes_max(context)
        if bytes_max is not None:
            query.size_max = min(query.size_max, bytes_max)
            query.size_min = min(query.size_min, query.size_max)

        def within_quota(results: list[ReadResult]) -> FetchResponse:
            pause_ms = self._throttle.fetched(context, sum(len(result.records) for result in results))
            if pause_ms == 0:
                return answer(results)
            session_id = 0 if fetch.session is None else fetch.session.session_id
            return FetchResponse(throttle_time_ms=pause_ms, session_id=session_id)

        return self._consumer.fetch(query, within_quota)

    def _answer(self, version: int, query: FetchQuery, fetch: SessionFetch, results: list[ReadResult]) -> FetchResponse:
        session = fetch.session
        session_id = 0
        if session is not None:
            session_id = session.session_id
            if session.epoch != fetch.next_epoch:
                return FetchResponse(error_code=InvalidFetchSessionEpoch.code, session_id=session_id)
            results = session.news(results)
        elif fetch.wants_session:
            opened = self._sessions.open(
                results, version >= _FIRST_VERSION_WITH_TOPIC_IDS, query.from_follower, self._clock.now_ms()
            )
            session_id = opened.session_id if opened is not None else 0
        responses: list[FetchableTopicResponse] = []
        topic: FetchableTopicResponse | None = None
        for result in results:
            target = result.target
            # Targets of one topic need not be neighbours in a session; a topic may appear twice in a response.
            if topic is None or topic.topic != target.topic or topic.topic_id != target.topic_id:
                topic = FetchableTopicResponse(target.topic, target.topic_id, [])
                responses.append(topic)
            topic.partitions.append(self._partition_data(version, query, result))
        return FetchResponse(0, 0, session_id, responses)

    def _partition_data(self, version: int, query: FetchQuery, result: ReadResult) -> PartitionData:
        records: Records | bytes = result.records
        if version <= _LAST_VERSION_WITH_CONVERSION and records and result.replica is not None:
            result.replica.counters.fetch_conversions += 1
            try:
                records = self._for_old_client(version, result)
            except DomainError as error:
                return _error_data(result.target.index, error.code)
        if result.error_code:
            return _error_data(result.target.index, _error_code(version, result.error_code))
        diverging = result.diverging
        return PartitionData(
            result.target.index,
            0,
            result.high_watermark,
            result.last_stable_offset,
            result.log_start_offset,
            None if diverging is None else EpochEndOffset(diverging.epoch, diverging.end_offset),
            None,
            None,
            _aborted(result) if query.read_committed and diverging is None else None,
            -1,
            # The encoder takes the length of a chunk and passes it on, which is all that StoredRecords need.
            cast("memoryview", records),
        )

    def _for_old_client(self, version: int, result: ReadResult) -> bytes:
        magic = MAGIC_V0 if version <= _LAST_VERSION_WITH_V0 else MAGIC_V1
        converted = self._conversion.to_message_set(in_memory(result.records), magic, result.target.fetch_offset)
        if version <= _LAST_VERSION_WITH_HARD_LIMITS:
            return converted[: max(result.target.size_max, 0)]
        return converted


def _forgotten(request: FetchRequest) -> list[ForgottenPartition]:
    return [
        ForgottenPartition(topic.topic, topic.topic_id, index)
        for topic in request.forgotten_topics_data
        for index in topic.partitions
    ]


def _aborted(result: ReadResult) -> list[AbortedTransaction]:
    """The transactions whose records the reader has to leave out."""
    return [AbortedTransaction(entry.producer_id, entry.first_offset) for entry in result.aborted]


def _error_code(version: int, error_code: int) -> int:
    if error_code == StorageError.code and version <= _LAST_VERSION_WITHOUT_STORAGE_ERROR:
        return NotLeaderOrFollower.code
    return error_code


def _error_data(index: int, error_code: int) -> PartitionData:
    return PartitionData(
        partition_index=index,
        error_code=error_code,
        high_watermark=-1,
        aborted_transactions=[] if error_code in _REFUSED_UNREAD else None,
        records=b"",
    )
