"""Which clients there are: how the driver of each is started and what has to be installed for it.

Owns: the list of clients. Must never know: the tests.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

from tests.peers import CHECKOUT, PeerMissingError, jvm

HERE = CHECKOUT / "tests" / "clients"
GO_BINARY = CHECKOUT / ".cache" / "go" / "franz_driver"


@dataclass(frozen=True)
class Client:
    """`command` raises PeerMissingError when the client is not installed. `marker` is the runtime's pytest marker.

    old: a client that takes the broker for one of an older release and speaks the versions and the message formats of
    that time, which is how very old clients are tested without installing them.
    """

    name: str
    command: Callable[[], list[str]]
    marker: str | None = None
    old: bool = False


def _python(module: str, needs: str, *options: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        if importlib.util.find_spec(needs) is None:
            raise PeerMissingError(f"the Python package {needs} is not installed; `make test` installs it")
        return [sys.executable, "-m", f"tests.clients.drivers.{module}", *options]

    return command


def _kcat() -> list[str]:
    if shutil.which("kcat") is None:
        raise PeerMissingError("no `kcat` on PATH; run `make peers`")
    return [sys.executable, "-m", "tests.clients.drivers.kcat"]


def _node(script: str, package: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        node = shutil.which("node")
        if node is None:
            raise PeerMissingError("no `node` on PATH; install Node.js 18 or newer")
        if not (HERE / "node" / "node_modules" / package).is_dir():
            raise PeerMissingError(f"the npm package {package} is not installed; run `make peers`")
        return [node, str(HERE / "node" / script)]

    return command


def _java(version: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        classes = jvm.program_classes(version)
        return [
            *(jvm.java(), *jvm.SHORT_LIVED, *jvm.QUIET),
            *("-cp", f"{classes}:{jvm.class_path(version)}", "Driver"),
        ]

    return command


def _go() -> list[str]:
    if not GO_BINARY.exists():
        raise PeerMissingError("the franz-go driver is not built; run `make peers` (it needs Go)")
    return [str(GO_BINARY)]


CLIENTS = (
    Client("confluent-kafka", _python("confluent", "confluent_kafka")),
    Client("aiokafka", _python("aio", "aiokafka")),
    Client("kafka-python", _python("pure", "kafka")),
    Client("kcat", _kcat),
    Client("KafkaJS", _node("kafkajs.mjs", "kafkajs"), "node"),
    Client("kafka-node", _node("kafka_node.mjs", "kafka-node"), "node"),
    Client("Java 4.4", _java(jvm.NEWEST), "jvm"),
    Client("Java 2.8", _java(jvm.OLD_CLIENT), "jvm"),
    Client("franz-go", _go, "golang"),
    Client("librdkafka as to 0.9.0", _python("confluent", "confluent_kafka", "--as", "0.9.0"), old=True),
    Client("librdkafka as to 0.10.2", _python("confluent", "confluent_kafka", "--as", "0.10.2"), old=True),
    Client("kafka-python as to 0.9", _python("pure", "kafka", "--as", "0.9"), old=True),
    Client("kafka-python as to 0.10.2", _python("pure", "kafka", "--as", "0.10.2"), old=True),
    Client("kafka-python as to 1.0", _python("pure", "kafka", "--as", "1.0"), old=True),
)
