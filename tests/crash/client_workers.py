"""Owns: clients of other projects under attack that live on the event loop or write: aiokafka, kafka-python's producer,
librdkafka's producers (confluent-kafka), its transactions too. Must never know: which faults come, what is right.

They reach the broker through the proxy of ``Connections``. What a client is not told is ``info``: it may have happened.
A client that gives up for good is followed by a new one under a new name, because only within one client things keep
their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError as AioError
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka import TopicPartition as Position
from kafka import KafkaProducer
from kafka.errors import KafkaError as PythonError

from tests.crash.history import Dress, dress_of, identity, make_value
from tests.crash.transaction_checks import TIMEOUT_SECONDS
from tests.crash.wire_client import StoredRecord
from tests.crash.workers import IDEMPOTENT, PARTITIONS, PLAIN, TRANSACTIONAL, Setting

CONFLUENT_TRANSACTIONS = "confluent-transactional"
"""Transactional id, and the group that its transactions commit offsets for."""
OUTCOME_SECONDS_MAX = 5.0
SILENT = logging.getLogger("librdkafka")
"""Its ``log_level`` does not silence what is fatal, and that a producer is fenced is part of this."""


class Sender:
    """Makes values, and notes what became of them."""

    def __init__(self, setting: Setting, name: str) -> None:
        self.setting = setting
        self.name = name
        self.rng = setting.rng(name)
        self._sent = 0
        self._lives = 0

    def reborn(self) -> str:
        """A name for the next client."""
        self._lives += 1
        return f"{self.name}.{self._lives}"

    def value(self, worker: str) -> bytes:
        self._sent += 1
        return make_value(self.setting.seed, worker, self._sent, self.rng.randrange(40, 2000))

    def note(self, kind: Any, worker: str, topic: str, partition: int, acks: int, value: bytes, **facts: Any) -> None:
        about = {"topic": topic, "partition": partition, "acks": acks, "values": [identity(value)], **facts}
        if not self.setting.is_over:
            self.setting.history.add(kind, worker, "send", **about)

    def tell(self, kind: Any, operation: str, **facts: Any) -> None:
        """Anything else."""
        if not self.setting.is_over:
            self.setting.history.add(kind, self.name, operation, **facts)


def note_read(setting: Setting, worker: str, operation: str, record: StoredRecord, topic: str, partition: int) -> None:
    """A record that some client was shown."""
    facts = {"offset": record.offset, "value": identity(record.value), "as_sent": record.is_as_sent}
    if not setting.is_over:
        setting.history.add("ok", worker, operation, topic=topic, partition=partition, **facts)


def seen(offset: int, value: bytes | None, key: bytes | None, headers: Any, timestamp_ms: int) -> StoredRecord:
    """A record as a client shows it."""
    return StoredRecord(offset, value or b"", -1, Dress(key, tuple(headers or ()), timestamp_ms))


async def in_thread(name: str, work: Callable[[], None]) -> None:
    """Runs a blocking client in a thread of its own, however many there are."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(None)

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except Exception as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # The run may have failed and closed its loop.
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    await done


def is_thread(task: asyncio.Task[None]) -> bool:
    """Whether the task waits for a thread of ``in_thread``, which nobody can cancel."""
    return getattr(task.get_coro(), "__name__", "") == in_thread.__name__


# ---- aiokafka --------------------------------------------------------------------------------------------------------


async def aiokafka_producer(setting: Setting, acks: int, is_idempotent: bool) -> None:
    """One record after the other, each awaited."""
    sender = Sender(setting, f"aiokafka-{'idempotent' if is_idempotent else acks}")
    topic = IDEMPOTENT if is_idempotent else PLAIN
    while not setting.stop.is_set():
        worker = sender.reborn()
        producer = AIOKafkaProducer(
            bootstrap_servers=setting.bootstrap,
            acks="all" if acks == -1 else acks,
            enable_idempotence=is_idempotent,
            request_timeout_ms=int(OUTCOME_SECONDS_MAX * 1000),
            retry_backoff_ms=50,
        )
        try:
            await producer.start()
            await _send_until_it_fails(sender, producer, worker, topic, acks)
        except (TimeoutError, AioError, OSError):
            await asyncio.sleep(0.2)
        finally:
            await stop(producer)


