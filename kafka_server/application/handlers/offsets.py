"""OffsetCommit (key 8) v0-10, OffsetFetch (key 9) v0-10, OffsetDelete (key 47) v0: how far a group has read.

Contract
    OffsetCommit  Partitions that do not exist are refused one by one, then the group judges the commit as a whole: its
                  error goes to all other partitions. Without a known partition the group is not asked. A member of
                  the consumer protocol commits with its epoch: STALE_MEMBER_EPOCH, except for partitions that it has
                  had since an epoch that is not newer than the commit's (KIP-1251).
                  Success means stored. Topics and partitions come back in the order of the request.
    OffsetFetch   A partition without an offset, and any partition of an unknown group, is offset -1 without an error.
                  Topics null (v2+) is everything that is committed. Offsets of a topic that was deleted and created
                  anew are not shown under its new id.
    OffsetDelete  Offsets of topics that a member reads are kept: GROUP_SUBSCRIBED_TO_TOPIC. GROUP_ID_NOT_FOUND,
                  NON_EMPTY_GROUP (members that are no consumers) and INVALID_GROUP_ID answer for the whole request.
Version notes
    OffsetCommit  v0 is a commit without a group (Kafka kept those in ZooKeeper; here they are in the same place as all
                  others and are refused while the group has members). v1 brings its own commit time, v2-4 a retention
                  time. v6+ a leader epoch. v9+ GROUP_ID_NOT_FOUND instead of ILLEGAL_GENERATION. v10+ topic ids:
                  UNKNOWN_TOPIC_ID.
    OffsetFetch   v0 answers UNKNOWN_TOPIC_OR_PARTITION where there is no offset. v0-7 name one group and are lifted to
                  the list of v8 and lowered again. v7+ require_stable (KIP-447): UNSTABLE_OFFSET_COMMIT where an open
                  transaction is about to change the offset. v9+ member id and epoch of the consumer protocol:
                  UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH for the group as a whole; classic groups ignore them, as in
                  Kafka. v10+ topic ids; null then leaves out topics that are gone.
Known gaps: none.

Owns: the shapes of these APIs. Must never know: how offsets are stored, the rules of a group.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from kafka_protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from kafka_protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from kafka_protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.explain import EXPLAIN
from kafka_server.application.offset_manager import OffsetCommitCommand, OffsetManager
from kafka_server.application.ports import Clock, PartitionKey, TopicRepository
from kafka_server.domain.committed_offset import NO_TOPIC_ID, CommittedOffset
from kafka_server.domain.errors import (
    CoordinatorNotAvailable,
    DomainError,
    UnknownTopicId,
    UnknownTopicOrPartition,
    UnstableOffsetCommit,
)
from kafka_server.domain.topic import Topic

log = logging.getLogger("kafka_server.group")

NO_OFFSET = CommittedOffset(offset=-1)


class OffsetHandlers:
    """Committing, fetching and deleting the offsets of a group."""

    def __init__(self, offsets: OffsetManager, topics: TopicRepository, clock: Clock) -> None:
        self._offsets = offsets
        self._topics = topics
        self._clock = clock

    # ---- OffsetCommit ------------------------------------------------------------------------------------------------

    def offset_commit(
        self, context: RequestContext, request: OffsetCommitRequest
    ) -> OffsetCommitResponse | Awaitable[OffsetCommitResponse]:
        response = OffsetCommitResponse()
        accepted: dict[PartitionKey, CommittedOffset] = {}
        places: list[tuple[PartitionKey, OffsetCommitResponsePartition]] = []
        now_ms = self._clock.now_ms()
        for asked in request.topics:
            topic, code = self._find_commit_topic(asked, context.api_version)
            answer = OffsetCommitResponseTopic(name=asked.name, topic_id=asked.topic_id)
            response.topics.append(answer)
            for one in asked.partitions:
                place = OffsetCommitResponsePartition(partition_index=one.partition_index, error_code=code)
                answer.partitions.append(place)
                if topic is None:
                    continue
                if not 0 <= one.partition_index < topic.partition_count:
                    place.error_code = UnknownTopicOrPartition.code
                    continue
                key = (topic.name, one.partition_index)
                accepted[key] = committed_offset(one, topic.topic_id, request.retention_time_ms, now_ms)
                places.append((key, place))
        if not accepted:
            return response
        command = OffsetCommitCommand(
            request.group_id,
            request.member_id,
            request.group_instance_id,
            request.generation_id_or_member_epoch,
            accepted,
            knows_missing_groups=context.api_version >= 9,
            knows_epochs=context.api_version >= 9,
        )
        try:
            outcome = self._offsets.commit(command)
        except DomainError as error:
            for _, place in places:
                place.error_code = error.code
            return response
        for key, place in places:
            place.error_code = outcome.codes.get(key, 0)
        if outcome.stored is None:
            return response
        return self._finish_commit(outcome.stored, response, [place for _, place in places if not place.error_code])

    async def _finish_commit(
        self,
        stored: Awaitable[None],
        response: OffsetCommitResponse,
        places: list[OffsetCommitResponsePartition],
    ) -> OffsetCommitResponse:
        try:
            await asyncio.shield(stored)  # Several commits may share one write; a client that leaves must not stop it.
        except DomainError:
            for place in places:
                place.error_code = CoordinatorNotAvailable.code
        return response

    def _find_commit_topic(self, asked: OffsetCommitRequestTopic, version: int) -> tuple[Topic | None, int]:
        if version >= 10:
            topic = self._topics.get_by_id(asked.topic_id)
            return topic, UnknownTopicId.code if topic is None else 0
        topic = self._topics.get(asked.name)
        return topic, UnknownTopicOrPartition.code if topic is None else 0

    # ---- OffsetFetch -------------------------------------------------------------------------------------------------

    def offset_fetch(self, context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse:
        version = context.api_version
        groups = [self._fetch_group(group, version, request.require_stable) for group in lift_fetch(request, version)]
        return lower_fetch(groups, version)

    def _fetch_group(
        self, asked: OffsetFetchRequestGroup, version: int, require_stable: bool
    ) -> OffsetFetchResponseGroup:
        try:
            self._offsets.validate_fetch(asked.group_id, asked.member_id, asked.member_epoch)
        except DomainError as error:
            return OffsetFetchResponseGroup(group_id=asked.group_id, error_code=error.code)
        offsets = self._offsets.fetch(asked.group_id)

        def is_unstable(partition: PartitionKey) -> bool:
            return require_stable and self._offsets.is_unstable(asked.group_id, partition)

        if log.isEnabledFor(EXPLAIN):
            count = sum(len(partitions) for partitions in offsets.values())
            log.log(EXPLAIN, "Group %s asks where it stopped; it has committed %d offset(s)", asked.group_id, count)
        if asked.topics is None:
            topics = self._all_offsets(offsets, version, is_unstable)
        else:
            topics = [self._fetch_topic(topic, offsets, version, is_unstable) for topic in asked.topics]
        return OffsetFetchResponseGroup(group_id=asked.group_id, topics=topics)

    def _fetch_topic(
        self,
        asked: OffsetFetchRequestTopics,
        offsets: Mapping[str, Mapping[int, CommittedOffset]],
        version: int,
        is_unstable: Callable[[PartitionKey], bool],
    ) -> OffsetFetchResponseTopics:
        name, missing_code = asked.name, UnknownTopicOrPartition.code if version == 0 else 0
        if version >= 10:
            topic = self._topics.get_by_id(asked.topic_id)
            name, missing_code = (topic.name, 0) if topic is not None else ("", UnknownTopicId.code)
        known = offsets.get(name, {})
        partitions = []
        for index in asked.partition_indexes:
            offset = known.get(index)
            if is_unstable((name, index)):
                partitions.append(fetched(index, NO_OFFSET, UnstableOffsetCommit.code))
            elif offset is None or not offset.belongs_to(asked.topic_id):
                partitions.append(fetched(index, NO_OFFSET, missing_code))
            else:
                partitions.append(fetched(index, offset, 0))
        return OffsetFetchResponseTopics(name=name, topic_id=asked.topic_id, partitions=partitions)

    def _all_offsets(
        self,
        offsets: Mapping[str, Mapping[int, CommittedOffset]],
        version: int,
        is_unstable: Callable[[PartitionKey], bool],
    ) -> list[OffsetFetchResponseTopics]:
        answers = []
        for name, known in offsets.items():
            topic = self._topics.get(name)
            if topic is None and version >= 10:
                continue
            topic_id = NO_TOPIC_ID if topic is None else topic.topic_id
            partitions = [
                fetched(index, NO_OFFSET, UnstableOffsetCommit.code)
                if is_unstable((name, index))
                else fetched(index, offset, 0)
                for index, offset in known.items()
            ]
            answers.append(OffsetFetchResponseTopics(name=name, topic_id=topic_id, partitions=partitions))
        return answers

    # ---- OffsetDelete ------------------------------------------------------------------------------------------------

    def offset_delete(
        self, context: RequestContext, request: OffsetDeleteRequest
    ) -> OffsetDeleteResponse | Awaitable[OffsetDeleteResponse]:
        response = OffsetDeleteResponse()
        places: list[tuple[PartitionKey, OffsetDeleteResponsePartition]] = []
        for asked in request.topics:
            topic = self._topics.get(asked.name)
            answer = OffsetDeleteResponseTopic(name=asked.name)
            response.topics.append(answer)
            for one in asked.partitions:
                place = OffsetDeleteResponsePartition(partition_index=one.partition_index)
                answer.partitions.append(place)
                if topic is None or not 0 <= one.partition_index < topic.partition_count:
                    place.error_code = UnknownTopicOrPartition.code
                else:
                    places.append(((topic.name, one.partition_index), place))
        try:
            outcome = self._offsets.delete(request.group_id, [key for key, _ in places])
        except DomainError as error:
            return OffsetDeleteResponse(error_code=error.code)
        for key, place in places:
            place.error_code = outcome.codes.get(key, 0)
        return response if outcome.stored is None else self._finish_delete(outcome.stored, response)

    async def _finish_delete(self, stored: Awaitable[None], response: OffsetDeleteResponse) -> OffsetDeleteResponse:
        try:
            await asyncio.shield(stored)
        except DomainError:
            return OffsetDeleteResponse(error_code=CoordinatorNotAvailable.code)
        return response


TIME_MAX = 2**63 - 1
"""Clients ask for this retention when they mean for ever; the end of life is an int64, too."""


def committed_offset(
    one: OffsetCommitRequestPartition, topic_id: bytes, retention_time_ms: int, now_ms: int
) -> CommittedOffset:
    """What is stored for one partition; times that the client did not set are the broker's."""
    return CommittedOffset(
        offset=one.committed_offset,
        leader_epoch=one.committed_leader_epoch,
        metadata=one.committed_metadata or "",
        committed_at_ms=now_ms if one.commit_timestamp == -1 else one.commit_timestamp,
        expires_at_ms=-1 if retention_time_ms == -1 else min(now_ms + retention_time_ms, TIME_MAX),
        topic_id=topic_id,
    )


