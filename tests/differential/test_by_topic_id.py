"""Produce and Fetch by topic id, and fetch sessions in order and out of order, with Apache Kafka and with us.

Each test is a script that a client plays against one broker. It runs once with each and notes every answer. Topic ids
are replaced by the names that the script has for them, session ids by "a session".
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from kafka_protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from kafka_protocol.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic
from kafka_protocol.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

from tests.differential.chosen import unexpected
from tests.differential.compare import differences, plain
from tests.differential.conversation import topic_ids
from tests.differential.raw_client import RawClient
from tests.differential.test_data import GOOD

pytestmark = pytest.mark.jvm

FIRST_BY_ID = 13
BY_ID = range(FIRST_BY_ID, 19)
NO_SESSION = (0, -1)
A_NEW_SESSION = (0, 0)
NOT_YET = {3, 5, 6, 100}
"""What a topic that was created a moment ago is answered with."""
AWAKE_SECONDS_MAX = 30

Spot = tuple[str, int, int]
"""Topic, partition, offset."""


class Reader:
    """A client of one broker, and what it was answered."""

    def __init__(self, broker: RawClient, prefix: str) -> None:
        self._broker = broker
        self._prefix = prefix
        self.ids = {"nobody": b"n" * 16, "zero": bytes(16)}
        self.answers: list[tuple[str, Any]] = []

    def create(self, *names: str) -> None:
        """Topics of two partitions, once they are served."""
        topics = [CreatableTopic(self._prefix + name, 2, 1) for name in names]
        created = self._broker.ask(CreateTopicsRequest(topics=topics, timeout_ms=10_000), CreateTopicsResponse, 7)
        for name, topic in zip(names, created.topics, strict=True):
            assert topic.error_code == 0
            self.ids[name] = topic.topic_id
        deadline = time.monotonic() + AWAKE_SECONDS_MAX
        for spot in ((name, index, 0) for name in names for index in range(2)):
            while self._ask(18, [spot]).responses[0].partitions[0].error_code in NOT_YET:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def delete(self, name: str) -> None:
        request = DeleteTopicsRequest(topic_names=[self._prefix + name], timeout_ms=10_000)
        assert self._broker.ask(request, DeleteTopicsResponse, 5).responses[0].error_code == 0
        deadline = time.monotonic() + AWAKE_SECONDS_MAX
        while self._prefix + name in topic_ids(self._broker):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def produce(self, *spots: tuple[str, int], data: bytes = GOOD, version: int = 13, acks: int = -1) -> None:
        topics = [
            TopicProduceData(
                self._name(topic), self.ids[topic], [PartitionProduceData(index, data) for _, index in parts]
            )
            for topic, parts in itertools.groupby(spots, key=lambda spot: spot[0])
        ]
        self._note(self._broker.ask(ProduceRequest(None, acks, 5_000, topics), ProduceResponse, version), version)

    def fetch(
        self,
        version: int,
        *spots: Spot,
        session: tuple[int, int] = NO_SESSION,
        forget: Sequence[tuple[str, int]] = (),
        **fields: Any,
    ) -> int:
        """Notes the answer; returns the id of its session."""
        answer = self._ask(version, spots, session, forget, **fields)
        self._note(answer, version)
        return answer.session_id

    def _ask(
        self,
        version: int,
        spots: Iterable[Spot],
        session: tuple[int, int] = NO_SESSION,
        forget: Sequence[tuple[str, int]] = (),
        **fields: Any,
    ) -> FetchResponse:
        topics = []
        for name, parts in itertools.groupby(spots, key=lambda spot: spot[0]):
            partitions = [
                FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=1 << 20)
                for _, index, offset in parts
            ]
            topics.append(FetchTopic(self._name(name), self.ids[name], partitions))
            for field in fields.keys() & FetchPartition.__slots__:
                for partition in partitions:
                    setattr(partition, field, fields[field])
        gone = [ForgottenTopic(self._name(name), self.ids[name], [index]) for name, index in forget]
        request = FetchRequest(min_bytes=0, max_wait_ms=0, max_bytes=1 << 20, topics=topics, forgotten_topics_data=gone)
        request.session_id, request.session_epoch = session
        for field in fields.keys() & FetchRequest.__slots__:
            setattr(request, field, fields[field])
        return self._broker.ask(request, FetchResponse, version)

    def _name(self, name: str) -> str:
        return self._prefix + name

    def _note(self, answer: Any, version: int) -> None:
        names = {topic_id: name for name, topic_id in self.ids.items()}
        for topic in answer.responses:
            label = "topic" if hasattr(topic, "topic") else "name"
            known = names.get(topic.topic_id, "?") if topic.topic_id != bytes(16) else ""
            setattr(topic, label, getattr(topic, label).removeprefix(self._prefix) or known)
        told = plain(answer)
        if "session_id" in told:
            told["session_id"] = "a session" if told["session_id"] else "none"
        self.answers.append((f"{type(answer).__name__.removesuffix('Response')} v{version}", told))


Script = Callable[[Reader], None]


@pytest.fixture
def act(theirs: RawClient, ours: RawClient, request: pytest.FixtureRequest) -> Callable[[Script], None]:
    """Runs a script with both brokers and fails with the answers that differ."""

    def run(script: Script) -> None:
        prefix = "".join(each if each.isalnum() else "-" for each in request.node.name) + "-"
        noted = []
        for broker in (theirs, ours):
            reader = Reader(broker, prefix)
            script(reader)
            noted.append(reader.answers)
        wrong = unexpected(
            f"{question}: {difference}"
            for (question, a), (_, b) in zip(*noted, strict=True)
            for difference in differences(a, b)
        )
        assert not wrong, "\n".join(wrong)

    return run


# ---- scripts ---------------------------------------------------------------------------------------------------------


def test_produce_by_id(act: Callable[[Script], None]) -> None:
    def script(reader: Reader) -> None:
        reader.create("t", "u")
        reader.produce(("t", 0))
        reader.produce(("t", 1), ("t", 0), ("nobody", 0), ("u", 7), ("u", 0))
        reader.produce(("t", -1), ("u", 1))
        reader.produce(("nobody", 0), ("u", 0), data=b"")
        reader.produce(("t", 0), data=GOOD[:-1] + b"\x55")
        reader.produce(("t", 0), acks=1)
        for spot in (("t", 0), ("t", 9), ("nobody", 0)):
            reader.produce(spot, acks=5)
        reader.produce()

    act(script)


@pytest.mark.parametrize("version", BY_ID)
def test_fetch_by_id(act: Callable[[Script], None], version: int) -> None:
    def script(reader: Reader) -> None:
        reader.create("t", "u")
        reader.produce(("t", 0), ("u", 1))
        for offset in (0, 1, 3, 4, -1):
            reader.fetch(version, ("t", 0, offset))
        reader.fetch(version, ("u", 1, 0), ("t", 0, 0), ("u", 0, 0), ("t", 5, 0), ("nobody", 0, 0))
        reader.fetch(version, ("t", 0, 0), isolation_level=1)
        reader.fetch(version, ("t", 0, 9), ("nobody", 0, 0), isolation_level=1)
        for epoch in (0, 5):
            reader.fetch(version, ("t", 0, 0), ("nobody", 0, 0), current_leader_epoch=epoch)
            reader.fetch(version, ("t", 0, 0), last_fetched_epoch=epoch)
            for offset in (3, 99):
                reader.fetch(version, ("t", 0, offset), ("t", 1, offset), last_fetched_epoch=epoch)
        reader.fetch(version, ("t", 0, 0), ("u", 1, 0), max_bytes=1)
        reader.fetch(version, ("t", 0, 0), ("u", 1, 0), partition_max_bytes=0)
        reader.fetch(version)
        reader.fetch(version, ("zero", 0, 0))

    act(script)


@pytest.mark.parametrize("version", [7, 9, 12, *BY_ID])
def test_a_session_that_goes_as_it_should(act: Callable[[Script], None], version: int) -> None:
    def script(reader: Reader) -> None:
        reader.create("t", "u", "v")
        reader.produce(("t", 0), ("u", 0))
        id_ = reader.fetch(version, ("t", 0, 0), ("t", 1, 0), ("u", 0, 0), session=A_NEW_SESSION)
        reader.fetch(version, session=(id_, 1))
        reader.fetch(version, ("t", 0, 3), ("u", 0, 3), session=(id_, 2))
        reader.fetch(version, session=(id_, 3))
        reader.produce(("t", 1))
        reader.fetch(version, session=(id_, 4))
        reader.fetch(version, ("t", 1, 3), ("v", 0, 0), session=(id_, 5))
        reader.produce(("v", 0), ("u", 0))
        reader.fetch(version, session=(id_, 6), forget=[("u", 0)])
        reader.fetch(version, session=(id_, 7), forget=[("t", 0), ("v", 1)])
        reader.fetch(version, ("u", 0, 3), session=(id_, 8), forget=[("v", 0)])
        reader.fetch(version, ("t", 1, 99), session=(id_, 9))
        reader.fetch(version, session=(id_, 10))
        reader.fetch(version, ("t", 1, 0), session=(id_, 11), max_bytes=1)
        reader.fetch(version, ("u", 0, 0), session=(id_, -1))
        reader.fetch(version, session=(id_, 12))

    act(script)


@pytest.mark.parametrize("version", [7, 12, *BY_ID])
def test_a_session_out_of_order(act: Callable[[Script], None], version: int) -> None:
    def script(reader: Reader) -> None:
        reader.create("t", "u")
        reader.produce(("t", 0), ("u", 0))
        for odd in ((0, 1), (0, 7), (-1, 1), (123_456, 1), (123_456, -1), (0, -2), (123_456, -2)):
            reader.fetch(version, ("t", 0, 0), session=odd)
        reader.fetch(version, session=A_NEW_SESSION)
        id_ = reader.fetch(version, ("t", 0, 0), session=A_NEW_SESSION)
        for epoch in (2, 7, 1, 1, 3, -2, 2):
            reader.fetch(version, session=(id_, epoch))
        again = reader.fetch(version, ("u", 0, 0), session=(id_, 0))
        reader.fetch(version, session=(id_, 1))
        reader.fetch(version, session=(again, 1))
        reader.fetch(version, session=(again, 2), forget=[("u", 0)])
        reader.fetch(version, session=(again, 3))
        reader.fetch(version, ("t", 0, 0), session=(again, 4))
        reader.fetch(version, ("t", 0, 0), session=(again, -1))
        reader.fetch(version, ("t", 0, 0), session=(again, 5))

    act(script)


@pytest.mark.parametrize("version", [12, *BY_ID])
def test_a_session_meets_what_is_not_there(act: Callable[[Script], None], version: int) -> None:
    def script(reader: Reader) -> None:
        reader.create("t", "u")
        reader.produce(("t", 0))
        id_ = reader.fetch(version, ("t", 0, 3), ("u", 9, 0), ("nobody", 0, 0), session=A_NEW_SESSION)
        if id_ == 0:
            return
        reader.fetch(version, session=(id_, 1))
        reader.fetch(version, ("nobody", 1, 0), session=(id_, 2))
        reader.fetch(version, session=(id_, 3), forget=[("nobody", 0), ("nobody", 5), ("u", 9)])
        reader.fetch(version, session=(id_, 4), forget=[("nobody", 1)])
        reader.fetch(version, session=(id_, 5))

    act(script)


@pytest.mark.parametrize("version", [12, 13, 18])
def test_a_topic_is_deleted_and_created_again_under_its_readers(act: Callable[[Script], None], version: int) -> None:
    def script(reader: Reader) -> None:
        reader.create("t", "u")
        reader.produce(("t", 0))
        id_ = reader.fetch(version, ("t", 0, 0), ("u", 0, 0), session=A_NEW_SESSION)
        reader.delete("t")
        reader.ids["the first"] = reader.ids.pop("t")
        reader.ids["t"] = reader.ids["the first"]
        reader.fetch(version, ("t", 0, 0))
        reader.fetch(version, session=(id_, 1))
        reader.ids.pop("t")
        reader.create("t")
        reader.fetch(version, session=(id_, 2))
        if version >= FIRST_BY_ID:
            reader.fetch(version, ("the first", 0, 0))
        reader.fetch(version, ("t", 0, 0))
        reader.fetch(version, ("t", 0, 0), session=(id_, 3))
        reader.produce(("t", 0))
        reader.fetch(version, session=(id_, 4))
        reader.fetch(version, session=(id_, 5))

    act(script)


@pytest.mark.parametrize(("before", "after"), [(12, 13), (13, 12)])
def test_a_session_between_names_and_ids(act: Callable[[Script], None], before: int, after: int) -> None:
    def script(reader: Reader) -> None:
        reader.create("t")
        reader.produce(("t", 0))
        id_ = reader.fetch(before, ("t", 0, 0), session=A_NEW_SESSION)
        reader.fetch(after, session=(id_, 1))
        reader.fetch(before, session=(id_, 1))
        reader.fetch(before, session=(id_, 2))

    act(script)
