"""DescribeLogDirs v0-v5, AlterReplicaLogDirs v0-v2: which partition lies in which of the data folders.

Shapes: DescribeLogDirs - partitions by topic (null for all), answered per folder with sizes; AlterReplicaLogDirs -
folders with the partitions that shall lie there, answered per topic.
Behaviour: every folder is told, also one without any of the partitions; a partition that is not here is left out. One
that is on its way to another folder is told there, too, as future and with what it lags behind. AlterReplicaLogDirs
answers at once and the partition moves in the background, while it is written and read; a move to where it lies ends
one that is under way, a move to a third folder takes its place. A folder that is not one of log.dirs is
LOG_DIR_NOT_FOUND, and that is checked before whether the partition exists; a name that is too long for the folder of
the copy is INVALID_TOPIC_EXCEPTION; of a partition that is named twice the last folder counts.
Without a disk there is one folder, called "memory", of unknown size.
Versions: DescribeLogDirs v4+ (KIP-827) tells the size of the device and what is left of it.
Known gaps: the quota for moves (``alter.log.dirs.replication.quota``) is not kept; copying leaves half of the time of
its one thread to others.
"""

from __future__ import annotations

from kafka_protocol.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)
from kafka_protocol.messages.describe_log_dirs import (
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.ports import LogMover, LogRepository
from kafka_server.application.replica_manager import ReplicaManager
from kafka_server.domain.errors import DomainError, InvalidTopic, LogDirNotFound

COPY_NAME_MAX = 255
COPY_NAME_REST = len(".-future") + 32
"""A copy lies in ``<topic>-<n>.<32 hex digits>-future``."""


class LogDirHandlers:
    """Answers DescribeLogDirs and AlterReplicaLogDirs."""

    __slots__ = ("_logs", "_mover", "_replicas")

    def __init__(self, logs: LogRepository, mover: LogMover, replicas: ReplicaManager) -> None:
        self._logs = logs
        self._mover = mover
        self._replicas = replicas

    def describe_log_dirs(self, context: RequestContext, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse:
        wanted = None
        if request.topics is not None:
            wanted = {(topic.topic, index) for topic in request.topics for index in topic.partitions}
        by_path: dict[str, dict[str, list[DescribeLogDirsPartition]]] = {}
        moving = self._mover.moving()
        for replica in self._replicas:
            name, index = replica.topic.name, replica.partition.index
            if wanted is not None and (name, index) not in wanted:
                continue
            present = DescribeLogDirsPartition(index, replica.log.size_bytes())
            by_path.setdefault(self._logs.path_of(name, index), {}).setdefault(name, []).append(present)
            copy = moving.get((name, index))
            if copy is not None:
                lag = replica.partition.log_end_offset - copy.end_offset
                future = DescribeLogDirsPartition(index, copy.size_bytes, lag, is_future_key=True)
                by_path.setdefault(copy.path, {}).setdefault(name, []).append(future)
        results = []
        for path in self._logs.paths():
            total, usable = self._logs.space(path)
            result = DescribeLogDirsResult(log_dir=path, total_bytes=total, usable_bytes=usable)
            result.topics = [
                DescribeLogDirsTopic(name=name, partitions=partitions)
                for name, partitions in sorted(by_path.get(path, {}).items())
            ]
            results.append(result)
        return DescribeLogDirsResponse(results=results)

    def alter_replica_log_dirs(
        self, context: RequestContext, request: AlterReplicaLogDirsRequest
    ) -> AlterReplicaLogDirsResponse:
        wanted = {
            (topic.name, index): folder.path
            for folder in request.dirs
            for topic in folder.topics
            for index in topic.partitions
        }
        by_topic: dict[str, list[AlterReplicaLogDirPartitionResult]] = {}
        for (name, index), path in wanted.items():
            code = 0
            try:
                self._put(name, index, path)
            except DomainError as error:
                code = error.code
            by_topic.setdefault(name, []).append(AlterReplicaLogDirPartitionResult(index, code))
        return AlterReplicaLogDirsResponse(
            results=[AlterReplicaLogDirTopicResult(name, partitions) for name, partitions in by_topic.items()]
        )

    def _put(self, name: str, index: int, path: str) -> None:
        """Raises InvalidTopic, LogDirNotFound, UnknownTopicOrPartition."""
        if len(f"{name}-{index}") + COPY_NAME_REST > COPY_NAME_MAX:
            raise InvalidTopic(f"The name of {name} is too long for the partition to be moved")
        if path not in self._logs.paths():
            raise LogDirNotFound
        self._replicas.find(name, index)
        self._mover.move(name, index, path)
