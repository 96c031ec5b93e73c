"""The brokers that are compared: the newest Apache Kafka and ours, and an older one for what that no longer speaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kafka_server.testing.broker import threaded_broker
from tests.differential.raw_client import RawClient
from tests.peers import PeerMissingError, jvm, skip_or_fail
from tests.peers.apache_kafka import ApacheKafka

Pair = tuple[RawClient, RawClient]
APACHE_KAFKAS: set[str] = set()
"""The addresses of all that were started; what was sent to any other address was sent to us."""
IMPATIENT = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "500"}
"""So that nobody waits for ten seconds until Kafka looks for transactions that took too long."""


@contextmanager
def apache_kafka(version: str) -> Iterator[RawClient]:
    """Skips the test where that release is missing, or fails it where peers are promised."""
    try:
        kafka = ApacheKafka(version, properties=IMPATIENT).start()
    except PeerMissingError as missing:
        skip_or_fail(missing)
        raise
    APACHE_KAFKAS.add(kafka.bootstrap)
    try:
        with RawClient(kafka.bootstrap) as client:
            yield client
    finally:
        kafka.stop()


@pytest.fixture(scope="session")
def theirs() -> Iterator[RawClient]:
    with apache_kafka(jvm.NEWEST) as client:
        yield client


@pytest.fixture(scope="session")
def ours() -> Iterator[RawClient]:
    with threaded_broker(**IMPATIENT) as broker, RawClient(broker.bootstrap) as client:
        yield client


@pytest.fixture(scope="session")
def old_pair() -> Iterator[Pair]:
    """The last Apache Kafka that speaks what 4.0 removed (KIP-896), and a broker of ours that only it meets."""
    with apache_kafka(jvm.OLD_PROTOCOL) as theirs, threaded_broker() as broker, RawClient(broker.bootstrap) as ours:
        yield theirs, ours
