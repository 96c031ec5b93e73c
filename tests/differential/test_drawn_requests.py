"""Requests that nobody wrote down, to Apache Kafka and to us: every API in every version, drawn from the schemas.

Each round draws one request per API and version, in a shuffled order. What is drawn depends only on the seed, which a
failure prints:

    KAFKA_TEST_SEED=7 KAFKA_TEST_ROUNDS=20 make differential

The brokers keep what earlier requests did, so a difference may be the echo of one before it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from kafka_protocol import load
from kafka_protocol.dispatch import NAMES as API_NAMES
from kafka_protocol.dispatch import SERVED
from kafka_protocol.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from kafka_protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from kafka_protocol.messages.offset_fetch import OffsetFetchRequest, OffsetFetchResponse

from kafka_server.testing.broker import threaded_broker
from tests.differential.chosen import unexpected
from tests.differential.compare import differences, plain
from tests.differential.conftest import IMPATIENT, Pair, apache_kafka
from tests.differential.conversation import topic_ids
from tests.differential.drawn import Draw, Symbol, schema
from tests.differential.raw_client import RawClient
from tests.differential.test_transactions import codes
from tests.generated.ours import to_object
from tests.peers import jvm

pytestmark = pytest.mark.jvm

SEED = int(os.environ.get("KAFKA_TEST_SEED", "1"))
ROUNDS = int(os.environ.get("KAFKA_TEST_ROUNDS", "6"))
NOT_YET = {5, 14, 15, 16, 19, 51}
"""Codes that pass by themselves: a broker still does what a request before asked for."""
PATIENCE_SECONDS_MAX = 3.0
SETTLES_SECONDS = 0.12
CHANGES_METADATA = (
    *("AlterClientQuotas", "AlterConfigs", "AlterUserScramCredentials", "CreatePartitions", "CreateTopics"),
    *("DeleteTopics", "IncrementalAlterConfigs"),
)
"""Apache Kafka's broker learns of these a moment after its controller has answered."""
NOT_COMPARED = {
    "throttle_time_ms": "each measures its own load",
    "last_timestamp": "a moment",
    "log_append_time_ms": "a moment",
    "transaction_start_time_ms": "a moment",
    "session_id": "drawn at random",
    "coordinator_epoch": "Kafka counts the elections of its coordinator, and we have none",
}
LEFT_OUT = {
    "GetTelemetrySubscriptions": "compared by a script: what is drawn has no subscription",
    "PushTelemetry": "the same",
    "WriteTxnMarkers": "a marker for a transaction that is not there changes logs for good",
    "AlterReplicaLogDirs": "paths are each broker's own; compared by a script",
    "DescribeLogDirs": "the same",
}
NAMES = ("name", "topic")
LEFT_OUT_OF_OLD = {
    ("OffsetCommit", 0): "we serve it and 3.9 does not, so groups would differ from there on",
    ("DescribeConfigs", 0): "settings and types of resources have come and gone since; compared by a script",
}
OLDEST = {"Produce": 3}
"""Apache Kafka 4 says that it serves Produce from 0 on, for the sake of librdkafka, and hangs up."""


