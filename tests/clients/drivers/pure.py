"""Driver of kafka-python, the client in pure Python."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from tests.clients.drivers.wire import (
    OLD_OPERATIONS,
    WAIT_SECONDS_MAX,
    Deadline,
    Json,
    arguments,
    decode,
    headers_of,
    lacks_before,
    record,
    serve,
)


class Member:
    """One member of a group in a thread of its own: poll blocks while the group waits for the other members."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self.consumer = consumer
        self.owned: set[int] = set()
        self.records: list[Json] = []
        self.failure: Exception | None = None
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def leave(self) -> None:
        """Commits what was read and leaves the group."""
        self._leave.set()
        self._thread.join(WAIT_SECONDS_MAX)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._leave.is_set():
                self.records += poll(self.consumer)
                self.owned = owned(self.consumer)
            self.consumer.commit()
        except Exception as error:
            self.failure = error
        finally:
            self.consumer.close(autocommit=False)


class Driver:
    """`release`: what kafka-python shall take the broker for; it asks the broker when that is None."""

    def __init__(self, bootstrap: str, release: tuple[int, ...] | None) -> None:
        self.base: dict[str, Any] = {"bootstrap_servers": bootstrap, "api_version": release}
        self.release = release
        self.admin = KafkaAdminClient(**self.base)

    def create_topic(self, topic: str, partitions: int, configs: dict[str, str]) -> Json:
        self.admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}})
        return {}

    def list_topics(self) -> Json:
        return {"topics": self.admin.list_topics()}

    def describe_topic(self, topic: str) -> Json:
        (described,) = self.admin.describe_topics([topic])
        if described["error_code"]:
            raise kafka.errors.for_code(described["error_code"])(topic)
        return {"partitions": len(described["partitions"])}

    def describe_configs(self, topic: str) -> Json:
        wanted = [ConfigResource(ConfigResourceType.TOPIC, topic)]
        answer = self.admin.describe_configs(wanted, config_filter="all")
        return {"configs": {name: entry["value"] for name, entry in answer["topic"][topic].items()}}

    def alter_configs(self, topic: str, configs: dict[str, str]) -> Json:
        answer = self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
        if answer["topic"][topic] != "OK":
            raise RuntimeError(str(answer))
        return {}

    def create_partitions(self, topic: str, count: int) -> Json:
        self.admin.create_partitions({topic: count})
        return {}

    def delete_records(self, topic: str, before: dict[str, int]) -> Json:
        self.admin.delete_records({TopicPartition(topic, int(each)): offset for each, offset in before.items()})
        return {}

    def delete_topic(self, topic: str) -> Json:
        self.admin.delete_topics([topic])
        return {}

    def produce(self, topic: str, codec: str, idempotent: bool, records: list[Json]) -> Json:
        producer = KafkaProducer(
            **self.base,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=idempotent,
            acks="all",
            linger_ms=20,
        )
        try:
            sent = [
                producer.send(
                    topic,
                    value=decode(each["value"]),
                    key=decode(each["key"]),
                    partition=each["partition"],
                    timestamp_ms=each["timestamp"],
                    headers=headers_of(each),
                )
                for each in records
            ]
            return {"offsets": [future.get(WAIT_SECONDS_MAX).offset for future in sent]}
        finally:
            producer.close()

    def transaction(self, topic: str, id: str, aborted: list[Json], committed: list[Json]) -> Json:
        producer = KafkaProducer(**self.base, transactional_id=id, linger_ms=20)
        try:
            producer.init_transactions()
            for records, end in ((aborted, producer.abort_transaction), (committed, producer.commit_transaction)):
                producer.begin_transaction()
                for each in records:
                    producer.send(
                        topic,
                        value=decode(each["value"]),
                        key=decode(each["key"]),
                        partition=each["partition"],
                        timestamp_ms=each["timestamp"],
                        headers=headers_of(each),
                    )
                producer.flush(WAIT_SECONDS_MAX)
                end()
            return {}
        finally:
            producer.close()

    def consume_committed(self, topic: str, partitions: list[int], count: int) -> Json:
        return self.consume(topic, partitions, count, "read_committed")

    def consume(self, topic: str, partitions: list[int], count: int, isolation: str = "read_uncommitted") -> Json:
        consumer = self._consumer(None, isolation_level=isolation)
        consumer.assign([TopicPartition(topic, partition) for partition in partitions])
        records = read(consumer, count)
        consumer.close()
        return {"records": records}

    def consume_from_time(self, topic: str, timestamp: int, count: int) -> Json:
        consumer = self._consumer(None)
        wanted = [TopicPartition(topic, each) for each in self._partitions(topic)]
        found = consumer.offsets_for_times(dict.fromkeys(wanted, timestamp))
        consumer.assign([partition for partition, offset in found.items() if offset is not None])
        for partition in consumer.assignment():
            consumer.seek(partition, found[partition].offset)
        records = read(consumer, count)
        consumer.close()
        return {
            "offsets": {str(each.partition): offset and offset.offset for each, offset in found.items()},
            "records": records,
        }

    def group_of_two(self, topic: str, group: str, records: list[Json]) -> Json:
        partitions = self._partitions(topic)
        members = [Member(self._consumer(group, topic))]
        try:
            wait_until("the first member to own every partition", members, lambda: members[0].owned == partitions)
            alone = sorted(members[0].owned)
            members.append(Member(self._consumer(group, topic)))
            first, second = members
            wait_until(
                "both members to share the partitions",
                members,
                lambda: bool(first.owned and second.owned and first.owned ^ second.owned == partitions),
            )
            together = [sorted(first.owned), sorted(second.owned)]
            described = self.describe_group(group) if self.release is None else None
            self.produce(topic, "none", False, records)
            wait_until("every record", members, lambda: len(first.records + second.records) >= len(records))
        finally:
            for member in members:
                member.leave()
        return {
            "alone": alone,
            "together": together,
            "records": first.records + second.records,
            "described": described,
        }

    def consume_group(self, topic: str, group: str, count: int) -> Json:
        consumer = self._consumer(group, topic)
        records = read(consumer, count)
        consumer.commit()
        consumer.close()
        return {"records": records}

    def committed(self, topic: str, group: str) -> Json:
        offsets = self.admin.list_group_offsets(group)[group]
        return {"offsets": {str(each.partition): found.offset for each, found in offsets.items()}}

    def describe_group(self, group: str) -> Json:
        described = self.admin.describe_groups([group])[group]
        if described["error"]:
            raise RuntimeError(described["error"])
        return {"state": described["group_state"], "members": len(described["members"])}

    def list_groups(self) -> Json:
        return {"groups": [each["group_id"] for each in self.admin.list_groups()]}

    def delete_group(self, group: str) -> Json:
        answer = self.admin.delete_groups([group])
        if answer[group] != "OK":
            raise RuntimeError(str(answer))
        return {}

    def _partitions(self, topic: str) -> set[int]:
        return set(range(self.describe_topic(topic)["partitions"]))

    def _consumer(self, group: str | None, *topics: str, **more: str) -> KafkaConsumer:
        return KafkaConsumer(
            *topics,
            **self.base,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=300,
            fetch_max_wait_ms=100,
            **more,
        )


