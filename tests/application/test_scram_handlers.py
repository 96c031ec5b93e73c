"""SCRAM credentials through the wire. Error codes are those that Apache Kafka 4.4 was seen to answer."""

from __future__ import annotations

import pytest
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from kafka_protocol.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    UserName,
)

from tests.application.admin_house import House

Described = list[tuple[str, int, list[tuple[int, int]]]]
"""User, error, and mechanism with iterations of each credential."""


def upsert(user: str, mechanism: int = 1, iterations: int = 4096) -> ScramCredentialUpsertion:
    return ScramCredentialUpsertion(
        name=user, mechanism=mechanism, iterations=iterations, salt=b"salt", salted_password=b"x" * 32
    )


def delete(user: str, mechanism: int = 1) -> ScramCredentialDeletion:
    return ScramCredentialDeletion(name=user, mechanism=mechanism)


async def alter(house: House, *changes: ScramCredentialUpsertion | ScramCredentialDeletion) -> list[tuple[str, int]]:
    request = AlterUserScramCredentialsRequest(
        deletions=[each for each in changes if isinstance(each, ScramCredentialDeletion)],
        upsertions=[each for each in changes if isinstance(each, ScramCredentialUpsertion)],
    )
    response = await house.ask("alter_user_scram_credentials", request, AlterUserScramCredentialsResponse)
    return [(result.user, result.error_code) for result in response.results]


async def describe(house: House, *users: str) -> Described:
    request = DescribeUserScramCredentialsRequest(users=[UserName(name=user) for user in users] or None)
    response = await house.ask("describe_user_scram_credentials", request, DescribeUserScramCredentialsResponse)
    return [
        (result.user, result.error_code, [(info.mechanism, info.iterations) for info in result.credential_infos])
        for result in response.results
    ]


async def test_who_has_which_credentials_is_shown_and_nothing_secret() -> None:
    house = House()
    await alter(house, upsert("ann"), upsert("bob", 2, 8192))
    await alter(house, upsert("ann", 2, 16384))

    assert await describe(house) == [("ann", 0, [(1, 4096), (2, 16384)]), ("bob", 0, [(2, 8192)])]
    assert await describe(house, "bob") == [("bob", 0, [(2, 8192)])]


async def test_a_user_without_credential_is_not_found_and_one_that_is_named_twice_is_a_duplicate() -> None:
    house = House()
    await alter(house, upsert("ann"))

    assert await describe(house, "nobody", "ann", "ann") == [
        ("ann", ErrorCode.DUPLICATE_RESOURCE, []),
        ("nobody", ErrorCode.RESOURCE_NOT_FOUND, []),
    ]


async def test_a_credential_is_replaced_and_deleted() -> None:
    house = House()
    await alter(house, upsert("ann"), upsert("bob"))

    assert await alter(house, delete("ann"), upsert("bob", 1, 5000)) == [("ann", 0), ("bob", 0)]
    assert await describe(house) == [("bob", 0, [(1, 5000)])]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ([upsert("c", 1, 4095)], ErrorCode.UNACCEPTABLE_CREDENTIAL),
        ([upsert("c", 2, 16385)], ErrorCode.UNACCEPTABLE_CREDENTIAL),
        ([upsert("", 1)], ErrorCode.UNACCEPTABLE_CREDENTIAL),
        ([upsert("c", 0)], ErrorCode.UNSUPPORTED_SASL_MECHANISM),
        ([delete("c", 3)], ErrorCode.UNSUPPORTED_SASL_MECHANISM),
        ([delete("c")], ErrorCode.RESOURCE_NOT_FOUND),
        ([delete("ann", 2)], ErrorCode.RESOURCE_NOT_FOUND),
        ([delete("")], ErrorCode.UNACCEPTABLE_CREDENTIAL),
        ([upsert("c"), upsert("c", 2)], ErrorCode.DUPLICATE_RESOURCE),
        ([delete("ann"), upsert("ann")], ErrorCode.DUPLICATE_RESOURCE),
        ([upsert("c"), upsert("c", 1, 1)], ErrorCode.DUPLICATE_RESOURCE),
        # What is wrong with the first change is told before that there is a second one.
        ([upsert("c", 1, 1), upsert("c")], ErrorCode.UNACCEPTABLE_CREDENTIAL),
    ],
)
async def test_a_change_that_cannot_be_leaves_everything_as_it_was(
    changes: list[ScramCredentialUpsertion | ScramCredentialDeletion], code: int
) -> None:
    house = House()
    await alter(house, upsert("ann"))

    assert await alter(house, *changes) == [(changes[0].name, code)]
    assert await describe(house) == [("ann", 0, [(1, 4096)])]


async def test_what_is_wrong_with_one_user_does_not_hinder_the_others() -> None:
    house = House()

    assert await alter(house, upsert("bad", 9), upsert("good")) == [
        ("bad", ErrorCode.UNSUPPORTED_SASL_MECHANISM),
        ("good", ErrorCode.NONE),
    ]
    assert await describe(house) == [("good", 0, [(1, 4096)])]
