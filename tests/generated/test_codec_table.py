"""The codec as a table: each row is read in both directions, cut at every byte, and with bytes behind it.

A reader learns the wire from the rows: which fields lie where, how null, empty and compact differ, where tags stand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from kafka_protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kafka_protocol.messages.consumer_group_heartbeat import Assignment as GroupAssignment
from kafka_protocol.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatResponse
from kafka_protocol.messages.describe_client_quotas import (
    DescribeClientQuotasResponse,
    EntityData,
    EntryData,
    ValueData,
)
from kafka_protocol.messages.fetch import FetchRequest, FetchResponse
from kafka_protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from kafka_protocol.messages.init_producer_id import InitProducerIdResponse
from kafka_protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kafka_protocol.messages.request_header import RequestHeader
from kafka_protocol.messages.response_header import ResponseHeader
from kafka_protocol.messages.sync_group import SyncGroupResponse
from kafka_protocol.wire import EncodeError, Message, ProtocolError


@dataclass(frozen=True, slots=True)
class Row:
    """One message in one version and its bytes, spaced for the eye."""

    title: str
    version: int
    message: Message
    text: str

    @property
    def data(self) -> bytes:
        return bytes.fromhex(self.text)


TOPIC_ID = bytes(range(16))
ID_TEXT = TOPIC_ID.hex()

TABLE = [
    Row("a header without a client id", 1, RequestHeader(18, 3, 7, None), "0012 0003 00000007 ffff"),
    # The client id keeps its two-byte length in the flexible header: a broker must be able to read it before it
    # knows whether the client's version is one of its own.
    Row("a flexible header", 2, RequestHeader(18, 3, 7, "ab"), "0012 0003 00000007 0002 6162 00"),
    Row("a flexible response header", 1, ResponseHeader(7), "00000007 00"),
    Row("a request without fields", 0, ApiVersionsRequest(), ""),
    Row("compact strings", 3, ApiVersionsRequest("ab", "1"), "03 6162 02 31 00"),
    Row("an error and no ranges", 0, ApiVersionsResponse(error_code=35), "0023 00000000"),
    Row("strings with two-byte lengths", 0, HeartbeatRequest("g", 5, "m"), "0001 67 00000005 0001 6d"),
    Row("a null string", 3, HeartbeatRequest("g", 5, "m", None), "0001 67 00000005 0001 6d ffff"),
    Row("a null compact string", 4, HeartbeatRequest("g", 5, "m", None), "02 67 00000005 02 6d 00 00"),
    Row("a run of fixed-size fields", 1, HeartbeatResponse(100, 25), "00000064 0019"),
    Row("v0: an empty array means all topics", 0, MetadataRequest([]), "00000000"),
    Row("v1: null means all topics", 1, MetadataRequest(None), "ffffffff"),
    Row("v1: and empty means none", 1, MetadataRequest([]), "00000000"),
    Row(
        "a topic by id",
        12,
        MetadataRequest([MetadataRequestTopic(topic_id=TOPIC_ID, name=None)], False, False, True),
        f"02 {ID_TEXT} 00 00 00 01 00",
    ),
    Row(
        "records are bytes with a length",
        3,
        ProduceRequest(None, -1, 1000, [TopicProduceData("t", partition_data=[PartitionProduceData(1, b"\1\2\3")])]),
        "ffff ffff 000003e8 00000001 0001 74 00000001 00000001 00000003 010203",
    ),
    Row(
        "null records",
        9,
        ProduceRequest(None, 1, 0, [TopicProduceData("t", partition_data=[PartitionProduceData(1, None)])]),
        "00 0001 00000000 02 02 74 02 00000001 00 00 00 00",
    ),
    Row(
        "a tagged string",
        12,
        FetchRequest("c", 1, None, 500, 1, 9, 0, 0, -1, [], [], "r"),
        "00000001 000001f4 00000001 00000009 00 00000000 ffffffff 01 01 02 72 01 00 02 02 63",
    ),
    Row("an empty fetch response", 7, FetchResponse(0, 0, 42, []), "00000000 0000 0000002a 00000000"),
    Row(
        "a nullable struct that is null",
        0,
        ConsumerGroupHeartbeatResponse(0, 0, None, "m", 1, 5000, None),
        "00000000 0000 00 02 6d 00000001 00001388 ff 00",
    ),
    Row(
        "a nullable struct that is there",
        0,
        ConsumerGroupHeartbeatResponse(0, 0, None, "m", 1, 5000, GroupAssignment([])),
        "00000000 0000 00 02 6d 00000001 00001388 01 01 00 00",
    ),
    Row(
        "a float64",
        0,
        DescribeClientQuotasResponse(0, 0, None, [EntryData([EntityData("u", None)], [ValueData("k", 1.5)])]),
        "00000000 0000 ffff 00000001 00000001 0001 75 ffff 00000001 0001 6b 3ff8000000000000",
    ),
    Row("bytes", 0, SyncGroupResponse(assignment=b"\1\2"), "0000 00000002 0102"),
    Row("an int64", 0, InitProducerIdResponse(0, 0, 4000, 3), "00000000 0000 0000000000000fa0 0003"),
]

IDS = [f"{row.title}: {row.message.message_name} v{row.version}" for row in TABLE]


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_a_message_is_written_as_its_bytes(row: Row) -> None:
    assert row.message.encode(row.version).hex(" ") == row.data.hex(" ")


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_bytes_are_read_as_the_message(row: Row) -> None:
    assert type(row.message).decode(row.data, row.version) == row.message


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_a_message_is_read_in_the_middle_of_a_buffer(row: Row) -> None:
    message, end = type(row.message).codec.decode_prefix(b"\xee\xee" + row.data + b"\xee", row.version, 2)
    assert (message, end) == (row.message, 2 + len(row.data))


@pytest.mark.parametrize("row", TABLE, ids=IDS)
def test_every_prefix_and_every_longer_frame_is_refused(row: Row) -> None:
    for end in range(len(row.data)):
        with pytest.raises(ProtocolError):
            type(row.message).decode(row.data[:end], row.version)
    with pytest.raises(ProtocolError) as caught:
        type(row.message).decode(row.data + b"\0", row.version)
    assert (caught.value.field, caught.value.offset) == ("(end)", len(row.data))


def test_an_unknown_tag_comes_back_as_it_was() -> None:
    data = bytes.fromhex("02 67 00000005 02 6d 00 02 05 01 aa c801 02 bbcc")
    request = HeartbeatRequest.decode(data, 4)
    assert request.unknown_tagged_fields == {5: b"\xaa", 200: b"\xbb\xcc"}
    assert request.encode(4) == data


def test_unknown_and_known_tags_are_written_in_the_order_of_their_numbers() -> None:
    request = FetchRequest("c", replica_id=1, unknown_tagged_fields={9: b"\x01"})
    assert request.encode(12).endswith(bytes.fromhex("02 00 02 02 63 09 01 01"))


def test_an_unknown_tag_must_not_bear_the_number_of_a_known_field() -> None:
    with pytest.raises(EncodeError, match="tag 0 is a known field"):
        FetchRequest("c", unknown_tagged_fields={0: b""}).encode(12)


def test_tags_have_to_rise() -> None:
    with pytest.raises(ProtocolError, match="tag 5 follows tag 5"):
        HeartbeatRequest.decode(bytes.fromhex("02 67 00000005 02 6d 00 02 05 00 05 00"), 4)


def test_a_field_that_the_version_lacks_is_dropped_when_the_schema_lets_it() -> None:
    assert HeartbeatResponse(throttle_time_ms=100, error_code=25).encode(0) == bytes.fromhex("0019")


def test_a_field_that_the_version_lacks_is_refused_when_dropping_it_would_change_the_meaning() -> None:
    static = HeartbeatRequest("g", 5, "m", "instance-1")
    assert static.encode(3)
    with pytest.raises(EncodeError, match=r"HeartbeatRequest v2: .*group_instance_id is set"):
        static.encode(2)


def test_a_field_that_the_version_lacks_has_its_default_after_reading() -> None:
    request = HeartbeatRequest.decode(bytes.fromhex("0001 67 00000005 0001 6d"), 0)
    assert request.group_instance_id is None


def test_null_where_the_schema_has_none_is_refused_in_both_directions() -> None:
    with pytest.raises(EncodeError, match="HeartbeatRequest v0"):
        replace(HeartbeatRequest("g", 5, "m"), member_id=None).encode(0)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="member_id at byte 7: null where the schema allows none"):
        HeartbeatRequest.decode(bytes.fromhex("0001 67 00000005 ffff"), 0)


@pytest.mark.parametrize(
    ("what", "version", "message"),
    [
        ("an int16 above 32,767", 1, HeartbeatResponse(0, 40_000)),
        ("an int32 above 2,147,483,647", 0, ConsumerGroupHeartbeatResponse(2**31)),
        ("a string of 32,768 bytes", 0, HeartbeatRequest("g" * 32_768)),
        ("a compact string of 32,768 bytes", 4, HeartbeatRequest("g" * 32_768)),
        ("half of a surrogate pair", 0, HeartbeatRequest("\ud83d")),
        ("a number for a string", 0, HeartbeatRequest(7)),  # type: ignore[arg-type]
        ("null in an array of structs", 1, MetadataRequest([None])),  # type: ignore[list-item]
        ("a string for a uuid", 12, MetadataRequest([MetadataRequestTopic("orders", None)])),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_does_not_fit_its_field_is_refused(what: str, version: int, message: Message) -> None:
    with pytest.raises(EncodeError, match=f"{message.message_name} v{version}"):
        message.encode(version)


def test_records_are_passed_on_without_a_copy() -> None:
    batch = bytearray(b"\1\2\3")
    request = ProduceRequest(None, 1, 0, [TopicProduceData("t", partition_data=[PartitionProduceData(0, batch)])])
    assert any(chunk is batch for chunk in request.chunks(9))
    frame = request.encode(9)
    read = ProduceRequest.decode(frame, 9).topic_data[0].partition_data[0].records
    assert isinstance(read, memoryview)
    assert read.obj is frame


def test_a_version_that_never_was_is_refused() -> None:
    with pytest.raises(ValueError, match="HeartbeatRequest has no version 99, only 0-4"):
        HeartbeatRequest.decode(b"", 99)
