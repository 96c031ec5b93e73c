"""Random members of both protocols against the coordinator: they come, go, crash, fall silent, revoke late and speak in
old epochs; a topic grows; the broker restarts; the group moves between the protocols as its members do (KIP-848).

Whatever happens: no partition has two owners in one epoch, nobody has more than the coordinator knows of, no commit of
a partition is accepted from somebody who does not have it, and once the chaos ends the living share every partition.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_server.application.group_coordinator import AnyGroup, GroupCoordinator, GroupSettings
from kafka_server.application.offset_manager import OffsetCommitCommand, OffsetManager, OffsetSettings
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.consumer_group import ConsumerGroup
from kafka_server.domain.consumer_subscription import assigned_partitions, write_assignment
from kafka_server.domain.errors import (
    DomainError,
    FencedInstanceId,
    GroupIdNotFound,
    MemberIdRequired,
    UnknownMemberId,
    UnreleasedInstanceId,
)
from kafka_server.domain.group_values import (
    ConsumerLimits,
    HeartbeatCommand,
    HeartbeatResult,
    JoinCommand,
    JoinResult,
    LeavingMember,
    SyncCommand,
    SyncResult,
)
from kafka_server.domain.topic import Topic
from kafka_server.infrastructure.storage.memory import MemoryTopicRepository
from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository, MemoryOffsetRepository
from kafka_server.testing.clock import VirtualClock
from tests.domain.group_examples import REBALANCE_MS, SESSION_MS, subscription

TOPIC_ID = b"t" * 16
PARTITIONS_MAX = 8
CONSUMER_SESSION_MS = 45_000


@dataclass(eq=False)
class Client:
    """What a consumer library does, one step at a time."""

    number: int
    is_classic: bool
    instance_id: str | None
    member_id: str = ""
    epoch: int = 0
    owned: set[int] = field(default_factory=set)
    to_revoke: set[int] = field(default_factory=set)
    """Told to give up, not done yet."""
    is_slow: bool = False
    """Gives partitions up only when it is asked again."""
    is_dead: bool = False
    # of the classic protocol:
    needs_join: bool = True
    needs_sync: bool = False
    is_waiting: bool = False
    leads: tuple[str, ...] = ()
    connection: int = 0

    @property
    def identity(self) -> str:
        """Who owns partitions: a restarted static member is the same owner under a new member id."""
        return self.instance_id or self.member_id

    def start_over(self, code: int) -> None:
        self.epoch, self.owned, self.to_revoke = 0, set(), set()
        self.needs_join, self.needs_sync, self.leads = True, False, ()
        if self.is_classic and code == UnknownMemberId.code:
            self.member_id = ""
        if code == FencedInstanceId.code:
            self.is_dead = True


class Members(RuleBasedStateMachine):
    @initialize(interval_ms=st.sampled_from([0, 1_000]), assignor=st.sampled_from(["uniform", "range"]))
    def start(self, interval_ms: int, assignor: str) -> None:
        self.clock = VirtualClock()
        self.topics = MemoryTopicRepository()
        self.topic = Topic("t", TOPIC_ID, 5)
        asyncio.run(self.topics.add(self.topic))
        limits = ConsumerLimits(assignment_interval_ms=interval_ms, assignors=(assignor,))
        self.settings = GroupSettings(consumer_limits=lambda _: limits)
        self.stores = MemoryGroupRepository(), MemoryOffsetRepository()
        self.open()
        self.clients: list[Client] = []
        self.serial = 0
        self.owners: dict[tuple[int, int], str] = {}
        self.accepted: dict[int, int] = {}

    def open(self) -> None:
        groups, offsets = self.stores
        self.coordinator = GroupCoordinator(self.clock, groups, self.settings, self.topics)
        self.offsets = OffsetManager(self.clock, offsets, self.coordinator, OffsetSettings())
        asyncio.run(self.coordinator.load())
        asyncio.run(self.offsets.load())

    # ---- what may happen ---------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.living()) < 5)
    @rule(is_classic=st.booleans(), is_static=st.booleans(), is_slow=st.booleans())
    def start_client(self, is_classic: bool, is_static: bool, is_slow: bool) -> None:
        self.serial += 1
        instance_id = f"static-{self.serial % 2}" if is_static else None
        client = Client(self.serial, is_classic, instance_id, is_slow=is_slow)
        if not is_classic:
            client.member_id = f"m{self.serial}"
        self.clients.append(client)
        for _ in range(3):
            self.step(client)

    @precondition(lambda self: self.living())
    @rule(data=st.data(), steps=st.integers(1, 4))
    def act(self, data: st.DataObject, steps: int) -> None:
        client = data.draw(st.sampled_from(self.living()), label="client")
        for _ in range(steps):
            self.step(client)

    @precondition(lambda self: self.living())
    @rule(rounds=st.integers(1, 6))
    def everybody_acts(self, rounds: int) -> None:
        for _ in range(rounds):
            for client in self.living():
                self.step(client)
            self.clock.advance(500)

    @precondition(lambda self: self.living())
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.living()), label="client").is_dead = True

    @precondition(lambda self: self.living())
    @rule(data=st.data(), is_away=st.booleans())
    def leave(self, data: st.DataObject, is_away: bool) -> None:
        client = data.draw(st.sampled_from(self.living()), label="client")
        client.is_dead = True
        if client.is_classic:
            self.coordinator.leave("g", [LeavingMember(client.member_id, client.instance_id)])
        elif client.epoch:
            epoch = -2 if is_away and client.instance_id else -1
            self.heartbeat(client, HeartbeatCommand(client.member_id, epoch, client.instance_id))

    @precondition(lambda self: self.topic.partition_count < PARTITIONS_MAX)
    @rule()
    def grow_topic(self) -> None:
        self.topic.partition_count += 1
        self.coordinator.on_topic_change("t", is_new=False)
        if not isinstance(self.group(), ConsumerGroup):
            # The leader of a classic group watches topics. All join again, because after a downgrade nobody knows who
            # leads until the next rebalance - in Apache Kafka, too.
            for client in self.living():
                if client.is_classic and not client.is_waiting:
                    client.needs_join, client.owned = True, set()

    @precondition(lambda self: any(not client.is_classic and client.epoch > 1 for client in self.clients))
    @rule(data=st.data())
    def beat_late(self, data: st.DataObject) -> None:
        """A heartbeat of an older epoch arrives now; it says nothing of partitions and changes nothing."""
        known = [client for client in self.clients if not client.is_classic and client.epoch > 1]
        client = data.draw(st.sampled_from(known), label="late")
        result = self.heartbeat(client, HeartbeatCommand(client.member_id, client.epoch - 1, client.instance_id))
        assert result.error_code

    @rule()
    def restart_broker(self) -> None:
        asyncio.run(self.offsets.close())
        asyncio.run(self.coordinator.close())
        for client in self.clients:
            client.connection += 1
            client.is_waiting = False
        self.open()

    @rule(by_ms=st.sampled_from([1, 1_000, SESSION_MS, CONSUMER_SESSION_MS - 1, CONSUMER_SESSION_MS, REBALANCE_MS]))
    def pass_time(self, by_ms: int) -> None:
        self.clock.advance(by_ms)

    @precondition(lambda self: any(client.epoch > 0 for client in self.clients))
    @rule(data=st.data(), partition=st.integers(0, 4), offset=st.integers(0, 99), age=st.integers(-1, 2))
    def commit(self, data: st.DataObject, partition: int, offset: int, age: int) -> None:
        """Also the dead try, and requests that were sent epochs ago arrive late."""
        client = data.draw(st.sampled_from([c for c in self.clients if c.epoch > 0]), label="zombie")
        epoch = max(client.epoch - age, 0)
        offsets = {("t", partition): CommittedOffset(offset, topic_id=TOPIC_ID)}
        try:
            self.offsets.commit(OffsetCommitCommand("g", client.member_id, client.instance_id, epoch, offsets))
        except DomainError:
            return
        self.accepted[partition] = offset
        group = self.group()
        if isinstance(group, ConsumerGroup):
            member = group.roster.members[client.member_id]
            since = {**member.revoking.get(TOPIC_ID, {}), **member.assigned.get(TOPIC_ID, {})}.get(partition)
            assert epoch == member.epoch or (since is not None and since <= epoch < member.epoch)

    # ---- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def shows_the_last_accepted_commit(self) -> None:
        stored = {index: offset.offset for index, offset in self.offsets.fetch("g").get("t", {}).items()}
        assert stored == self.accepted

    @invariant()
    def nobody_has_more_than_the_coordinator_knows(self) -> None:
        group = self.group()
        if not isinstance(group, ConsumerGroup):
            return
        for client in self.clients:
            member = group.roster.members.get(client.member_id)
            if member is not None and member.epoch == client.epoch and member.epoch > 0 and not client.is_dead:
                held = {index for part in (member.assigned, member.revoking) for index in part.get(TOPIC_ID, {})}
                assert client.owned <= held

    @invariant()
    def targets_are_for_members(self) -> None:
        group = self.group()
        if isinstance(group, ConsumerGroup):
            assert set(group.targets) <= set(group.roster.members)
            assert group.target_epoch <= group.epoch
            assert all(member.epoch <= group.target_epoch for member in group.roster.members.values())

    def teardown(self) -> None:
        """The chaos ends: nobody new, nobody dies, everybody keeps talking."""
        if not hasattr(self, "clients"):
            return
        for _ in range(200):
            for client in self.living():
                self.step(client)
            self.clock.advance(1_000)
        living = self.living()
        everything = list(range(self.topic.partition_count)) if living else []
        group = self.group()
        state = "no group" if group is None else f"{group.state_name} {group.roster.members} {group.roster.static_ids}"
        assert sorted(partition for client in living for partition in client.owned) == everything, (living, state)
        assert group is None or group.state_name == ("Stable" if living else "Empty")
        assert group is None or group.member_count == len(living)

    # ---- a client's next step ----------------------------------------------------------------------------------------

    def group(self) -> AnyGroup | None:
        try:
            return self.coordinator.find("g")
        except GroupIdNotFound:
            return None

    def living(self) -> list[Client]:
        return [client for client in self.clients if not client.is_dead]

    def step(self, client: Client) -> None:
        group = self.group()
        if group is None or not group.member_count:
            self.owners.clear()  # A new group counts from the start.
        if client.is_dead or client.is_waiting:
            return
        if not client.is_classic:
            self.beat(client)
        elif client.needs_join:
            self.join(client)
        elif client.needs_sync:
            self.sync(client)
        else:
            try:
                self.coordinator.heartbeat("g", client.member_id, client.instance_id, client.epoch)
            except DomainError as error:
                client.start_over(error.code)

    def own(self, client: Client, partitions: set[int]) -> None:
        for partition in partitions:
            owner = self.owners.setdefault((client.epoch, partition), client.identity)
            assert owner == client.identity, f"{partition} has two owners in epoch {client.epoch}"
        client.owned |= partitions

    def beat(self, client: Client) -> None:
        if client.to_revoke and not client.is_slow:
            client.owned -= client.to_revoke
        client.owned, client.to_revoke = client.owned - client.to_revoke, set()
        new = {}
        if client.epoch == 0:
            new = {"rebalance_timeout_ms": REBALANCE_MS, "topics": frozenset({"t"})}
        owned = {TOPIC_ID: frozenset(client.owned)} if client.owned else {}
        command = HeartbeatCommand(client.member_id, client.epoch, client.instance_id, owned=owned, **new)  # type: ignore[arg-type]
        result = self.heartbeat(client, command)
        if result.error_code == UnreleasedInstanceId.code:
            client.is_dead = True  # Two processes with one name; clients give up.
        elif result.error_code:
            client.start_over(result.error_code)
        else:
            client.epoch = result.epoch
            if result.assigned is not None:
                assigned = set(result.assigned.get(TOPIC_ID, ()))
                client.to_revoke = client.owned - assigned
                self.own(client, assigned)

    def heartbeat(self, client: Client, command: HeartbeatCommand) -> HeartbeatResult:
        answers: list[HeartbeatResult] = []
        self.coordinator.consumer_heartbeat("g", command, answers.append)
        (answer,) = answers
        return answer

    def join(self, client: Client) -> None:
        self.serial += 1
        client.is_waiting = True
        connection = client.connection

        def answer(result: JoinResult) -> None:
            assert client.connection == connection, "an answer of a broker that is gone"
            client.is_waiting = False
            if result.error_code == MemberIdRequired.code:
                client.member_id = result.member_id
            elif result.error_code:
                client.start_over(result.error_code)
            else:
                client.member_id, client.epoch = result.member_id, result.generation
                leads = result.leader_id == result.member_id and not result.skip_assignment
                client.leads = tuple(member.member_id for member in result.members) if leads else ()
                client.needs_join, client.needs_sync = False, True

        metadata = struct.pack(">h", 1) + subscription("t")[2:] + struct.pack(">i", 0)
        command = JoinCommand(
            client.member_id,
            client.instance_id,
            "app",
            "/10.0.0.1",
            SESSION_MS,
            REBALANCE_MS,
            "consumer",
            (("range", metadata),),
            fresh_id=f"j{self.serial}",
        )
        self.coordinator.join("g", command, answer)

    def sync(self, client: Client) -> None:
        size = len(client.leads)
        shares = {
            member_id: write_assignment({"t": range(place, self.topic.partition_count, size)}, 1)
            for place, member_id in enumerate(client.leads)
        }
        client.is_waiting = True
        epoch, connection = client.epoch, client.connection

        def answer(result: SyncResult) -> None:
            assert client.connection == connection, "an answer of a broker that is gone"
            client.is_waiting = False
            if result.error_code:
                client.start_over(result.error_code)
                return
            client.needs_sync = False
            assert client.epoch == epoch
            self.own(client, {partition for _, partition in assigned_partitions(result.assignment)})

        request = SyncCommand(client.member_id, client.instance_id, epoch, "consumer", "range", shares)
        self.coordinator.sync("g", request, answer)


Members.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestMembers = Members.TestCase
