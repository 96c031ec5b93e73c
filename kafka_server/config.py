"""Owns: where settings come from and who wins: flags > KAFKA_* variables > file > defaults.
Must never know: what a setting does, sockets, services.

Keys, types, bounds and defaults are those of ``domain.config_def``, ours among Kafka's: KAFKA_STORAGE=memory works like
any other variable. This module adds the sources, so that an error can say ``server.properties:12`` or ``variable
KAFKA_NODE_ID``. A Kafka key that this broker does not obey, and a key nobody knows, are accepted and reported once:
files are meant to be read unchanged.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kafka_server.domain.config_def import ConfigKey, ConfigValue, broker_keys
from kafka_server.domain.errors import InvalidConfig
from kafka_server.infrastructure.network.listener import Listener

ENVIRONMENT_OF_SCRIPTS: Final = frozenset(
    (
        "KAFKA_HOME KAFKA_OPTS KAFKA_HEAP_OPTS KAFKA_JVM_PERFORMANCE_OPTS KAFKA_GC_LOG_OPTS KAFKA_JMX_OPTS "
        "KAFKA_JMX_PORT KAFKA_JMX_HOSTNAME KAFKA_DEBUG KAFKA_LOG4J_OPTS KAFKA_LOG4J_LOGGERS KAFKA_LOG4J_ROOT_LOGLEVEL "
        "KAFKA_TOOLS_LOG4J_LOGLEVEL KAFKA_VERSION KAFKA_CLASSPATH"
    ).split()
)
"""Variables that steer the start scripts and the JVM in Kafka's images; they are no settings of a broker."""

DEFAULT_NODE_ID: Final = 1
KNOWN_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


class ConfigError(Exception):
    """A setting that cannot be used. The text says key, value, source and what would be right."""


@dataclass(slots=True, frozen=True)
class Given:
    """A setting as somebody gave it."""

    key: str
    text: str
    source: str
    """``server.properties:12``, ``variable KAFKA_NODE_ID`` or ``flag --node-id``."""


@dataclass(slots=True, frozen=True)
class Settings:
    """What the server obeys, typed and checked. ``given`` is what somebody set, by key, for those who need the rest."""

    given: Mapping[str, Given]
    node_id: int
    is_node_id_given: bool
    """False: node_id is the default, and a data folder that belongs to another node wins."""
    cluster_id: str
    """Empty: the data folder's, else draw one."""
    rack: str | None
    listeners: tuple[Listener, ...]
    advertised: Mapping[str, tuple[str, int]]
    """By listener name; a listener without an entry advertises the address that the client reached."""
    storage: str
    log_dirs: tuple[str, ...]
    flush: str
    """``ack``: an answer waits for a sync; ``os``: the page cache is enough."""
    recovery_threads: int
    checkpoint_interval_ms: int
    cleaner_backoff_ms: int
    """-1: compaction is turned off."""
    cleaner_bytes_per_second_max: float
    request_size_max: int
    half_frame_bytes_max: int
    """-1: the server's own default."""
    connections_max: int
    connections_per_ip_max: int
    connections_idle_ms_max: int
    send_buffer_bytes: int
    receive_buffer_bytes: int
    backlog: int
    log_level: str
    metrics_host: str
    metrics_port: int
    ready_file: str
    shutdown_grace_ms: int
    notes: tuple[str, ...]
    """What the start should log about the settings: unknown keys, keys that a file has twice, listeners left out.
    ConfigService itself warns of known keys without effect."""

    def broker_texts(self) -> dict[str, str]:
        """All that somebody set, as texts; the rest of the server reads its settings from these, and shows them."""
        return {key: given.text for key, given in self.given.items()}


# ---- sources -----------------------------------------------------------------------------------------------------


