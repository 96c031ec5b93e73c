"""Owns: moving the log of one partition to another data folder while it is written and read (KIP-113).

Must never know: which folders there are, requests, what a batch holds.

    <other>/orders-0.<id>-future     the copy, until it holds what the log holds; a crash leaves nothing that counts
    <other>/orders-0/.moved-here     from the rename on: this one counts, should an orders-0 lie in two folders
    <old>/orders-0.<id>-delete       what was moved, until file.delete.delay.ms is over

A thread copies, round by round, what the log has and the copy has not, and syncs it. When little is missing the rest is
done on the event loop, between two syncs of the log, where nothing is appended: copy it, sync, rename the copy to its
final name, rename the old folder away, and go on in the new one. That holds everybody up for a few syncs, and in return
nobody ever sees a log in two places, or none.

Everything that was acknowledged is in the folder that a crash leaves to be found: until the first rename is durable in
the old one, whose bytes nobody touched; from then on in the new one, which was synced before.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from kafka_server.domain.aborted_transactions import AbortedTransaction
from kafka_server.domain.partition import EpochEntry, Partition
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.checkpoints import encode_snapshot, write_epochs, write_partition_metadata
from kafka_server.infrastructure.storage.log.folders import DataFolder, Key
from kafka_server.infrastructure.storage.log.partition_log import DiskPartitionLog
from kafka_server.infrastructure.storage.log.segment import Segment
from kafka_server.infrastructure.storage.log.transaction_index import write_transaction_index

log = logging.getLogger("kafka_server.log")

CHUNK: Final = 1 << 20
REST_MAX: Final = 1 << 20
"""Bytes that may be copied on the event loop. After each round that found more, twice as many: a producer that is
faster than the copy must not keep a move from ending."""
REST_MAX_AT_LAST: Final = 1 << 26


class Cancelled(Exception):
    """The copy is no longer wanted."""


@dataclass(slots=True, frozen=True)
class Facts:
    """What a round makes durable in the copy besides the bytes; taken down on the event loop."""

    segments: list[tuple[Segment, int]]
    """Each with the size that it had."""
    aborted: dict[int, list[AbortedTransaction]]
    """By base offset of the segment that holds their markers."""
    log_start: int
    leader_epoch: int
    epochs: list[EpochEntry]
    end_offset: int
    producers: bytes


class Move:
    """One move. ``run`` ends when it is done, failed or cancelled."""

    def __init__(
        self,
        key: Key,
        moved: tuple[DiskPartitionLog, Partition, Topic],
        source: DataFolder,
        target: DataFolder,
        thread: Executor,
        adopt: Callable[[Move, list[Segment]], None],
    ) -> None:
        """``adopt`` is called, on the event loop, with the segments in the target, when they are those that count."""
        self.key = key
        self.log, self._partition, self._topic = moved
        self.source, self.target = source, target
        self._thread = thread
        self._adopt = adopt
        self._disk = target.disk
        unique = os.urandom(16).hex()
        self.copy_path = os.path.join(target.path, names.future_folder(*key, unique))
        self.path = target.partition_path(key)
        self.gone_path = os.path.join(source.path, names.deleted_folder(*key, unique))
        self.copied: dict[int, int] = {}
        """Bytes that were copied, by base offset of their segment."""
        self.end_offset = 0
        """What the copy holds ends here."""
        self._sealed: dict[int, Segment] = {}
        """Copies that are complete, indexes included."""
        self._facts: Facts | None = None
        self._is_cancelled = False
        self.is_done = False
        self._is_unsure = False
        """The old folder may still be found by a start, and only the mark says which one counts."""
        self.keeps_copy = False
        """A copy that is not complete is left to the next start."""

    def cancel(self) -> None:
        """Ends ``run`` soon, unless the move is done by then."""
        self._is_cancelled = True

    @property
    def size_bytes(self) -> int:
        """Bytes that the copy has so far."""
        return sum(list(self.copied.values()))

    async def run(self) -> bool:
        """True when the log lies in the other folder; False when the move was cancelled or failed, and left nothing."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._begin)
            rest_max = REST_MAX
            while True:
                facts = self._take_down()
                await loop.run_in_executor(self._thread, self._catch_up, facts)
                self._facts, self.end_offset = facts, facts.end_offset
                if await self._try_switch(rest_max):
                    break
                rest_max = min(2 * rest_max, REST_MAX_AT_LAST)
        except (OSError, Cancelled) as error:
            if isinstance(error, OSError):
                log.error("%s-%d stays in %s; the move to %s failed: %s", *self.key, self.source.path, self.path, error)
            if not self.keeps_copy:
                await loop.run_in_executor(self._thread, self._drop_copy)
            return False
        if not self._is_unsure:
            log.info("%s-%d lies in %s now", *self.key, self.target.path)
            try:
                await loop.run_in_executor(self._thread, self._remove_mark, self.path)
            except OSError as error:
                log.warning("%s stays until the next move or start: %s", names.MOVED_HERE, error)
        return True

    def _take_down(self) -> Facts:
        partition, segments = self._partition, self.log.segments()
        ends = [*(after.base_offset for after in segments[1:]), partition.log_end_offset]
        return Facts(
            segments=[(segment, segment.size) for segment in segments],
            aborted={
                segment.base_offset: partition.aborted.ending_between(segment.base_offset, end)
                for segment, end in zip(segments, ends, strict=True)
            },
            log_start=partition.log_start_offset,
            leader_epoch=partition.leader_epoch,
            epochs=list(partition.epochs()),
            end_offset=partition.log_end_offset,
            producers=encode_snapshot(partition.producers.items()),
        )

    # ---- in the thread -----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        # A mark that an earlier move left would say of the old folder that it counts.
        self._remove_mark(self.log.folder)
        disk, folder = self._disk, self.copy_path
        disk.make_folder(folder)
        write_partition_metadata(disk, os.path.join(folder, names.PARTITION_METADATA), self._topic.topic_id)
        disk.replace(os.path.join(folder, names.MOVED_HERE), b"")

    def _catch_up(self, facts: Facts) -> None:
        """Copies and syncs. Raises OSError or Cancelled."""
        disk, folder = self._disk, self.copy_path
        kept = {segment.base_offset for segment, _ in facts.segments}
        for base_offset in self.copied.keys() - kept:
            self._remove_copy(base_offset)
        for segment, size in facts.segments:
            try:
                self._copy(segment, size, self._pause)
                if segment is not facts.segments[-1][0]:
                    self._seal(segment, facts.aborted[segment.base_offset])
            except FileNotFoundError:
                continue  # Retention took it meanwhile; the next round does not see it.
        newest = facts.segments[-1][0].base_offset
        write_transaction_index(disk, folder, newest, facts.aborted[newest])
        write_epochs(disk, os.path.join(folder, names.LEADER_EPOCHS), facts.epochs)
        disk.replace(os.path.join(folder, names.file_name(facts.end_offset, names.SNAPSHOT)), facts.producers)
        disk.sync_folder(folder)
        # What the data folder knows of the log goes with it, before it counts there.
        target, gathered = self.target, self.target.removals
        target.write_log_starts({self.key: facts.log_start}, gathered)
        cleaned = self.source.cleaner_offsets.get(self.key)
        if cleaned is None and not self.source.has_recovery_points:
            cleaned = 0  # Gaps are sound there, so they are here; see the repository.
        if cleaned is not None:
            target.write_cleaner_offset(self.key, cleaned, gathered)

    def _copy(self, segment: Segment, size: int, pause: Callable[[float], None]) -> None:
        """Brings the copy of a segment to that size, and syncs it."""
        base_offset = segment.base_offset
        at = self.copied.get(base_offset, -1)
        if at == size:
            return
        source = segment.file
        path = os.path.join(self.copy_path, names.file_name(base_offset, names.LOG))
        copy = self._disk.open(path)
        at = max(at, 0)
        while at < size:
            began = time.monotonic()
            piece = source.read(at, min(CHUNK, size - at))
            if not piece:
                raise OSError(f"{segment.path(names.LOG)} ends at byte {at}, {size} are known")
            copy.append((piece,))
            at += len(piece)
            self.copied[base_offset] = at
            pause(time.monotonic() - began)
        copy.sync()
        self.copied[base_offset] = size

    def _seal(self, segment: Segment, aborted: list[AbortedTransaction]) -> Segment:
        """The copy of a segment that is not appended to, with all that belongs to it."""
        sealed = self._sealed.get(segment.base_offset)
        if sealed is None:
            sealed = segment.copied_to(self.copy_path)
            sealed.write_indexes()
            write_transaction_index(self._disk, self.copy_path, segment.base_offset, aborted)
            sealed.rest()
            self._sealed[segment.base_offset] = sealed
        return sealed

    def _pause(self, worked_s: float) -> None:
        if self._is_cancelled or self.log.is_retired:
            raise Cancelled
        time.sleep(min(worked_s, 0.05))

    def _remove_copy(self, base_offset: int) -> None:
        for suffix in names.SEGMENT_FILES:
            self._disk.remove(os.path.join(self.copy_path, names.file_name(base_offset, suffix)))
        del self.copied[base_offset]
        self._sealed.pop(base_offset, None)

    def _drop_copy(self) -> None:
        try:
            if self._disk.names(self.copy_path):
                self._disk.remove(self.copy_path)
        except OSError as error:
            log.warning("%s is removed at the next start: %s", self.copy_path, error)

    def _remove_mark(self, folder: str) -> None:
        if names.MOVED_HERE in self._disk.names(folder):
            self._disk.remove(os.path.join(folder, names.MOVED_HERE))
            self._disk.sync_folder(folder)

    # ---- on the event loop -------------------------------------------------------------------------------------------

    async def _try_switch(self, rest_max: int) -> bool:
        """Goes on in the other folder; False when too much is missing there. Raises OSError or Cancelled."""
        outcome: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def between_syncs() -> None:
            try:
                outcome.set_result(self._switch(rest_max))
            except (OSError, Cancelled) as error:
                outcome.set_exception(error)

        await asyncio.wait((self.log.between_syncs(between_syncs), outcome), return_when=asyncio.FIRST_COMPLETED)
        if not outcome.done():
            raise Cancelled  # The log cannot be synced any more; the broker is about to stop.
        return await outcome

    def _switch(self, rest_max: int) -> bool:
        if self._is_cancelled or self.log.is_retired:
            raise Cancelled
        facts, partition, segments = self._facts, self._partition, self.log.segments()
        assert facts is not None
        missing = sum(segment.size - self.copied.get(segment.base_offset, 0) for segment in segments)
        is_dropped = self.copied.keys() - {segment.base_offset for segment in segments}
        if missing > rest_max or is_dropped or self.log.is_dropping or partition.log_start_offset != facts.log_start:
            return False
        copies = self._complete(segments)
        disk, source, target = self._disk, self.source, self.target
        disk.rename(self.copy_path, self.path)
        failure: OSError | None = None
        try:
            disk.sync_folder(target.path)
            disk.rename(self.log.folder, self.gone_path)
            disk.sync_folder(source.path)
        except OSError as error:
            failure = error
        for copy in copies:
            copy.folder = self.path
        self.is_done = True
        # Also after a failure: the copy counts from its rename on, so what follows must be written there.
        self._adopt(self, copies)
        if failure is not None:
            self._is_unsure = True
            self.log.fail(failure)
        return True

    def _complete(self, segments: list[Segment]) -> list[Segment]:
        """The copies of all segments, with what came since the last round. Raises OSError: then nothing changed."""
        facts, partition, folder = self._facts, self._partition, self.copy_path
        assert facts is not None
        copies = []
        for segment, after in zip(segments, [*segments[1:], None], strict=True):
            self._copy(segment, segment.size, lambda _: None)
            end = partition.log_end_offset if after is None else after.base_offset
            aborted = partition.aborted.ending_between(segment.base_offset, end)
            copies.append(segment.copied_to(folder) if after is None else self._seal(segment, aborted))
        if partition.log_end_offset != facts.end_offset:
            if partition.leader_epoch != facts.leader_epoch:
                write_epochs(self._disk, os.path.join(folder, names.LEADER_EPOCHS), partition.epochs())
            self._disk.sync_folder(folder)
        return copies
