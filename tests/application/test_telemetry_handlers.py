"""Client telemetry through the wire. Error codes are those that Apache Kafka 4.4 was seen to answer, where it looks.

Apache Kafka hands pushes to a plugin, and without one does not read them.
"""

from __future__ import annotations

import gzip

import pytest
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages.get_telemetry_subscriptions import (
    GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptionsResponse,
)
from kafka_protocol.messages.push_telemetry import PushTelemetryRequest, PushTelemetryResponse

from kafka_server.application.telemetry_service import SERIES_MAX
from kafka_server.domain.config_def import ResourceType
from tests.application.admin_house import House
from tests.domain.otlp_examples import counter, gauge, point, push

ZERO = bytes(16)
ME = b"m" * 16
NONE, GZIP = 0, 1


async def house_that_asks(metrics: str = "*", interval_ms: int = 1000) -> House:
    house = House()
    house.context.client_id = "app"
    await ask_for(house, metrics, interval_ms)
    return house


async def ask_for(house: House, metrics: str, interval_ms: int = 1000) -> None:
    configs = {"metrics": metrics, "interval.ms": str(interval_ms)}
    await house.config_repository.put(ResourceType.CLIENT_METRICS, "watch", configs)


async def subscribe(house: House, instance_id: bytes = ME) -> GetTelemetrySubscriptionsResponse:
    request = GetTelemetrySubscriptionsRequest(client_instance_id=instance_id)
    response = await house.ask("get_telemetry_subscriptions", request, GetTelemetrySubscriptionsResponse)
    assert isinstance(response, GetTelemetrySubscriptionsResponse)
    return response


async def tell(
    house: House,
    subscription_id: int,
    data: bytes = b"",
    *,
    instance_id: bytes = ME,
    compression: int = NONE,
    is_last: bool = False,
) -> int:
    request = PushTelemetryRequest(
        client_instance_id=instance_id,
        subscription_id=subscription_id,
        terminating=is_last,
        compression_type=compression,
        metrics=data,
    )
    response = await house.ask("push_telemetry", request, PushTelemetryResponse)
    assert isinstance(response, PushTelemetryResponse)
    return response.error_code


async def test_a_new_client_is_given_an_id_and_told_what_to_push() -> None:
    told = await subscribe(await house_that_asks("org.apache.kafka.producer.,b."), ZERO)

    assert told.client_instance_id != ZERO
    assert (told.requested_metrics, told.push_interval_ms) == (["b.", "org.apache.kafka.producer."], 1000)
    assert (told.accepted_compression_types, told.telemetry_max_bytes) == ([4, 3, 1, 2], 1000)
    assert told.delta_temporality


async def test_when_nobody_asks_a_client_has_nothing_to_push() -> None:
    told = await subscribe(House())

    assert (told.error_code, told.requested_metrics, told.push_interval_ms) == (0, [], 300_000)


async def test_pushed_metrics_are_kept_and_deltas_summed_up() -> None:
    house = await house_that_asks()
    told = await subscribe(house)

    for value in (5, 7):
        data = push(gauge("level", point(value)), counter("sent", point(value, topic="t")))
        assert await tell(house, told.subscription_id, data) == ErrorCode.NONE
        house.clock.advance(1000)

    (instance,) = house.telemetry.instances()
    assert instance.values == {("level", ()): 7, ("sent", (("topic", "t"),)): 12}


async def test_a_push_may_be_compressed() -> None:
    house = await house_that_asks()
    told = await subscribe(house)

    data = gzip.compress(push(gauge("level", point(1))))
    assert await tell(house, told.subscription_id, data, compression=GZIP) == ErrorCode.NONE
    assert [instance.values for instance in house.telemetry.instances()] == [{("level", ()): 1}]


async def test_who_comes_too_early_is_sent_away() -> None:
    house = await house_that_asks()
    told = await subscribe(house)

    assert (await subscribe(house)).error_code == ErrorCode.THROTTLING_QUOTA_EXCEEDED
    assert await tell(house, told.subscription_id) == ErrorCode.NONE
    assert await tell(house, told.subscription_id) == ErrorCode.THROTTLING_QUOTA_EXCEEDED
    house.clock.advance(1000)
    assert await tell(house, told.subscription_id) == ErrorCode.NONE


async def test_the_last_push_may_come_early_and_is_the_last() -> None:
    house = await house_that_asks()
    told = await subscribe(house)
    await tell(house, told.subscription_id)

    assert await tell(house, told.subscription_id, is_last=True) == ErrorCode.NONE
    assert await tell(house, told.subscription_id) == ErrorCode.INVALID_REQUEST


async def test_when_the_subscription_changes_the_client_has_to_ask_again() -> None:
    house = await house_that_asks("a.")
    told = await subscribe(house)
    await ask_for(house, "b.")

    assert await tell(house, told.subscription_id) == ErrorCode.UNKNOWN_SUBSCRIPTION_ID
    house.clock.advance(1000)
    assert (await subscribe(house)).requested_metrics == ["b."]


@pytest.mark.parametrize(
    ("data", "compression", "code"),
    [
        (b"", 9, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE),
        (b"x" * 1001, NONE, ErrorCode.TELEMETRY_TOO_LARGE),
        (b"garbage", GZIP, ErrorCode.INVALID_RECORD),
        (b"garbage", NONE, ErrorCode.INVALID_RECORD),
    ],
)
async def test_a_push_that_cannot_be_taken_says_why(data: bytes, compression: int, code: int) -> None:
    house = await house_that_asks()
    told = await subscribe(house)

    assert await tell(house, told.subscription_id, data, compression=compression) == code


@pytest.mark.parametrize("reserved", [ZERO, bytes(15) + b"\1"])
async def test_a_reserved_id_pushes_nothing(reserved: bytes) -> None:
    assert await tell(await house_that_asks(), 0, instance_id=reserved) == ErrorCode.INVALID_REQUEST


async def test_a_client_that_falls_silent_is_forgotten() -> None:
    house = await house_that_asks()
    await subscribe(house)

    house.clock.advance(60_000)
    assert len(list(house.telemetry.instances())) == 1
    house.clock.advance(1)
    assert list(house.telemetry.instances()) == []


async def test_what_one_client_makes_us_keep_is_bounded() -> None:
    house = await house_that_asks()
    house.telemetry._size_max = 10**6
    told = await subscribe(house)
    points = [point(1, n=str(serial)) for serial in range(SERIES_MAX + 10)]

    assert await tell(house, told.subscription_id, push(gauge("level", *points))) == ErrorCode.NONE
    assert [len(instance.values) for instance in house.telemetry.instances()] == [SERIES_MAX]