def load_settings(
    flags: Iterable[Given] = (),
    environ: Mapping[str, str] | None = None,
    file: str | os.PathLike[str] | None = None,
) -> Settings:
    """Gathers all sources and checks them. Raises ConfigError.

    In a file the last of two entries wins, as in Java, with a note; flags that set one key twice are a mistake.
    """
    given: dict[str, Given] = {}
    notes: list[str] = []
    if file is not None:
        for entry in read_properties(file):
            if entry.key in given:
                notes.append(f"{entry.key} stands twice: {given[entry.key].source} is overruled by {entry.source}")
            given[entry.key] = entry
    if environ is not None:
        given.update((entry.key, entry) for entry in read_environment(environ))
    of_flags: dict[str, Given] = {}
    for entry in flags:
        twin = of_flags.setdefault(entry.key, entry)
        if twin is not entry:
            raise ConfigError(f"{entry.key} is given twice, by {twin.source} and by {entry.source}; give it once")
    return _settings(given | of_flags, notes)


def read_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """The ``KAFKA_*`` variables: ``_`` stands for ``.``, ``__`` for ``_``, ``___`` for ``-``."""
    for variable, text in sorted(environ.items()):
        if variable.startswith("KAFKA_") and variable not in ENVIRONMENT_OF_SCRIPTS:
            key = re.sub("_{1,3}", lambda run: {1: ".", 2: "_", 3: "-"}[len(run[0])], variable[6:]).lower()
            yield Given(key, text, f"variable {variable}")


def read_properties(file: str | os.PathLike[str]) -> Iterator[Given]:
    """The entries of a Java properties file. Raises ConfigError when it cannot be read."""
    try:
        with open(file, "rb") as source:  # pathlib would cost a start 10 ms
            raw = source.read()
    except OSError as error:
        raise ConfigError(f"Cannot read the settings file {os.fspath(file)}: {error.strerror}") from error
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # what Java takes every properties file for
    for key, value, line in parse_properties(text):
        yield Given(key, value, f"{os.path.basename(file)}:{line}")


def parse_properties(text: str) -> Iterator[tuple[str, str, int]]:
    """Key, value and line number of each entry, by the rules of ``java.util.Properties.load``.

    ``key=value``, ``key: value`` and ``key value`` are equal; ``#`` and ``!`` begin a comment; a line that ends with an
    odd number of backslashes goes on in the next one, whose leading blanks do not count.
    """
    lines = re.split(r"\r\n|\r|\n", text)
    at = 0
    while at < len(lines):
        first = at + 1
        line = lines[at].lstrip(" \t\f")
        at += 1
        if not line or line[0] in "#!":
            continue
        while _goes_on(line):
            line = line[:-1] + (lines[at].lstrip(" \t\f") if at < len(lines) else "")
            at += 1
        # The key ends at the first separator that no backslash protects.
        found = re.match(r"((?:\\.|[^\\=: \t\f])*)[ \t\f]*[=:]?[ \t\f]*(.*)", line, re.DOTALL)
        assert found is not None
        yield _unescape(found[1], first), _unescape(found[2], first), first


def _goes_on(line: str) -> bool:
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


_ESCAPES: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def _unescape(text: str, line: int) -> str:
    def one(escape: re.Match[str]) -> str:
        if escape[1].startswith("u"):
            if len(escape[1]) != 5:
                raise ConfigError(f"line {line}: {escape[0]!r} is no character; write \\u and four hex digits")
            return chr(int(escape[1][1:], 16))
        return _ESCAPES.get(escape[1], escape[1])

    return re.sub(r"\\(u[0-9a-fA-F]{0,4}|.)", one, text) if "\\" in text else text


# ---- meaning -----------------------------------------------------------------------------------------------------


class _Reader:
    """Typed values of keys: what was given, else the default. Every failure names key, value and source."""

    def __init__(self, given: Mapping[str, Given]) -> None:
        self._given = given

    def value(self, name: str) -> ConfigValue:
        key = broker_keys()[name]
        entry = self._given.get(name)
        if entry is not None:
            return checked(key, entry)
        return None if key.default is None else key.parse(key.default)

    def whole(self, name: str) -> int:
        value = self.value(name)
        assert isinstance(value, int)
        return value

    def text(self, name: str) -> str:
        value = self.value(name)
        return value if isinstance(value, str) else ""

    def words(self, name: str) -> list[str]:
        value = self.value(name)
        return value if isinstance(value, list) else []

    def is_given(self, name: str) -> bool:
        return name in self._given

    def wrong(self, name: str, reason: str) -> ConfigError:
        entry = self._given.get(name)
        if entry is None:
            return ConfigError(f"{name}: {reason}")
        return ConfigError(f"{name} = {entry.text!r} ({entry.source}): {reason}")


