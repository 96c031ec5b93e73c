"""What a controller is asked - quorum, features, brokers - and what is refused for lack of security, through the wire.

Where a test gives an error code, Apache Kafka 4.4 was seen to answer the same, but for a broker that is told to forget
itself.
"""

from __future__ import annotations

import pytest
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages.create_acls import AclCreation, CreateAclsRequest, CreateAclsResponse
from kafka_protocol.messages.create_delegation_token import (
    CreatableRenewers,
    CreateDelegationTokenRequest,
    CreateDelegationTokenResponse,
)
from kafka_protocol.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest, DeleteAclsResponse
from kafka_protocol.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse
from kafka_protocol.messages.describe_delegation_token import (
    DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse,
)
from kafka_protocol.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumRequestPartitionData,
    DescribeQuorumRequestTopicData,
    DescribeQuorumResponse,
)
from kafka_protocol.messages.expire_delegation_token import (
    ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse,
)
from kafka_protocol.messages.renew_delegation_token import RenewDelegationTokenRequest, RenewDelegationTokenResponse
from kafka_protocol.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse
from kafka_protocol.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest, UpdateFeaturesResponse

from tests.application.admin_house import NODE_ID, House

# ---- DescribeQuorum ----------------------------------------------------------------------------------------------


async def quorum(house: House, version: int, *asked: tuple[str, int]) -> DescribeQuorumResponse:
    topics = [
        DescribeQuorumRequestTopicData(
            topic_name=name, partitions=[DescribeQuorumRequestPartitionData(partition_index=index)]
        )
        for name, index in asked
    ]
    response = await house.ask("describe_quorum", DescribeQuorumRequest(topics=topics), DescribeQuorumResponse, version)
    assert isinstance(response, DescribeQuorumResponse)
    return response


@pytest.mark.parametrize("version", range(3))
async def test_this_broker_is_the_whole_quorum_and_always_caught_up(version: int) -> None:
    house = House()
    house.clock.advance(1000)

    response = await quorum(house, version, ("__cluster_metadata", 0))

    ((partition,),) = ([*topic.partitions] for topic in response.topics)
    (voter,) = partition.current_voters
    assert (partition.leader_id, voter.replica_id, partition.observers) == (NODE_ID, NODE_ID, [])
    if version >= 1:
        assert voter.last_fetch_timestamp == voter.last_caught_up_timestamp == house.clock.now_ms()
    addresses = [(node.node_id, each.name, each.host, each.port) for node in response.nodes for each in node.listeners]
    assert addresses == ([(NODE_ID, "PLAINTEXT", "10.0.0.1", 9092)] if version >= 2 else [])


@pytest.mark.parametrize("version", range(3))
@pytest.mark.parametrize(
    "asked", [[("orders", 0)], [("__cluster_metadata", 1)], [("__cluster_metadata", 0), ("orders", 0)]]
)
async def test_nothing_else_has_a_quorum(version: int, asked: list[tuple[str, int]]) -> None:
    response = await quorum(House(), version, *asked)

    codes = [partition.error_code for topic in response.topics for partition in topic.partitions]
    assert codes == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION] * len(asked)
    assert response.error_code == ErrorCode.NONE


# ---- UpdateFeatures ----------------------------------------------------------------------------------------------


async def update(
    house: House, version: int, *levels: tuple[str, int], kind: int = 1, dry: bool = False
) -> UpdateFeaturesResponse:
    kinds = {} if version == 0 else {"upgrade_type": kind}
    wanted = [FeatureUpdateKey(feature=name, max_version_level=level, **kinds) for name, level in levels]
    request = UpdateFeaturesRequest(feature_updates=wanted, validate_only=dry)
    response = await house.ask("update_features", request, UpdateFeaturesResponse, version)
    assert isinstance(response, UpdateFeaturesResponse)
    return response


@pytest.mark.parametrize("version", range(3))
async def test_a_feature_can_be_set_to_the_level_that_it_has(version: int) -> None:
    house = House()
    response = await update(house, version, ("metadata.version", 33))

    assert response.error_code == ErrorCode.NONE
    # v2 says it once for all (KIP-1022).
    listed = [(result.feature, result.error_code) for result in response.results]
    assert listed == ([("metadata.version", ErrorCode.NONE)] if version <= 1 else [])
    assert house.features.epoch == 1


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", [2, 3])
async def test_a_downgrade_says_that_it_is_one_and_can_be_taken_back(version: int, kind: int) -> None:
    house = House()

    assert (await update(house, version, ("transaction.version", 1), kind=1)).error_code != ErrorCode.NONE
    both = ("transaction.version", 1), ("group.version", 0)
    assert (await update(house, version, *both, kind=kind)).error_code == ErrorCode.NONE
    assert [house.features.level(name) for name, _ in both] == [1, 0]
    assert (await update(house, version, ("transaction.version", 2), kind=kind)).error_code != ErrorCode.NONE
    assert (await update(house, version, ("transaction.version", 2), kind=1)).error_code == ErrorCode.NONE
    assert (house.features.level("transaction.version"), house.features.epoch) == (2, 3)


async def test_version_0_can_only_go_up() -> None:
    house = House()
    await update(house, 2, ("group.version", 0), kind=2)

    assert (await update(house, 0, ("group.version", 1))).error_code == ErrorCode.NONE
    assert (await update(house, 0, ("group.version", 0))).error_code == ErrorCode.INVALID_UPDATE_VERSION


