"""Judged by others: the same filled-in message is the same bytes in kio, kafka-python, Apache Kafka's own classes, the
interpreter and the generated codec, and each reads what the others wrote.

Values are seeded; a failure names the message, the version, the shape and the seed. Where a peer is wrong or different
on purpose, ``DIFFERENCES`` says which message and why; an entry that no longer differs fails too, so the list cannot
rot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from codegen.spec import Message
from tests.generated import ours
from tests.generated.interpreter import Interpreter, Value
from tests.generated.java_peer import RELEASES, JavaPeer, as_java_shows_it
from tests.generated.peers import KafkaPython, Kio, Peer
from tests.generated.values import samples

Case = tuple[int, str, dict[str, Value]]
"""Version, how the value was made, the value."""

DIFFERENCES: dict[tuple[str, str, int], str] = {
    # Share groups were in preview in 3.9: their messages changed without a new version number until 4.0.
    ("3.9.2", "ReadShareGroupStateSummaryResponse", 0): "4.x added LeaderEpoch to version 0, a preview in 3.9",
}
"""Peer, message, version -> why bytes differ although ours are right."""

RENAMED = {
    ("3.9.2", "generationIdOrMemberEpoch"): "generationId",
    ("3.9.2", "replicaEpoch"): "candidateEpoch",
    ("3.9.2", "replicaId"): "candidateId",
    ("3.9.2", "replicaDirectoryId"): "candidateDirectoryId",
}
"""Fields whose name changed between the releases of Kafka; our specs have the newest."""

RENAMED_IN = frozenset({"TxnOffsetCommitRequest", "VoteRequest"})

LEAST_VERSIONS = {"kio": 600, "kafka-python": 450, "4.4.0": 600, "3.9.2": 600}
"""How many pairs of message and version each judge has to judge: a judge that covers nothing finds nothing."""


def cases(message: Message, seed: int, *, unknown_tags: bool = False) -> Iterator[Case]:
    for version in message.valid:
        for where, value in samples(message, version, seed, unknown_tags=unknown_tags):
            yield version, where, value


@pytest.mark.parametrize("peer_name", ["kio", "kafka-python"])
def test_python_peers_write_the_same_bytes_and_read_the_same_values(
    peer_name: str, messages: list[Message], seed: int
) -> None:
    peer: Peer = Kio() if peer_name == "kio" else KafkaPython()
    judged = set()
    for message in messages:
        for version, where, drawn in cases(message, seed):
            if not peer.covers(message, version):
                continue
            judged.add((message.name, version))
            value = peer.fit(message, version, drawn)
            data = ours.encode(message, version, value)
            assert data == peer.encode(message, version, value), where
            assert value == peer.decode(message, version, data), where
            assert value == ours.decode(message, version, data), where
    assert len(judged) >= LEAST_VERSIONS[peer.name]


@pytest.mark.jvm
@pytest.mark.parametrize("release", RELEASES)
def test_apache_kafka_reads_the_same_values_and_writes_the_same_bytes(
    release: str, java: JavaPeer, messages: list[Message], seed: int
) -> None:
    judged, differing = set(), set()
    for message in messages:
        drawn = cases(message, seed, unknown_tags=True)
        asked = [(case, ours.encode(message, case[0], case[2])) for case in drawn]
        verdicts = java.judge(release, message, [(case[0], data) for case, data in asked])
        for ((version, where, value), data), verdict in zip(asked, verdicts, strict=True):
            if verdict.absent:
                continue
            judged.add((message.name, version))
            if (release, message.name, version) in DIFFERENCES:
                if verdict.data != data:
                    differing.add((release, message.name, version))
                continue
            assert verdict.error is None, f"{where}: {verdict.error}"
            assert verdict.data == data, where
            shown = as_java_shows_it(message, version, value)
            if message.name in RENAMED_IN:
                shown = rename(shown, lambda key: RENAMED.get((release, key), key))
            assert verdict.json == shown, where
    assert differing == {key for key in DIFFERENCES if key[0] == release}
    assert len(judged) >= LEAST_VERSIONS[release]


def test_the_interpreter_and_the_generated_codec_agree_on_every_message(
    interpreter: Interpreter, messages: list[Message], seed: int
) -> None:
    for message in messages:
        for version, where, value in cases(message, seed, unknown_tags=True):
            data = interpreter.build(message.name, version, value)
            assert ours.encode(message, version, value) == data, where
            assert ours.decode(message, version, data) == value, where


def rename(shown: Any, name: Callable[[str], str]) -> Any:
    """The same JSON with other keys."""
    if isinstance(shown, dict):
        return {name(key): rename(part, name) for key, part in shown.items()}
    return [rename(part, name) for part in shown] if isinstance(shown, list) else shown


@pytest.mark.jvm
def test_no_version_of_any_message_goes_without_a_judge(
    java: JavaPeer, interpreter: Interpreter, messages: list[Message], seed: int
) -> None:
    peers: list[Peer] = [Kio(), KafkaPython()]
    for message in messages:
        asked = [
            (version, interpreter.build(message.name, version, samples(message, version, seed)[0][1]))
            for version in message.valid
            if not any(peer.covers(message, version) for peer in peers)
        ]
        verdicts = [java.judge(release, message, asked) for release in RELEASES]
        for (version, _), *both in zip(asked, *verdicts, strict=True):
            assert any(verdict.data for verdict in both), f"{message.name} v{version}"
