"""Owns: fixtures for people who test their own programs against a broker. Must never know: how the broker works.

Add ``pytest_plugins = ["kafka_server.testing.pytest_plugin"]`` to your top-level conftest.py and take the fixture::

    def test_orders_are_published(kafka_broker):
        producer = Producer({"bootstrap.servers": kafka_broker.bootstrap})

One broker serves the whole session, so give each test its own topics and groups; ``kafka_broker_per_test`` starts a new
one for every test that asks, which takes some milliseconds. Override ``kafka_broker_settings`` for other settings.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kafka_server.testing.broker import RunningBroker, threaded_broker


@pytest.fixture(scope="session")
def kafka_broker_settings() -> dict[str, str]:
    """Settings of the brokers of this session, as in server.properties."""
    return {}


@pytest.fixture(scope="session")
def kafka_broker(kafka_broker_settings: dict[str, str]) -> Iterator[RunningBroker]:
    """A broker for all tests of the session."""
    with threaded_broker(**kafka_broker_settings) as broker:
        yield broker


@pytest.fixture
def kafka_broker_per_test(kafka_broker_settings: dict[str, str]) -> Iterator[RunningBroker]:
    """A broker of its own for one test."""
    with threaded_broker(**kafka_broker_settings) as broker:
        yield broker
