"""Owns: transactional clients under attack - they commit, abort, abandon, are replaced, and repeat old requests.
Must never know: which faults come, what is right.

A worker owns one transactional id. Even ones speak the first transaction protocol (partitions are added by requests of
their own), odd ones the second (KIP-890). What a worker is told of an end is what the checks hold against the records
that readers see; a request whose answer is lost is repeated until it is answered, so that nearly every end is known.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TypeVar

from kafka_protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse
from kafka_protocol.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
)
from kafka_protocol.messages.end_txn import EndTxnRequest, EndTxnResponse
from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kafka_protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from kafka_protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from kafka_protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
)
from kafka_protocol.wire import Message

from tests.crash.history import identity, make_value
from tests.crash.transaction_checks import TIMEOUT_SECONDS
from tests.crash.wire_client import Lost, StoredRecord, WireClient, build_batch, read_committed
from tests.crash.workers import FETCH_VERSION, LIST_OFFSETS_VERSION, PARTITIONS, RETRIABLE, TRANSACTIONAL, Setting

M = TypeVar("M", bound=Message)

WORKERS = 4
TIMEOUT_MS = int(TIMEOUT_SECONDS * 1000)
STUCK_SECONDS_MAX = TIMEOUT_MS / 1000 + 10
"""How long after the last request an open transaction may hold readers back."""
LEAVE_SECONDS = TIMEOUT_MS / 1000 + 2
CONCURRENT_TRANSACTIONS = 51
AGAIN = RETRIABLE | {CONCURRENT_TRANSACTIONS}
PLANS, WEIGHTS = ("commit", "abort", "abandon", "linger", "zombie", "delayed"), (55, 15, 8, 2, 10, 10)


class Stopped(Exception):
    """The run is over; what is under way stays open."""


class Refused(Exception):
    """The broker said no for good: the transaction cannot be committed any more."""


@dataclass(slots=True)
class Owner:
    """One process that uses a transactional id, as far as the broker can tell."""

    producer_id: int
    epoch: int
    sequences: list[int] = field(default_factory=lambda: [0] * PARTITIONS)


class TransactionalProducer:
    """One transactional id and its life."""

    def __init__(self, setting: Setting, number: int, kind: str = "transactional") -> None:
        self.name = f"{kind}-{number}"
        self.is_second_protocol = number % 2 == 1
        self._setting = setting
        self._history = setting.history
        self._rng = setting.rng(self.name)
        self._client = setting.client(self.name)
        self._sent = 0
        self._previous: Owner | None = None
        """Who ended the transaction before, for late requests."""

    async def run(self) -> None:
        number = 0
        try:
            owner = await self._initialise()
            while True:
                owner = await self._transaction(owner, number)
                number += 1
                await asyncio.sleep(self._rng.random() * 0.02)
        except Stopped:
            return

    async def leave_open(self) -> None:
        """Begins a transaction and is never heard of again: only the broker's clock can end it."""
        value = self._value()
        self._history.add(
            "invoke", self.name, "txn", txn=self.name, plan="leave", values=[identity(value)], offset=None
        )
        self._history.add("ok", self.name, "txn", txn=self.name, result="aborted", why="left open")
        with contextlib.suppress(Stopped, Refused):
            await self._write(await self._initialise(), self._rng.randrange(PARTITIONS), [value])
        self._client.drop()

    async def _transaction(self, owner: Owner, number: int) -> Owner:
        """One transaction; returns who goes on."""
        label = f"{self.name}/{number}"
        (plan,) = self._rng.choices(PLANS, WEIGHTS)
        batches = [
            (self._rng.randrange(PARTITIONS), [self._value() for _ in range(self._rng.randrange(1, 4))])
            for _ in range(self._rng.randrange(1, 4))
        ]
        offset = number + 1 if self._rng.random() < 0.5 else None
        values = [identity(value) for _, batch in batches for value in batch]
        self._history.add("invoke", self.name, "txn", txn=label, plan=plan, values=values, offset=offset)
        try:
            for partition, batch in batches:
                await self._write(owner, partition, batch)
            if offset is not None:
                await self._stage_offset(owner, offset)
            following = await self._finish(owner, label, plan)
        except Refused as refused:
            # Without a commit that was answered with success nothing of it may ever be seen.
            self._history.add("ok", self.name, "txn", txn=label, result="aborted", why=str(refused))
            return await self._initialise()
        return following

    async def _finish(self, owner: Owner, label: str, plan: str) -> Owner:
        if plan == "zombie":
            successor = await self._initialise()
            self._history.add("ok", self.name, "txn", txn=label, result="aborted", why="replaced")
            await self._try_stale(owner)
            return successor
        if plan == "abandon":
            self._client.drop()
            successor = await self._initialise()
            self._history.add("ok", self.name, "txn", txn=label, result="aborted", why="abandoned")
            return successor
        if plan == "linger":
            await asyncio.sleep(TIMEOUT_MS / 1000 + 1)
        if plan == "delayed" and self.is_second_protocol and self._previous is not None:
            await self._stale("EndTxn", EndTxnRequest(self.name, *self._identity(self._previous), True), 5)
        is_commit = plan in ("commit", "linger")
        self._history.add("invoke", self.name, "txn-end", txn=label, commit=is_commit)
        following = await self._end(owner, is_commit)
        self._history.add("ok", self.name, "txn", txn=label, result="committed" if is_commit else "aborted")
        return following

    # ---- single requests ---------------------------------------------------------------------------------------------

    async def _ask(self, request: Message, version: int, answer: type[M]) -> M:
        """Asks until there is an answer. Raises Stopped."""
        while not self._setting.stop.is_set():
            try:
                found = await self._client.call(request, version, answer)
            except Lost:
                await asyncio.sleep(0.05)
                continue
            assert found is not None
            return found
        raise Stopped

    async def _initialise(self) -> Owner:
        self._history.add("invoke", self.name, "txn-close")  # aborts what this id has open
        while True:
            answer = await self._ask(InitProducerIdRequest(self.name, TIMEOUT_MS), 4, InitProducerIdResponse)
            if answer.error_code == 0:
                return Owner(answer.producer_id, answer.producer_epoch)
            if answer.error_code not in AGAIN:
                raise AssertionError(f"InitProducerId for {self.name} was answered with {answer.error_code}")
            await asyncio.sleep(0.05)

    async def _write(self, owner: Owner, partition: int, values: list[bytes]) -> None:
        if not self.is_second_protocol:
            await self._add_partition(owner, partition)
        request = self._produce_request(owner, partition, values)
        owner.sequences[partition] += len(values)
        since = self._history.now()
        while True:
            answer = await self._ask(request, 12 if self.is_second_protocol else 9, ProduceResponse)
            result = answer.responses[0].partition_responses[0]
            if await self._is_done(result.error_code, "Produce"):
                facts = {"partition": partition, "offset": result.base_offset, "since": since}
                self._history.add("ok", self.name, "txn-write", producer=owner.producer_id, **facts)
                return

    def _produce_request(self, owner: Owner, partition: int, values: list[bytes]) -> ProduceRequest:
        batch = build_batch(values, None, *self._identity(owner), owner.sequences[partition], is_transactional=True)
        data = TopicProduceData(
            name=TRANSACTIONAL, partition_data=[PartitionProduceData(index=partition, records=batch)]
        )
        return ProduceRequest(transactional_id=self.name, acks=-1, timeout_ms=5000, topic_data=[data])

    async def _add_partition(self, owner: Owner, partition: int) -> None:
        request = self._add_request(owner, partition)
        while True:
            answer = await self._ask(request, 3, AddPartitionsToTxnResponse)
            code = answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
            if await self._is_done(code, "AddPartitionsToTxn"):
                return

    def _add_request(self, owner: Owner, partition: int) -> AddPartitionsToTxnRequest:
        return AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=self.name,
            v3_and_below_producer_id=owner.producer_id,
            v3_and_below_producer_epoch=owner.epoch,
            v3_and_below_topics=[AddPartitionsToTxnTopic(name=TRANSACTIONAL, partitions=[partition])],
        )

    async def _stage_offset(self, owner: Owner, offset: int) -> None:
        if not self.is_second_protocol:
            request = AddOffsetsToTxnRequest(self.name, *self._identity(owner), self.name)
            while not await self._is_done(
                (await self._ask(request, 3, AddOffsetsToTxnResponse)).error_code, "AddOffsets"
            ):
                pass
        row = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
        commit = TxnOffsetCommitRequest(
            transactional_id=self.name,
            group_id=self.name,
            producer_id=owner.producer_id,
            producer_epoch=owner.epoch,
            topics=[TxnOffsetCommitRequestTopic(name=TRANSACTIONAL, partitions=[row])],
        )
        while True:
            answer = await self._ask(commit, 5 if self.is_second_protocol else 3, TxnOffsetCommitResponse)
            if await self._is_done(answer.topics[0].partitions[0].error_code, "TxnOffsetCommit"):
                return

    async def _end(self, owner: Owner, is_commit: bool) -> Owner:
        request = EndTxnRequest(self.name, *self._identity(owner), is_commit)
        self._history.add("invoke", self.name, "txn-close")
        while True:
            answer = await self._ask(request, 5 if self.is_second_protocol else 3, EndTxnResponse)
            if await self._is_done(answer.error_code, "EndTxn"):
                break
        self._previous = owner
        return Owner(answer.producer_id, answer.producer_epoch) if self.is_second_protocol else owner

    async def _is_done(self, code: int, what: str) -> bool:
        if code == 0:
            return True
        if code not in AGAIN:
            raise Refused(f"{what} was answered with {code}")
        await asyncio.sleep(0.05)
        return False

    # ---- what must fail ----------------------------------------------------------------------------------------------

    async def _try_stale(self, zombie: Owner) -> None:
        """Everything that a replaced owner might still send."""
        await self._stale(
            "Produce", self._produce_request(zombie, 0, [self._value()]), 12 if self.is_second_protocol else 9
        )
        await self._stale("AddPartitionsToTxn", self._add_request(zombie, 1), 3)
        version = 5 if self.is_second_protocol else 3
        await self._stale("EndTxn", EndTxnRequest(self.name, *self._identity(zombie), True), version)

    async def _stale(self, what: str, request: Message, version: int) -> None:
        """Sends a request that comes too late, and notes the answer."""
        if isinstance(request, ProduceRequest):
            code = (await self._ask(request, version, ProduceResponse)).responses[0].partition_responses[0].error_code
        elif isinstance(request, AddPartitionsToTxnRequest):
            added = await self._ask(request, version, AddPartitionsToTxnResponse)
            code = added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
        else:
            code = (await self._ask(request, version, EndTxnResponse)).error_code
        self._history.add("ok" if code == 0 else "fail", self.name, "txn-stale", what=what, code=code)

    @staticmethod
    def _identity(owner: Owner) -> tuple[int, int]:
        return owner.producer_id, owner.epoch

    def _value(self) -> bytes:
        self._sent += 1
        return make_value(self._setting.seed, self.name, self._sent, self._rng.randrange(40, 1500))


