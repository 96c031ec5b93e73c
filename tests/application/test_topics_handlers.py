"""CreateTopics, DeleteTopics and CreatePartitions, seen through the wire. The codes are those of Apache Kafka 4.4."""

from __future__ import annotations

import pytest
from kafka_protocol.errors import ErrorCode
from kafka_protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
)
from kafka_protocol.messages.create_topics import CreatableTopic
from kafka_protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse, DeleteTopicState

from kafka_server.domain.topic import ZERO_ID
from tests.application.admin_house import NODE_ID, House, wanted

# ---- CreateTopics ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(8))
async def test_a_topic_is_created_in_every_version(version: int) -> None:
    house = House()

    results = await house.create(wanted("orders", 3, 1, configs={"retention.ms": "5"}), version=version)

    topic = house.topics.get("orders")
    assert results["orders"].error_code == ErrorCode.NONE
    assert (topic.partition_count, len(topic.partitions), topic.settings.retention_ms) == (3, 3, 5)


async def test_the_answer_tells_id_size_and_effective_configs() -> None:
    house = House({"message.max.bytes": "2000"})

    result = (await house.create(wanted("orders", 3, 1, configs={"retention.ms": "5"})))["orders"]

    configs = {config.name: (config.value, config.config_source) for config in result.configs}
    assert result.topic_id == house.topics.get("orders").topic_id
    assert (result.num_partitions, result.replication_factor, result.error_message) == (3, 1, None)
    assert configs["retention.ms"] == ("5", 1)  # the topic's own
    assert configs["max.message.bytes"] == ("2000", 4)  # static broker config
    assert configs["segment.bytes"] == ("1073741824", 5)  # default


async def test_minus_one_leaves_count_and_factor_to_the_broker() -> None:
    house = House({"num.partitions": "4"})

    result = (await house.create(wanted("orders")))["orders"]

    assert (result.num_partitions, result.replication_factor) == (4, 1)


async def test_a_manual_assignment_names_this_broker_for_partitions_without_gaps() -> None:
    result = (await House().create(wanted("orders", assignments={1: [NODE_ID], 0: [NODE_ID]})))["orders"]

    assert (result.error_code, result.num_partitions) == (0, 2)


async def test_validate_only_answers_as_if_and_creates_nothing() -> None:
    house = House()

    results = await house.create(wanted("orders", 3), wanted("b!"), validate_only=True)

    assert (results["orders"].error_code, results["orders"].num_partitions) == (0, 3)
    assert results["b!"].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
    assert list(house.topics.all()) == []


