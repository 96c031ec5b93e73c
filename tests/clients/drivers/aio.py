"""Driver of aiokafka, the asyncio client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from tests.clients.drivers.wire import Deadline, Json, decode, headers_of, record, serve


def refuse(error_code: int, what: str) -> None:
    """aiokafka hands out some answers without looking at their error codes."""
    if error_code:
        raise for_code(error_code)(what)


class Driver:
    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)

    async def create_topic(self, topic: str, partitions: int, configs: dict[str, str]) -> Json:
        answer = await self.admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
        for _, error_code, *_ in answer.topic_errors:
            refuse(error_code, topic)
        return {}

    async def list_topics(self) -> Json:
        return {"topics": await self.admin.list_topics()}

    async def describe_topic(self, topic: str) -> Json:
        (described,) = await self.admin.describe_topics([topic])
        refuse(described["error_code"], topic)
        return {"partitions": len(described["partitions"])}

    async def describe_configs(self, topic: str) -> Json:
        answers = await self.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        ((error_code, _, _, _, entries),) = answers[0].resources
        refuse(error_code, topic)
        return {"configs": {name: value for name, value, *_ in entries}}

    async def alter_configs(self, topic: str, configs: dict[str, str]) -> Json:
        answers = await self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
        ((error_code, *_),) = answers[0].resources
        refuse(error_code, topic)
        return {}

    async def create_partitions(self, topic: str, count: int) -> Json:
        await self.admin.create_partitions({topic: NewPartitions(count)})
        return {}

    async def delete_records(self, topic: str, before: dict[str, int]) -> Json:
        await self.admin.delete_records(
            {TopicPartition(topic, int(partition)): RecordsToDelete(offset) for partition, offset in before.items()}
        )
        return {}

    async def delete_topic(self, topic: str) -> Json:
        answer = await self.admin.delete_topics([topic])
        for _, error_code in answer.topic_error_codes:
            refuse(error_code, topic)
        return {}

    async def produce(self, topic: str, codec: str, idempotent: bool, records: list[Json]) -> Json:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if codec == "none" else codec,
            enable_idempotence=idempotent,
            acks="all",
            linger_ms=20,
        )
        await producer.start()
        try:
            sent = [
                await producer.send(
                    topic,
                    value=decode(each["value"]),
                    key=decode(each["key"]),
                    partition=each["partition"],
                    timestamp_ms=each["timestamp"],
                    headers=headers_of(each),
                )
                for each in records
            ]
            return {"offsets": [(await future).offset for future in sent]}
        finally:
            await producer.stop()

    async def transaction(self, topic: str, id: str, aborted: list[Json], committed: list[Json]) -> Json:
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, transactional_id=id, linger_ms=20)
        await producer.start()
        try:
            for records, end in ((aborted, producer.abort_transaction), (committed, producer.commit_transaction)):
                await producer.begin_transaction()
                for each in records:
                    await producer.send(
                        topic,
                        value=decode(each["value"]),
                        key=decode(each["key"]),
                        partition=each["partition"],
                        timestamp_ms=each["timestamp"],
                        headers=headers_of(each),
                    )
                await producer.flush()
                await end()
            return {}
        finally:
            await producer.stop()

    async def consume_committed(self, topic: str, partitions: list[int], count: int) -> Json:
        return await self.consume(topic, partitions, count, "read_committed")

    async def consume(self, topic: str, partitions: list[int], count: int, isolation: str = "read_uncommitted") -> Json:
        consumer = await self._consumer(None, isolation_level=isolation)
        try:
            consumer.assign([TopicPartition(topic, partition) for partition in partitions])
            return {"records": await self._read([consumer], count)}
        finally:
            await consumer.stop()

    async def consume_from_time(self, topic: str, timestamp: int, count: int) -> Json:
        consumer = await self._consumer(None)
        try:
            wanted = [TopicPartition(topic, each) for each in await self._partitions(topic)]
            found = await consumer.offsets_for_times(dict.fromkeys(wanted, timestamp))
            consumer.assign([partition for partition, offset in found.items() if offset is not None])
            for partition in consumer.assignment():
                consumer.seek(partition, found[partition].offset)
            return {
                "offsets": {str(each.partition): offset and offset.offset for each, offset in found.items()},
                "records": await self._read([consumer], count),
            }
        finally:
            await consumer.stop()

    async def group_of_two(self, topic: str, group: str, records: list[Json]) -> Json:
        partitions = await self._partitions(topic)
        members = [await self._consumer(group, topic)]
        try:
            deadline = Deadline("the first member to own every partition")
            while owned(members[0]) != partitions:
                await members[0].getmany(timeout_ms=50)
                deadline.check(owned(members[0]))
            alone = sorted(owned(members[0]))
            # A new member's start waits for its first assignment, for which the old member has to come back.
            members.append(await self._consumer(group, topic))
            deadline = Deadline("both members to share the partitions")
            first, second = members
            while not (owned(first) and owned(second) and owned(first) ^ owned(second) == partitions):
                await asyncio.gather(first.getmany(timeout_ms=50), second.getmany(timeout_ms=50))
                deadline.check((owned(first), owned(second)))
            together = [sorted(owned(first)), sorted(owned(second))]
            described = await self.describe_group(group)
            await self.produce(topic, "none", False, records)
            read = await self._read(members, len(records))
            for member in members:
                await member.commit()
            return {"alone": alone, "together": together, "records": read, "described": described}
        finally:
            for member in members:
                await member.stop()

    async def consume_group(self, topic: str, group: str, count: int) -> Json:
        consumer = await self._consumer(group, topic)
        try:
            read = await self._read([consumer], count)
            await consumer.commit()
            return {"records": read}
        finally:
            await consumer.stop()

    async def committed(self, topic: str, group: str) -> Json:
        offsets = await self.admin.list_consumer_group_offsets(group)
        return {"offsets": {str(each.partition): found.offset for each, found in offsets.items()}}

    async def describe_group(self, group: str) -> Json:
        (answer,) = await self.admin.describe_consumer_groups([group])
        ((error_code, _, state, _, _, members, *_),) = answer.groups
        refuse(error_code, group)
        return {"state": state, "members": len(members)}

    async def list_groups(self) -> Json:
        return {"groups": [name for name, *_ in await self.admin.list_consumer_groups()]}

    async def _consumer(self, group: str | None, *topics: str, **more: str) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self.bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=300,
            fetch_max_wait_ms=100,
            **more,
        )
        await consumer.start()
        return consumer

    async def _partitions(self, topic: str) -> set[int]:
        return set(range((await self.describe_topic(topic))["partitions"]))

    @staticmethod
    async def _read(consumers: list[AIOKafkaConsumer], count: int) -> list[Json]:
        records: list[Json] = []
        deadline = Deadline(f"{count} records")
        while len(records) < count:
            for consumer in consumers:
                for batch in (await consumer.getmany(timeout_ms=50)).values():
                    records += [
                        record(each.partition, each.offset, each.timestamp, each.key, each.value, list(each.headers))
                        for each in batch
                    ]
            deadline.check(len(records))
        return records


def owned(consumer: AIOKafkaConsumer) -> set[int]:
    return {each.partition for each in consumer.assignment()}


def main() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def start() -> Driver:
        driver = Driver(sys.argv[1])
        await driver.admin.start()
        return driver

    driver = loop.run_until_complete(start())

    def waiting(operation: Callable[..., Coroutine[Any, Any, Json]]) -> Callable[..., Json]:
        return lambda **arguments: loop.run_until_complete(operation(**arguments))

    operations = (
        *("create_topic", "list_topics", "describe_topic", "describe_configs", "alter_configs", "create_partitions"),
        *("delete_records", "delete_topic", "produce", "consume", "consume_from_time", "group_of_two"),
        *("consume_group", "committed", "describe_group", "list_groups", "transaction", "consume_committed"),
    )
    serve(
        {
            "client": f"aiokafka {aiokafka.__version__}",
            "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
            "lacks": {"group_of_two_848": "classic groups only", "delete_group": "not in its admin client"},
        },
        {name: waiting(getattr(driver, name)) for name in operations},
        close=lambda: loop.run_until_complete(driver.admin.close()),
    )


if __name__ == "__main__":
    main()
