"""Data folders through the wire. Error codes are those that Apache Kafka 4.4 was seen to answer."""

from __future__ import annotations

import pytest
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopic,
)
from kafka_protocol.messages.describe_log_dirs import (
    DescribableLogDirTopic,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
)

from kafka_server.application.ports import Moving
from kafka_server.infrastructure.storage.memory import MemoryLogRepository
from tests.application.admin_house import House


class TwoFolders(MemoryLogRepository):
    """Even partitions lie in /a, odd ones in /b; of what is to move it is only noted where to."""

    def __init__(self) -> None:
        super().__init__()
        self.moves: dict[tuple[str, int], Moving] = {}

    def move(self, topic_name: str, index: int, path: str) -> None:
        self.moves[topic_name, index] = Moving(path, size_bytes=70, end_offset=-5)

    def moving(self) -> dict[tuple[str, int], Moving]:
        return {key: move for key, move in self.moves.items() if move.path != self.path_of(*key)}

    def paths(self) -> list[str]:
        return ["/a", "/b"]

    def path_of(self, topic_name: str, index: int) -> str:
        return "/b" if index % 2 else "/a"

    def space(self, path: str) -> tuple[int, int]:
        return 1000, 400


async def house_with_orders() -> House:
    house = House(logs=TwoFolders())
    await house.topic("orders", 3)
    return house


async def describe(
    house: House, topics: dict[str, list[int]] | None, version: int = 5
) -> dict[str, dict[str, list[int]]]:
    """Folder, topic, partitions."""
    asked = None
    if topics is not None:
        asked = [DescribableLogDirTopic(topic=name, partitions=indexes) for name, indexes in topics.items()]
    request = DescribeLogDirsRequest(topics=asked)
    response = await house.ask("describe_log_dirs", request, DescribeLogDirsResponse, version)
    assert (response.error_code, {result.error_code for result in response.results}) == (0, {0})
    spaces = {(result.total_bytes, result.usable_bytes) for result in response.results}
    assert spaces == ({(1000, 400)} if version >= 4 else {(-1, -1)})
    return {
        result.log_dir: {topic.name: [each.partition_index for each in topic.partitions] for topic in result.topics}
        for result in response.results
    }


@pytest.mark.parametrize("version", range(6))
async def test_every_folder_is_told_with_what_lies_in_it(version: int) -> None:
    assert await describe(await house_with_orders(), None, version) == {"/a": {"orders": [0, 2]}, "/b": {"orders": [1]}}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, {"/a": {}, "/b": {}}),
        ({"orders": [1]}, {"/a": {}, "/b": {"orders": [1]}}),
        ({"orders": [0, 7], "nope": [0]}, {"/a": {"orders": [0]}, "/b": {}}),
    ],
)
async def test_only_partitions_that_were_asked_for_and_exist_are_told(
    asked: dict[str, list[int]], found: dict[str, dict[str, list[int]]]
) -> None:
    assert await describe(await house_with_orders(), asked) == found


@pytest.mark.parametrize("version", range(3))
@pytest.mark.parametrize(
    ("path", "name", "index", "code"),
    [
        ("/a", "orders", 0, ErrorCode.NONE),
        ("/b", "orders", 0, ErrorCode.NONE),
        ("/nope", "x" * 220, 0, ErrorCode.INVALID_TOPIC_EXCEPTION),
        ("/nope", "x" * 213, 0, ErrorCode.LOG_DIR_NOT_FOUND),
        ("/nope", "x" * 214, 0, ErrorCode.INVALID_TOPIC_EXCEPTION),
        ("/nope", "orders", 0, ErrorCode.LOG_DIR_NOT_FOUND),
        ("/nope", "nope", 0, ErrorCode.LOG_DIR_NOT_FOUND),
        ("/a", "orders", 7, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("/a", "nope", 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
    ],
)
async def test_a_partition_can_be_put_into_any_folder_there_is(
    version: int, path: str, name: str, index: int, code: int
) -> None:
    topic = AlterReplicaLogDirTopic(name=name, partitions=[index])
    request = AlterReplicaLogDirsRequest(dirs=[AlterReplicaLogDir(path=path, topics=[topic])])

    house = await house_with_orders()
    response = await house.ask("alter_replica_log_dirs", request, AlterReplicaLogDirsResponse, version)

    (result,) = response.results
    assert [(result.topic_name, each.partition_index, each.error_code) for each in result.partitions] == [
        (name, index, code)
    ]


async def test_a_partition_on_its_way_is_told_in_both_folders() -> None:
    house = await house_with_orders()
    topic = AlterReplicaLogDirTopic(name="orders", partitions=[0, 1])
    request = AlterReplicaLogDirsRequest(dirs=[AlterReplicaLogDir(path="/b", topics=[topic])])
    await house.ask("alter_replica_log_dirs", request, AlterReplicaLogDirsResponse)

    response = await house.ask("describe_log_dirs", DescribeLogDirsRequest(topics=None), DescribeLogDirsResponse)

    told = {
        (result.log_dir, each.partition_index): (each.is_future_key, each.offset_lag)
        for result in response.results
        for topic in result.topics
        for each in topic.partitions
    }
    assert told == {("/a", 0): (False, 0), ("/b", 0): (True, 5), ("/b", 1): (False, 0), ("/a", 2): (False, 0)}
    assert await describe(house, {"orders": [0]}) == {"/a": {"orders": [0]}, "/b": {"orders": [0]}}


async def test_of_a_partition_that_is_named_twice_the_last_folder_counts() -> None:
    topic = AlterReplicaLogDirTopic(name="orders", partitions=[0])
    dirs = [AlterReplicaLogDir(path=path, topics=[topic]) for path in ("/a", "/nope")]

    house = await house_with_orders()
    response = await house.ask(
        "alter_replica_log_dirs", AlterReplicaLogDirsRequest(dirs=dirs), AlterReplicaLogDirsResponse
    )

    assert [each.error_code for result in response.results for each in result.partitions] == [
        ErrorCode.LOG_DIR_NOT_FOUND
    ]
