"""Which quota counts for a client, what can be set, and how long a client has to pause."""

from __future__ import annotations

import math

import pytest

from kafka_server.domain.client_quota import (
    CLIENT_ID,
    CONSUMER_BYTE_RATE,
    IP,
    PRODUCER_BYTE_RATE,
    REQUEST_PERCENTAGE,
    USER,
    Entity,
    QuotaRate,
    TokenBucket,
    check_quota,
    entity_of,
    find_quota,
)
from kafka_server.domain.errors import InvalidRequest

BEST_FIRST: list[tuple[Entity, tuple[str | None, str | None]]] = [
    (((CLIENT_ID, "app"), (USER, "ann")), ("ann", "app")),
    (((CLIENT_ID, None), (USER, "ann")), ("ann", "app")),
    (((USER, "ann"),), ("ann", None)),
    (((CLIENT_ID, "app"), (USER, None)), ("ann", "app")),
    (((CLIENT_ID, None), (USER, None)), ("ann", "app")),
    (((USER, None),), ("ann", None)),
    (((CLIENT_ID, "app"),), (None, "app")),
    (((CLIENT_ID, None),), (None, "app")),
]
"""The eight entities that match client app of user ann, and with whom each lets them share its quota."""


@pytest.mark.parametrize("level", range(8))
def test_the_first_of_eight_levels_counts(level: int) -> None:
    quotas = {entity: {PRODUCER_BYTE_RATE: float(rank)} for rank, (entity, _) in enumerate(BEST_FIRST) if rank >= level}

    assert find_quota(quotas, PRODUCER_BYTE_RATE, "ann", "app") == (level, BEST_FIRST[level][1])


def test_each_key_looks_for_its_own_quota() -> None:
    quotas = {BEST_FIRST[0][0]: {CONSUMER_BYTE_RATE: 1.0}, BEST_FIRST[7][0]: {PRODUCER_BYTE_RATE: 2.0}}

    assert find_quota(quotas, PRODUCER_BYTE_RATE, "ann", "app") == (2.0, (None, "app"))
    assert find_quota(quotas, REQUEST_PERCENTAGE, "ann", "app") is None


def test_a_quota_of_others_does_not_count() -> None:
    others: dict[Entity, dict[str, float]] = {
        ((CLIENT_ID, "app"), (USER, "bob")): {PRODUCER_BYTE_RATE: 1.0},
        ((USER, "bob"),): {PRODUCER_BYTE_RATE: 1.0},
        ((CLIENT_ID, "other"),): {PRODUCER_BYTE_RATE: 1.0},
    }

    assert find_quota(others, PRODUCER_BYTE_RATE, "ann", "app") is None


def test_a_client_without_id_falls_under_quotas_of_users_only() -> None:
    quotas = {entity: {PRODUCER_BYTE_RATE: float(rank)} for rank, (entity, _) in enumerate(BEST_FIRST)}

    assert find_quota(quotas, PRODUCER_BYTE_RATE, "ann", "") == (2.0, ("ann", None))


# ---- what can be set ---------------------------------------------------------------------------------------------


def test_the_parts_of_an_entity_come_in_one_order() -> None:
    assert entity_of([(USER, "ann"), (CLIENT_ID, None)]) == entity_of([(CLIENT_ID, None), (USER, "ann")])


@pytest.mark.parametrize(
    "parts", [[], [("nope", "a")], [(USER, "")], [(CLIENT_ID, "")], [(IP, "1.2.3.4"), (USER, "ann")]]
)
def test_an_entity_that_cannot_be_is_refused(parts: list[tuple[str, str | None]]) -> None:
    with pytest.raises(InvalidRequest):
        entity_of(parts)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("nope", 1),
        (PRODUCER_BYTE_RATE, 0),
        (PRODUCER_BYTE_RATE, -1),
        (PRODUCER_BYTE_RATE, 1.5),
        (CONSUMER_BYTE_RATE, 2.0**64),
        (PRODUCER_BYTE_RATE, math.nan),
        (REQUEST_PERCENTAGE, math.inf),
        (REQUEST_PERCENTAGE, 0),
    ],
)
def test_a_quota_that_makes_no_sense_is_refused(key: str, value: float) -> None:
    with pytest.raises(InvalidRequest):
        check_quota(((USER, "ann"),), key, value)


@pytest.mark.parametrize(("kind", "key"), [(USER, "connection_creation_rate"), (IP, "nope"), (IP, PRODUCER_BYTE_RATE)])
def test_a_quota_that_would_not_be_kept_is_refused(kind: str, key: str) -> None:
    with pytest.raises(InvalidRequest):
        check_quota(((kind, None),), key, 1)


# ---- the rate ----------------------------------------------------------------------------------------------------


def a_rate() -> QuotaRate:
    return QuotaRate(window_ms=1000, sample_count=11)


def test_within_the_quota_nobody_pauses() -> None:
    rate = a_rate()
    rate.record(10_000, 0)

    assert rate.pause_ms(1000, 0) == 0


def test_the_pause_brings_the_rate_back_to_the_quota() -> None:
    rate = a_rate()
    rate.record(15_000, 0)

    # 15000 in ten full windows are 1500 a second; over 15 s they would be 1000.
    assert rate.pause_ms(1000, 0) == 5000
    assert rate.pause_ms(1000, 5000) == 5000
    assert rate.pause_ms(1000, 11_000) == 0


def test_the_oldest_sample_counts_until_all_windows_have_passed_it() -> None:
    rate = a_rate()
    rate.record(20_000, 0)

    assert rate.pause_ms(1000, 10_999) > 0
    assert rate.pause_ms(1000, 11_000) == 0


def test_what_is_taken_back_never_was() -> None:
    rate = a_rate()
    rate.record(50_000, 0)
    rate.record(-50_000, 0)

    assert rate.pause_ms(1, 0) == 0


def test_samples_are_few_however_often_is_recorded() -> None:
    rate = a_rate()
    for now_ms in range(0, 60_000, 100):
        rate.record(100, now_ms)

    assert len(rate._samples) == 12
    assert rate.pause_ms(1000, 60_000) == 0
    assert rate.pause_ms(500, 60_000) > 9000


def test_a_silent_client_is_idle() -> None:
    rate = a_rate()
    rate.record(1, 0)

    assert not rate.is_idle(10_999)
    assert rate.is_idle(11_000)


# ---- the bucket --------------------------------------------------------------------------------------------------


def test_a_bucket_starts_full_and_one_operation_may_run_up_a_debt() -> None:
    bucket = TokenBucket(burst_s=10)
    bucket.take(25, quota=2, now_ms=1000)

    # Twenty tokens were there; five are missing, at two a second.
    assert bucket.pause_ms(2, 1000) == 2500
    assert bucket.pause_ms(2, 3499) == 1
    assert bucket.pause_ms(2, 3500) == 0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = TokenBucket(burst_s=10)
    bucket.take(1, quota=2, now_ms=0)
    bucket.take(21, quota=2, now_ms=10**9)

    assert bucket.pause_ms(2, 10**9) == 500
    assert not bucket.is_full(2, 10**9)
    assert bucket.is_full(2, 10**9 + 10_500)
