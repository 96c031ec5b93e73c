"""Produce (key 0), v0-v13: appends record batches to partitions.

Behaviour
    Every partition is answered on its own, in the order of the request. Under acks=0 there is no response; if a
    partition fails then, the connection is closed, which is the only way left to tell. Under acks=-1 the response
    waits until the store says that the batches are as safe as the flush policy promises; under acks=1 it does not.
    Appending a batch that repeats one of the producer's last five answers success with the first offset.

Version notes
    v0-v1   message sets of format v0 or v1, converted to one v2 batch per partition; zstd is refused.
    v2      the same; the response has the time of append.
    v3      exactly one v2 batch per partition (KIP-98); below v7 zstd is refused with UNSUPPORTED_COMPRESSION_TYPE.
    v8      single records that were refused are named (KIP-467).
    v10     the current leader (KIP-951): never filled in, since this broker leads all it hosts.
    v13     topics by id (KIP-516); an unknown id is UNKNOWN_TOPIC_ID.

Known gaps
    timeout_ms is not needed: nothing waits for other replicas. Transactional batches are refused with
    INVALID_TXN_STATE until the transaction coordinator exists. The inside of a large batch is not parsed unless the
    topic's settings ask for it (see ProducerService).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from functools import partial

from kafka_protocol.messages.produce import (
    BatchIndexAndErrorMessage,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)

from kafka_server.application.context import CloseConnection, RequestContext
from kafka_server.application.explain import EXPLAIN
from kafka_server.application.message_conversion import MessageConversion
from kafka_server.application.producer_service import ProducerService
from kafka_server.application.replica_manager import Replica, ReplicaManager
from kafka_server.domain.errors import (
    CorruptMessage,
    DomainError,
    InvalidRequiredAcks,
    InvalidTopic,
    MessageTooLarge,
    RecordListTooLarge,
    StorageError,
    UnsupportedCompressionType,
)
from kafka_server.domain.record_batch import CODEC_MASK, CODEC_ZSTD, HEADER_SIZE, NotOneBatch
from kafka_server.domain.records import InvalidRecords, InvalidTimestamps

log = logging.getLogger("kafka_server.produce")

ADMIN_CLIENT_ID = "__admin_client"
"""Kafka's tools write to internal topics under this client id; nobody else may."""
_FIRST_VERSION_WITH_BATCHES = 3
_FIRST_VERSION_WITH_ZSTD = 7
_FIRST_VERSION_WITH_TOPIC_IDS = 13
_ATTRIBUTES_LOW_BYTE = 22
# Shared by all responses; the encoder only reads it.
_NO_RECORD_ERRORS: list[BatchIndexAndErrorMessage] = []
# Kafka tells the log start offset with the errors that are about the records, and not with these.
_TOLD_WITHOUT_LOG_START = (
    CorruptMessage,
    InvalidTopic,
    MessageTooLarge,
    NotOneBatch,
    RecordListTooLarge,
    StorageError,
    UnsupportedCompressionType,
)

Pending = list[tuple[PartitionProduceResponse, asyncio.Future[None]]]


