"""Records that tell a mistake: every one is unique, names itself and carries its digest.

Owns: making records within what a client can send, comparing what came back. Must never know: any client.
"""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Any

Record = dict[str, Any]

# A filler that repeats: clients send a batch uncompressed when compression does not make it smaller.
FILLER = b"the quick brown fox jumps over the lazy dog; " * 12


def text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()


def make(
    label: str,
    count: int = 12,
    *,
    partitions: int | list[int] = 3,
    lacks: dict[str, str] | None = None,
    start_ms: int | None = None,
) -> list[Record]:
    """`count` records, a second apart, dealt to the partitions in turn.

    Among them are what breaks encoders: bytes that are no UTF-8, an empty value, a null key, a null value (the
    tombstone), an empty, a null and a repeated header. `lacks` names what the client cannot send.
    """
    lacks = lacks or {}
    numbers = list(range(partitions)) if isinstance(partitions, int) else partitions
    first_ms = start_ms if start_ms is not None else int(time.time() * 1000) - 3_600_000
    made = []
    for index in range(count):
        body = f"{label}/{index}:".encode() + FILLER + bytes(range(256))
        if "binary" in lacks:
            body = f"{label}/{index}:".encode() + FILLER
        value: bytes | None = hashlib.sha256(body).hexdigest().encode() + b" " + body
        key: bytes | None = f"key-{label}-{index % 4}".encode()
        headers: list[list[str | None]] = [["origin", text(label.encode())], ["n", text(str(index).encode())]]
        if index == 1 and "empty_value" not in lacks:
            value = b""
        if index == 2 and "null_key" not in lacks:
            key = None
        if index == 3 and "null_value" not in lacks:
            value = None
        if index == 4 and not {"binary", "binary_header"} & lacks.keys():
            headers.append(["bytes", text(b"\x00\xff\xfe")])
        if index == 5 and "empty_header" not in lacks:
            headers.append(["empty", text(b"")])
        if index == 6 and "null_header" not in lacks:
            headers.append(["null", None])
        if index == 7 and "repeated_header" not in lacks:
            headers.append(["origin", text(b"again")])
        made.append(
            {
                "partition": numbers[index % len(numbers)],
                "key": text(key),
                "value": text(value),
                "headers": [] if "headers" in lacks else headers,
                "timestamp": first_ms + index * 1000,
            }
        )
    return made


def comparable(records: list[Record], *, lacks: dict[str, str] | None = None) -> dict[int, list[Record]]:
    """Records by partition, in the order they have there, without what the reading client does not show."""
    hidden = {"offset", *(["headers"] if "headers" in (lacks or {}) else [])}
    if "timestamp" in (lacks or {}):
        hidden.add("timestamp")
    by_name = "header_order" in (lacks or {})
    by_partition: dict[int, list[Record]] = {}
    for each in sorted(records, key=lambda record: (record["partition"], record.get("offset", 0))):
        shown = {name: value for name, value in each.items() if name not in hidden}
        if "binary_header" in (lacks or {}) and "headers" in shown:
            shown["headers"] = [header for header in shown["headers"] if header[0] != "bytes"]
        if by_name and "headers" in shown:
            shown["headers"] = sorted(shown["headers"], key=lambda header: header[0])
        by_partition.setdefault(each["partition"], []).append(shown)
    return by_partition


def assert_same(read: list[Record], written: list[Record], *, lacks: dict[str, str] | None = None) -> None:
    """What was read is, byte for byte and partition by partition, what was written; its digests say so too."""
    for each in read:
        value = base64.b64decode(each["value"] or "")
        if value:
            digest, _, body = value.partition(b" ")
            assert hashlib.sha256(body).hexdigest().encode() == digest, f"a damaged value: {each}"
    got, expected = comparable(read, lacks=lacks), comparable(written, lacks=lacks)
    sizes = {partition: len(each) for partition, each in got.items()}
    assert sizes == {partition: len(each) for partition, each in expected.items()}, "records per partition"
    for partition, records in expected.items():
        for index, (one, other) in enumerate(zip(got[partition], records, strict=True)):
            for part in other:
                assert one[part] == other[part], f"{part} of record {index} in partition {partition}"
