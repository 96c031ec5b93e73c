"""Bad input, row by row: what a client sees, and that the broker and its data are none the worse.

``test_framing`` and ``test_limits`` have the rows about bytes and connections, ``tests/generated/test_robustness``
every message; this is the whole broker behind a socket.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from struct import pack

import pytest
from kafka_protocol.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from kafka_protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.delete_groups import DeleteGroupsRequest, DeleteGroupsResponse
from kafka_protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse
from kafka_protocol.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from kafka_protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from kafka_protocol.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

from kafka_server.application import group_coordinator
from kafka_server.application.group_coordinator import GroupSettings
from kafka_server.application.topic_service import NewTopic
from kafka_server.domain.errors import (
    CoordinatorNotAvailable,
    CorruptMessage,
    InvalidRecord,
    InvalidTopic,
    MessageTooLarge,
)
from kafka_server.domain.message import Message
from kafka_server.domain.record_batch import HEADER_SIZE
from kafka_server.testing.broker import running_broker
from tests.domain.batches import batch, patched
from tests.wire.conftest import Peer, request

METADATA, PRODUCE, LIST_GROUPS, CREATE_TOPICS = 3, 0, 16, 19
GZIP = 1
NO_KEYS = batch(Message(None, b"value"))


@pytest.fixture
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """What is tested here lies above the loop: one is enough."""
    return asyncio.DefaultEventLoopPolicy()


class House:
    """A broker that keeps its data in ``folder``, with the topics ``orders`` and ``recompressed``."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self._host, _, port = bootstrap.rpartition(":")
        self._port = int(port)
        self.folder = folder

    async def connect(self) -> Peer:
        return Peer(*await asyncio.open_connection(self._host, self._port))

    async def ask(self, key: int, version: int, body: bytes) -> bytes:
        peer = await self.connect()
        await peer.send(request(key, body, version=version))
        _, answer = await peer.receive()
        peer.writer.close()
        return answer

    async def produce(self, records: bytes, topic: str = "orders") -> tuple[int, int]:
        """Error code and base offset that Produce v7 answers for partition 0."""
        data = [TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=0, records=records)])]
        asked = ProduceRequest(acks=-1, timeout_ms=1_000, topic_data=data)
        # By hand: ``request`` takes the header of its fake APIs, which are flexible from version 2 on.
        frame = pack(">hhih", PRODUCE, 7, 1, -1) + asked.encode(7)
        peer = await self.connect()
        await peer.send(len(frame).to_bytes(4, "big") + frame)
        _, answer = await peer.receive()
        peer.writer.close()
        (part,) = ProduceResponse.decode(answer, 7).responses[0].partition_responses
        return part.error_code, part.base_offset

    async def is_well(self, next_offset: int = 0) -> bool:
        """Whether the next good batch gets the offset that it would have got without the bad input."""
        return await self.produce(batch()) == (0, next_offset)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    settings = {"storage": "disk", "log.dirs": str(tmp_path / "data"), "flush": "os"}
    async with running_broker(**settings) as broker:
        topics = [NewTopic("orders"), NewTopic("recompressed", configs={"compression.type": "lz4"})]
        await broker.broker.services.topics.create_many(topics)
        yield House(broker.bootstrap, tmp_path)


def metadata_v1(topics: bytes) -> bytes:
    return request(METADATA, topics, version=1)


def metadata_v9(body: bytes) -> bytes:
    return request(METADATA, body, version=9)


@pytest.mark.parametrize(
    "frame",
    [
        metadata_v1(pack(">i", 2**31 - 1)),
        metadata_v1(pack(">i", 1)),
        metadata_v1(pack(">ih", 1, 50) + b"orders"),
        metadata_v1(pack(">ih", 1, 6) + b"ord\xffrs"),
        request(LIST_GROUPS, b"\0"),
        metadata_v9(b"\xff\xff\xff\xff\xff\xff"),
        metadata_v9(b"\x01\0\0\0\xff\xff\xff\xff\x0f"),
        metadata_v9(b"\xff\xff\xff\xff\x0f"),
    ],
    ids=[
        "a count above the bytes left",
        "truncated",
        "a string that runs past the end",
        "invalid UTF-8",
        "trailing bytes",
        "an overlong varint",
        "a giant number of tagged fields",
        "a giant compact count",
    ],
)
async def test_a_body_that_breaks_the_schema_closes_its_connection_only(house: House, frame: bytes) -> None:
    neighbour = await house.connect()
    peer = await house.connect()
    await peer.send(frame)
    assert await peer.is_closed()
    await neighbour.send(metadata_v1(pack(">i", 0)))
    assert (await neighbour.receive())[0] == 1
    neighbour.writer.close()
    assert await house.is_well()


def bomb(size: int) -> bytes:
    """A batch that claims one record and holds a gzip block that grows a thousandfold."""
    block = gzip.compress(bytes(size))
    good = batch(codec=GZIP)
    whole = bytearray(good[:HEADER_SIZE] + block)
    whole[8:12] = pack(">i", len(whole) - 12)
    return patched(bytes(whole), 21, "h", GZIP)


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (patched(batch(), 17, "I", 0, fix_crc=False), CorruptMessage.code),
        (patched(batch(count=3), 57, "i", 2), InvalidRecord.code),
        (patched(batch(count=3), 57, "i", -1), InvalidRecord.code),
        (patched(batch(count=3), 23, "i", 5), InvalidRecord.code),
        (patched(batch(), 21, "h", 0x20), InvalidRecord.code),
        (patched(batch(), 16, "b", 9), InvalidRecord.code),
        (patched(batch(), 8, "i", -5), InvalidRecord.code),
        (batch(Message(None, bytes(2_000_000))), MessageTooLarge.code),
    ],
    ids=[
        "a wrong CRC",
        "a record count that the records contradict",
        "a negative record count",
        "an offset delta that does not fit the count",
        "a control batch from a client",
        "a magic that never was",
        "a negative length",
        "a batch above max.message.bytes",
    ],
)
async def test_a_batch_that_lies_is_refused_before_the_append(house: House, records: bytes, code: int) -> None:
    assert await house.produce(records) == (code, -1)
    assert await house.is_well()


