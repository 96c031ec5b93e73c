"""Client quotas through the wire. Error codes are those that Apache Kafka 4.4 was seen to answer."""

from __future__ import annotations

import pytest
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages import alter_client_quotas as alter_
from kafka_protocol.messages.alter_client_quotas import AlterClientQuotasRequest, AlterClientQuotasResponse
from kafka_protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
)
from kafka_protocol.messages.create_topics import CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse, DeleteTopicState
from kafka_protocol.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)

from tests.application.admin_house import House, wanted

EXACT, DEFAULT, ANY = 0, 1, 2
Parts = dict[str, str | None]
RATE = "producer_byte_rate"


def entry(parts: Parts, **quotas: float | None) -> alter_.AlterClientQuotasRequestEntryData:
    """None removes a quota."""
    return alter_.AlterClientQuotasRequestEntryData(
        entity=[
            alter_.AlterClientQuotasRequestEntityData(entity_type=kind, entity_name=n) for kind, n in parts.items()
        ],
        ops=[alter_.OpData(key=key, value=value or 0.0, remove=value is None) for key, value in quotas.items()],
    )


async def alter(
    house: House, *entries: alter_.AlterClientQuotasRequestEntryData, version: int = 1, validate_only: bool = False
) -> list[int]:
    request = AlterClientQuotasRequest(entries=list(entries), validate_only=validate_only)
    response = await house.ask("alter_client_quotas", request, AlterClientQuotasResponse, version)
    return [each.error_code for each in response.entries]


async def ask(
    house: House, *components: tuple[str, int, str | None], strict: bool = False, version: int = 1
) -> DescribeClientQuotasResponse:
    listed = [ComponentData(entity_type=kind, match_type=how, match=name) for kind, how, name in components]
    request = DescribeClientQuotasRequest(components=listed, strict=strict)
    response = await house.ask("describe_client_quotas", request, DescribeClientQuotasResponse, version)
    assert isinstance(response, DescribeClientQuotasResponse)
    return response


async def describe(house: House, *components: tuple[str, int, str | None], strict: bool = False) -> list[Parts]:
    response = await ask(house, *components, strict=strict)
    return [{part.entity_type: part.entity_name for part in each.entity} for each in response.entries or []]


@pytest.mark.parametrize("version", [0, 1])
async def test_quotas_of_an_entity_are_set_changed_and_removed(version: int) -> None:
    house = House()
    ann: Parts = {"user": "ann", "client-id": None}

    assert await alter(house, entry(ann, producer_byte_rate=1000, request_percentage=12.5), version=version) == [0]
    assert await alter(house, entry(ann, producer_byte_rate=None, consumer_byte_rate=5), version=version) == [0]

    (found,) = (await ask(house, version=version)).entries or []
    assert {part.entity_type: part.entity_name for part in found.entity} == ann
    assert [(each.key, each.value) for each in found.values] == [
        ("consumer_byte_rate", 5),
        ("request_percentage", 12.5),
    ]


async def test_an_entity_without_quotas_is_gone_and_removing_again_is_fine() -> None:
    house = House()
    await alter(house, entry({"user": "ann"}, producer_byte_rate=1))

    assert await alter(house, entry({"user": "ann"}, producer_byte_rate=None)) == [0]
    assert await alter(house, entry({"user": "ann"}, producer_byte_rate=None, nope=None)) == [0]
    assert await describe(house) == []


async def test_a_dry_run_checks_and_changes_nothing() -> None:
    house = House()
    good, bad = entry({"user": "a"}, producer_byte_rate=1), entry({"user": "b"}, producer_byte_rate=-1)

    assert await alter(house, good, bad, validate_only=True) == [ErrorCode.NONE, ErrorCode.INVALID_REQUEST]
    assert await describe(house) == []


