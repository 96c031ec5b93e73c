"""What every GroupRepository and OffsetRepository does. An adapter joins by adding itself to ``ADAPTERS``."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

import pytest

from kafka_server.application.ports import GroupRepository, OffsetRepository
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.consumer_member import ClassicFacts, ConsumerMember, MemberState
from kafka_server.domain.group_snapshot import ConsumerGroupSnapshot, GroupSnapshot, MemberSnapshot
from kafka_server.domain.group_subscription import FoundTopics
from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository, MemoryOffsetRepository
from kafka_server.infrastructure.storage.sqlite.repositories import SqliteGroupRepository, SqliteOffsetRepository
from tests.ports.stores import Stores

Opener = Callable[[], tuple[GroupRepository, OffsetRepository]]
"""Opens both on the same storage; calling it again is a restart."""


def memory(_: Stores) -> Opener:
    repositories = MemoryGroupRepository(), MemoryOffsetRepository()
    return lambda: repositories


def sqlite(stores: Stores) -> Opener:
    def open_both() -> tuple[GroupRepository, OffsetRepository]:
        store = stores.open()
        return SqliteGroupRepository(store), SqliteOffsetRepository(store)

    return open_both


ADAPTERS: dict[str, Callable[[Stores], Opener]] = {"memory": memory, "sqlite": sqlite}


@pytest.fixture(params=list(ADAPTERS))
def reopen(request: pytest.FixtureRequest, stores: Stores) -> Opener:
    return ADAPTERS[request.param](stores)


async def done(write: Awaitable[None] | None) -> None:
    """Waits until a write is durable."""
    if inspect.isawaitable(write):
        await write


MEMBER = MemberSnapshot("m", "i", "c", "/1.2.3.4", 10_000, 60_000, (("range", b"\x00\xff"), ("sticky", b"")), b"\x01")
GROUP = GroupSnapshot("g", 3, "consumer", "range", "m", 1_700_000_000_000, (MEMBER,))
EMPTY = GroupSnapshot("e", 2**31 - 1, None, None, None, 0, ())
OFFSET = CommittedOffset(2**62, 4, "méta\n", 1_700_000_000_000, 1_700_000_000_001, bytes(range(16)))


async def test_a_new_storage_is_empty(reopen: Opener) -> None:
    groups, offsets = reopen()
    assert list(await groups.load()) == []
    assert dict(await offsets.load()) == {}


async def test_a_group_comes_back_as_it_was(reopen: Opener) -> None:
    groups, _ = reopen()
    await done(groups.save(GROUP))
    await done(groups.save(EMPTY))
    again, _ = reopen()
    assert {group.group_id: group for group in await again.load()} == {"g": GROUP, "e": EMPTY}


async def test_saving_replaces_and_deleting_forgets(reopen: Opener) -> None:
    groups, _ = reopen()
    await done(groups.save(GROUP))
    newer = GroupSnapshot("g", 4, "consumer", None, None, 1, ())
    await done(groups.save(newer))
    assert list(await reopen()[0].load()) == [newer]
    await done(groups.delete("g"))
    await done(groups.delete("never stored"))
    assert list(await reopen()[0].load()) == []


def consumer_group(group_id: str = "c") -> ConsumerGroupSnapshot:
    topic = bytes(range(16))
    moving = ConsumerMember(
        "m",
        3,
        2,
        "i",
        "r",
        "c",
        "/1.2.3.4",
        60_000,
        frozenset({"t", "é"}),
        "t.*",
        "range",
        MemberState.UNREVOKED_PARTITIONS,
        {topic: {0: 1, 7: 3}},
        {topic: {2: 1}, b"u" * 16: {0: 2}},
    )
    classic = ConsumerMember("n", 3, classic=ClassicFacts(10_000, (("range", b"\x00\xff"), ("sticky", b""))))
    found = (FoundTopics("t.*", frozenset({"t", "tt"}), 1_700_000_000_000),)
    targets = {"m": {topic: frozenset({0, 7})}, "n": {}}
    return ConsumerGroupSnapshot(
        group_id, 4, 3, 1_700_000_000_001, b"\x00hash\xff..", (moving, classic), targets, found
    )


async def test_a_consumer_group_comes_back_as_it_was(reopen: Opener) -> None:
    groups, _ = reopen()
    await done(groups.save(consumer_group()))
    await done(groups.save(GROUP))
    empty = ConsumerGroupSnapshot("e", 9, 9, 0, b"", (), {}, ())
    await done(groups.save(empty))
    again, _ = reopen()
    assert {group.group_id: group for group in await again.load()} == {"c": consumer_group(), "g": GROUP, "e": empty}


async def test_a_group_that_changes_its_type_leaves_nothing_of_the_other(reopen: Opener) -> None:
    groups, _ = reopen()
    await done(groups.save(GROUP))
    await done(groups.save(consumer_group("g")))
    assert list(await reopen()[0].load()) == [consumer_group("g")]
    await done(groups.save(GROUP))
    assert list(await reopen()[0].load()) == [GROUP]
    await done(groups.save(consumer_group("g")))
    await done(groups.delete("g"))
    assert list(await reopen()[0].load()) == []


async def test_offsets_come_back_as_they_were(reopen: Opener) -> None:
    _, offsets = reopen()
    await done(offsets.commit("g", {("t", 0): OFFSET, ("t", 1): CommittedOffset(0)}))
    await done(offsets.commit("h", {("t", 0): CommittedOffset(7)}))
    stored = await reopen()[1].load()
    assert stored == {"g": {("t", 0): OFFSET, ("t", 1): CommittedOffset(0)}, "h": {("t", 0): CommittedOffset(7)}}


async def test_the_last_commit_of_a_partition_counts(reopen: Opener) -> None:
    _, offsets = reopen()
    for position in (3, 9, 5):
        await done(offsets.commit("g", {("t", 0): CommittedOffset(position)}))
    assert (await reopen()[1].load())["g"][("t", 0)].offset == 5


async def test_writes_finish_in_the_order_in_which_they_were_asked_for(reopen: Opener) -> None:
    _, offsets = reopen()
    writes = [offsets.commit("g", {("t", 0): CommittedOffset(position)}) for position in range(20)]
    writes.append(offsets.delete("g", [("t", 0)]))
    writes.append(offsets.commit("g", {("t", 1): CommittedOffset(1)}))
    for write in writes:
        await done(write)
    assert await reopen()[1].load() == {"g": {("t", 1): CommittedOffset(1)}}


async def test_deleted_offsets_are_gone_and_others_stay(reopen: Opener) -> None:
    _, offsets = reopen()
    await done(offsets.commit("g", {("t", 0): OFFSET, ("u", 0): OFFSET}))
    await done(offsets.delete("g", [("t", 0), ("never", 9)]))
    assert await reopen()[1].load() == {"g": {("u", 0): OFFSET}}
    await done(offsets.delete("g", [("u", 0)]))
    assert dict(await reopen()[1].load()) == {}


async def test_offsets_and_groups_do_not_depend_on_each_other(reopen: Opener) -> None:
    groups, offsets = reopen()
    await done(groups.save(GROUP))
    await done(offsets.commit("g", {("t", 0): OFFSET}))
    await done(groups.delete("g"))
    assert "g" in await reopen()[1].load()


async def test_what_load_returned_does_not_change_afterwards(reopen: Opener) -> None:
    _, offsets = reopen()
    await done(offsets.commit("g", {("t", 0): OFFSET}))
    loaded = await offsets.load()
    await done(offsets.delete("g", [("t", 0)]))
    assert loaded == {"g": {("t", 0): OFFSET}}
