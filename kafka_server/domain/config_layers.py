"""Owns: which of several sources of a config wins, and how the whole stack of them is shown.
Must never know: who may change a config, how configs are stored, the wire.

A broker key can be set in four places; the first one that has it wins:

    dynamic, this broker  >  dynamic, every broker  >  static (file, environment, command line)  >  default

A topic or group key has its own override above that stack, and stands on the broker key that is its synonym. A key
like ``log.retention.ms`` has coarser synonyms (minutes, hours) that count only when no source sets the finer one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from kafka_server.domain.config_def import (
    ConfigKey,
    ConfigSource,
    ConfigType,
    ConfigValue,
    broker_keys,
    client_metrics_keys,
    group_keys,
    show_value,
    topic_keys,
)


@dataclass(frozen=True, slots=True)
class ConfigSynonym:
    """One source that sets a value; ``value`` is None when it must not be shown."""

    name: str
    value: str | None
    source: ConfigSource


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """A config as it is shown: the value that counts, where it comes from, and what it would fall back to."""

    name: str
    value: str | None
    source: ConfigSource
    type: ConfigType
    is_sensitive: bool
    is_read_only: bool
    synonyms: tuple[ConfigSynonym, ...]
    doc: str | None


class ConfigLayers:
    """The four sources of broker configs, and everything that stands on them.

    ``dynamic`` and ``dynamic_default`` may be replaced at any time; call ``forget`` then.
    """

    __slots__ = ("_parsed", "dynamic", "dynamic_default", "static")

    def __init__(self, static: Mapping[str, str]) -> None:
        self.static: Mapping[str, str] = static
        self.dynamic: Mapping[str, str] = {}
        self.dynamic_default: Mapping[str, str] = {}
        self._parsed: dict[str, ConfigValue] = {}

    def beside(self, dynamic: Mapping[str, str], dynamic_default: Mapping[str, str]) -> ConfigLayers:
        """The same static layer under other dynamic ones."""
        other = ConfigLayers(self.static)
        other.dynamic, other.dynamic_default = dynamic, dynamic_default
        return other

    def forget(self) -> None:
        """Drops parsed values after a layer changed."""
        self._parsed.clear()

    def value(self, name: str) -> ConfigValue:
        """The effective value of a broker key, parsed; None when nothing sets it. KeyError for a name without key."""
        try:
            return self._parsed[name]
        except KeyError:
            value = self._parsed[name] = self._resolve(broker_keys()[name])
            return value

    def topic_value(self, name: str, overrides: Mapping[str, str]) -> ConfigValue:
        """The effective value of a topic key for a topic with these overrides."""
        return self._resolve_above(topic_keys()[name], overrides)

    def group_value(self, name: str, overrides: Mapping[str, str]) -> ConfigValue:
        """The effective value of a group key for a group with these overrides."""
        return self._resolve_above(group_keys()[name], overrides)

    # ---- showing ---------------------------------------------------------------------------------------------------

    def topic_entries(
        self, overrides: Mapping[str, str], names: Collection[str] | None = None
    ) -> Iterator[ConfigEntry]:
        """The configs of a topic, sorted by name, or those of ``names``."""
        for key in topic_keys().values():
            if not key.internal and (names is None or key.name in names):
                yield self._entry_above(key, overrides, ConfigSource.TOPIC)

    def group_entries(
        self, overrides: Mapping[str, str], names: Collection[str] | None = None
    ) -> Iterator[ConfigEntry]:
        """The configs of a group, sorted by name, or those of ``names``."""
        for key in group_keys().values():
            if not key.internal and (names is None or key.name in names):
                yield self._entry_above(key, overrides, ConfigSource.GROUP)

    def client_metrics_entries(
        self, overrides: Mapping[str, str], names: Collection[str] | None = None
    ) -> Iterator[ConfigEntry]:
        """The configs of a client-metrics resource, sorted by name, or those of ``names``. Nothing lies below them."""
        for key in client_metrics_keys().values():
            if names is None or key.name in names:
                text = overrides.get(key.name)
                own = () if text is None else (ConfigSynonym(key.name, text, ConfigSource.CLIENT_METRICS),)
                yield _entry(key, key.parse(text if text is not None else key.default or ""), own, is_read_only=False)

    def broker_entries(self, names: Collection[str] | None = None) -> Iterator[ConfigEntry]:
        """Every config of this broker, sorted by name, keys that nobody knows but somebody set included."""
        keys = broker_keys()
        set_here = {*self.static, *self.dynamic_default, *self.dynamic}
        for name in sorted({*keys, *set_here}):
            if names is not None and name not in names:
                continue
            key = keys.get(name)
            if key is None:
                yield self._unknown_entry(name)
            elif not key.internal or name in set_here:
                yield self._broker_entry(key, self._own_value(key), tuple(self._stack(key)))

    def default_broker_entries(self, names: Collection[str] | None = None) -> Iterator[ConfigEntry]:
        """What is set dynamically for every broker, sorted by name, and as it was written: ``5`` may be a double."""
        keys = broker_keys()
        for name in sorted(self.dynamic_default):
            if names is not None and name not in names:
                continue
            key = keys.get(name)
            if key is None:
                yield self._unknown_entry(name)
            else:
                own = (s for s in self._stack(key) if s.source is ConfigSource.DYNAMIC_DEFAULT_BROKER)
                yield self._broker_entry(key, self.dynamic_default[name], tuple(own))

    def _entry_above(self, key: ConfigKey, overrides: Mapping[str, str], source: ConfigSource) -> ConfigEntry:
        """A topic or group key. As in Apache Kafka the stack below it is that of its first synonym, and the coarser
        synonyms show only beneath a value of that one: ``retention.ms`` alone has none.
        """
        value = self._resolve_above(key, overrides)
        stack: list[ConfigSynonym] = []
        if key.name in overrides:
            stack.append(ConfigSynonym(key.name, _shown(key, value), source))
        if key.synonyms:
            stack.extend(self._stack(broker_keys()[key.synonyms[0][0]]))
        elif source is ConfigSource.GROUP and key.default is not None:
            stack.append(ConfigSynonym(key.name, key.default, ConfigSource.DEFAULT))
        return _entry(key, value, tuple(stack), is_read_only=False)

    def _broker_entry(self, key: ConfigKey, value: ConfigValue, stack: tuple[ConfigSynonym, ...]) -> ConfigEntry:
        return _entry(key, value, stack, is_read_only=not key.is_dynamic)

    def _unknown_entry(self, name: str) -> ConfigEntry:
        """A key that is in no list: nothing is known about it, so its value might be a secret."""
        stack = tuple(ConfigSynonym(name, None, source) for source, layer in self._layers() if name in layer)
        doc = "Not a key that this broker knows; it has no effect."
        return ConfigEntry(name, None, stack[0].source, ConfigType.UNKNOWN, True, True, stack, doc)

    def _stack(self, key: ConfigKey) -> list[ConfigSynonym]:
        """Every source that sets the broker key or a coarser synonym of it, best first; it begins with the key itself
        or is empty.
        """
        chain = [key, *(broker_keys()[name] for name, _ in key.synonyms)]
        stack = [
            ConfigSynonym(link.name, None if link.is_sensitive else layer[link.name], source)
            for source, layer in self._layers()
            for link in chain
            if link.name in layer
        ]
        stack += [
            ConfigSynonym(link.name, link.default, ConfigSource.DEFAULT) for link in chain if link.default is not None
        ]
        start = next((index for index, synonym in enumerate(stack) if synonym.name == key.name), len(stack))
        return stack[start:]

    # ---- resolving -------------------------------------------------------------------------------------------------

    def _layers(self) -> tuple[tuple[ConfigSource, Mapping[str, str]], ...]:
        return (
            (ConfigSource.DYNAMIC_BROKER, self.dynamic),
            (ConfigSource.DYNAMIC_DEFAULT_BROKER, self.dynamic_default),
            (ConfigSource.STATIC_BROKER, self.static),
        )

    def _text(self, name: str) -> str | None:
        for _, layer in self._layers():
            if name in layer:
                return layer[name]
        return None

    def _resolve(self, key: ConfigKey) -> ConfigValue:
        value = self._own_value(key)
        return self._through_synonyms(key) if value is None else value

    def _own_value(self, key: ConfigKey) -> ConfigValue:
        """The value of a broker key without its coarser synonyms; that is what the key itself shows."""
        text = self._text(key.name)
        if text is None:
            text = key.default
        return None if text is None else key.parse(text)

    def _resolve_above(self, key: ConfigKey, overrides: Mapping[str, str]) -> ConfigValue:
        text = overrides.get(key.name)
        if text is not None:
            return key.parse(text)
        value = self._through_synonyms(key)
        return key.parse(key.default) if value is None and key.default is not None else value

    def _through_synonyms(self, key: ConfigKey) -> ConfigValue:
        for name, factor in key.synonyms:
            synonym = broker_keys()[name]
            text = self._text(name)
            text = synonym.default if text is None else text
            if text is not None:
                return _scaled(synonym.parse(text), factor)
        return None


def _scaled(value: ConfigValue, factor: int) -> ConfigValue:
    if factor == 1 or not isinstance(value, int):
        return value
    # A negative number means "without bound" in every unit.
    return max(value * factor, -1)


def _shown(key: ConfigKey, value: ConfigValue) -> str | None:
    return None if key.is_sensitive or value is None else show_value(value)


def _entry(key: ConfigKey, value: ConfigValue, stack: tuple[ConfigSynonym, ...], *, is_read_only: bool) -> ConfigEntry:
    return ConfigEntry(
        key.name,
        _shown(key, value),
        stack[0].source if stack else ConfigSource.DEFAULT,
        key.type,
        key.is_sensitive,
        is_read_only,
        stack,
        key.doc if key.has_effect else f"Has no effect in this broker. {key.doc}",
    )
