"""Adapters: one class per library that can encode and decode the benchmark's messages.

Owns: how the plain values of `cases` become each library's objects.
Must never know: clocks, rounds or tables.

An adapter's `build` may be slow; `encoder` and `decoder` return the callables that are timed, with as little of ours
around the library's own entry point as possible. Conversion follows each library's own description of a struct, so
that no message is filled by hand three times.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import importlib.metadata
import io
import re
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from tests.benchmarks.codec.cases import Case


class Library(Protocol):
    name: str
    version: str

    def build(self, case: Case) -> Any: ...

    def encoder(self, case: Case, message: Any) -> Callable[[], Any]: ...

    def decoder(self, case: Case, wire: bytes) -> Callable[[], Any]: ...


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class GeneratedCodec:
    """This project's generated code."""

    name = "kafka_protocol"

    def __init__(self) -> None:
        importlib.import_module("kafka_protocol.messages")
        self.version = importlib.metadata.version("kafka-server")

    def build(self, case: Case) -> Any:
        module = importlib.import_module(f"kafka_protocol.messages.{snake_case(case.api)}")
        return self._struct(getattr(module, case.name), case.fields)

    def _struct(self, cls: type, values: dict[str, Any]) -> Any:
        hints = typing.get_type_hints(cls)
        return cls(**{key: self._value(hints[key], value) for key, value in values.items()})

    def _value(self, hint: Any, value: Any) -> Any:
        for candidate in (hint, *typing.get_args(hint)):
            if isinstance(value, list) and typing.get_origin(candidate) is list:
                (item,) = typing.get_args(candidate)
                return [self._value(item, element) for element in value]
            if isinstance(value, dict) and dataclasses.is_dataclass(candidate):
                return self._struct(typing.cast(type, candidate), value)
        return value

    def encoder(self, case: Case, message: Any) -> Callable[[], Any]:
        encode, version = message.encode, case.version
        return lambda: encode(version)

    def decoder(self, case: Case, wire: bytes) -> Callable[[], Any]:
        decode, version = type(self.build(case)).decode, case.version
        return lambda: decode(wire, version)


class Kio:
    """kio: dataclasses per version, a writer assembled from closures, a reader in native code."""

    name = "kio"

    def __init__(self) -> None:
        self._serial = importlib.import_module("kio.serial")
        self._implicit_default = importlib.import_module("kio.serial._implicit_defaults").get_implicit_default
        self.version = importlib.metadata.version("kio")

    def _class(self, case: Case) -> type:
        module = importlib.import_module(f"kio.schema.{snake_case(case.api)}.v{case.version}.{case.kind}")
        return typing.cast(type, getattr(module, case.name))

    def build(self, case: Case) -> Any:
        return self._struct(self._class(case), case.fields)

    def _struct(self, cls: Any, values: dict[str, Any]) -> Any:
        built = {}
        for field in dataclasses.fields(cls):
            key = field.name
            kafka_type = field.metadata.get("kafka_type", "")
            if kafka_type.startswith("timedelta"):
                key = f"{key}_ms"  # kio drops the unit from the name of a duration
            if key in values:
                built[field.name] = self._value(field.type, kafka_type, values[key])
            elif field.default is dataclasses.MISSING:
                built[field.name] = self._default(field.type, kafka_type)
        unknown = values.keys() - {field.name for field in dataclasses.fields(cls)}
        if any(not key.endswith("_ms") for key in unknown):
            raise KeyError(f"{cls.__name__} has no field {sorted(unknown)}")
        return cls(**built)

    def _default(self, hint: Any, kafka_type: str) -> Any:
        if kafka_type.startswith("timedelta"):
            return datetime.timedelta()
        if kafka_type == "error_code":
            return hint(0)
        if kafka_type == "uuid" or types.NoneType in typing.get_args(hint):
            return None
        if typing.get_origin(hint) is tuple:
            return ()
        return False if hint is bool else self._implicit_default(hint)

    def _value(self, hint: Any, kafka_type: str, value: Any) -> Any:
        if kafka_type.startswith("timedelta"):
            return datetime.timedelta(milliseconds=value)
        if kafka_type == "uuid":
            return uuid.UUID(bytes=value) if any(value) else None
        if isinstance(value, list):
            tuples = [each for each in (hint, *typing.get_args(hint)) if typing.get_origin(each) is tuple]
            item = typing.get_args(tuples[0])[0]
            return tuple(self._value(item, kafka_type, element) for element in value)
        return self._struct(hint, value) if isinstance(value, dict) else value

    def encoder(self, case: Case, message: Any) -> Callable[[], Any]:
        write = self._serial.entity_writer(type(message))

        def encode() -> bytes:
            buffer = io.BytesIO()
            write(buffer, message)
            return buffer.getvalue()

        return encode

    def decoder(self, case: Case, wire: bytes) -> Callable[[], Any]:
        read = self._serial.entity_reader(self._class(case))
        return lambda: read(wire, 0)[0]


class KafkaPython:
    """kafka-python: one class per message, functions compiled at run time from the schemas in its wheel."""

    name = "kafka-python"
    _packages = ("metadata", "consumer", "producer")
    # kafka-python replaces these bit fields by sets, under a shorter name; unset is None there.
    _renamed: dict[str, str] = {}

    def __init__(self) -> None:
        self._modules = [importlib.import_module(f"kafka.protocol.{package}") for package in self._packages]
        self.version = importlib.metadata.version("kafka-python")

    def _class(self, case: Case) -> Any:
        return next(getattr(module, case.name) for module in self._modules if hasattr(module, case.name))

    def build(self, case: Case) -> Any:
        cls = self._class(case)
        return cls(version=case.version, **self._values(cls._struct, case.fields, case.version))

    def _values(self, struct: Any, values: dict[str, Any], version: int) -> dict[str, Any]:
        return {key: self._value(struct.fields[key], value, version) for key, value in values.items()}

    def _value(self, field: Any, value: Any, version: int) -> Any:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            cls = field.data_class
            return [cls(version=version, **self._values(field, item, version)) for item in value]
        if isinstance(value, bytes) and field._type_str == "uuid":
            return uuid.UUID(bytes=value)
        return value

    def encoder(self, case: Case, message: Any) -> Callable[[], Any]:
        encode, version = message.encode, case.version
        return lambda: encode(version)

    def decoder(self, case: Case, wire: bytes) -> Callable[[], Any]:
        decode, version = self._class(case).decode, case.version
        return lambda: decode(wire, version)


def installed_libraries() -> list[Library]:
    """Ours first; a peer that is not installed is left out."""
    libraries: list[Library] = []
    for candidate in (GeneratedCodec, Kio, KafkaPython):
        try:
            libraries.append(candidate())
        except ModuleNotFoundError:
            continue
    return libraries
