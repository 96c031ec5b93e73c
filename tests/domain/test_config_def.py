"""How the text of a config is parsed, checked, changed and shown."""

from __future__ import annotations

import pytest

from kafka_server.domain.config_def import (
    ConfigKey,
    ConfigOperation,
    ConfigType,
    ConfigValue,
    apply_operation,
    broker_keys,
    group_keys,
    show_value,
    topic_keys,
)
from kafka_server.domain.errors import InvalidConfig

LONG_MAX = 2**63 - 1


def parse(name: str, text: str) -> ConfigValue:
    return (topic_keys().get(name) or broker_keys()[name]).parse(text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("preallocate", "TRUE", True),
        ("preallocate", " false ", False),
        ("segment.bytes", "1048576", 1_048_576),
        ("retention.ms", "-1", -1),
        ("retention.ms", "+5", 5),
        ("flush.messages", str(LONG_MAX), LONG_MAX),
        ("min.cleanable.dirty.ratio", "0.25", 0.25),
        ("min.cleanable.dirty.ratio", "1e-3", 0.001),
        ("cleanup.policy", "compact , delete", ["compact", "delete"]),
        ("cleanup.policy", "", []),
        ("compression.type", "zstd", "zstd"),
        ("compression.gzip.level", "-1", -1),
        ("compression.gzip.level", "9", 9),
        ("leader.replication.throttled.replicas", "0:1,1:2", ["0:1", "1:2"]),
        ("leader.replication.throttled.replicas", "*", ["*"]),
        ("group.consumer.migration.policy", "Upgrade", "Upgrade"),
        ("offsets.topic.replication.factor", "32767", 32_767),
    ],
)
def test_a_text_is_parsed_by_the_type_of_its_key(name: str, text: str, value: ConfigValue) -> None:
    assert parse(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("preallocate", "yes", "must be true or false"),
        ("segment.bytes", "1048575", "must be at least 1048576"),
        ("segment.bytes", "2147483648", "must be a whole number of 32 bits"),
        ("segment.bytes", "1_048_576", "must be a whole number of 32 bits"),
        ("segment.bytes", "9" * 5000, "must be a whole number of 32 bits"),
        ("offsets.topic.replication.factor", "32768", "must be a whole number of 16 bits"),
        ("retention.ms", "-2", "must be at least -1"),
        ("retention.ms", "", "must be a whole number of 64 bits"),
        ("min.cleanable.dirty.ratio", "1.5", "must be at most 1"),
        ("min.cleanable.dirty.ratio", "NaN", "must be a number"),
        ("compression.gzip.level", "0", "must be at least 1"),
        ("compression.gzip.level", "10", "must be at most 9"),
        ("compression.type", "brotli", "must be one of uncompressed, zstd, lz4, snappy, gzip, producer"),
        ("cleanup.policy", "delete,purge", "must be one of compact, delete"),
        ("cleanup.policy", "delete,delete", "must not name an element twice"),
        ("cleanup.policy", "delete,", "must not have an empty element"),
        ("listeners", "", "must not be empty"),
        ("leader.replication.throttled.replicas", "0-1", "must match"),
    ],
)
def test_a_text_that_does_not_fit_is_refused_with_the_reason(name: str, text: str, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=f"for configuration {name}: {reason}"):
        parse(name, text)


def test_an_error_never_shows_a_password() -> None:
    error = ConfigKey("secret", ConfigType.PASSWORD, "high", "read-only", True, "", nonempty=True).refuse(
        "hunter2", "x"
    )

    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("current", "operation", "argument", "after"),
    [
        (None, ConfigOperation.SET, "compact", "compact"),
        ("compact", ConfigOperation.DELETE, None, None),
        ("compact", ConfigOperation.APPEND, "delete", "compact,delete"),
        ("compact", ConfigOperation.APPEND, "compact", "compact"),
        (None, ConfigOperation.APPEND, "compact", "delete,compact"),
        ("compact,delete", ConfigOperation.SUBTRACT, "delete", "compact"),
        ("compact", ConfigOperation.SUBTRACT, "delete", "compact"),
        (None, ConfigOperation.SUBTRACT, "delete", ""),
    ],
)
def test_operations_on_a_list_start_from_what_is_set_else_from_the_default(
    current: str | None, operation: ConfigOperation, argument: str | None, after: str | None
) -> None:
    assert apply_operation(topic_keys()["cleanup.policy"], operation, current, argument) == after


@pytest.mark.parametrize("operation", [ConfigOperation.APPEND, ConfigOperation.SUBTRACT])
def test_only_lists_can_be_appended_to(operation: ConfigOperation) -> None:
    with pytest.raises(InvalidConfig, match="not LIST"):
        apply_operation(topic_keys()["retention.ms"], operation, None, "5")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (5, "5"),
        (0.5, "0.5"),
        (0.001, "0.001"),
        (9_999_999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (123_456_789.5, "1.234567895E8"),
        (1.5e-5, "1.5E-5"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (["a", "b"], "a,b"),
        (None, ""),
    ],
)
def test_a_value_is_shown_as_apache_kafka_prints_it(value: ConfigValue, text: str) -> None:
    assert show_value(value) == text


ALL_KEYS = [*broker_keys().values(), *topic_keys().values(), *group_keys().values()]


@pytest.mark.parametrize("key", [key for key in ALL_KEYS if key.default is not None], ids=lambda key: key.name)
def test_every_default_is_legal_and_in_its_canonical_form(key: ConfigKey) -> None:
    assert key.default is not None
    assert key.show(key.default) == key.default


def test_the_tables_hold_every_key_of_kafka() -> None:
    # 379 broker keys and 3 dynamic quotas of Apache Kafka 4.4.0, and ours.
    ours = {name for name, key in broker_keys().items() if key.doc.startswith("Our own key.")}

    assert len(broker_keys()) - len(ours) == 382
    assert (len(topic_keys()), len(group_keys())) == (38, 27)
