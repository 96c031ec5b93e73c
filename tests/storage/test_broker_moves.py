"""AlterReplicaLogDirs against a broker on disk: clients write and read while a partition moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka_protocol.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopic,
)
from kafka_protocol.messages.create_topics import CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from kafka_protocol.messages.describe_log_dirs import DescribeLogDirsRequest, DescribeLogDirsResponse
from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

from kafka_server.domain.record_batch import iterate_batches
from kafka_server.infrastructure.storage.log import mover, names, verification
from kafka_server.testing.broker import threaded_broker
from tests.application.admin_house import wanted
from tests.differential.raw_client import RawClient
from tests.domain.batches import batch, messages


def settings(folder: Path, **more: str) -> dict[str, str]:
    dirs = f"{folder / 'a'},{folder / 'b'}"
    return {"storage": "disk", "log.dirs": dirs, "log.segment.delete.delay.ms": "0", **more}


def create(client: RawClient, **configs: str) -> None:
    named = {key.replace("_", "."): text for key, text in configs.items()}
    request = CreateTopicsRequest(topics=[wanted("orders", 1, 1, configs=named)])
    assert client.ask(request, CreateTopicsResponse, 7).topics[0].error_code == 0


def move(client: RawClient, folder: Path) -> int:
    topic = AlterReplicaLogDirTopic(name="orders", partitions=[0])
    request = AlterReplicaLogDirsRequest(dirs=[AlterReplicaLogDir(path=str(folder), topics=[topic])])
    return client.ask(request, AlterReplicaLogDirsResponse, 2).results[0].partitions[0].error_code


def places(client: RawClient) -> dict[str, bool]:
    """Name of the data folder, and whether only a copy lies there so far."""
    answer = client.ask(DescribeLogDirsRequest(topics=None), DescribeLogDirsResponse, 4)
    return {
        Path(result.log_dir).name: each.is_future_key
        for result in answer.results
        for topic in result.topics
        for each in topic.partitions
    }


def produce(client: RawClient, size: int = 1000) -> int:
    """The offset of the record."""
    data = PartitionProduceData(index=0, records=batch(*messages(1, size=size)))
    request = ProduceRequest(
        acks=-1, timeout_ms=5000, topic_data=[TopicProduceData(name="orders", partition_data=[data])]
    )
    answer = client.ask(request, ProduceResponse, 9).responses[0].partition_responses[0]
    assert answer.error_code == 0
    return answer.base_offset


def offsets(client: RawClient) -> list[int]:
    """The offsets of all records, read from the beginning."""
    found: list[int] = []
    while True:
        part = FetchPartition(partition=0, fetch_offset=len(found), partition_max_bytes=1 << 20)
        request = FetchRequest(max_wait_ms=0, max_bytes=1 << 20, topics=[FetchTopic(topic="orders", partitions=[part])])
        answer = client.ask(request, FetchResponse, 12).responses[0].partitions[0]
        assert answer.error_code == 0
        if not answer.records:
            return found
        for header, _ in iterate_batches(memoryview(answer.records)):
            found.extend(range(header.base_offset, header.last_offset + 1))


def until(holds: Callable[[], bool], patience_s: float = 20) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def other(client: RawClient) -> str:
    return {"a": "b", "b": "a"}[next(iter(places(client)))]


@pytest.mark.parametrize("flush", ["ack", "os"])
def test_clients_write_and_read_while_a_partition_moves_back_and_forth(tmp_path: Path, flush: str) -> None:
    with threaded_broker(**settings(tmp_path, flush=flush)) as broker, RawClient(broker.bootstrap) as client:
        create(client, segment_bytes="1048576")
        told: list[int] = []
        is_over = threading.Event()

        def write() -> None:
            with RawClient(broker.bootstrap) as another:
                while not is_over.is_set():
                    told.append(produce(another, 5000))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(6):
                target = other(client)
                assert move(client, tmp_path / target) == 0
                until(lambda target=target: places(client) == {target: False})  # type: ignore[misc]
                seen = len(told)
                assert offsets(client)[:seen] == list(range(seen))
        finally:
            is_over.set()
            writer.join()
        assert told == list(range(len(told)))
        assert offsets(client) == told
        until(lambda: not list(tmp_path.glob("*/orders-0.*")))
        assert len(list(tmp_path.glob("*/orders-0"))) == 1
    assert list(verification.verify(str(tmp_path / "a"))) == list(verification.verify(str(tmp_path / "b"))) == []
    with threaded_broker(**settings(tmp_path, flush=flush)) as broker, RawClient(broker.bootstrap) as client:
        assert offsets(client) == told


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A move takes long enough to be looked at."""
    monkeypatch.setattr(mover, "CHUNK", 1000)
    monkeypatch.setattr(mover.Move, "_pause", slowly)


