"""Consumer groups: members share partitions, commit what they read, and go on there after a restart."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients import records
from tests.clients.conftest import Admin, new_topic, unique
from tests.clients.driver import Driver

Able = Callable[..., None]


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param("group_of_two", id="classic", marks=pytest.mark.feature("group of two")),
        pytest.param("group_of_two_848", id="KIP-848", marks=pytest.mark.feature("KIP-848")),
    ],
)
def test_a_second_member_takes_over_a_part_of_the_partitions(
    driver: Driver, able: Able, admin: Admin, operation: str
) -> None:
    able(operation)
    topic, group = new_topic(admin, f"shared-{driver.name}", partitions=4), unique(f"pair-{driver.name}")
    written = records.make(topic, 16, partitions=4, lacks=driver.lacks)

    story = driver.ask(operation, topic=topic, group=group, records=written)

    assert story["alone"] == [0, 1, 2, 3]
    first, second = story["together"]
    assert len(first) == len(second) == 2
    assert sorted(first + second) == [0, 1, 2, 3]
    records.assert_same(story["records"], written, lacks=driver.lacks)
    if story["described"] is not None:
        assert story["described"] == {"state": "Stable", "members": 2}


@pytest.mark.feature("commit, resume")
def test_a_restarted_consumer_goes_on_where_it_committed(driver: Driver, able: Able, topic: str) -> None:
    able("consume_group")
    group = unique(f"resume-{driver.name}")
    before = records.make(f"{topic}-before", lacks=driver.lacks)
    after = records.make(f"{topic}-after", lacks=driver.lacks)

    driver.ask("produce", topic=topic, codec="none", idempotent=False, records=before)
    first = driver.ask("consume_group", topic=topic, group=group, count=len(before))["records"]
    driver.ask("produce", topic=topic, codec="none", idempotent=False, records=after)
    second = driver.ask("consume_group", topic=topic, group=group, count=len(after))["records"]

    records.assert_same(first, before, lacks=driver.lacks)
    records.assert_same(second, after, lacks=driver.lacks)
    if "committed" in driver.operations:
        assert driver.ask("committed", topic=topic, group=group)["offsets"] == {"0": 8, "1": 8, "2": 8}


@pytest.mark.administration
@pytest.mark.feature("describe group")
def test_a_group_without_members_is_listed_and_described_as_empty(driver: Driver, able: Able, topic: str) -> None:
    able("consume_group", "describe_group", "list_groups")
    group = unique(f"empty-{driver.name}")
    written = records.make(topic, 3, lacks=driver.lacks)
    driver.ask("produce", topic=topic, codec="none", idempotent=False, records=written)
    driver.ask("consume_group", topic=topic, group=group, count=3)

    assert driver.ask("describe_group", group=group) == {"state": "Empty", "members": 0}
    assert group in driver.ask("list_groups")["groups"]


@pytest.mark.administration
@pytest.mark.feature("delete group")
def test_a_deleted_group_forgets_its_offsets(driver: Driver, able: Able, topic: str) -> None:
    able("consume_group", "delete_group", "list_groups")
    group = unique(f"deleted-{driver.name}")
    written = records.make(topic, 3, lacks=driver.lacks)
    driver.ask("produce", topic=topic, codec="none", idempotent=False, records=written)
    driver.ask("consume_group", topic=topic, group=group, count=3)

    driver.ask("delete_group", group=group)

    assert group not in driver.ask("list_groups")["groups"]
    again = driver.ask("consume_group", topic=topic, group=group, count=3)["records"]
    records.assert_same(again, written, lacks=driver.lacks)
