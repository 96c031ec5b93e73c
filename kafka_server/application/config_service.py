"""Owns: reading, describing and changing configs of topics, brokers and groups while the broker runs.
Must never know: the wire, how configs are stored, what a key does beyond being handed to whoever asks.

Whoever needs a broker config asks for it by name when it matters (a dict look-up), so a dynamic change counts from the
next request on. To what cannot ask - listeners, limits of the network, compaction - it is brought by a ``Follower``.
Topic configs reach the data plane as ``Topic.settings``, replaced as a whole when anything under them changes. A key
without effect is accepted, warned of once, and shown as such.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from kafka_server.application.ports import ConfigRepository, TopicRepository
from kafka_server.application.serial_work import SerialWork
from kafka_server.domain.broker_rules import Values, check_broker_change
from kafka_server.domain.client_metrics import check_client_metrics, check_client_metrics_name
from kafka_server.domain.config_def import (
    ConfigOperation,
    ConfigTable,
    ConfigValue,
    ResourceType,
    apply_operation,
    broker_keys,
    client_metrics_keys,
    group_keys,
    topic_keys,
)
from kafka_server.domain.config_layers import ConfigEntry, ConfigLayers
from kafka_server.domain.errors import InvalidConfig, InvalidRequest, UnknownTopicOrPartition
from kafka_server.domain.topic import Topic, TopicSettings
from kafka_server.domain.topic_name import check_topic_name

log = logging.getLogger("kafka_server.config")

Change = tuple[str, ConfigOperation, str | None]
"""Key, what to do with it, and the value (None for DELETE)."""

EVERY_BROKER = ""


class Follower(Protocol):
    """Parts of a broker that a change of its configs has to be brought to."""

    async def check(self, before: Values, after: Values) -> None:
        """Before a change is stored. Raises InvalidConfig when it could not be followed."""

    async def follow(self, values: Values) -> None:
        """After it is stored, and once at start. Raises nothing: what fails now is logged."""


class ConfigService:
    """The configs of one broker and of what lives on it."""

    __slots__ = ("_changing", "_followers", "_layers", "_node_id", "_repository", "_topics", "_warned")

    def __init__(
        self, node_id: int, static: Mapping[str, str], repository: ConfigRepository, topics: TopicRepository
    ) -> None:
        """``static`` holds what file, environment and command line set, as texts. Raises InvalidConfig."""
        self._node_id = node_id
        self._repository = repository
        self._topics = topics
        self._followers: list[Follower] = []
        self._warned: set[str] = set()
        self._changing = SerialWork()
        _check_values(broker_keys(), static)
        # The id has an old and a new name; clients that look for either find it.
        ids = dict.fromkeys(("node.id", "broker.id"), str(node_id))
        self._layers = ConfigLayers({**static, **ids})
        self._load_dynamic()
        # Of static keys that nobody knows the reader of the settings tells, with the place where they are set.
        self._warn_of_no_effect(broker_keys(), (name for name in static if name in broker_keys()))

    # ---- reading ---------------------------------------------------------------------------------------------------

    def boolean(self, name: str) -> bool:
        """The effective value of a boolean broker key."""
        return bool(self._layers.value(name))

    def integer(self, name: str) -> int:
        """The effective value of a whole-number broker key that has a default."""
        value = self._layers.value(name)
        if not isinstance(value, int):
            raise TypeError(f"{name} is not a whole number: {value!r}")
        return value

    def text(self, name: str) -> str | None:
        """The effective value of a text broker key, None when nothing sets it."""
        value = self._layers.value(name)
        return None if value is None else str(value)

    def texts(self, name: str) -> list[str]:
        """The effective value of a broker key that is a list of texts."""
        value = self._layers.value(name)
        if not isinstance(value, list):
            raise TypeError(f"{name} is not a list: {value!r}")
        return value

    def group_integer(self, group: str, name: str) -> int:
        """The effective value of a whole-number group key, for that group."""
        value = self._layers.group_value(name, self._repository.get(ResourceType.GROUP, group))
        if not isinstance(value, int):
            raise TypeError(f"{name} is not a whole number: {value!r}")
        return value

    def topic_settings(self, overrides: Mapping[str, str]) -> TopicSettings:
        """The values that the data plane obeys, for a topic with these overrides."""
        return _topic_settings(lambda name: self._layers.topic_value(name, overrides))

    def lead(self, follower: Follower) -> None:
        """Brings every change of a broker config to ``follower`` from now on."""
        self._followers.append(follower)

    async def bring(self) -> None:
        """Brings the values as they are to all followers."""
        for follower in self._followers:
            await follower.follow(self._layers.value)

    # ---- describing ------------------------------------------------------------------------------------------------

    def describe(
        self, resource_type: ResourceType, name: str, names: Collection[str] | None = None
    ) -> list[ConfigEntry]:
        """The configs of a resource, sorted by name; with ``names`` only those. Raises InvalidRequest, InvalidTopic,
        UnknownTopicOrPartition.
        """
        if resource_type is ResourceType.TOPIC:
            return list(self._layers.topic_entries(self._topic(name).configs, names))
        if resource_type is ResourceType.BROKER:
            if name == EVERY_BROKER:
                return list(self._layers.default_broker_entries(names))
            self.check_node_id(name)
            return list(self._layers.broker_entries(names))
        if resource_type is ResourceType.GROUP:
            if not name:
                raise InvalidRequest("The name of a group must not be empty")
            return list(self._layers.group_entries(self._repository.get(ResourceType.GROUP, name), names))
        if resource_type is ResourceType.CLIENT_METRICS:
            check_client_metrics_name(name)
            overrides = self._repository.get(ResourceType.CLIENT_METRICS, name)
            return list(self._layers.client_metrics_entries(overrides, names))
        raise InvalidRequest(f"Configs of the resource type {resource_type.name} are not supported")

    def resource_names(self, resource_type: ResourceType) -> Sequence[str]:
        """What of that type configs can be described of; groups are there when something is set for them."""
        if resource_type is ResourceType.TOPIC:
            return [topic.name for topic in self._topics.all()]
        if resource_type in (ResourceType.BROKER, ResourceType.BROKER_LOGGER):
            return [str(self._node_id)]
        return self._repository.names(resource_type)

    def describe_new_topic(self, overrides: Mapping[str, str]) -> list[ConfigEntry]:
        """The configs that a topic with these overrides has."""
        return list(self._layers.topic_entries(overrides))

    def check_node_id(self, name: str) -> None:
        """Raises InvalidRequest when ``name`` is not the node id of this broker."""
        try:
            node_id = int(name)
        except ValueError:
            raise InvalidRequest(f"The node id must be a whole number, but it is: {name}") from None
        if node_id != self._node_id:
            raise InvalidRequest(f"Unexpected broker id: this is broker {self._node_id}, not {name}")

    # ---- changing --------------------------------------------------------------------------------------------------

    def check_topic_configs(self, overrides: Mapping[str, str]) -> None:
        """Raises InvalidConfig when these overrides cannot belong to a topic."""
        keys = topic_keys()
        unknown = [name for name in overrides if name not in keys]
        if unknown:
            raise InvalidConfig(f"Unknown topic config name: {unknown[0]}")
        _check_values(keys, overrides)
        low = self._layers.topic_value("min.compaction.lag.ms", overrides)
        high = self._layers.topic_value("max.compaction.lag.ms", overrides)
        if isinstance(low, int) and isinstance(high, int) and low > high:
            raise InvalidConfig(f"min.compaction.lag.ms ({low}) must not exceed max.compaction.lag.ms ({high})")
        if self._layers.topic_value("remote.storage.enable", overrides):
            raise InvalidConfig("This broker has no tiered storage, so remote.storage.enable cannot be set")

    async def alter(
        self, resource_type: ResourceType, name: str, changes: Sequence[Change], *, validate_only: bool = False
    ) -> None:
        """Changes some keys of a resource, all or none (IncrementalAlterConfigs)."""
        _refuse_repeated(key for key, _, _ in changes)
        missing = [
            key for key, operation, value in changes if value is None and operation is not ConfigOperation.DELETE
        ]
        if missing:
            raise InvalidRequest(f"A value is missing for: {', '.join(missing)}")
        await self._changing.run(self._alter(resource_type, name, changes, validate_only))

    async def _alter(
        self, resource_type: ResourceType, name: str, changes: Sequence[Change], validate_only: bool
    ) -> None:
        keys = self._keys_of(resource_type, name)
        before = self._stored(resource_type, name)
        after = dict(before)
        for key_name, operation, value in changes:
            text = _applied(keys, key_name, operation, before.get(key_name), value)
            if text is None:
                after.pop(key_name, None)
            else:
                after[key_name] = text
        await self._put(resource_type, name, after, validate_only)

    async def replace(
        self,
        resource_type: ResourceType,
        name: str,
        configs: Sequence[tuple[str, str | None]],
        *,
        validate_only: bool = False,
    ) -> None:
        """Sets exactly these keys of a resource and unsets all others (AlterConfigs)."""
        _refuse_repeated(key for key, _ in configs)
        missing = [key for key, value in configs if value is None]
        if missing:
            raise InvalidRequest(f"A value is missing for: {', '.join(missing)}")
        self._keys_of(resource_type, name)
        texts = {key: value for key, value in configs if value is not None}
        await self._changing.run(self._put(resource_type, name, texts, validate_only))

    async def _put(self, resource_type: ResourceType, name: str, configs: dict[str, str], validate_only: bool) -> None:
        if resource_type is ResourceType.TOPIC:
            self.check_topic_configs(configs)
            topic = self._topic(name)
            if not validate_only:
                await self._put_topic(topic, configs)
            return
        if resource_type is ResourceType.BROKER:
            _check_dynamic_broker(configs, is_default=name == EVERY_BROKER)
            await self._check_broker(configs, is_default=name == EVERY_BROKER)
        elif resource_type is ResourceType.CLIENT_METRICS:
            check_client_metrics(configs)
        else:
            self._check_group(configs)
        if validate_only:
            return
        await self._repository.put(resource_type, name, configs)
        log.info("%s %s: configs are now %s", resource_type.name.lower(), name or "default", _loggable(configs))
        if resource_type is ResourceType.BROKER:
            self._load_dynamic()
            self._warn_of_no_effect(broker_keys(), configs)
            for topic in self._topics.all():
                topic.settings = self.topic_settings(topic.configs)
            await self.bring()
        elif resource_type is ResourceType.GROUP:
            self._warn_of_no_effect(group_keys(), configs)

    async def _check_broker(self, configs: Mapping[str, str], *, is_default: bool) -> None:
        """Raises InvalidRequest when this broker cannot follow; see ``_check_dynamic_broker`` for the code."""
        now = self._layers
        after = now.beside(*((now.dynamic, configs) if is_default else (configs, now.dynamic_default)))
        try:
            check_broker_change(now.value, after.value)
            for follower in self._followers:
                await follower.check(now.value, after.value)
        except InvalidConfig as error:
            raise InvalidRequest(str(error)) from error

    async def _put_topic(self, topic: Topic, configs: dict[str, str]) -> None:
        before, topic.configs = topic.configs, configs
        try:
            await self._topics.update(topic)
        except BaseException:
            topic.configs = before
            raise
        topic.settings = self.topic_settings(configs)
        self.warn_of_topic_configs(configs)
        log.info("topic %s: configs are now %s", topic.name, configs)

    def warn_of_topic_configs(self, overrides: Mapping[str, str]) -> None:
        """Says once per key that it has no effect."""
        self._warn_of_no_effect(topic_keys(), overrides)

    # ---- helpers ---------------------------------------------------------------------------------------------------

    def _topic(self, name: str) -> Topic:
        check_topic_name(name)
        topic = self._topics.get(name)
        if topic is None:
            raise UnknownTopicOrPartition
        return topic

    def _keys_of(self, resource_type: ResourceType, name: str) -> ConfigTable:
        """The table of the resource's keys. Raises InvalidRequest or InvalidTopic when it can have no configs."""
        if resource_type is ResourceType.TOPIC:
            if not name:
                raise InvalidRequest("There are no default configs for topics; set the broker's")
            check_topic_name(name)
            return topic_keys()
        if resource_type is ResourceType.BROKER:
            if name != EVERY_BROKER:
                self.check_node_id(name)
            return broker_keys()
        if resource_type is ResourceType.GROUP:
            if not name:
                raise InvalidRequest("The name of a group must not be empty")
            return group_keys()
        if resource_type is ResourceType.CLIENT_METRICS:
            check_client_metrics_name(name)
            return client_metrics_keys()
        raise InvalidRequest(f"Configs of the resource type {resource_type.name} are not supported")

    def _stored(self, resource_type: ResourceType, name: str) -> Mapping[str, str]:
        if resource_type is ResourceType.TOPIC:
            topic = self._topics.get(name)
            return topic.configs if topic is not None else {}
        return self._repository.get(resource_type, name)

    def _load_dynamic(self) -> None:
        self._layers.dynamic = self._repository.get(ResourceType.BROKER, str(self._node_id))
        self._layers.dynamic_default = self._repository.get(ResourceType.BROKER, EVERY_BROKER)
        self._layers.forget()

    def _check_group(self, configs: Mapping[str, str]) -> None:
        keys = group_keys()
        unknown = [name for name in configs if name not in keys]
        if unknown:
            raise InvalidConfig(f"Unknown group config name: {unknown[0]}")
        _check_values(keys, configs)
        for name in configs:
            value = self._layers.group_value(name, configs)
            family, _, rest = name.partition(".")
            rest = rest.removeprefix("num.")
            low, high = self._limit(f"group.{family}.min.{rest}"), self._limit(f"group.{family}.max.{rest}")
            if isinstance(value, int) and ((low is not None and value < low) or (high is not None and value > high)):
                raise InvalidConfig(f"{name} is {value}, but this broker allows it from {low} to {high}")
        for family in ("consumer", "share", "streams"):
            session = self._layers.group_value(f"{family}.session.timeout.ms", configs)
            heartbeat = self._layers.group_value(f"{family}.heartbeat.interval.ms", configs)
            if isinstance(session, int) and isinstance(heartbeat, int) and session <= heartbeat:
                raise InvalidConfig(f"{family}.session.timeout.ms must exceed {family}.heartbeat.interval.ms")

    def _limit(self, name: str) -> int | None:
        value = self._layers.value(name) if name in broker_keys() else None
        return value if isinstance(value, int) else None

    def _warn_of_no_effect(self, keys: ConfigTable, configs: Iterable[str]) -> None:
        for name in configs:
            if name in self._warned or (name in keys and keys[name].has_effect):
                continue
            self._warned.add(name)
            reason = "has no effect in this broker" if name in keys else "is not a config that this broker knows"
            log.warning("Config %s %s", name, reason)


