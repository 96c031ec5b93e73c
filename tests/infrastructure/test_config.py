"""Settings: where they come from, who wins, and what an error says."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_server.config import ConfigError, Given, Settings, load_settings, parse_properties, read_environment
from kafka_server.domain.broker_rules import parse_overrides
from kafka_server.infrastructure.network.listener import Listener


def flag(key: str, text: str) -> Given:
    return Given(key, text, f"flag --{key}")


def from_file(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "server.properties"
    file.write_text(text)
    return load_settings((), environ, file)


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a=1\nb: 2\nc 3\nd", [("a", "1"), ("b", "2"), ("c", "3"), ("d", "")]),
        ("  a = 1  \n\t b\t=\t2", [("a", "1  "), ("b", "2")]),
        ("# no\n! no\n\na=#yes", [("a", "#yes")]),
        ("a=1,\\\n   2,\\\n   3\nb=4", [("a", "1,2,3"), ("b", "4")]),
        ("a=ends in a backslash\\\\\nb=1", [("a", "ends in a backslash\\"), ("b", "1")]),
        ("a\\=b=c", [("a=b", "c")]),
        ("a\\ b=\\u00e9\\t\\z", [("a b", "\u00e9\tz")]),
        ("a==b", [("a", "=b")]),
        ("a=1\r\nb=2\rc=3", [("a", "1"), ("b", "2"), ("c", "3")]),
        ("a=last line goes on\\", [("a", "last line goes on")]),
    ],
)
def test_properties_are_read_by_javas_rules(text: str, entries: list[tuple[str, str]]) -> None:
    assert [(key, value) for key, value, _ in parse_properties(text)] == entries


def test_an_entry_knows_the_line_on_which_it_begins() -> None:
    assert [line for _, _, line in parse_properties("# c\na=1,\\\n2\n\nb=3")] == [2, 5]


def test_variables_spell_dots_underscores_and_dashes() -> None:
    environ = {"KAFKA_NODE_ID": "1", "KAFKA_A__B": "2", "KAFKA_A___B": "3", "OTHER": "4", "KAFKA_HEAP_OPTS": "-Xmx1G"}
    assert {entry.key: entry.text for entry in read_environment(environ)} == {"node.id": "1", "a_b": "2", "a-b": "3"}


def test_flags_win_over_variables_over_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "server.properties"
    file.write_text("node.id=1\nmax.connections=1\nsocket.request.max.bytes=1\n")
    environ = {"KAFKA_NODE_ID": "2", "KAFKA_MAX_CONNECTIONS": "2"}
    settings = load_settings([flag("node.id", "3")], environ, file)
    assert (settings.node_id, settings.connections_max, settings.request_size_max) == (3, 2, 1)
    assert settings.connections_idle_ms_max == 600_000


def test_the_properties_file_that_apache_kafka_ships_is_read_unchanged(tmp_path: Path) -> None:
    settings = from_file(
        tmp_path,
        """
        process.roles=broker,controller
        node.id=7
        controller.quorum.bootstrap.servers=localhost:9093
        listeners=PLAINTEXT://:9092,CONTROLLER://:9093
        inter.broker.listener.name=PLAINTEXT
        advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
        controller.listener.names=CONTROLLER
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
        num.network.threads=3
        socket.send.buffer.bytes=102400
        log.dirs=/tmp/kraft-combined-logs
        num.partitions=1
        offsets.topic.replication.factor=1
        log.retention.hours=168
        """,
    )
    assert settings.node_id == 7
    assert settings.listeners == (Listener("PLAINTEXT", "", 9092),)
    assert settings.advertised["PLAINTEXT"] == ("localhost", 9092)
    assert settings.send_buffer_bytes == 102_400
    assert any("CONTROLLER://:9093 is not opened" in note for note in settings.notes)
    assert settings.broker_texts()["num.network.threads"] == "3"


def test_an_unknown_key_is_accepted_and_reported_with_its_source(tmp_path: Path) -> None:
    settings = from_file(tmp_path, "no.such.key=1", KAFKA_NOR_THIS="2")
    assert (
        "Unknown settings, without effect: no.such.key (server.properties:1), nor.this (variable KAFKA_NOR_THIS)"
        in (settings.notes)
    )


def test_a_key_for_one_listener_is_reported_too_as_long_as_nothing_obeys_it(tmp_path: Path) -> None:
    settings = from_file(tmp_path, "listener.name.internal.max.connections=5")
    assert any("without effect: listener.name.internal.max.connections" in note for note in settings.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num.partitions=abc", r"num.partitions = 'abc' \(server.properties:1\): must be a whole number"),
        ("\nnum.partitions=0", r"num.partitions = '0' \(server.properties:2\): must be at least 1"),
        ("listeners=localhost:9092", "is not of the form NAME://host:port, for example"),
        ("listeners=PLAINTEXT://:70000", "is not of the form NAME://host:port"),
        ("listeners=SSL://:9093", "SSL wants SSL; this version speaks PLAINTEXT only"),
        ("listeners=MINE://:9093", "listener.security.protocol.map has no protocol for MINE"),
        ("listeners=PLAINTEXT://:1,PLAINTEXT://:2", "the listener name PLAINTEXT appears twice"),
        ("listeners=A://:1,B://:1\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT", "appears twice"),
        ("advertised.listeners=OTHER://h:1", "there is no listener OTHER"),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:9092", "no address that a client can connect to"),
        ("advertised.listeners=PLAINTEXT://a:1,PLAINTEXT://b:2", "the listener name PLAINTEXT appears twice"),
        ("advertised.listeners=PLAINTEXT://a:1,plaintext://a:1", "the listener name PLAINTEXT appears twice"),
        ("listener.security.protocol.map=A:TELNET", "is not of the form NAME:PROTOCOL"),
        ("max.connections.per.ip.overrides=ten", "is not of the form host:count"),
        ("max.connections.per.ip=0", "can be 0 only beside max.connections.per.ip.overrides"),
        ("node.id=1\nbroker.id=2", "node.id says 1; they name the same thing"),
        ("storage=tape", "must be one of memory, disk"),
        ("a=\\u12", "is no character"),
    ],
)
def test_an_error_says_key_value_source_and_what_would_be_right(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_file(tmp_path, text)


def test_two_flags_that_set_one_key_are_refused_even_when_they_agree() -> None:
    twice = [flag("ssl.key.password", "hunter2"), Given("ssl.key.password", "hunter2", "flag --override")]
    with pytest.raises(
        ConfigError, match=r"ssl.key.password is given twice, by flag --ssl.key.password and by flag --override"
    ) as caught:
        load_settings(twice)
    assert "hunter2" not in str(caught.value)


def test_in_a_file_the_last_entry_of_a_key_wins_as_in_java_and_a_note_says_so(tmp_path: Path) -> None:
    settings = from_file(tmp_path, "node.id=1\nnum.partitions=3\nnode.id=2")
    assert settings.node_id == 2
    assert settings.notes == ("node.id stands twice: server.properties:1 is overruled by server.properties:3",)


def test_a_password_is_never_shown_in_an_error(tmp_path: Path) -> None:
    settings = from_file(tmp_path, "ssl.key.password=hunter2")
    assert not any("hunter2" in note for note in settings.notes)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the settings file .*absent.properties: No such file"):
        load_settings(file=tmp_path / "absent.properties")


def test_ipv6_listeners_are_written_in_brackets() -> None:
    settings = load_settings([flag("listeners", "PLAINTEXT://[::1]:9092")])
    assert settings.listeners == (Listener("PLAINTEXT", "::1", 9092),)
    assert str(settings.listeners[0]) == "PLAINTEXT://[::1]:9092"


def test_max_connections_overrides_are_pairs_of_host_and_count() -> None:
    assert parse_overrides("10.0.0.1:5, ::1:7,10.0.0.1:6,") == {"10.0.0.1": 6, "::1": 7}
