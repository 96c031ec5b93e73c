"""Owns: the offsets that groups commit - takes, shows, deletes and expires them, and removes groups with them.
Must never know: the wire, members and generations (it asks the coordinator), how offsets are stored.

All committed offsets are in memory. A commit can be read at once; its sender is told of success when it is stored, so
that after a crash a group may find an offset below one that it *saw*, but never below one that it was *told* is
committed: records may be read twice, which at-least-once allows, and are never skipped.

Offsets of open transactions are staged in a second map and seen by nobody until their transaction commits; until it is
over, a reader who insists on stable offsets (KIP-447) is told to come back. Of a staged offset and a plain commit for
the same partition, the later one counts: a plain commit turns what is staged into None.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from kafka_server.application.explain import EXPLAIN
from kafka_server.application.group_coordinator import GroupCoordinator
from kafka_server.application.ports import Clock, OffsetRepository, PartitionKey, Timer
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.errors import (
    DomainError,
    GroupIdNotFound,
    GroupSubscribedToTopic,
    IllegalGeneration,
    InvalidGroupId,
    OffsetMetadataTooLarge,
    StaleMemberEpoch,
)
from kafka_server.domain.group_values import Group, PartitionCheck

log = logging.getLogger("kafka_server.group")

TopicOffsets = dict[str, dict[int, CommittedOffset]]
StagedOffsets = dict[PartitionKey, CommittedOffset | None]


@dataclass(slots=True, frozen=True)
class OffsetSettings:
    """The broker's configuration of committed offsets."""

    metadata_length_max: int = 4_096
    """``offset.metadata.max.bytes``; Kafka compares it with the length of the text, and so do we."""
    retention_ms: int = 7 * 24 * 3_600_000
    """``offsets.retention.minutes``"""
    retention_check_interval_ms: int = 600_000
    """``offsets.retention.check.interval.ms``"""


@dataclass(slots=True)
class OffsetCounters:
    """What happened to offsets since this process started. All only grow."""

    commits: int = 0
    deletions: int = 0
    expirations: int = 0


@dataclass(slots=True, frozen=True)
class OffsetCommitCommand:
    """A member, or somebody without a group, commits positions."""

    group_id: str
    member_id: str
    instance_id: str | None
    generation: int
    """-1 from clients that are not members."""
    offsets: Mapping[PartitionKey, CommittedOffset]
    knows_missing_groups: bool = True
    """OffsetCommit v9+: a commit to a group that is gone is told GROUP_ID_NOT_FOUND, before that ILLEGAL_GENERATION."""
    knows_epochs: bool = True
    """OffsetCommit v9+: the generation may be the epoch of a member of the consumer protocol (KIP-848)."""


@dataclass(slots=True, frozen=True)
class Outcome:
    """What became of a request about several partitions."""

    codes: Mapping[PartitionKey, int]
    """Error codes of the partitions that were refused."""
    stored: Awaitable[None] | None
    """When the rest is durable; None when it is already. Raises DomainError when it could not be stored."""


