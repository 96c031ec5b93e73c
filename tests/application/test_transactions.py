"""Transactions from the first request to what readers see, in both protocols."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from kafka_protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from kafka_protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from kafka_protocol.messages.end_txn import EndTxnRequest
from kafka_protocol.messages.init_producer_id import InitProducerIdRequest
from kafka_protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kafka_protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics
from kafka_protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

from kafka_server.application.transaction_coordinator import TransactionSettings
from kafka_server.domain.errors import (
    ConcurrentTransactions,
    IllegalGeneration,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    InvalidRequest,
    InvalidTransactionTimeout,
    InvalidTxnState,
    OperationNotAttempted,
    ProducerFenced,
    StorageError,
    TransactionAbortable,
    UnknownTopicOrPartition,
    UnstableOffsetCommit,
)
from kafka_server.domain.transaction import Producer, Protocol, State, Transaction
from kafka_server.infrastructure.storage.memory_offsets import MemoryOffsetRepository
from kafka_server.infrastructure.storage.memory_transactions import MemoryTransactionRepository
from tests.application.transaction_house import TXN, TransactionHouse, count, settle


async def add(
    house: TransactionHouse, producer: Producer, *indexes: int, version: int = 3, topic: str = "orders"
) -> list[int]:
    topics = [AddPartitionsToTxnTopic(topic, list(indexes))]
    request = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=TXN,
        v3_and_below_producer_id=producer.producer_id,
        v3_and_below_producer_epoch=producer.epoch,
        v3_and_below_topics=topics,
    )
    answer = await house.ask(request, version)
    return [one.partition_error_code for one in answer.results_by_topic_v3_and_below[0].results_by_partition]


async def end(house: TransactionHouse, producer: Producer, *, commit: bool, version: int = 5) -> tuple[int, Producer]:
    answer = await house.ask(EndTxnRequest(TXN, *producer, commit), version)
    return answer.error_code, Producer(answer.producer_id, answer.producer_epoch)


# ---- commit and abort ------------------------------------------------------------------------------------------------


async def test_first_protocol_partitions_are_added_and_the_epoch_stays() -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise(version=4)
    assert await add(house, producer, 0, 1) == [0, 0]
    assert await house.produce(producer, version=9) == 0
    assert house.stable() == 0

    assert (await end(house, producer, commit=True, version=3))[0] == 0
    assert house.stable() == 2
    assert await add(house, producer, 0) == [0]
    assert await house.produce(producer, 1, version=9) == 0


async def test_second_protocol_producing_adds_the_partition_and_the_end_bumps_the_epoch() -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    assert await house.produce(producer) == 0

    code, following = await end(house, producer, commit=True)
    assert (code, following) == (0, Producer(producer.producer_id, 1))
    assert await house.produce(following) == 0


async def test_a_reader_is_told_which_transactions_were_aborted() -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    await house.produce(producer)
    _, producer = await end(house, producer, commit=False)
    await house.produce(producer)
    await end(house, producer, commit=True)

    data = await house.read(committed=True)
    assert (count(data), data.last_stable_offset) == (4, 4)
    assert [(one.producer_id, one.first_offset) for one in data.aborted_transactions] == [(producer.producer_id, 0)]
    assert (await house.read(committed=False)).aborted_transactions is None


async def test_readers_of_committed_data_wait_for_the_end() -> None:
    house = await TransactionHouse().open()
    await house.produce(await house.initialise())

    assert (count(await house.read(committed=True)), count(await house.read(committed=False))) == (0, 1)


async def test_an_end_that_is_repeated_gets_the_same_answer_and_writes_nothing() -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    await house.produce(producer)
    first = await end(house, producer, commit=True)

    assert await end(house, producer, commit=True) == first
    assert house.stable() == 2
    assert (await end(house, producer, commit=False))[0] == InvalidTxnState.code


async def test_a_late_end_does_not_end_the_next_transaction() -> None:
    house = await TransactionHouse().open()
    first = await house.initialise()
    await house.produce(first)
    _, second = await end(house, first, commit=False)
    await house.produce(second)

    assert (await end(house, first, commit=True))[0] == ProducerFenced.code
    assert house.coordinator.describe(TXN).state is State.ONGOING


# ---- what does not belong to a transaction ---------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "code"), [(9, InvalidTxnState.code), (11, TransactionAbortable.code)])
async def test_first_protocol_a_partition_that_was_not_added_takes_nothing(version: int, code: int) -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise(version=4)

    assert await house.produce(producer, version=version) == code
    assert await house.produce(producer, version=version) == code  # Nothing was remembered of the first try.
    house.verifies = False
    assert await house.produce(producer, version=version) == 0


async def test_all_partitions_are_added_or_none() -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()

    assert await add(house, producer, 0, 7) == [OperationNotAttempted.code, UnknownTopicOrPartition.code]
    assert house.coordinator.describe(TXN).state is State.EMPTY


async def test_brokers_verify_many_transactions_at_once() -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    await add(house, producer, 0)
    topics = [AddPartitionsToTxnTopic("orders", [0, 1])]
    asked = AddPartitionsToTxnTransaction(TXN, *producer, verify_only=True, topics=topics)
    unknown = AddPartitionsToTxnTransaction("who", *producer, verify_only=True, topics=topics)

    answer = await house.ask(AddPartitionsToTxnRequest([asked, unknown]), 5)
    codes = [
        [one.partition_error_code for one in result.topic_results[0].results_by_partition]
        for result in answer.results_by_transaction
    ]
    assert codes == [[0, TransactionAbortable.code], [InvalidProducerIdMapping.code] * 2]


# ---- owners ----------------------------------------------------------------------------------------------------------


async def test_a_new_owner_aborts_what_the_old_one_left_open() -> None:
    house = await TransactionHouse().open()
    zombie = await house.initialise()
    await house.produce(zombie)
    answer = await house.ask(InitProducerIdRequest(TXN, 60_000), 5)
    assert answer.error_code == ConcurrentTransactions.code

    owner = await house.initialise()
    assert owner.epoch == zombie.epoch + 2
    assert house.stable() == 2
    assert await house.produce(zombie, 1) == InvalidProducerEpoch.code
    assert (await end(house, zombie, commit=True))[0] == ProducerFenced.code


@pytest.mark.parametrize(("version", "code"), [(1, InvalidProducerEpoch.code), (2, ProducerFenced.code)])
async def test_old_clients_know_one_way_of_being_fenced(version: int, code: int) -> None:
    house = await TransactionHouse().open()
    zombie = await house.initialise()
    await house.initialise()

    assert await add(house, zombie, 0, version=version) == [code]
    assert (await end(house, zombie, commit=True, version=version))[0] == code
    offsets = await house.ask(AddOffsetsToTxnRequest(TXN, *zombie, "g"), version)
    assert offsets.error_code == code


@pytest.mark.parametrize(("version", "code"), [(3, InvalidProducerEpoch.code), (4, ProducerFenced.code)])
async def test_an_owner_that_was_replaced_gets_no_new_epoch(version: int, code: int) -> None:
    house = await TransactionHouse().open()
    zombie = await house.initialise()
    await house.initialise()

    assert (await house.ask(InitProducerIdRequest(TXN, 60_000, *zombie), version)).error_code == code


@pytest.mark.parametrize("timeout_ms", [0, -1, 900_001])
async def test_a_time_out_beyond_the_brokers_is_refused(timeout_ms: int) -> None:
    house = await TransactionHouse().open()
    answer = await house.ask(InitProducerIdRequest(TXN, timeout_ms), 5)

    assert (answer.error_code, answer.producer_id) == (InvalidTransactionTimeout.code, -1)


async def test_an_empty_transactional_id_is_an_invalid_request() -> None:
    house = await TransactionHouse().open()

    assert (await house.ask(InitProducerIdRequest("", 1000), 5)).error_code == InvalidRequest.code
    assert (await house.ask(EndTxnRequest("", 1, 0, True), 5)).error_code == InvalidRequest.code


# ---- time ------------------------------------------------------------------------------------------------------------


async def test_a_transaction_that_takes_too_long_is_aborted_by_the_broker() -> None:
    house = await TransactionHouse().open()
    house.coordinator.start()
    producer = await house.initialise(timeout_ms=15_000)
    await house.produce(producer)
    house.clock.advance(15_000)
    await settle()
    assert house.stable() == 0

    house.clock.advance(10_000)
    await settle()
    assert (house.stable(), house.coordinator.counters.timeouts) == (2, 1)
    assert (await end(house, producer, commit=True))[0] == InvalidTxnState.code


async def test_an_id_that_nobody_uses_is_forgotten() -> None:
    settings = TransactionSettings(expiration_ms=1_000, expiration_interval_ms=500)
    house = await TransactionHouse(settings=settings).open()
    house.coordinator.start()
    await house.initialise()
    house.clock.advance(1_500)
    await settle()

    assert list(house.coordinator.all()) == []
    assert await house.repository.load() == []


# ---- offsets ---------------------------------------------------------------------------------------------------------


async def commit_offset(
    house: TransactionHouse, producer: Producer, offset: int, *, version: int = 5, generation: int = -1
) -> int:
    part = TxnOffsetCommitRequestPartition(0, offset)
    topic = TxnOffsetCommitRequestTopic("orders", partitions=[part])
    request = TxnOffsetCommitRequest(TXN, "g", *producer, generation, topics=[topic])
    answer = await house.ask(request, version)
    code: int = answer.topics[0].partitions[0].error_code
    return code


async def fetch_offset(house: TransactionHouse, *, stable: bool) -> tuple[int, int]:
    group = OffsetFetchRequestGroup("g", topics=[OffsetFetchRequestTopics("orders", partition_indexes=[0])])
    answer = await house.ask(OffsetFetchRequest(groups=[group], require_stable=stable), 8)
    one = answer.groups[0].topics[0].partitions[0]
    return one.error_code, one.committed_offset


@pytest.mark.parametrize(("commit", "offset"), [(True, 5), (False, -1)])
async def test_offsets_count_when_their_transaction_commits(commit: bool, offset: int) -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    assert await commit_offset(house, producer, 5) == 0
    assert await fetch_offset(house, stable=False) == (0, -1)
    assert await fetch_offset(house, stable=True) == (UnstableOffsetCommit.code, -1)

    await end(house, producer, commit=commit)
    assert await fetch_offset(house, stable=True) == (0, offset)


async def test_first_protocol_offsets_must_be_added_to_the_transaction() -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    assert await commit_offset(house, producer, 5, version=3) == InvalidTxnState.code
    assert await commit_offset(house, producer, 5, version=4) == TransactionAbortable.code

    assert (await house.ask(AddOffsetsToTxnRequest(TXN, *producer, "g"), 3)).error_code == 0
    assert await commit_offset(house, producer, 5, version=3) == 0


async def test_offsets_of_a_stranger_to_the_group_are_refused() -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()

    assert await commit_offset(house, producer, 5, generation=3) == IllegalGeneration.code


async def test_a_plain_commit_after_a_staged_one_wins() -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    await commit_offset(house, producer, 5)
    part = OffsetCommitRequestPartition(0, 9)
    plain = OffsetCommitRequest("g", topics=[OffsetCommitRequestTopic("orders", partitions=[part])])
    await house.ask(plain, 8)

    await end(house, producer, commit=True)
    assert await fetch_offset(house, stable=True) == (0, 9)


# ---- crashes and failures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("commit", [True, False])
async def test_a_decision_that_was_stored_is_carried_out_by_the_next_start(commit: bool) -> None:
    transactions, offsets = MemoryTransactionRepository(), MemoryOffsetRepository()
    house = await TransactionHouse(transactions, offsets).open()
    producer = await house.initialise()
    await house.produce(producer)
    await commit_offset(house, producer, 5)
    transactions.save(house.coordinator.describe(TXN).prepare(commit, 1, Protocol.V2))  # and then the power went

    again = TransactionHouse(transactions, offsets)
    again.replicas = house.replicas
    again.markers._replicas = house.replicas
    await again.manager.load()
    await again.coordinator.load()
    assert house.stable() == 2
    assert (await fetch_offset(again, stable=True))[1] == (5 if commit else -1)
    wanted = State.COMPLETE_COMMIT if commit else State.COMPLETE_ABORT
    assert again.coordinator.describe(TXN).state is wanted


async def test_an_open_transaction_survives_a_restart_and_can_be_committed() -> None:
    transactions, offsets = MemoryTransactionRepository(), MemoryOffsetRepository()
    house = await TransactionHouse(transactions, offsets).open()
    producer = await house.initialise()
    await commit_offset(house, producer, 5)

    again = await TransactionHouse(transactions, offsets).open()
    await again.manager.load()
    assert (await end(again, producer, commit=True))[0] == 0
    assert await fetch_offset(again, stable=True) == (0, 5)


async def test_markers_that_cannot_be_written_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    await house.produce(producer)
    log = house.replicas.find("orders", 0).log

    def full(*_: object) -> None:
        raise StorageError("no room")

    monkeypatch.setattr(type(log), "append", full)
    code, following = await end(house, producer, commit=True)
    assert (code, house.stable()) == (0, 0)  # The decision stands.
    assert await add(house, following, 0) == [ConcurrentTransactions.code]
    monkeypatch.undo()

    house.clock.advance(1_000)
    await settle()
    assert house.stable() == 2


async def test_a_stop_does_not_wait_for_markers_that_fail_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    house = await TransactionHouse().open()
    producer = await house.initialise()
    await house.produce(producer)
    syncs: list[asyncio.Future[None]] = []

    def write_slowly(*_: object) -> asyncio.Future[None]:
        syncs.append(asyncio.get_running_loop().create_future())
        return syncs[-1]

    monkeypatch.setattr(type(house.markers), "write_own", write_slowly)
    ending = asyncio.ensure_future(end(house, producer, commit=True))
    await settle()
    syncs[0].set_exception(StorageError("the disk failed"))
    await ending
    house.clock.advance(1_000)
    await settle()
    closing = asyncio.ensure_future(house.coordinator.close())
    await settle()
    syncs[1].set_exception(StorageError("the disk failed"))
    await settle()
    assert closing.done()
    assert len(syncs) == 2


async def test_what_could_not_be_stored_did_not_happen() -> None:
    class Full(MemoryTransactionRepository):
        is_full = False

        def save(self, transaction: Transaction) -> Awaitable[None] | None:  # type: ignore[override]
            if self.is_full:
                raise StorageError("no room")
            super().save(transaction)
            return None

    repository = Full()
    house = await TransactionHouse(repository).open()
    producer = await house.initialise()
    await house.produce(producer)
    repository.is_full = True
    assert (await end(house, producer, commit=True))[0] == 15
    assert house.stable() == 0

    repository.is_full = False
    assert (await end(house, producer, commit=True))[0] == 0