@pytest.mark.parametrize(
    "wrong",
    [
        entry({"user": "a"}, nope=1),
        entry({"user": "a"}, producer_byte_rate=1.5),
        entry({"user": "a"}, producer_byte_rate=5, consumer_byte_rate=-5),
        entry({"nope": "a"}, producer_byte_rate=1),
        entry({}, producer_byte_rate=1),
        entry({"user": ""}, producer_byte_rate=1),
        entry({"user": "a", "ip": "1.2.3.4"}, producer_byte_rate=1),
        entry({"user": "a"}, connection_creation_rate=1),
        entry({"ip": "1.2.3.4"}, producer_byte_rate=1),
    ],
)
async def test_what_is_wrong_with_an_entity_does_not_hinder_the_others(
    wrong: alter_.AlterClientQuotasRequestEntryData,
) -> None:
    house = House()

    assert await alter(house, wrong, entry({"user": "z"}, producer_byte_rate=1)) == [ErrorCode.INVALID_REQUEST, 0]
    assert await describe(house) == [{"user": "z"}]


async def test_an_entity_or_a_key_that_is_given_twice_is_refused() -> None:
    house = House()
    once, again = entry({"user": "a"}, producer_byte_rate=1), entry({"user": "a"}, producer_byte_rate=2)
    twice = entry({"user": "b"}, producer_byte_rate=1)
    twice.ops *= 2

    assert await alter(house, once, again, twice) == [ErrorCode.INVALID_REQUEST] * 2
    assert await describe(house) == []


@pytest.mark.parametrize(
    ("components", "strict", "found"),
    [
        ([], False, ["ann", "ann+app", "ann+default", "default", "app"]),
        ([], True, []),
        ([("user", EXACT, "ann")], False, ["ann", "ann+app", "ann+default"]),
        ([("user", EXACT, "ann")], True, ["ann"]),
        ([("user", DEFAULT, None)], False, ["default"]),
        ([("user", ANY, None)], False, ["ann", "ann+app", "ann+default", "default"]),
        ([("user", ANY, None), ("client-id", DEFAULT, None)], False, ["ann+default"]),
        ([("client-id", EXACT, "app")], True, ["app"]),
        ([("user", EXACT, "")], False, []),
        ([("ip", ANY, None)], False, []),
    ],
)
async def test_a_filter_names_types_that_an_entity_must_have(
    components: list[tuple[str, int, str | None]], strict: bool, found: list[str]
) -> None:
    house = House()
    entities: dict[str, Parts] = {
        "ann": {"user": "ann"},
        "ann+app": {"client-id": "app", "user": "ann"},
        "ann+default": {"client-id": None, "user": "ann"},
        "default": {"user": None},
        "app": {"client-id": "app"},
    }
    await alter(house, *(entry(parts, producer_byte_rate=1) for parts in entities.values()))

    assert await describe(house, *components, strict=strict) == [entities[name] for name in found]


@pytest.mark.parametrize(
    ("components", "code"),
    [
        ([("nope", ANY, None)], ErrorCode.UNSUPPORTED_VERSION),
        ([("nope", ANY, None), ("nope", ANY, None)], ErrorCode.UNSUPPORTED_VERSION),
        ([("", ANY, None)], ErrorCode.INVALID_REQUEST),
        ([("user", 3, None)], ErrorCode.INVALID_REQUEST),
        ([("user", -1, None)], ErrorCode.INVALID_REQUEST),
        ([("user", EXACT, None)], ErrorCode.INVALID_REQUEST),
        ([("user", DEFAULT, "x")], ErrorCode.INVALID_REQUEST),
        ([("user", ANY, "x")], ErrorCode.INVALID_REQUEST),
        ([("user", ANY, None), ("user", ANY, None)], ErrorCode.INVALID_REQUEST),
        ([("ip", ANY, None), ("user", ANY, None)], ErrorCode.INVALID_REQUEST),
    ],
)
async def test_a_filter_that_contradicts_itself_is_refused(
    components: list[tuple[str, int, str | None]], code: int
) -> None:
    response = await ask(House(), *components)

    assert (response.error_code, response.entries) == (code, None)


# ---- keeping quotas ----------------------------------------------------------------------------------------------


async def test_the_throttle_is_on_only_while_there_are_quotas() -> None:
    house = House()
    assert not house.throttle.is_on

    await alter(house, entry({"user": "ann"}, producer_byte_rate=1))
    assert house.throttle.is_on

    await alter(house, entry({"user": "ann"}, producer_byte_rate=None))
    assert not house.throttle.is_on


