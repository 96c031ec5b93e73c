"""AddPartitionsToTxn (24) v0-5, AddOffsetsToTxn (25) v0-4, EndTxn (26) v0-5, TxnOffsetCommit (28) v0-6,
WriteTxnMarkers (27) v1-2: the steps of a transaction.

Contract
    AddPartitionsToTxn  All partitions of a transaction are added or none: when one does not exist, it is told so and
                        the others get OPERATION_NOT_ATTEMPTED.
    AddOffsetsToTxn     Adds what stands for the offsets of the group, a partition of __consumer_offsets.
    EndTxn              Success means that the decision is stored; it is carried out whatever happens then.
    TxnOffsetCommit     Stages offsets until the transaction ends. Member and generation are checked (KIP-447).
    WriteTxnMarkers     For administrators who end a hanging transaction (KIP-664), and for other brokers. A marker that
                        names no partition is left out of the answer.
Version notes
    PRODUCER_FENCED is INVALID_PRODUCER_EPOCH below AddPartitionsToTxn v2, AddOffsetsToTxn v2 and EndTxn v2 (KIP-588).
    AddPartitionsToTxn  v4+ has many transactions in one request and may only verify; brokers send it (KIP-890). v0-3
                        is lifted to that shape and lowered again.
    EndTxn              v5 bumps the epoch with each transaction and answers the new one (KIP-890).
    TxnOffsetCommit     v3+ member and generation. v4+ TRANSACTION_ABORTABLE, before that INVALID_TXN_STATE. v5+ adds
                        the offsets to the transaction by itself. v6+ topic ids: UNKNOWN_TOPIC_ID (KIP-1319).
    WriteTxnMarkers     v2+ says under which transaction version the marker is written (KIP-1228).
Known gaps
    WriteTxnMarkers     A marker of no producer fails the whole request with UNKNOWN_SERVER_ERROR, as in Apache Kafka,
                        which by then has written the markers before it; here nothing is written. No producer is an id
                        or an epoch of -1 there, any negative one here: nobody can have begun what it would end.

Owns: the shapes of these APIs. Must never know: the rules of a transaction, how anything is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from kafka_protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse
from kafka_protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
)
from kafka_protocol.messages.end_txn import EndTxnRequest, EndTxnResponse
from kafka_protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)
from kafka_protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.offset_manager import OffsetCommitCommand, OffsetManager
from kafka_server.application.ports import Clock, PartitionKey, TopicRepository
from kafka_server.application.transaction_coordinator import TransactionCoordinator
from kafka_server.application.transaction_gate import TransactionGate
from kafka_server.application.transaction_markers import OFFSETS_TOPIC, TransactionMarkers
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.control_record import Marker
from kafka_server.domain.errors import (
    CoordinatorNotAvailable,
    DomainError,
    InvalidGroupId,
    InvalidProducerEpoch,
    NotEnoughReplicas,
    OperationNotAttempted,
    ProducerFenced,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from kafka_server.domain.topic import Topic
from kafka_server.domain.transaction import Producer, Protocol, TopicPartition

_FIRST_VERSION_WITH_FENCED = 2
_FIRST_VERSION_OF_BATCHES = 4
_FIRST_END_WITH_BUMP = 5
_FIRST_COMMIT_WITH_ABORTABLE = 4
_FIRST_COMMIT_THAT_ADDS = 5
_FIRST_COMMIT_WITH_TOPIC_IDS = 6
_TRANSACTION_VERSION_2 = 2


class TransactionHandlers:
    """What producers - and other brokers, and administrators who repair - ask of transactions."""

    def __init__(
        self,
        coordinator: TransactionCoordinator,
        gate: TransactionGate,
        markers: TransactionMarkers,
        offsets: OffsetManager,
        topics: TopicRepository,
        clock: Clock,
    ) -> None:
        self._coordinator = coordinator
        self._gate = gate
        self._markers = markers
        self._offsets = offsets
        self._topics = topics
        self._clock = clock

    # ---- AddPartitionsToTxn ------------------------------------------------------------------------------------------

    async def add_partitions_to_txn(
        self, context: RequestContext, request: AddPartitionsToTxnRequest
    ) -> AddPartitionsToTxnResponse:
        version = context.api_version
        results = [await self._add(transaction, version) for transaction in lift_add(request, version)]
        return lower_add(results, version)

    async def _add(self, asked: AddPartitionsToTxnTransaction, version: int) -> AddPartitionsToTxnResult:
        partitions = [(topic.name, index) for topic in asked.topics for index in topic.partitions]
        missing = {partition for partition in partitions if not self._exists(partition)}
        if missing:
            return _result(
                asked, lambda p: UnknownTopicOrPartition.code if p in missing else OperationNotAttempted.code
            )
        producer = Producer(asked.producer_id, asked.producer_epoch)
        if asked.verify_only:
            return _result(asked, lambda p: self._verify(asked.transactional_id, producer, p))
        protocol = Protocol.V2 if version >= _FIRST_VERSION_OF_BATCHES else Protocol.V1
        code = 0
        try:
            await self._coordinator.add_partitions(asked.transactional_id, producer, partitions, protocol)
        except DomainError as error:
            code = fenced_code(error, version)
        return _result(asked, lambda _: code)

    def _exists(self, partition: TopicPartition) -> bool:
        name, index = partition
        topic = self._topics.get(name)
        return name == OFFSETS_TOPIC if topic is None else 0 <= index < topic.partition_count

    def _verify(self, transactional_id: str, producer: Producer, partition: TopicPartition) -> int:
        try:
            self._coordinator.verify(transactional_id, producer, partition)
        except DomainError as error:
            return error.code
        return 0

    # ---- AddOffsetsToTxn, EndTxn -------------------------------------------------------------------------------------

    async def add_offsets_to_txn(
        self, context: RequestContext, request: AddOffsetsToTxnRequest
    ) -> AddOffsetsToTxnResponse:
        producer = Producer(request.producer_id, request.producer_epoch)
        partition = self._markers.partition_of_group(request.group_id)
        try:
            await self._coordinator.add_partitions(request.transactional_id, producer, [partition], Protocol.V1)
        except DomainError as error:
            return AddOffsetsToTxnResponse(error_code=fenced_code(error, context.api_version))
        return AddOffsetsToTxnResponse()

    async def end_txn(self, context: RequestContext, request: EndTxnRequest) -> EndTxnResponse:
        producer = Producer(request.producer_id, request.producer_epoch)
        protocol = Protocol.V2 if context.api_version >= _FIRST_END_WITH_BUMP else Protocol.V1
        try:
            following = await self._coordinator.end(request.transactional_id, producer, request.committed, protocol)
        except DomainError as error:
            return EndTxnResponse(error_code=fenced_code(error, context.api_version))
        return EndTxnResponse(producer_id=following.producer_id, producer_epoch=following.epoch)

    # ---- TxnOffsetCommit ---------------------------------------------------------------------------------------------

    async def txn_offset_commit(
        self, context: RequestContext, request: TxnOffsetCommitRequest
    ) -> TxnOffsetCommitResponse:
        version = context.api_version
        response = TxnOffsetCommitResponse()
        accepted: dict[PartitionKey, CommittedOffset] = {}
        places: list[tuple[PartitionKey, TxnOffsetCommitResponsePartition]] = []
        now_ms = self._clock.now_ms()
        for asked in request.topics:
            topic, code = self._find_topic(asked, version)
            answer = TxnOffsetCommitResponseTopic(name=asked.name, topic_id=asked.topic_id)
            response.topics.append(answer)
            for one in asked.partitions:
                place = TxnOffsetCommitResponsePartition(one.partition_index, code)
                answer.partitions.append(place)
                if topic is None:
                    continue
                if not 0 <= one.partition_index < topic.partition_count:
                    place.error_code = UnknownTopicOrPartition.code
                    continue
                key = (topic.name, one.partition_index)
                accepted[key] = CommittedOffset(
                    offset=one.committed_offset,
                    leader_epoch=one.committed_leader_epoch,
                    metadata=one.committed_metadata or "",
                    committed_at_ms=now_ms,
                    topic_id=topic.topic_id,
                )
                places.append((key, place))
        if accepted:
            await self._stage(request, accepted, places, version)
        return response

    async def _stage(
        self,
        request: TxnOffsetCommitRequest,
        accepted: dict[PartitionKey, CommittedOffset],
        places: list[tuple[PartitionKey, TxnOffsetCommitResponsePartition]],
        version: int,
    ) -> None:
        command = OffsetCommitCommand(
            request.group_id,
            request.member_id,
            request.group_instance_id,
            request.generation_id_or_member_epoch,
            accepted,
            knows_missing_groups=False,
        )
        try:
            if not request.group_id:
                raise InvalidGroupId
            await self._join_transaction(request, version)
            outcome = self._offsets.stage(request.producer_id, command)
            for key, place in places:
                place.error_code = outcome.codes.get(key, 0)
            if outcome.stored is not None:
                await asyncio.shield(outcome.stored)
        except NotEnoughReplicas:
            _refuse(places, CoordinatorNotAvailable.code)
        except DomainError as error:
            _refuse(places, error.code)

    async def _join_transaction(self, request: TxnOffsetCommitRequest, version: int) -> None:
        """Makes sure that the offsets belong to the producer's open transaction. Raises what the client is told."""
        producer = Producer(request.producer_id, request.producer_epoch)
        partition = self._markers.partition_of_group(request.group_id)
        transactional_id = request.transactional_id
        if version < _FIRST_COMMIT_THAT_ADDS:
            knows_abortable = version >= _FIRST_COMMIT_WITH_ABORTABLE
            self._gate.verify(transactional_id, producer, partition, knows_abortable=knows_abortable)
        else:
            await self._gate.add(transactional_id, producer, [partition], patient=False)
            self._gate.check_open(transactional_id, producer, partition)

    def _find_topic(self, asked: TxnOffsetCommitRequestTopic, version: int) -> tuple[Topic | None, int]:
        if version >= _FIRST_COMMIT_WITH_TOPIC_IDS:
            topic = self._topics.get_by_id(asked.topic_id)
            return topic, UnknownTopicId.code if topic is None else 0
        topic = self._topics.get(asked.name)
        return topic, UnknownTopicOrPartition.code if topic is None else 0

    # ---- WriteTxnMarkers ---------------------------------------------------------------------------------------------

    async def write_txn_markers(
        self, context: RequestContext, request: WriteTxnMarkersRequest
    ) -> WriteTxnMarkersResponse:
        markers = [asked for asked in request.markers if any(topic.partition_indexes for topic in asked.topics)]
        if any(asked.producer_id < 0 or asked.producer_epoch < 0 for asked in markers):
            return _refused_markers(markers)
        response = WriteTxnMarkersResponse()
        unsafe: list[tuple[Awaitable[None], WritableTxnMarkerPartitionResult]] = []
        for asked in markers:
            result = WritableTxnMarkerResult(asked.producer_id)
            response.markers.append(result)
            for topic in asked.topics:
                answer = WritableTxnMarkerTopicResult(topic.name)
                result.topics.append(answer)
                for index in topic.partition_indexes:
                    place = WritableTxnMarkerPartitionResult(index)
                    answer.partitions.append(place)
                    pending = self._write_marker(asked, (topic.name, index), place)
                    if pending is not None:
                        unsafe.append((pending, place))
        self._markers.wake()
        for pending, place in unsafe:
            try:
                await asyncio.shield(pending)
            except DomainError as error:
                place.error_code = error.code
        return response

    def _write_marker(
        self, asked: WritableTxnMarker, partition: TopicPartition, place: WritableTxnMarkerPartitionResult
    ) -> Awaitable[None] | None:
        marker = Marker(asked.producer_id, asked.producer_epoch, asked.transaction_result, asked.coordinator_epoch)
        protocol = Protocol.V2 if asked.transaction_version >= _TRANSACTION_VERSION_2 else Protocol.V1
        try:
            return self._markers.write(marker, partition, protocol)
        except DomainError as error:
            place.error_code = error.code
            return None


