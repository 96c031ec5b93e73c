"""The same questions about groups and offsets to Apache Kafka and to us; the answers must be equal.

Each test is a script that plays several clients against one broker. It runs once with each broker and notes every
answer; member ids, which are drawn at random, are replaced by numbers in the order in which they appear.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest
from kafka_protocol.messages import (
    delete_groups,
    describe_groups,
    find_coordinator,
    heartbeat,
    join_group,
    leave_group,
    list_groups,
    offset_commit,
    offset_delete,
    offset_fetch,
    sync_group,
)
from kafka_protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from kafka_protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from kafka_protocol.messages.metadata import MetadataRequest, MetadataResponse

from tests.differential.compare import plain
from tests.differential.raw_client import RawClient
from tests.domain.group_examples import subscription

pytestmark = pytest.mark.jvm

MODULES: tuple[ModuleType, ...] = (
    delete_groups,
    describe_groups,
    find_coordinator,
    heartbeat,
    join_group,
    leave_group,
    list_groups,
    offset_commit,
    offset_delete,
    offset_fetch,
    sync_group,
)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![\w-])(?!ConsumerGroup)[\w-]{22}(?![\w-])")
"""As Java prints random ids, and as Kafka does."""
OLDEST = {"OffsetCommit": 2, "OffsetFetch": 1}
"""Where Kafka 4 begins; we serve these from v0 on."""
WARMING_UP = (14, 15, 16)
MEMBER_ID_REQUIRED = 79
UNKNOWN_ID = b"n" * 16


class Cast:
    """Several clients of one broker, by name, and what they were answered."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._clients: dict[str, RawClient] = {}
        self._awaited: dict[str, tuple[Any, int, str]] = {}
        self._ids: dict[str, str] = {}
        self.answers: list[tuple[str, Any]] = []
        self.topic_ids: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        """The real names of the topics that scripts call ``t`` and ``u``."""

    def ask(self, request: Any, version: int | None = None, who: str = "a", note: bool = True) -> Any:
        self.begin(request, version, who)
        return self.end(who, note)

    def begin(self, request: Any, version: int | None = None, who: str = "a") -> None:
        """Sends a request that waits at a barrier, and gives it time to get there."""
        version = type(request).max_version if version is None else version
        name = type(request).__name__.removesuffix("Request")
        response_type = next(getattr(m, f"{name}Response") for m in MODULES if hasattr(m, f"{name}Response"))
        self.client(who).send(request, version)
        self._awaited[who] = (response_type, version, f"{name} v{version} by {who}: {shortened(request)}")

    def end(self, who: str, note: bool = True) -> Any:
        response_type, version, question = self._awaited.pop(who)
        answer = self._clients[who].receive(response_type, version)
        if note:
            self.answers.append((self._numbered(question), settled(self._numbered(plain(answer)))))
        return answer

    def client(self, who: str) -> RawClient:
        if who not in self._clients:
            self._clients[who] = RawClient(self._bootstrap)
        return self._clients[who]

    def enter(self, version: int, who: str = "a", **changes: Any) -> Any:
        """A new member in as many steps as its version needs."""
        joined = self.ask(join(**changes), version, who)
        if joined.error_code == MEMBER_ID_REQUIRED:
            joined = self.ask(join(member_id=joined.member_id, **changes), version, who)
        return joined

    def close(self) -> None:
        for client in self._clients.values():
            client.__exit__(None, None, None)

    def _numbered(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._numbered(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._numbered(item) for item in value]
        if isinstance(value, str):
            return UUID.sub(lambda found: self._ids.setdefault(found.group(0), f"#{len(self._ids)}"), value)
        return value


def settled(answer: Any) -> Any:
    """Puts lists whose order is the broker's own choice into one order, and forgets which node it is."""
    if isinstance(answer, list):
        return sorted((settled(item) for item in answer), key=str)
    if isinstance(answer, dict):
        return {
            name: ("a node" if name == "node_id" and item >= 0 else settled(item))
            for name, item in answer.items()
            if name != "throttle_time_ms"
        }
    return answer


def shortened(request: Any) -> str:
    return re.sub(r", unknown_tagged_fields=None|\w+=(None|''|b''|\[\]|-1)(, )?", "", str(request))[:160]


Script = Callable[[Cast], None]


@pytest.fixture(scope="module")
def play(theirs: RawClient, ours: RawClient) -> Callable[[Script], None]:
    """Runs a script with both brokers and fails with the first answers that differ."""
    serial = itertools.count()

    def run(script: Script) -> None:
        played = []
        name = f"groups-{next(serial)}"
        for broker in (theirs, ours):
            cast = Cast(broker.bootstrap)
            prepare(cast, broker, name)
            script(cast)
            cast.close()
            played.append(cast.answers)
        assert len(played[0]) > 1
        wrong = [f"{q}\n  theirs {a}\n  ours   {b}" for (q, a), (_, b) in zip(*played, strict=True) if a != b]
        assert not wrong, "\n".join(wrong)

    return run


def prepare(cast: Cast, broker: RawClient, prefix: str) -> None:
    """Topics ``t`` (2 partitions) and ``u`` under names of this run, and a coordinator that is awake."""
    names = {"t": f"{prefix}-t", "u": f"{prefix}-u"}
    topics = [CreatableTopic(name=name, num_partitions=2, replication_factor=1) for name in names.values()]
    broker.ask(CreateTopicsRequest(topics=topics, timeout_ms=10_000), CreateTopicsResponse, 5)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        metadata = broker.ask(MetadataRequest(topics=None), MetadataResponse, 12)
        found = {topic.name: topic.topic_id for topic in metadata.topics}
        awake = cast.ask(heartbeat.HeartbeatRequest("nobody", 1, "m"), 0, note=False).error_code not in WARMING_UP
        for key_type in (0, 1):
            request = find_coordinator.FindCoordinatorRequest(key="g", key_type=key_type)
            awake &= cast.ask(request, 1, note=False).error_code == 0
        if awake and set(names.values()) <= set(found):
            cast.topic_ids = {short: found[name] for short, name in names.items()}
            cast.names = names
            return
        time.sleep(0.3)
    raise TimeoutError("the coordinator did not wake up")


def versions(request_type: Any) -> range:
    name = request_type.__name__.removesuffix("Request")
    return range(OLDEST.get(name, request_type.min_version), request_type.max_version + 1)


def at_most(version: int, request_type: Any) -> int:
    return max(min(version, int(request_type.max_version)), versions(request_type)[0])


# ---- requests ------------------------------------------------------------------------------------------------------


def join(group: str = "g", member_id: str = "", instance: str | None = None, **changes: Any) -> Any:
    protocols: Sequence[tuple[str, bytes]] = changes.pop("protocols", (("range", subscription("t")),))
    fields = {
        "group_id": group,
        "session_timeout_ms": 120_000,
        "rebalance_timeout_ms": 120_000,
        "member_id": member_id,
        "group_instance_id": instance,
        "protocol_type": "consumer",
        "protocols": [join_group.JoinGroupRequestProtocol(name=name, metadata=data) for name, data in protocols],
    }
    return join_group.JoinGroupRequest(**{**fields, **changes})


def sync(group: str, generation: int, member_id: str, instance: str | None = None, **assigned: Any) -> Any:
    protocol = assigned.pop("protocol", ("consumer", "range"))
    assignments = [sync_group.SyncGroupRequestAssignment(m, a) for m, a in assigned.pop("assign", {}).items()]
    return sync_group.SyncGroupRequest(group, generation, member_id, instance, *protocol, assignments)


def beat(group: str, generation: int, member_id: str, instance: str | None = None) -> Any:
    return heartbeat.HeartbeatRequest(group, generation, member_id, instance)


def leave(group: str, *who: tuple[str, str | None], version: int = 5) -> Any:
    if version < 3:
        return leave_group.LeaveGroupRequest(group, who[0][0])
    return leave_group.LeaveGroupRequest(group, members=[leave_group.MemberIdentity(*one) for one in who])


def describe(*groups: str, operations: bool = False) -> Any:
    return describe_groups.DescribeGroupsRequest(list(groups), operations)


def commit(cast: Cast, group: str, *topics: str, member: tuple[str, int] = ("", -1), **changes: Any) -> Any:
    """Commits for partitions 1, 0 and 5, of which the last does not exist."""
    place = offset_commit.OffsetCommitRequestPartition
    places = [place(1, 7, 2, -1, "meta"), place(0, 8, -1, -1, None), place(5, 1)]
    asked = [
        offset_commit.OffsetCommitRequestTopic(
            named(cast, name), cast.topic_ids.get(name, UNKNOWN_ID), changes.get("places", places)
        )
        for name in topics
    ]
    return offset_commit.OffsetCommitRequest(group, member[1], member[0], changes.get("instance"), topics=asked)


def fetch(cast: Cast, group: str, version: int) -> Any:
    asked = [("t", [1, 0, 7]), ("nope", [0])]
    if version < 8:
        topics = [offset_fetch.OffsetFetchRequestTopic(named(cast, name), indexes) for name, indexes in asked]
        return offset_fetch.OffsetFetchRequest(group, topics, require_stable=version >= 7)
    some = [
        offset_fetch.OffsetFetchRequestTopics(named(cast, n), cast.topic_ids.get(n, UNKNOWN_ID), i) for n, i in asked
    ]
    groups = [
        offset_fetch.OffsetFetchRequestGroup(group, topics=some),
        offset_fetch.OffsetFetchRequestGroup(group, "m" if version >= 9 else None, 5 if version >= 9 else -1, None),
    ]
    return offset_fetch.OffsetFetchRequest(groups=groups, require_stable=True)


def named(cast: Cast, topic: str) -> str:
    return cast.names.get(topic, topic)


# ---- conversations -------------------------------------------------------------------------------------------------


def test_finding_the_coordinator(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        for version in versions(find_coordinator.FindCoordinatorRequest):
            for key_type in (0, 1, 2, 9) if version else (0,):
                if key_type == 2 and version >= 6:
                    continue  # Kafka 4.4 serves share groups from here on.
                request = find_coordinator.FindCoordinatorRequest(key="g", key_type=key_type)
                if version >= 4:
                    request = find_coordinator.FindCoordinatorRequest(
                        key_type=key_type, coordinator_keys=["g", "", "h"]
                    )
                cast.ask(request, version)

    play(script)


@pytest.mark.parametrize("version", versions(join_group.JoinGroupRequest))
def test_the_life_of_a_member(play: Callable[[Script], None], version: int) -> None:
    def script(cast: Cast) -> None:
        group = f"life-{version}"
        beat_version = at_most(version, heartbeat.HeartbeatRequest)
        sync_version = at_most(version, sync_group.SyncGroupRequest)
        leave_version = at_most(version, leave_group.LeaveGroupRequest)
        describe_version = at_most(version, describe_groups.DescribeGroupsRequest)
        commit_version = at_most(version, offset_commit.OffsetCommitRequest)
        me = cast.enter(version, group=group).member_id
        cast.ask(sync(group, 1, me, assign={me: b"x"}), sync_version)
        cast.ask(join(group, me), version)
        for generation, who in ((2, me), (1, me), (2, "nobody")):
            cast.ask(beat(group, generation, who), beat_version)
        for refused in (
            join(group, "nobody"),
            join(group, protocol_type="connect"),
            join(group, protocols=(("other", b""),)),
            join(group, me, protocols=(("other", b""),)),
            join(group, "x", protocols=(("other", b""),)),
            join("none", protocols=()),
            join("none", protocol_type=""),
            join(""),
            join(group, session_timeout_ms=1),
            join(group, session_timeout_ms=10**8),
            join("none", "m"),
        ):
            cast.ask(refused, version)
        cast.ask(describe(group), describe_version)
        cast.ask(commit(cast, group, "t", member=(me, 2)), commit_version)
        cast.ask(leave(group, (me, None), ("x", None), ("", "i"), ("", None), version=leave_version), leave_version)
        cast.ask(leave("none", (me, None), version=leave_version), leave_version)
        cast.ask(leave("", (me, None), version=leave_version), leave_version)
        cast.ask(describe(group), describe_version)
        for name in (group, "none", ""):
            cast.ask(sync(name, 3, "m"), sync_version)
            cast.ask(beat(name, 3, "m"), beat_version)

    play(script)


def test_a_stable_group(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        me = cast.enter(9, group="stable").member_id
        for version in versions(sync_group.SyncGroupRequest):
            cast.ask(sync("stable", 1, me, assign={me: b"A"}), version)
            cast.ask(sync("stable", 7, me), version)
            cast.ask(sync("stable", 1, "nobody"), version)
            cast.ask(sync("stable", 1, me, "i" if version >= 3 else None), version)
            for protocol in (("consumer", "other"), ("other", "range"), ("consumer", None)):
                cast.ask(sync("stable", 1, me, protocol=protocol), version)
        for version in versions(describe_groups.DescribeGroupsRequest):
            cast.ask(describe("stable", "none", "", operations=version >= 3), version)
        for version in versions(heartbeat.HeartbeatRequest):
            cast.ask(beat("stable", 1, me, "i" if version >= 3 else None), version)

    play(script)


@pytest.mark.parametrize("version", versions(offset_commit.OffsetCommitRequest))
def test_commits(play: Callable[[Script], None], version: int) -> None:
    def script(cast: Cast) -> None:
        group = f"commits-{version}"
        me = cast.enter(3, group=group).member_id
        cast.ask(sync(group, 1, me, assign={me: b""}), 3)
        for name, member in (
            (group, (me, 1)),
            (group, (me, 9)),
            (group, ("nobody", 1)),
            (group, ("", -1)),
            (group, ("", 1)),
            (group, (me, -1)),
            (f"simple-{version}", ("", -1)),
            ("none", ("q", 3)),
            (f"named-{version}", ("q", -1)),
            ("", ("", -1)),
        ):
            cast.ask(commit(cast, name, "t", "nope", member=member), version)
        cast.ask(commit(cast, group, "nope", member=("nobody", 5)), version)
        cast.ask(commit(cast, group, member=("nobody", 5)), version)
        cast.ask(commit(cast, group, "t", member=(me, 1), instance="i" if version >= 7 else None), version)
        long = [offset_commit.OffsetCommitRequestPartition(0, 8, -1, -1, "x" * 4097)]
        cast.ask(commit(cast, group, "t", member=(me, 1), places=long), version)
        cast.ask(commit(cast, group, "t", places=long), version)
        for fetch_version in versions(offset_fetch.OffsetFetchRequest):
            for name in (group, f"simple-{version}", "none", ""):
                cast.ask(fetch(cast, name, fetch_version), fetch_version)
                if 2 <= fetch_version < 8:
                    cast.ask(offset_fetch.OffsetFetchRequest(name, None), fetch_version)

    play(script)


def test_deleting_offsets_and_groups(play: Callable[[Script], None]) -> None:
    def delete(cast: Cast, group: str, *topics: str) -> Any:
        places = [offset_delete.OffsetDeleteRequestPartition(index) for index in (0, 1, 9)]
        asked = [offset_delete.OffsetDeleteRequestTopic(named(cast, name), places) for name in topics]
        return offset_delete.OffsetDeleteRequest(group, asked)

    def script(cast: Cast) -> None:
        reader = (("range", subscription(named(cast, "t"))),)
        me = cast.enter(3, group="deleting", protocols=reader).member_id
        cast.ask(delete(cast, "deleting", "t", "u"))
        cast.ask(sync("deleting", 1, me, assign={me: b""}), 3)
        cast.ask(commit(cast, "deleting", "t", "u", member=(me, 1)), 9)
        cast.ask(commit(cast, "simple", "t"), 9)
        cast.enter(3, group="worker", protocol_type="connect", who="b")
        for group in ("deleting", "simple", "worker", "none", ""):
            cast.ask(delete(cast, group, "t", "u"))
            cast.ask(delete(cast, group, "nope"))
            cast.ask(delete(cast, group))
            cast.ask(fetch(cast, group, 9), 9)
        for version in versions(delete_groups.DeleteGroupsRequest):
            cast.ask(commit(cast, f"simple-{version}", "t"), 9)
            asked = [f"simple-{version}", "deleting", "none", "", f"simple-{version}"]
            cast.ask(delete_groups.DeleteGroupsRequest(asked), version)
            cast.ask(fetch(cast, f"simple-{version}", 9), 9)
        cast.ask(commit(cast, "of-a-topic", "u"), 9)
        gone = DeleteTopicsRequest(topic_names=[named(cast, "u")], timeout_ms=5_000)
        cast.client("a").ask(gone, DeleteTopicsResponse, 5)
        time.sleep(1)
        everything = [offset_fetch.OffsetFetchRequestGroup("of-a-topic", topics=None)]
        cast.ask(offset_fetch.OffsetFetchRequest(groups=everything), 9)

    play(script)


def test_listing_groups(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        me = cast.enter(3, group="listed").member_id
        cast.ask(commit(cast, "listed-offsets", "t"), 9)
        cast.ask(sync("listed", 1, me), 3)
        for states, types in (
            (["Empty"], []),
            (["sTABLE"], []),
            (["bogus"], []),
            ([], ["classic"]),
            ([], ["CLASSIC"]),
            ([], ["consumer"]),
            ([], ["bogus"]),
            ([], []),
        ):
            for version in versions(list_groups.ListGroupsRequest):
                if (states and version < 4) or (types and version < 5):
                    continue
                listed = cast.ask(list_groups.ListGroupsRequest(states, types), version, note=False).groups
                mine = [plain(group) for group in listed if group.group_id.startswith("listed")]
                cast.answers.append((f"ListGroups v{version} {states} {types}", settled(mine)))

    play(script)


def test_a_rebalance_of_two(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        first = cast.ask(join("two"), 3).member_id
        cast.ask(sync("two", 1, first, assign={first: b"1"}), 3)
        cast.begin(join("two"), 3, "b")
        time.sleep(0.3)
        cast.ask(beat("two", 1, first))
        cast.ask(sync("two", 1, first))
        cast.ask(commit(cast, "two", "t", member=(first, 1)), 9)
        cast.ask(commit(cast, "two", "t"), 9)
        cast.ask(describe("two"))
        cast.ask(join("two", first), 3)
        second = cast.end("b").member_id
        cast.begin(sync("two", 2, second), 3, "b")
        time.sleep(0.2)
        cast.ask(beat("two", 2, first))
        cast.ask(sync("two", 2, first, assign={first: b"1", second: b"2", "ghost": b"3"}), 3)
        cast.end("b")
        cast.ask(join("two", second), 3, "b")
        cast.begin(join("two", second, protocols=(("range", subscription("t", "u")),)), 3, "b")
        time.sleep(0.2)
        cast.ask(beat("two", 2, first))
        cast.ask(join("two", first, protocols=(("rack", b""), ("range", subscription("t")))), 3)
        cast.end("b")
        cast.begin(sync("two", 3, second), 3, "b")
        time.sleep(0.2)
        cast.ask(leave("two", (first, None)))
        cast.end("b")
        cast.ask(join("two", second), 3, "b")

    play(script)


@pytest.mark.parametrize("version", range(5, 10))
def test_static_members(play: Callable[[Script], None], version: int) -> None:
    def script(cast: Cast) -> None:
        group = f"static-{version}"
        old = at_most(version, sync_group.SyncGroupRequest)
        a = cast.ask(join(group, instance="A"), version).member_id
        cast.ask(sync(group, 1, a, "A", assign={a: b"1"}), old)
        cast.begin(join(group, instance="B"), version, "b")
        time.sleep(0.2)
        cast.ask(join(group, a, "A"), version)
        b = cast.end("b").member_id
        cast.begin(sync(group, 2, b, "B"), old, "b")
        time.sleep(0.2)
        cast.ask(sync(group, 2, a, "A", assign={a: b"1", b: b"2"}), old)
        cast.end("b")
        new_a = cast.ask(join(group, instance="A"), version, "c").member_id
        new_b = cast.ask(join(group, instance="B"), version, "d").member_id
        cast.ask(beat(group, 2, a, "A"))
        cast.ask(join(group, a, "A"), version)
        cast.ask(sync(group, 2, a, "A"), old)
        cast.ask(commit(cast, group, "t", member=(a, 2), instance="A"), 9)
        cast.ask(leave(group, (a, "A")))
        for instance in (None, "B", "Z"):
            cast.ask(beat(group, 2, new_a, instance))
        cast.ask(sync(group, 2, new_a, "A"), old)
        cast.ask(sync(group, 2, new_b, "B"), old)
        cast.ask(describe(group))
        cast.ask(join(group, "nobody", "A"), version)
        cast.ask(join(group, "nobody", "Z"), version)
        cast.ask(leave(group, ("", "A"), ("", "A"), ("", "Q")))
        cast.ask(describe(group))
        cast.ask(leave(group, ("", "B")))
        cast.ask(describe(group))

    play(script)


def test_an_id_that_was_handed_out(play: Callable[[Script], None]) -> None:
    def script(cast: Cast) -> None:
        mine = cast.ask(join("pending")).member_id
        cast.ask(join("pending", mine, "instance"))
        cast.ask(beat("pending", 0, mine))
        cast.ask(describe("pending"))
        cast.ask(commit(cast, "pending", "t", member=(mine, 0)), 9)
        cast.ask(leave("pending", (mine, None)))
        cast.ask(join("pending", mine))

    play(script)


def test_what_time_does(play: Callable[[Script], None]) -> None:
    """Time-outs of 6 s, the shortest session that Kafka allows, and of 2 s for rebalances."""
    quick: dict[str, Any] = {"session_timeout_ms": 6_000, "rebalance_timeout_ms": 2_000}

    def script(cast: Cast) -> None:
        first = cast.ask(join("time", **quick), 3).member_id
        cast.ask(sync("time", 1, first, assign={first: b"1"}), 3)
        cast.begin(join("time", **quick), 3, "b")
        second = cast.end("b").member_id  # The first does not join again within 2 s.
        cast.ask(beat("time", 2, first))
        cast.ask(beat("time", 2, second))
        time.sleep(3)
        cast.ask(beat("time", 2, second))  # Nor did the second bring its assignment within 2 s.
        cast.ask(describe("time"))
        silent = cast.ask(join("time", **quick), 3).member_id
        cast.ask(sync("time", 4, silent, assign={silent: b"1"}), 3)
        cast.ask(describe("time"))
        handed_out = cast.ask(join("time", **quick), 9, "b").member_id
        time.sleep(8)
        cast.ask(beat("time", 4, silent))
        cast.ask(describe("time"))
        cast.ask(join("time", handed_out, **quick), 9, "b")
        static = cast.ask(join("time", instance="A", **quick), 9).member_id
        cast.ask(sync("time", 6, static, "A", assign={static: b"1"}))
        cast.begin(join("time", **quick), 3, "b")
        cast.end("b")  # A static member that does not join again keeps its place until its session ends.
        cast.ask(describe("time"))

    play(script)