async def test_a_decompression_bomb_is_refused_where_the_broker_would_have_to_decompress_it(house: House) -> None:
    assert await house.produce(bomb(1 << 26), "recompressed") == (InvalidRecord.code, -1)
    assert await house.is_well()


async def test_a_batch_above_the_limit_is_refused_before_it_is_decompressed(house: House) -> None:
    # Were it decompressed first, the block of nonsense would make it an INVALID_RECORD.
    whole = bytearray(batch(codec=GZIP)[:HEADER_SIZE] + bytes(2_000_000))
    whole[8:12] = pack(">i", len(whole) - 12)
    assert await house.produce(patched(bytes(whole), 21, "h", GZIP)) == (MessageTooLarge.code, -1)


BAD_NAMES = ["../x", "", ".", "..", "a" * 250, "a/b", "a b", "a\0b", "über", "/etc/passwd"]


@pytest.mark.parametrize("name", BAD_NAMES)
async def test_a_name_that_no_folder_may_bear_is_refused_wherever_topics_come_into_being(
    house: House, name: str
) -> None:
    before = sorted(house.folder.rglob("*"))
    asked = CreateTopicsRequest(topics=[CreatableTopic(name=name, num_partitions=1, replication_factor=1)])
    created = CreateTopicsResponse.decode(await house.ask(CREATE_TOPICS, 1, asked.encode(1)), 1)
    assert [topic.error_code for topic in created.topics] == [InvalidTopic.code]

    wanted = MetadataRequest(topics=[MetadataRequestTopic(name=name)], allow_auto_topic_creation=True)
    told = MetadataResponse.decode(await house.ask(METADATA, 1, wanted.encode(1)), 1)
    assert [topic.error_code for topic in told.topics] == [InvalidTopic.code]

    assert sorted(house.folder.rglob("*")) == before


# ---- more groups than the broker wants to remember ---------------------------------------------------------------


JOIN_GROUP, HEARTBEAT_68, OFFSET_COMMIT, DELETE_GROUPS = 11, 68, 8, 42


class Strangers:
    """Asks one broker for ever more groups; each question gives the error code that a client reads."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def join(self, group_id: str) -> int:
        protocols = [JoinGroupRequestProtocol(name="range", metadata=b"")]
        asked = JoinGroupRequest(group_id, 30_000, protocol_type="consumer", protocols=protocols)
        return JoinGroupResponse.decode(await self._house.ask(JOIN_GROUP, 0, asked.encode(0)), 0).error_code

    async def join_by_heartbeat(self, group_id: str) -> int:
        asked = ConsumerGroupHeartbeatRequest(
            group_id, rebalance_timeout_ms=30_000, subscribed_topic_names=["orders"], topic_partitions=[]
        )
        # By hand: the version is flexible, and the fake APIs of ``request`` are not in version 0.
        frame = pack(">hhih", HEARTBEAT_68, 0, 1, -1) + b"\0" + asked.encode(0)
        peer = await self._house.connect()
        await peer.send(len(frame).to_bytes(4, "big") + frame)
        _, answer = await peer.receive()
        peer.writer.close()
        return ConsumerGroupHeartbeatResponse.decode(answer[1:], 0).error_code

    async def commit(self, group_id: str) -> int:
        partitions = [OffsetCommitRequestPartition(partition_index=0, committed_offset=1)]
        topics = [OffsetCommitRequestTopic(name="orders", partitions=partitions)]
        asked = OffsetCommitRequest(group_id, topics=topics)
        answer = OffsetCommitResponse.decode(await self._house.ask(OFFSET_COMMIT, 1, asked.encode(1)), 1)
        return answer.topics[0].partitions[0].error_code

    async def delete(self, group_id: str) -> int:
        asked = DeleteGroupsRequest(groups_names=[group_id])
        answer = DeleteGroupsResponse.decode(await self._house.ask(DELETE_GROUPS, 0, asked.encode(0)), 0)
        return answer.results[0].error_code


@pytest.mark.parametrize("way", ["join", "join_by_heartbeat", "commit"])
async def test_a_group_too_many_is_refused_and_counted_while_those_that_are_there_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(group_coordinator, "GroupSettings", partial(GroupSettings, groups_max=2))
    async with running_broker(**{"metrics.port": "0"}) as broker:
        await broker.broker.services.topics.create_many([NewTopic("orders")])
        house = House(broker.bootstrap, tmp_path)
        strangers = Strangers(house)
        ask = getattr(strangers, way)
        assert [await strangers.commit(group) for group in ("first", "second")] == [0, 0]

        assert [await ask(f"third-{number}") for number in range(3)] == [CoordinatorNotAvailable.code] * 3
        assert await strangers.commit("first") == 0
        page = await scrape(broker.broker.metrics_address)
        assert "\nkafka_coordinator_group_groupmetadatamanager_groupsrefused_total 3\n" in page

        assert await strangers.delete("first") == 0
        assert await ask("third") == 0
        assert await house.is_well()


async def scrape(address: str | None) -> str:
    """The metrics page."""
    assert address is not None
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    page = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return page.decode()