def _refused_markers(markers: list[WritableTxnMarker]) -> WriteTxnMarkersResponse:
    return WriteTxnMarkersResponse(
        [
            WritableTxnMarkerResult(
                asked.producer_id,
                [
                    WritableTxnMarkerTopicResult(
                        topic.name,
                        [
                            WritableTxnMarkerPartitionResult(index, DomainError.code)
                            for index in topic.partition_indexes
                        ],
                    )
                    for topic in asked.topics
                ],
            )
            for asked in markers
        ]
    )


def fenced_code(error: DomainError, version: int) -> int:
    """Old clients know only one way of being fenced (KIP-588)."""
    if isinstance(error, ProducerFenced) and version < _FIRST_VERSION_WITH_FENCED:
        return InvalidProducerEpoch.code
    return error.code


def _refuse(places: list[tuple[PartitionKey, TxnOffsetCommitResponsePartition]], code: int) -> None:
    for _, place in places:
        if not place.error_code:
            place.error_code = code


def _result(asked: AddPartitionsToTxnTransaction, code_of: Callable[[TopicPartition], int]) -> AddPartitionsToTxnResult:
    return AddPartitionsToTxnResult(
        asked.transactional_id,
        [
            AddPartitionsToTxnTopicResult(
                topic.name,
                [AddPartitionsToTxnPartitionResult(index, code_of((topic.name, index))) for index in topic.partitions],
            )
            for topic in asked.topics
        ],
    )


def lift_add(request: AddPartitionsToTxnRequest, version: int) -> list[AddPartitionsToTxnTransaction]:
    """The transactions of the request, as the list that v4 introduced (KIP-890)."""
    if version >= _FIRST_VERSION_OF_BATCHES:
        return request.transactions
    return [
        AddPartitionsToTxnTransaction(
            transactional_id=request.v3_and_below_transactional_id,
            producer_id=request.v3_and_below_producer_id,
            producer_epoch=request.v3_and_below_producer_epoch,
            topics=request.v3_and_below_topics,
        )
    ]


def lower_add(results: list[AddPartitionsToTxnResult], version: int) -> AddPartitionsToTxnResponse:
    """The answer in the shape of the version; before v4 there is exactly one transaction."""
    if version >= _FIRST_VERSION_OF_BATCHES:
        return AddPartitionsToTxnResponse(results_by_transaction=results)
    (result,) = results
    return AddPartitionsToTxnResponse(results_by_topic_v3_and_below=result.topic_results)