async def test_a_producer_that_exceeds_its_rate_pauses_until_it_is_back() -> None:
    house = House()
    house.context.client_id = "app"
    await alter(house, entry({"client-id": "app"}, producer_byte_rate=1000))

    assert house.quotas.produced(house.context, 10_000) == 0
    assert house.quotas.produced(house.context, 5_000) == 5000
    house.clock.advance(11_000)
    assert house.quotas.produced(house.context, 5_000) == 0


async def test_a_fetch_over_the_quota_does_not_count_because_it_is_not_sent() -> None:
    house = House()
    house.context.client_id = "app"
    await alter(house, entry({"client-id": "app"}, consumer_byte_rate=1000))

    assert house.quotas.fetch_bytes_max(house.context) == 10_000
    assert house.quotas.fetched(house.context, 15_000) == 5000
    assert house.quotas.fetched(house.context, 10_000) == 0


async def test_the_request_quota_counts_the_share_of_the_thread_and_its_pause_is_at_most_one_window() -> None:
    house = House()
    house.context.client_id = "app"
    await alter(house, entry({"client-id": None}, request_percentage=1))
    millisecond_ns = 1_000_000

    assert house.quotas.worked(house.context, 100 * millisecond_ns) == 0  # 1 % of ten seconds
    assert house.quotas.worked(house.context, 5 * millisecond_ns) == 500
    assert house.quotas.worked(house.context, 1000 * millisecond_ns) == 1000


async def test_users_share_the_quota_that_belongs_to_the_user() -> None:
    house = House()
    await alter(house, entry({"user": None}, producer_byte_rate=1000))

    house.context.client_id = "one"
    assert house.quotas.produced(house.context, 10_000) == 0
    house.context.client_id = "two"
    assert house.quotas.produced(house.context, 1_000) > 0


async def test_rates_of_silent_clients_are_forgotten() -> None:
    house = House()
    await alter(house, entry({"client-id": None}, producer_byte_rate=1000))
    for serial in range(2000):
        house.context.client_id = str(serial)
        house.quotas.produced(house.context, 1)
        house.clock.advance(100)

    assert len(house.quotas._rates) < 1200


# ---- connections of addresses (KIP-612) --------------------------------------------------------------------------


async def test_the_connections_of_an_address_have_a_quota() -> None:
    house = House()

    assert await alter(house, entry({"ip": "10.1.2.3"}, connection_creation_rate=5)) == [0]
    assert await alter(house, entry({"ip": None}, connection_creation_rate=9)) == [0]

    assert await describe(house, ("ip", EXACT, "10.1.2.3")) == [{"ip": "10.1.2.3"}]
    assert await describe(house, ("ip", DEFAULT, None)) == [{"ip": None}]
    assert len(await describe(house, ("ip", ANY, None))) == 2


@pytest.mark.parametrize(
    ("value", "code"), [(1, 0), (2**31 - 1, 0), (1.0000001, 0), (0, 42), (-1, 42), (1.5, 42), (2.0**31, 42)]
)
async def test_a_connection_rate_is_a_whole_positive_number_of_32_bits(value: float, code: int) -> None:
    assert await alter(House(), entry({"ip": None}, connection_creation_rate=value)) == [code]


async def test_addresses_have_this_quota_only_and_nobody_else_has_it() -> None:
    house = House()

    assert await alter(house, entry({"ip": "10.1.2.3"}, producer_byte_rate=1)) == [42]
    assert await alter(house, entry({"user": "ann"}, connection_creation_rate=1)) == [42]


@pytest.mark.parametrize("value", [1.0, None])
@pytest.mark.parametrize("name", ["256.1.1.1", "1.2.3.4.5", "a b", "1:2", "-1", "", "10.1.2.3 ", "name.invalid"])
async def test_a_name_that_stands_for_no_address_is_refused_also_when_its_quota_goes(
    name: str, value: float | None
) -> None:
    assert await alter(House(), entry({"ip": name}, connection_creation_rate=value)) == [42]


