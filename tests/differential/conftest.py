"""The two brokers that are compared: the newest Apache Kafka and ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kafka_server.testing.broker import threaded_broker
from tests.differential.raw_client import RawClient
from tests.peers import jvm
from tests.peers.apache_kafka import ApacheKafka


@pytest.fixture(scope="session")
def theirs() -> Iterator[RawClient]:
    try:
        kafka = ApacheKafka(jvm.NEWEST).start()
    except jvm.PeerMissingError as missing:
        pytest.skip(str(missing))
    try:
        with RawClient(kafka.bootstrap) as client:
            yield client
    finally:
        kafka.stop()


@pytest.fixture(scope="session")
def ours() -> Iterator[RawClient]:
    with threaded_broker() as broker, RawClient(broker.bootstrap) as client:
        yield client
