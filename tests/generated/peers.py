"""Owns: kio and kafka-python as judges - how each encodes and decodes one of our plain values.

Must never know: our own codec, the wire format. Each adapter only renames and retypes.
"""

from __future__ import annotations

import importlib
import io
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import Field as DataclassField
from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import kafka.protocol
from kafka.protocol.api_data import ApiData
from kafka.protocol.api_message import ApiMessage
from kio.index import load_entity_schema
from kio.schema.errors import ErrorCode
from kio.schema.index import schema_name_map
from kio.serial import entity_reader, entity_writer
from kio.serial._introspect import is_optional
from kio.static.constants import EntityType

from codegen.spec import Field, Message
from tests.generated.interpreter import Value, defaults

_ZERO_UUID = bytes(16)


class Peer(Protocol):
    """Another implementation of the protocol."""

    name: str

    def covers(self, message: Message, version: int) -> bool:
        """True when the peer knows this message at this version."""

    def fit(self, message: Message, version: int, value: Value) -> Value:
        """The value with those leaves replaced that the peer's Python types cannot hold (an unknown error code)."""

    def encode(self, message: Message, version: int, value: Value) -> bytes: ...

    def decode(self, message: Message, version: int, data: bytes) -> Value: ...


def snake(name: str) -> str:
    """ThrottleTimeMs -> throttle_time_ms."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _stem(message: Message) -> str:
    """FetchRequest -> Fetch; a message that is neither request nor response keeps its name."""
    return message.name.removesuffix("Request").removesuffix("Response")


class KafkaPython:
    """kafka-python 3: one class per message, schemas read at import."""

    name = "kafka-python"

    _NAMES = {
        ("TxnOffsetCommitRequest", "GenerationIdOrMemberEpoch"): "generation_id",
        ("DescribeClusterResponse", "ClusterAuthorizedOperations"): "authorized_operations",
        ("MetadataResponse", "ClusterAuthorizedOperations"): "authorized_operations",
        ("MetadataResponse", "TopicAuthorizedOperations"): "authorized_operations",
    }
    """Kafka renamed the first; the others are kafka-python's own names."""

    _BIT_FIELDS = frozenset({*_NAMES, ("DescribeGroupsResponse", "AuthorizedOperations")}) - {
        ("TxnOffsetCommitRequest", "GenerationIdOrMemberEpoch")
    }
    """Sets of bit numbers there; None stands for the one value that means "not asked for"."""

    _NOT_ASKED = -(2**31)

    def __init__(self) -> None:
        self._classes: dict[str, Any] = {}
        for package in ("admin", "consumer", "metadata", "producer", "sasl"):
            root = importlib.import_module(f"{kafka.protocol.__name__}.{package}")
            names = [item.name for item in pkgutil.iter_modules(getattr(root, "__path__", ()), f"{root.__name__}.")]
            for module in (root, *map(importlib.import_module, names)):
                for found in vars(module).values():
                    if isinstance(found, type) and issubclass(found, ApiMessage | ApiData):
                        self._classes[found.__name__] = found

    def covers(self, message: Message, version: int) -> bool:
        found = self._classes.get(message.name)
        if found is None or found._struct is None:
            return False
        low, high = found._valid_versions
        return bool(low <= version <= high)

    def fit(self, message: Message, version: int, value: Value) -> Value:
        # Its ApiVersionsResponse reads version 0 whenever the error code is set, as a client that probes has to.
        return {**value, "ErrorCode": 0} if message.name == "ApiVersionsResponse" else value

    def encode(self, message: Message, version: int, value: Value) -> bytes:
        found = self._classes[message.name]
        arguments = self._arguments(message, version, message.fields, value, found)
        return bytes(found(version=version, **arguments).encode(version=version, header=False))

    def _arguments(
        self, message: Message, version: int, fields: list[Field], value: Mapping[str, Value], owner: Any
    ) -> dict[str, Any]:
        structs = dict(message.structs())

        def convert(item: Field, part: Value) -> Any:
            if part is None:
                return None
            if (message.name, item.name) in self._BIT_FIELDS:
                return None if part == self._NOT_ASKED else {bit for bit in range(32) if part >> bit & 1}
            if item.is_array and not item.is_struct:
                return [_to_uuid(one) if item.element_type == "uuid" else one for one in part]
            if item.is_struct:
                inner: Any = owner._struct.fields[self._name(message, item)]
                body = structs[item.element_type]
                built = [
                    inner(version=version, **self._arguments(message, version, body, one, inner.data_class))
                    for one in (part if item.is_array else [part])
                ]
                return built if item.is_array else built[0]
            return _to_uuid(part) if item.type == "uuid" else part

        here = [item for item in fields if item.name in value]
        # A tagged struct has no default object there: unset is None.
        unset = defaults(message, version, fields)
        return {
            self._name(message, item): convert(item, value[item.name])
            for item in here
            if not (version in item.tagged and value[item.name] == unset[item.name])
        }

    def decode(self, message: Message, version: int, data: bytes) -> Value:
        decoded = self._classes[message.name].decode(data, version=version, header=False)
        return self._plain(message, version, message.fields, decoded)

    def _plain(self, message: Message, version: int, fields: list[Field], decoded: Any) -> Value:
        structs = dict(message.structs())
        unset = defaults(message, version, fields)

        def convert(item: Field, part: Any) -> Value:
            if (message.name, item.name) in self._BIT_FIELDS:
                bits = self._NOT_ASKED if part is None else sum(1 << bit for bit in part)
                return bits - (1 << 32) if bits >= 1 << 31 else bits
            if item.element_type == "uuid":
                return [_from_uuid(one) for one in part] if item.is_array and part is not None else _from_uuid(part)
            if part is None:
                return unset[item.name] if version in item.tagged else None
            if item.is_struct:
                inner = structs[item.element_type]
                if item.is_array:
                    return [self._plain(message, version, inner, one) for one in part]
                return self._plain(message, version, inner, part)
            return bytes(part) if item.type in {"bytes", "records"} else part

        return {
            item.name: convert(item, getattr(decoded, self._name(message, item)))
            for item in fields
            if version in item.versions
        }

    def _name(self, message: Message, item: Field) -> str:
        return self._NAMES.get((message.name, item.name)) or snake(item.name)