def checked(key: ConfigKey, entry: Given) -> ConfigValue:
    """The parsed value. Raises ConfigError."""
    try:
        return key.parse(entry.text)
    except InvalidConfig as error:
        reason = str(error).rpartition(f"{key.name}: ")[2]
        shown = "[hidden]" if key.is_sensitive else repr(entry.text)
        raise ConfigError(f"{key.name} = {shown} ({entry.source}): {reason}. {key.doc}") from error


def _settings(given: Mapping[str, Given], notes: list[str]) -> Settings:
    read = _Reader(given)
    known = broker_keys()
    for name, entry in given.items():
        if name in known:
            checked(known[name], entry)
    _check_overrides(read)
    notes += _notes(given)
    listeners = _listeners(read, notes)
    if read.text("storage") == "memory" and (read.is_given("log.dirs") or read.is_given("log.dir")):
        notes.append("log.dirs has no effect with storage=memory: everything is forgotten when the server stops")
    return Settings(
        given=given,
        node_id=_node_id(read),
        is_node_id_given=read.is_given("node.id") or read.is_given("broker.id"),
        cluster_id=read.text("cluster.id"),
        rack=read.text("broker.rack") or None,
        listeners=listeners,
        advertised=_advertised(read, listeners),
        storage=read.text("storage"),
        log_dirs=tuple(read.words("log.dirs") or read.words("log.dir")),
        flush=read.text("flush"),
        recovery_threads=read.whole("num.recovery.threads.per.data.dir"),
        checkpoint_interval_ms=read.whole("log.flush.offset.checkpoint.interval.ms"),
        cleaner_backoff_ms=read.whole("log.cleaner.backoff.ms") if read.value("log.cleaner.enable") else -1,
        cleaner_bytes_per_second_max=float(str(read.value("log.cleaner.io.max.bytes.per.second"))),
        request_size_max=read.whole("socket.request.max.bytes"),
        half_frame_bytes_max=read.whole("queued.max.request.bytes"),
        connections_max=read.whole("max.connections"),
        connections_per_ip_max=read.whole("max.connections.per.ip"),
        connections_idle_ms_max=read.whole("connections.max.idle.ms"),
        # Kafka's default of 100 KiB would turn off the operating system's own, better, sizing per connection.
        send_buffer_bytes=read.whole("socket.send.buffer.bytes") if read.is_given("socket.send.buffer.bytes") else -1,
        receive_buffer_bytes=(
            read.whole("socket.receive.buffer.bytes") if read.is_given("socket.receive.buffer.bytes") else -1
        ),
        backlog=read.whole("socket.listen.backlog.size"),
        log_level=read.text("log.level"),
        metrics_host=read.text("metrics.host"),
        metrics_port=read.whole("metrics.port"),
        ready_file=read.text("ready.file"),
        shutdown_grace_ms=read.whole("shutdown.grace.ms"),
        notes=tuple(notes),
    )


def _notes(given: Mapping[str, Given]) -> Iterator[str]:
    unknown = [f"{entry.key} ({entry.source})" for entry in given.values() if entry.key not in broker_keys()]
    if unknown:
        yield f"Unknown settings, without effect: {', '.join(unknown)}"


def _node_id(read: _Reader) -> int:
    """node.id, or its old name broker.id; both may be given when they agree."""
    if not read.is_given("broker.id"):
        return read.whole("node.id") if read.is_given("node.id") else DEFAULT_NODE_ID
    broker_id = read.whole("broker.id")
    if read.is_given("node.id") and read.whole("node.id") != broker_id:
        raise read.wrong("broker.id", f"node.id says {read.whole('node.id')}; they name the same thing, give one")
    if broker_id < 0:
        raise read.wrong("broker.id", "must be at least 0")
    return broker_id


