"""The driver's side of tests/clients/PROTOCOL.md for drivers written in Python.

Owns: reading requests, writing answers, records as JSON. Must never know: any client library.
"""

from __future__ import annotations

import base64
import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
Operation = Callable[..., Json]

WAIT_SECONDS_MAX = 20.0


def encode(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def headers_of(record: Json) -> list[tuple[str, bytes | None]]:
    return [(name, decode(value)) for name, value in record["headers"]]


def record(
    partition: int,
    offset: int,
    timestamp: int,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, bytes | None]],
) -> Json:
    """A record that was read, in the shape the tests compare."""
    return {
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp,
        "key": encode(key),
        "value": encode(value),
        "headers": [[name, encode(data)] for name, data in headers],
    }


class Deadline:
    """Ends a wait with an error that says what was waited for, instead of a hang that says nothing."""

    def __init__(self, waiting_for: str, seconds: float = WAIT_SECONDS_MAX) -> None:
        self._waiting_for = waiting_for
        self._ends = time.monotonic() + seconds

    def check(self, seen: object = "") -> None:
        if time.monotonic() > self._ends:
            raise TimeoutError(f"waited too long for {self._waiting_for}; seen so far: {seen!s:.500}")


# What a client can do with a broker of an older release: no administration, and what the message format allows.
OLD_OPERATIONS = ("produce", "consume", "consume_from_time", "group_of_two", "consume_group")


def lacks_before(release: tuple[int, ...]) -> dict[str, str]:
    """What a client cannot do when it takes the broker for one of that release."""
    lacks = {"zstd": "since Kafka 2.1"} if release < (2, 1) else {}
    if release < (0, 11):
        lacks |= {"headers": "since Kafka 0.11", "idempotent": "since Kafka 0.11"}
    if release < (0, 10, 1):
        lacks |= {"consume_from_time": "since Kafka 0.10.1"}
    if release < (0, 10):
        lacks |= {"timestamp": "since Kafka 0.10"}
    return lacks


def arguments(argv: list[str]) -> tuple[str, tuple[int, ...] | None]:
    """`[--as RELEASE] BOOTSTRAP`: the broker's address, and the release that the client shall take it for."""
    release = tuple(int(each) for each in argv[2].split(".")) if argv[1] == "--as" else None
    return argv[-1], release


def serve(greeting: Json, operations: dict[str, Operation], close: Callable[[], None] = lambda: None) -> None:
    """Greets, then answers requests until the input ends."""
    # A library that prints to standard output would break the protocol: it gets standard error instead.
    out, sys.stdout = sys.stdout, sys.stderr

    def say(line: Json) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    say({**greeting, "can": sorted(operations)})
    for line in sys.stdin:
        arguments = json.loads(line)
        answer: Json
        try:
            answer = {"ok": operations[arguments.pop("op")](**arguments)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        say(answer)
    close()