class OffsetManager:
    """The committed offsets of all groups."""

    def __init__(
        self, clock: Clock, repository: OffsetRepository, coordinator: GroupCoordinator, settings: OffsetSettings
    ) -> None:
        self._clock = clock
        self._repository = repository
        self._coordinator = coordinator
        self._settings = settings
        self._offsets: dict[str, TopicOffsets] = {}
        self._staged: dict[str, dict[int, StagedOffsets]] = {}
        """Offsets of open transactions by group and producer id."""
        self._timer: Timer | None = None
        self._background: set[asyncio.Future[None]] = set()
        self.counters = OffsetCounters()

    async def load(self) -> None:
        """Brings back what was stored (after the coordinator's groups) and starts to expire offsets."""
        for group_id, offsets in (await self._repository.load()).items():
            self._coordinator.find_or_create(group_id)
            self._apply(group_id, offsets)
        for producer_id, groups in (await self._repository.load_staged()).items():
            for group_id, staged in groups.items():
                self._coordinator.find_or_create(group_id)
                self._staged.setdefault(group_id, {})[producer_id] = dict(staged)
        self.start_expiry()

    async def close(self) -> None:
        """Stops the expiry and lets deletions that are under way finish."""
        if self._timer is not None:
            self._timer.cancel()
        if self._background:
            await asyncio.wait(self._background)

    def commit(self, command: OffsetCommitCommand) -> Outcome:
        """Takes the offsets, all that are acceptable at once. Raises what the group says to the commit as a whole."""
        check = self._validate_commit(command)
        accepted, too_large = self._acceptable(command)
        if check is not None:
            for (_, partition), offset in accepted.items():
                check(offset.topic_id, partition)
        stored: Awaitable[None] | None = None
        if accepted:
            self._coordinator.find_or_create(command.group_id)
            stored = self._repository.commit(command.group_id, accepted)
            if command.group_id in self._staged:
                self._supersede(command.group_id, accepted)
            self._apply(command.group_id, accepted)
            self.counters.commits += len(accepted)
            self._explain_commit(command, accepted)
        return Outcome(dict.fromkeys(too_large, OffsetMetadataTooLarge.code), stored)

    def _acceptable(
        self, command: OffsetCommitCommand
    ) -> tuple[dict[PartitionKey, CommittedOffset], list[PartitionKey]]:
        longest = self._settings.metadata_length_max
        accepted = {key: offset for key, offset in command.offsets.items() if len(offset.metadata) <= longest}
        return accepted, [key for key in command.offsets if key not in accepted]

    # ---- transactions ------------------------------------------------------------------------------------------------

    def stage(self, producer_id: int, command: OffsetCommitCommand) -> Outcome:
        """TxnOffsetCommit: takes the offsets until the producer's transaction ends. Otherwise as ``commit``.

        That the offsets belong to an open transaction is for the caller to know.
        """
        try:
            check = self._validate_commit(command, transactional=True)
        except StaleMemberEpoch:
            raise (StaleMemberEpoch if command.knows_missing_groups else IllegalGeneration) from None
        accepted, too_large = self._acceptable(command)
        codes = dict.fromkeys(too_large, OffsetMetadataTooLarge.code)
        if check is not None:
            codes |= refused(check, accepted)
            accepted = {key: offset for key, offset in accepted.items() if key not in codes}
        stored: Awaitable[None] | None = None
        if accepted:
            self._coordinator.find_or_create(command.group_id)
            stored = self._repository.stage(producer_id, command.group_id, accepted)
            self._staged.setdefault(command.group_id, {}).setdefault(producer_id, {}).update(accepted)
            self._explain_commit(command, accepted)
        return Outcome(codes, stored)

    def end_transaction(
        self, producer_id: int, is_commit: bool, concerns: Callable[[str], bool]
    ) -> Awaitable[None] | None:
        """The producer's transaction is over, for those groups that it concerns: its offsets are committed or dropped.

        Returns when that is durable; None when it is already. Raises StorageError.
        """
        stored: Awaitable[None] | None = None
        for group_id in [group for group, by_producer in self._staged.items() if producer_id in by_producer]:
            if not concerns(group_id):
                continue
            staged = self._staged[group_id][producer_id]
            committed = {key: offset for key, offset in staged.items() if offset is not None and is_commit}
            settled = self._repository.settle(producer_id, group_id, committed)
            if settled is not None:
                stored = settled if stored is None else both(stored, settled)
            self._unstage(group_id, producer_id)
            if committed:
                self._apply(group_id, committed)
                self.counters.commits += len(committed)
        return stored

    def is_unstable(self, group_id: str, partition: PartitionKey) -> bool:
        """Whether an open transaction is about to change this offset."""
        return any(partition in staged for staged in self._staged.get(group_id, {}).values())

    def _supersede(self, group_id: str, accepted: Mapping[PartitionKey, CommittedOffset]) -> None:
        for producer_id, staged in self._staged[group_id].items():
            outdated: StagedOffsets = {key: None for key in accepted if staged.get(key) is not None}
            if outdated:
                staged.update(outdated)
                self._finish_in_background(self._repository.stage(producer_id, group_id, outdated))

    def _unstage(self, group_id: str, producer_id: int) -> None:
        by_producer = self._staged[group_id]
        del by_producer[producer_id]
        if not by_producer:
            del self._staged[group_id]

    # ---- reading and removing ----------------------------------------------------------------------------------------

    def validate_fetch(self, group_id: str, member_id: str | None, epoch: int) -> None:
        """Raises what a member deserves who asks for offsets under an epoch; of an unknown group there are none."""
        with contextlib.suppress(GroupIdNotFound):
            self._coordinator.find(group_id).validate_offset_fetch(member_id, epoch)

    def fetch(self, group_id: str) -> Mapping[str, Mapping[int, CommittedOffset]]:
        """All offsets of the group by topic and partition; empty when there is no such group. Not to be changed."""
        return self._offsets.get(group_id, {})

    def delete(self, group_id: str, partitions: Collection[PartitionKey]) -> Outcome:
        """OffsetDelete. Raises InvalidGroupId, GroupIdNotFound, NonEmptyGroup; topics that members read are refused."""
        if not group_id:
            raise InvalidGroupId
        group = self._coordinator.find(group_id)
        group.validate_offset_delete()
        refused = [key for key in partitions if group.is_subscribed_to(key[0])]
        known = self._offsets.get(group_id, {})
        doomed = [
            key
            for key in partitions
            if key not in refused and (key[1] in known.get(key[0], {}) or self.is_unstable(group_id, key))
        ]
        stored = self._remove(group_id, doomed)
        return Outcome(dict.fromkeys(refused, GroupSubscribedToTopic.code), stored)

    def delete_group(self, group_id: str) -> Awaitable[None] | None:
        """DeleteGroups: an empty group goes with its offsets. Raises GroupIdNotFound, NonEmptyGroup."""
        group_deleted = self._coordinator.delete(group_id)
        doomed = {(topic, index) for topic, offsets in self._offsets.get(group_id, {}).items() for index in offsets}
        doomed.update(key for staged in self._staged.get(group_id, {}).values() for key in staged)
        offsets_deleted = self._remove(group_id, doomed)
        log.info("Group %s was deleted with %d offset(s)", group_id, len(doomed))
        if group_deleted is None or offsets_deleted is None:
            return group_deleted or offsets_deleted
        return both(group_deleted, offsets_deleted)

    def forget_topic(self, topic: str) -> None:
        """The topic was deleted: positions in it mean nothing any more, also if one of that name is created again."""
        for group_id in {**self._offsets, **self._staged}:
            doomed = {(topic, index) for index in self._offsets.get(group_id, {}).get(topic, ())}
            for staged in self._staged.get(group_id, {}).values():
                doomed.update(key for key in staged if key[0] == topic)
            self._finish_in_background(self._remove(group_id, doomed))

    def expire(self) -> None:
        """Removes the offsets whose time is over, and groups that have neither members nor offsets any more."""
        for group in list(self._coordinator.all()):
            topics = self._offsets.get(group.group_id, {})
            doomed = []
            for topic, offsets in topics.items():
                if not group.is_subscribed_to(topic):
                    over = [(topic, index) for index, offset in offsets.items() if self._is_over(group, offset)]
                    doomed += [key for key in over if not self.is_unstable(group.group_id, key)]
            self.counters.expirations += len(doomed)
            if doomed:
                log.log(EXPLAIN, "Group %s: %d unused offset(s) expired", group.group_id, len(doomed))
                self._finish_in_background(self._remove(group.group_id, doomed))
            has_offsets = group.group_id in self._offsets or group.group_id in self._staged
            if group.is_abandoned and not has_offsets:
                self._finish_in_background(self._coordinator.delete(group.group_id))
                log.info("Group %s has neither members nor offsets and was removed", group.group_id)

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _validate_commit(self, command: OffsetCommitCommand, *, transactional: bool = False) -> PartitionCheck | None:
        try:
            return self._coordinator.validate_offset_commit(
                command.group_id,
                command.member_id,
                command.instance_id,
                command.generation,
                transactional=transactional,
                knows_epochs=command.knows_epochs,
            )
        except GroupIdNotFound:
            if command.generation < 0:
                return None  # Offsets without members make a "simple" group, once one of them is taken.
            if command.knows_missing_groups:
                raise
            raise IllegalGeneration from None

    def _apply(self, group_id: str, offsets: Mapping[PartitionKey, CommittedOffset]) -> None:
        topics = self._offsets.setdefault(group_id, {})
        for (topic, partition), offset in offsets.items():
            topics.setdefault(topic, {})[partition] = offset

    def _remove(self, group_id: str, doomed: Collection[PartitionKey]) -> Awaitable[None] | None:
        if not doomed:
            return None
        topics = self._offsets.get(group_id, {})
        for topic, partition in doomed:
            if topic in topics:
                topics[topic].pop(partition, None)
                if not topics[topic]:
                    del topics[topic]
        if not topics:
            self._offsets.pop(group_id, None)
        for producer_id, staged in list(self._staged.get(group_id, {}).items()):
            for key in doomed:
                staged.pop(key, None)
            if not staged:
                self._unstage(group_id, producer_id)
        self.counters.deletions += len(doomed)
        return self._repository.delete(group_id, doomed)

    def _finish_in_background(self, stored: Awaitable[None] | None) -> None:
        """For deletions that no client waits for: what could not be deleted now is found again after a restart."""
        if stored is None:
            return
        task = asyncio.ensure_future(log_failure(stored))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _is_over(self, group: Group, offset: CommittedOffset) -> bool:
        start_ms = group.retention_start_ms(offset)
        if start_ms is None:
            return False
        return offset.is_expired(start_ms, self._settings.retention_ms, self._clock.now_ms())

    def start_expiry(self) -> None:
        """Expires offsets by the clock from now on; ``load`` does this, too."""
        self._timer = self._clock.call_later(self._settings.retention_check_interval_ms, self._expire_and_go_on)

    def _expire_and_go_on(self) -> None:
        try:
            self.expire()
        except DomainError as error:
            log.error("Unused offsets could not be removed: %s", error)
        self.start_expiry()

    def _explain_commit(self, command: OffsetCommitCommand, accepted: Mapping[PartitionKey, CommittedOffset]) -> None:
        if log.isEnabledFor(EXPLAIN):
            what = ", ".join(f"{topic}-{index}@{offset.offset}" for (topic, index), offset in accepted.items())
            who = command.member_id or "a client that is no member"
            log.log(EXPLAIN, "Group %s: %s commits %s", command.group_id, who, what)


def refused(check: PartitionCheck, offsets: Mapping[PartitionKey, CommittedOffset]) -> dict[PartitionKey, int]:
    """The error codes of the partitions that do not pass the group's check."""
    codes: dict[PartitionKey, int] = {}
    for key, offset in offsets.items():
        try:
            check(offset.topic_id, key[1])
        except DomainError as error:
            codes[key] = error.code
    return codes


async def log_failure(stored: Awaitable[None]) -> None:
    try:
        await stored
    except DomainError as error:
        log.error("Offsets could not be deleted: %s", error)


async def both(first: Awaitable[None], second: Awaitable[None]) -> None:
    await first
    await second
