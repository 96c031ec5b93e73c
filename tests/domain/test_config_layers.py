"""Which source of a config wins, and how the stack of sources is shown."""

from __future__ import annotations

import pytest

from kafka_server.domain.config_def import ConfigSource, ConfigType
from kafka_server.domain.config_layers import ConfigEntry, ConfigLayers

HOUR_MS = 3_600_000


def layers(
    static: dict[str, str] | None = None,
    dynamic_default: dict[str, str] | None = None,
    dynamic: dict[str, str] | None = None,
) -> ConfigLayers:
    made = ConfigLayers(static or {})
    made.dynamic_default = dynamic_default or {}
    made.dynamic = dynamic or {}
    return made


def entry(entries: list[ConfigEntry], name: str) -> ConfigEntry:
    (found,) = (entry for entry in entries if entry.name == name)
    return found


def stack(found: ConfigEntry) -> list[tuple[str, str | None, str]]:
    return [(synonym.name, synonym.value, synonym.source.name) for synonym in found.synonyms]


@pytest.mark.parametrize(
    ("made", "value"),
    [
        (layers(), 8),
        (layers({"num.io.threads": "2"}), 2),
        (layers({"num.io.threads": "2"}, {"num.io.threads": "3"}), 3),
        (layers({"num.io.threads": "2"}, {"num.io.threads": "3"}, {"num.io.threads": "4"}), 4),
    ],
)
def test_the_nearest_source_of_a_broker_key_wins(made: ConfigLayers, value: int) -> None:
    assert made.value("num.io.threads") == value


@pytest.mark.parametrize(
    ("static", "retention_ms"),
    [
        ({}, 168 * HOUR_MS),
        ({"log.retention.hours": "1"}, HOUR_MS),
        ({"log.retention.hours": "1", "log.retention.minutes": "5"}, 300_000),
        ({"log.retention.hours": "1", "log.retention.minutes": "5", "log.retention.ms": "7"}, 7),
        ({"log.retention.hours": "-1"}, -1),
    ],
)
def test_a_topic_stands_on_the_finest_broker_key_that_is_set(static: dict[str, str], retention_ms: int) -> None:
    assert layers(static).topic_value("retention.ms", {}) == retention_ms


def test_a_topics_own_value_wins_over_every_broker_key() -> None:
    made = layers({"log.retention.ms": "7"}, dynamic={"log.retention.ms": "8"})

    assert made.topic_value("retention.ms", {"retention.ms": "9"}) == 9
    assert made.topic_value("retention.ms", {}) == 8


def test_a_new_layer_counts_once_parsed_values_are_forgotten() -> None:
    made = layers()
    assert made.value("num.io.threads") == 8

    made.dynamic = {"num.io.threads": "9"}
    made.forget()

    assert made.value("num.io.threads") == 9


def test_a_topic_entry_shows_its_own_value_first_and_then_the_broker_keys() -> None:
    made = layers({"message.max.bytes": "2000"}, {"message.max.bytes": "3000"})
    found = entry(list(made.topic_entries({"max.message.bytes": "4000"})), "max.message.bytes")

    assert (found.value, found.source, found.type) == ("4000", ConfigSource.TOPIC, ConfigType.INT)
    assert stack(found) == [
        ("max.message.bytes", "4000", "TOPIC"),
        ("message.max.bytes", "3000", "DYNAMIC_DEFAULT_BROKER"),
        ("message.max.bytes", "2000", "STATIC_BROKER"),
        ("message.max.bytes", "1048588", "DEFAULT"),
    ]


def test_coarser_synonyms_show_only_beneath_the_finest_one() -> None:
    # As Apache Kafka does: retention.ms that comes from log.retention.hours has no synonyms at all.
    plain = entry(list(layers({"log.retention.hours": "1"}).topic_entries({})), "retention.ms")
    fine = entry(list(layers({"log.retention.hours": "1", "log.retention.ms": "5"}).topic_entries({})), "retention.ms")

    assert (plain.value, stack(plain)) == (str(HOUR_MS), [])
    assert stack(fine) == [
        ("log.retention.ms", "5", "STATIC_BROKER"),
        ("log.retention.hours", "1", "STATIC_BROKER"),
        ("log.retention.hours", "168", "DEFAULT"),
    ]


def test_a_password_is_never_shown() -> None:
    made = layers({"ssl.key.password": "hunter2"})
    found = entry(list(made.broker_entries()), "ssl.key.password")

    assert (found.value, found.is_sensitive, stack(found)) == (
        None,
        True,
        [("ssl.key.password", None, "STATIC_BROKER")],
    )


def test_a_key_that_nobody_knows_is_listed_without_its_value() -> None:
    made = layers({"my.plugin.token": "hunter2"})
    found = entry(list(made.broker_entries()), "my.plugin.token")

    assert (found.value, found.is_sensitive, found.type) == (None, True, ConfigType.UNKNOWN)
    assert found.doc == "Not a key that this broker knows; it has no effect."


def test_a_key_without_effect_says_so_in_its_documentation() -> None:
    found = entry(list(layers().topic_entries({})), "unclean.leader.election.enable")

    assert found.doc is not None
    assert found.doc.startswith("Has no effect in this broker.")


def test_the_default_broker_shows_texts_as_they_were_written() -> None:
    made = layers(dynamic_default={"log.cleaner.io.max.bytes.per.second": "5"})
    (found,) = made.default_broker_entries()

    assert found.value == "5"
    assert next(made.broker_entries(["log.cleaner.io.max.bytes.per.second"])).value == "5.0"


def test_the_default_broker_shows_only_what_is_set_for_every_broker() -> None:
    made = layers({"num.io.threads": "2"}, {"message.max.bytes": "3000"}, {"num.network.threads": "4"})

    (found,) = made.default_broker_entries()

    assert (found.name, found.value, found.source) == ("message.max.bytes", "3000", ConfigSource.DYNAMIC_DEFAULT_BROKER)
    assert stack(found) == [("message.max.bytes", "3000", "DYNAMIC_DEFAULT_BROKER")]


def test_a_group_stands_on_the_broker_key_of_the_same_meaning() -> None:
    made = layers({"group.consumer.session.timeout.ms": "50000"})
    plain = entry(list(made.group_entries({})), "consumer.session.timeout.ms")
    own = entry(list(made.group_entries({"share.isolation.level": "read_committed"})), "share.isolation.level")

    assert (plain.value, plain.source) == ("50000", ConfigSource.STATIC_BROKER)
    assert stack(own) == [
        ("share.isolation.level", "read_committed", "GROUP"),
        ("share.isolation.level", "read_uncommitted", "DEFAULT"),
    ]


def test_entries_can_be_narrowed_to_names() -> None:
    assert [found.name for found in layers().topic_entries({}, {"segment.ms", "retention.ms"})] == [
        "retention.ms",
        "segment.ms",
    ]


def test_internal_keys_are_not_listed() -> None:
    assert "internal.segment.bytes" not in [found.name for found in layers().topic_entries({})]
    assert "unstable.api.versions.enable" not in [found.name for found in layers().broker_entries()]
