"""Owns: what clients do to logs that change under them - retention, compaction, deletion and re-creation of a topic.
Must never know: which faults come, what is right.

Segments are rolled by time, several a second, so that retention and compaction always have something to do. Readers
jump to any position, at both isolation levels, and note of each answer what it covers. The topic that is deleted and
created again is read by its id, within fetch sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from aiokafka.record.memory_records import MemoryRecords
from kafka_protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from kafka_protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse, DeleteTopicState
from kafka_protocol.messages.end_txn import EndTxnRequest, EndTxnResponse
from kafka_protocol.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    PartitionData,
)
from kafka_protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

from tests.crash.history import Dress, identity, make_value
from tests.crash.transaction_workers import AGAIN, Owner, Refused, Stopped, TransactionalProducer
from tests.crash.wire_client import Lost, StoredRecord, WireClient, build_batch, read_batches, read_committed
from tests.crash.workers import FETCH_VERSION, LIST_OFFSETS_VERSION, PRODUCE_VERSION, RETRIABLE, Setting

RETAINED, COMPACTED, SHORT_LIVED = "retained", "compacted", "short-lived"
CHANGING = (RETAINED, COMPACTED)
KEYS = 6
ONCE = 0.1
"""The share of records whose keys never come again, so that compaction has to keep them for ever."""
OUT_OF_RANGE, UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID = 1, 3, 100, 103
ALREADY_EXISTS = 36
LOST_TOPIC = frozenset({UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID, INCONSISTENT_TOPIC_ID})
NO_SUCH_SESSION = frozenset({70, 71, 106})
FETCH_BY_ID, PRODUCE_BY_ID = 17, 13

CONFIGS = {
    RETAINED: {"segment.ms": "400", "retention.ms": "1200", "file.delete.delay.ms": "100"},
    COMPACTED: {
        "cleanup.policy": "compact",
        "segment.ms": "300",
        "min.cleanable.dirty.ratio": "0.01",
        "delete.retention.ms": "500",
        "file.delete.delay.ms": "100",
    },
    SHORT_LIVED: {},
}


def topics() -> list[CreatableTopic]:
    """What is created before the workers begin."""
    return [_creatable(name) for name in CHANGING]


def _creatable(name: str) -> CreatableTopic:
    configs = [CreatableTopicConfig(key, value) for key, value in CONFIGS[name].items()]
    return CreatableTopic(name=name, num_partitions=1, replication_factor=1, configs=configs)


def everyone(setting: Setting) -> list[Coroutine[Any, Any, None]]:
    """The workers."""
    garden = Garden()
    found: list[Coroutine[Any, Any, None]] = [gardener(setting, garden)]
    for isolation in (0, 1):
        found.append(visitor(setting, garden, isolation))
        found += [roamer(setting, topic, isolation) for topic in CHANGING]
    for topic in CHANGING:
        found += [writer(setting, topic), TransactionalWriter(setting, topic).run()]
    return found


# ---- writers ---------------------------------------------------------------------------------------------------------


def dressed(values: list[bytes], keys: list[str]) -> list[Dress]:
    return [Dress(key.encode(), (), int(value.split(b":", 4)[3])) for value, key in zip(values, keys, strict=True)]


async def writer(setting: Setting, topic: str) -> None:
    """Records with few keys, and some with a key of their own, each batch once."""
    name = f"writer-{topic}"
    rng, client = setting.rng(name), setting.client(name)
    sent = 0
    while not setting.stop.is_set():
        count = rng.randrange(1, 4)
        values = [make_value(setting.seed, name, sent + i, rng.randrange(60, 1_200)) for i in range(count)]
        keys = [f"once-{sent + i}" if rng.random() < ONCE else f"k{rng.randrange(KEYS)}" for i in range(count)]
        sent += count
        data = [PartitionProduceData(index=0, records=build_batch(values, dressed(values, keys)))]
        request = ProduceRequest(
            acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(name=topic, partition_data=data)]
        )
        facts = {"topic": topic, "keys": keys, "values": [identity(value) for value in values], "txn": None}
        await _send(setting, client, name, request, PRODUCE_VERSION, facts)
        await asyncio.sleep(rng.random() * 0.04)


async def _send(
    setting: Setting, client: WireClient, name: str, request: ProduceRequest, version: int, facts: dict[str, Any]
) -> int:
    """Sends once and notes what came of it; returns the error code, -1 when it is not known."""
    setting.history.add("invoke", name, "log-send", **facts)
    try:
        answer = await client.call(request, version, ProduceResponse)
    except Lost as error:
        setting.history.add("info", name, "log-send", error=repr(error), **facts)
        await asyncio.sleep(0.05)
        return -1
    assert answer is not None
    result = answer.responses[0].partition_responses[0]
    facts = {**facts, "code": result.error_code, "offset": result.base_offset}
    setting.history.add("fail" if result.error_code else "ok", name, "log-send", **facts)
    return result.error_code


class TransactionalWriter(TransactionalProducer):
    """Commits and aborts records with the same keys, under the second protocol."""

    def __init__(self, setting: Setting, topic: str) -> None:
        super().__init__(setting, 1, f"txn-writer-{topic}")
        self._topic = topic

    async def run(self) -> None:
        number = 0
        try:
            owner = await self._initialise()
            while True:
                owner = await self._one(owner, f"{self.name}/{number}")
                number += 1
                await asyncio.sleep(self._rng.random() * 0.05)
        except Stopped:
            return

    async def _one(self, owner: Owner, label: str) -> Owner:
        is_commit = self._rng.random() < 0.5
        asked_to_commit = False
        try:
            for _ in range(self._rng.randrange(1, 3)):
                await self._append(owner, label)
            asked_to_commit = is_commit
            following = await self._finish_one(owner, is_commit)
        except Refused:
            following = await self._initialise()
            if asked_to_commit:
                return following  # nobody knows how it ended
            is_commit = False
        self._history.add("ok", self.name, "log-txn", txn=label, committed=is_commit)
        return following

    async def _append(self, owner: Owner, label: str) -> None:
        value, key = self._value(), f"k{self._rng.randrange(KEYS)}"
        batch = build_batch(
            [value], dressed([value], [key]), *self._identity(owner), owner.sequences[0], is_transactional=True
        )
        owner.sequences[0] += 1
        data = TopicProduceData(name=self._topic, partition_data=[PartitionProduceData(index=0, records=batch)])
        request = ProduceRequest(transactional_id=self.name, acks=-1, timeout_ms=5000, topic_data=[data])
        facts = {"topic": self._topic, "keys": [key], "values": [identity(value)], "txn": label}
        while not self._setting.stop.is_set():
            code = await _send(self._setting, self._client, self.name, request, 12, facts)
            if code == 0:
                return
            if code > 0 and code not in AGAIN:
                raise Refused(f"Produce was answered with {code}")
            await asyncio.sleep(0.05)
        raise Stopped

    async def _finish_one(self, owner: Owner, is_commit: bool) -> Owner:
        while True:
            answer = await self._ask(EndTxnRequest(self.name, *self._identity(owner), is_commit), 5, EndTxnResponse)
            if await self._is_done(answer.error_code, "EndTxn"):
                return Owner(answer.producer_id, answer.producer_epoch)


# ---- readers ---------------------------------------------------------------------------------------------------------


async def roamer(setting: Setting, topic: str, isolation: int) -> None:
    """Reads on, or from anywhere, in pieces of any size."""
    name = f"roamer-{topic}-{isolation}"
    rng, client = setting.rng(name), setting.client(name)
    offset, size_max = 0, 1
    while not setting.stop.is_set():
        try:
            if rng.random() < 0.1:
                size_max = rng.choice((1, 5_000, 1 << 20))
                start, end = await bounds(client, topic)
                if start >= 0 and end >= 0:
                    offset = max(0, rng.randrange(start - 20, end + 1))
            offset = await read_once(setting, client, name, topic, offset, isolation, size_max)
        except Lost:
            await asyncio.sleep(0.05)
        await asyncio.sleep(rng.random() * 0.03)


async def read_once(
    setting: Setting, client: WireClient, name: str, topic: str, offset: int, isolation: int, size_max: int
) -> int:
    """One fetch, noted; returns where the reader goes on. Raises one of ``Lost``."""
    part = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=size_max)
    request = FetchRequest(
        max_wait_ms=100,
        min_bytes=1,
        max_bytes=1 << 20,
        isolation_level=isolation,
        topics=[FetchTopic(topic=topic, partitions=[part])],
    )
    answer = await client.call(request, FETCH_VERSION, FetchResponse)
    assert answer is not None
    data = answer.responses[0].partitions[0]
    facts = {"topic": topic, "offset": offset, "isolation": isolation}
    if data.error_code == OUT_OF_RANGE:
        start, end = await bounds(client, topic)
        if start >= 0 and end >= 0:
            setting.history.add("ok", name, "log-out-of-range", start=start, end=end, **facts)
            return start
    elif not data.error_code:
        covered = _covered(bytes(data.records or b""))
        held = [record.offset for record in _shown(data, 0) if record.offset >= offset]
        shown = [
            [record.offset, identity(record.value)] for record in _shown(data, isolation) if record.offset >= offset
        ]
        readable = data.last_stable_offset if isolation else data.high_watermark
        setting.history.add("ok", name, "log-read", covered=covered, held=held, shown=shown, readable=readable, **facts)
        return max(offset, covered[-1][1] if covered else offset)
    return offset


def _covered(data: bytes) -> list[tuple[int, int]]:
    """Base offset of each batch, and the offset behind it."""
    found = []
    records = MemoryRecords(data)
    while records.has_next():
        batch = records.next_batch()
        found.append((batch.base_offset, batch.next_offset))
    return found


def _shown(data: PartitionData, isolation: int) -> list[StoredRecord]:
    records = bytes(data.records or b"")
    if not isolation:
        return [record for record in read_batches(records) if not record.is_control]
    return read_committed(records, [(each.producer_id, each.first_offset) for each in data.aborted_transactions or ()])[
        0
    ]


async def bounds(client: WireClient, topic: str) -> tuple[int, int]:
    """Log start and high watermark, asked in this order; -1 where the broker refuses for now."""
    found = []
    for timestamp in (-2, -1):
        row = ListOffsetsPartition(partition_index=0, timestamp=timestamp)
        request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[row])])
        answer = await client.call(request, LIST_OFFSETS_VERSION, ListOffsetsResponse)
        assert answer is not None
        part = answer.topics[0].partitions[0]
        found.append(-1 if part.error_code else part.offset)
    return found[0], found[1]


# ---- a topic that comes and goes -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Garden:
    """What grows now: the topic's id and how many were before; None while there is none."""

    topic_id: bytes | None = None
    number: int = -1
    ids: dict[bytes, int] = field(default_factory=dict)


