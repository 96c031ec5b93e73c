"""Transactions without a network: coordinator, logs, offsets and handlers over memory and a virtual clock.

Requests and answers pass through the wire format of the version that a test names.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, PartitionData
from kafka_protocol.messages.init_producer_id import InitProducerIdRequest
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

from kafka_server.application.group_coordinator import GroupCoordinator, GroupSettings
from kafka_server.application.handlers.fetch import FetchHandlers
from kafka_server.application.handlers.init_producer_id import InitProducerIdHandlers
from kafka_server.application.handlers.offsets import OffsetHandlers
from kafka_server.application.handlers.produce import ProduceHandlers
from kafka_server.application.handlers.transaction_admin import TransactionAdminHandlers
from kafka_server.application.handlers.transactions import TransactionHandlers
from kafka_server.application.message_conversion import MessageConversion
from kafka_server.application.offset_manager import OffsetManager, OffsetSettings
from kafka_server.application.ports import OffsetRepository, TransactionRepository
from kafka_server.application.producer_service import ProducerIdService
from kafka_server.application.transaction_coordinator import TransactionCoordinator, TransactionSettings
from kafka_server.application.transaction_gate import TransactionGate
from kafka_server.application.transaction_markers import TransactionMarkers
from kafka_server.domain.record_batch import TRANSACTIONAL
from kafka_server.domain.transaction import Producer
from kafka_server.infrastructure.patterns import Re2Patterns
from kafka_server.infrastructure.storage.memory import MemoryProducerIdRepository, MemoryTopicRepository
from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository, MemoryOffsetRepository
from kafka_server.infrastructure.storage.memory_transactions import MemoryTransactionRepository
from tests.application.data_house import DataHouse, context, messages_in
from tests.domain.batches import idempotent, patched

TXN = "pay"


class TransactionHouse(DataHouse):
    """A data house with transactions."""

    def __init__(
        self,
        transactions: TransactionRepository | None = None,
        offsets: OffsetRepository | None = None,
        settings: TransactionSettings | None = None,
    ) -> None:
        super().__init__()
        self.repository = transactions or MemoryTransactionRepository()
        self.topics = MemoryTopicRepository()
        groups = GroupCoordinator(self.clock, MemoryGroupRepository(), GroupSettings(), self.topics)
        self.manager = OffsetManager(self.clock, offsets or MemoryOffsetRepository(), groups, OffsetSettings())
        self.markers = TransactionMarkers(self.replicas, self.producer, self.manager)
        producer_ids = ProducerIdService(MemoryProducerIdRepository())
        self.coordinator = TransactionCoordinator(
            self.clock, self.repository, producer_ids, self.markers, settings or TransactionSettings()
        )
        self.verifies = True
        gate = TransactionGate(self.clock, self.coordinator, lambda: self.verifies)
        conversion = MessageConversion(self.producer._compression)
        self.families: list[object] = [
            ProduceHandlers(self.replicas, self.producer, conversion, lambda: gate),
            FetchHandlers(self.consumer, self.sessions, conversion, self.clock, self.throttle),
            InitProducerIdHandlers(producer_ids, lambda: self.coordinator),
            TransactionHandlers(self.coordinator, gate, self.markers, self.manager, self.topics, self.clock),
            TransactionAdminHandlers(self.coordinator, self.replicas, Re2Patterns(), self.clock),
            OffsetHandlers(self.manager, self.topics, self.clock),
        ]

    async def open(self, *names: str) -> TransactionHouse:
        """The house with these topics of two partitions, ``orders`` when none is named; what is stored comes back."""
        for name in names or ("orders",):
            await self.topics.add(await self.topic(name, partitions=2))
        await self.coordinator.load()
        return self

    async def ask(self, request: Any, version: int) -> Any:
        """The answer, after request and answer went over the wire."""
        sent = type(request).decode(request.encode(version), version)
        name = "".join("_" + c.lower() if c.isupper() else c for c in request.message_name)[1:].removesuffix("_request")
        (handler,) = [getattr(family, name) for family in self.families if hasattr(family, name)]
        answer = handler(context(version), sent)
        answer = await answer if inspect.isawaitable(answer) else answer
        return type(answer).decode(answer.encode(version), version)

    async def initialise(self, version: int = 5, timeout_ms: int = 60_000) -> Producer:
        """A process takes the transactional id over."""
        answer = await self.ask(InitProducerIdRequest(TXN, timeout_ms), version)
        assert answer.error_code == 0
        return Producer(answer.producer_id, answer.producer_epoch)

    async def produce(self, producer: Producer, sequence: int = 0, *, index: int = 0, version: int = 12) -> int:
        """Sends one transactional record and returns the error code."""
        data = idempotent(sequence, producer_id=producer.producer_id, epoch=producer.epoch)
        records = patched(data, 21, "h", TRANSACTIONAL)
        topic = TopicProduceData("orders", partition_data=[PartitionProduceData(index, records)])
        answer = await self.ask(ProduceRequest(TXN, -1, 1000, [topic]), version)
        code: int = answer.responses[0].partition_responses[0].error_code
        return code

    async def read(self, *, committed: bool, index: int = 0) -> PartitionData:
        """A fetch from the first offset on."""
        part = FetchPartition(index, fetch_offset=0, partition_max_bytes=1 << 20)
        request = FetchRequest(
            max_wait_ms=0, min_bytes=0, isolation_level=int(committed), topics=[FetchTopic("orders", partitions=[part])]
        )
        data = (await self.ask(request, 12)).responses[0].partitions[0]
        assert isinstance(data, PartitionData)
        return data

    def stable(self, index: int = 0) -> int:
        """The last stable offset."""
        return self.replicas.find("orders", index).partition.last_stable_offset


def count(data: PartitionData) -> int:
    """Records, markers among them."""
    return len(messages_in(data.records))


async def settle() -> None:
    """Lets what runs in the background have its turns."""
    for _ in range(20):
        await asyncio.sleep(0)
