"""Owns: what clients do to the broker while it is attacked. Must never know: which faults come, what is right.

Each worker is a coroutine that runs until ``stop`` is set and writes every operation into the history. A worker never
gives up on the broker: after a lost connection it tries again.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from kafka_protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
)
from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kafka_protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from kafka_protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kafka_protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from kafka_protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestTopic,
    OffsetFetchResponse,
)
from kafka_protocol.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

from tests.crash.connections import Connections
from tests.crash.history import History, identity, make_value
from tests.crash.wire_client import Lost, StoredRecord, WireClient, build_batch, read_batches

PRODUCE_VERSION = 9
FETCH_VERSION = 12
LIST_OFFSETS_VERSION = 7
OFFSET_COMMIT_VERSION = 8
OFFSET_FETCH_VERSION = 7

PLAIN, IDEMPOTENT, TRIMMED, TRANSACTIONAL = "plain", "idempotent", "trimmed", "transactional"
TOPICS = (PLAIN, IDEMPOTENT, TRIMMED)
PARTITIONS = 2

UNSTABLE_OFFSET_COMMIT = 88
STILL_UNSTABLE = -2
RETRIABLE = frozenset({3, 5, 6, 7, 13, 14, 15, 16, 19, 56})
"""Codes after which a client asks again: the request certainly was not carried out."""


@dataclass(slots=True)
class Setting:
    """What all workers share."""

    connections: Connections
    seed: int
    history: History
    stop: asyncio.Event
    has_clients: bool = True
    is_over: bool = False
    """The final state is being read; what a thread that was not heard of in time says now is not written down."""

    @property
    def bootstrap(self) -> str:
        """Where clients of other projects connect to."""
        return f"127.0.0.1:{self.connections.proxy_port}"

    def client(self, name: str) -> WireClient:
        return self.connections.client(name)

    def rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")


def produce_request(topic: str, partition: int, batch: bytes, acks: int) -> ProduceRequest:
    data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=partition, records=batch)])
    return ProduceRequest(acks=acks, timeout_ms=5000, topic_data=[data])


async def plain_producer(setting: Setting, number: int) -> None:
    """Sends without idempotence, with every acks; what it does not hear of it does not repeat."""
    name = f"plain-{number}"
    rng, client, history = setting.rng(name), setting.client(name), setting.history
    sent = 0
    while not setting.stop.is_set():
        values = [make_value(setting.seed, name, sent + i, rng.randrange(40, 2000)) for i in range(rng.randrange(1, 6))]
        sent += len(values)
        acks, partition = rng.choice((0, 1, -1, -1)), rng.randrange(PARTITIONS)
        facts = {"topic": PLAIN, "partition": partition, "acks": acks, "values": [identity(v) for v in values]}
        history.add("invoke", name, "send", **facts)
        request = produce_request(PLAIN, partition, build_batch(values), acks)
        try:
            answer = await client.call(request, PRODUCE_VERSION, ProduceResponse, expect_answer=acks != 0)
        except Lost as error:
            history.add("info", name, "send", error=repr(error), **facts)
            await asyncio.sleep(0.05)
            continue
        if answer is None:
            history.add("info", name, "send", error="acks=0", **facts)
        else:
            result = answer.responses[0].partition_responses[0]
            if result.error_code:
                history.add("fail", name, "send", code=result.error_code, **facts)
            else:
                history.add("ok", name, "send", offset=result.base_offset, **facts)
        await asyncio.sleep(rng.random() * 0.01)


async def idempotent_producer(setting: Setting, number: int) -> None:
    """Sends each batch until it is answered, byte for byte the same, and now and then once more after that."""
    name = f"idempotent-{number}"
    rng, client, history = setting.rng(name), setting.client(name), setting.history
    producer_id = await init_producer(setting, client, name)
    sequences = [0] * PARTITIONS
    sent = 0
    previous: tuple[ProduceRequest, dict[str, object]] | None = None
    while not setting.stop.is_set() and producer_id is not None:
        partition = rng.randrange(PARTITIONS)
        values = [make_value(setting.seed, name, sent + i, rng.randrange(40, 4000)) for i in range(rng.randrange(1, 6))]
        sent += len(values)
        batch = build_batch(values, None, producer_id, 0, sequences[partition])
        sequences[partition] += len(values)
        facts: dict[str, object] = {
            "topic": IDEMPOTENT,
            "partition": partition,
            "acks": -1,
            "values": [identity(v) for v in values],
        }
        request = produce_request(IDEMPOTENT, partition, batch, -1)
        history.add("invoke", name, "send", **facts)
        repeats = 1 if rng.random() < 0.2 else 0
        while True:
            try:
                if previous is not None and rng.random() < 0.3:
                    await _repeat(history, client, name, previous)
                answer = await client.call(request, PRODUCE_VERSION, ProduceResponse)
            except Lost as error:
                history.add("info", name, "send", error=repr(error), **facts)
                if setting.stop.is_set():
                    return
                await asyncio.sleep(0.05)
                continue
            assert answer is not None
            result = answer.responses[0].partition_responses[0]
            if result.error_code in RETRIABLE:
                history.add("info", name, "send", error=f"code {result.error_code}", **facts)
                await asyncio.sleep(0.05)
                continue
            if result.error_code:
                history.add("fail", name, "send", code=result.error_code, **facts)
                producer_id, previous = await init_producer(setting, client, name), None
                sequences = [0] * PARTITIONS
                break
            history.add("ok", name, "send", offset=result.base_offset, **facts)
            if not repeats:
                previous = request, facts
                break
            repeats -= 1
        await asyncio.sleep(rng.random() * 0.01)


async def _repeat(
    history: History, client: WireClient, name: str, previous: tuple[ProduceRequest, dict[str, object]]
) -> None:
    """Sends the batch before once more: one of the last five has to be answered with its first offset, for ever."""
    request, facts = previous
    answer = await client.call(request, PRODUCE_VERSION, ProduceResponse)
    assert answer is not None
    result = answer.responses[0].partition_responses[0]
    if result.error_code == 0:
        history.add("ok", name, "send", offset=result.base_offset, **facts)
    elif result.error_code not in RETRIABLE:
        history.add("fail", name, "send", code=result.error_code, **facts)


async def newcomer(setting: Setting) -> None:
    """Asks for producer ids, one after the other."""
    client = setting.client("newcomer")
    number = 0
    while not setting.stop.is_set():
        await init_producer(setting, client, f"newcomer-{number}")
        number += 1
        await asyncio.sleep(0.2)


async def init_producer(setting: Setting, client: WireClient, name: str) -> int | None:
    """A new producer id, or None when the run ends before there is one."""
    while not setting.stop.is_set():
        try:
            answer = await client.call(
                InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60000), 4, InitProducerIdResponse
            )
        except Lost:
            await asyncio.sleep(0.1)
            continue
        assert answer is not None
        if answer.error_code == 0:
            setting.history.add("ok", name, "init-producer", producer_id=answer.producer_id)
            return answer.producer_id
        await asyncio.sleep(0.1)
    return None


async def reader(setting: Setting, topic: str, partition: int) -> None:
    """Reads one partition from the start, without a group, and notes every record it sees."""
    name = f"reader-{topic}-{partition}"
    client, history = setting.client(name), setting.history
    offset = 0
    while not setting.stop.is_set():
        try:
            data = await fetch(client, topic, partition, offset, wait_ms=200)
        except Lost:
            await asyncio.sleep(0.05)
            continue
        if data is None:
            await asyncio.sleep(0.05)
            continue
        code, records, log_start = data
        if code == 1:
            # Out of range is only true when records were deleted below.
            history.add("ok", name, "out-of-range", topic=topic, partition=partition, offset=offset, start=log_start)
            offset = max(offset, log_start)
            continue
        for record in records:
            if record.offset >= offset:
                facts = {"offset": record.offset, "value": identity(record.value), "as_sent": record.is_as_sent}
                history.add("ok", name, "read", topic=topic, partition=partition, **facts)
                offset = record.offset + 1


async def fetch(
    client: WireClient, topic: str, partition: int, offset: int, wait_ms: int, isolation: int = 0
) -> tuple[int, list[StoredRecord], int] | None:
    """Error code, records and log start offset; None for an answer without the partition."""
    request = FetchRequest(
        max_wait_ms=wait_ms,
        min_bytes=1,
        max_bytes=2**22,
        isolation_level=isolation,
        topics=[
            FetchTopic(
                topic=topic,
                partitions=[FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=2**21)],
            )
        ],
    )
    answer = await client.call(request, FETCH_VERSION, FetchResponse)
    assert answer is not None
    if not answer.responses:
        return None
    data = answer.responses[0].partitions[0]
    records = read_batches(bytes(data.records or b"")) if not data.error_code else []
    return data.error_code, records, data.log_start_offset


async def committer(setting: Setting, number: int) -> None:
    """Commits rising offsets for a group without members, and reads them back."""
    name = f"committer-{number}"
    rng, client, history = setting.rng(name), setting.client(name), setting.history
    committed = [0] * PARTITIONS
    while not setting.stop.is_set():
        partition = rng.randrange(PARTITIONS)
        committed[partition] += rng.randrange(1, 4)
        offset = committed[partition]
        facts = {"group": name, "topic": PLAIN, "partition": partition, "offset": offset}
        row = OffsetCommitRequestPartition(
            partition_index=partition,
            committed_offset=offset,
            committed_leader_epoch=0,
            committed_metadata=f"m{offset}",
        )
        request = OffsetCommitRequest(
            group_id=name,
            generation_id_or_member_epoch=-1,
            topics=[OffsetCommitRequestTopic(name=PLAIN, partitions=[row])],
        )
        history.add("invoke", name, "commit", **facts)
        try:
            answer = await client.call(request, OFFSET_COMMIT_VERSION, OffsetCommitResponse)
            assert answer is not None
            code = answer.topics[0].partitions[0].error_code
            history.add("fail" if code else "ok", name, "commit", code=code, **facts)
            await fetch_committed(setting, client, name)
        except Lost as error:
            history.add("info", name, "commit", error=repr(error), **facts)
            await asyncio.sleep(0.05)
        await asyncio.sleep(rng.random() * 0.02)


async def fetch_committed(
    setting: Setting,
    client: WireClient,
    group: str,
    topic: str = PLAIN,
    partitions: int = PARTITIONS,
    worker: str | None = None,
) -> dict[int, int]:
    """What the group has committed, by partition; nothing for what the broker refuses to tell now."""
    request = OffsetFetchRequest(
        group_id=group,
        topics=[OffsetFetchRequestTopic(name=topic, partition_indexes=list(range(partitions)))],
        require_stable=False,
    )
    worker = worker or group
    setting.history.add("invoke", worker, "fetch-committed", group=group)
    answer = await client.call(request, OFFSET_FETCH_VERSION, OffsetFetchResponse)
    assert answer is not None
    if answer.error_code:
        return {}
    for row in answer.topics[0].partitions:
        if row.error_code == 0 and row.metadata not in (None, "", f"m{row.committed_offset}"):
            raise AssertionError(f"offset {row.committed_offset} came back with the metadata {row.metadata!r}")
        facts = {"topic": topic, "partition": row.partition_index, "offset": row.committed_offset}
        if row.error_code == 0:
            setting.history.add("ok", worker, "fetch-committed", group=group, **facts)
    return {row.partition_index: row.committed_offset for row in answer.topics[0].partitions if not row.error_code}


async def committed_offset(client: WireClient, group: str, topic: str, deadline: float) -> int:
    """What the group has committed for partition 0, once no open transaction can change it; -1 for nothing, and
    ``STILL_UNSTABLE`` when a transaction can still change it at the deadline."""
    row = OffsetFetchRequestTopic(name=topic, partition_indexes=[0])
    request = OffsetFetchRequest(group_id=group, topics=[row], require_stable=True)
    while True:
        answer = await client.call(request, OFFSET_FETCH_VERSION, OffsetFetchResponse)
        assert answer is not None
        if answer.topics[0].partitions[0].error_code != UNSTABLE_OFFSET_COMMIT:
            return answer.topics[0].partitions[0].committed_offset
        if time.monotonic() > deadline:
            return STILL_UNSTABLE
        await asyncio.sleep(0.2)


async def watcher(setting: Setting) -> None:
    """Asks for the ends of every partition, again and again."""
    name = "watcher"
    client, history = setting.client(name), setting.history
    while not setting.stop.is_set():
        for topic in TOPICS:
            for partition in range(PARTITIONS):
                for which, timestamp in (("end", -1), ("start", -2)):
                    row = ListOffsetsPartition(partition_index=partition, timestamp=timestamp)
                    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[row])])
                    try:
                        answer = await client.call(request, LIST_OFFSETS_VERSION, ListOffsetsResponse)
                    except Lost:
                        await asyncio.sleep(0.05)
                        continue
                    assert answer is not None
                    found = answer.topics[0].partitions[0]
                    if found.error_code == 0:
                        history.add(
                            "ok", name, "offsets", topic=topic, partition=partition, which=which, offset=found.offset
                        )
        await asyncio.sleep(0.1)


async def deleter(setting: Setting) -> None:
    """Writes into a topic and deletes from its start."""
    name = "deleter"
    rng, client, history = setting.rng(name), setting.client(name), setting.history
    sent, ends = 0, [0] * PARTITIONS
    while not setting.stop.is_set():
        partition = rng.randrange(PARTITIONS)
        values = [make_value(setting.seed, name, sent + i, 3000) for i in range(8)]
        sent += len(values)
        facts = {"topic": TRIMMED, "partition": partition, "acks": -1, "values": [identity(v) for v in values]}
        history.add("invoke", name, "send", **facts)
        try:
            request = produce_request(TRIMMED, partition, build_batch(values), -1)
            answer = await client.call(request, PRODUCE_VERSION, ProduceResponse)
            assert answer is not None
            result = answer.responses[0].partition_responses[0]
            if result.error_code:
                history.add("fail", name, "send", code=result.error_code, **facts)
                await asyncio.sleep(0.05)
                continue
            history.add("ok", name, "send", offset=result.base_offset, **facts)
            ends[partition] = result.base_offset + len(values)
            if rng.random() < 0.3:
                await _delete(setting, client, partition, rng.randrange(ends[partition] + 1))
        except Lost as error:
            history.add("info", name, "send", error=repr(error), **facts)
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.02)


async def _delete(setting: Setting, client: WireClient, partition: int, offset: int) -> None:
    row = DeleteRecordsPartition(partition_index=partition, offset=offset)
    request = DeleteRecordsRequest(topics=[DeleteRecordsTopic(name=TRIMMED, partitions=[row])], timeout_ms=5000)
    facts = {"topic": TRIMMED, "partition": partition, "offset": offset}
    setting.history.add("invoke", "deleter", "delete", **facts)
    answer = await client.call(request, 1, DeleteRecordsResponse)
    assert answer is not None
    result = answer.topics[0].partitions[0]
    if result.error_code == 0:
        setting.history.add("ok", "deleter", "delete", low=result.low_watermark, **facts)