async def leaver(setting: Setting) -> None:
    """Leaves a transaction open now and then, each under an id of its own."""
    number = 0
    while not setting.stop.is_set():
        await TransactionalProducer(setting, number, "leaver").leave_open()
        number += 1
        await asyncio.sleep(LEAVE_SECONDS)


# ---- readers ---------------------------------------------------------------------------------------------------------


async def committed_reader(setting: Setting, partition: int) -> None:
    """Reads what is committed, from the start and again and again, and notes every value when it is first seen."""
    name = f"committed-reader-{partition}"
    client, history = setting.client(name), setting.history
    offset = 0
    while not setting.stop.is_set():
        try:
            found = await fetch_committed_records(client, partition, offset, wait_ms=100)
        except Lost:
            await asyncio.sleep(0.05)
            continue
        if found is None:
            await asyncio.sleep(0.05)
            continue
        records, offset = found
        for record in records:
            facts = {"offset": record.offset, "value": identity(record.value), "as_sent": record.is_as_sent}
            history.add("ok", name, "txn-read", topic=TRANSACTIONAL, partition=partition, **facts)


async def fetch_committed_records(
    client: WireClient, partition: int, offset: int, wait_ms: int, isolation: int = 1
) -> tuple[list[StoredRecord], int] | None:
    """Records that a reader shows, from ``offset`` on, and where it goes on; None when the broker refuses for now."""
    part = FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=2**20)
    request = FetchRequest(
        max_wait_ms=wait_ms,
        min_bytes=1,
        max_bytes=2**20,
        isolation_level=isolation,
        topics=[FetchTopic(topic=TRANSACTIONAL, partitions=[part])],
    )
    answer = await client.call(request, FETCH_VERSION, FetchResponse)
    assert answer is not None
    if not answer.responses or answer.responses[0].partitions[0].error_code:
        return None
    data = answer.responses[0].partitions[0]
    aborted = [(each.producer_id, each.first_offset) for each in data.aborted_transactions or ()]
    records, following = read_committed(bytes(data.records or b""), aborted)
    return [record for record in records if record.offset >= offset], max(offset, following)


