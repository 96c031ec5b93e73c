"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources, seen through the wire.

Where a test gives an error code, Apache Kafka 4.4 was seen to answer the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages import alter_configs, incremental_alter_configs
from kafka_protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResponse,
    DescribeConfigsResult,
)
from kafka_protocol.messages.list_config_resources import ListConfigResourcesRequest, ListConfigResourcesResponse

from kafka_server.domain.config_def import ConfigSource, ConfigType, ResourceType
from tests.application.admin_house import NODE_ID, House

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
ME = str(NODE_ID)
EVERY = ""

Change = tuple[str, int, str | None]
"""Key, operation, value."""


async def describe(
    house: House, kind: int, name: str, *keys: str, version: int = 4, **fields: bool
) -> DescribeConfigsResult:
    resource = DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=list(keys) or None)
    request = DescribeConfigsRequest(resources=[resource], **fields)
    response = await house.ask("describe_configs", request, DescribeConfigsResponse, version)
    (result,) = response.results
    assert isinstance(result, DescribeConfigsResult)
    return result


async def value(house: House, kind: int, name: str, key: str) -> tuple[str | None, ConfigSource]:
    (entry,) = (await describe(house, kind, name, key)).configs
    return entry.value, ConfigSource(entry.config_source)


async def alter(house: House, *resources: tuple[int, str, Sequence[Change]], validate_only: bool = False) -> list[int]:
    request = incremental_alter_configs.IncrementalAlterConfigsRequest(
        resources=[
            incremental_alter_configs.AlterConfigsResource(
                resource_type=kind,
                resource_name=name,
                configs=[
                    incremental_alter_configs.AlterableConfig(name=key, config_operation=operation, value=text)
                    for key, operation, text in changes
                ],
            )
            for kind, name, changes in resources
        ],
        validate_only=validate_only,
    )
    answer_type = incremental_alter_configs.IncrementalAlterConfigsResponse
    response = await house.ask("incremental_alter_configs", request, answer_type)
    assert all((entry.error_message is None) == (entry.error_code == 0) for entry in response.responses)
    return [entry.error_code for entry in response.responses]


async def replace(house: House, kind: int, name: str, version: int = 2, **configs: str | None) -> int:
    request = alter_configs.AlterConfigsRequest(
        resources=[
            alter_configs.AlterConfigsResource(
                resource_type=kind,
                resource_name=name,
                configs=[
                    alter_configs.AlterableConfig(name=key.replace("_", "."), value=text)
                    for key, text in configs.items()
                ],
            )
        ]
    )
    response = await house.ask("alter_configs", request, alter_configs.AlterConfigsResponse, version)
    (entry,) = response.responses
    return int(entry.error_code)


async def house_with_topic(**configs: str) -> House:
    house = House()
    await house.topic("orders", **configs)
    return house


# ---- DescribeConfigs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(5))
async def test_the_configs_of_a_topic_are_described_in_every_version(version: int) -> None:
    house = await house_with_topic(retention_ms="5")

    configs = {entry.name: entry for entry in (await describe(house, TOPIC, "orders", version=version)).configs}

    assert configs["retention.ms"].value == "5"
    assert configs["segment.ms"].value == "604800000"
    if version == 0:
        assert (configs["retention.ms"].is_default, configs["segment.ms"].is_default) == (False, True)
    else:
        sources = configs["retention.ms"].config_source, configs["segment.ms"].config_source
        assert sources == (ConfigSource.TOPIC, ConfigSource.DEFAULT)


async def test_types_synonyms_and_documentation_come_when_asked_for() -> None:
    house = await house_with_topic(max_message_bytes="2000")

    (plain,) = (await describe(house, TOPIC, "orders", "max.message.bytes")).configs
    (full,) = (
        await describe(house, TOPIC, "orders", "max.message.bytes", include_synonyms=True, include_documentation=True)
    ).configs

    assert (plain.synonyms, plain.documentation, plain.config_type) == ([], None, ConfigType.INT)
    assert [(synonym.name, synonym.value, synonym.source) for synonym in full.synonyms] == [
        ("max.message.bytes", "2000", ConfigSource.TOPIC),
        ("message.max.bytes", "1048588", ConfigSource.DEFAULT),
    ]
    assert full.documentation == "Largest batch that the topic accepts, measured as it arrives, compressed."