def slowly(move: mover.Move, worked_s: float) -> None:
    if move._is_cancelled or move.log.is_retired:
        raise mover.Cancelled
    time.sleep(0.02)


@pytest.mark.usefixtures("slow")
def test_a_move_can_be_seen_and_called_off(tmp_path: Path) -> None:
    with threaded_broker(**settings(tmp_path)) as broker, RawClient(broker.bootstrap) as client:
        create(client)
        for _ in range(200):
            produce(client)
        here, there = next(iter(places(client))), other(client)

        assert move(client, tmp_path / there) == 0
        until(lambda: places(client) == {here: False, there: True})
        until(lambda: len(list(tmp_path.glob(f"{there}/orders-0.*-future"))) == 1)
        assert move(client, tmp_path / there) == 0  # that is where it goes
        assert move(client, tmp_path / here) == 0
        assert places(client) == {here: False}
        until(lambda: not list(tmp_path.glob(f"{there}/orders-0*")))
        assert offsets(client) == list(range(200))


@pytest.mark.usefixtures("slow")
def test_a_topic_can_be_deleted_while_it_moves(tmp_path: Path) -> None:
    with threaded_broker(**settings(tmp_path)) as broker, RawClient(broker.bootstrap) as client:
        create(client)
        for _ in range(200):
            produce(client)
        assert move(client, tmp_path / other(client)) == 0
        request = DeleteTopicsRequest(topic_names=["orders"], timeout_ms=5000)
        assert client.ask(request, DeleteTopicsResponse, 5).responses[0].error_code == 0
        until(lambda: not list(tmp_path.glob("*/orders-0*")))
        create(client)
        assert offsets(client) == []


def test_a_move_that_a_stop_interrupted_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mover, "CHUNK", 1000)
    with monkeypatch.context() as while_it_lasts:
        while_it_lasts.setattr(mover.Move, "_pause", slowly)
        with threaded_broker(**settings(tmp_path)) as broker, RawClient(broker.bootstrap) as client:
            create(client)
            for _ in range(200):
                produce(client)
            target = other(client)
            assert move(client, tmp_path / target) == 0
            until(lambda: bool(list(tmp_path.glob(f"{target}/orders-0.*-future"))))
    assert len(list(tmp_path.glob(f"{target}/orders-0.*-future"))) == 1

    with threaded_broker(**settings(tmp_path)) as broker, RawClient(broker.bootstrap) as client:
        until(lambda: places(client) == {target: False})
        assert offsets(client) == list(range(200))
        until(lambda: not list(tmp_path.glob("*/orders-0.*")))


def test_of_two_folders_of_one_partition_the_one_that_was_moved_counts(tmp_path: Path) -> None:
    with threaded_broker(**settings(tmp_path)) as broker, RawClient(broker.bootstrap) as client:
        create(client)
        produce(client)
        here, there = next(iter(places(client))), other(client)
    # As after a crash between the two renames.
    (tmp_path / there / "orders-0").mkdir()
    for file in (tmp_path / here / "orders-0").iterdir():
        (tmp_path / there / "orders-0" / file.name).write_bytes(file.read_bytes())
    (tmp_path / there / "orders-0" / names.MOVED_HERE).touch()

    with threaded_broker(**settings(tmp_path)) as broker, RawClient(broker.bootstrap) as client:
        assert places(client) == {there: False}
        assert offsets(client) == [0]
        until(lambda: not list(tmp_path.glob(f"{here}/orders-0*")))
        assert not (tmp_path / there / "orders-0" / names.MOVED_HERE).exists()