async def _send_until_it_fails(sender: Sender, producer: AIOKafkaProducer, worker: str, topic: str, acks: int) -> None:
    while not sender.setting.stop.is_set():
        value, partition = sender.value(worker), sender.rng.randrange(PARTITIONS)
        key, headers, timestamp_ms = dress_of(value)
        about = (worker, topic, partition, acks, value)
        sender.note("invoke", *about)
        try:
            done = await producer.send_and_wait(topic, value, key, partition, timestamp_ms, list(headers))
        except (TimeoutError, AioError, OSError) as error:
            sender.note("info", *about, error=repr(error))
            raise
        if acks == 0:
            sender.note("info", *about, error="acks=0")
        else:
            sender.note("ok", *about, offset=done.offset)
        await asyncio.sleep(sender.rng.random() * 0.05)


async def aiokafka_assigned(setting: Setting) -> None:
    """Assigns both partitions of a topic to itself, polls, and now and then seeks back."""
    name = "aiokafka-assigned"
    rng = setting.rng(name)
    while not setting.stop.is_set():
        consumer = AIOKafkaConsumer(
            bootstrap_servers=setting.bootstrap, request_timeout_ms=5000, retry_backoff_ms=50, enable_auto_commit=False
        )
        places = [TopicPartition(PLAIN, partition) for partition in range(PARTITIONS)]
        try:
            await consumer.start()
            consumer.assign(places)
            for place in places:
                _seek(setting, consumer, name, place, 0)
            while not setting.stop.is_set():
                found = await consumer.getmany(timeout_ms=200, max_records=200)
                for place, records in found.items():
                    for each in records:
                        record = seen(each.offset, each.value, each.key, each.headers, each.timestamp)
                        note_read(setting, name, "read", record, place.topic, place.partition)
                if rng.random() < 0.02:
                    place = rng.choice(places)
                    position = await consumer.position(place)
                    _seek(setting, consumer, name, place, max(0, position - rng.randrange(500)))
                await asyncio.sleep(0.05)
        except (TimeoutError, AioError, OSError):
            await asyncio.sleep(0.2)
        finally:
            await stop(consumer)


def _seek(setting: Setting, consumer: AIOKafkaConsumer, name: str, place: TopicPartition, offset: int) -> None:
    setting.history.add("ok", name, "seek", topic=place.topic, partition=place.partition, offset=offset)
    consumer.seek(place, offset)