def owned(consumer: KafkaConsumer) -> set[int]:
    return {each.partition for each in consumer.assignment()}


def poll(consumer: KafkaConsumer) -> list[Json]:
    """Waits long: kafka-python 3.0.12 loses an assignment whose SyncGroup answer comes after poll has given up."""
    return [
        record(each.partition, each.offset, each.timestamp, each.key, each.value, list(each.headers))
        for batch in consumer.poll(timeout_ms=1000).values()
        for each in batch
    ]


def read(consumer: KafkaConsumer, count: int) -> list[Json]:
    records: list[Json] = []
    deadline = Deadline(f"{count} records")
    while len(records) < count:
        records += poll(consumer)
        deadline.check(len(records))
    return records


def wait_until(what: str, members: list[Member], true: Callable[[], bool]) -> None:
    deadline = Deadline(what)
    pause = threading.Event()
    while not true():
        pause.wait(0.02)
        for member in members:
            if member.failure is not None:
                raise member.failure
        deadline.check([member.owned for member in members])


def main() -> None:
    bootstrap, release = arguments(sys.argv)
    driver = Driver(bootstrap, release)
    operations = (
        *("create_topic", "list_topics", "describe_topic", "describe_configs", "alter_configs", "create_partitions"),
        *("delete_records", "delete_topic", "produce", "consume", "consume_from_time", "group_of_two"),
        *("consume_group", "committed", "describe_group", "list_groups", "delete_group"),
        *("transaction", "consume_committed"),
    )
    client = f"kafka-python {kafka.__version__}"
    lacks = {"null_header": "the producer insists on bytes", "group_of_two_848": "classic groups only"}
    if release is not None:
        client += f" as to Kafka {'.'.join(map(str, release))}"
        lacks |= lacks_before(release)
        operations = tuple(each for each in OLD_OPERATIONS if each not in lacks)
    codecs = [each for each in ("none", "gzip", "snappy", "lz4", "zstd") if each not in lacks]
    serve(
        {"client": client, "codecs": codecs, "lacks": lacks},
        {name: getattr(driver, name) for name in operations},
        close=driver.admin.close,
    )


if __name__ == "__main__":
    main()