async def test_keys_narrow_the_answer_and_an_unknown_one_is_passed_over() -> None:
    house = await house_with_topic()

    result = await describe(house, TOPIC, "orders", "retention.ms", "nope")

    assert [entry.name for entry in result.configs] == ["retention.ms"]


async def test_a_broker_shows_static_and_dynamic_configs_and_hides_secrets() -> None:
    house = House({"ssl.key.password": "hunter2", "my.token": "hunter2", "num.partitions": "4"})

    configs = {entry.name: entry for entry in (await describe(house, BROKER, ME)).configs}

    assert (configs["num.partitions"].value, configs["num.partitions"].read_only) == ("4", True)
    assert (configs["message.max.bytes"].value, configs["message.max.bytes"].read_only) == ("1048588", False)
    assert configs["broker.id"].value == configs["node.id"].value == ME
    for secret in ("ssl.key.password", "my.token"):
        assert (configs[secret].value, configs[secret].is_sensitive) == (None, True)


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "n!", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "8", ErrorCode.INVALID_REQUEST),
        (BROKER, "x", ErrorCode.INVALID_REQUEST),
        (LOGGER, "8", ErrorCode.INVALID_REQUEST),
        (LOGGER, "", ErrorCode.INVALID_REQUEST),
        (GROUP, "", ErrorCode.INVALID_REQUEST),
        (3, "x", ErrorCode.INVALID_REQUEST),
    ],
)
async def test_what_has_no_configs_says_why(kind: int, name: str, code: int) -> None:
    result = await describe(House(), kind, name)

    assert (result.error_code, result.configs) == (code, [])
    assert (result.resource_type, result.resource_name) == (kind, name)


# ---- IncrementalAlterConfigs -------------------------------------------------------------------------------------


async def test_a_change_of_a_topic_counts_from_the_next_batch_on() -> None:
    house = await house_with_topic()
    topic = house.topics.get("orders")

    assert await alter(house, (TOPIC, "orders", [("max.message.bytes", SET, "1000")])) == [0]
    assert topic.settings.max_message_bytes == 1000

    assert await alter(house, (TOPIC, "orders", [("max.message.bytes", DELETE, None)])) == [0]
    assert topic.settings.max_message_bytes == 1_048_588


async def test_a_change_of_the_broker_counts_for_every_topic_without_its_own_value() -> None:
    house = await house_with_topic()
    own = await house.topic("own", max_message_bytes="5000")

    assert await alter(house, (BROKER, EVERY, [("message.max.bytes", SET, "2000")])) == [0]
    assert await alter(house, (BROKER, ME, [("message.max.bytes", SET, "3000")])) == [0]

    assert house.topics.get("orders").settings.max_message_bytes == 3000
    assert own.settings.max_message_bytes == 5000
    assert await value(house, BROKER, ME, "message.max.bytes") == ("3000", ConfigSource.DYNAMIC_BROKER)
    assert await value(house, BROKER, EVERY, "message.max.bytes") == ("2000", ConfigSource.DYNAMIC_DEFAULT_BROKER)


async def test_lists_are_appended_to_and_subtracted_from() -> None:
    house = await house_with_topic()

    assert await alter(house, (TOPIC, "orders", [("cleanup.policy", APPEND, "compact")])) == [0]
    assert await value(house, TOPIC, "orders", "cleanup.policy") == ("delete,compact", ConfigSource.TOPIC)

    assert await alter(house, (TOPIC, "orders", [("cleanup.policy", SUBTRACT, "delete")])) == [0]
    assert await value(house, TOPIC, "orders", "cleanup.policy") == ("compact", ConfigSource.TOPIC)


async def test_validate_only_changes_nothing() -> None:
    house = await house_with_topic()

    good = (TOPIC, "orders", [("retention.ms", SET, "5")])
    bad = (BROKER, ME, [("message.max.bytes", SET, "x")])

    assert await alter(house, good, bad, validate_only=True) == [0, ErrorCode.INVALID_REQUEST]
    assert house.topics.get("orders").configs == {}


