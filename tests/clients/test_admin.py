"""Topics and their configs, administered by every client that can."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.clients import records
from tests.clients.conftest import Admin, eventually, new_topic, unique
from tests.clients.driver import Driver, DriverError

pytestmark = pytest.mark.administration

Able = Callable[..., None]


@pytest.mark.feature("create topic")
def test_a_created_topic_has_its_partitions_and_configs(driver: Driver, able: Able) -> None:
    able("create_topic", "list_topics")
    topic = unique(f"created-{driver.name}")

    driver.ask("create_topic", topic=topic, partitions=3, configs={"retention.ms": "7200000"})

    eventually(lambda: topic in driver.ask("list_topics")["topics"])
    if "describe_topic" in driver.operations:
        assert driver.ask("describe_topic", topic=topic) == {"partitions": 3}
    if "describe_configs" in driver.operations:
        assert driver.ask("describe_configs", topic=topic)["configs"]["retention.ms"] == "7200000"


@pytest.mark.feature("create topic")
def test_a_topic_that_exists_is_not_created_again(driver: Driver, able: Able, topic: str) -> None:
    able("create_topic")
    with pytest.raises(DriverError, match=r"(?i)exist"):
        driver.ask("create_topic", topic=topic, partitions=3, configs={})


@pytest.mark.feature("describe topic")
def test_a_topic_is_described_with_its_partitions(driver: Driver, able: Able, admin: Admin) -> None:
    able("describe_topic")
    topic = new_topic(admin, f"described-{driver.name}", partitions=5)
    assert driver.ask("describe_topic", topic=topic) == {"partitions": 5}


@pytest.mark.feature("describe configs")
def test_the_configs_of_a_topic_show_defaults_and_overrides(driver: Driver, able: Able, admin: Admin) -> None:
    able("describe_configs")
    topic = new_topic(admin, f"configs-{driver.name}", configs={"max.message.bytes": "2000000"})
    configs = driver.ask("describe_configs", topic=topic)["configs"]
    assert configs["max.message.bytes"] == "2000000"
    assert configs["cleanup.policy"] == "delete"
    assert configs["compression.type"] == "producer"
    assert configs["retention.ms"] == "604800000"


@pytest.mark.feature("alter configs")
def test_an_altered_config_is_described(driver: Driver, able: Able, topic: str) -> None:
    able("alter_configs", "describe_configs")
    driver.ask("alter_configs", topic=topic, configs={"retention.ms": "3600000"})
    assert driver.ask("describe_configs", topic=topic)["configs"]["retention.ms"] == "3600000"


@pytest.mark.feature("add partitions")
def test_an_added_partition_takes_records(driver: Driver, able: Able, topic: str) -> None:
    able("create_partitions", "produce", "consume")
    driver.ask("create_partitions", topic=topic, count=4)
    written = records.make(topic, 4, partitions=4, lacks=driver.lacks)
    driver.ask("produce", topic=topic, codec="none", idempotent=False, records=written)
    read = driver.ask("consume", topic=topic, partitions=[0, 1, 2, 3], count=4)["records"]
    records.assert_same(read, written, lacks=driver.lacks)


@pytest.mark.feature("delete records")
def test_deleted_records_move_the_start_of_the_log(driver: Driver, able: Able, topic: str, broker: str) -> None:
    able("delete_records", "produce")
    written = records.make(topic, lacks=driver.lacks)
    driver.ask("produce", topic=topic, codec="none", idempotent=False, records=written)

    driver.ask("delete_records", topic=topic, before={"0": 3, "1": 1})

    assert [_bounds(broker, topic, partition) for partition in range(3)] == [(3, 4), (1, 4), (0, 4)]


@pytest.mark.feature("delete topic")
def test_a_deleted_topic_is_gone(driver: Driver, able: Able, topic: str, admin: Admin) -> None:
    able("delete_topic")
    driver.ask("delete_topic", topic=topic)
    eventually(lambda: topic not in admin.list_topics(timeout=5).topics)


def _bounds(broker: str, topic: str, partition: int) -> tuple[int, int]:
    """The first and the next offset of a partition, as librdkafka sees them."""
    consumer = Consumer({"bootstrap.servers": broker, "broker.address.family": "v4", "group.id": "bounds"})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        return low, high
    finally:
        consumer.close()
