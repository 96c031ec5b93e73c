"""Which metrics a client is asked for."""

from __future__ import annotations

import pytest

from kafka_server.domain.client_metrics import INTERVAL_MS_DEFAULT, parse_subscription, wanted_of
from kafka_server.domain.errors import InvalidConfig, InvalidRequest

CLIENT = {"client_id": "app-1", "client_software_name": "librdkafka"}
ID = b"i" * 16


def wanted(*resources: dict[str, str]) -> tuple[tuple[str, ...], int]:
    found = wanted_of(CLIENT, [parse_subscription(configs) for configs in resources], ID)
    return found.metrics, found.interval_ms


def test_without_subscription_nothing_is_asked() -> None:
    assert wanted() == ((), INTERVAL_MS_DEFAULT)


def test_all_subscriptions_that_concern_a_client_count_together() -> None:
    assert wanted(
        {"metrics": "b., a.", "interval.ms": "1000"},
        {"metrics": "a.", "interval.ms": "500", "match": "client_id=app-.*"},
        {"metrics": "c.", "interval.ms": "100", "match": "client_id=other"},
    ) == (("a.", "b."), 500)


def test_a_star_stands_for_all_metrics() -> None:
    assert wanted({"metrics": "a."}, {"metrics": "*,b."})[0] == ("*",)


@pytest.mark.parametrize(
    ("match", "concerns"),
    [
        ("", True),
        ("client_id=app-1", True),
        ("client_id=app", False),
        (" client_id = app-[0-9] , client_software_name=lib.* ", True),
        ("client_id=app-1,client_software_name=apache-kafka-java", False),
        ("client_source_port=1", False),
    ],
)
def test_every_pattern_must_match_as_a_whole(match: str, concerns: bool) -> None:
    assert (wanted({"metrics": "a.", "match": match})[0] == ("a.",)) is concerns


def test_the_subscription_id_changes_with_what_is_asked_and_who_is_asked() -> None:
    few, many = ([parse_subscription({"metrics": names})] for names in ("a.", "a.,b."))

    ids = {wanted_of(CLIENT, of, by).subscription_id for of in (few, many) for by in (ID, b"j" * 16)}

    assert len(ids) == 4
    assert all(-(2**31) <= each < 2**31 for each in ids)


@pytest.mark.parametrize("interval", ["99", "3600001"])
def test_an_interval_out_of_bounds_is_refused(interval: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_subscription({"interval.ms": interval})


@pytest.mark.parametrize("match", ["nope=1", "client_id", "client_id=", "client_id=a=b", "client_id=["])
def test_a_pattern_that_cannot_be_read_is_refused(match: str) -> None:
    with pytest.raises(InvalidConfig):
        parse_subscription({"match": match})
