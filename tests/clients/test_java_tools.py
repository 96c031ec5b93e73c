"""The command line tools that come with Apache Kafka, newest and old, work on our broker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.clients.conftest import Admin, new_topic, unique
from tests.clients.hanging import hang
from tests.clients.tools import Tools
from tests.peers import PeerMissingError, jvm, skip_or_fail

pytestmark = pytest.mark.jvm


@pytest.fixture(scope="module", params=[jvm.NEWEST_TOOLS, jvm.OLD_CLIENT])
def tools(request: pytest.FixtureRequest, broker: str) -> Iterator[Tools]:
    try:
        running = Tools(request.param, broker)
    except PeerMissingError as missing:
        skip_or_fail(missing)
        raise
    yield running
    running.close()


@pytest.mark.feature("topics")
def test_topics_are_created_described_changed_and_deleted(tools: Tools) -> None:
    topic = unique("tool-topics")

    tools.run("topics", "--create", "--topic", topic, "--partitions", "3", "--config", "retention.ms=7200000")
    described = tools.run("topics", "--describe", "--topic", topic)
    tools.run("topics", "--alter", "--topic", topic, "--partitions", "5")
    grown = tools.run("topics", "--describe", "--topic", topic)
    tools.run("topics", "--delete", "--topic", topic)

    assert re.search(r"PartitionCount: 3\s+ReplicationFactor: 1", described)
    assert "retention.ms=7200000" in described
    assert len(re.findall(r"Leader: \d+\s+Replicas: \d+\s+Isr: \d+", described)) == 3
    assert "PartitionCount: 5" in grown
    assert topic not in tools.run("topics", "--list").split()


@pytest.mark.feature("topics")
def test_a_topic_that_exists_is_refused_with_kafkas_words(tools: Tools, admin: Admin) -> None:
    topic = new_topic(admin, "tool-twice")
    ended = tools.end("topics", "--create", "--topic", topic, "--partitions", "1")
    assert ended.exit == 1
    assert f"Topic '{topic}' already exists." in ended.stdout + ended.stderr


@pytest.mark.feature("console")
def test_the_console_consumer_prints_what_the_console_producer_was_given(tools: Tools, admin: Admin) -> None:
    topic = new_topic(admin, "tool-console", partitions=1)
    # The producer reads headers since 3.2 (KIP-798).
    lines = [("" if tools.old else f"n:{i},of:console\t") + f"key-{i}\tvalue {i} äöü" for i in range(5)]
    properties = ["parse.key=true", *([] if tools.old else ["parse.headers=true"])]
    given, shown = ("--property", "--property") if tools.old else ("--reader-property", "--formatter-property")

    tools.run(
        *("console-producer", "--topic", topic, "--compression-codec", "zstd"),
        *(part for each in properties for part in (given, each)),
        stdin="".join(f"{line}\n" for line in lines),
    )
    printed = tools.run(
        *("console-consumer", "--topic", topic, "--from-beginning", "--max-messages", "5", "--timeout-ms", "15000"),
        *(shown, "print.key=true", shown, f"print.headers={str(not tools.old).lower()}"),
    )

    assert printed.splitlines() == lines


@pytest.mark.feature("consumer-groups")
def test_a_group_shows_its_lag_is_reset_and_deleted(tools: Tools, admin: Admin) -> None:
    topic, group = new_topic(admin, "tool-groups", partitions=1), unique("tool-group")
    tools.run("console-producer", "--topic", topic, stdin="a\nb\nc\n")
    tools.run(
        *("console-consumer", "--topic", topic, "--group", group, "--from-beginning"),
        *("--max-messages", "3", "--timeout-ms", "15000"),
    )
    tools.run("console-producer", "--topic", topic, stdin="d\ne\n")

    described = tools.run("consumer-groups", "--describe", "--group", group)
    state = tools.run("consumer-groups", "--describe", "--group", group, "--state")
    reset = tools.run(
        *("consumer-groups", "--reset-offsets", "--group", group, "--topic", topic),
        *("--to-offset", "1", "--execute"),
    )
    again = tools.run(
        *("console-consumer", "--topic", topic, "--group", group, "--max-messages", "4", "--timeout-ms", "15000"),
    )
    listed = tools.run("consumer-groups", "--list")
    tools.run("consumer-groups", "--delete", "--group", group)

    assert re.search(rf"{group}\s+{topic}\s+0\s+3\s+5\s+2\s", described), "committed 3, end 5, lag 2"
    assert re.search(r"Empty\s+0", state)
    assert re.search(rf"{group}\s+{topic}\s+0\s+1\b", reset)
    assert again.split() == ["b", "c", "d", "e"]
    assert group in listed.split()
    assert group not in tools.run("consumer-groups", "--list").split()


@pytest.mark.feature("configs")
def test_topic_configs_are_set_shown_and_removed(tools: Tools, admin: Admin) -> None:
    topic = new_topic(admin, "tool-configs")
    entity = ("--entity-type", "topics", "--entity-name", topic)

    tools.run("configs", *entity, "--alter", "--add-config", "max.message.bytes=2000000,cleanup.policy=compact")
    changed = tools.run("configs", *entity, "--describe")
    tools.run("configs", *entity, "--alter", "--delete-config", "cleanup.policy")
    everything = tools.run("configs", *entity, "--describe", "--all")

    assert "max.message.bytes=2000000" in changed
    assert "cleanup.policy=compact" in changed
    assert "retention.ms" not in changed, "only what differs from the default"
    assert "cleanup.policy=delete" in everything
    assert "retention.ms=604800000" in everything


@pytest.mark.feature("configs")
def test_the_brokers_own_configs_are_shown(tools: Tools, admin: Admin) -> None:
    (node,) = admin.list_topics(timeout=5).brokers
    shown = tools.run("configs", "--entity-type", "brokers", "--entity-name", str(node), "--describe", "--all")
    assert re.search(r"\bnum\.partitions=\d+", shown)
    assert re.search(r"\bmessage\.max\.bytes=1048588", shown)


@pytest.mark.feature("get-offsets")
def test_offsets_are_shown_and_records_deleted(tools: Tools, admin: Admin, tmp_path: Path) -> None:
    topic = new_topic(admin, "tool-offsets", partitions=1)
    tools.run("console-producer", "--topic", topic, stdin="a\nb\nc\n")
    before = {"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 2}]}
    (tmp_path / "before.json").write_text(json.dumps(before))

    deleted = tools.run("delete-records", "--offset-json-file", str(tmp_path / "before.json"))

    assert f"partition: {topic}-0\tlow_watermark: 2" in deleted
    assert tools.run("get-offsets", "--topic", topic, "--time", "-2").split() == [f"{topic}:0:2"]
    assert tools.run("get-offsets", "--topic", topic, "--time", "-1").split() == [f"{topic}:0:3"]


@pytest.mark.feature("api versions")
def test_every_served_version_is_usable_for_the_tools_own_client(tools: Tools) -> None:
    printed = tools.run("broker-api-versions")
    for api in ("Produce", "Fetch", "ListOffsets", "Metadata", "OffsetCommit", "JoinGroup", "CreateTopics"):
        assert re.search(rf"\b{api}\(\d+\): \d+ to \d+ \[usable: \d+\]", printed), api


@pytest.mark.feature("perf, verifiable")
def test_the_performance_tools_move_every_record(tools: Tools, admin: Admin) -> None:
    topic = new_topic(admin, "tool-perf")
    written = tools.run(
        *("producer-perf", "--topic", topic, "--num-records", "2000", "--record-size", "200", "--throughput", "-1")
    )
    read = tools.run("consumer-perf", "--topic", topic, "--messages", "2000", "--timeout", "15000")
    assert re.search(r"^2000 records sent", written, re.MULTILINE)
    assert re.search(r", 2000, ", read), "the column of messages read"


@pytest.mark.feature("perf, verifiable")
def test_the_verifiable_tools_account_for_every_record(tools: Tools, admin: Admin) -> None:
    topic, group = new_topic(admin, "tool-verifiable"), unique("tool-verifiable")
    sent = _events(tools.run_alone("verifiable-producer", "--topic", topic, "--max-messages", "20", "--acks", "-1"))
    read = _events(tools.run("verifiable-consumer", "--topic", topic, "--group-id", group, "--max-messages", "20"))
    assert sum(each["name"] == "producer_send_success" for each in sent) == 20
    assert sum(each["count"] for each in read if each["name"] == "records_consumed") == 20
    assert any(each["name"] == "offsets_committed" and each["success"] for each in read)


@pytest.mark.feature("log-dirs, features")
def test_log_dirs_tell_the_size_of_a_partition(tools: Tools, admin: Admin) -> None:
    topic = new_topic(admin, "tool-log-dirs", partitions=1)
    tools.run("console-producer", "--topic", topic, stdin="a\nb\n")
    printed = tools.run("log-dirs", "--describe", "--topic-list", topic)
    (described,) = (json.loads(line) for line in printed.splitlines() if line.startswith("{"))
    ((directory,),) = (list(broker["logDirs"]) for broker in described["brokers"])
    (partition,) = directory["partitions"]
    assert directory["error"] is None
    assert partition["partition"] == f"{topic}-0"
    assert partition["size"] > 0


@pytest.mark.feature("log-dirs, features")
def test_features_are_described(tools: Tools) -> None:
    if tools.old:
        assert "Epoch: " in tools.run("features", "--describe")
    else:
        assert re.search(r"Feature: metadata\.version\s", tools.run("features", "describe"))


@pytest.mark.feature("transactions")
def test_an_open_transaction_is_listed_and_described(tools: Tools, admin: Admin, broker: str) -> None:
    if tools.old:
        pytest.skip("not in the client: the tool came with 3.0")
    topic, name = new_topic(admin, "tool-transactions", partitions=1), unique("tool-transaction")
    producer = Producer({"bootstrap.servers": broker, "broker.address.family": "v4", "transactional.id": name})
    producer.init_transactions(15)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(15)

    listed = tools.run("transactions", "list")
    described = tools.run("transactions", "describe", "--transactional-id", name)
    producers = tools.run("transactions", "describe-producers", "--topic", topic, "--partition", "0")
    producer.abort_transaction(15)

    assert re.search(rf"^{name}\s+\d+\s+\d+\s+Ongoing", listed, re.MULTILINE)
    assert re.search(rf"Ongoing\s.*{topic}-0", described)
    assert re.search(r"^\d+\s+0\s", producers, re.MULTILINE), "a producer id with epoch 0"


@pytest.mark.feature("transactions")
def test_a_hanging_transaction_is_found_and_aborted(tools: Tools, admin: Admin, broker: str) -> None:
    if tools.old:
        pytest.skip("not in the client: the tool came with 3.0")
    topic = new_topic(admin, "tool-hanging", partitions=1)
    producer_id = hang(broker, topic)
    where = ("--topic", topic, "--partition", "0")
    search = ("transactions", "find-hanging", "--topic", topic, "--max-transaction-timeout", "0")

    found = tools.run(*search)
    wrong = tools.end("transactions", "abort", *where, "--start-offset", "7")
    tools.run("transactions", "abort", *where, "--start-offset", "0")
    producers = tools.run("transactions", "describe-producers", *where)

    assert re.search(rf"^{topic}\s+0\s+{producer_id}\s+0\s+-1\s+0\s", found, re.MULTILINE), "it begins at offset 0"
    assert wrong.exit == 1
    assert "Could not find any open transactions starting at offset 7" in wrong.stderr
    assert re.search(rf"^{producer_id}\s+0\s+0\s.*None", producers, re.MULTILINE), "nothing is open any more"
    assert topic not in tools.run(*search)


def _events(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
