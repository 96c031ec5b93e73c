"""Owns: reading and changing the levels of our loggers while the broker runs (resource type BROKER_LOGGER).
Must never know: handlers, formats, where lines go, the wire.

Log4j and Python name their levels differently: FATAL is CRITICAL, and TRACE (5) lies below DEBUG. EXPLAIN (15) is ours.
As in Apache Kafka a change lasts until the broker stops, and `root` is the logger above all others.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from kafka_server.application.explain import EXPLAIN
from kafka_server.domain.config_def import ConfigOperation, ConfigSource, ConfigType
from kafka_server.domain.config_layers import ConfigEntry
from kafka_server.domain.errors import InvalidConfig, InvalidRequest

ROOT = "root"
LEVELS = {
    "FATAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARN": logging.WARNING,
    "INFO": logging.INFO,
    "EXPLAIN": EXPLAIN,
    "DEBUG": logging.DEBUG,
    "TRACE": 5,
}

log = logging.getLogger("kafka_server.config")


class BrokerLoggers:
    """The loggers below ``kafka_server``, and the root."""

    __slots__ = ("_area",)

    def __init__(self, area: str = "kafka_server") -> None:
        self._area = area

    def names(self) -> list[str]:
        """Every logger that exists by now, sorted, the root first."""
        below = f"{self._area}."
        known = logging.root.manager.loggerDict
        return [ROOT, *sorted(name for name in known if name == self._area or name.startswith(below))]

    def entries(self, names: Collection[str] | None = None) -> list[ConfigEntry]:
        """Each logger with the level that counts for it, its own or an inherited one."""
        return [
            ConfigEntry(name, _level_name(name), ConfigSource.BROKER_LOGGER, ConfigType.UNKNOWN, False, False, (), None)
            for name in self.names()
            if names is None or name in names
        ]

    def alter(self, changes: Sequence[tuple[str, ConfigOperation, str | None]], validate_only: bool) -> None:
        """Sets (SET) or unsets (DELETE) levels, all or none. Raises InvalidRequest or InvalidConfig."""
        known = set(self.names())
        for name, operation, level in changes:
            if operation not in (ConfigOperation.SET, ConfigOperation.DELETE):
                raise InvalidRequest(f"{operation.name} is not allowed for a BROKER_LOGGER")
            if name not in known:
                raise InvalidConfig(f"Logger {name} does not exist")
            if operation is ConfigOperation.DELETE and name == ROOT:
                raise InvalidRequest("The level of the root logger cannot be removed")
            if operation is ConfigOperation.SET and level not in LEVELS:
                raise InvalidConfig(f"Cannot set logger {name} to {level}; the levels are {', '.join(LEVELS)}")
        if validate_only:
            return
        for name, operation, level in changes:
            is_set = operation is ConfigOperation.SET
            _logger(name).setLevel(LEVELS[level or ""] if is_set else logging.NOTSET)
            log.warning("Logger %s: level %s", name, level if is_set else "unset")


def _logger(name: str) -> logging.Logger:
    return logging.getLogger() if name == ROOT else logging.getLogger(name)


def _level_name(logger: str) -> str:
    """The name of the effective level, or of the next finer one when somebody set a number in between."""
    level = _logger(logger).getEffectiveLevel()
    return next((name for name, number in LEVELS.items() if number <= level), "TRACE")