def _check_overrides(read: _Reader) -> None:
    key = "max.connections.per.ip.overrides"
    if read.text(key):
        from kafka_server.domain.broker_rules import parse_overrides  # few starts need it

        try:
            parse_overrides(read.text(key))
        except InvalidConfig as error:
            raise read.wrong(key, str(error).removeprefix(f"{key}: ")) from error
    elif read.whole("max.connections.per.ip") == 0:
        raise read.wrong("max.connections.per.ip", f"can be 0 only beside {key}")


# ---- listeners ---------------------------------------------------------------------------------------------------

_LISTENER = re.compile(r"([A-Za-z0-9_-]+)://(?:\[([0-9A-Fa-f:.%]+)\]|([^:/\[\]]*)):(\d{1,5})")


def _listeners(read: _Reader, notes: list[str]) -> tuple[Listener, ...]:
    """The listeners to open: all but those of the controller, which this server does not have."""
    protocols = _protocols(read)
    of_controller = {name.upper() for name in read.words("controller.listener.names")}
    listeners: list[Listener] = []
    for text in read.words("listeners"):
        name, host, port = _parse_listener(read, "listeners", text)
        if name in of_controller:
            notes.append(f"The listener {text} is not opened: this server has no separate controller")
            continue
        protocol = protocols.get(name)
        if protocol is None:
            raise read.wrong("listeners", f"listener.security.protocol.map has no protocol for {name}")
        if protocol != "PLAINTEXT":
            raise read.wrong("listeners", f"{name} wants {protocol}; this version speaks PLAINTEXT only")
        if any(name == other.name for other in listeners):
            raise read.wrong("listeners", f"the listener name {name} appears twice; names must differ")
        if any(port == other.port and host == other.host and port for other in listeners):
            raise read.wrong("listeners", f"the address {host}:{port} appears twice")
        listeners.append(Listener(name, host, port, protocol))
    if not listeners:
        raise read.wrong("listeners", "no listener is left to open; give one like PLAINTEXT://127.0.0.1:9092")
    return tuple(listeners)


def listeners_with(given: Mapping[str, Given], changed: Mapping[str, str]) -> tuple[Listener, ...]:
    """The listeners to open when these texts stand in for some that were given. Raises ConfigError."""
    read = _Reader({**given, **{name: Given(name, text, "dynamic config") for name, text in changed.items()}})
    listeners = _listeners(read, [])
    _advertised(read, listeners)
    return listeners


def _protocols(read: _Reader) -> dict[str, str]:
    """Listener name -> security protocol; a protocol's own name is a listener name too."""
    key = "listener.security.protocol.map"
    protocols = {protocol: protocol for protocol in KNOWN_PROTOCOLS}
    for pair in filter(None, (part.strip() for part in read.text(key).split(","))):
        name, _, protocol = (word.strip().upper() for word in pair.partition(":"))
        if protocol not in KNOWN_PROTOCOLS:
            raise read.wrong(key, f"{pair!r} is not of the form NAME:PROTOCOL with one of {', '.join(KNOWN_PROTOCOLS)}")
        protocols[name] = protocol
    return protocols


def _advertised(read: _Reader, listeners: tuple[Listener, ...]) -> dict[str, tuple[str, int]]:
    advertised: dict[str, tuple[str, int]] = {}
    names = {listener.name for listener in listeners} | {
        name.upper() for name in read.words("controller.listener.names")
    }
    for text in read.words("advertised.listeners"):
        name, host, port = _parse_listener(read, "advertised.listeners", text)
        if name not in names:
            raise read.wrong("advertised.listeners", f"there is no listener {name} in listeners")
        if host in ("", "0.0.0.0", "::") or not port:  # noqa: S104 - it is refused here, not bound
            raise read.wrong("advertised.listeners", f"{text} is no address that a client can connect to")
        if name in advertised:
            raise read.wrong("advertised.listeners", f"the listener name {name} appears twice; names must differ")
        advertised[name] = host, port
    return advertised


def _parse_listener(read: _Reader, key: str, text: str) -> tuple[str, str, int]:
    found = _LISTENER.fullmatch(text)
    if found is None or int(found[4]) > 65535:
        raise read.wrong(key, f"{text!r} is not of the form NAME://host:port, for example PLAINTEXT://127.0.0.1:9092")
    return found[1].upper(), found[2] or found[3] or "", int(found[4])
