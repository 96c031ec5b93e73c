"""Quotas over a socket: the answer comes at once and tells of the pause, then the connection is not heard (KIP-219)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka_protocol.messages import alter_client_quotas as acq
from kafka_protocol.messages import alter_user_scram_credentials as ausc
from kafka_protocol.messages import describe_client_quotas as dcq
from kafka_protocol.messages import describe_user_scram_credentials as dusc
from kafka_protocol.messages.create_topics import CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kafka_protocol.messages.metadata import MetadataRequest, MetadataResponse
from kafka_protocol.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

from kafka_server.testing.broker import threaded_broker
from tests.application.admin_house import wanted
from tests.differential.raw_client import RawClient
from tests.domain.batches import batch, messages

CLIENT_ID = "d"
"""What the raw client calls itself."""


@pytest.fixture
def client() -> Iterator[RawClient]:
    with threaded_broker() as broker, RawClient(broker.bootstrap) as client:
        client.ask(CreateTopicsRequest(topics=[wanted("orders", 1, 1)]), CreateTopicsResponse, 7)
        yield client


def limit(client: RawClient, key: str, value: float, of: tuple[str, str] = ("client-id", CLIENT_ID)) -> None:
    entity = [acq.AlterClientQuotasRequestEntityData(entity_type=of[0], entity_name=of[1])]
    entry = acq.AlterClientQuotasRequestEntryData(entity=entity, ops=[acq.OpData(key=key, value=value)])
    answer = client.ask(acq.AlterClientQuotasRequest(entries=[entry]), acq.AlterClientQuotasResponse, 1)
    assert [each.error_code for each in answer.entries] == [0]


def produce(size: int, acks: int = 1) -> ProduceRequest:
    records = batch(*messages(1, size=size))
    data = TopicProduceData(name="orders", partition_data=[PartitionProduceData(index=0, records=records)])
    return ProduceRequest(acks=acks, timeout_ms=5000, topic_data=[data])


def fetch(client: RawClient, offset: int, session_id: int = 0, epoch: int = -1) -> FetchResponse:
    partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=1 << 20)
    topics = [FetchTopic(topic="orders", partitions=[partition])] if epoch <= 0 else []
    request = FetchRequest(
        max_wait_ms=0, min_bytes=0, max_bytes=1 << 20, session_id=session_id, session_epoch=epoch, topics=topics
    )
    return client.ask(request, FetchResponse, 12)


def size(response: FetchResponse) -> int:
    return sum(len(part.records or b"") for topic in response.responses for part in topic.partitions)


def is_heard(bootstrap: str) -> bool:
    with RawClient(bootstrap, patience_s=0.2) as another:
        try:
            another.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
        except TimeoutError:
            return False
    return True


def seconds_until_answered(client: RawClient) -> float:
    started = time.monotonic()
    client.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
    return time.monotonic() - started


def test_without_quota_nothing_is_throttled(client: RawClient) -> None:
    assert client.ask(produce(100_000), ProduceResponse, 9).throttle_time_ms == 0
    assert fetch(client, 0).throttle_time_ms == 0


def test_a_producer_is_told_its_pause_at_once_and_then_not_heard(client: RawClient) -> None:
    limit(client, "producer_byte_rate", 100_000)

    started = time.monotonic()
    told_ms = client.ask(produce(1_050_000 - 200), ProduceResponse, 9).throttle_time_ms
    answered_s = time.monotonic() - started

    # 10.5 s worth of quota within windows of 10 s.
    assert 450 <= told_ms <= 550
    assert answered_s < told_ms / 1000
    assert seconds_until_answered(client) >= told_ms / 1000 - 0.1


def test_a_producer_that_wants_no_answer_is_not_heard_either(client: RawClient) -> None:
    limit(client, "producer_byte_rate", 100_000)

    client.send(produce(1_040_000, acks=0), 9)

    assert seconds_until_answered(client) > 0.3


def test_a_fetch_over_the_quota_brings_no_records_and_they_come_after_the_pause(client: RawClient) -> None:
    for _ in range(3):
        client.ask(produce(52_000), ProduceResponse, 9)
    limit(client, "consumer_byte_rate", 10_000)
    first = fetch(client, 0, epoch=0)  # opens a session

    throttled = fetch(client, 1, first.session_id, epoch=1)
    again = fetch(client, 1, first.session_id, epoch=2)

    # A fetch is cut to what ten windows hold, here to one batch; the second one exceeds them by about 4 %.
    assert (first.throttle_time_ms, size(first) > 52_000) == (0, True)
    assert 0 < throttled.throttle_time_ms < 2000
    assert (throttled.responses, throttled.session_id, throttled.error_code) == ([], first.session_id, 0)
    assert again.error_code == 0


def test_requests_may_take_their_share_of_the_thread(client: RawClient) -> None:
    limit(client, "request_percentage", 0.0005)

    told_ms = 0
    for _ in range(1000):
        told_ms = client.ask(MetadataRequest(topics=[]), MetadataResponse, 12).throttle_time_ms
        if told_ms > 0:
            break

    assert 0 < told_ms <= 1000


def test_quotas_and_credentials_are_there_after_a_restart(tmp_path: Path) -> None:
    on_disk = {"storage": "disk", "log.dirs": str(tmp_path)}
    user = ausc.ScramCredentialUpsertion(
        name="ann", mechanism=1, iterations=4096, salt=b"salt", salted_password=b"x" * 32
    )
    with threaded_broker(**on_disk) as broker, RawClient(broker.bootstrap) as client:
        limit(client, "producer_byte_rate", 1000)
        limit(client, "connection_creation_rate", 2, of=("ip", "localhost"))
        request = ausc.AlterUserScramCredentialsRequest(upsertions=[user])
        client.ask(request, ausc.AlterUserScramCredentialsResponse, 0)

    with threaded_broker(**on_disk) as broker, RawClient(broker.bootstrap) as client:
        quotas = client.ask(dcq.DescribeClientQuotasRequest(), dcq.DescribeClientQuotasResponse, 1)
        users = client.ask(
            dusc.DescribeUserScramCredentialsRequest(users=None), dusc.DescribeUserScramCredentialsResponse, 0
        )
        client.ask(CreateTopicsRequest(topics=[wanted("orders", 1, 1)]), CreateTopicsResponse, 7)
        told = client.ask(produce(20_000), ProduceResponse, 9)
        admitted = [is_heard(broker.bootstrap) for _ in range(20)]

    assert {(each.key, each.value) for entry in quotas.entries or [] for each in entry.values} == {
        ("producer_byte_rate", 1000),
        ("connection_creation_rate", 2),
    }
    assert admitted == [True] * 19 + [False]  # 20 in the windows of 10 s, and this client was the first
    assert [result.user for result in users.results] == ["ann"]
    assert told.throttle_time_ms > 5000
