"""ListGroups, DescribeGroups and DeleteGroups as clients of every version see them."""

from __future__ import annotations

import pytest
from kafka_protocol.messages.delete_groups import DeleteGroupsRequest
from kafka_protocol.messages.describe_groups import DescribeGroupsRequest
from kafka_protocol.messages.list_groups import ListGroupsRequest

from kafka_server.domain.errors import GroupIdNotFound, NonEmptyGroup
from tests.application.group_house import House
from tests.application.test_offset_handlers import commit
from tests.domain.group_examples import subscription

ALL_OPERATIONS = 0b1101_0100_1000
"""READ 3, DELETE 6, DESCRIBE 8, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11."""


@pytest.mark.parametrize("version", range(6))
async def test_every_group_is_listed(version: int) -> None:
    house = await House().open()
    house.stable_member()
    commit(house, group_id="offsets-only")
    listed = house.ask(ListGroupsRequest(), version).groups
    assert [(g.group_id, g.protocol_type) for g in listed] == [("g", "consumer"), ("offsets-only", "")]
    assert [g.group_state for g in listed] == (["Stable", "Empty"] if version >= 4 else ["", ""])
    assert [g.group_type for g in listed] == (["classic", "classic"] if version >= 5 else ["", ""])


@pytest.mark.parametrize(
    ("states", "types", "found"),
    [
        (["stable"], [], ["g"]),
        (["EMPTY", "Stable"], [], ["g", "o"]),
        (["NoSuchState"], [], []),
        ([], ["Classic"], ["g", "o"]),
        ([], ["consumer"], []),
        (["Empty"], ["classic", "share"], ["o"]),
    ],
)
async def test_groups_are_filtered_by_state_and_type(states: list[str], types: list[str], found: list[str]) -> None:
    house = await House().open()
    house.stable_member()
    commit(house, group_id="o")
    assert [g.group_id for g in house.ask(ListGroupsRequest(states, types), 5).groups] == found


@pytest.mark.parametrize("version", range(7))
async def test_a_stable_group_shows_its_members(version: int) -> None:
    house = await House().open()
    member = house.stable_member()
    (group,) = house.ask(DescribeGroupsRequest(["g"]), version).groups
    assert (group.error_code, group.group_state, group.protocol_type, group.protocol_data) == (
        0,
        "Stable",
        "consumer",
        "range",
    )
    (shown,) = group.members
    assert (shown.member_id, shown.client_id, shown.client_host) == (member.member_id, "app", "/10.0.0.9")
    assert (shown.member_metadata, shown.member_assignment) == (subscription("t"), b"all")


async def test_a_group_that_rebalances_shows_no_metadata() -> None:
    house = await House().open()
    house.join(version=3)
    (group,) = house.ask(DescribeGroupsRequest(["g"])).groups
    assert (group.group_state, group.protocol_data) == ("CompletingRebalance", "")
    assert group.members[0].member_metadata == b""


@pytest.mark.parametrize("version", range(7))
async def test_a_group_that_is_not_there_is_dead_and_an_error_from_version_6_on(version: int) -> None:
    house = await House().open()
    (group,) = house.ask(DescribeGroupsRequest(["none"], include_authorized_operations=version >= 3), version).groups
    assert group.group_state == "Dead"
    assert group.error_code == (GroupIdNotFound.code if version == 6 else 0)
    assert group.error_message == ("Group none not found." if version == 6 else None)


@pytest.mark.parametrize("version", [3, 6])
async def test_without_an_authorizer_everything_is_allowed(version: int) -> None:
    house = await House().open()
    house.stable_member()
    (asked,) = house.ask(DescribeGroupsRequest(["g"], include_authorized_operations=True), version).groups
    (plain,) = house.ask(DescribeGroupsRequest(["g"]), version).groups
    assert (asked.authorized_operations, plain.authorized_operations) == (ALL_OPERATIONS, -(2**31))


@pytest.mark.parametrize("version", range(4))
async def test_an_empty_group_is_deleted_with_its_offsets(version: int) -> None:
    house = await House().open()
    house.stable_member()
    commit(house, group_id="o")
    answer = house.ask(DeleteGroupsRequest(["o", "g", "none", "o"]), version)
    codes = [("o", 0), ("g", NonEmptyGroup.code), ("none", GroupIdNotFound.code)]
    assert [(r.group_id, r.error_code) for r in answer.results] == codes
    assert [g.group_id for g in house.ask(ListGroupsRequest()).groups] == ["g"]
    assert house.manager.fetch("o") == {}
