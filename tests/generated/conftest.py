"""Owns: what the tests of the wire share: specs, interpreter, peers, seed. Must never know: one message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from codegen.spec import Message, read_folder
from tests.generated.interpreter import Interpreter
from tests.generated.java_peer import JavaPeer
from tests.peers import PeerMissingError, skip_or_fail

SPECS = Path(__file__).parents[2] / "specs" / "messages"


@pytest.fixture(scope="session")
def messages() -> list[Message]:
    """Every message of the specs that has a version."""
    return [message for message in read_folder(SPECS) if message.valid]


@pytest.fixture(scope="session")
def interpreter(messages: list[Message]) -> Interpreter:
    return Interpreter(messages)


@pytest.fixture(scope="session")
def seed() -> int:
    """Decides every made-up value. Failures print it; KAFKA_TEST_SEED sets it, to try others or to repeat one."""
    return int(os.environ.get("KAFKA_TEST_SEED", "1"))


@pytest.fixture(scope="session")
def java() -> Iterator[JavaPeer]:
    """Apache Kafka's own classes, two releases of them; skips, and says why, where there is no Java."""
    try:
        peer = JavaPeer()
    except PeerMissingError as missing:
        skip_or_fail(missing)
        raise
    with peer:
        yield peer
