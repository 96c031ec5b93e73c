"""The coordinator around the groups: timers, durability, restart, limits, counters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from kafka_protocol.messages.delete_groups import DeleteGroupsRequest
from kafka_protocol.messages.heartbeat import HeartbeatRequest
from kafka_protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity

from kafka_server.application.group_coordinator import GroupSettings
from kafka_server.application.offset_manager import OffsetSettings
from kafka_server.domain.errors import CoordinatorNotAvailable, StorageError, UnknownMemberId
from kafka_server.domain.group_snapshot import GroupSnapshot
from kafka_server.domain.group_values import GroupLimits
from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository, MemoryOffsetRepository
from kafka_server.testing.clock import VirtualClock
from tests.application.group_house import House, settle, waiting
from tests.application.test_offset_handlers import commit, fetch
from tests.domain.group_examples import SESSION_MS


class SlowGroupRepository(MemoryGroupRepository):
    """Stores when told to; ``writes`` are the futures to resolve."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[asyncio.Future[None]] = []

    def save(self, group: GroupSnapshot) -> Awaitable[None]:  # type: ignore[override]
        super().save(group)
        self.writes.append(asyncio.get_running_loop().create_future())
        return self.writes[-1]


async def test_the_assignment_is_answered_only_when_it_is_stored() -> None:
    disk = SlowGroupRepository()
    house = await House(groups=disk).open()
    joined = house.join(version=3)
    synced = waiting(house.sync(joined, {joined.member_id: b"all"}))
    await settle()
    assert not synced.done()
    assert house.ask(HeartbeatRequest("g", 1, joined.member_id)).error_code == 0
    disk.writes[0].set_result(None)
    assert (await synced).assignment == b"all"


async def test_answers_that_follow_wait_behind_the_store_in_order() -> None:
    disk = SlowGroupRepository()
    house = await House(groups=disk).open()
    joined = house.join(version=3)
    first = waiting(house.sync(joined))
    again = waiting(house.sync(joined))
    await settle()
    assert not first.done()
    assert not again.done()
    disk.writes[0].set_result(None)
    assert [(await first).error_code, (await again).error_code] == [0, 0]


async def test_a_change_while_storing_is_stored_too_before_anybody_is_answered() -> None:
    disk = SlowGroupRepository()
    house = await House(groups=disk).open()
    joined = house.join(version=3)
    synced = waiting(house.sync(joined))
    house.ask(LeaveGroupRequest("g", members=[MemberIdentity(joined.member_id)]))
    disk.writes[0].set_result(None)
    await settle()
    assert not synced.done()
    disk.writes[1].set_result(None)
    await synced
    assert (await disk.load())[0].members == ()


async def test_a_group_that_cannot_be_stored_tells_its_members_to_look_again() -> None:
    disk = SlowGroupRepository()
    house = await House(groups=disk).open()
    joined = house.join(version=3)
    synced = waiting(house.sync(joined))
    await settle()
    disk.writes[0].set_exception(StorageError())
    assert (await synced).error_code == CoordinatorNotAvailable.code


async def test_groups_and_offsets_survive_a_restart() -> None:
    groups, offsets = MemoryGroupRepository(), MemoryOffsetRepository()
    before = await House(groups=groups, offsets=offsets).open()
    member = before.stable_member()
    commit(before, 5, member_id=member.member_id, generation_id_or_member_epoch=1)
    commit(before, 6, group_id="o")
    after = await House(groups=groups, offsets=offsets).open()
    assert after.ask(HeartbeatRequest("g", 1, member.member_id)).error_code == 0
    assert after.sync(member).assignment == b"all"
    assert fetch(after)[0] == 5
    assert after.coordinator.find("o").state_name == "Empty"


async def test_a_member_that_does_not_come_back_after_a_restart_is_out_after_its_session() -> None:
    groups = MemoryGroupRepository()
    await_member = (await House(groups=groups).open()).stable_member()
    after = await House(groups=groups).open()
    after.clock.advance(SESSION_MS)
    assert after.ask(HeartbeatRequest("g", 1, await_member.member_id)).error_code == UnknownMemberId.code
    assert after.coordinator.find("g").generation == 2


async def test_a_deleted_group_is_gone_after_a_restart() -> None:
    groups = MemoryGroupRepository()
    house = await House(groups=groups).open()
    member = house.stable_member()
    house.ask(LeaveGroupRequest("g", members=[MemberIdentity(member.member_id)]))
    house.ask(DeleteGroupsRequest(["g"]))
    assert await groups.load() == []


async def test_heartbeats_of_thousands_of_members_set_no_timers() -> None:
    house = await House().open()
    member = house.stable_member()
    before = house.clock.pending()
    for _ in range(1_000):
        house.coordinator.heartbeat("g", member.member_id, None, 1)
        house.clock.advance(1)
    assert house.clock.pending() == before


