"""Owns: a transaction that hangs - records without a marker, of a producer that no coordinator knows.

Must never know: who finds it, how it ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from kafka_protocol.messages import incremental_alter_configs as iac
from kafka_protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from kafka_protocol.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)

from tests.clients.conftest import eventually
from tests.crash.history import Dress
from tests.crash.wire_client import build_batch
from tests.differential.raw_client import RawClient

VERIFIES = "transaction.partition.verification.enable"
_BROKER = 4
_SET, _DELETE = 0, 1
_FIRST_PROTOCOL = 9


def hang(bootstrap: str, topic: str) -> int:
    """Leaves an open transaction in partition 0 and returns its producer id.

    Brokers let that happen before they asked the coordinator about each first batch (KIP-890), and still do when they
    are told not to ask.
    """
    with RawClient(bootstrap) as client, _unverified(client):
        answer = client.ask(InitProducerIdRequest(None, 60_000), InitProducerIdResponse, 4)
        assert answer.error_code == 0
        batch = build_batch(
            [b"stuck"],
            [Dress(None, (), int(time.time() * 1000))],
            answer.producer_id,
            answer.producer_epoch,
            0,
            is_transactional=True,
        )
        data = TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=0, records=batch)])
        request = ProduceRequest("nobody's", -1, 5_000, [data])

        def is_taken() -> bool:
            taken = client.ask(request, ProduceResponse, _FIRST_PROTOCOL)
            return taken.responses[0].partition_responses[0].error_code == 0

        eventually(is_taken)
        return answer.producer_id


@contextmanager
def _unverified(client: RawClient) -> Iterator[None]:
    _alter(client, _SET, "false")
    try:
        yield
    finally:
        _alter(client, _DELETE, None)


def _alter(client: RawClient, operation: int, value: str | None) -> None:
    config = iac.AlterableConfig(name=VERIFIES, config_operation=operation, value=value)
    cluster = iac.AlterConfigsResource(resource_type=_BROKER, resource_name="", configs=[config])
    answer = client.ask(iac.IncrementalAlterConfigsRequest([cluster], False), iac.IncrementalAlterConfigsResponse, 1)
    assert [each.error_code for each in answer.responses] == [0]