@pytest.mark.parametrize(
    ("name", "address"),
    [("127.1", "127.0.0.1"), ("010.1.2.3", "10.1.2.3"), ("[::1]", "::1"), ("::ffff:1.2.3.4", "1.2.3.4")],
)
async def test_an_address_may_be_written_in_several_ways(name: str, address: str) -> None:
    house = House()
    await alter(house, entry({"ip": name}, connection_creation_rate=1))

    assert house.throttle.connected("1.1.1.1") == 0
    assert [house.throttle.connected(address) > 0 for _ in range(12)] == [False] * 10 + [True] * 2
    assert await describe(house) == [{"ip": name}]


async def test_the_default_counts_for_each_address_without_its_own_quota() -> None:
    house = House()
    await alter(
        house, entry({"ip": None}, connection_creation_rate=1), entry({"ip": "1.1.1.1"}, connection_creation_rate=2)
    )

    for address, admitted in (("1.1.1.1", 20), ("2.2.2.2", 10), ("3.3.3.3", 10)):
        assert [house.throttle.connected(address) > 0 for _ in range(21)].index(True) == admitted


async def test_connections_that_are_turned_away_do_not_count() -> None:
    house = House()
    await alter(house, entry({"ip": None}, connection_creation_rate=1))
    pauses = [house.throttle.connected("1.1.1.1") for _ in range(50)]

    assert set(pauses[:10]) == {0}
    assert set(pauses[10:]) == {1000}  # at most one window
    house.clock.advance(11_000)
    assert [house.throttle.connected("1.1.1.1") > 0 for _ in range(11)] == [False] * 10 + [True]


async def test_requests_are_not_watched_for_the_sake_of_addresses() -> None:
    house = House()
    await alter(house, entry({"ip": None}, connection_creation_rate=1))
    assert not house.throttle.is_on

    await alter(house, entry({"ip": None}, connection_creation_rate=None))
    assert [house.throttle.connected("1.1.1.1") for _ in range(99)] == [0] * 99


# ---- changes of topics (KIP-599) ---------------------------------------------------------------------------------


async def limited_house() -> House:
    """One partition a second, ten at once."""
    house = House()
    house.context.client_id = "app"
    await alter(house, entry({"client-id": "app"}, controller_mutation_rate=1))
    return house


async def create(house: House, name: str, partitions: int, version: int) -> tuple[int, int]:
    """The topic's error and the pause."""
    request = CreateTopicsRequest(topics=[wanted(name, partitions, 1)])
    response = await house.ask("create_topics", request, CreateTopicsResponse, version)
    return response.topics[0].error_code, response.throttle_time_ms


async def test_who_changes_too_many_topics_is_refused_until_the_debt_is_worked_off() -> None:
    house = await limited_house()

    assert await create(house, "a", 13, version=7) == (ErrorCode.NONE, 0)
    assert await create(house, "b", 1, version=7) == (ErrorCode.THROTTLING_QUOTA_EXCEEDED, 3000)
    house.clock.advance(3000)
    assert await create(house, "b", 1, version=7) == (ErrorCode.NONE, 0)


async def test_an_old_client_has_its_will_and_pauses() -> None:
    house = await limited_house()

    assert await create(house, "a", 13, version=5) == (ErrorCode.NONE, 3000)
    assert await create(house, "b", 1, version=5) == (ErrorCode.NONE, 4000)


async def test_deleting_and_growing_count_their_partitions_too() -> None:
    house = await limited_house()
    await create(house, "a", 8, version=7)
    growth = CreatePartitionsRequest(topics=[CreatePartitionsTopic(name="a", count=12, assignments=None)])
    deletion = DeleteTopicsRequest(topics=[DeleteTopicState(name="a")])

    grown = await house.ask("create_partitions", growth, CreatePartitionsResponse, 3)
    deleted = await house.ask("delete_topics", deletion, DeleteTopicsResponse, 6)

    assert [result.error_code for result in grown.results] == [ErrorCode.NONE]
    assert [result.error_code for result in deleted.responses] == [ErrorCode.THROTTLING_QUOTA_EXCEEDED]
    assert deleted.throttle_time_ms == 2000