REFUSED = {
    "empty name": (wanted(""), ErrorCode.INVALID_TOPIC_EXCEPTION),
    "dots": (wanted(".."), ErrorCode.INVALID_TOPIC_EXCEPTION),
    "long name": (wanted("x" * 250), ErrorCode.INVALID_TOPIC_EXCEPTION),
    "path": (wanted("../x"), ErrorCode.INVALID_TOPIC_EXCEPTION),
    "collision": (wanted("there_is"), ErrorCode.INVALID_TOPIC_EXCEPTION),
    "exists": (wanted("there.is"), ErrorCode.TOPIC_ALREADY_EXISTS),
    "metadata log": (wanted("__cluster_metadata"), ErrorCode.INVALID_REQUEST),
    "offsets topic": (wanted("__consumer_offsets"), ErrorCode.INVALID_REQUEST),
    "no partitions": (wanted("t", 0, 1), ErrorCode.INVALID_PARTITIONS),
    "negative partitions": (wanted("t", -2, 1), ErrorCode.INVALID_PARTITIONS),
    "no replicas": (wanted("t", 1, 0), ErrorCode.INVALID_REPLICATION_FACTOR),
    "negative replicas": (wanted("t", 1, -2), ErrorCode.INVALID_REPLICATION_FACTOR),
    "more replicas than brokers": (wanted("t", 1, 2), ErrorCode.INVALID_REPLICATION_FACTOR),
    "assignment and count": (wanted("t", 1, -1, {0: [NODE_ID]}), ErrorCode.INVALID_REQUEST),
    "assignment and factor": (wanted("t", -1, 1, {0: [NODE_ID]}), ErrorCode.INVALID_REQUEST),
    "assignment to a stranger": (wanted("t", assignments={0: [2]}), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    "assignment twice to one": (wanted("t", assignments={0: [7, 7]}), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    "assignment to nobody": (wanted("t", assignments={0: []}), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    "assignment with a gap": (wanted("t", assignments={1: [7]}), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    "unknown config": (wanted("t", configs={"nope": "1"}), ErrorCode.INVALID_CONFIG),
    "config of another type": (wanted("t", configs={"retention.ms": "x"}), ErrorCode.INVALID_CONFIG),
    "config out of bounds": (wanted("t", configs={"segment.bytes": "14"}), ErrorCode.INVALID_CONFIG),
    "config without value": (wanted("t", configs={"retention.ms": None}), ErrorCode.INVALID_CONFIG),
    "configs at odds": (
        wanted("t", configs={"min.compaction.lag.ms": "5", "max.compaction.lag.ms": "4"}),
        ErrorCode.INVALID_CONFIG,
    ),
    "tiered storage": (wanted("t", configs={"remote.storage.enable": "true"}), ErrorCode.INVALID_CONFIG),
}


@pytest.mark.parametrize(("topic", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_topic_that_cannot_be_is_refused_and_its_neighbour_created(topic: CreatableTopic, code: int) -> None:
    house = House()
    await house.topic("there.is")

    results = await house.create(topic, wanted("good"))

    assert results[topic.name].error_code == code
    assert results[topic.name].error_message
    assert results["good"].error_code == ErrorCode.NONE
    assert [made.name for made in house.topics.all()] == ["good", "there.is"]


async def test_a_name_that_is_listed_twice_is_answered_once_and_not_created() -> None:
    house = House()

    results = await house.create(wanted("twice"), wanted("once"), wanted("twice", 2))

    assert list(results) == ["once", "twice"]
    assert results["twice"].error_code == ErrorCode.INVALID_REQUEST
    assert [topic.name for topic in house.topics.all()] == ["once"]


async def test_a_request_for_more_than_ten_thousand_partitions_is_refused_as_a_whole() -> None:
    house = House()

    results = await house.create(wanted("big", 10_000), wanted("small", 1))

    assert {result.error_code for result in results.values()} == {ErrorCode.POLICY_VIOLATION}
    assert list(house.topics.all()) == []


# ---- DeleteTopics ------------------------------------------------------------------------------------------------


async def delete(house: House, version: int, *states: DeleteTopicState) -> list[tuple[str | None, int]]:
    if version < 6:
        request = DeleteTopicsRequest(topic_names=[state.name or "" for state in states])
    else:
        request = DeleteTopicsRequest(topics=list(states))
    response = await house.ask("delete_topics", request, DeleteTopicsResponse, version)
    return [(result.name, result.error_code) for result in response.responses]


def named(name: str) -> DeleteTopicState:
    return DeleteTopicState(name=name)


@pytest.mark.parametrize("version", range(7))
async def test_a_topic_is_deleted_by_name_in_every_version(version: int) -> None:
    house = House()
    await house.topic("orders")

    results = await delete(house, version, named("orders"), named("nope"))

    assert results == [("orders", 0), ("nope", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)]
    assert list(house.topics.all()) == []
    assert len(house.replicas) == 0


async def test_a_topic_is_deleted_by_id_and_the_answer_tells_its_name() -> None:
    house = House()
    topic = await house.topic("orders")

    results = await delete(house, 6, DeleteTopicState(topic_id=topic.topic_id), DeleteTopicState(topic_id=b"x" * 16))

    assert results == [("orders", 0), (None, ErrorCode.UNKNOWN_TOPIC_ID)]


async def test_a_topic_created_anew_has_a_new_id_so_that_the_old_one_deletes_nothing() -> None:
    house = House()
    old = await house.topic("orders")
    await delete(house, 6, named("orders"))
    new = await house.topic("orders")

    results = await delete(house, 6, DeleteTopicState(topic_id=old.topic_id))

    assert results == [(None, ErrorCode.UNKNOWN_TOPIC_ID)]
    assert house.topics.get("orders") is new


@pytest.mark.parametrize(
    "listed",
    [
        ["name", "name"],
        ["id", "id"],
        ["name", "id"],
        ["both"],
        ["neither"],
    ],
    ids="+".join,
)
async def test_a_topic_that_is_named_ambiguously_is_refused_once_and_stays(listed: list[str]) -> None:
    house = House()
    topic_id = (await house.topic("orders")).topic_id
    states = {
        "name": DeleteTopicState(name="orders"),
        "id": DeleteTopicState(topic_id=topic_id),
        "both": DeleteTopicState(name="orders", topic_id=topic_id),
        "neither": DeleteTopicState(name=None, topic_id=ZERO_ID),
    }

    results = await delete(house, 6, *(states[each] for each in listed))

    assert [code for _, code in results] == [ErrorCode.INVALID_REQUEST]
    assert house.topics.get("orders")


@pytest.mark.parametrize(("version", "code"), [(2, ErrorCode.INVALID_REQUEST), (3, ErrorCode.TOPIC_DELETION_DISABLED)])
async def test_deletion_can_be_switched_off(version: int, code: int) -> None:
    house = House({"delete.topic.enable": "false"})
    await house.topic("orders")

    assert await delete(house, version, named("orders")) == [("orders", code)]
    assert house.topics.get("orders")


# ---- CreatePartitions --------------------------------------------------------------------------------------------


def grown(name: str, count: int, assignments: list[list[int]] | None = None) -> CreatePartitionsTopic:
    listed = None if assignments is None else [CreatePartitionsAssignment(broker_ids=ids) for ids in assignments]
    return CreatePartitionsTopic(name=name, count=count, assignments=listed)


async def grow(
    house: House, *topics: CreatePartitionsTopic, version: int = 3, validate_only: bool = False
) -> list[int]:
    request = CreatePartitionsRequest(topics=list(topics), validate_only=validate_only)
    response = await house.ask("create_partitions", request, CreatePartitionsResponse, version)
    return [result.error_code for result in response.results]


@pytest.mark.parametrize("version", range(4))
async def test_a_topic_grows_and_its_new_partitions_serve_at_once(version: int) -> None:
    house = House()
    topic = await house.topic("orders", 2)

    assert await grow(house, grown("orders", 5), version=version) == [0]
    assert [partition.index for partition in topic.partitions] == [0, 1, 2, 3, 4]
    assert house.replicas.find("orders", 4)


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (grown("orders", 2), ErrorCode.INVALID_PARTITIONS),
        (grown("orders", 1), ErrorCode.INVALID_PARTITIONS),
        (grown("orders", -1), ErrorCode.INVALID_PARTITIONS),
        (grown("nope", 3), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (grown("orders", 4, [[NODE_ID]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (grown("orders", 3, [[1]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (grown("orders", 3, [[]]), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (grown("orders", 20_000), ErrorCode.POLICY_VIOLATION),
    ],
)
async def test_a_topic_never_shrinks_nor_takes_a_wrong_assignment(topic: CreatePartitionsTopic, code: int) -> None:
    house = House()
    made = await house.topic("orders", 2)

    assert await grow(house, topic) == [code]
    assert made.partition_count == 2


async def test_growing_can_be_validated_only_and_never_twice_in_one_request() -> None:
    house = House()
    topic = await house.topic("orders")

    assert await grow(house, grown("orders", 3, [[NODE_ID], [NODE_ID]]), validate_only=True) == [0]
    assert await grow(house, grown("orders", 3), grown("orders", 4)) == [ErrorCode.INVALID_REQUEST]
    assert topic.partition_count == 1
