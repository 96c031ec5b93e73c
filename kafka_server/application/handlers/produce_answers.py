"""Owns: what each partition of a produce request is told. Must never know: how batches are stored, request versions.

The contract of the API is the head of produce.py.

Known gaps
    None of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
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

from kafka_server.application.context import CloseConnection
from kafka_server.application.replica_manager import Replica
from kafka_server.domain.errors import (
    ConcurrentTransactions,
    CorruptMessage,
    DomainError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTopic,
    InvalidTxnState,
    MessageTooLarge,
    NotEnoughReplicas,
    RecordListTooLarge,
    StorageError,
    TransactionAbortable,
    TransactionalIdAuthorizationFailed,
    UnsupportedCompressionType,
)
from kafka_server.domain.record_batch import HEADER_SIZE, MAGIC, TRANSACTIONAL, NotOneBatch
from kafka_server.domain.records import InvalidRecords, InvalidTimestamps

log = logging.getLogger("kafka_server.produce")

ATTRIBUTES_LOW_BYTE = 22
_MAGIC = 16
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

# What a transaction is refused with before the log is looked at; Kafka does not tell the log start offset then.
_REFUSED_BEFORE_THE_APPEND = (
    ConcurrentTransactions,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    NotEnoughReplicas,
    TransactionAbortable,
)

Records = bytes | bytearray | memoryview | None
Pending = list[tuple[PartitionProduceResponse, asyncio.Future[None]]]
"""Answers that wait for their batch to be safe."""


def refused(
    index: int, error: DomainError, replica: Replica | None, records: Records, *, in_transaction: bool
) -> PartitionProduceResponse:
    """What a partition is told whose batch the service refused."""
    if not in_transaction and isinstance(error, InvalidTxnState) and is_transactional(records):
        error = TransactionalIdAuthorizationFailed("The request names no transactional id")
    answer = refusal(index, error, replica)
    if in_transaction and is_transactional(records) and isinstance(error, _REFUSED_BEFORE_THE_APPEND):
        answer.log_start_offset = -1
    return answer


def refusal(index: int, error: DomainError, replica: Replica | None) -> PartitionProduceResponse:
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


def refuse_all(
    request: ProduceRequest, why: Callable[[TopicProduceData, PartitionProduceData], DomainError]
) -> ProduceResponse:
    return ProduceResponse(
        [
            TopicProduceResponse(
                topic.name,
                topic.topic_id,
                [refusal(partition.index, why(topic, partition), None) for partition in topic.partition_data],
            )
            for topic in request.topic_data
        ]
    )


def close_on_error(responses: list[TopicProduceResponse]) -> None:
    for topic in responses:
        for answer in topic.partition_responses:
            if answer.error_code:
                raise CloseConnection(
                    f"A produce request with acks=0 failed for {topic.name or topic.topic_id.hex()}-{answer.index}: "
                    f"{answer.error_message}"
                )


def when_safe(response: ProduceResponse, pending: Pending) -> asyncio.Future[ProduceResponse]:
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


def is_transactional(records: Records) -> bool:
    return (
        records is not None
        and len(records) >= HEADER_SIZE
        and records[_MAGIC] == MAGIC
        and bool(records[ATTRIBUTES_LOW_BYTE] & TRANSACTIONAL)
    )
