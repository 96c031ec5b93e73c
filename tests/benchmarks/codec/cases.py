"""The eight messages of the codec benchmark, as plain values.

Owns: which messages are measured and how they are filled.
Must never know: any codec. Each library's adapter turns these values into its own objects.

Names and shapes are those of Kafka's schemas in snake_case: a struct is a dict, an array a list, a uuid sixteen bytes,
a duration an int of milliseconds. A field left out has its schema default, so every library is given the same message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TOPIC_COUNT = 100
PARTITION_COUNT = 12
API_COUNT = 60


@dataclass(frozen=True, slots=True)
class Case:
    """One message of one version. `api` is the schema name without Request or Response."""

    api: str
    kind: str
    version: int
    note: str
    fields: dict[str, Any]

    @property
    def name(self) -> str:
        return self.api + self.kind.capitalize()

    @property
    def label(self) -> str:
        return f"{self.name} v{self.version} ({self.note})"


def topic_name(number: int) -> str:
    return f"orders.eu-{number:03}"


def topic_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def api_versions_response() -> Case:
    keys = [{"api_key": key, "min_version": 0, "max_version": key % 18} for key in range(API_COUNT)]
    return Case("ApiVersions", "response", 3, "60 APIs", {"api_keys": keys})


def metadata_response() -> Case:
    def partition(index: int) -> dict[str, Any]:
        return {
            "partition_index": index,
            "leader_id": index % 3,
            "leader_epoch": 7,
            "replica_nodes": [0, 1, 2],
            "isr_nodes": [0, 1, 2],
        }

    def topic(number: int) -> dict[str, Any]:
        partitions = [partition(index) for index in range(PARTITION_COUNT)]
        return {"name": topic_name(number), "topic_id": topic_id(number + 1), "partitions": partitions}

    fields = {
        "brokers": [{"node_id": node, "host": f"broker-{node}.example", "port": 9092} for node in range(3)],
        "cluster_id": "kTh3b7nqR2yVZ8lq0uDSWg",
        "controller_id": 1,
        "topics": [topic(number) for number in range(TOPIC_COUNT)],
    }
    return Case("Metadata", "response", 12, "100 topics x 12 partitions", fields)


def metadata_request() -> Case:
    topics = [{"topic_id": bytes(16), "name": topic_name(number)} for number in range(TOPIC_COUNT)]
    return Case("Metadata", "request", 12, "100 topics", {"topics": topics, "allow_auto_topic_creation": True})


def produce_request() -> Case:
    partitions = [{"index": index, "records": bytes(16 * 1024)} for index in range(10)]
    topics = [{"name": topic_name(0), "partition_data": partitions}]
    return Case("Produce", "request", 9, "10 x 16 KiB", {"acks": -1, "timeout_ms": 30_000, "topic_data": topics})


def fetch_request() -> Case:
    def topic(number: int) -> dict[str, Any]:
        partition = {
            "partition": number % PARTITION_COUNT,
            "current_leader_epoch": 7,
            "fetch_offset": 1_000_000 + number,
            "partition_max_bytes": 1 << 20,
        }
        return {"topic": topic_name(number), "partitions": [partition]}

    fields = {
        "max_wait_ms": 500,
        "min_bytes": 1,
        "max_bytes": 50 << 20,
        "topics": [topic(number) for number in range(TOPIC_COUNT)],
    }
    return Case("Fetch", "request", 12, "100 partitions", fields)


def fetch_response() -> Case:
    def topic(number: int) -> dict[str, Any]:
        partition = {
            "partition_index": number % PARTITION_COUNT,
            "high_watermark": 1_000_010 + number,
            "last_stable_offset": 1_000_010 + number,
            "log_start_offset": 0,
            "aborted_transactions": [],
            "records": bytes(1024),
        }
        return {"topic": topic_name(number), "partitions": [partition]}

    return Case("Fetch", "response", 12, "100 x 1 KiB", {"responses": [topic(number) for number in range(TOPIC_COUNT)]})


def offset_commit_request() -> Case:
    def topic(number: int) -> dict[str, Any]:
        partition = {
            "partition_index": number % PARTITION_COUNT,
            "committed_offset": 1_000_000 + number,
            "committed_leader_epoch": 7,
            "committed_metadata": "",
        }
        return {"name": topic_name(number), "partitions": [partition]}

    fields = {
        "group_id": "billing",
        "generation_id_or_member_epoch": 5,
        "member_id": "billing-consumer-1-5f2b1a2e",
        "topics": [topic(number) for number in range(TOPIC_COUNT)],
    }
    return Case("OffsetCommit", "request", 8, "100 partitions", fields)


def join_group_response() -> Case:
    members = [{"member_id": f"billing-consumer-{number}-5f2b1a2e", "metadata": bytes(60)} for number in range(20)]
    fields = {
        "generation_id": 5,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "leader": members[0]["member_id"],
        "member_id": members[0]["member_id"],
        "members": members,
    }
    return Case("JoinGroup", "response", 9, "20 members", fields)


def all_cases() -> list[Case]:
    return [
        api_versions_response(),
        metadata_response(),
        metadata_request(),
        produce_request(),
        fetch_request(),
        fetch_response(),
        offset_commit_request(),
        join_group_response(),
    ]
