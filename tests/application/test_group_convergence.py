"""Random members against the coordinator: they come, go, crash, fall silent and use stale generations; it restarts.

Whatever happens: no partition has two owners in one generation, no commit of a stale generation is accepted, and once
the chaos ends every living member is in one stable generation that covers every partition.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kafka_server.application.group_coordinator import GroupCoordinator, GroupSettings
from kafka_server.application.offset_manager import OffsetCommitCommand, OffsetManager, OffsetSettings
from kafka_server.domain.committed_offset import CommittedOffset
from kafka_server.domain.errors import (
    DomainError,
    FencedInstanceId,
    GroupIdNotFound,
    MemberIdRequired,
    RebalanceInProgress,
    UnknownMemberId,
)
from kafka_server.domain.group_states import State
from kafka_server.domain.group_values import GroupLimits, JoinResult, LeavingMember, SyncCommand, SyncResult
from kafka_server.infrastructure.storage.memory import MemoryTopicRepository
from kafka_server.infrastructure.storage.memory_offsets import MemoryGroupRepository, MemoryOffsetRepository
from kafka_server.testing.clock import VirtualClock
from tests.domain.group_examples import REBALANCE_MS, SESSION_MS, command

PARTITIONS = 5


@dataclass(eq=False)
class Client:
    """What a consumer library does, one step at a time."""

    number: int
    instance_id: str | None
    member_id: str = ""
    generation: int = -1
    leader_of: JoinResult | None = None
    needs_join: bool = True
    needs_sync: bool = False
    is_waiting: bool = False
    is_dead: bool = False
    connection: int = 0
    owned: list[int] = field(default_factory=list)
    protocol: tuple[str | None, str | None] = (None, None)

    @property
    def identity(self) -> str:
        """Who owns partitions: a restarted static member is the same owner under a new member id."""
        return self.instance_id or self.member_id

    @property
    def is_settled(self) -> bool:
        return not (self.needs_join or self.needs_sync or self.is_waiting)

    def learn(self, code: int) -> None:
        """Reacts to an error as consumers do."""
        self.owned, self.needs_sync, self.needs_join = [], False, True
        if code == UnknownMemberId.code:
            self.member_id = ""
        if code == FencedInstanceId.code:
            self.is_dead = True


class Members(RuleBasedStateMachine):
    @initialize(delay_ms=st.sampled_from([0, 3_000]))
    def start(self, delay_ms: int) -> None:
        self.clock = VirtualClock()
        self.settings = GroupSettings(limits=GroupLimits(initial_rebalance_delay_ms=delay_ms))
        self.stores = MemoryGroupRepository(), MemoryOffsetRepository()
        self.open()
        self.clients: list[Client] = []
        self.serial = 0
        self.owners: dict[tuple[int, int], str] = {}
        self.accepted: dict[int, int] = {}

    def open(self) -> None:
        groups, offsets = self.stores
        self.coordinator = GroupCoordinator(self.clock, groups, self.settings, MemoryTopicRepository())
        self.offsets = OffsetManager(self.clock, offsets, self.coordinator, OffsetSettings())
        asyncio.run(self.coordinator.load())
        asyncio.run(self.offsets.load())

    # ---- what may happen ---------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.living()) < 5)
    @rule(is_static=st.booleans())
    def start_client(self, is_static: bool) -> None:
        self.serial += 1
        self.clients.append(Client(self.serial, f"static-{self.serial % 2}" if is_static else None))

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

    @precondition(lambda self: self.living())
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.living()), label="client").is_dead = True

    @precondition(lambda self: self.living())
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        client = data.draw(st.sampled_from(self.living()), label="client")
        if client.member_id:
            self.coordinator.leave("g", [LeavingMember(client.member_id, client.instance_id)])
        client.is_dead = True

    @rule()
    def restart_broker(self) -> None:
        """Whoever waits loses its connection and asks again; what was not stored is gone."""
        asyncio.run(self.offsets.close())
        asyncio.run(self.coordinator.close())
        for client in self.clients:
            client.connection += 1
            client.is_waiting = False
        self.open()

    @rule(by_ms=st.sampled_from([1, 1_000, SESSION_MS - 1, SESSION_MS, REBALANCE_MS]))
    def pass_time(self, by_ms: int) -> None:
        self.clock.advance(by_ms)

    @precondition(lambda self: any(client.generation > 0 for client in self.clients))
    @rule(data=st.data(), partition=st.integers(0, PARTITIONS - 1), offset=st.integers(0, 99), age=st.integers(0, 2))
    def commit(self, data: st.DataObject, partition: int, offset: int, age: int) -> None:
        """Also the dead try, and requests that were sent generations ago arrive late."""
        known = [client for client in self.clients if client.generation > 0]
        client = data.draw(st.sampled_from(known), label="zombie")
        self.commit_for(client, max(client.generation - age, 0), partition, offset)

    @precondition(lambda self: any(client.generation > 1 for client in self.clients))
    @rule(data=st.data())
    def sync_late(self, data: st.DataObject) -> None:
        """A SyncGroup of the generation before arrives now; nobody may ever see its assignment."""
        known = [client for client in self.clients if client.generation > 1]
        client = data.draw(st.sampled_from(known), label="late")
        answers: list[SyncResult] = []
        stale = SyncCommand(
            client.member_id, client.instance_id, client.generation - 1, *client.protocol, {client.member_id: b"stale"}
        )
        self.coordinator.sync("g", stale, answers.append)
        (answer,) = answers
        # A broker that restarted before the new generation was stored is in the one before, and answers what it stored.
        assert answer.error_code != 0 or answer.assignment != b"stale"

    # ---- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def shows_the_last_accepted_commit(self) -> None:
        stored = {index: offset.offset for index, offset in self.offsets.fetch("g").get("t", {}).items()}
        assert stored == self.accepted

    @invariant()
    def keeps_its_books(self) -> None:
        for group in self.coordinator.all():
            members = group.roster.members.values()
            assert group.roster.joining_count == sum(member.join_answer is not None for member in members)
            assert (group.roster.leader_id in group.roster.members) == bool(members)
            assert all(member.sync_answer is None for member in members) or group.state is State.COMPLETING_REBALANCE
            assert (group.state is State.EMPTY) <= (not members)

    def teardown(self) -> None:
        """The chaos ends: nobody new, nobody dies, everybody keeps talking."""
        if not hasattr(self, "clients"):
            return
        for _ in range(200):
            for client in self.living():
                self.step(client)
            self.clock.advance(1_000)
        living = self.living()
        assert all(client.is_settled for client in living)
        assert len({client.generation for client in living}) <= 1
        assert sorted(partition for client in living for partition in client.owned) == (
            list(range(PARTITIONS)) if living else []
        )
        try:
            group = self.coordinator.find("g")
        except GroupIdNotFound:
            assert not living
            return
        assert group.state is (State.STABLE if living else State.EMPTY)
        assert set(group.roster.members) == {client.member_id for client in living}

    # ---- a client's next step ----------------------------------------------------------------------------------------

    def living(self) -> list[Client]:
        return [client for client in self.clients if not client.is_dead]

    def step(self, client: Client) -> None:
        if client.is_waiting or client.is_dead:
            return
        if client.needs_join:
            self.join(client)
        elif client.needs_sync:
            self.sync(client)
        else:
            try:
                self.coordinator.heartbeat("g", client.member_id, client.instance_id, client.generation)
            except DomainError as error:
                client.learn(error.code)

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
                client.learn(result.error_code)
            else:
                client.member_id, client.generation = result.member_id, result.generation
                client.protocol = (result.protocol_type, result.protocol_name)
                is_assigning = result.leader_id == result.member_id and not result.skip_assignment
                client.leader_of = result if is_assigning else None
                client.needs_join, client.needs_sync = False, True

        request = command(client.member_id, instance_id=client.instance_id, fresh_id=str(self.serial))
        self.coordinator.join("g", request, answer)

    def sync(self, client: Client) -> None:
        assignments: dict[str, bytes] = {}
        if client.leader_of is not None:
            ids = [member.member_id for member in client.leader_of.members]
            assignments = {id_: bytes(range(i, PARTITIONS, len(ids))) for i, id_ in enumerate(ids)}
        client.is_waiting = True
        generation, connection = client.generation, client.connection

        def answer(result: SyncResult) -> None:
            assert client.connection == connection, "an answer of a broker that is gone"
            client.is_waiting = False
            if result.error_code:
                client.learn(result.error_code)
                return
            client.needs_sync, client.owned = False, list(result.assignment)
            for partition in client.owned:
                owner = self.owners.setdefault((generation, partition), client.identity)
                assert owner == client.identity, f"{partition} has two owners in generation {generation}"

        request = SyncCommand(client.member_id, client.instance_id, generation, *client.protocol, assignments)
        self.coordinator.sync("g", request, answer)

    def commit_for(self, client: Client, generation: int, partition: int, offset: int) -> None:
        offsets = {("t", partition): CommittedOffset(offset)}
        try:
            self.offsets.commit(OffsetCommitCommand("g", client.member_id, client.instance_id, generation, offsets))
        except DomainError as error:
            if error.code != RebalanceInProgress.code:
                return
            assert self.coordinator.find("g").state is State.COMPLETING_REBALANCE
            return
        group = self.coordinator.find("g")
        assert generation == group.generation
        assert client.member_id in group.roster.members
        self.accepted[partition] = offset


Members.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRandomMembers = Members.TestCase
