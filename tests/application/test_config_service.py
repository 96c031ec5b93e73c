"""How configs reach the data plane, and what a broker does not start with."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import Any

import pytest

from kafka_server.application.config_service import ConfigService
from kafka_server.domain.broker_rules import Values
from kafka_server.domain.config_def import ConfigOperation, ResourceType
from kafka_server.domain.errors import InvalidConfig, InvalidRequest
from kafka_server.domain.topic import TopicSettings
from kafka_server.infrastructure.storage.memory import MemoryTopicRepository
from kafka_server.infrastructure.storage.memory_metadata import MemoryConfigRepository
from tests.application.admin_house import NODE_ID, House

TOPIC_CONFIGS: list[tuple[str, str, str, Any]] = [
    ("max.message.bytes", "2000", "max_message_bytes", 2000),
    ("compression.type", "zstd", "compression_type", "zstd"),
    ("compression.gzip.level", "3", "compression_gzip_level", 3),
    ("compression.lz4.level", "4", "compression_lz4_level", 4),
    ("compression.zstd.level", "5", "compression_zstd_level", 5),
    ("message.timestamp.type", "LogAppendTime", "log_append_time", True),
    ("message.timestamp.before.max.ms", "6", "message_timestamp_before_ms_max", 6),
    ("message.timestamp.after.max.ms", "7", "message_timestamp_after_ms_max", 7),
    ("cleanup.policy", "compact", "cleanup_compact", True),
    ("cleanup.policy", "", "cleanup_delete", False),
    ("retention.ms", "8", "retention_ms", 8),
    ("retention.bytes", "9", "retention_bytes", 9),
    ("segment.bytes", "2000000", "segment_bytes", 2_000_000),
    ("internal.segment.bytes", "10", "segment_bytes", 10),
    ("segment.ms", "11", "segment_ms", 11),
    ("segment.index.bytes", "12", "segment_index_bytes", 12),
    ("index.interval.bytes", "13", "index_interval_bytes", 13),
    ("flush.messages", "14", "flush_messages", 14),
    ("flush.ms", "15", "flush_ms", 15),
    ("file.delete.delay.ms", "16", "file_delete_delay_ms", 16),
    ("min.cleanable.dirty.ratio", "0.25", "min_cleanable_dirty_ratio", 0.25),
    ("delete.retention.ms", "17", "delete_retention_ms", 17),
    ("min.compaction.lag.ms", "18", "min_compaction_lag_ms", 18),
    ("max.compaction.lag.ms", "19", "max_compaction_lag_ms", 19),
]


@pytest.mark.parametrize(("key", "text", "setting", "value"), TOPIC_CONFIGS)
def test_a_topic_config_reaches_the_data_plane(key: str, text: str, setting: str, value: Any) -> None:
    assert getattr(House().configs.topic_settings({key: text}), setting) == value


def test_every_setting_of_the_data_plane_has_a_config() -> None:
    told = {setting for _, _, setting, _ in TOPIC_CONFIGS}

    assert told == {field.name for field in fields(TopicSettings) if field.init}


def test_without_configs_the_data_plane_has_kafkas_defaults() -> None:
    assert House().configs.topic_settings({}) == TopicSettings()


def test_a_static_config_reaches_topics_through_its_synonym() -> None:
    settings = House({"message.max.bytes": "2000", "log.retention.hours": "1"}).configs.topic_settings({})

    assert (settings.max_message_bytes, settings.retention_ms) == (2000, 3_600_000)


def test_a_static_config_that_does_not_fit_stops_the_start() -> None:
    with pytest.raises(InvalidConfig, match=r"num\.partitions: must be at least 1"):
        House({"num.partitions": "0"})


def test_static_keys_without_effect_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "kafka_server.config"):
        House({"num.io.threads": "2", "num.partitions": "3"})

    assert [record.getMessage() for record in caplog.records] == ["Config num.io.threads has no effect in this broker"]


async def test_dynamic_configs_of_the_broker_survive_in_their_repository() -> None:
    house = House()
    await house.configs.alter(ResourceType.BROKER, str(NODE_ID), [("message.max.bytes", ConfigOperation.SET, "2000")])

    again = ConfigService(NODE_ID, {}, house.config_repository, MemoryTopicRepository())

    assert again.topic_settings({}).max_message_bytes == 2000


async def test_dynamic_configs_of_another_broker_do_not_count_here() -> None:
    repository = MemoryConfigRepository()
    await repository.put(ResourceType.BROKER, str(NODE_ID + 1), {"message.max.bytes": "2000"})

    assert ConfigService(NODE_ID, {}, repository, MemoryTopicRepository()).integer("message.max.bytes") == 1_048_588


class Obedient:
    """Follows, but not to a size of 13."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    async def check(self, before: Values, after: Values) -> None:
        if after("message.max.bytes") == 13:
            raise InvalidConfig(f"13 is not better than {before('message.max.bytes')}")

    async def follow(self, values: Values) -> None:
        self.heard.append(values("message.max.bytes"))


