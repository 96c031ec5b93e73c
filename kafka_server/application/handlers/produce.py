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

from kafka_server.application.context import RequestContext
from kafka_server.application.explain import EXPLAIN
from kafka_server.application.handlers.produce_answers import (
    ATTRIBUTES_LOW_BYTE,
    Pending,
    Records,
    close_on_error,
    is_transactional,
    refuse_all,
    refused,
    when_safe,
)
from kafka_server.application.message_conversion import MessageConversion
from kafka_server.application.producer_service import Appended, ProducerService
from kafka_server.application.replica_manager import Replica, ReplicaManager
from kafka_server.application.transaction_gate import TransactionGate
from kafka_server.domain.errors import (
    DomainError,
    InvalidProducerIdMapping,
    InvalidRequiredAcks,
    UnknownTopicId,
    UnknownTopicOrPartition,
    UnsupportedCompressionType,
)
from kafka_server.domain.partition import Membership
from kafka_server.domain.record_batch import (
    CODEC_MASK,
    CODEC_ZSTD,
    HEADER_SIZE,
    NotOneBatch,
    check_client_batch,
    parse_header,
)
from kafka_server.domain.transaction import Producer, TopicPartition

log = logging.getLogger("kafka_server.produce")

ADMIN_CLIENT_ID = "__admin_client"
"""Kafka's tools write to internal topics under this client id; nobody else may."""
_FIRST_VERSION_WITH_BATCHES = 3
_FIRST_VERSION_WITH_ZSTD = 7
_FIRST_VERSION_WITH_TOPIC_IDS = 13
_FIRST_VERSION_WITH_ABORTABLE = 11
_FIRST_VERSION_THAT_ADDS_PARTITIONS = 12
# Shared by all responses; the encoder only reads it.
_NO_RECORD_ERRORS: list[BatchIndexAndErrorMessage] = []
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
            close_on_error(responses)
            return None
        response = ProduceResponse(responses)
        return response if not pending else when_safe(response, pending)

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
            if version >= _FIRST_VERSION_WITH_BATCHES:
                if version < _FIRST_VERSION_WITH_ZSTD:
                    _refuse_zstd(records)
                # A producer under acks=0 may be gone before a thread is done, and its next batches with it. What the
                # coordinator said of a transactional batch may not be true any more by then.
                if acks and verdicts is None and self._producer.takes_long(replica, records):
                    answer = PartitionProduceResponse(index=index)
                    still_served = partial(self._is_served, version, topic, replica, index)
                    long = self._producer.append_later(replica, records, still_served, by_admin=by_admin)
                    done = self._answer_later(answer, replica, acks, records, long)
                    pending.append((answer, asyncio.ensure_future(done)))
                    return answer
                appended = self._producer.append(replica, records, by_admin=by_admin, membership=membership)
            else:
                batch = self._conversion.to_batch(records, replica.topic.settings)
                if batch is None:  # An old producer may send an empty set; there is nothing to store or to refuse.
                    return PartitionProduceResponse(index=index, base_offset=-1)
                appended = self._producer.append_rebuilt(replica, batch, by_admin=by_admin)
        except DomainError as error:
            return refused(index, error, replica, records, in_transaction=verdicts is not None)
        answer = PartitionProduceResponse(
            index,
            0,
            appended.base_offset,
            appended.log_append_time,
            appended.log_start_offset,
            _NO_RECORD_ERRORS,
        )
        if appended.pending is not None and _waits(acks, replica):
            pending.append((answer, appended.pending))
        return answer

    async def _answer_later(
        self,
        answer: PartitionProduceResponse,
        replica: Replica,
        acks: int,
        records: Records,
        long: Awaitable[Appended],
    ) -> None:
        """Fills ``answer`` once its batch is compressed and stored, or refused. Raises what a sync raises."""
        try:
            appended = await long
        except DomainError as error:
            refusal = refused(answer.index, error, replica, records, in_transaction=False)
            answer.error_code, answer.error_message = refusal.error_code, refusal.error_message
            answer.base_offset, answer.log_start_offset = refusal.base_offset, refusal.log_start_offset
            return
        self._producer.wake()
        answer.base_offset = appended.base_offset
        answer.log_append_time_ms = appended.log_append_time
        answer.log_start_offset = appended.log_start_offset
        if appended.pending is not None and _waits(acks, replica):
            await asyncio.shield(appended.pending)

    def _is_served(self, version: int, topic: TopicProduceData, replica: Replica, index: int) -> bool:
        return self._find(version, topic, index) is replica

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

        return refuse_all(request, why)

    # ---- transactions ------------------------------------------------------------------------------------------------

    def _produce_in_transaction(
        self, context: RequestContext, request: ProduceRequest, transactional_id: str
    ) -> ProduceResponse | Awaitable[ProduceResponse | None] | None:
        """A partition in which the producer's transaction is not open yet needs the coordinator's word first."""
        producers: set[Producer] = set()
        firsts: Firsts = []
        for topic in request.topic_data:
            for partition in topic.partition_data:
                if not is_transactional(partition.records):
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
            refused = refuse_all(request, lambda topic, partition: several)
            if request.acks == 0:
                close_on_error(refused.responses)
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


def _waits(acks: int, replica: Replica) -> bool:
    """Whether the answer is given when the batch is synced."""
    return acks == -1 or (acks == 1 and replica.topic.settings.syncs_by_count)


def _membership(verdicts: Verdicts, partition: PartitionProduceData) -> Membership:
    """What the coordinator said of the batch. Raises what it refused it with."""
    verdict = verdicts.get(id(partition), Membership.UNKNOWN)
    if isinstance(verdict, DomainError):
        raise verdict
    return verdict


def _refuse_zstd(records: Records) -> None:
    # Clients that speak these versions cannot be told of zstd, nor can others that read with them (KIP-110).
    if records is not None and len(records) >= HEADER_SIZE and records[ATTRIBUTES_LOW_BYTE] & CODEC_MASK == CODEC_ZSTD:
        raise UnsupportedCompressionType("zstd is not allowed below Produce v7")
