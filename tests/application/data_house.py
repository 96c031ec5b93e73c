"""The data plane without a network: services over memory, a clock that only the test moves, topics at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import NoReturn, TypeVar, cast

from kafka_server.application.consumer_service import ConsumerService
from kafka_server.application.context import RequestContext
from kafka_server.application.fetch_sessions import FetchSessions
from kafka_server.application.fetch_values import FetchQuery, FetchTarget, ReadResult
from kafka_server.application.handlers.delete_records import DeleteRecordsHandlers
from kafka_server.application.handlers.fetch import FetchHandlers
from kafka_server.application.handlers.init_producer_id import InitProducerIdHandlers
from kafka_server.application.handlers.list_offsets import OffsetHandlers
from kafka_server.application.handlers.produce import ProduceHandlers
from kafka_server.application.message_conversion import MessageConversion
from kafka_server.application.offset_service import OffsetService
from kafka_server.application.ports import LogRepository
from kafka_server.application.producer_service import Appended, ProducerIdService, ProducerService
from kafka_server.application.replica_manager import Replica, ReplicaManager
from kafka_server.application.retention_service import RetentionService
from kafka_server.application.throttle import Throttle
from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import iterate_batches
from kafka_server.domain.records import iterate_messages
from kafka_server.domain.topic import ZERO_ID, Topic, TopicSettings
from kafka_server.infrastructure.storage.memory import MemoryLogRepository, MemoryProducerIdRepository
from kafka_server.testing.clock import VirtualClock
from tests.domain.batches import CODECS, NOW_MS

T = TypeVar("T")


class DataHouse:
    """Everything between a handler and the store."""

    def __init__(self, logs: LogRepository | None = None, session_slots: int = 1000) -> None:
        self.clock = VirtualClock(NOW_MS)
        self.replicas = ReplicaManager(logs or MemoryLogRepository())
        self.producer = ProducerService(CODECS, self.clock)
        self.consumer = ConsumerService(self.replicas, self.clock)
        self.sessions = FetchSessions(session_slots)
        self.offsets = OffsetService(CODECS, self.clock)
        self.retention = RetentionService(self.replicas, self.clock)
        conversion = MessageConversion(CODECS)
        self.throttle = Throttle(lambda: 0)
        self.produce_handlers = ProduceHandlers(self.replicas, self.producer, conversion, _no_transactions)
        self.fetch_handlers = FetchHandlers(self.consumer, self.sessions, conversion, self.clock, self.throttle)
        self.offset_handlers = OffsetHandlers(self.replicas, self.offsets)
        self.delete_handlers = DeleteRecordsHandlers(self.replicas, self.retention)
        producer_ids = ProducerIdService(MemoryProducerIdRepository())
        self.producer_id_handlers = InitProducerIdHandlers(producer_ids, _no_transactions)

    async def topic(
        self, name: str = "orders", partitions: int = 1, settings: TopicSettings | None = None, internal: bool = False
    ) -> Topic:
        topic = Topic(name, topic_id(name), partitions, settings or TopicSettings(), is_internal=internal)
        await self.replicas.open_topic(topic)
        return topic

    async def replica(self, settings: TopicSettings | None = None) -> Replica:
        """The only partition of a new topic ``orders``."""
        await self.topic(settings=settings)
        return self.replicas.find("orders", 0)

    def append(self, replica: Replica, data: bytes) -> Appended:
        """As the produce handler does it: append, then wake who waits."""
        appended = self.producer.append(replica, memoryview(data))
        self.producer.wake()
        return appended

    def fetch(
        self,
        *targets: FetchTarget,
        wait_ms: int = 0,
        size_min: int = 1,
        size_max: int = 1 << 20,
        committed: bool = False,
    ) -> list[ReadResult] | Awaitable[list[ReadResult]]:
        uses_topic_ids = any(target.topic_id != ZERO_ID for target in targets)
        query = FetchQuery(targets, wait_ms, size_min, size_max, committed, uses_topic_ids)
        return self.consumer.fetch(query, lambda results: results)

    def read(self, *targets: FetchTarget, size_max: int = 1 << 20, committed: bool = False) -> list[ReadResult]:
        """A fetch that does not wait."""
        results = self.fetch(*targets, size_max=size_max, committed=committed)
        assert isinstance(results, list)
        return results


def _no_transactions() -> NoReturn:
    raise AssertionError("this house has no transactions; transaction_house.py has")


def topic_id(name: str) -> bytes:
    return name.encode().ljust(16, b"-")


def target(offset: int = 0, *, index: int = 0, topic: str = "orders", size_max: int = 1 << 20) -> FetchTarget:
    return FetchTarget(topic, bytes(16), index, offset, size_max)


def messages_in(records: object) -> list[Message]:
    """What a consumer makes of the records of a fetch."""
    view = memoryview(cast(bytes, records))
    return [message for _, data in iterate_batches(view) for message in iterate_messages(data, CODECS.decompress)]


def stored(replica: Replica) -> list[Message]:
    """What a consumer that starts at the beginning gets from a partition."""
    partition = replica.partition
    records = replica.log.read(partition.log_start_offset, 1 << 30, partition.log_end_offset)
    return messages_in(records)


def context(version: int, client_id: str = "test") -> RequestContext:
    return RequestContext("PLAINTEXT", "127.0.0.1", 9092, "127.0.0.1", 1, "c", client_id=client_id, api_version=version)


def now_answered(answer: T | Awaitable[T | None] | None) -> T:
    """The answer of a handler that must not have to wait."""
    assert answer is not None
    assert not isinstance(answer, Awaitable)
    return answer


def waiting(answer: object) -> asyncio.Future[list[ReadResult]]:
    """The future behind a fetch that must wait."""
    assert isinstance(answer, asyncio.Future)
    assert not answer.done()
    return answer