async def gardener(setting: Setting, garden: Garden) -> None:
    """Creates a topic, writes into it by its id, deletes it, and begins anew under the same name."""
    name = "gardener"
    rng, client = setting.rng(name), setting.client(name)
    sent = 0
    while not setting.stop.is_set():
        try:
            await _plant(setting, client, garden)
        except Lost:
            await asyncio.sleep(0.05)
            await _clear(setting, client, garden)
            continue
        for _ in range(rng.randrange(5, 40)):
            values = [make_value(setting.seed, f"plant-{garden.number}", sent + i, 200) for i in range(3)]
            sent += len(values)
            topic_id = garden.topic_id or bytes(16)
            data = [PartitionProduceData(index=0, records=build_batch(values))]
            request = ProduceRequest(
                acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(topic_id=topic_id, partition_data=data)]
            )
            facts = {"topic": SHORT_LIVED, "plant": garden.number, "values": [identity(value) for value in values]}
            code = await _send(setting, client, name, request, PRODUCE_BY_ID, facts)
            assert code <= 0 or code in RETRIABLE, f"Produce by topic id was answered with {code}"
            await asyncio.sleep(rng.random() * 0.05)
            if setting.stop.is_set():
                return
        await _clear(setting, client, garden)


async def _plant(setting: Setting, client: WireClient, garden: Garden) -> None:
    request = CreateTopicsRequest(topics=[_creatable(SHORT_LIVED)], timeout_ms=5000)
    answer = await client.call(request, 7, CreateTopicsResponse)
    assert answer is not None
    if answer.topics[0].error_code:
        raise ConnectionError(f"the topic could not be created: {answer.topics[0].error_code}")
    garden.number += 1
    garden.topic_id = answer.topics[0].topic_id
    garden.ids[garden.topic_id] = garden.number
    setting.history.add("ok", "gardener", "planted", plant=garden.number)