def fetched(index: int, offset: CommittedOffset, code: int) -> OffsetFetchResponsePartitions:
    return OffsetFetchResponsePartitions(
        partition_index=index,
        committed_offset=offset.offset,
        committed_leader_epoch=offset.leader_epoch,
        metadata=offset.metadata,
        error_code=code,
    )


def lift_fetch(request: OffsetFetchRequest, version: int) -> list[OffsetFetchRequestGroup]:
    """The groups that are asked about, as the list that v8 introduced (KIP-709)."""
    if version >= 8:
        return request.groups
    topics = request.topics
    lifted = None
    if topics is not None:
        lifted = [OffsetFetchRequestTopics(name=t.name, partition_indexes=t.partition_indexes) for t in topics]
    return [OffsetFetchRequestGroup(group_id=request.group_id, topics=lifted)]


def lower_fetch(groups: list[OffsetFetchResponseGroup], version: int) -> OffsetFetchResponse:
    """The answer in the shape of the version; before v8 there is exactly one group."""
    if version >= 8:
        return OffsetFetchResponse(groups=groups)
    (group,) = groups
    topics = [
        OffsetFetchResponseTopic(
            name=topic.name,
            partitions=[
                OffsetFetchResponsePartition(
                    partition_index=one.partition_index,
                    committed_offset=one.committed_offset,
                    committed_leader_epoch=one.committed_leader_epoch if version >= 5 else -1,
                    metadata=one.metadata,
                    error_code=one.error_code,
                )
                for one in topic.partitions
            ],
        )
        for topic in group.topics
    ]
    return OffsetFetchResponse(topics=topics, error_code=group.error_code)
