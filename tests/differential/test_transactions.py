"""The same questions about transactions to Apache Kafka and to us; the answers must be equal.

Each test is a script of one or several producers with one transactional id. It runs once with each broker and notes
every answer. Producer ids are numbered in the order in which they appear. Kafka answers an EndTxn before its markers
are written and says CONCURRENT_TRANSACTIONS until they are; such answers are asked again and not noted.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from kafka_protocol.messages import (
    add_offsets_to_txn,
    add_partitions_to_txn,
    describe_producers,
    describe_transactions,
    end_txn,
    fetch,
    find_coordinator,
    init_producer_id,
    list_offsets,
    list_transactions,
    offset_fetch,
    produce,
    txn_offset_commit,
    write_txn_markers,
)
from kafka_protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.metadata import MetadataRequest, MetadataResponse

from kafka_server.domain.record_batch import TRANSACTIONAL, iterate_batches
from tests.differential.compare import plain
from tests.differential.conversation import topic_ids
from tests.differential.raw_client import RawClient
from tests.domain.batches import batch, patched
from tests.domain.batches import messages as plain_messages

pytestmark = pytest.mark.jvm

CONCURRENT_TRANSACTIONS = 51
NOT_ENOUGH_REPLICAS = 19
NOT_YET = {CONCURRENT_TRANSACTIONS, NOT_ENOUGH_REPLICAS, 5, 6, 14, 15, 16}
"""What passes by itself: a partition without a leader, a coordinator that wakes up, markers on their way."""
AWAKE_SECONDS_MAX = 60
OFFSETS_TOPIC = "__consumer_offsets"
WRITTEN_MS = int(time.time() * 1000) - 60_000
MODULES = (
    add_offsets_to_txn,
    add_partitions_to_txn,
    describe_producers,
    describe_transactions,
    end_txn,
    fetch,
    find_coordinator,
    init_producer_id,
    list_offsets,
    list_transactions,
    offset_fetch,
    produce,
    txn_offset_commit,
    write_txn_markers,
)
RUN_BY_CLOCK = {"throttle_time_ms", "transaction_start_time_ms", "last_timestamp", "log_append_time_ms", "records"}
"""What cannot be equal; records are compared by what readers make of them."""
DRAWN = {"coordinator_epoch": "Kafka counts the elections of its coordinator, and we have none"}


class Play:
    """One broker, one transactional id, and what was answered."""

    def __init__(self, broker: RawClient, topic: str) -> None:
        self._broker = broker
        self.topic, self.txn, self.group = topic, f"txn-{topic}", f"group-{topic}"
        self._ids: dict[int, str] = {-1: "none"}
        self.answers: list[tuple[str, Any]] = []

    def ask(self, request: Any, version: int, *, note: bool = True) -> Any:
        name = type(request).__name__.removesuffix("Request")
        response_type = next(getattr(m, f"{name}Response") for m in MODULES if hasattr(m, f"{name}Response"))
        deadline = time.monotonic() + AWAKE_SECONDS_MAX
        while True:
            answer = self._broker.ask(request, response_type, version)
            if not codes(plain(answer)) & NOT_YET:
                break
            assert time.monotonic() < deadline, f"{name} is still answered with {plain(answer)}"
            time.sleep(0.05)
        if note:
            self.answers.append((f"{name} v{version}", self._settled(plain(answer))))
        return answer

    def _settled(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            if value.get("topic") == OFFSETS_TOPIC:
                # Which of its partitions has a group depends on how many there are.
                return OFFSETS_TOPIC
            return {
                key: self._settled(item, key)
                for key, item in value.items()
                if key not in RUN_BY_CLOCK and key not in DRAWN
            }
        if isinstance(value, list):
            return sorted((self._settled(item) for item in value), key=str)
        if name == "timestamp" and value > WRITTEN_MS + 1:
            return "when the marker was written"
        if name == "producer_id":
            return self._ids.setdefault(value, f"#{len(self._ids)}")
        return value.replace(self.topic, "t") if isinstance(value, str) else value

    # ---- requests ----------------------------------------------------------------------------------------------------

    def init(self, version: int = 5, who: tuple[int, int] = (-1, -1), timeout_ms: int = 60_000) -> tuple[int, int]:
        if version < 3:
            who = (-1, -1)
        answer = self.ask(init_producer_id.InitProducerIdRequest(self.txn, timeout_ms, *who), version)
        return answer.producer_id, answer.producer_epoch

    def add(self, who: tuple[int, int], *indexes: int, version: int = 3) -> Any:
        topics = [add_partitions_to_txn.AddPartitionsToTxnTopic(self.topic, list(indexes))]
        if version < 4:
            return self.ask(
                add_partitions_to_txn.AddPartitionsToTxnRequest(
                    v3_and_below_transactional_id=self.txn,
                    v3_and_below_producer_id=who[0],
                    v3_and_below_producer_epoch=who[1],
                    v3_and_below_topics=topics,
                ),
                version,
            )
        one = add_partitions_to_txn.AddPartitionsToTxnTransaction(self.txn, *who, verify_only=True, topics=topics)
        return self.ask(add_partitions_to_txn.AddPartitionsToTxnRequest([one]), version)

    def produce(self, who: tuple[int, int], sequence: int = 0, *, index: int = 0, version: int = 12) -> Any:
        data = batch(
            *plain_messages(1, timestamp=WRITTEN_MS),
            producer_id=who[0],
            producer_epoch=who[1],
            base_sequence=sequence,
        )
        part = produce.PartitionProduceData(index, patched(data, 21, "h", TRANSACTIONAL))
        topic = produce.TopicProduceData(self.topic, partition_data=[part])
        return self.ask(produce.ProduceRequest(self.txn, -1, 10_000, [topic]), version)

    def end(self, who: tuple[int, int], commit: bool, version: int = 5) -> tuple[int, int]:
        answer = self.ask(end_txn.EndTxnRequest(self.txn, *who, commit), version)
        self.describe()
        return answer.producer_id, answer.producer_epoch

    def describe(self) -> None:
        """The state, once it is no longer on the way to another."""
        request = describe_transactions.DescribeTransactionsRequest([self.txn])
        deadline = time.monotonic() + AWAKE_SECONDS_MAX
        while True:
            answer = self.ask(request, 0, note=False)
            if not answer.transaction_states[0].transaction_state.startswith("Prepare"):
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for state in answer.transaction_states:
            state.topics = [topic for topic in state.topics if topic.topic == self.topic]
        self.ask(request, 0)

    def wait_until_over(self) -> None:
        """Until the broker has ended the transaction by itself."""
        request = describe_transactions.DescribeTransactionsRequest([self.txn])
        deadline = time.monotonic() + AWAKE_SECONDS_MAX
        while self.ask(request, 0, note=False).transaction_states[0].transaction_state != "CompleteAbort":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.describe()

    def topic_id(self) -> bytes:
        return topic_ids(self._broker)[self.topic]

    def look(self) -> None:
        """What readers see of partition 0, and its producers."""
        for isolation in (0, 1):
            part = list_offsets.ListOffsetsPartition(partition_index=0, timestamp=-1)
            topics = [list_offsets.ListOffsetsTopic(self.topic, [part])]
            self.ask(list_offsets.ListOffsetsRequest(-1, isolation, topics), 7)
            for offset in (0, 1, 2):
                self._fetch(offset, isolation)
        request = describe_producers.DescribeProducersRequest([describe_producers.TopicRequest(self.topic, [0, 9])])
        self.ask(request, 0)

    def ends(self) -> Any:
        """Where both partitions end; for a topic that is new, to see whether it is served already."""
        parts = [list_offsets.ListOffsetsPartition(partition_index=index, timestamp=-1) for index in (0, 1)]
        topics = [list_offsets.ListOffsetsTopic(self.topic, parts)]
        return self.ask(list_offsets.ListOffsetsRequest(-1, 0, topics), 7, note=False)

    def _fetch(self, offset: int, isolation: int) -> None:
        """Reads from an offset, and compares as far as the first batch goes: how many follow is a broker's choice."""
        part = fetch.FetchPartition(0, fetch_offset=offset, partition_max_bytes=1 << 20)
        topics = [fetch.FetchTopic(self.topic, partitions=[part])]
        request = fetch.FetchRequest(max_wait_ms=0, max_bytes=1 << 20, isolation_level=isolation, topics=topics)
        answer = self.ask(request, 12, note=False)
        data = answer.responses[0].partitions[0]
        if data.aborted_transactions:
            end_offset = next(iterate_batches(memoryview(data.records)))[0].last_offset
            data.aborted_transactions = [one for one in data.aborted_transactions if one.first_offset <= end_offset]
        self.answers.append((f"Fetch v12 from {offset}", self._settled(plain(answer))))

    def stage(self, who: tuple[int, int], version: int = 5, *, generation: int = -1, member: str = "") -> None:
        places = [txn_offset_commit.TxnOffsetCommitRequestPartition(index, 7) for index in (0, 9)]
        topic = txn_offset_commit.TxnOffsetCommitRequestTopic(self.topic, partitions=places)
        request = txn_offset_commit.TxnOffsetCommitRequest(
            self.txn, self.group, *who, generation if version > 2 else -1, member if version > 2 else "", topics=[topic]
        )
        self.ask(request, version)

    def committed(self, *, stable: bool) -> None:
        topics = [offset_fetch.OffsetFetchRequestTopics(self.topic, partition_indexes=[0, 1])]
        groups = [offset_fetch.OffsetFetchRequestGroup(self.group, topics=topics)]
        self.ask(offset_fetch.OffsetFetchRequest(groups=groups, require_stable=stable), 8)