async def _clear(setting: Setting, client: WireClient, garden: Garden) -> None:
    while True:
        try:
            request = DeleteTopicsRequest(topics=[DeleteTopicState(SHORT_LIVED)], timeout_ms=5000)
            answer = await client.call(request, 6, DeleteTopicsResponse)
        except Lost:
            await asyncio.sleep(0.05)
            continue
        assert answer is not None
        if answer.responses[0].error_code in (0, UNKNOWN_TOPIC):
            break
    garden.topic_id = None
    setting.history.add("ok", "gardener", "cleared", plant=garden.number)


async def visitor(setting: Setting, garden: Garden, isolation: int) -> None:
    """Follows the topic within fetch sessions, from each one's start, and asks for those that are gone, too."""
    name = f"visitor-{isolation}"
    rng, client = setting.rng(name), setting.client(name)
    session = Visit()
    while not setting.stop.is_set():
        try:
            if garden.topic_id is not None and garden.topic_id not in session.offsets:
                session.offsets[garden.topic_id] = 0
            if session.offsets:
                await _visit(setting, client, name, garden, session, isolation)
        except Lost:
            session.session_id = 0
            await asyncio.sleep(0.05)
        while len(session.offsets) > 3:  # an id that is gone stays for a while
            gone = next(iter(session.offsets))
            del session.offsets[gone]
            session.told.pop(gone, None)
            session.forgotten.append(gone)
        await asyncio.sleep(rng.random() * 0.03)