async def stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Whatever it still wants to tell the broker, it has a moment for."""
    stopping = asyncio.ensure_future(client.stop())
    # Not awaited: it raises CancelledError when a task of its own was cancelled, and that would end ours.
    await asyncio.wait({stopping}, timeout=OUTCOME_SECONDS_MAX)
    stopping.cancel()
    stopping.add_done_callback(lambda done: done.cancelled() or done.exception())


# ---- kafka-python ----------------------------------------------------------------------------------------------------


def kafka_python_producer(setting: Setting) -> None:
    """Idempotent, one record after the other."""
    sender = Sender(setting, "kafka-python-idempotent")
    while not setting.stop.is_set():
        worker = sender.reborn()
        try:
            producer = KafkaProducer(
                bootstrap_servers=setting.bootstrap,
                acks="all",
                enable_idempotence=True,
                request_timeout_ms=3000,
                delivery_timeout_ms=20_000,
                max_block_ms=5000,
                retry_backoff_ms=50,
                reconnect_backoff_max_ms=200,
            )
        except PythonError:
            time.sleep(0.2)
            continue
        try:
            while not setting.stop.is_set():
                _send_by_kafka_python(sender, producer, worker)
                time.sleep(sender.rng.random() * 0.1)
        except PythonError:
            time.sleep(0.2)
        finally:
            producer.close(timeout=1)


def _send_by_kafka_python(sender: Sender, producer: KafkaProducer, worker: str) -> None:
    value, partition = sender.value(worker), sender.rng.randrange(PARTITIONS)
    key, headers, timestamp_ms = dress_of(value)
    about = (worker, IDEMPOTENT, partition, -1, value)
    sender.note("invoke", *about)
    try:
        sent = producer.send(IDEMPOTENT, value, key, list(headers), partition, timestamp_ms)
        offset = sent.get(timeout=25).offset
    except PythonError as error:
        sender.note("info", *about, error=repr(error))
        raise
    if offset >= 0:
        sender.note("ok", *about, offset=offset)
    else:
        sender.note("info", *about, error="a repeated batch was acknowledged without its offset")


# ---- confluent-kafka -------------------------------------------------------------------------------------------------


def confluent_producer(setting: Setting, acks: int, is_idempotent: bool) -> None:
    """Many records in flight."""
    sender = Sender(setting, f"confluent-{'idempotent' if is_idempotent else acks}")
    topic = IDEMPOTENT if is_idempotent else PLAIN
    while not setting.stop.is_set():
        worker = sender.reborn()
        failed = threading.Event()
        producer = Producer(_producer_settings(setting, acks, is_idempotent))
        while not setting.stop.is_set() and not failed.is_set():
            _produce(sender, producer, worker, topic, sender.rng.randrange(PARTITIONS), acks, failed)
            producer.poll(0.01)
            # Without idempotence as many are under way as the broker takes; it should not be the only one to work.
            while len(producer) > 50 and not setting.stop.is_set():
                producer.poll(0.05)
        producer.flush(OUTCOME_SECONDS_MAX)


def _producer_settings(setting: Setting, acks: int, is_idempotent: bool) -> dict[str, Any]:
    common = {"bootstrap.servers": setting.bootstrap, "linger.ms": 5, "logger": SILENT, "acks": acks}
    common |= {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 50}
    if is_idempotent:
        return common | {"enable.idempotence": True, "message.timeout.ms": 120_000, "socket.timeout.ms": 5000}
    # What is sent twice without idempotence may be there twice, and late; so it is sent once.
    return common | {"message.send.max.retries": 0, "message.timeout.ms": 5000}


def _produce(
    sender: Sender, producer: Producer, worker: str, topic: str, partition: int, acks: int, failed: threading.Event
) -> None:
    value = sender.value(worker)
    key, headers, timestamp_ms = dress_of(value)
    about = (worker, topic, partition, acks, value)

    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            sender.note("info", *about, error=str(error))
            if error.fatal():
                failed.set()
        elif acks == 0 or message.offset() < 0:
            sender.note("info", *about, error="acknowledged without an offset")
        else:
            sender.note("ok", *about, offset=message.offset())

    sender.note("invoke", *about)
    producer.produce(topic, value, key, partition, timestamp=timestamp_ms, headers=list(headers), on_delivery=delivered)


def confluent_transactions(setting: Setting) -> None:
    """Transactions that commit, abort, or are left behind by a client that is replaced."""
    sender = Sender(setting, CONFLUENT_TRANSACTIONS)
    consumer = Consumer({"bootstrap.servers": setting.bootstrap, "group.id": CONFLUENT_TRANSACTIONS, "logger": SILENT})
    number = 0
    while not setting.stop.is_set():
        producer = Producer(
            _producer_settings(setting, -1, is_idempotent=True)
            | {
                "transactional.id": CONFLUENT_TRANSACTIONS,
                "transaction.timeout.ms": int(TIMEOUT_SECONDS * 1000),
                "message.timeout.ms": int(TIMEOUT_SECONDS * 1000),
                "socket.timeout.ms": int(TIMEOUT_SECONDS * 1000),
            }
        )
        try:
            producer.init_transactions(OUTCOME_SECONDS_MAX)
            goes_on = True
            while goes_on and not setting.stop.is_set():
                number += 1
                goes_on = _transaction(sender, producer, consumer, number)
        except (KafkaException, BufferError):
            time.sleep(0.1)
    consumer.close()


def _transaction(sender: Sender, producer: Producer, consumer: Consumer, number: int) -> bool:
    """One transaction; whether its producer goes on."""
    label = f"{sender.name}/{number}"
    (plan,) = sender.rng.choices(("commit", "abort", "abandon"), (7, 2, 1))
    batch = [(sender.rng.randrange(PARTITIONS), sender.value(sender.name)) for _ in range(sender.rng.randrange(1, 5))]
    offset = number if sender.rng.random() < 0.3 else None
    values = [identity(value) for _, value in batch]
    sender.tell("invoke", "txn", txn=label, plan=plan, values=values, offset=offset)
    is_asked = False
    try:
        producer.begin_transaction()
        for partition, value in batch:
            key, headers, timestamp_ms = dress_of(value)
            producer.produce(TRANSACTIONAL, value, key, partition, timestamp=timestamp_ms, headers=list(headers))
        if offset is not None:
            positions = [Position(TRANSACTIONAL, 0, offset)]
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata(), OUTCOME_SECONDS_MAX)
        if plan == "abandon":
            producer.poll(0.05)
        elif plan == "abort":
            producer.abort_transaction(OUTCOME_SECONDS_MAX)
        else:
            is_asked = True
            sender.tell("invoke", "txn-end", txn=label, commit=True)
            producer.commit_transaction(OUTCOME_SECONDS_MAX)
    except KafkaException as error:
        if not is_asked:
            sender.tell("ok", "txn", txn=label, result="aborted", why=str(error))
        else:
            sender.tell("info", "txn", txn=label, error=str(error))
        return False
    sender.tell("ok", "txn", txn=label, result="committed" if plan == "commit" else "aborted")
    return plan != "abandon"
