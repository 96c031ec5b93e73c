"""Owns: the flags of ``kafka-server start`` as one table, and a fast reader for well-formed command lines.
Must never know: click, what a setting does.

Importing click takes 25 ms of the 150 ms that a start may take, so ``start`` only imports it when there is something to
say: ``--help``, or a mistake. Both readers use this table, so they cannot differ in what exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kafka_server.config import Given


@dataclass(slots=True, frozen=True)
class Flag:
    """``key`` is the setting that the flag sets; empty for the few that are more than that."""

    name: str
    metavar: str
    help: str
    key: str = ""
    is_switch: bool = False
    repeats: bool = False


FLAGS: Final = (
    Flag("--listeners", "LIST", "Where to listen, for example PLAINTEXT://127.0.0.1:9092.", "listeners"),
    Flag("--host", "HOST", "Address to listen on, for the one listener PLAINTEXT; default: 127.0.0.1."),
    Flag("--port", "PORT", "Port to listen on, for the one listener PLAINTEXT; 0 takes any free port; default: 9092."),
    Flag("--advertised-listeners", "LIST", "Told to clients; default: what they reached.", "advertised.listeners"),
    Flag("--node-id", "N", "Id of this broker.", "node.id"),
    Flag("--storage", "KIND", "memory: records are gone after a stop. disk: kept in --log-dirs.", "storage"),
    Flag("--log-dirs", "DIRS", "Folders of the records, for --storage disk.", "log.dirs"),
    Flag("--config", "FILE", "A server.properties file; flags and KAFKA_* variables win over it."),
    Flag("--override", "KEY=VALUE", "Any other setting, for example num.partitions=3. Can be repeated.", repeats=True),
    Flag("--explain", "", "Log what happens to every request, in words. Same as --log-level explain.", is_switch=True),
    Flag("--log-level", "LEVEL", "debug, explain, info, warning or error.", "log.level"),
    Flag("--metrics-port", "PORT", "Serve /metrics, /livez and /readyz there; 0 takes any free port.", "metrics.port"),
    Flag("--metrics-host", "HOST", "Address for --metrics-port.", "metrics.host"),
    Flag("--ready-file", "PATH", "Written when clients can connect: NAME://host:port per line.", "ready.file"),
)  # fmt: skip

BY_NAME: Final = {flag.name: flag for flag in FLAGS}


class FlagError(Exception):
    """The command line contradicts itself."""


@dataclass(slots=True)
class StartFlags:
    """What the command line says."""

    given: list[Given] = field(default_factory=list)
    config: str | None = None


def read_flags(arguments: Sequence[str]) -> list[tuple[Flag, str]] | None:
    """Flags with their values; None when this simple reader does not understand the line (click then explains)."""
    found: list[tuple[Flag, str]] = []
    rest = list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        flag = BY_NAME.get(name)
        if flag is None or (flag.is_switch and equals):
            return None
        if not flag.is_switch and not equals:
            if not rest or rest[0] in BY_NAME:
                return None
            value = rest.pop(0)
        if not flag.repeats and any(flag is other for other, _ in found):
            return None
        found.append((flag, value))
    return found


def interpret(found: Sequence[tuple[Flag, str]]) -> StartFlags:
    """Settings from flags. Raises FlagError."""
    flags = StartFlags()
    values: dict[str, str] = {}
    for flag, value in found:
        if flag.repeats:
            key, equals, text = value.partition("=")
            if not equals or not key:
                raise FlagError(f"{flag.name} {value!r} is not of the form KEY=VALUE, for example num.partitions=3")
            flags.given.append(Given(key.strip(), text, f"flag {flag.name}"))
        else:
            if flag.name in values:
                raise FlagError(f"{flag.name} is given twice; give it once")
            values[flag.name] = value
            if flag.key:
                flags.given.append(Given(flag.key, value, f"flag {flag.name}"))
    if "--config" in values:
        flags.config = values["--config"]
    if "--explain" in values:
        if values.get("--log-level", "explain") != "explain":
            raise FlagError("--explain and --log-level contradict each other; give one")
        if "--log-level" not in values:
            flags.given.append(Given("log.level", "explain", "flag --explain"))
    if "--host" in values or "--port" in values:
        flags.given.append(_listener_flag(values))
    return flags


def _listener_flag(values: dict[str, str]) -> Given:
    if "--listeners" in values:
        raise FlagError("--listeners says it all; give it alone, or --host and --port")
    host, port = values.get("--host", "127.0.0.1"), values.get("--port", "9092")
    if not port.isdigit() or int(port) > 65535:
        raise FlagError(f"--port {port!r} is no port; give a number from 0 (any free one) to 65535")
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Given("listeners", f"PLAINTEXT://{address}", "flag " + " ".join({"--host", "--port"} & values.keys()))