async def test_a_dry_run_changes_nothing() -> None:
    house = House()

    assert (await update(house, 2, ("group.version", 0), kind=2, dry=True)).error_code == ErrorCode.NONE
    assert (house.features.level("group.version"), house.features.epoch) == (1, 1)


@pytest.mark.parametrize("version", range(3))
@pytest.mark.parametrize(
    ("name", "level"),
    [
        *(("nope", level) for level in (0, 1)),
        *(("group.version", level) for level in (-1, 2)),
        *(("metadata.version", level) for level in (-1, 0, 6, 32, 34)),
    ],
)
async def test_a_level_that_cannot_be_refuses_all_updates_of_the_request(version: int, name: str, level: int) -> None:
    house = House()
    fine = ("transaction.version", 2 if version == 0 else 1)

    response = await update(house, version, fine, (name, level), kind=2)

    assert (response.error_code, response.results) == (ErrorCode.INVALID_UPDATE_VERSION, [])
    assert name in (response.error_message or "")
    assert house.features.level("transaction.version") == 2


@pytest.mark.parametrize("kind", [0, 4, 9])
async def test_a_kind_of_change_that_nobody_knows(kind: int) -> None:
    response = await update(House(), 2, ("metadata.version", 33), kind=kind)

    assert response.error_code == ErrorCode.INVALID_UPDATE_VERSION


# ---- UnregisterBroker --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broker_id", "code"), [(8, ErrorCode.BROKER_ID_NOT_REGISTERED), (NODE_ID, ErrorCode.INVALID_REQUEST)]
)
async def test_no_broker_can_be_unregistered(broker_id: int, code: int) -> None:
    request = UnregisterBrokerRequest(broker_id=broker_id)

    response = await House().ask("unregister_broker", request, UnregisterBrokerResponse)

    assert response.error_code == code
    assert response.error_message


# ---- without an authorizer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(4))
async def test_without_authorizer_there_are_no_acls_to_show_add_or_remove(version: int) -> None:
    house = House()
    entry = AclCreation(
        resource_type=2, resource_name="t", principal="User:a", host="*", operation=3, permission_type=3
    )

    shown = await house.ask("describe_acls", DescribeAclsRequest(), DescribeAclsResponse, version)
    added = await house.ask("create_acls", CreateAclsRequest(creations=[entry] * 2), CreateAclsResponse, version)
    removed = await house.ask(
        "delete_acls", DeleteAclsRequest(filters=[DeleteAclsFilter()] * 2), DeleteAclsResponse, version
    )

    refused = ErrorCode.SECURITY_DISABLED
    assert (shown.error_code, shown.resources) == (refused, [])
    assert [result.error_code for result in added.results] == [refused, refused]
    assert [result.error_code for result in removed.filter_results] == [refused, refused]


# ---- delegation tokens -------------------------------------------------------------------------------------------


async def token_codes(house: House, version: int) -> list[int]:
    asked = [
        ("create_delegation_token", CreateDelegationTokenRequest(), CreateDelegationTokenResponse),
        ("renew_delegation_token", RenewDelegationTokenRequest(), RenewDelegationTokenResponse),
        ("expire_delegation_token", ExpireDelegationTokenRequest(), ExpireDelegationTokenResponse),
        ("describe_delegation_token", DescribeDelegationTokenRequest(), DescribeDelegationTokenResponse),
    ]
    codes = []
    for api, request, response_type in asked:
        response = await house.ask(api, request, response_type, min(version, response_type.max_version))
        codes.append(response.error_code)
    return codes


@pytest.mark.parametrize("version", range(4))
@pytest.mark.parametrize(
    ("protocol", "principal", "code"),
    [
        ("PLAINTEXT", "User:ANONYMOUS", ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED),
        ("SSL", "User:ANONYMOUS", ErrorCode.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED),
        ("SSL", "User:ann", ErrorCode.DELEGATION_TOKEN_AUTH_DISABLED),
        ("SASL_PLAINTEXT", "User:ann", ErrorCode.DELEGATION_TOKEN_AUTH_DISABLED),
    ],
)
async def test_who_proved_no_identity_may_not_ask_for_tokens_and_nobody_gets_one(
    version: int, protocol: str, principal: str, code: int
) -> None:
    house = House()
    house.context.security_protocol, house.context.principal = protocol, principal

    assert await token_codes(house, version) == [code] * 4


async def test_only_users_renew_tokens() -> None:
    house = House()
    house.context.security_protocol, house.context.principal = "SASL_SSL", "User:ann"
    request = CreateDelegationTokenRequest(renewers=[CreatableRenewers(principal_type="Group", principal_name="g")])

    response = await house.ask("create_delegation_token", request, CreateDelegationTokenResponse)

    assert response.error_code == ErrorCode.INVALID_PRINCIPAL_TYPE


@pytest.mark.parametrize(("owner", "told"), [("", "ann"), ("bob", "bob")])
async def test_a_refused_token_tells_who_would_own_it_and_who_asked(owner: str, told: str) -> None:
    house = House()
    house.context.principal = "User:ann"
    request = CreateDelegationTokenRequest(owner_principal_type="User", owner_principal_name=owner)

    response = await house.ask("create_delegation_token", request, CreateDelegationTokenResponse)

    assert (response.principal_name, response.token_requester_principal_name) == (told, "ann")
    assert (response.issue_timestamp_ms, response.expiry_timestamp_ms, response.max_timestamp_ms) == (-1, -1, -1)