async def test_followers_hear_of_a_change_when_it_counts() -> None:
    house, follower = House(), Obedient()
    house.configs.lead(follower)

    await house.configs.alter(ResourceType.BROKER, "", [("message.max.bytes", ConfigOperation.SET, "2000")])

    assert follower.heard == [2000] == [house.configs.integer("message.max.bytes")]


@pytest.mark.parametrize("broker", ["", str(NODE_ID)])
async def test_what_a_follower_cannot_follow_is_refused_and_not_stored(broker: str) -> None:
    house, follower = House(), Obedient()
    house.configs.lead(follower)

    change = ("message.max.bytes", ConfigOperation.SET, "13")
    for validate_only in (True, False):
        with pytest.raises(InvalidRequest, match="13 is not better than 1048588"):
            await house.configs.alter(ResourceType.BROKER, broker, [change], validate_only=validate_only)

    assert follower.heard == []
    assert house.configs.integer("message.max.bytes") == 1_048_588


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("max.connections", "0"),
        ("max.connection.creation.rate", "0"),
        ("max.connections.per.ip", "0"),
        ("max.connections.per.ip.overrides", "1.2.3.4"),
        ("max.connections.per.ip.overrides", "1.2.3.4:x"),
        ("max.connections.per.ip.overrides", "[::1]:5"),
        ("num.recovery.threads.per.data.dir", "5"),
        ("num.io.threads", "3"),
    ],
)
async def test_what_a_running_broker_cannot_take(key: str, text: str) -> None:
    with pytest.raises(InvalidRequest):
        await House().configs.alter(ResourceType.BROKER, "", [(key, ConfigOperation.SET, text)])


async def test_nobody_may_connect_but_those_who_are_named() -> None:
    changes = [
        ("max.connections.per.ip", ConfigOperation.SET, "0"),
        ("max.connections.per.ip.overrides", ConfigOperation.SET, "127.0.0.1:5,::1:5,1.2.3.4:-1,"),
    ]
    house = House()
    await house.configs.alter(ResourceType.BROKER, "", changes)

    assert house.configs.integer("max.connections.per.ip") == 0


async def test_a_logged_change_hides_secrets(caplog: pytest.LogCaptureFixture) -> None:
    house = House()

    with caplog.at_level(logging.INFO, "kafka_server.config"):
        await house.configs.alter(
            ResourceType.BROKER,
            str(NODE_ID),
            [
                ("ssl.key.password", ConfigOperation.SET, "hunter2"),
                ("my.own.token", ConfigOperation.SET, "hunter2"),
                ("message.max.bytes", ConfigOperation.SET, "2000"),
            ],
        )

    assert "'message.max.bytes': '2000'" in caplog.text
    assert "hunter2" not in caplog.text
