"""Owns: what was asked, what was answered, and when - as JSON lines. Must never know: brokers, clients, what is right.

Every operation is an ``invoke`` followed by one of ``ok``, ``fail`` (it certainly did not happen) or ``info`` (it may
have happened: a time-out, a lost connection). A value is unique and carries its own proof: ``<seed>:<worker>:<number>:
<timestamp>:<padding>:<digest>``. Key, headers and timestamp of its record follow from the value, so that whoever reads
the record knows what they have to be.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

Kind = Literal["invoke", "ok", "fail", "info", "fault", "note"]
Event = dict[str, Any]


class History:
    """Events in the order in which they became known; every line reaches the file at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self._file = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def add(self, kind: Kind, worker: str, operation: str, **facts: Any) -> None:
        event = {
            "t": self.now(),
            "kind": kind,
            "worker": worker,
            "op": operation,
            **facts,
        }
        with self._lock:
            self.events.append(event)
            self._file.write(json.dumps(event) + "\n")
            self._file.flush()

    def now(self) -> float:
        """Seconds since the history began, as in ``t``."""
        return round(time.monotonic() - self._began, 6)

    def of(self, kind: Kind, operation: str) -> Iterator[Event]:
        return (e for e in self.events if e["kind"] == kind and e["op"] == operation)

    def close(self) -> None:
        self._file.close()


class Dress(NamedTuple):
    """What a record has besides its value."""

    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


def make_value(seed: int, worker: str, number: int, size: int) -> bytes:
    """A value nobody else makes, of about ``size`` bytes."""
    head = f"{seed}:{worker}:{number}:{time.time_ns() // 1_000_000}:"
    body = head + "x" * max(0, size - len(head) - 17)
    return f"{body}:{hashlib.sha256(body.encode()).hexdigest()[:16]}".encode()


def dress_of(value: bytes) -> Dress:
    """Key, headers and timestamp that belong to a value of ``make_value``: none, empty and several of each."""
    _, worker, number, timestamp, _ = value.split(b":", 4)
    kind = int(number) % 4
    key = None if kind == 0 else b"" if kind == 1 else b"key-" + number
    headers = (("hdr-worker", worker), ("hdr-empty", b""), ("hdr-worker", value[-16:]))[: int(number) % 3 + kind % 2]
    return Dress(key, headers, int(timestamp))


def is_intact(value: bytes) -> bool:
    """Whether a value still proves itself."""
    body, _, digest = value.rpartition(b":")
    return hashlib.sha256(body).hexdigest()[:16].encode() == digest


def sender_of(value: bytes) -> tuple[str, int]:
    """The worker that made a value, and its number."""
    _, worker, number, _ = value.split(b":", 3)
    return worker.decode(), int(number)


def identity(value: bytes) -> str:
    """The part of a value that is enough to tell it from all others: what histories write down."""
    return b":".join(value.split(b":", 3)[:3]).decode()