@dataclass(slots=True)
class Visit:
    """A fetch session as its client knows it."""

    session_id: int = 0
    epoch: int = 0
    offsets: dict[bytes, int] = field(default_factory=dict)
    """Where the reader is, by topic id."""
    told: dict[bytes, int] = field(default_factory=dict)
    """What the broker was told of that."""
    forgotten: list[bytes] = field(default_factory=list)


async def _visit(setting: Setting, client: WireClient, name: str, garden: Garden, visit: Visit, isolation: int) -> None:
    if not visit.session_id:
        visit.epoch, visit.told, visit.forgotten = 0, {}, []
    news = {topic_id: at for topic_id, at in visit.offsets.items() if visit.told.get(topic_id) != at}
    request = FetchRequest(
        max_wait_ms=100,
        min_bytes=1,
        max_bytes=1 << 20,
        isolation_level=isolation,
        session_id=visit.session_id,
        session_epoch=visit.epoch,
        topics=[
            FetchTopic(topic_id=topic_id, partitions=[FetchPartition(0, fetch_offset=at, partition_max_bytes=1 << 18)])
            for topic_id, at in news.items()
        ],
        forgotten_topics_data=[ForgottenTopic(topic_id=topic_id, partitions=[0]) for topic_id in visit.forgotten],
    )
    plants = [garden.ids[topic_id] for topic_id in visit.offsets]
    setting.history.add("invoke", name, "visit", plants=plants)
    answer = await client.call(request, FETCH_BY_ID, FetchResponse)
    assert answer is not None
    if answer.error_code in NO_SUCH_SESSION:
        visit.session_id = 0
        return
    visit.session_id, visit.epoch = answer.session_id, visit.epoch + 1
    visit.told |= news
    visit.forgotten = []
    told = []
    for topic in answer.responses:
        data = topic.partitions[0]
        at = visit.offsets[topic.topic_id]
        records = [] if data.error_code else [record for record in _shown(data, isolation) if record.offset >= at]
        shown = [[record.offset, identity(record.value)] for record in records]
        told.append({"plant": garden.ids[topic.topic_id], "code": data.error_code, "offset": at, "shown": shown})
        if records:
            visit.offsets[topic.topic_id] = records[-1].offset + 1
    setting.history.add("ok", name, "visit", plants=plants, told=told)


# ---- the final state -------------------------------------------------------------------------------------------------


async def read_final(setting: Setting, heal_s: float) -> dict[str, list[tuple[int, str]]]:
    """What is left of the topics that can be judged in the end. Raises TimeoutError."""
    final = {COMPACTED: await read_whole(setting, COMPACTED, heal_s)}
    lives = [event["op"] for event in setting.history.events if event["op"] in ("planted", "cleared")]
    if lives[-1:] == ["planted"]:  # else the run ended between two lives of that topic
        final[SHORT_LIVED] = await read_whole(setting, SHORT_LIVED, heal_s)
    return final


async def read_whole(setting: Setting, topic: str, heal_s: float) -> list[tuple[int, str]]:
    """Offset and value of every committed record, from the log start on. Raises TimeoutError."""
    client = setting.client("final-" + topic)
    deadline = asyncio.get_running_loop().time() + heal_s
    found: list[tuple[int, str]] = []
    offset = -1
    while True:
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError(f"{topic} could not be read in time after the faults stopped")
        try:
            start, end = await bounds(client, topic)
            if offset < start:
                offset, found = start, []  # retention goes on
            if offset >= end >= 0:
                return found
            seen = len(setting.history.events)
            offset = await read_once(setting, client, "final", topic, offset, 1, 1 << 20)
        except Lost:
            await asyncio.sleep(0.1)
            continue
        for event in setting.history.events[seen:]:
            if event["worker"] == "final" and event["op"] == "log-read":
                found += [(at, value) for at, value in event["shown"]]
