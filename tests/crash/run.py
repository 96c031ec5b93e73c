"""Owns: one run - start, workload, faults, heal, read everything, judge. Must never know: a test runner, printing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.errors import CorruptRecordException
from kafka_protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse

from tests.crash import (
    client_workers,
    clients,
    group_checks,
    group_workers,
    log_checks,
    log_workers,
    transaction_checks,
    transaction_workers,
    workers,
)
from tests.crash.checks import Evidence, judge, summary
from tests.crash.client_workers import is_thread
from tests.crash.connections import Connections
from tests.crash.consumer_group_workers import ConsumerMember
from tests.crash.faults import Faults
from tests.crash.group_checks import judge_groups
from tests.crash.history import History
from tests.crash.log_checks import LogEvidence, judge_logs
from tests.crash.power import PowerSupply
from tests.crash.process import Target, free_port
from tests.crash.transaction_checks import TransactionEvidence, judge_history, judge_transactions
from tests.crash.wire_client import Lost, StoredRecord, WireClient

CLOSE_SECONDS_MAX = 20.0


@dataclass(slots=True)
class Options:
    """How long and how hard."""

    folder: Path
    seed: int
    seconds: float
    pause_s: tuple[float, float] = (2.0, 8.0)
    power: str | None = None
    """File system for power cuts, or None for none."""
    flush: str = "ack"
    module: Sequence[str] = ("tests.crash.bad_disk",)
    kills_min: int = 0
    """The run goes on, beyond its seconds if need be, until there were this many SIGKILLs."""
    faults_min: int = 0
    """The run goes on, beyond its seconds if need be, until this many faults have struck."""
    faults: Sequence[str] = ()
    """Names of the faults to draw from; empty for all."""
    has_clients: bool = True
    """Whether clients of other projects take part beside the raw one."""
    heal_s: float = 60.0
    """How long after the last fault the broker may take to serve everything again."""


@dataclass(slots=True)
class Outcome:
    """What a run found."""

    violations: dict[str, list[str]]
    counts: dict[str, int]
    faults: dict[str, int]
    history_path: Path

    @property
    def is_clean(self) -> bool:
        return not any(self.violations.values())


def run(options: Options) -> Outcome:
    """Attacks a broker for a while and judges it."""
    options.folder.mkdir(parents=True, exist_ok=True)
    history = History(options.folder / f"history-{options.seed}.jsonl")
    power = PowerSupply(options.folder, options.power) if options.power else None
    data = power.mount_point / "data" if power else options.folder / "data"
    proxy_port = free_port()
    target = Target(options.folder, data, flush=options.flush, module=options.module, advertised_port=proxy_port)
    connections = Connections(target.port, proxy_port)
    found: list[Evidence] = []
    faults = Faults(target, history, options.seed, connections, power, options.faults)
    try:
        target.start()
        transactions, logs = asyncio.run(_attack(options, connections, faults, history, found))
        violations = _judge_all(found, faults) | judge_transactions(transactions) | judge_groups(history)
        violations |= judge_logs(logs)
    except (TimeoutError, RuntimeError) as stuck:
        # A broker that does not come back, or not in time, is a finding like any other.
        violations = _judge_all(found, faults)
        violations |= {**judge_history(TransactionEvidence(history)), **judge_groups(history), "stuck": [str(stuck)]}
    finally:
        target.kill()
        if power is not None:
            power.close()
        history.close()
    counts = {
        **summary(history.events),
        **transaction_checks.summary(history.events),
        **group_checks.summary(history.events),
        **log_checks.summary(history.events),
    }
    return Outcome(violations, counts, faults.counts, history.path)


def _judge_all(found: list[Evidence], faults: Faults) -> dict[str, list[str]]:
    """What is wrong with the final states that were read: that of the process, and that of the start after it."""
    violations: dict[str, list[str]] = {}
    for evidence in found:
        evidence.power_was_cut = faults.counts.get("power-cut", 0) > 0
        for name, examples in judge(evidence).items():
            violations[name] = violations.get(name, []) + examples
    return violations


async def _attack(
    options: Options, connections: Connections, faults: Faults, history: History, found: list[Evidence]
) -> tuple[TransactionEvidence, LogEvidence]:
    stop = asyncio.Event()
    await connections.open()
    setting = workers.Setting(connections, options.seed, history, stop, options.has_clients)
    await _create_topics(setting)
    tasks = [asyncio.create_task(work) for work in _workload(setting)]
    try:
        await _strike(options, faults, tasks, history)
    finally:
        # Threads hear of it in no other way, not even of the end of the event loop.
        stop.set()
    _, late = await asyncio.wait(tasks, timeout=CLOSE_SECONDS_MAX)
    _raise_first(tasks, history)
    # Libraries may take their time to close, or hang; nothing of what they still say counts.
    setting.is_over = True
    if not all(is_thread(task) for task in late):
        raise TimeoutError(
            f"clients do not come to an end: {[task.get_coro() for task in late if not is_thread(task)]}"
        )
    # Recovery may mend what is wrong, or lose what was only remembered.
    found.append(await _read_everything(setting, options.heal_s))
    await asyncio.get_running_loop().run_in_executor(None, faults.last_kill)
    found.append(await _read_everything(setting, options.heal_s))
    transactions = await _read_transactions(setting, options.heal_s)
    logs = LogEvidence(history, await log_workers.read_final(setting, options.heal_s))
    await connections.close()
    return transactions, logs


async def _strike(options: Options, faults: Faults, tasks: list[asyncio.Task[None]], history: History) -> None:
    """Fault after fault, for as long as the run takes."""
    deadline = time.monotonic() + options.seconds
    loop = asyncio.get_running_loop()
    while (
        time.monotonic() < deadline or faults.struck < options.faults_min or faults.counts["kills"] < options.kills_min
    ):
        await asyncio.sleep(faults.pause_s(*options.pause_s))
        _raise_first(tasks, history)
        await loop.run_in_executor(None, faults.strike)
    await asyncio.sleep(1.0)


def _workload(setting: workers.Setting) -> list[Coroutine[Any, Any, None]]:
    everyone: list[Coroutine[Any, Any, None]] = [workers.plain_producer(setting, number) for number in range(2)]
    everyone += [workers.idempotent_producer(setting, number) for number in range(3)]
    everyone += [workers.committer(setting, number) for number in range(2)]
    everyone += [
        workers.reader(setting, topic, partition) for topic in workers.TOPICS for partition in range(workers.PARTITIONS)
    ]
    numbers = range(transaction_workers.WORKERS)
    everyone += [transaction_workers.TransactionalProducer(setting, number).run() for number in numbers]
    everyone += [transaction_workers.committed_reader(setting, partition) for partition in range(workers.PARTITIONS)]
    everyone += [transaction_workers.stable_watcher(setting), transaction_workers.leaver(setting)]
    everyone += [group_workers.ClassicMember(setting, number).run() for number in range(group_workers.MEMBERS)]
    everyone += [ConsumerMember(setting, number).run() for number in range(group_workers.MEMBERS)]
    everyone += log_workers.everyone(setting)
    everyone += clients.everyone(setting) if setting.has_clients else []
    return [*everyone, workers.watcher(setting), workers.deleter(setting), workers.newcomer(setting)]


def _raise_first(tasks: list[asyncio.Task[None]], history: History) -> None:
    """A worker that fails fails the run at once; its history would be worth nothing."""
    for task in list(tasks):
        if task.done() and isinstance(task.exception(), CorruptRecordException):
            # What cannot even be taken apart is a finding about the broker, and the others go on.
            history.add("note", task.get_name(), "unreadable", error=str(task.exception()))
            tasks.remove(task)
            continue
        if task.done() and task.exception() is not None:
            raise RuntimeError(f"a worker failed: {task.exception()!r}") from task.exception()


async def _create_topics(setting: workers.Setting) -> None:
    client = setting.client("admin")
    topics = [
        CreatableTopic(name=name, num_partitions=workers.PARTITIONS, replication_factor=1)
        for name in (*workers.TOPICS, workers.TRANSACTIONAL)
    ]
    topics += log_workers.topics()
    topics.append(CreatableTopic(group_workers.GROUPED, group_workers.PARTITIONS, 1))
    answer = await client.call(CreateTopicsRequest(topics=topics, timeout_ms=10000), 5, CreateTopicsResponse)
    assert answer is not None
    codes = [topic.error_code for topic in answer.topics]
    if any(codes):
        raise RuntimeError(f"the topics could not be created: {codes}")


async def _read_everything(setting: workers.Setting, heal_s: float) -> Evidence:
    """The final state, at rest. Raises TimeoutError when the broker is not healthy in time."""
    records: dict[tuple[str, int], list[StoredRecord]] = {}
    log_starts: dict[tuple[str, int], int] = {}
    client = setting.client("final")
    deadline = time.monotonic() + heal_s
    for topic in (*workers.TOPICS, workers.TRANSACTIONAL):
        for partition in range(workers.PARTITIONS):
            start, found = await _read_partition(client, topic, partition, deadline)
            records[topic, partition], log_starts[topic, partition] = found, start
    evidence = Evidence(setting.history, records, log_starts)
    groups = {event["group"]: event["topic"] for event in setting.history.of("ok", "commit")}
    for group, topic in groups.items():
        count = group_workers.PARTITIONS if topic == group_workers.GROUPED else workers.PARTITIONS
        found = await workers.fetch_committed(setting, client, group, topic, count, "final")
        evidence.committed |= {(group, topic, partition): offset for partition, offset in found.items()}
    return evidence


async def _read_transactions(setting: workers.Setting, heal_s: float) -> TransactionEvidence:
    """The final state of the transactional topic, once every open transaction is over or should be."""
    evidence = TransactionEvidence(setting.history)
    client = setting.client("final-committed")
    for partition in range(workers.PARTITIONS):
        deadline = time.monotonic() + transaction_workers.STUCK_SECONDS_MAX
        evidence.ends[partition] = ends = await transaction_workers.ends(client, partition)
        while ends[0] != ends[1] and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            evidence.ends[partition] = ends = await transaction_workers.ends(client, partition)
        found: list[StoredRecord] = []
        offset, deadline = 0, time.monotonic() + heal_s
        while offset < ends[0]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"what is committed in partition {partition} could not be read in time")
            page = await transaction_workers.fetch_committed_records(client, partition, offset, wait_ms=0)
            if page is not None:
                found += page[0]
                offset = page[1]
        evidence.visible[partition] = found
    groups = [f"transactional-{number}" for number in range(transaction_workers.WORKERS)]
    deadline = time.monotonic() + transaction_workers.STUCK_SECONDS_MAX
    for group in (*groups, client_workers.CONFLUENT_TRANSACTIONS):
        evidence.offsets[group] = await workers.committed_offset(client, group, workers.TRANSACTIONAL, deadline)
    return evidence


async def _read_partition(
    client: WireClient, topic: str, partition: int, deadline: float
) -> tuple[int, list[StoredRecord]]:
    found: list[StoredRecord] = []
    offset, start = 0, 0
    while True:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{topic}-{partition} could not be read in time after the faults stopped")
        try:
            data = await workers.fetch(client, topic, partition, offset, wait_ms=0)
        except Lost:
            await asyncio.sleep(0.1)
            continue
        if data is None:
            continue
        code, records, start = data
        if code == 1:
            offset = await _log_start(client, topic, partition)
            continue
        if code:
            await asyncio.sleep(0.1)
            continue
        fresh = [record for record in records if record.offset >= offset]
        if not fresh:
            return start, found
        found += fresh
        offset = fresh[-1].offset + 1


async def _log_start(client: WireClient, topic: str, partition: int) -> int:
    from kafka_protocol.messages.list_offsets import (
        ListOffsetsPartition,
        ListOffsetsRequest,
        ListOffsetsResponse,
        ListOffsetsTopic,
    )

    row = ListOffsetsPartition(partition_index=partition, timestamp=-2)
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[row])])
    answer = await client.call(request, workers.LIST_OFFSETS_VERSION, ListOffsetsResponse)
    assert answer is not None
    return answer.topics[0].partitions[0].offset
