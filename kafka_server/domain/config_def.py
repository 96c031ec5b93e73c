"""Owns: what a config key is - type, bounds, default - and how its texts are parsed, checked, changed and shown.
Must never know: where values come from, which of several sources wins, the wire.

Configs are texts everywhere (in files, on the wire, in storage); a text is parsed where its meaning counts. The facts
about all keys come from ``config_definitions`` (generated from ``specs/configs.yaml``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from kafka_server.domain.errors import InvalidConfig

ConfigValue = bool | int | float | str | list[str] | None


class ConfigType(IntEnum):
    """The numbers are those of DescribeConfigs v3+."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class ConfigSource(IntEnum):
    """Where a value comes from; the numbers are those of DescribeConfigs v1+."""

    TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5
    BROKER_LOGGER = 6
    CLIENT_METRICS = 7
    GROUP = 8


class ResourceType(IntEnum):
    """What configs belong to; the numbers are those of the config APIs."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


class ConfigOperation(IntEnum):
    """What IncrementalAlterConfigs may do to a key (KIP-339)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key of one scope. ``bounds`` are inclusive; a bound that is None does not exist."""

    name: str
    type: ConfigType
    importance: str
    update: str
    """``read-only``, ``per-broker`` or ``cluster-wide``; topic and group keys can always be changed."""
    has_effect: bool
    doc: str
    default: str | None = None
    required: bool = False
    bounds: tuple[float | None, float | None] = (None, None)
    also: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    ignore_case: bool = False
    pattern: str | None = None
    nonempty: bool = False
    synonyms: tuple[tuple[str, int], ...] = ()
    """Broker keys that stand in when this one is not set, best first, each with the factor that converts its unit."""
    internal: bool = False

    @property
    def is_sensitive(self) -> bool:
        """Whether the value must never be shown."""
        return self.type is ConfigType.PASSWORD

    @property
    def is_dynamic(self) -> bool:
        """Whether a running broker takes a new value."""
        return self.update != "read-only"

    def parse(self, text: str) -> ConfigValue:
        """The value that ``text`` stands for. Raises InvalidConfig, which never shows a password."""
        trimmed = text.strip()
        value = _PARSERS[self.type](self, trimmed)
        if trimmed not in self.also:
            self._check(value)
        return value

    def show(self, text: str) -> str:
        """The text in its canonical form: ``TRUE`` becomes ``true``, ``a , b`` becomes ``a,b``."""
        return show_value(self.parse(text))

    def refuse(self, text: object, reason: str) -> InvalidConfig:
        """The error for a value of this key."""
        shown = "[hidden]" if self.is_sensitive else text
        return InvalidConfig(f"Invalid value {shown} for configuration {self.name}: {reason}")

    def _check(self, value: ConfigValue) -> None:
        low, high = self.bounds
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            # The comparison is written so that a NaN fails it.
            if low is not None and not value >= low:
                raise self.refuse(value, f"must be at least {low:g}" if low < 1e6 else f"must be at least {int(low)}")
            if high is not None and not value <= high:
                raise self.refuse(value, f"must be at most {int(high) if high == int(high) else high}")
        if self.nonempty and value in ("", []):
            raise self.refuse(value, "must not be empty")
        if isinstance(value, list):
            if len(set(value)) != len(value):
                raise self.refuse(",".join(value), "must not name an element twice")
            if "" in value:
                raise self.refuse(",".join(value), "must not have an empty element")
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, str):
                self._check_text(part)

    def _check_text(self, text: str) -> None:
        compared = text.upper() if self.ignore_case else text
        if self.values and compared not in self.values:
            raise self.refuse(text, f"must be one of {', '.join(self.values)}")
        if self.pattern is not None and re.fullmatch(self.pattern, text) is None:
            raise self.refuse(text, f"must match {self.pattern}")


def show_value(value: ConfigValue) -> str:
    """A parsed value as text, as Apache Kafka prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _show_double(value)
    if isinstance(value, list):
        return ",".join(value)
    return "" if value is None else str(value)


def apply_operation(
    key: ConfigKey, operation: ConfigOperation, current: str | None, argument: str | None
) -> str | None:
    """The text of ``key`` after the operation, None when it is no longer set.

    APPEND and SUBTRACT work on lists only, start from the default when nothing is set, and treat the argument as a
    list too. Appending what is there, or subtracting what is not, changes nothing. Raises InvalidConfig.
    """
    if operation is ConfigOperation.SET:
        return argument
    if operation is ConfigOperation.DELETE:
        return None
    if key.type is not ConfigType.LIST:
        raise InvalidConfig(f"Cannot {operation.name} to {key.name}: its type is not LIST")
    base = key.default if current is None else current
    elements = [element for element in (base or "").split(",") if element]
    for element in (argument or "").split(","):
        if operation is ConfigOperation.APPEND:
            if element not in elements:
                elements.append(element)
        elif element in elements:
            elements.remove(element)
    return ",".join(elements)


