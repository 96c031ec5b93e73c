"""Owns: Apache Kafka's own message classes as a judge - the process that runs them and how their JSON reads.

Must never know: our own codec, the wire format.

One JVM serves a whole test session with every release in it (``java/MessageOracle.java``, run from source).
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codegen.spec import Field, Message
from tests.generated.interpreter import Value, defaults
from tests.peers import jvm

RELEASES = (jvm.NEWEST, jvm.OLD_PROTOCOL)

_SOURCE = Path(__file__).with_name("java") / "MessageOracle.java"
_OPTIONS = ("-Xmx256m", "-Xss2m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Java made of some bytes; all three are None when the release lacks the message or the version."""

    data: bytes | None = None
    """The decoded message, encoded again."""
    json: Mapping[str, Any] | None = None
    error: str | None = None

    @property
    def absent(self) -> bool:
        return self.data is None and self.error is None


class JavaPeer:
    """A running oracle; a context manager. Raises PeerMissingError where Java or the jars are missing."""

    def __init__(self) -> None:
        paths = [f"{release}={jvm.class_path(release)}" for release in RELEASES]
        self._process = subprocess.Popen(
            [jvm.java(), *_OPTIONS, str(_SOURCE), *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> JavaPeer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)

    def judge(self, release: str, message: Message, batch: Sequence[tuple[int, bytes]]) -> list[Verdict]:
        """One verdict per pair of version and bytes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        name = message.name if message.type == "data" else f"{message.name}Data"
        lines = [f"{release}\t{name}\t{version}\t{data.hex()}\n" for version, data in batch]
        self._process.stdin.write("".join(lines) + "\n")
        self._process.stdin.flush()
        return [_verdict(self._process.stdout.readline()) for _ in batch]


def _verdict(line: str) -> Verdict:
    columns = line.rstrip("\n").split("\t")
    match columns[0]:
        case "ok":
            return Verdict(data=bytes.fromhex(columns[1]), json=json.loads(columns[2]))
        case "absent":
            return Verdict()
        case "error":
            return Verdict(error=columns[1])
        case _:
            raise AssertionError(f"the oracle died or answered {line!r}")


def as_java_shows_it(message: Message, version: int, value: Mapping[str, Value]) -> dict[str, Any]:
    """Our value in the JSON form of Kafka's converters.

    There a tagged field at its default is left out, bytes are base64, a uuid is URL-safe base64 without padding, and
    records are replaced with their size.
    """
    structs = dict(message.structs())

    def leaf(type_: str, part: Value) -> Any:
        if part is None:
            return None
        match type_:
            case "uuid":
                return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
            case "bytes":
                return base64.b64encode(part).decode()
            case _:
                return part

    def struct(fields: list[Field], part: Mapping[str, Value]) -> dict[str, Any]:
        unset = defaults(message, version, fields)
        result: dict[str, Any] = {}
        for item in fields:
            if version not in item.versions or (version in item.tagged and part[item.name] == unset[item.name]):
                continue
            key, inner = item.name[0].lower() + item.name[1:], part[item.name]
            if item.type == "records" and inner is not None:
                result[f"{key}SizeInBytes"] = len(inner)
            elif inner is None:
                result[key] = None
            elif item.is_struct:
                body = structs[item.element_type]
                result[key] = [struct(body, one) for one in inner] if item.is_array else struct(body, inner)
            elif item.is_array:
                result[key] = [leaf(item.element_type, one) for one in inner]
            else:
                result[key] = leaf(item.type, inner)
        return result

    return struct(message.fields, value)
