"""DescribeLogDirs v0-v5, AlterReplicaLogDirs v0-v2: which partition lies in which of the data folders.

Shapes: DescribeLogDirs - partitions by topic (null for all), answered per folder with sizes; AlterReplicaLogDirs -
folders with the partitions that shall lie there, answered per topic.
Behaviour: every folder is told, also one without any of the partitions; a partition that is not here is left out. A
partition can be put where it lies, which is done at once. A folder that is not one of log.dirs is LOG_DIR_NOT_FOUND,
and that is checked before whether the partition exists; of a partition that is named twice the last folder counts.
Without a disk there is one folder, called "memory", of unknown size.
Versions: DescribeLogDirs v4+ (KIP-827) tells the size of the device and what is left of it.
Known gaps: a partition is not moved to another folder while the broker runs; that is KAFKA_STORAGE_ERROR. Stop the
broker, move the folder of the partition, and start again: it is found where it lies.
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
from kafka_server.application.ports import LogRepository
from kafka_server.application.replica_manager import Replica, ReplicaManager
from kafka_server.domain.errors import DomainError, LogDirNotFound, StorageError


class LogDirHandlers:
    """Answers DescribeLogDirs and AlterReplicaLogDirs."""

    __slots__ = ("_logs", "_replicas")

    def __init__(self, logs: LogRepository, replicas: ReplicaManager) -> None:
        self._logs = logs
        self._replicas = replicas

    def describe_log_dirs(self, context: RequestContext, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse:
        wanted = None
        if request.topics is not None:
            wanted = {(topic.topic, index) for topic in request.topics for index in topic.partitions}
        by_path: dict[str, dict[str, list[Replica]]] = {}
        for replica in self._replicas:
            name, index = replica.topic.name, replica.partition.index
            if wanted is None or (name, index) in wanted:
                by_path.setdefault(self._logs.path_of(name, index), {}).setdefault(name, []).append(replica)
        results = []
        for path in self._logs.paths():
            total, usable = self._logs.space(path)
            result = DescribeLogDirsResult(log_dir=path, total_bytes=total, usable_bytes=usable)
            result.topics = [
                DescribeLogDirsTopic(
                    name=name,
                    partitions=[
                        DescribeLogDirsPartition(each.partition.index, each.log.size_bytes()) for each in replicas
                    ],
                )
                for name, replicas in sorted(by_path.get(path, {}).items())
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
        """Raises LogDirNotFound, UnknownTopicOrPartition, StorageError."""
        if path not in self._logs.paths():
            raise LogDirNotFound
        self._replicas.find(name, index)
        if self._logs.path_of(name, index) != path:
            raise StorageError(f"{name}-{index} cannot be moved to {path} while the broker runs")
