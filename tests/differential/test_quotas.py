"""How long Apache Kafka and we make a client pause for the same excess, and what its answers hold meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages import alter_client_quotas as acq
from kafka_protocol.messages.create_topics import CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

from tests.application.admin_house import wanted
from tests.differential.raw_client import RawClient
from tests.domain.batches import batch, messages

pytestmark = pytest.mark.jvm

CLIENT_ID = "d"
"""What the raw client calls itself."""
RATE = 100_000
WINDOW_MS = range(10_000, 11_001)
"""What a rate is taken over: ten whole samples and a part of the present one, however slow this machine is."""


@dataclass
class Told:
    """What an answer said."""

    throttle_time_ms: int
    has_records: bool = False
    offset: int = -1


@contextmanager
def limited(client: RawClient, key: str, rate: float = RATE) -> Iterator[None]:
    """While it lasts the client may do that much a second."""

    def set_to(value: float | None) -> None:
        part = acq.AlterClientQuotasRequestEntityData(entity_type="client-id", entity_name=CLIENT_ID)
        op = acq.OpData(key=key, value=value or 0.0, remove=value is None)
        entry = acq.AlterClientQuotasRequestEntryData(entity=[part], ops=[op])
        client.ask(acq.AlterClientQuotasRequest(entries=[entry]), acq.AlterClientQuotasResponse, 1)
        # Apache Kafka's broker learns of it from its controller, and on a busy machine that takes a while.
        time.sleep(2.0)

    set_to(rate)
    try:
        yield
    finally:
        set_to(None)


def produce(client: RawClient, size: int) -> Told:
    data = PartitionProduceData(index=0, records=batch(*messages(1, size=size, timestamp=round(time.time() * 1000))))
    request = ProduceRequest(
        acks=1, timeout_ms=5000, topic_data=[TopicProduceData(name="throttled", partition_data=[data])]
    )
    answer = client.ask(request, ProduceResponse, 9)
    ((part,),) = ([*topic.partition_responses] for topic in answer.responses)
    assert part.error_code == 0
    return Told(answer.throttle_time_ms, offset=part.base_offset)


def fetch(client: RawClient, offset: int) -> Told:
    partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=700_000)
    topic = FetchTopic(topic="throttled", partitions=[partition])
    request = FetchRequest(max_wait_ms=0, min_bytes=0, max_bytes=1 << 24, topics=[topic])
    answer = client.ask(request, FetchResponse, 12)
    held = sum(len(part.records or b"") for topic in answer.responses for part in topic.partitions)
    return Told(answer.throttle_time_ms, held > 0)


def is_pause_for(size: int, told: Told) -> bool:
    """Whether that is the time after which so many bytes are within the quota again."""
    worth_ms = size * 1000 // RATE
    return worth_ms - WINDOW_MS[-1] <= told.throttle_time_ms <= worth_ms + 10 - WINDOW_MS[0]


@pytest.fixture(scope="module", autouse=True)
def _topic(theirs: RawClient, ours: RawClient) -> None:
    for client in (theirs, ours):
        topic = wanted("throttled", 1, 1, configs={"max.message.bytes": "4000000"})
        client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=5000), CreateTopicsResponse, 7)
    time.sleep(1)


def test_producers_pause_for_the_same_time(theirs: RawClient, ours: RawClient) -> None:
    for client in (theirs, ours):
        with limited(client, "producer_byte_rate"):
            first, second = (produce(client, size) for size in (900_000, 300_000))

        assert first.throttle_time_ms == 0
        assert is_pause_for(1_200_000, second), "ours" if client is ours else "theirs"


def test_consumers_get_nothing_while_they_pause(theirs: RawClient, ours: RawClient) -> None:
    for client in (theirs, ours):
        offsets = [produce(client, 600_000).offset for _ in range(2)]
        with limited(client, "consumer_byte_rate"):
            first, second = (fetch(client, offset) for offset in offsets)

        assert (first.throttle_time_ms, first.has_records) == (0, True)
        assert not second.has_records
        # Apache Kafka fills an answer with a part of the next batch.
        assert is_pause_for(1_200_000, second) or is_pause_for(1_300_000, second)


def test_changes_of_topics_are_refused_for_the_same_time(theirs: RawClient, ours: RawClient) -> None:
    told = []
    for client in (theirs, ours):
        with limited(client, "controller_mutation_rate", 1):
            for serial, count in enumerate((13, 1)):
                request = CreateTopicsRequest(topics=[wanted(f"mutation-{serial}", count, 1)], timeout_ms=5000)
                answer = client.ask(request, CreateTopicsResponse, 7)
                told.append((answer.topics[0].error_code, answer.throttle_time_ms))

    (theirs_first, theirs_second), (ours_first, ours_second) = told[:2], told[2:]
    assert theirs_first == ours_first == (0, 0)
    assert theirs_second[0] == ours_second[0] == ErrorCode.THROTTLING_QUOTA_EXCEEDED
    # Eleven seconds' worth was there; how much came back meanwhile depends on how long the first creation took.
    assert 0 < theirs_second[1] <= 2000
    assert 0 < ours_second[1] <= 2000
