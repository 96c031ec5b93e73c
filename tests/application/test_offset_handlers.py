"""OffsetCommit, OffsetFetch and OffsetDelete as clients of every version see them."""

from __future__ import annotations

from typing import Any

import pytest
from kafka_protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from kafka_protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from kafka_protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from kafka_protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)

from kafka_server.domain.errors import (
    GroupIdNotFound,
    GroupSubscribedToTopic,
    IllegalGeneration,
    InvalidGroupId,
    NonEmptyGroup,
    OffsetMetadataTooLarge,
    RebalanceInProgress,
    UnknownMemberId,
    UnknownTopicId,
    UnknownTopicOrPartition,
)
from kafka_server.domain.topic import Topic
from tests.application.group_house import TOPIC_ID, House, waiting


def commit(house: House, offset: int = 5, version: int = 9, **changes: Any) -> list[int]:
    """Commits ``offset`` for t-0; the error codes of the answer."""
    epoch, at_ms = changes.pop("epoch", -1), changes.pop("committed_at_ms", -1)
    partition = OffsetCommitRequestPartition(0, offset, epoch, at_ms, changes.pop("metadata", "m"))
    topic = OffsetCommitRequestTopic(changes.pop("topic", "t"), changes.pop("topic_id", TOPIC_ID), [partition])
    answer = house.ask(OffsetCommitRequest(**{"group_id": "g", "topics": [topic], **changes}), version)
    return [place.error_code for topic in answer.topics for place in topic.partitions]


def fetch(house: House, version: int = 9, topic_id: bytes = TOPIC_ID) -> tuple[int, int, str | None, int]:
    """Offset, leader epoch, metadata and error code of t-0."""
    group = OffsetFetchRequestGroup("g", topics=[OffsetFetchRequestTopics("t", topic_id, [0])])
    request = OffsetFetchRequest(group_id="g", topics=[OffsetFetchRequestTopic("t", [0])])
    if version >= 8:
        request = OffsetFetchRequest(groups=[group])
    answer = house.ask(request, version)
    (place,) = (answer.groups[0] if version >= 8 else answer).topics[0].partitions
    return place.committed_offset, place.committed_leader_epoch, place.metadata, place.error_code


@pytest.mark.parametrize("version", range(11))
async def test_who_has_no_group_commits_in_every_version(version: int) -> None:
    house = await House().open()
    assert commit(house, 5, version, epoch=3) == [0]
    assert fetch(house) == (5, 3 if version >= 6 else -1, "m", 0)


@pytest.mark.parametrize("version", range(1, 11))
async def test_a_member_commits_in_every_version(version: int) -> None:
    house = await House().open()
    member = house.stable_member()
    assert commit(house, 5, version, member_id=member.member_id, generation_id_or_member_epoch=1) == [0]


@pytest.mark.parametrize("version", range(11))
async def test_what_was_committed_is_fetched_in_every_version(version: int) -> None:
    house = await House().open()
    commit(house, 5, epoch=2)
    assert fetch(house, version) == (5, 2 if version >= 5 else -1, "m", 0)


@pytest.mark.parametrize("version", range(11))
async def test_no_offset_is_minus_one_and_an_error_only_in_version_0(version: int) -> None:
    house = await House().open()
    assert fetch(house, version) == (-1, -1, "", 0 if version else UnknownTopicOrPartition.code)


async def test_members_must_name_themselves_and_their_generation() -> None:
    house = await House().open()
    member = house.stable_member()
    assert commit(house) == [UnknownMemberId.code]
    assert commit(house, member_id=member.member_id, generation_id_or_member_epoch=0) == [IllegalGeneration.code]
    assert commit(house, member_id="x", generation_id_or_member_epoch=1) == [UnknownMemberId.code]
    assert fetch(house)[0] == -1


async def test_a_commit_between_join_and_sync_is_too_early() -> None:
    house = await House().open()
    joined = house.join(version=3)
    codes = commit(house, member_id=joined.member_id, generation_id_or_member_epoch=1)
    assert codes == [RebalanceInProgress.code]


@pytest.mark.parametrize(("version", "code"), [(8, IllegalGeneration.code), (9, GroupIdNotFound.code)])
async def test_a_member_of_a_group_that_is_gone_learns_it_by_version(version: int, code: int) -> None:
    house = await House().open()
    assert commit(house, version=version, member_id="m", generation_id_or_member_epoch=4) == [code]


async def test_unknown_topics_and_partitions_are_refused_one_by_one_in_the_order_of_the_request() -> None:
    house = await House().open()
    topics = [
        OffsetCommitRequestTopic("nope", partitions=[OffsetCommitRequestPartition(0, 1)]),
        OffsetCommitRequestTopic("t", partitions=[OffsetCommitRequestPartition(i, 1) for i in (2, 1, -1)]),
    ]
    answer = house.ask(OffsetCommitRequest("g", topics=topics), 9)
    missing = UnknownTopicOrPartition.code
    assert [(t.name, [(p.partition_index, p.error_code) for p in t.partitions]) for t in answer.topics] == [
        ("nope", [(0, missing)]),
        ("t", [(2, missing), (1, 0), (-1, missing)]),
    ]


async def test_what_the_group_says_is_for_the_partitions_that_exist() -> None:
    house = await House().open()
    house.stable_member()
    places = [OffsetCommitRequestPartition(index, 1) for index in (0, 2)]
    answer = house.ask(OffsetCommitRequest("g", topics=[OffsetCommitRequestTopic("t", partitions=places)]), 9)
    codes = [place.error_code for place in answer.topics[0].partitions]
    assert codes == [UnknownMemberId.code, UnknownTopicOrPartition.code]