REFUSED: dict[str, tuple[int, str, list[Change], int]] = {
    "unknown key": (TOPIC, "orders", [("nope", SET, "1")], ErrorCode.INVALID_CONFIG),
    "wrong value": (TOPIC, "orders", [("retention.ms", SET, "x")], ErrorCode.INVALID_CONFIG),
    "append to a number": (TOPIC, "orders", [("retention.ms", APPEND, "5")], ErrorCode.INVALID_CONFIG),
    "append to an unknown key": (TOPIC, "orders", [("nope", APPEND, "5")], ErrorCode.INVALID_CONFIG),
    "values at odds": (
        TOPIC,
        "orders",
        [("min.compaction.lag.ms", SET, "9"), ("max.compaction.lag.ms", SET, "8")],
        ErrorCode.INVALID_CONFIG,
    ),
    "tiered storage": (TOPIC, "orders", [("remote.storage.enable", SET, "true")], ErrorCode.INVALID_CONFIG),
    "no value": (TOPIC, "orders", [("retention.ms", SET, None)], ErrorCode.INVALID_REQUEST),
    "unknown operation": (TOPIC, "orders", [("retention.ms", 9, "1")], ErrorCode.INVALID_REQUEST),
    "key twice": (
        TOPIC,
        "orders",
        [("retention.ms", SET, "1"), ("retention.ms", SET, "2")],
        ErrorCode.INVALID_REQUEST,
    ),
    "missing topic": (TOPIC, "nope", [("retention.ms", SET, "1")], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    "missing topic, wrong value": (TOPIC, "nope", [("retention.ms", SET, "x")], ErrorCode.INVALID_CONFIG),
    "illegal topic": (TOPIC, "n!", [("retention.ms", SET, "1")], ErrorCode.INVALID_TOPIC_EXCEPTION),
    "every topic": (TOPIC, "", [("retention.ms", SET, "1")], ErrorCode.INVALID_REQUEST),
    "read-only": (BROKER, ME, [("num.partitions", SET, "3")], ErrorCode.INVALID_REQUEST),
    "broker, wrong value": (BROKER, ME, [("message.max.bytes", SET, "-1")], ErrorCode.INVALID_REQUEST),
    "another broker": (BROKER, "8", [("message.max.bytes", SET, "1")], ErrorCode.INVALID_REQUEST),
    "no broker": (BROKER, "x", [("message.max.bytes", SET, "1")], ErrorCode.INVALID_REQUEST),
    "per broker only": (BROKER, EVERY, [("ssl.keystore.location", SET, "/x")], ErrorCode.INVALID_REQUEST),
    "unknown group key": (GROUP, "g", [("nope", SET, "1")], ErrorCode.INVALID_CONFIG),
    "group out of bounds": (GROUP, "g", [("consumer.session.timeout.ms", SET, "1")], ErrorCode.INVALID_CONFIG),
    "group at odds": (GROUP, "g", [("consumer.heartbeat.interval.ms", SET, "50000")], ErrorCode.INVALID_CONFIG),
    "every group": (GROUP, "", [("consumer.session.timeout.ms", SET, "46000")], ErrorCode.INVALID_REQUEST),
    "unknown type": (3, "x", [("retention.ms", SET, "1")], ErrorCode.INVALID_REQUEST),
    "unknown logger": (LOGGER, ME, [("nope.x", SET, "INFO")], ErrorCode.INVALID_CONFIG),
    "unknown level": (LOGGER, ME, [("root", SET, "LOUD")], ErrorCode.INVALID_CONFIG),
    "level of root": (LOGGER, ME, [("root", DELETE, None)], ErrorCode.INVALID_REQUEST),
    "append to a logger": (LOGGER, ME, [("root", APPEND, "INFO")], ErrorCode.INVALID_REQUEST),
    "logger elsewhere": (LOGGER, "8", [("root", SET, "INFO")], ErrorCode.INVALID_REQUEST),
}


@pytest.mark.parametrize(("kind", "name", "changes", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_change_that_is_refused_changes_nothing_of_its_resource(
    kind: int, name: str, changes: list[Change], code: int
) -> None:
    house = await house_with_topic()
    other = await house.topic("other")

    assert await alter(house, (kind, name, [("segment.ms", SET, "7"), *changes])) != [0]
    assert await alter(house, (kind, name, changes), (TOPIC, "other", [("flush.ms", SET, "5")])) == [code, 0]

    assert house.topics.get("orders").configs == {}
    assert other.configs == {"flush.ms": "5"}


async def test_a_resource_that_is_listed_twice_is_refused_both_times() -> None:
    house = await house_with_topic()
    change = (TOPIC, "orders", [("retention.ms", SET, "1")])

    assert await alter(house, change, change) == [ErrorCode.INVALID_REQUEST] * 2
    assert house.topics.get("orders").configs == {}


async def test_a_group_keeps_its_own_configs() -> None:
    house = House()

    assert await alter(house, (GROUP, "g", [("consumer.session.timeout.ms", SET, "46000")])) == [0]

    assert await value(house, GROUP, "g", "consumer.session.timeout.ms") == ("46000", ConfigSource.GROUP)
    assert await value(house, GROUP, "h", "consumer.session.timeout.ms") == ("45000", ConfigSource.DEFAULT)


async def test_a_key_without_effect_is_taken_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    house = await house_with_topic()
    change = (TOPIC, "orders", [("unclean.leader.election.enable", SET, "true")])

    with caplog.at_level(logging.WARNING, "kafka_server.config"):
        assert await alter(house, change) == [0]
        assert await alter(house, change) == [0]
        await house.topic("other", unclean_leader_election_enable="true")

    assert [record.getMessage() for record in caplog.records] == [
        "Config unclean.leader.election.enable has no effect in this broker"
    ]


# ---- AlterConfigs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(3))
async def test_alter_configs_replaces_all_that_was_set(version: int) -> None:
    house = await house_with_topic(retention_ms="5", flush_ms="6")

    assert await replace(house, TOPIC, "orders", version, segment_ms="9") == 0
    assert house.topics.get("orders").configs == {"segment.ms": "9"}


async def test_alter_configs_without_keys_goes_back_to_the_defaults() -> None:
    house = await house_with_topic(retention_ms="5")
    await alter(house, (BROKER, EVERY, [("message.max.bytes", SET, "2000")]))

    assert await replace(house, TOPIC, "orders") == 0
    assert await replace(house, BROKER, EVERY) == 0

    settings = house.topics.get("orders").settings
    assert (settings.retention_ms, settings.max_message_bytes) == (604_800_000, 1_048_588)


@pytest.mark.parametrize(
    ("kind", "name", "configs", "code"),
    [
        (TOPIC, "orders", {"segment_ms": None}, ErrorCode.INVALID_REQUEST),
        (TOPIC, "orders", {"nope": "1"}, ErrorCode.INVALID_CONFIG),
        (TOPIC, "nope", {"segment_ms": "1"}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (BROKER, ME, {"num_partitions": "2"}, ErrorCode.INVALID_REQUEST),
        (LOGGER, ME, {"root": "INFO"}, ErrorCode.INVALID_REQUEST),
    ],
)
async def test_alter_configs_refuses_what_does_not_fit(
    kind: int, name: str, configs: dict[str, Any], code: int
) -> None:
    house = await house_with_topic(retention_ms="5")

    assert await replace(house, kind, name, **configs) == code
    assert house.topics.get("orders").configs == {"retention.ms": "5"}


# ---- BROKER_LOGGER -----------------------------------------------------------------------------------------------


@pytest.fixture
def produce_log() -> Iterator[logging.Logger]:
    log = logging.getLogger("kafka_server.produce")
    before = log.level
    yield log
    log.setLevel(before)


async def test_the_level_of_a_logger_is_read_changed_and_unset(produce_log: logging.Logger) -> None:
    house = House()

    assert await alter(house, (LOGGER, ME, [("kafka_server.produce", SET, "TRACE")])) == [0]
    assert produce_log.isEnabledFor(5)
    (entry,) = (await describe(house, LOGGER, ME, "kafka_server.produce")).configs
    assert (entry.value, entry.config_source) == ("TRACE", ConfigSource.BROKER_LOGGER)

    assert await alter(house, (LOGGER, ME, [("kafka_server.produce", DELETE, None)])) == [0]
    assert produce_log.level == logging.NOTSET


async def test_levels_have_log4j_names_and_explain_is_one_of_ours(produce_log: logging.Logger) -> None:
    house = House()
    seen = []
    for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, 15, logging.DEBUG, 5, 1):
        produce_log.setLevel(level)
        (entry,) = (await describe(house, LOGGER, ME, "kafka_server.produce")).configs
        seen.append(entry.value)

    assert seen == ["FATAL", "ERROR", "WARN", "INFO", "EXPLAIN", "DEBUG", "TRACE", "TRACE"]


# ---- ListConfigResources -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "listed"),
    [
        ([], [("orders", TOPIC), ("7", BROKER), ("7", LOGGER), ("readers", GROUP)]),
        ([TOPIC], [("orders", TOPIC)]),
        ([GROUP, BROKER, GROUP], [("7", BROKER), ("readers", GROUP)]),
        ([METRICS], []),
    ],
)
async def test_what_can_be_configured_is_listed_by_type(asked: list[int], listed: list[tuple[str, int]]) -> None:
    house = House()
    await house.topic("orders")
    await house.config_repository.put(ResourceType.GROUP, "readers", {"consumer.session.timeout.ms": "45000"})

    request = ListConfigResourcesRequest(resource_types=asked)
    response = await house.ask("list_config_resources", request, ListConfigResourcesResponse)

    assert [(each.resource_name, each.resource_type) for each in response.config_resources] == listed


async def test_the_oldest_version_lists_client_metrics_only() -> None:
    response = await House().ask("list_config_resources", ListConfigResourcesRequest(), ListConfigResourcesResponse, 0)

    assert (response.error_code, response.config_resources) == (ErrorCode.NONE, [])


@pytest.mark.parametrize("wrong", [0, 7, -1])
async def test_a_type_of_the_future_cannot_be_listed(wrong: int) -> None:
    request = ListConfigResourcesRequest(resource_types=[BROKER, wrong])

    response = await House().ask("list_config_resources", request, ListConfigResourcesResponse)

    assert (response.error_code, response.config_resources) == (ErrorCode.UNSUPPORTED_VERSION, [])


# ---- client metrics ----------------------------------------------------------------------------------------------


async def test_a_resource_of_an_unknown_type_refuses_its_whole_request() -> None:
    resources = [DescribeConfigsResource(resource_type=kind, resource_name=ME) for kind in (BROKER, 3)]

    response = await House().ask("describe_configs", DescribeConfigsRequest(resources), DescribeConfigsResponse, 4)

    assert [result.error_code for result in response.results] == [ErrorCode.INVALID_REQUEST] * 2


async def test_client_metrics_are_configured_under_any_name() -> None:
    house = House()
    assert await alter(house, (METRICS, "watch", [("interval.ms", SET, "1000"), ("metrics", SET, "a.,b.")])) == [0]

    result = await describe(house, METRICS, "watch", include_synonyms=True)

    told = [(config.name, config.value, config.config_source, len(config.synonyms)) for config in result.configs]
    own = ConfigSource.CLIENT_METRICS
    assert told == [
        ("interval.ms", "1000", own, 1),
        ("match", "", ConfigSource.DEFAULT, 0),
        ("metrics", "a.,b.", own, 1),
    ]
    assert [config.value for config in (await describe(house, METRICS, "never")).configs] == ["300000", "", ""]


async def test_client_metrics_without_configs_are_gone() -> None:
    house = House()
    await alter(house, (METRICS, "watch", [("interval.ms", SET, "1000")]))
    await alter(house, (METRICS, "watch", [("interval.ms", DELETE, None)]))

    assert house.configs.resource_names(ResourceType.CLIENT_METRICS) == []


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("", ("interval.ms", SET, "1000"), ErrorCode.INVALID_REQUEST),
        ("watch", ("nope", SET, "1"), ErrorCode.INVALID_REQUEST),
        ("watch", ("nope", DELETE, None), ErrorCode.NONE),
        ("watch", ("interval.ms", SET, "99"), ErrorCode.INVALID_REQUEST),
        ("watch", ("interval.ms", SET, "x"), ErrorCode.INVALID_CONFIG),
        ("watch", ("match", SET, "nope=1"), ErrorCode.INVALID_CONFIG),
        ("watch", ("match", SET, "client_id=["), ErrorCode.INVALID_CONFIG),
    ],
)
async def test_client_metrics_that_make_no_sense_are_refused(name: str, change: Change, code: int) -> None:
    assert await alter(House(), (METRICS, name, [change])) == [code]