def _to_uuid(raw: bytes) -> UUID | None:
    return None if raw == _ZERO_UUID else UUID(bytes=raw)


def _from_uuid(value: UUID | None) -> bytes:
    return _ZERO_UUID if value is None else value.bytes


class Kio:
    """kio 0.6: one frozen dataclass per struct and version; times are timedelta and datetime, error codes an enum."""

    name = "kio"

    _KINDS = {
        "request": EntityType.request,
        "response": EntityType.response,
        "header": EntityType.header,
        "data": EntityType.data,
    }

    def __init__(self) -> None:
        self._codes = [code.value for code in ErrorCode]

    def covers(self, message: Message, version: int) -> bool:
        by_version = schema_name_map.get(snake(_stem(message)), {})
        return self._KINDS[message.type] in by_version.get(version, {})

    def _entity(self, message: Message, version: int) -> Any:
        return load_entity_schema(snake(_stem(message)), version, self._KINDS[message.type])  # type: ignore[arg-type]

    def fit(self, message: Message, version: int, value: Value) -> Value:
        return self._walk(message, version, message.fields, self._entity(message, version), value, self._fit)

    def encode(self, message: Message, version: int, value: Value) -> bytes:
        entity = self._entity(message, version)
        filled = self._walk(message, version, message.fields, entity, value, self._wrap, build=True)
        stream = io.BytesIO()
        entity_writer(entity)(stream, filled)
        return stream.getvalue()

    def decode(self, message: Message, version: int, data: bytes) -> Value:
        entity = self._entity(message, version)
        decoded, taken = entity_reader(entity)(data, 0)
        if taken != len(data):
            raise ValueError(f"kio read {taken} of {len(data)} bytes")
        return self._unwrap_struct(message, version, message.fields, decoded)

    def _pairs(self, version: int, fields: list[Field], entity: Any) -> list[tuple[Field, DataclassField[Any]]]:
        """Our field beside theirs: both keep the schema's order, their names drop units such as ``_ms``."""
        here = [item for item in fields if version in item.versions]
        return list(zip(here, dataclass_fields(entity), strict=True))

    def _walk(
        self,
        message: Message,
        version: int,
        fields: list[Field],
        entity: Any,
        value: Mapping[str, Value],
        leaf: Any,
        build: bool = False,
    ) -> Any:
        structs = dict(message.structs())
        result: dict[str, Any] = {}
        for item, theirs in self._pairs(version, fields, entity):
            part = value[item.name]
            key = theirs.name if build else item.name
            if part is None:
                result[key] = None
            elif item.is_struct:
                inner = _inner_entity(theirs.type)
                many = part if item.is_array else [part]
                done = [
                    self._walk(message, version, structs[item.element_type], inner, one, leaf, build) for one in many
                ]
                result[key] = (tuple(done) if build else done) if item.is_array else done[0]
            elif item.is_array:
                done = [leaf(theirs, one) for one in part]
                result[key] = tuple(done) if build else done
            else:
                result[key] = leaf(theirs, part)
        return entity(**result) if build else result

    def _fit(self, theirs: DataclassField[Any], part: Value) -> Value:
        match theirs.metadata["kafka_type"]:
            case "error_code":
                return part if part in self._codes else self._codes[part % len(self._codes)]
            case "timedelta_i64":
                return part % 2**40
            case "datetime_i64":
                return -1 if part == -1 and is_optional(theirs) else part % 2**40 // 1000 * 1000
            case _:
                return part

    def _wrap(self, theirs: DataclassField[Any], part: Value) -> Any:
        match theirs.metadata["kafka_type"]:
            case "error_code":
                return ErrorCode(part)
            case "timedelta_i32" | "timedelta_i64":
                return timedelta(milliseconds=part)
            case "datetime_i64":
                return None if part == -1 else datetime.fromtimestamp(part / 1000, tz=UTC)
            case "uuid":
                return _to_uuid(part) if is_optional(theirs) else UUID(bytes=part)
            case _:
                return part

    def _unwrap_struct(self, message: Message, version: int, fields: list[Field], decoded: Any) -> Value:
        structs = dict(message.structs())
        result: dict[str, Value] = {}
        for item, theirs in self._pairs(version, fields, type(decoded)):
            part = getattr(decoded, theirs.name)
            if item.is_struct and part is not None:
                inner = structs[item.element_type]
                result[item.name] = (
                    [self._unwrap_struct(message, version, inner, one) for one in part]
                    if item.is_array
                    else self._unwrap_struct(message, version, inner, part)
                )
            elif item.is_array and part is not None:
                result[item.name] = [_unwrap(theirs, one) for one in part]
            elif item.is_array or item.is_struct:
                result[item.name] = None
            else:
                result[item.name] = _unwrap(theirs, part)
        return result


def _unwrap(theirs: DataclassField[Any], part: Any) -> Value:
    match theirs.metadata["kafka_type"]:
        case "error_code":
            return part.value
        case "timedelta_i32" | "timedelta_i64":
            return part // timedelta(milliseconds=1)
        case "datetime_i64":
            return -1 if part is None else round(part.timestamp() * 1000)
        case "uuid":
            return _from_uuid(part)
        case _:
            return bytes(part) if isinstance(part, bytes | memoryview) else part


def _inner_entity(annotation: Any) -> Any:
    """The dataclass inside ``X | None``, ``tuple[X, ...]`` or ``tuple[X, ...] | None``."""
    while not isinstance(annotation, type) or not hasattr(annotation, "__dataclass_fields__"):
        annotation = next(part for part in annotation.__args__ if part not in (type(None), ...))
    return annotation
