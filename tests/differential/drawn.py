"""Requests drawn from the schemas: of every API, in every version, with values that exist and values that do not.

Owns: what a field may be given. Must never know: what a broker makes of it. The same seed draws the same requests. What
differs between two brokers - ids of topics, producers and members - is drawn as a ``Symbol``, which each side fills in.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

from codegen.spec import Field, Message, read_message
from tests.differential.test_data import NOW_MS, messages
from tests.domain.batches import batch, patched

SPECS = Path(__file__).resolve().parents[2] / "specs" / "messages"


class Symbol(NamedTuple):
    """Something that each broker has its own value for: the topic named so, or the producer or member seen as that."""

    kind: str
    which: str | int


HUGE = 2**31 - 1
TOPICS = ("t", "t", "u", "nobody", "bad!", "")
TOPIC_IDS = tuple(Symbol("topic id", name) for name in ("t", "t", "u", "nobody", "zero"))
NEW_TOPICS = ("new-1", "new-2", "new-3", "t", "bad!", "")
INDEXES = (0, 0, 0, 1, 2, -1, HUGE)
GROUPS = ("g", "h", "nobody", "")
TRANSACTIONS = ("x", "y", "nobody", "")
PRODUCERS = (*(Symbol("producer", at) for at in range(4)), -1, 4242)
EPOCHS = (0, 0, 0, 1, -1)
MEMBERS = (*(Symbol("member", at) for at in range(3)), "", "stranger")
KEYS = ("retention.ms", "cleanup.policy", "segment.bytes", "max.message.bytes", "nope", "")
RESOURCE_NAMES = ("t", "u", "1", "2", "", "nobody")
BATCH = batch(*messages(2))
RECORDS = (
    BATCH,
    BATCH,
    b"",
    *(batch(*messages(2), codec=codec) for codec in (1, 2, 3, 4)),
    patched(BATCH, 17, "I", 1, fix_crc=False),
    patched(BATCH, 57, "i", 0),
    *(
        batch(*messages(2), producer_id=4242, producer_epoch=epoch, base_sequence=sequence)
        for sequence in (0, 2, 4)
        for epoch in (0, 1)
    ),
)

BY_FIELD: dict[str, tuple[Any, ...]] = {
    "AllowAutoTopicCreation": (False,),
    "Acks": (-1, -1, 1, 5),
    "CommittedOffset": (0, 1, 5, -1, 2**62),
    "CommittedMetadata": ("", "m"),
    "CompressionType": (0, 4, 9),
    "ConfigOperation": (0, 0, 1, 2, 3),
    "ConfigurationKeys": KEYS,
    "CoordinatorKeys": ("g", "x", ""),
    "Count": (0, 1, 2, 3, -1),
    "DurationFilter": (-1, 0, 10**9, -5),
    "ElectionType": (0, 1, 7),
    "EndpointType": (1, 2, 7),
    "EntityName": ("a", "b", None),
    "EntityType": ("user", "client-id", "ip", "nope", ""),
    "Feature": ("metadata.version", "transaction.version", "nope", ""),
    "FetchOffset": (0, 0, 1, 2, 5, 100, -1, 2**62),
    "GenerationId": (-1, 0, 1, 2),
    "GenerationIdOrMemberEpoch": (-1, -1, 0, 1),
    "GroupId": GROUPS,
    "GroupIds": GROUPS,
    "GroupInstanceId": (None, None, None, "i"),
    "Groups": GROUPS,
    "GroupsNames": ("nobody", "h", ""),
    "Index": INDEXES,
    "IsolationLevel": (0, 1),
    "Iterations": (4096, 8192, 1, HUGE),
    "KeyType": (0, 1, 9),
    "LogStartOffset": (0, -1),
    "Match": (None, "a"),
    "MatchType": (0, 1, 2, 3),
    "MaxBytes": (1 << 20, 1 << 20, 1, 0),
    "MaxNumOffsets": (1, 5, 0),
    "MaxVersionLevel": (0, 1, 2, -1, 33),
    "MaxWaitMs": (0,),
    "Mechanism": (1, 2, 0, 3),
    "MemberEpoch": (-1, 0, 1),
    "MemberId": MEMBERS,
    "MinBytes": (0,),
    "Name": TOPICS,
    "NumPartitions": (1, 2, -1, 0, -2, HUGE),
    "Offset": (0, 1, 5, -1, -2, 2**62),
    "Partition": INDEXES,
    "PartitionIndex": INDEXES,
    "PartitionIndexes": INDEXES,
    "PartitionMaxBytes": (1 << 20, 1 << 20, 1, 0),
    "Partitions": INDEXES,
    "Path": ("nowhere", "/nowhere", ""),
    "ProducerEpoch": EPOCHS,
    "ProducerId": PRODUCERS,
    "ProducerIdFilters": PRODUCERS,
    "ProtocolName": ("range", "nope"),
    "ProtocolType": ("consumer", "consumer", "connect", ""),
    "Records": RECORDS,
    "ReplicaId": (-1,),
    "Replicas": (1, 1, 2, -1),
    "ReplicationFactor": (1, -1, 0, 2),
    "ResourceName": RESOURCE_NAMES,
    "ResourceType": (2, 2, 4, 8, 16, 32, 3, 0),
    "ResourceTypes": (2, 4, 8, 16, 32, 0),
    "ResponsePartitionLimit": (2000, 1, 2, 0, -1),
    "RetentionTimeMs": (-1,),
    "SessionEpoch": (-1, -1, 0),
    "SessionId": (0, 0, 77),
    "StateFilters": ("Ongoing", "Empty", "nope", ""),
    "StatesFilter": ("Stable", "empty", "nope"),
    "Timestamp": (-1, -2, -3, -4, -5, -6, -7, 0, NOW_MS, NOW_MS + 1, 2**62),
    "TimeoutMs": (3000,),
    "Topic": TOPICS,
    "TopicId": TOPIC_IDS,
    "TopicName": TOPICS,
    "TopicNames": (*NEW_TOPICS[:3], "nobody", "bad!", ""),
    "TransactionTimeoutMs": (60_000, 60_000, 0, -1, HUGE),
    "TransactionalId": TRANSACTIONS,
    "TransactionalIdPattern": ("x.*", "", "(("),
    "TransactionalIds": TRANSACTIONS,
    "TransactionVersion": (0, 1, 2),
    "TypesFilter": ("classic", "Consumer", "nope"),
    "UpgradeType": (1, 2, 3, 0),
    "V3AndBelowProducerEpoch": EPOCHS,
    "V3AndBelowProducerId": PRODUCERS,
    "V3AndBelowTransactionalId": TRANSACTIONS,
    "timeoutMs": (3000,),
}
"""What a field of that name is given; others go by their type."""

BY_API: dict[tuple[str, str], tuple[Any, ...]] = {
    ("AlterClientQuotas", "Key"): ("producer_byte_rate", "consumer_byte_rate", "nope"),
    ("AlterClientQuotas", "Value"): (1e9, 2e9, -1.0, 0.0),
    ("AlterConfigs", "Name"): KEYS,
    ("AlterConfigs", "Value"): ("1000000", "delete", "compact", "x", ""),
    ("AlterUserScramCredentials", "Name"): ("ann", "bob", ""),
    ("AlterUserScramCredentials", "Salt"): (b"salt",),
    ("AlterUserScramCredentials", "SaltedPassword"): (b"x" * 32,),
    ("ConsumerGroupHeartbeat", "GroupId"): ("", "g", "nobody"),
    ("ConsumerGroupHeartbeat", "MemberEpoch"): (1, -1, -2, -3, 5),
    ("ConsumerGroupHeartbeat", "MemberId"): ("", "stranger"),
    ("CreateTopics", "BrokerIds"): (1, 1, 2),
    ("CreateTopics", "Name"): NEW_TOPICS,
    ("CreateTopics", "PartitionIndex"): (0, 1, 2, -1),
    ("CreateTopics", "Value"): ("1000000", "x"),
    ("CreatePartitions", "BrokerIds"): (1, 1, 2),
    ("CreatePartitions", "Name"): NEW_TOPICS,
    ("DeleteTopics", "Name"): (*NEW_TOPICS[:3], "nobody", "bad!", ""),
    ("DeleteTopics", "TopicId"): TOPIC_IDS[3:],
    # Kafka adds one to the partition of a cursor, also to the largest there is.
    ("DescribeTopicPartitions", "PartitionIndex"): (0, 1, 2, -1),
    ("DescribeQuorum", "TopicName"): ("__cluster_metadata", "t"),
    ("DescribeUserScramCredentials", "Name"): ("ann", "bob", ""),
    # Kafka stumbles over the zero id, which test_by_topic_id shows.
    ("Fetch", "TopicId"): TOPIC_IDS[:4],
    ("FindCoordinator", "Key"): ("g", "x", ""),
    ("IncrementalAlterConfigs", "Name"): KEYS,
    ("IncrementalAlterConfigs", "Value"): ("1000000", "delete", "compact", "x", ""),
    ("JoinGroup", "Name"): ("range", "other"),
    ("JoinGroup", "RebalanceTimeoutMs"): (50,),
    ("JoinGroup", "SessionTimeoutMs"): (30_000, 30_000, 5, -1, HUGE),
    ("SyncGroup", "GenerationId"): (-1, 99),
    ("UnregisterBroker", "BrokerId"): (7, -1, HUGE),
}
"""The same where the name means something else in one API."""

BY_TYPE: dict[str, tuple[Any, ...]] = {
    "bool": (False, True),
    "bytes": (b"", b"a"),
    "float64": (0.0, 1.0),
    "int8": (0, 1, 2),
    "int16": (0, 1, -1),
    "int32": (-1, -1, 0, 5, HUGE),
    "int64": (-1, 0, 1),
    "string": ("", "a"),
    "uuid": (bytes(16), b"i" * 16),
}

NEVER_EMPTY = {
    ("AddPartitionsToTxn", "Transactions"): "Kafka never answers then, and we do at once",
    ("DescribeTopicPartitions", "Topics"): "stands for all topics, and Kafka has internal ones among them",
}
FIRST_THAT_CREATES_NOTHING = 4
"""Before, a question for a topic that is not there creates it."""
LEFT_OUT = {
    "ClusterId": "a broker that checks it hangs up",
    "KeepPreparedTxn": "two-phase commit is not enabled",
    "Enable2Pc": "the same",
    "Reason": "nobody answers to it",
    "ReplicaState": "there are no followers",
    "ReplicaDirectoryId": "the same",
    "HighWatermark": "the same",
}


def schema(api: str) -> Message:
    return read_message(SPECS / f"{api}Request.json")


class Draw:
    """One request of that API: ``Draw(schema, version, random).value()``, in the shape that the codec tests use."""

    def __init__(self, message: Message, version: int, choice: random.Random) -> None:
        self._api = message.name.removesuffix("Request")
        self._message = message
        self._structs = dict(message.structs())
        self._version = version
        self._random = choice

    def value(self) -> dict[str, Any]:
        return self._fill(self._message.fields, nested=False)

    def _fill(self, fields: list[Field], *, nested: bool) -> dict[str, Any]:
        return {
            field.name: self._given(field, nested=nested)
            for field in fields
            if self._version in field.versions
            and field.name not in LEFT_OUT
            and not (self._version in field.tagged and self._random.random() < 0.7)
        }

    def _given(self, field: Field, *, nested: bool) -> Any:
        draw = self._random
        may_be_null = self._version in field.nullable
        if may_be_null and field.type != "records" and draw.random() < 0.15:
            return None
        if not field.is_array:
            if field.is_struct:
                return self._fill(self._structs[field.type], nested=True)
            given = self._one(field)
            return self._default(field) if given is None and not may_be_null else given
        may_be_empty = not nested and (self._api, field.name) not in NEVER_EMPTY
        count = draw.choice((0, 1, 1, 2, 2, 3) if may_be_empty else (1, 1, 2))
        if field.is_struct:
            inner = self._structs[field.element_type]
            listed: list[Any] = [self._fill(inner, nested=True) for _ in range(count)]
        else:
            listed = [self._one(field) for _ in range(count)]
        return _without_repeats(listed)

    def _one(self, field: Field) -> Any:
        if (self._api, field.name) == ("Metadata", "Name") and self._version < FIRST_THAT_CREATES_NOTHING:
            return self._random.choice(("t", "u"))
        choices = BY_API.get((self._api, field.name)) or BY_FIELD.get(field.name) or BY_TYPE[field.element_type]
        return self._random.choice(choices)

    def _default(self, field: Field) -> Any:
        return BY_TYPE[field.element_type][0]


WHO = (
    *("Name", "Topic", "TopicName", "TopicId", "PartitionIndex", "Partition", "Index", "TransactionalId", "GroupId"),
    *("ResourceName", "MemberId", "EntityType", "Entity"),
)
"""What a repeated element is known by."""


def _without_repeats(listed: list[Any]) -> list[Any]:
    """What is named twice is for the scripts: Kafka's hash maps merge it in ways that differ from API to API."""
    kept: dict[str, Any] = {}
    for item in listed:
        named = isinstance(item, dict)
        name = next((item[key] for key in WHO if key in item), item) if named else item
        kept.setdefault(str(name), item)
    return list(kept.values())
