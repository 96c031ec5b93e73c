"""DescribeTransactions (65) v0, ListTransactions (66) v0-2, DescribeProducers (61) v0: which transactions are there?

Contract
    DescribeTransactions  TRANSACTIONAL_ID_NOT_FOUND for an unknown id, INVALID_REQUEST for an empty one. Topics are
                          those of the open transaction; committed offsets are shown as __consumer_offsets, as in Kafka.
    ListTransactions      All filters have to match. States that do not exist are named in the answer, each once, and
                          match nothing.
    DescribeProducers     The producers that a partition remembers, with the first offset of the transaction that each
                          has open there (KIP-664: find what keeps the last stable offset back). A name that no topic
                          can have is INVALID_TOPIC_EXCEPTION.
Version notes
    ListTransactions      v1+ only transactions that run for longer than a duration (KIP-994). v2+ only ids that match a
                          regular expression as a whole (KIP-1152); one that is broken is INVALID_REGULAR_EXPRESSION.
Known gaps: none.

Owns: the shapes of these APIs. Must never know: the rules of a transaction, how anything is stored.
"""

from __future__ import annotations

from collections.abc import Callable

from kafka_protocol.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)
from kafka_protocol.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TopicData,
    TransactionState,
)
from kafka_protocol.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse
from kafka_protocol.messages.list_transactions import TransactionState as ListedTransaction

from kafka_server.application.context import RequestContext
from kafka_server.application.ports import Clock, Patterns
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.application.transaction_coordinator import TransactionCoordinator
from kafka_server.domain.errors import DomainError
from kafka_server.domain.topic_name import check_topic_name
from kafka_server.domain.transaction import State, Transaction

NO_OFFSET = -1


class TransactionAdminHandlers:
    """Looking at transactions and producers."""

    def __init__(
        self, coordinator: TransactionCoordinator, replicas: ReplicaManager, patterns: Patterns, clock: Clock
    ) -> None:
        self._coordinator = coordinator
        self._replicas = replicas
        self._patterns = patterns
        self._clock = clock

    def describe_transactions(
        self, context: RequestContext, request: DescribeTransactionsRequest
    ) -> DescribeTransactionsResponse:
        return DescribeTransactionsResponse(
            transaction_states=[self._describe(transactional_id) for transactional_id in request.transactional_ids]
        )

    def _describe(self, transactional_id: str) -> TransactionState:
        try:
            transaction = self._coordinator.describe(transactional_id)
        except DomainError as error:
            return TransactionState(error_code=error.code, transactional_id=transactional_id)
        topics: dict[str, list[int]] = {}
        for topic, index in sorted(transaction.partitions):
            topics.setdefault(topic, []).append(index)
        return TransactionState(
            transactional_id=transactional_id,
            transaction_state=transaction.state.value,
            transaction_timeout_ms=transaction.timeout_ms,
            transaction_start_time_ms=transaction.started_ms,
            producer_id=transaction.producer_id,
            producer_epoch=transaction.producer_epoch,
            topics=[TopicData(topic, indexes) for topic, indexes in topics.items()],
        )

    def list_transactions(self, context: RequestContext, request: ListTransactionsRequest) -> ListTransactionsResponse:
        known = {state.value for state in State}
        try:
            matches = self._filter(request)
        except DomainError as error:
            return ListTransactionsResponse(error_code=error.code)
        return ListTransactionsResponse(
            unknown_state_filters=[name for name in dict.fromkeys(request.state_filters) if name not in known],
            transaction_states=[
                ListedTransaction(one.transactional_id, one.producer_id, one.state.value)
                for one in self._coordinator.all()
                if matches(one)
            ],
        )

    def _filter(self, request: ListTransactionsRequest) -> Callable[[Transaction], bool]:
        """Raises InvalidRegularExpression."""
        states, producer_ids = set(request.state_filters), set(request.producer_id_filters)
        duration_ms, now_ms = request.duration_filter, self._clock.now_ms()
        pattern = request.transactional_id_pattern
        fits = self._patterns.compile(pattern) if pattern else None

        def matches(one: Transaction) -> bool:
            return (
                (not states or one.state.value in states)
                and (not producer_ids or one.producer_id in producer_ids)
                and (duration_ms < 0 or now_ms - one.started_ms > duration_ms)
                and (fits is None or fits(one.transactional_id))
            )

        return matches

    def describe_producers(
        self, context: RequestContext, request: DescribeProducersRequest
    ) -> DescribeProducersResponse:
        return DescribeProducersResponse(
            topics=[
                TopicResponse(topic.name, [self._producers(topic.name, index) for index in topic.partition_indexes])
                for topic in request.topics
            ]
        )

    def _producers(self, topic: str, index: int) -> PartitionResponse:
        try:
            check_topic_name(topic)
            producers = self._replicas.find(topic, index).partition.producers
        except DomainError as error:
            return PartitionResponse(index, error.code, str(error))
        return PartitionResponse(
            index,
            active_producers=[
                ProducerState(
                    producer_id=producer_id,
                    producer_epoch=entry.epoch,
                    last_sequence=entry.last_sequence,
                    last_timestamp=entry.last_used_ms,
                    coordinator_epoch=entry.coordinator_epoch,
                    current_txn_start_offset=(
                        NO_OFFSET if entry.transaction_first_offset is None else entry.transaction_first_offset
                    ),
                )
                for producer_id, entry in producers.items()
            ],
        )
