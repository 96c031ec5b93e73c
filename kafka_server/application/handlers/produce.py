"""Produce (key 0), v0-v13: appends record batches to partitions.

Behaviour
    Every partition is answered on its own, in the order of the request. Under acks=0 there is no response; if a
    partition fails then, the connection is closed, which is the only way left to tell. Under acks=-1 the response
    waits until the store says that the batches are as safe as promised; under acks=1 for syncs of flush.messages only.
    Appending a batch that repeats one of the producer's last five answers success with the first offset.

Version notes
    v0-v1   message sets of format v0 or v1, converted to one v2 batch per partition; zstd is refused.
    v2      the same; the response has the time of append.
    v3      exactly one v2 batch per partition (KIP-98); below v7 zstd is refused with UNSUPPORTED_COMPRESSION_TYPE.
    v8      single records that were refused are named (KIP-467).
    v10     the current leader (KIP-951): never filled in, since this broker leads all it hosts.
    v11     TRANSACTION_ABORTABLE, before INVALID_TXN_STATE, when the partition does not belong to the transaction.
    v12     a partition is added to the transaction by producing to it (KIP-890); before, it must have been added.
    v13     topics by id (KIP-516); an unknown id is UNKNOWN_TOPIC_ID.

Known gaps
    timeout_ms is not needed: nothing waits for other replicas. The inside of a large batch is not parsed unless the
    topic's settings ask for it (see ProducerService). Transactional batches in a request without a transactional id are
    refused one by one with TRANSACTIONAL_ID_AUTHORIZATION_FAILED; Kafka refuses the whole request then.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
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
from kafka_server.application.transaction_gate import TransactionGate
from kafka_server.domain.errors import (
    ConcurrentTransactions,
    CorruptMessage,
    DomainError,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidRequiredAcks,
    InvalidTopic,
    InvalidTxnState,
    MessageTooLarge,
    NotEnoughReplicas,
    RecordListTooLarge,
    StorageError,
    TransactionAbortable,
    TransactionalIdAuthorizationFailed,
    UnknownTopicId,
    UnknownTopicOrPartition,
    UnsupportedCompressionType,
)
from kafka_server.domain.partition import Membership
from kafka_server.domain.record_batch import (
    CODEC_MASK,
    CODEC_ZSTD,
    HEADER_SIZE,
    MAGIC,
    TRANSACTIONAL,
    NotOneBatch,
    check_client_batch,
    parse_header,
)
from kafka_server.domain.records import InvalidRecords, InvalidTimestamps
from kafka_server.domain.transaction import Producer, TopicPartition

log = logging.getLogger("kafka_server.produce")

ADMIN_CLIENT_ID = "__admin_client"
"""Kafka's tools write to internal topics under this client id; nobody else may."""
_FIRST_VERSION_WITH_BATCHES = 3
_FIRST_VERSION_WITH_ZSTD = 7
_FIRST_VERSION_WITH_TOPIC_IDS = 13
_FIRST_VERSION_WITH_ABORTABLE = 11
_FIRST_VERSION_THAT_ADDS_PARTITIONS = 12
_MAGIC = 16
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

# What a transaction is refused with before the log is looked at; Kafka does not tell the log start offset then.
_REFUSED_BEFORE_THE_APPEND = (
    ConcurrentTransactions,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidTxnState,
    NotEnoughReplicas,
    TransactionAbortable,
)

Pending = list[tuple[PartitionProduceResponse, asyncio.Future[None]]]
Verdicts = dict[int, Membership | DomainError]
"""What the transaction coordinator said, by the identity of the partition's part of the request."""
Firsts = list[tuple[PartitionProduceData, TopicPartition]]
"""Partitions whose batch would be the first of its transaction there."""