async def test_without_a_known_partition_the_group_is_not_asked() -> None:
    house = await House().open()
    house.stable_member()
    assert commit(house, topic="nope") == [UnknownTopicOrPartition.code]


async def test_topic_ids_are_checked_from_version_10_on() -> None:
    house = await House().open()
    assert commit(house, version=10, topic_id=b"x" * 16) == [UnknownTopicId.code]
    assert fetch(house, 10, topic_id=b"x" * 16)[3] == UnknownTopicId.code


async def test_a_topic_created_anew_does_not_inherit_offsets_under_its_new_id() -> None:
    house = await House().open()
    commit(house, 5)
    old = house.topics.get("t")
    assert old is not None
    await house.topics.remove(old)
    await house.topics.add(Topic("t", b"n" * 16, 1))
    assert fetch(house, 10, topic_id=b"n" * 16) == (-1, -1, "", 0)


async def test_the_offsets_of_a_deleted_topic_are_forgotten() -> None:
    house = await House().open()
    commit(house, 5)
    house.manager.forget_topic("t")
    assert fetch(house)[0] == -1


async def test_long_metadata_is_refused_alone() -> None:
    house = await House().open()
    places = [
        OffsetCommitRequestPartition(0, 1, -1, -1, "x" * 4097),
        OffsetCommitRequestPartition(1, 1, -1, -1, "x" * 4096),
    ]
    answer = house.ask(OffsetCommitRequest("g", topics=[OffsetCommitRequestTopic("t", partitions=places)]), 9)
    assert [place.error_code for place in answer.topics[0].partitions] == [OffsetMetadataTooLarge.code, 0]


async def test_a_commit_of_which_nothing_is_taken_makes_no_group() -> None:
    house = await House().open()
    places = [OffsetCommitRequestPartition(0, 1, -1, -1, "x" * 4097)]
    house.ask(OffsetCommitRequest("nobody", topics=[OffsetCommitRequestTopic("t", partitions=places)]), 9)
    assert "nobody" not in {group.group_id for group in house.coordinator.all()}


async def test_null_metadata_is_stored_as_empty() -> None:
    house = await House().open()
    commit(house, metadata=None)
    assert fetch(house)[2] == ""


@pytest.mark.parametrize("version", range(2, 8))
async def test_null_topics_are_all_offsets_of_the_one_group(version: int) -> None:
    house = await House().open()
    commit(house, 5)
    answer = house.ask(OffsetFetchRequest(group_id="g", topics=None), version)
    assert [(t.name, [p.committed_offset for p in t.partitions]) for t in answer.topics] == [("t", [5])]


@pytest.mark.parametrize("version", [8, 9, 10])
async def test_many_groups_are_answered_in_order_each_with_its_own_offsets(version: int) -> None:
    house = await House().open()
    commit(house, 5)
    commit(house, 6, group_id="h")
    groups = [OffsetFetchRequestGroup(name, topics=None) for name in ("h", "none", "g")]
    answer = house.ask(OffsetFetchRequest(groups=groups, require_stable=True), version)
    assert [(g.group_id, [p.committed_offset for t in g.topics for p in t.partitions]) for g in answer.groups] == [
        ("h", [6]),
        ("none", []),
        ("g", [5]),
    ]
    assert answer.groups[0].topics[0].topic_id == (TOPIC_ID if version == 10 else bytes(16))


def delete(house: House, group_id: str = "g", topic: str = "t", partition: int = 0) -> Any:
    topics = [OffsetDeleteRequestTopic(topic, [OffsetDeleteRequestPartition(partition)])]
    return house.ask(OffsetDeleteRequest(group_id, topics))


async def test_offsets_can_be_deleted() -> None:
    house = await House().open()
    commit(house, 5)
    assert delete(house).topics[0].partitions[0].error_code == 0
    assert fetch(house)[0] == -1
    assert delete(house).topics[0].partitions[0].error_code == 0


async def test_offsets_of_a_topic_that_is_read_are_kept() -> None:
    house = await House().open()
    member = house.stable_member()
    commit(house, 5, member_id=member.member_id, generation_id_or_member_epoch=1)
    assert delete(house).topics[0].partitions[0].error_code == GroupSubscribedToTopic.code
    house.ask(LeaveGroupRequest("g", members=[MemberIdentity(member.member_id)]))
    assert fetch(house)[0] == 5
    assert delete(house).topics[0].partitions[0].error_code == 0


async def test_what_cannot_be_deleted_says_why() -> None:
    house = await House().open()
    house.join(version=3, group_id="worker", protocol_type="connect")
    commit(house, 5)
    assert delete(house, "").error_code == InvalidGroupId.code
    assert delete(house, "none").error_code == GroupIdNotFound.code
    assert delete(house, "worker").error_code == NonEmptyGroup.code
    assert delete(house, "g", "nope").topics[0].partitions[0].error_code == UnknownTopicOrPartition.code


async def test_a_stranger_cannot_commit_while_a_member_waits_to_join() -> None:
    house = await House().open()
    house.stable_member()
    second = waiting(house.join(version=3))
    assert commit(house) == [UnknownMemberId.code]
    second.cancel()


async def test_a_retention_for_ever_is_an_end_of_life_that_a_store_can_hold() -> None:
    house = await House().open()
    assert commit(house, version=2, retention_time_ms=2**63 - 1) == [0]
    (offset,) = house.manager.fetch("g")["t"].values()
    assert offset.expires_at_ms == 2**63 - 1