class Side:
    """One broker, and what it calls the things that both have."""

    def __init__(self, broker: RawClient) -> None:
        self._broker = broker
        self.topic_ids: dict[str, bytes] = {}
        self._names: dict[bytes, str] = {}
        self._producers: list[int] = []
        self._members: list[str] = []

    def prepare(self) -> None:
        """Two topics, and coordinators that are awake."""
        topics = [CreatableTopic("t", 2, 1), CreatableTopic("u", 1, 1)]
        self._broker.ask(CreateTopicsRequest(topics=topics, timeout_ms=9_000), CreateTopicsResponse, 4)
        deadline = time.monotonic() + 30
        while (
            any(
                self._broker.ask(FindCoordinatorRequest(key=key, key_type=kind), FindCoordinatorResponse, 1).error_code
                for kind, key in enumerate("gx")
            )
            or self._broker.ask(OffsetFetchRequest(group_id="g", topics=[]), OffsetFetchResponse, 5).error_code
            or not {"t", "u"} <= topic_ids(self._broker).keys()
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.topic_ids = topic_ids(self._broker)
        self._names = {topic_id: f"id of {name}" for name, topic_id in self.topic_ids.items()}
        self._names[b"n" * 16] = "id of nobody"

    def ask(self, api: str, version: int, value: Mapping[str, Any]) -> Any:
        """The answer as plain values, once what passes by itself has passed; "hung up" or "no answer"."""
        request = to_object(schema(api), version, self._filled(value))
        deadline = time.monotonic() + PATIENCE_SECONDS_MAX
        while True:
            try:
                answer = self._broker.ask(request, load(f"{api}Response"), version)
            except EOFError:
                return "hung up"
            except TimeoutError:
                self._broker.reconnect()
                return "no answer"
            if not codes(plain(answer)) & NOT_YET or time.monotonic() > deadline:
                self._learn(api, answer)
                return self._told(plain(answer, self._names))
            time.sleep(0.03)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, Symbol):
            if value.kind == "topic id":
                return bytes(16) if value.which == "zero" else self.topic_ids.get(str(value.which), b"n" * 16)
            at, known = int(value.which), self._producers if value.kind == "producer" else self._members
            return known[at] if at < len(known) else (-1 if value.kind == "producer" else "")
        if isinstance(value, Mapping):
            return {name: self._filled(item) for name, item in value.items()}
        return [self._filled(item) for item in value] if isinstance(value, list) else value

    def _learn(self, api: str, answer: Any) -> None:
        if api == "InitProducerId" and answer.producer_id >= 0 and answer.producer_id not in self._producers:
            self._producers.append(answer.producer_id)
        if api == "JoinGroup" and len(answer.member_id) > len("stranger") and answer.member_id not in self._members:
            self._members.append(answer.member_id)

    def _told(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            told = {key: self._told(item, key) for key, item in value.items() if key not in NOT_COMPARED}
            # What was asked for by id is known by it.
            return {key: item or told.get("topic_id", item) if key in NAMES else item for key, item in told.items()}
        if isinstance(value, list):
            return sorted(merged([self._told(item, name) for item in value if not is_internal(item)]), key=str)
        if isinstance(value, str):
            for at, member in enumerate(self._members):
                value = value.replace(member, f"member {at}")
        if name == "producer_id" and value in self._producers:
            return f"producer {self._producers.index(value)}"
        return bytes(value).hex() if isinstance(value, bytes | memoryview) else value


def merged(items: list[Any]) -> list[Any]:
    """The partitions of a topic in one place: Kafka tells those that it refuses apart from the others."""
    topics: dict[str, Any] = {}
    kept = []
    for item in items:
        label = item.get("topic") if isinstance(item, dict) and "partitions" in item else None
        if label is None or label not in topics:
            kept.append(topics.setdefault(label, item) if label is not None else item)
        else:
            topics[label]["partitions"] = sorted([*topics[label]["partitions"], *item["partitions"]], key=str)
    return kept


def is_internal(item: Any) -> bool:
    """A topic that a broker keeps for itself; Kafka creates them when it first needs them, and we never."""
    return isinstance(item, dict) and str(item.get("name") or item.get("topic")).startswith("__")


def served_by(broker: RawClient) -> dict[int, range]:
    told = broker.ask(ApiVersionsRequest(), ApiVersionsResponse, 0).api_keys
    return {each.api_key: range(each.min_version, each.max_version + 1) for each in told}


def pairs(versions: Mapping[int, range]) -> list[tuple[str, int]]:
    """Every API and version that both brokers serve."""
    return [
        (API_NAMES[key], version)
        for key, (oldest, newest) in SERVED.items()
        for version in range(max(oldest, OLDEST.get(API_NAMES[key], 0)), newest + 1)
        if version in versions.get(key, ()) and API_NAMES[key] not in LEFT_OUT
    ]


def drawn(asked: list[tuple[str, int]], rounds: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    choice = random.Random(SEED)
    for _ in range(rounds):
        for api, version in choice.sample(asked, len(asked)):
            yield api, version, Draw(schema(api), version, choice).value()


def hold(pair: Pair, asked: list[tuple[str, int]], rounds: int, *, with_an_old_one: bool) -> None:
    """Sends what is drawn to both. Fails with each kind of difference once, and the request that showed it first."""
    theirs, ours = (Side(client) for client in pair)
    for side in (theirs, ours):
        side.prepare()
    found: dict[str, str] = {}
    count = 0
    for count, (api, version, value) in enumerate(drawn(asked, rounds), 1):
        answers = [side.ask(api, version, value) for side in (theirs, ours)]
        if api in CHANGES_METADATA:
            time.sleep(SETTLES_SECONDS)
        lines = (f"{api} v{version}: {line}" for line in differences(*answers) if ": order [" not in line)
        for line in unexpected(lines, from_an_old_one=with_an_old_one):
            found.setdefault(line, f"{line[:400]}\n    request {count}: {str(value)[:600]}")
    print(f"{count} requests of {len(asked)} APIs and versions, seed {SEED}")
    assert not found, f"seed {SEED}, {len(found)} differences:\n" + "\n".join(found.values())


@contextmanager
def fresh_pair(version: str) -> Iterator[Pair]:
    """Two brokers that nobody has asked anything yet, so that a seed tells the whole story."""
    with (
        apache_kafka(version) as theirs,
        threaded_broker(**IMPATIENT) as broker,
        RawClient(broker.bootstrap) as ours,
    ):
        yield theirs, ours


def test_drawn_requests() -> None:
    with fresh_pair(jvm.NEWEST) as pair:
        hold(pair, pairs(served_by(pair[0])), ROUNDS, with_an_old_one=False)


def test_drawn_requests_in_old_versions(theirs: RawClient) -> None:
    now = set(pairs(served_by(theirs)))
    with fresh_pair(jvm.OLD_PROTOCOL) as pair:
        old = [each for each in pairs(served_by(pair[0])) if each not in now and each not in LEFT_OUT_OF_OLD]
        hold(pair, old, 2 * ROUNDS, with_an_old_one=True)