class ProduceHandlers:
    """Produce."""

    __slots__ = ("_conversion", "_producer", "_replicas")

    def __init__(self, replicas: ReplicaManager, producer: ProducerService, conversion: MessageConversion) -> None:
        self._replicas = replicas
        self._producer = producer
        self._conversion = conversion

    def produce(
        self, context: RequestContext, request: ProduceRequest
    ) -> ProduceResponse | Awaitable[ProduceResponse | None] | None:
        acks = request.acks
        if not -1 <= acks <= 1:
            return _refuse_all(request, InvalidRequiredAcks())
        pending: Pending = []
        responses: list[TopicProduceResponse] = []
        for topic in request.topic_data:
            answers = [self._append(context, topic, partition, acks, pending) for partition in topic.partition_data]
            responses.append(TopicProduceResponse(topic.name, topic.topic_id, answers))
        self._producer.wake()
        if acks == 0:
            _close_on_error(responses)
            return None
        response = ProduceResponse(responses)
        return response if not pending else _when_safe(response, pending)

    def _append(
        self,
        context: RequestContext,
        topic: TopicProduceData,
        partition: PartitionProduceData,
        acks: int,
        pending: Pending,
    ) -> PartitionProduceResponse:
        index = partition.index
        version = context.api_version
        records = partition.records
        replica: Replica | None = None
        try:
            if version >= _FIRST_VERSION_WITH_TOPIC_IDS:
                replica = self._replicas.find_by_id(topic.topic_id, index)
            else:
                replica = self._replicas.find(topic.name, index)
            if log.isEnabledFor(EXPLAIN):
                log.log(EXPLAIN, "Received produce request for topic %s, partition %d", replica.topic.name, index)
            by_admin = context.client_id == ADMIN_CLIENT_ID
            if version >= _FIRST_VERSION_WITH_ZSTD:
                appended = self._producer.append(replica, records, by_admin=by_admin)
            elif version >= _FIRST_VERSION_WITH_BATCHES:
                _refuse_zstd(records)
                appended = self._producer.append(replica, records, by_admin=by_admin)
            else:
                batch = self._conversion.to_batch(records, replica.topic.settings)
                if batch is None:  # An old producer may send an empty set; there is nothing to store or to refuse.
                    return PartitionProduceResponse(index=index, base_offset=-1)
                appended = self._producer.append_rebuilt(replica, batch, by_admin=by_admin)
        except DomainError as error:
            return _refusal(index, error, replica)
        answer = PartitionProduceResponse(
            index,
            0,
            appended.base_offset,
            appended.log_append_time,
            appended.log_start_offset,
            _NO_RECORD_ERRORS,
        )
        if appended.pending is not None and acks == -1:
            pending.append((answer, appended.pending))
        return answer


def _when_safe(response: ProduceResponse, pending: Pending) -> asyncio.Future[ProduceResponse]:
    """Done when every batch is safe, or known not to be.

    Other requests wait for the same syncs, so they are listened to and never awaited: a client that goes away cancels
    this future and nothing else.
    """
    answered: asyncio.Future[ProduceResponse] = asyncio.get_running_loop().create_future()
    left = len(pending)

    def settle(answer: PartitionProduceResponse, flushed: asyncio.Future[None]) -> None:
        nonlocal left
        error = None if flushed.cancelled() else flushed.exception()
        if error is not None:
            code = error.code if isinstance(error, StorageError) else StorageError.code
            answer.error_code, answer.error_message = code, str(error)
            answer.base_offset = answer.log_append_time_ms = -1
        left -= 1
        if not left and not answered.done():
            answered.set_result(response)

    for answer, flushed in pending:
        flushed.add_done_callback(partial(settle, answer))
    return answered


def _refuse_zstd(records: bytes | bytearray | memoryview | None) -> None:
    # Clients that speak these versions cannot be told of zstd, nor can others that read with them (KIP-110).
    if records is not None and len(records) >= HEADER_SIZE and records[_ATTRIBUTES_LOW_BYTE] & CODEC_MASK == CODEC_ZSTD:
        raise UnsupportedCompressionType("zstd is not allowed below Produce v7")


def _refusal(index: int, error: DomainError, replica: Replica | None) -> PartitionProduceResponse:
    """What a partition is told when its batch was not stored."""
    answer = PartitionProduceResponse(index=index, error_code=error.code, base_offset=-1, error_message=str(error))
    if replica is not None:
        replica.counters.failed_produce_requests += 1
        if not isinstance(error, _TOLD_WITHOUT_LOG_START):
            answer.log_start_offset = replica.partition.log_start_offset
        if isinstance(error, InvalidRecords | InvalidTimestamps):
            answer.record_errors = [BatchIndexAndErrorMessage(at, text) for at, text in error.record_errors]
    log.debug("Refused a batch for partition %d: %s", index, error)
    return answer


def _refuse_all(request: ProduceRequest, error: DomainError) -> ProduceResponse:
    return ProduceResponse(
        [
            TopicProduceResponse(
                topic.name,
                topic.topic_id,
                [_refusal(partition.index, error, None) for partition in topic.partition_data],
            )
            for topic in request.topic_data
        ]
    )


def _close_on_error(responses: list[TopicProduceResponse]) -> None:
    for topic in responses:
        for answer in topic.partition_responses:
            if answer.error_code:
                raise CloseConnection(
                    f"A produce request with acks=0 failed for {topic.name or topic.topic_id.hex()}-{answer.index}: "
                    f"{answer.error_message}"
                )