def _refuse_repeated(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidRequest(f"The key {name} is named twice")
        seen.add(name)


def _applied(
    keys: ConfigTable, name: str, operation: ConfigOperation, current: str | None, value: str | None
) -> str | None:
    if name in keys:
        return apply_operation(keys[name], operation, current, value)
    if operation in (ConfigOperation.APPEND, ConfigOperation.SUBTRACT):
        raise InvalidConfig(f"Cannot {operation.name} to {name}: it is not a known list")
    return value if operation is ConfigOperation.SET else None


def _check_values(keys: ConfigTable, configs: Mapping[str, str]) -> None:
    for name, text in configs.items():
        if name in keys:
            keys[name].parse(text)


def _check_dynamic_broker(configs: Mapping[str, str], *, is_default: bool) -> None:
    """Raises InvalidRequest: Apache Kafka answers that, and not INVALID_CONFIG, for anything wrong with a broker's
    configs. A key that is not known at all is taken, because plugins have keys of their own there.
    """
    keys = broker_keys()
    read_only = sorted(name for name in configs if name in keys and not keys[name].is_dynamic)
    if read_only:
        raise InvalidRequest(f"Cannot update these configs dynamically: {', '.join(read_only)}")
    own = sorted(name for name in configs if name in keys and keys[name].update == "per-broker")
    if is_default and own:
        raise InvalidRequest(f"These configs must be set per broker, not for all at once: {', '.join(own)}")
    try:
        _check_values(keys, configs)
    except InvalidConfig as error:
        raise InvalidRequest(str(error)) from error


def _loggable(configs: Mapping[str, str]) -> dict[str, str]:
    """Without the values of passwords and of keys that nobody knows."""
    known = {**broker_keys(), **group_keys(), **client_metrics_keys()}
    return {
        name: text if name in known and not known[name].is_sensitive else "[hidden]" for name, text in configs.items()
    }


def _topic_settings(value: Callable[[str], ConfigValue]) -> TopicSettings:
    def number(name: str) -> int:
        found = value(name)
        assert isinstance(found, int)
        return found

    policies = value("cleanup.policy")
    assert isinstance(policies, list)
    # Smaller segments than segment.bytes allows are reserved to tests, in Apache Kafka too.
    segment_bytes = value("internal.segment.bytes") or value("segment.bytes")
    assert isinstance(segment_bytes, int)
    return TopicSettings(
        max_message_bytes=number("max.message.bytes"),
        compression_type=str(value("compression.type")),
        compression_gzip_level=number("compression.gzip.level"),
        compression_lz4_level=number("compression.lz4.level"),
        compression_zstd_level=number("compression.zstd.level"),
        log_append_time=value("message.timestamp.type") == "LogAppendTime",
        message_timestamp_before_ms_max=number("message.timestamp.before.max.ms"),
        message_timestamp_after_ms_max=number("message.timestamp.after.max.ms"),
        cleanup_compact="compact" in policies,
        cleanup_delete="delete" in policies,
        retention_ms=number("retention.ms"),
        retention_bytes=number("retention.bytes"),
        segment_bytes=segment_bytes,
        segment_ms=number("segment.ms"),
        segment_index_bytes=number("segment.index.bytes"),
        index_interval_bytes=number("index.interval.bytes"),
        flush_messages=number("flush.messages"),
        flush_ms=number("flush.ms"),
        file_delete_delay_ms=number("file.delete.delay.ms"),
        min_cleanable_dirty_ratio=float(str(value("min.cleanable.dirty.ratio"))),
        delete_retention_ms=number("delete.retention.ms"),
        min_compaction_lag_ms=number("min.compaction.lag.ms"),
        max_compaction_lag_ms=number("max.compaction.lag.ms"),
    )
