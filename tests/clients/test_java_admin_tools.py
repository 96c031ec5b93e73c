"""Apache Kafka's tools that administer a cluster: elections, moves, quotas, credentials, quorum, client metrics."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_server.testing.broker import threaded_broker
from tests.clients.conftest import Admin, new_topic, unique
from tests.clients.tools import Tools
from tests.peers import PeerMissingError, jvm, skip_or_fail

pytestmark = pytest.mark.jvm


@pytest.fixture(scope="module")
def tools(broker: str) -> Iterator[Tools]:
    try:
        running = Tools(jvm.NEWEST_TOOLS, broker)
    except PeerMissingError as missing:
        skip_or_fail(missing)
        raise
    yield running
    running.close()


@pytest.fixture
def node(admin: Admin) -> int:
    (found,) = admin.list_topics(timeout=5).brokers
    return int(found)


@pytest.mark.feature("leader-election")
def test_the_preferred_leader_leads_already(tools: Tools, admin: Admin) -> None:
    topic = new_topic(admin, "tool-election", partitions=1)

    printed = tools.run("leader-election", "--election-type", "preferred", "--topic", topic, "--partition", "0")
    everything = tools.run("leader-election", "--election-type", "preferred", "--all-topic-partitions")

    assert f"Valid replica already elected for partitions {topic}-0" in printed
    assert "Error" not in everything


@pytest.mark.feature("reassign-partitions")
def test_moves_are_listed_planned_carried_out_and_verified(
    tools: Tools, admin: Admin, node: int, tmp_path: Path
) -> None:
    topic = new_topic(admin, "tool-moves", partitions=2)
    plan = tmp_path / "plan.json"
    moves = [{"topic": topic, "partition": index, "replicas": [node]} for index in range(2)]
    plan.write_text(json.dumps({"version": 1, "partitions": moves}))

    none = tools.run("reassign-partitions", "--list")
    begun = tools.run("reassign-partitions", "--execute", "--reassignment-json-file", str(plan))
    verified = tools.run("reassign-partitions", "--verify", "--reassignment-json-file", str(plan))

    assert "No partition reassignments found." in none
    assert f"Successfully started partition reassignments for {topic}-0,{topic}-1" in begun
    assert re.search(rf"Reassignment of partition {topic}-0 is completed", verified)


@pytest.fixture
def two_folders(tools: Tools, tmp_path: Path) -> Iterator[tuple[Tools, Path]]:
    """The tools against a broker of their own with the data folders a and b."""
    dirs = f"{tmp_path / 'a'},{tmp_path / 'b'}"
    with threaded_broker(**{"storage": "disk", "log.dirs": dirs}) as own:
        running = Tools(tools.version, own.bootstrap)
        yield running, tmp_path
        running.close()


@pytest.mark.feature("reassign-partitions")
def test_a_partition_moves_to_another_data_folder(two_folders: tuple[Tools, Path]) -> None:
    tools, folder = two_folders
    tools.run("topics", "--create", "--topic", "moves", "--partitions", "1", "--replication-factor", "1")
    (present,) = (path.parent for path in folder.glob("*/moves-0"))
    target = folder / ("b" if present.name == "a" else "a")
    plan = folder / "plan.json"
    moves = [{"topic": "moves", "partition": 0, "replicas": [1], "log_dirs": [str(target)]}]
    plan.write_text(json.dumps({"version": 1, "partitions": moves}))

    begun = tools.run("reassign-partitions", "--execute", "--reassignment-json-file", str(plan))
    deadline = time.monotonic() + 20
    verified = ""
    while "Reassignment of replica moves-0-1 completed successfully" not in verified:
        assert time.monotonic() < deadline, verified
        verified = tools.run("reassign-partitions", "--verify", "--reassignment-json-file", str(plan))
    told = tools.run("log-dirs", "--describe", "--topic-list", "moves")

    assert re.search(r"log directory to .*/[ab] for replica moves-0 with broker 1", begun)
    assert [path.parent for path in folder.glob("*/moves-0")] == [target]
    (described,) = (json.loads(line) for line in told.splitlines() if line.startswith("{"))
    lies = {each["logDir"]: each["partitions"] for each in described["brokers"][0]["logDirs"]}
    assert [(each["partition"], each["isFuture"]) for each in lies[str(target)]] == [("moves-0", False)]
    assert lies[str(present)] == []


@pytest.mark.feature("features")
def test_a_feature_goes_down_and_up_again(two_folders: tuple[Tools, Path]) -> None:
    tools, _ = two_folders

    tools.run("features", "downgrade", "--feature", "transaction.version=1")
    down = tools.run("features", "describe")
    tools.run("features", "upgrade", "--feature", "transaction.version=2")
    up = tools.run("features", "describe")

    assert re.search(r"transaction\.version\s.*FinalizedVersionLevel: 1\s", down)
    assert re.search(r"transaction\.version\s.*FinalizedVersionLevel: 2\s", up)


@pytest.mark.feature("client quotas")
def test_connections_of_an_address_have_a_quota(tools: Tools) -> None:
    address = ("--entity-type", "ips", "--entity-name", "10.1.2.3")

    tools.run("configs", *address, "--alter", "--add-config", "connection_creation_rate=50")
    shown = tools.run("configs", *address, "--describe")
    tools.run("configs", *address, "--alter", "--delete-config", "connection_creation_rate")

    assert re.search(r"ip '10\.1\.2\.3' are .*connection_creation_rate=50", shown)
    assert "connection_creation_rate" not in tools.run("configs", *address, "--describe")


@pytest.mark.feature("client quotas")
def test_quotas_are_set_shown_and_removed(tools: Tools) -> None:
    user, client = unique("tool-user"), unique("tool-client")
    both = ("--entity-type", "users", "--entity-name", user, "--entity-type", "clients", "--entity-name", client)

    tools.run("configs", *both, "--alter", "--add-config", "producer_byte_rate=1048576,request_percentage=200")
    tools.run(
        "configs", "--entity-type", "users", "--entity-default", "--alter", "--add-config", "consumer_byte_rate=1e9"
    )
    shown = tools.run("configs", *both, "--describe")
    default = tools.run("configs", "--entity-type", "users", "--entity-default", "--describe")
    tools.run("configs", *both, "--alter", "--delete-config", "producer_byte_rate,request_percentage")
    tools.run(
        "configs", "--entity-type", "users", "--entity-default", "--alter", "--delete-config", "consumer_byte_rate"
    )

    assert re.search(rf"user-principal '{user}', client-id '{client}' are .*producer_byte_rate=1048576", shown)
    assert "request_percentage=200.0" in shown
    assert "consumer_byte_rate=1.0E9" in default
    assert "producer_byte_rate" not in tools.run("configs", *both, "--describe")


@pytest.mark.feature("SCRAM credentials")
def test_scram_credentials_are_set_shown_and_deleted(tools: Tools) -> None:
    user = ("--entity-type", "users", "--entity-name", unique("tool-scram"))

    tools.run("configs", *user, "--alter", "--add-config", "SCRAM-SHA-256=[iterations=8192,password=secret]")
    shown = tools.run("configs", *user, "--describe")
    tools.run("configs", *user, "--alter", "--delete-config", "SCRAM-SHA-256")

    assert "SCRAM-SHA-256=iterations=8192" in shown
    assert "secret" not in shown
    assert "SCRAM" not in tools.run("configs", *user, "--describe")


@pytest.mark.feature("client metrics")
def test_client_metrics_are_subscribed_listed_and_deleted(tools: Tools) -> None:
    name = unique("tool-watch")

    tools.run(
        *("client-metrics", "--alter", "--name", name, "--metrics", "org.apache.kafka.producer."),
        *("--interval", "30000", "--match", "client_id=nobody"),
    )
    listed = tools.run("client-metrics", "--list")
    described = tools.run("client-metrics", "--describe", "--name", name)
    tools.run("client-metrics", "--delete", "--name", name)

    assert name in listed.split()
    assert "metrics=org.apache.kafka.producer." in described
    assert "interval.ms=30000" in described
    assert name not in tools.run("client-metrics", "--list").split()


@pytest.mark.feature("metadata quorum")
def test_the_quorum_is_described(tools: Tools, node: int) -> None:
    status = tools.run("metadata-quorum", "describe", "--status")
    replication = tools.run("metadata-quorum", "describe", "--replication")

    assert re.search(rf"LeaderId:\s+{node}\b", status)
    assert re.search(rf"^{node}\s.*\bLeader\b", replication, re.MULTILINE)


@pytest.mark.feature("features")
def test_a_feature_cannot_leave_its_level(tools: Tools) -> None:
    ended = tools.end("features", "downgrade", "--feature", "metadata.version=20")

    assert ended.exit == 1
    assert "metadata.version" in ended.stdout + ended.stderr


@pytest.mark.feature("ACLs")
def test_acls_are_refused_in_kafkas_words(tools: Tools) -> None:
    ended = tools.end("acls", "--list")

    assert ended.exit == 1
    assert "SecurityDisabledException" in ended.stdout + ended.stderr
