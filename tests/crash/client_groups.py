"""Owns: members of groups that clients of other projects are: subscribe, poll, commit - by confluent-kafka in both
protocols, aiokafka and kafka-python. Must never know: which faults come, what is right.

A member commits what it has read as long as it is told that the partition is its own, and says when it commits; a group
is never behind what was committed.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError as AioError
from aiokafka.structs import OffsetAndMetadata
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as Position
from kafka import KafkaConsumer
from kafka.errors import KafkaError as PythonError
from kafka.structs import OffsetAndMetadata as PythonOffset

from tests.crash.client_workers import SILENT, note_read, seen, stop
from tests.crash.workers import PLAIN, Setting

SESSION_MS, HEARTBEAT_MS = 2_000, 300
LIFE_SECONDS = (2.0, 8.0)
"""How long a member stays before it leaves, or vanishes, and comes back."""


def _note_commit(
    setting: Setting, kind: Any, worker: str, group: str, partition: int, offset: int, **facts: Any
) -> None:
    about = {"group": group, "topic": PLAIN, "partition": partition, "offset": offset, **facts}
    if not setting.is_over:
        setting.history.add(kind, worker, "commit", **about)


def confluent_member(setting: Setting, number: int, protocol: str) -> None:
    """``protocol``: classic or consumer (KIP-848)."""
    group = f"confluent-{protocol}"
    worker, rng = f"{group}-{number}", setting.rng(f"{group}-{number}")
    settings: dict[str, Any] = {
        "bootstrap.servers": setting.bootstrap,
        "group.id": group,
        "group.protocol": protocol,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "logger": SILENT,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 200,
    }
    if protocol == "classic":
        settings |= {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS}
        settings["partition.assignment.strategy"] = "cooperative-sticky"
    while not setting.stop.is_set():
        consumer = Consumer(settings)
        positions: dict[int, int] = {}

        def lose(_: Consumer, places: list[Any], positions: dict[int, int] = positions) -> None:
            for place in places:
                positions.pop(place.partition, None)

        consumer.subscribe([PLAIN], on_revoke=lose, on_lost=lose)
        until = time.monotonic() + rng.uniform(*LIFE_SECONDS)
        while not setting.stop.is_set() and time.monotonic() < until:
            for message in consumer.consume(50, 0.1):
                if message.error() is None:
                    record = seen(
                        message.offset(), message.value(), message.key(), message.headers(), message.timestamp()[1]
                    )
                    note_read(setting, worker, "group-read", record, PLAIN, message.partition())
                    positions[message.partition()] = message.offset() + 1
            for partition, offset in list(positions.items()):
                _note_commit(setting, "invoke", worker, group, partition, offset)
                try:
                    consumer.commit(offsets=[Position(PLAIN, partition, offset)], asynchronous=False)
                except KafkaException as error:
                    _note_commit(setting, "info", worker, group, partition, offset, error=str(error))
                else:
                    _note_commit(setting, "ok", worker, group, partition, offset)
                positions.pop(partition, None)
        consumer.close()


async def aiokafka_member(setting: Setting, number: int) -> None:
    """A classic member."""
    group = "aiokafka-group"
    worker = f"{group}-{number}"
    rng = setting.rng(worker)
    while not setting.stop.is_set():
        consumer = AIOKafkaConsumer(
            PLAIN,
            bootstrap_servers=setting.bootstrap,
            group_id=group,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=3000,
            request_timeout_ms=5000,
            retry_backoff_ms=50,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        try:
            await asyncio.wait_for(consumer.start(), 10)
            until = time.monotonic() + rng.uniform(*LIFE_SECONDS)
            while not setting.stop.is_set() and time.monotonic() < until:
                found = await consumer.getmany(timeout_ms=200, max_records=100)
                for place, records in found.items():
                    for each in records:
                        record = seen(each.offset, each.value, each.key, each.headers, each.timestamp)
                        note_read(setting, worker, "group-read", record, PLAIN, place.partition)
                    await _commit_by_aiokafka(setting, consumer, worker, group, place, records[-1].offset + 1)
                await asyncio.sleep(0.05)
        except (TimeoutError, AioError, OSError):
            await asyncio.sleep(0.2)
        finally:
            await stop(consumer)


async def _commit_by_aiokafka(
    setting: Setting, consumer: AIOKafkaConsumer, worker: str, group: str, place: TopicPartition, offset: int
) -> None:
    _note_commit(setting, "invoke", worker, group, place.partition, offset)
    try:
        await asyncio.wait_for(consumer.commit({place: OffsetAndMetadata(offset, "")}), 5)
    except (TimeoutError, AioError, OSError, ValueError) as error:
        _note_commit(setting, "info", worker, group, place.partition, offset, error=repr(error))
    else:
        _note_commit(setting, "ok", worker, group, place.partition, offset)


def kafka_python_member(setting: Setting, number: int) -> None:
    """A classic member."""
    group = "kafka-python-group"
    worker = f"{group}-{number}"
    rng = setting.rng(worker)
    while not setting.stop.is_set():
        try:
            consumer = KafkaConsumer(
                PLAIN,
                bootstrap_servers=setting.bootstrap,
                group_id=group,
                session_timeout_ms=SESSION_MS,
                heartbeat_interval_ms=HEARTBEAT_MS,
                request_timeout_ms=5000,
                max_poll_interval_ms=4000,
                retry_backoff_ms=50,
                reconnect_backoff_max_ms=200,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
            )
        except PythonError:
            time.sleep(0.2)
            continue
        try:
            until = time.monotonic() + rng.uniform(*LIFE_SECONDS)
            while not setting.stop.is_set() and time.monotonic() < until:
                for place, records in consumer.poll(timeout_ms=200, max_records=50).items():
                    for each in records:
                        record = seen(each.offset, each.value, each.key, each.headers, each.timestamp)
                        note_read(setting, worker, "group-read", record, PLAIN, place.partition)
                    offset = records[-1].offset + 1
                    _note_commit(setting, "invoke", worker, group, place.partition, offset)
                    try:
                        consumer.commit({place: PythonOffset(offset, "", -1)}, timeout_ms=3000)
                    except (PythonError, AssertionError) as error:
                        _note_commit(setting, "info", worker, group, place.partition, offset, error=repr(error))
                    else:
                        _note_commit(setting, "ok", worker, group, place.partition, offset)
                time.sleep(0.05)
        except PythonError:
            time.sleep(0.2)
        finally:
            consumer.close(timeout_ms=2000)
