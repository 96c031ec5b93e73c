"""Looks at stored batches over a plain socket, to see what no client shows: the codec of each batch.

Owns: one Fetch v4 request and the batch headers in its answer, byte by byte. Must never know: any client library,
kafka_protocol (a mistake there must not hide itself here).
"""

from __future__ import annotations

import socket
import struct

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
FETCH, VERSION = 1, 4


def batch_codecs(bootstrap: str, topic: str, partition: int) -> list[str]:
    """The codec of every batch of the partition, from its first offset on."""
    error_code, stored = _fetch(bootstrap, topic, partition)
    assert error_code == 0, f"Fetch answers error {error_code}"
    return [CODECS[code] for code in _codes(stored)]


def serves(bootstrap: str, topic: str, partition: int) -> bool:
    """Whether the broker answers for the partition: Kafka lists a new partition a moment before it leads it."""
    return _fetch(bootstrap, topic, partition)[0] == 0


def _fetch(bootstrap: str, topic: str, partition: int) -> tuple[int, bytes]:
    """The error code and the records in the answer to a Fetch from offset 0 that does not wait."""
    host, port = bootstrap.rsplit(":", 1)
    name = topic.encode()
    header = struct.pack(">hhih", FETCH, VERSION, 1, -1)
    # replica -1, wait 0 ms for 0 bytes, at most 50 MiB, read uncommitted; one topic, one partition from offset 0
    body = struct.pack(">iiiibi", -1, 0, 0, 50 << 20, 0, 1)
    body += struct.pack(f">h{len(name)}si", len(name), name, 1)
    body += struct.pack(">iqi", partition, 0, 50 << 20)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(struct.pack(">i", len(header + body)) + header + body)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        answer = _exactly(connection, size)
    at = 4 + 4 + 4 + 2 + len(name) + 4  # correlation id, throttle time, topic count, topic, partition count
    _, error_code, _, _, aborted = struct.unpack_from(">ihqqi", answer, at)
    at += 26 + max(aborted, 0) * 16
    (length,) = struct.unpack_from(">i", answer, at)
    return error_code, answer[at + 4 : at + 4 + max(length, 0)]


def _codes(records: bytes) -> list[int]:
    """The low three bits of the attributes: v2 batches have them in byte 22, older messages in byte 17."""
    codes, at = [], 0
    while at + 17 < len(records):
        (length,) = struct.unpack_from(">i", records, at + 8)
        magic = records[at + 16]
        codes.append((records[at + 22] if magic == 2 else records[at + 17]) & 7)
        at += 12 + length
    return codes


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        assert chunk, "the broker closed the connection"
        data += chunk
    return bytes(data)
