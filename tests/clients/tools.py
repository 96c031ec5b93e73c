"""Kafka's own command line tools, run one after another in one JVM by tests/clients/java/Tools.java.

Owns: that process and the names that a tool has in each release. Must never know: what a tool prints.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from tests.peers import jvm

# Tools that moved from Scala to Java have another class name in newer releases.
CLASSES = {
    "acls": ("org.apache.kafka.tools.AclCommand", "kafka.admin.AclCommand"),
    "client-metrics": ("org.apache.kafka.tools.ClientMetricsCommand", ""),
    "leader-election": ("org.apache.kafka.tools.LeaderElectionCommand", "kafka.admin.LeaderElectionCommand"),
    "metadata-quorum": ("org.apache.kafka.tools.MetadataQuorumCommand", ""),
    "reassign-partitions": (
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
        "kafka.admin.ReassignPartitionsCommand",
    ),
    "features": ("org.apache.kafka.tools.FeatureCommand", "kafka.admin.FeatureCommand"),
    "topics": ("org.apache.kafka.tools.TopicCommand", "kafka.admin.TopicCommand"),
    "configs": ("kafka.admin.ConfigCommand", "kafka.admin.ConfigCommand"),
    "consumer-groups": (
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "kafka.admin.ConsumerGroupCommand",
    ),
    "console-producer": ("org.apache.kafka.tools.ConsoleProducer", "kafka.tools.ConsoleProducer"),
    "console-consumer": ("org.apache.kafka.tools.consumer.ConsoleConsumer", "kafka.tools.ConsoleConsumer"),
    "get-offsets": ("org.apache.kafka.tools.GetOffsetShell", "kafka.tools.GetOffsetShell"),
    "delete-records": ("org.apache.kafka.tools.DeleteRecordsCommand", "kafka.admin.DeleteRecordsCommand"),
    "log-dirs": ("org.apache.kafka.tools.LogDirsCommand", "kafka.admin.LogDirsCommand"),
    "transactions": ("org.apache.kafka.tools.TransactionsCommand", ""),
    "producer-perf": ("org.apache.kafka.tools.ProducerPerformance", "org.apache.kafka.tools.ProducerPerformance"),
    "consumer-perf": ("org.apache.kafka.tools.ConsumerPerformance", "kafka.tools.ConsumerPerformance"),
    "verifiable-producer": ("org.apache.kafka.tools.VerifiableProducer", "org.apache.kafka.tools.VerifiableProducer"),
    "verifiable-consumer": ("org.apache.kafka.tools.VerifiableConsumer", "org.apache.kafka.tools.VerifiableConsumer"),
    "broker-api-versions": ("org.apache.kafka.tools.BrokerApiVersionsCommand", "kafka.admin.BrokerApiVersionsCommand"),
}


@dataclass(frozen=True)
class Ended:
    """How a run of a tool ended."""

    exit: int
    stdout: str
    stderr: str


class Tools:
    """`run("topics", "--list")` runs kafka-topics.sh of that release against the broker."""

    def __init__(self, version: str, bootstrap: str) -> None:
        self.version = version
        self.name = f"tools {version}"
        self.client = f"Apache Kafka's tools {version}"
        self._bootstrap = bootstrap
        classes = jvm.program_classes(version)
        self._process = subprocess.Popen(
            [
                *(jvm.java(), *jvm.SHORT_LIVED, *jvm.QUIET),
                *("-cp", f"{classes}:{jvm.class_path(version)}", "Tools"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    @property
    def old(self) -> bool:
        return self.version == jvm.OLD_CLIENT

    def run(self, tool: str, *arguments: str, stdin: str = "") -> str:
        """What the tool printed. Raises AssertionError when it did not end with 0."""
        ended = self.end(tool, *arguments, stdin=stdin)
        assert ended.exit == 0, f"{tool} ended with {ended.exit}:\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def run_alone(self, tool: str, *arguments: str) -> str:
        """The same in a JVM of its own, for a tool that sends its records only while the JVM goes down."""
        command = jvm.command(self.version, CLASSES[tool][self.old], "--bootstrap-server", self._bootstrap, *arguments)
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"{tool} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def end(self, tool: str, *arguments: str, stdin: str = "") -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        address = ["--broker-list" if self.old and tool == "get-offsets" else "--bootstrap-server", self._bootstrap]
        if tool == "producer-perf":
            address = ["--producer-props", f"bootstrap.servers={self._bootstrap}", "linger.ms=5"]
        request = {
            "tool": CLASSES[tool][self.old],
            "arguments": [*address, *arguments],
            "stdin": stdin,
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(5)