class ProduceHandlers:
    """Produce."""

    __slots__ = ("_conversion", "_gate", "_producer", "_replicas")

    def __init__(
        self,
        replicas: ReplicaManager,
        producer: ProducerService,
        conversion: MessageConversion,
        gate: Callable[[], TransactionGate],
    ) -> None:
        """``gate`` is called when the first transactional batch comes."""
        self._replicas = replicas
        self._producer = producer
        self._conversion = conversion
        self._gate = gate

    def produce(
        self, context: RequestContext, request: ProduceRequest
    ) -> ProduceResponse | Awaitable[ProduceResponse | None] | None:
        if not -1 <= request.acks <= 1:
            return self._refuse_acks(context.api_version, request)
        if request.transactional_id is not None:
            return self._produce_in_transaction(context, request, request.transactional_id)
        return self._append_all(context, request, None)

    def _append_all(
        self, context: RequestContext, request: ProduceRequest, verdicts: Verdicts | None
    ) -> ProduceResponse | Awaitable[ProduceResponse | None] | None:
        acks = request.acks
        pending: Pending = []
        responses: list[TopicProduceResponse] = []
        for topic in request.topic_data:
            answers = [
                self._append(context, topic, partition, acks, pending, verdicts) for partition in topic.partition_data
            ]
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
        verdicts: Verdicts | None,
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
            membership = Membership.UNKNOWN if verdicts is None else _membership(verdicts, partition)
            if log.isEnabledFor(EXPLAIN):
                log.log(EXPLAIN, "Received produce request for topic %s, partition %d", replica.topic.name, index)
            by_admin = context.client_id == ADMIN_CLIENT_ID
            if version >= _FIRST_VERSION_WITH_ZSTD:
                appended = self._producer.append(replica, records, by_admin=by_admin, membership=membership)
            elif version >= _FIRST_VERSION_WITH_BATCHES:
                _refuse_zstd(records)
                appended = self._producer.append(replica, records, by_admin=by_admin, membership=membership)
            else:
                batch = self._conversion.to_batch(records, replica.topic.settings)
                if batch is None:  # An old producer may send an empty set; there is nothing to store or to refuse.
                    return PartitionProduceResponse(index=index, base_offset=-1)
                appended = self._producer.append_rebuilt(replica, batch, by_admin=by_admin)
        except DomainError as error:
            if verdicts is None and isinstance(error, InvalidTxnState) and _is_transactional(records):
                error = TransactionalIdAuthorizationFailed("The request names no transactional id")
            answer = _refusal(index, error, replica)
            if verdicts is not None and isinstance(error, _REFUSED_BEFORE_THE_APPEND) and _is_transactional(records):
                answer.log_start_offset = -1
            return answer
        answer = PartitionProduceResponse(
            index,
            0,
            appended.base_offset,
            appended.log_append_time,
            appended.log_start_offset,
            _NO_RECORD_ERRORS,
        )
        if appended.pending is not None and (acks == -1 or (acks == 1 and replica.topic.settings.syncs_by_count)):
            pending.append((answer, appended.pending))
        return answer

    def _refuse_acks(self, version: int, request: ProduceRequest) -> ProduceResponse:
        """As Apache Kafka: a partition that is not there, or anything but one batch, is told before the acks are."""

        def why(topic: TopicProduceData, partition: PartitionProduceData) -> DomainError:
            try:
                self._look_up(version, topic, partition.index)
                if _FIRST_VERSION_WITH_BATCHES <= version < _FIRST_VERSION_WITH_ZSTD:
                    _refuse_zstd(partition.records)
                if version >= _FIRST_VERSION_WITH_BATCHES:
                    check_client_batch(partition.records or b"", sys.maxsize)
            except (UnknownTopicOrPartition, UnknownTopicId, UnsupportedCompressionType, NotOneBatch) as error:
                return error
            except DomainError:
                pass  # What is wrong inside the batch is never looked at.
            return InvalidRequiredAcks()

        return _refuse_all(request, why)

    # ---- transactions ------------------------------------------------------------------------------------------------

    def _produce_in_transaction(
        self, context: RequestContext, request: ProduceRequest, transactional_id: str
    ) -> ProduceResponse | Awaitable[ProduceResponse | None] | None:
        """A partition in which the producer's transaction is not open yet needs the coordinator's word first."""
        producers: set[Producer] = set()
        firsts: Firsts = []
        for topic in request.topic_data:
            for partition in topic.partition_data:
                if not _is_transactional(partition.records):
                    continue
                header = parse_header(partition.records or b"")
                producers.add(Producer(header.producer_id, header.producer_epoch))
                replica = self._find(context.api_version, topic, partition.index)
                if replica is not None and not replica.partition.producers.has_open_transaction(
                    header.producer_id, header.producer_epoch
                ):
                    firsts.append((partition, (replica.topic.name, partition.index)))
        if len(producers) > 1:
            several = InvalidProducerIdMapping("The batches come from more than one producer")
            refused = _refuse_all(request, lambda topic, partition: several)
            if request.acks == 0:
                _close_on_error(refused.responses)
                return None
            return refused
        if not firsts:
            return self._append_all(context, request, {})
        (producer,) = producers
        if context.api_version >= _FIRST_VERSION_THAT_ADDS_PARTITIONS:
            return self._produce_after_adding(context, request, transactional_id, producer, firsts)
        gate = self._gate()
        knows_abortable = context.api_version >= _FIRST_VERSION_WITH_ABORTABLE
        verdicts: Verdicts = {}
        for partition, key in firsts:
            try:
                gate.verify(transactional_id, producer, key, knows_abortable=knows_abortable)
                verdicts[id(partition)] = Membership.VERIFIED
            except DomainError as error:
                verdicts[id(partition)] = error
        return self._append_all(context, request, verdicts)

    async def _produce_after_adding(
        self,
        context: RequestContext,
        request: ProduceRequest,
        transactional_id: str,
        producer: Producer,
        firsts: Firsts,
    ) -> ProduceResponse | None:
        gate = self._gate()
        verdicts: Verdicts = {}
        try:
            await gate.add(transactional_id, producer, [key for _, key in firsts], patient=True)
        except DomainError as error:
            verdicts = {id(partition): error for partition, _ in firsts}
        for partition, key in firsts:
            if id(partition) in verdicts:
                continue
            try:
                gate.check_open(transactional_id, producer, key)
                verdicts[id(partition)] = Membership.ADDED
            except DomainError as error:
                verdicts[id(partition)] = error
        answer = self._append_all(context, request, verdicts)
        return await answer if isinstance(answer, Awaitable) else answer

    def _find(self, version: int, topic: TopicProduceData, index: int) -> Replica | None:
        try:
            return self._look_up(version, topic, index)
        except DomainError:
            return None  # The append will say so.

    def _look_up(self, version: int, topic: TopicProduceData, index: int) -> Replica:
        if version >= _FIRST_VERSION_WITH_TOPIC_IDS:
            return self._replicas.find_by_id(topic.topic_id, index)
        return self._replicas.find(topic.name, index)


def _membership(verdicts: Verdicts, partition: PartitionProduceData) -> Membership:
    """What the coordinator said of the batch. Raises what it refused it with."""
    verdict = verdicts.get(id(partition), Membership.UNKNOWN)
    if isinstance(verdict, DomainError):
        raise verdict
    return verdict


def _is_transactional(records: bytes | bytearray | memoryview | None) -> bool:
    return (
        records is not None
        and len(records) >= HEADER_SIZE
        and records[_MAGIC] == MAGIC
        and bool(records[_ATTRIBUTES_LOW_BYTE] & TRANSACTIONAL)
    )


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


def _refuse_all(
    request: ProduceRequest, why: Callable[[TopicProduceData, PartitionProduceData], DomainError]
) -> ProduceResponse:
    return ProduceResponse(
        [
            TopicProduceResponse(
                topic.name,
                topic.topic_id,
                [_refusal(partition.index, why(topic, partition), None) for partition in topic.partition_data],
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
