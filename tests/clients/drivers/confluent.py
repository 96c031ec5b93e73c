"""Driver of confluent-kafka, the Python client on librdkafka."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

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


def only(futures: dict[Any, Future[Any]]) -> Any:
    """The result of an admin call about one thing."""
    (future,) = futures.values()
    return future.result(WAIT_SECONDS_MAX)


class Driver:
    """`release`: what librdkafka shall take the broker for; it asks the broker when that is None."""

    def __init__(self, bootstrap: str, release: tuple[int, ...] | None) -> None:
        self.base: dict[str, Any] = {"bootstrap.servers": bootstrap, "broker.address.family": "v4"}
        self.release = release
        if release is not None:
            self.base |= {
                "api.version.request": False,
                "broker.version.fallback": ".".join(map(str, release)),
            }
        self.admin = AdminClient(self.base)

    def create_topic(self, topic: str, partitions: int, configs: dict[str, str]) -> Json:
        only(self.admin.create_topics([NewTopic(topic, partitions, 1, config=configs)]))
        return {}

    def list_topics(self) -> Json:
        return {"topics": list(self.admin.list_topics(timeout=WAIT_SECONDS_MAX).topics)}

    def describe_topic(self, topic: str) -> Json:
        described = only(self.admin.describe_topics(confluent_kafka.TopicCollection([topic])))
        return {"partitions": len(described.partitions)}

    def describe_configs(self, topic: str) -> Json:
        entries = only(self.admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))
        return {"configs": {name: entry.value for name, entry in entries.items()}}

    def alter_configs(self, topic: str, configs: dict[str, str]) -> Json:
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in configs.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        only(self.admin.incremental_alter_configs([resource]))
        return {}

    def create_partitions(self, topic: str, count: int) -> Json:
        only(self.admin.create_partitions([NewPartitions(topic, count)]))
        return {}

    def delete_records(self, topic: str, before: dict[str, int]) -> Json:
        wanted = [TopicPartition(topic, int(partition), offset) for partition, offset in before.items()]
        for future in self.admin.delete_records(wanted).values():
            future.result(WAIT_SECONDS_MAX)
        return {}

    def delete_topic(self, topic: str) -> Json:
        only(self.admin.delete_topics([topic]))
        return {}

    def produce(self, topic: str, codec: str, idempotent: bool, records: list[Json]) -> Json:
        # linger.ms gathers the records of a partition in one batch, so that a codec has something to work on.
        settings = {**self.base, "compression.type": codec, "enable.idempotence": idempotent, "linger.ms": 20}
        producer = Producer(settings)
        offsets: list[int | None] = [None] * len(records)
        failures = []

        for index, each in enumerate(records):

            def delivered(error: Any, message: Message, index: int = index) -> None:
                if error is not None:
                    failures.append(str(error))
                offsets[index] = message.offset()

            producer.produce(
                topic,
                partition=each["partition"],
                key=decode(each["key"]),
                value=decode(each["value"]),
                headers=headers_of(each),
                timestamp=each["timestamp"],
                on_delivery=delivered,
            )
        left = producer.flush(WAIT_SECONDS_MAX)
        if left or failures:
            raise RuntimeError(f"{left} records were not delivered: {failures[:3]}")
        return {"offsets": offsets}

    def transaction(self, topic: str, id: str, aborted: list[Json], committed: list[Json]) -> Json:
        producer = Producer({**self.base, "transactional.id": id, "linger.ms": 20})
        producer.init_transactions(WAIT_SECONDS_MAX)
        for records, end in ((aborted, producer.abort_transaction), (committed, producer.commit_transaction)):
            producer.begin_transaction()
            for each in records:
                producer.produce(
                    topic,
                    partition=each["partition"],
                    key=decode(each["key"]),
                    value=decode(each["value"]),
                    headers=headers_of(each),
                    timestamp=each["timestamp"],
                )
            producer.flush(WAIT_SECONDS_MAX)
            end(WAIT_SECONDS_MAX)
        return {}

    def consume_committed(self, topic: str, partitions: list[int], count: int) -> Json:
        return self.consume(topic, partitions, count, "read_committed")

    def consume(self, topic: str, partitions: list[int], count: int, isolation: str = "read_uncommitted") -> Json:
        consumer = self._consumer("unused", {"isolation.level": isolation})
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        records = self._read([consumer], count)
        consumer.close()
        return {"records": records}

    def consume_from_time(self, topic: str, timestamp: int, count: int) -> Json:
        consumer = self._consumer("unused")
        partitions = consumer.list_topics(topic, timeout=WAIT_SECONDS_MAX).topics[topic].partitions
        found = consumer.offsets_for_times(
            [TopicPartition(topic, partition, timestamp) for partition in partitions], timeout=WAIT_SECONDS_MAX
        )
        consumer.assign(found)
        records = self._read([consumer], count)
        consumer.close()
        # librdkafka answers "the end" (-1) where Kafka has no such record.
        return {
            "offsets": {str(each.partition): each.offset if each.offset >= 0 else None for each in found},
            "records": records,
        }

    def group_of_two_848(self, topic: str, group: str, records: list[Json]) -> Json:
        return self.group_of_two(topic, group, records, {"group.protocol": "consumer"})

    def group_of_two(self, topic: str, group: str, records: list[Json], protocol: dict[str, Any] | None = None) -> Json:
        partitions = set(self.admin.list_topics(topic, timeout=WAIT_SECONDS_MAX).topics[topic].partitions)
        first, second = self._consumer(group, protocol), self._consumer(group, protocol)
        first.subscribe([topic])
        deadline = Deadline("the first member to own every partition")
        while self._owned(first) != partitions:
            self._poll(first)
            deadline.check(self._owned(first))
        alone = sorted(self._owned(first))
        second.subscribe([topic])
        deadline = Deadline("both members to share the partitions")
        while not (
            self._owned(first) and self._owned(second) and self._owned(first) ^ self._owned(second) == partitions
        ):
            self._poll(first)
            self._poll(second)
            deadline.check((self._owned(first), self._owned(second)))
        together = [sorted(self._owned(first)), sorted(self._owned(second))]
        described = self.describe_group(group) if self.release is None and protocol is None else None
        self.produce(topic, "none", False, records)
        read = self._read([first, second], len(records))
        for member in (first, second):
            self._commit(member)
            member.close()
        return {"alone": alone, "together": together, "records": read, "described": described}

    def consume_group(self, topic: str, group: str, count: int) -> Json:
        consumer = self._consumer(group)
        consumer.subscribe([topic])
        records = self._read([consumer], count)
        self._commit(consumer)
        consumer.close()
        return {"records": records}

    def committed(self, topic: str, group: str) -> Json:
        wanted = [ConsumerGroupTopicPartitions(group)]
        answer = only(self.admin.list_consumer_group_offsets(wanted))
        return {"offsets": {str(each.partition): each.offset for each in answer.topic_partitions}}

    def describe_group(self, group: str) -> Json:
        described = only(self.admin.describe_consumer_groups([group]))
        state = described.state.name.title().replace("_", "")
        return {"state": state, "members": len(described.members)}

    def list_groups(self) -> Json:
        listed = self.admin.list_consumer_groups().result(WAIT_SECONDS_MAX)
        return {"groups": [each.group_id for each in listed.valid]}

    def delete_group(self, group: str) -> Json:
        only(self.admin.delete_consumer_groups([group]))
        return {}

    def _consumer(self, group: str, extra: dict[str, Any] | None = None) -> Consumer:
        # With the consumer protocol the broker decides on the session and the heartbeats.
        classic = (
            {} if "group.protocol" in (extra or {}) else {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 300}
        )
        return Consumer(
            {
                **self.base,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
                **classic,
                **(extra or {}),
            }
        )

    @staticmethod
    def _owned(consumer: Consumer) -> set[int]:
        return {each.partition for each in consumer.assignment()}

    @staticmethod
    def _commit(consumer: Consumer) -> None:
        """A member that read nothing has nothing to commit, which librdkafka reports as an error."""
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != confluent_kafka.KafkaError._NO_OFFSET:
                raise

    @staticmethod
    def _poll(consumer: Consumer) -> list[Json]:
        messages = consumer.consume(100, timeout=0.05)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        return [
            record(each.partition(), each.offset(), each.timestamp()[1], each.key(), each.value(), each.headers() or [])
            for each in messages
        ]

    def _read(self, consumers: list[Consumer], count: int) -> list[Json]:
        records: list[Json] = []
        deadline = Deadline(f"{count} records")
        while len(records) < count:
            for consumer in consumers:
                records += self._poll(consumer)
            deadline.check(len(records))
        return records


def main() -> None:
    bootstrap, release = arguments(sys.argv)
    driver = Driver(bootstrap, release)
    operations = (
        *("create_topic", "list_topics", "describe_topic", "describe_configs", "alter_configs", "create_partitions"),
        *("delete_records", "delete_topic", "produce", "consume", "consume_from_time", "group_of_two"),
        *("consume_group", "committed", "describe_group", "list_groups", "delete_group"),
        *("transaction", "consume_committed", "group_of_two_848"),
    )
    client = f"confluent-kafka {confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})"
    lacks = {}
    if release is not None:
        client = f"librdkafka {confluent_kafka.libversion()[0]} as to Kafka {'.'.join(map(str, release))}"
        lacks = lacks_before(release)
        operations = tuple(each for each in OLD_OPERATIONS if each not in lacks)
    codecs = [each for each in ("none", "gzip", "snappy", "lz4", "zstd") if each not in lacks]
    serve(
        {"client": client, "codecs": codecs, "lacks": lacks},
        {name: getattr(driver, name) for name in operations},
    )


if __name__ == "__main__":
    main()