def codes(value: Any) -> set[int]:
    """Every error code in an answer."""
    if isinstance(value, dict):
        own = {item for name, item in value.items() if name.endswith("error_code")}
        return own.union(*(codes(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(codes(item) for item in value))
    return set()


Script = Callable[[Play], None]


@pytest.fixture(scope="module")
def act(theirs: RawClient, ours: RawClient) -> Callable[[Script], None]:
    """Runs a script with both brokers and fails with the answers that differ."""
    serial = itertools.count()

    def run(script: Script) -> None:
        played, name = [], f"transactions-{next(serial)}"
        for broker in (theirs, ours):
            topic = CreatableTopic(name=name, num_partitions=2, replication_factor=1)
            broker.ask(CreateTopicsRequest(topics=[topic], timeout_ms=10_000), CreateTopicsResponse, 5)
            deadline = time.monotonic() + AWAKE_SECONDS_MAX
            while all(t.name != name for t in broker.ask(MetadataRequest(topics=None), MetadataResponse, 12).topics):
                assert time.monotonic() < deadline
            play = Play(broker, name)
            # Kafka creates the topics of its coordinators when it is first asked for one.
            for key, key_type in ((play.group, 0), (play.txn, 1)):
                play.ask(find_coordinator.FindCoordinatorRequest(key=key, key_type=key_type), 1, note=False)
            while codes(plain(play.ends())) - {0}:
                assert time.monotonic() < deadline
            script(play)
            played.append(play.answers)
        assert len(played[0]) > 1
        wrong = [f"{q}\n  theirs {a}\n  ours   {b}" for (q, a), (_, b) in zip(*played, strict=True) if a != b]
        assert not wrong, "\n".join(wrong)

    return run


# ---- scripts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("commit", [True, False])
def test_the_first_protocol(act: Callable[[Script], None], commit: bool) -> None:
    def script(play: Play) -> None:
        who = play.init(version=4)
        play.add(who, 0, 1)
        play.produce(who, version=9)
        play.describe()
        play.look()
        play.end(who, commit, version=3)
        play.look()
        play.end(who, commit, version=3)
        play.end(who, not commit, version=3)

    act(script)


@pytest.mark.parametrize("commit", [True, False])
def test_the_second_protocol(act: Callable[[Script], None], commit: bool) -> None:
    def script(play: Play) -> None:
        first = play.init()
        play.produce(first)
        play.describe()
        second = play.end(first, commit)
        play.look()
        play.end(first, commit)
        play.end(first, not commit)
        play.produce(second)
        play.produce(first, 1)
        play.end(first, commit)
        play.end(second, commit)
        play.look()

    act(script)


@pytest.mark.parametrize("version", range(6))
def test_ends_without_a_transaction(act: Callable[[Script], None], version: int) -> None:
    def script(play: Play) -> None:
        who = play.init()
        for commit in (True, False):
            play.end(who, commit, version=version)
        play.end((who[0] + 1_000_000, 0), True, version=version)
        play.end((who[0], 77), True, version=version)

    act(script)


@pytest.mark.parametrize("version", range(6))
def test_owners(act: Callable[[Script], None], version: int) -> None:
    def script(play: Play) -> None:
        first = play.init(version=version)
        second = play.init(version=version, who=first)
        play.init(version=version, who=first)
        play.init(version=version)
        play.init(version=version, who=second)
        play.init(version=version, who=(second[0] + 1_000_000, 3))
        play.init(version=version, timeout_ms=900_001)
        play.init(version=version, timeout_ms=0)
        play.describe()

    act(script)


def test_a_zombie(act: Callable[[Script], None]) -> None:
    def script(play: Play) -> None:
        zombie = play.init()
        play.produce(zombie)
        owner = play.init()
        play.describe()
        play.produce(zombie, 1)
        for version in range(6):
            play.end(zombie, True, version=version)
        for version in range(4):
            play.add(zombie, 0, version=version)
        play.produce(owner)
        play.look()

    act(script)


@pytest.mark.parametrize("version", range(6))
def test_adding_partitions(act: Callable[[Script], None], version: int) -> None:
    def script(play: Play) -> None:
        who = play.init()
        play.add(who, 0, 9, version=version)
        play.add((who[0] + 1_000_000, 0), 0, version=version)
        play.add(who, 0, version=version)
        play.describe()
        play.add(who, 0, 1, version=version)

    act(script)


@pytest.mark.parametrize("version", [3, 8, 9, 10, 11, 12])
def test_producing_without_having_added(act: Callable[[Script], None], version: int) -> None:
    def script(play: Play) -> None:
        who = play.init()
        play.produce(who, 3, version=version)
        play.produce(who, version=version)
        play.produce((who[0], who[1] + 5), version=version)
        play.produce((who[0] + 1_000_000, 0), version=version)
        play.look()

    act(script)


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("version", range(7))
def test_offsets(act: Callable[[Script], None], version: int, commit: bool) -> None:
    def script(play: Play) -> None:
        who = play.init()
        play.stage(who, version)
        offsets = add_offsets_to_txn.AddOffsetsToTxnRequest(play.txn, *who, play.group)
        play.ask(offsets, min(version, 4))
        play.stage(who, version)
        play.stage(who, version, generation=4)
        play.stage(who, version, member="stranger")
        play.committed(stable=False)
        play.committed(stable=True)
        play.end(who, commit, version=3)
        play.committed(stable=True)

    act(script)


@pytest.mark.parametrize("version", range(5))
def test_adding_offsets(act: Callable[[Script], None], version: int) -> None:
    def script(play: Play) -> None:
        who = play.init(version=4)

        def add(producer: tuple[int, int] = who, txn: str = play.txn, group: str = play.group) -> None:
            play.ask(add_offsets_to_txn.AddOffsetsToTxnRequest(txn, *producer, group), version)

        add()
        add()
        add((who[0] + 1_000_000, 0))
        add((who[0], who[1] + 5))
        add((who[0], -1))
        add(txn="never heard of")
        add(txn="")
        add(group="another")
        add(group="")
        play.describe()
        play.end(who, True, version=3)
        owner = play.init(version=4)
        add(who)
        add(owner)
        play.describe()

    act(script)


def test_offsets_by_topic_id(act: Callable[[Script], None]) -> None:
    """Version 6 of TxnOffsetCommit, whose topics may be given by an id that nobody has."""

    def script(play: Play) -> None:
        who = play.init()
        places = [txn_offset_commit.TxnOffsetCommitRequestPartition(index, 7) for index in (0, 1)]
        for topic_id in (play.topic_id(), b"n" * 16, bytes(16)):
            topic = txn_offset_commit.TxnOffsetCommitRequestTopic(topic_id=topic_id, partitions=places)
            play.ask(txn_offset_commit.TxnOffsetCommitRequest(play.txn, play.group, *who, topics=[topic]), 6)
        play.end(who, True)
        play.committed(stable=True)

    act(script)


def test_a_transaction_that_takes_too_long(act: Callable[[Script], None]) -> None:
    def script(play: Play) -> None:
        for commit in (True, False):
            who = play.init(timeout_ms=300)
            play.produce(who)
            play.look()
            play.wait_until_over()
            play.look()
            play.produce(who, 1)
            play.end(who, commit)
            play.describe()

    act(script)


def test_offsets_by_time_while_a_transaction_is_open(act: Callable[[Script], None]) -> None:
    def script(play: Play) -> None:
        def ask() -> None:
            for isolation in (0, 1):
                for timestamp in (-1, -2, -3, 0, WRITTEN_MS, WRITTEN_MS + 1):
                    part = list_offsets.ListOffsetsPartition(partition_index=0, timestamp=timestamp)
                    topics = [list_offsets.ListOffsetsTopic(play.topic, [part])]
                    play.ask(list_offsets.ListOffsetsRequest(-1, isolation, topics), 7)

        who = play.init()
        play.produce(who)
        ask()
        who = play.end(who, False)
        ask()
        play.produce(who)
        ask()
        play.end(who, True)
        ask()

    act(script)


def test_lists(act: Callable[[Script], None]) -> None:
    def script(play: Play) -> None:
        who = play.init()
        play.produce(who)
        pattern = play.txn
        for version, request in (
            (0, list_transactions.ListTransactionsRequest(["Nonsense", "Ongoing", "Nonsense", ""], [who[0]])),
            (0, list_transactions.ListTransactionsRequest(["ongoing"], [who[0], who[0], -1])),
            (0, list_transactions.ListTransactionsRequest(["Empty"], [who[0]])),
            (1, list_transactions.ListTransactionsRequest([], [who[0]], 1_000_000)),
            (1, list_transactions.ListTransactionsRequest(["Nonsense"], [who[0]], -5)),
            (2, list_transactions.ListTransactionsRequest(transactional_id_pattern=pattern)),
            (2, list_transactions.ListTransactionsRequest(transactional_id_pattern=pattern[:-1])),
            (2, list_transactions.ListTransactionsRequest([], [who[0]], transactional_id_pattern="")),
            (2, list_transactions.ListTransactionsRequest(["Nonsense"], transactional_id_pattern="((")),
        ):
            play.ask(request, version)
        play.ask(describe_transactions.DescribeTransactionsRequest(["never heard of", ""]), 0)
        asked = [("bad!", [0, -1]), ("", [0]), ("nobody", [0]), (play.topic, [9, -1]), (play.topic, [])]
        topics = [describe_producers.TopicRequest(name, indexes) for name, indexes in asked]
        play.ask(describe_producers.DescribeProducersRequest(topics), 0)

    act(script)


@pytest.mark.parametrize("version", [1, 2])
def test_markers_by_an_administrator(act: Callable[[Script], None], version: int) -> None:
    def script(play: Play) -> None:
        play.init()
        who = play.init()
        play.produce(who)
        topics = [write_txn_markers.WritableTxnMarkerTopic(play.topic, [0, 9])]
        for epoch in (who[1] - 1, who[1]):
            marker = write_txn_markers.WritableTxnMarker(who[0], epoch, False, topics, 0)
            play.ask(write_txn_markers.WriteTxnMarkersRequest([marker]), version)
        play.look()

    act(script)
