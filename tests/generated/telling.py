"""Owns: values that tell a reader something - one plausible message for any schema and version.

Must never know: how a value is encoded. A field's value comes from its name where a name tells enough, else from its
type.
"""

from __future__ import annotations

from codegen.spec import Field, Message
from tests.generated.interpreter import Value

# One record, key "k", value "hello", in a batch of format v2 at base offset 42.
BATCH = bytes.fromhex(
    "000000000000002a 0000003e 00000000 02 36ff4dc3 0000 00000000 0000018bcfe56800 0000018bcfe56800"
    "ffffffffffffffff ffff ffffffff 00000001 18 00 00 00 02 6b 0a 68656c6c6f 00"
)

ORDERS_ID = bytes.fromhex("0b5c0f5a3d1e4c0f9a7b6c5d4e3f2a1b")

BY_NAME: dict[str, Value] = {
    "Topic": "orders",
    "TopicName": "orders",
    "TopicNames": ["orders"],
    "ResourceName": "orders",
    "TopicId": ORDERS_ID,
    "GroupId": "billing",
    "Groups": ["billing"],
    "GroupsNames": ["billing"],
    "Key": "billing",
    "CoordinatorKeys": ["billing"],
    "MemberId": "consumer-1-4f2a",
    "Leader": "consumer-1-4f2a",
    "GroupInstanceId": "host-7",
    "ProtocolType": "consumer",
    "ProtocolName": "range",
    "ProtocolData": "range",
    "Generation": 5,
    "GenerationId": 5,
    "GenerationIdOrMemberEpoch": 5,
    "SessionTimeoutMs": 45_000,
    "RebalanceTimeoutMs": 300_000,
    "TransactionalId": None,
    "ClientId": "rdkafka",
    "ClientHost": "/127.0.0.1",
    "ClientSoftwareName": "librdkafka",
    "ClientSoftwareVersion": "2.6.0",
    "ClusterId": "NzY1NDMyMTA5ODc2NTQzMg",
    "Host": "127.0.0.1",
    "Port": 9092,
    "NodeId": 1,
    "BrokerId": 1,
    "LeaderId": 1,
    "ControllerId": 1,
    "ReplicaId": -1,
    "ReplicaNodes": [1],
    "IsrNodes": [1],
    "BrokerIds": [1],
    "LeaderEpoch": 3,
    "CurrentLeaderEpoch": 3,
    "CommittedLeaderEpoch": 3,
    "PartitionIndex": 1,
    "Partition": 1,
    "PartitionIndexes": [0, 1],
    "Partitions": [0, 1],
    "NumPartitions": 2,
    "Count": 4,
    "ReplicationFactor": 1,
    "Acks": -1,
    "TimeoutMs": 30_000,
    "MaxWaitMs": 500,
    "MinBytes": 1,
    "MaxBytes": 52_428_800,
    "PartitionMaxBytes": 1_048_576,
    "SessionEpoch": 1,
    "SessionId": 77,
    "FetchOffset": 42,
    "HighWatermark": 43,
    "LastStableOffset": 43,
    "LogStartOffset": 0,
    "LowWatermark": 10,
    "BaseOffset": 42,
    "Offset": 42,
    "EndOffset": 43,
    "CommittedOffset": 42,
    "CommittedMetadata": "",
    "Metadata": "",
    "Timestamp": -1,
    "LogAppendTimeMs": -1,
    "ProducerId": 4000,
    "ProducerEpoch": 0,
    "CorrelationId": 7,
    "Records": BATCH,
    "ErrorCode": 0,
    "ErrorMessage": None,
    "ThrottleTimeMs": 0,
    "ApiKey": 1,
    "MinVersion": 4,
    "MaxVersion": 17,
    "ClusterAuthorizedOperations": -2_147_483_648,
    "TopicAuthorizedOperations": -2_147_483_648,
    "GroupState": "Stable",
    "GroupType": "classic",
    "StatesFilter": ["Stable"],
    "TypesFilter": ["classic"],
    "Reason": "the consumer is being closed",
    "ConfigName": "retention.ms",
    "Value": "604800000",
    "ResourceType": 2,
    "ConfigurationKeys": ["retention.ms"],
}
"""What a field of that name holds in an ordinary conversation."""

SUBSCRIPTION = bytes.fromhex("0000 00000001 0006 6f7264657273 ffffffff")
ASSIGNMENT = bytes.fromhex("0000 00000001 0006 6f7264657273 00000002 00000000 00000001 ffffffff")

BY_OWNER: dict[str, Value] = {
    "JoinGroupRequestProtocol.Name": "range",
    "JoinGroupRequestProtocol.Metadata": SUBSCRIPTION,
    "JoinGroupResponseMember.Metadata": SUBSCRIPTION,
    "DescribedGroupMember.MemberMetadata": SUBSCRIPTION,
    "DescribedGroupMember.MemberAssignment": ASSIGNMENT,
    "SyncGroupRequestAssignment.Assignment": ASSIGNMENT,
    "SyncGroupResponse.Assignment": ASSIGNMENT,
    "CreatableTopicConfigs.Name": "retention.ms",
    "CreatableTopicConfig.Name": "retention.ms",
    "AlterableConfig.Name": "retention.ms",
    "DescribeConfigsResourceResult.Name": "retention.ms",
}
"""The same for names that mean one thing here and another there."""


def telling(message: Message, version: int) -> dict[str, Value]:
    """A plausible message: arrays have one element, tags stay away, what may be null and has no name here is null."""
    structs = dict(message.structs())

    def struct(owner: str, fields: list[Field]) -> dict[str, Value]:
        return {item.name: field(owner, item) for item in fields if version in item.versions}

    def field(owner: str, item: Field) -> Value:
        nullable = version in item.nullable
        if item.is_struct and version in item.tagged and not item.is_array:
            return struct_default(structs[item.type])
        if version in item.tagged and item.is_array:
            return []
        if item.is_array:
            known = BY_NAME.get(item.name)
            if item.is_struct:
                return [struct(item.element_type, structs[item.element_type])]
            fits = isinstance(known, list) and all(
                isinstance(one, str) == (item.element_type == "string") for one in known
            )
            return known if fits else []
        if item.is_struct:
            return None if nullable else struct(item.type, structs[item.type])
        known = BY_OWNER.get(f"{owner}.{item.name}", BY_NAME.get(item.name, ...))
        if known is ... or not _fits(item, known, nullable):
            return None if nullable else _by_type(item)
        return known

    def struct_default(fields: list[Field]) -> dict[str, Value]:
        return {item.name: _by_type(item) for item in fields if version in item.versions}

    return struct(message.name, message.fields)


def _fits(item: Field, known: Value, nullable: bool) -> bool:
    match item.type:
        case "string":
            return isinstance(known, str) or (known is None and nullable)
        case "bytes" | "records":
            return isinstance(known, bytes)
        case "uuid":
            return isinstance(known, bytes)
        case "bool" | "float64":
            return False
        case _:
            return isinstance(known, int)


def _by_type(item: Field) -> Value:
    if item.default not in (None, "null"):
        assert item.default is not None
        if item.type == "bool":
            return item.default == "true"
        return item.default if item.type == "string" else int(item.default, 0)
    match item.type:
        case "string":
            return "orders" if item.name == "Name" else ""
        case "bytes" | "records":
            return b""
        case "uuid":
            return bytes(16)
        case "bool":
            return False
        case "float64":
            return 0.0
        case _:
            return 0