async def stable_watcher(setting: Setting) -> None:
    """Asks for the last stable offset and then for the high watermark, again and again."""
    client = setting.client("stable-watcher")
    while not setting.stop.is_set():
        for partition in range(PARTITIONS):
            asked = setting.history.now()
            try:
                stable, end = await ends(client, partition)
            except Lost:
                await asyncio.sleep(0.05)
                continue
            if stable >= 0 and end >= 0:
                facts = {"partition": partition, "stable": stable, "end": end, "asked": asked}
                setting.history.add("ok", "stable-watcher", "lso", **facts)
        await asyncio.sleep(0.1)


async def ends(client: WireClient, partition: int) -> tuple[int, int]:
    """Last stable offset and high watermark, asked in this order; -1 where the broker refuses for now."""
    found = []
    for isolation in (1, 0):
        row = ListOffsetsPartition(partition_index=partition, timestamp=-1)
        topics = [ListOffsetsTopic(name=TRANSACTIONAL, partitions=[row])]
        request = ListOffsetsRequest(replica_id=-1, isolation_level=isolation, topics=topics)
        answer = await client.call(request, LIST_OFFSETS_VERSION, ListOffsetsResponse)
        assert answer is not None
        part = answer.topics[0].partitions[0]
        found.append(-1 if part.error_code else part.offset)
    return found[0], found[1]