async def test_a_closed_coordinator_leaves_no_timer_behind() -> None:
    house = await House().open()
    house.stable_member()
    await house.manager.close()
    await house.coordinator.close()
    assert house.clock.pending() == 0


async def test_the_number_of_groups_is_bounded() -> None:
    house = await House(group_settings=GroupSettings(groups_max=1)).open()
    house.stable_member()
    assert house.join(group_id="h").error_code == CoordinatorNotAvailable.code
    assert commit(house, group_id="h") == [CoordinatorNotAvailable.code]
    assert house.coordinator.counters.groups_refused == 2


async def test_the_empty_group_of_a_stranger_that_was_refused_goes_with_the_next_sweep() -> None:
    house = await House().open()
    house.join(protocols=[])
    assert [group.state_name for group in house.coordinator.all()] == ["Empty"]
    house.manager.expire()
    assert list(house.coordinator.all()) == []


async def test_what_happened_is_counted() -> None:
    house = await House().open()
    house.stable_member()
    assert house.coordinator.count_by_state() == {
        "Empty": 0,
        "PreparingRebalance": 0,
        "CompletingRebalance": 0,
        "Stable": 1,
        "Assigning": 0,
        "Reconciling": 0,
    }
    assert house.coordinator.count_members() == 1
    house.clock.advance(SESSION_MS)
    counters = house.coordinator.counters
    assert (counters.rebalances_started, counters.rebalances_completed, counters.members_removed) == (2, 2, 1)


# ---- expiry ----------------------------------------------------------------------------------------------------------

HOUR_MS = 3_600_000
RETENTION = OffsetSettings(retention_ms=HOUR_MS, retention_check_interval_ms=60_000)


async def test_offsets_of_nobody_expire_after_their_last_commit_and_the_group_with_them() -> None:
    house = await House(offset_settings=RETENTION).open()
    commit(house, 5)
    house.clock.advance(HOUR_MS - 60_000)
    assert fetch(house)[0] == 5
    house.clock.advance(60_000)
    assert fetch(house)[0] == -1
    assert list(house.coordinator.all()) == []
    assert house.manager.counters.expirations == 1


async def test_offsets_of_a_group_expire_an_hour_after_its_last_member_left() -> None:
    house = await House(offset_settings=RETENTION).open()
    member = house.stable_member()
    commit(house, 5, member_id=member.member_id, generation_id_or_member_epoch=1)
    for _ in range(2 * HOUR_MS // SESSION_MS):
        house.clock.advance(SESSION_MS - 1)
        house.coordinator.heartbeat("g", member.member_id, None, 1)
    assert fetch(house)[0] == 5
    house.coordinator.leave("g", [])
    house.ask(LeaveGroupRequest("g", members=[MemberIdentity(member.member_id)]))
    house.clock.advance(HOUR_MS - 60_000)
    assert fetch(house)[0] == 5
    house.clock.advance(120_000)
    assert fetch(house)[0] == -1


@pytest.mark.parametrize("version", [2, 3, 4])
async def test_a_client_of_version_2_to_4_may_set_the_time_itself(version: int) -> None:
    house = await House(offset_settings=RETENTION).open()
    commit(house, 5, version, retention_time_ms=120_000)
    house.clock.advance(120_000)
    assert fetch(house)[0] == -1


async def test_version_1_brings_its_own_commit_time() -> None:
    house = await House(offset_settings=RETENTION).open()
    half_an_hour_ago = house.clock.now_ms() - HOUR_MS // 2
    commit(house, 5, 1, committed_at_ms=half_an_hour_ago)
    assert house.manager.fetch("g")["t"][0].committed_at_ms == half_an_hour_ago
    house.clock.advance(HOUR_MS // 2)
    assert fetch(house)[0] == -1


async def test_a_handed_out_id_is_not_swept_away_with_its_empty_group() -> None:
    long_ms = 1_800_000
    house = await House(group_settings=GroupSettings(limits=GroupLimits()), offset_settings=RETENTION).open()
    hello = house.join(version=9, session_timeout_ms=long_ms)
    house.clock.advance(120_000)
    assert house.join(hello.member_id, version=9, session_timeout_ms=long_ms).error_code == 0


class ClockThatIsSet(VirtualClock):
    """An administrator sets the date; the time that passes is the same."""

    set_forward_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.set_forward_ms


async def test_setting_the_date_ends_no_session() -> None:
    clock = ClockThatIsSet()
    house = await House(clock=clock).open()
    member = house.stable_member()
    clock.set_forward_ms = 365 * 24 * HOUR_MS
    clock.advance(SESSION_MS - 1)
    assert house.ask(HeartbeatRequest("g", 1, member.member_id)).error_code == 0
    clock.set_forward_ms = -365 * 24 * HOUR_MS
    clock.advance(SESSION_MS)
    assert house.coordinator.find("g").state_name == "Empty"