# ---- parsing ---------------------------------------------------------------------------------------------------------

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_DECIMAL_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BITS = {ConfigType.SHORT: 16, ConfigType.INT: 32, ConfigType.LONG: 64}


def _parse_boolean(key: ConfigKey, text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise key.refuse(text, "must be true or false")
    return lowered == "true"


def _parse_integer(key: ConfigKey, text: str) -> int:
    limit = 1 << (_BITS[key.type] - 1)
    # 20 digits hold any 64-bit number; longer texts are refused before Python spends time on them.
    if _WHOLE_NUMBER.fullmatch(text) is None or len(text) > 20 or not -limit <= (number := int(text)) < limit:
        raise key.refuse(text, f"must be a whole number of {_BITS[key.type]} bits")
    return number


def _parse_double(key: ConfigKey, text: str) -> float:
    if _DECIMAL_NUMBER.fullmatch(text) is None:
        raise key.refuse(text, "must be a number")
    return float(text)


def _parse_list(key: ConfigKey, text: str) -> list[str]:
    return [element.strip() for element in text.split(",")] if text else []


def _parse_text(key: ConfigKey, text: str) -> str:
    return text


_PARSERS: Mapping[ConfigType, Callable[[ConfigKey, str], ConfigValue]] = {
    ConfigType.BOOLEAN: _parse_boolean,
    ConfigType.STRING: _parse_text,
    ConfigType.INT: _parse_integer,
    ConfigType.SHORT: _parse_integer,
    ConfigType.LONG: _parse_integer,
    ConfigType.DOUBLE: _parse_double,
    ConfigType.LIST: _parse_list,
    # The name of a class is a text here: nothing that a config names is ever loaded.
    ConfigType.CLASS: _parse_text,
    ConfigType.PASSWORD: _parse_text,
}


def _show_double(value: float) -> str:
    """As Java prints a double: plain from 0.001 up to ten million, otherwise ``1.5E10``."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:  # Python switches to the exponent later than Java does.
        digits = f"{value:.17e}".partition("e")
        mantissa, exponent = repr(value / 10 ** int(digits[2])), digits[2]
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"


# ---- the keys --------------------------------------------------------------------------------------------------------


class ConfigTable(Mapping[str, ConfigKey]):
    """The keys of one scope by name, sorted; a key is built when it is first asked for.

    Most of the 400 keys are never asked for, and building them all would take 6 ms of every start.
    """

    __slots__ = ("_keys", "_rows")

    def __init__(self, table: str) -> None:
        """``table`` has the format that ``config_definitions`` explains in its header."""
        self._rows: dict[str, list[str]] = {}
        self._keys: dict[str, ConfigKey] = {}
        row: list[str] = []
        for line in table.splitlines():
            if line and line[0] not in " +":
                row = self._rows[line.partition(" ")[0]] = [line]
            else:
                row.append(line)

    def __getitem__(self, name: str) -> ConfigKey:
        key = self._keys.get(name)
        if key is None:
            lines = self._rows[name]
            facts = " ".join(line.removeprefix("+ ") for line in lines if not line.startswith("  "))
            doc = " ".join(line.strip() for line in lines if line.startswith("  "))
            key = self._keys[name] = _key(facts.split(), doc)
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


@cache
def broker_keys() -> ConfigTable:
    """Every broker key."""
    from kafka_server.domain.config_definitions import BROKER

    return ConfigTable(BROKER)


@cache
def topic_keys() -> ConfigTable:
    """Every topic key."""
    from kafka_server.domain.config_definitions import TOPIC

    return ConfigTable(TOPIC)


@cache
def group_keys() -> ConfigTable:
    """Every group key."""
    from kafka_server.domain.config_definitions import GROUP

    return ConfigTable(GROUP)


@cache
def client_metrics_keys() -> ConfigTable:
    """Every key of a client-metrics resource."""
    from kafka_server.domain.config_definitions import CLIENT_METRICS

    return ConfigTable(CLIENT_METRICS)


def _key(facts: list[str], doc: str) -> ConfigKey:
    name, type_name, importance, update, effect, *rest = facts
    options = dict(fact.partition("=")[::2] for fact in rest)
    return ConfigKey(
        name,
        ConfigType[type_name.upper()],
        importance,
        update,
        effect == "yes",
        doc,
        default=options.get("default"),
        required="required" in options,
        bounds=(_number(options.get("min")), _number(options.get("max"))),
        also=_elements(options.get("also")),
        values=_elements(options.get("values")),
        ignore_case="ignore_case" in options,
        pattern=options.get("pattern"),
        nonempty="nonempty" in options,
        synonyms=tuple((key, int(factor or 1)) for key, _, factor in _pairs(options.get("synonyms"))),
        internal="internal" in options,
    )


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    return float(text) if "." in text else int(text)


def _elements(text: str | None) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


def _pairs(text: str | None) -> Iterator[tuple[str, str, str]]:
    return (element.partition("*") for element in _elements(text))
