"""Driver of kcat, the command line client on librdkafka: every operation is one run of the program.

kcat has no administration beyond listing, so topics and groups are left to other clients.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients.drivers.wire import WAIT_SECONDS_MAX, Deadline, Json, decode, headers_of, record, serve

# The program writes the parts of a record after each other; lengths, -1 for null, make them safe to cut apart.
FORMAT = "%p %o %T %K %S %k%s %h\x1e\n"
END_OF_RECORD = b"\x1e\n"


class Driver:
    def __init__(self, bootstrap: str) -> None:
        self.base = ["kcat", "-b", bootstrap, "-X", "broker.address.family=v4"]

    def list_topics(self) -> Json:
        return {"topics": [each["topic"] for each in json.loads(self._run("-L", "-J"))["topics"]]}

    def describe_topic(self, topic: str) -> Json:
        (described,) = json.loads(self._run("-L", "-J", "-t", topic))["topics"]
        if "error" in described:
            raise RuntimeError(described["error"])
        return {"partitions": len(described["partitions"])}

    def produce(self, topic: str, codec: str, idempotent: bool, records: list[Json]) -> Json:
        """One run per record: headers and the null key belong to a run. A file is sent whole as one value."""
        for each in records:
            key, value = decode(each["key"]), decode(each["value"])
            arguments = ["-P", "-t", topic, "-p", str(each["partition"]), "-z", codec]
            arguments += ["-X", f"enable.idempotence={str(idempotent).lower()}"]
            for name, data in headers_of(each):
                arguments += ["-H", name if data is None else f"{name}={data.decode()}"]
            if not value:
                # An empty file sends nothing: an empty value is a line that ends after its key, a null one with -Z.
                assert key is not None
                self._bytes(*arguments, "-K:", *(["-Z"] if value is None else []), stdin=key + b":\n")
                continue
            if key is not None:
                arguments += ["-k", key.decode()]
            with tempfile.NamedTemporaryFile() as file:
                Path(file.name).write_bytes(value)
                self._bytes(*arguments, file.name)
        return {"offsets": [None] * len(records)}

    def consume(self, topic: str, partitions: list[int], count: int) -> Json:
        records: list[Json] = []
        for partition in partitions:
            records += self._read("-C", "-t", topic, "-p", str(partition), "-o", "beginning", "-e")
        if len(records) != count:
            raise RuntimeError(f"read {len(records)} records, expected {count}")
        return {"records": records}

    def consume_from_time(self, topic: str, timestamp: int, count: int) -> Json:
        partitions = range(self.describe_topic(topic)["partitions"])
        answer = self._run("-Q", *(part for each in partitions for part in ("-t", f"{topic}:{each}:{timestamp}")))
        found = {match[1]: int(match[2]) for match in re.finditer(r"\[(\d+)\] offset (-?\d+)", answer)}
        records = self._read("-C", "-t", topic, "-o", f"s@{timestamp}", "-e")
        if len(records) != count:
            raise RuntimeError(f"read {len(records)} records, expected {count}")
        return {
            "offsets": {each: offset if offset >= 0 else None for each, offset in found.items()},
            "records": records,
        }

    def consume_group(self, topic: str, group: str, count: int) -> Json:
        """-c ends the run after that many records; kcat commits when it leaves."""
        return {"records": self._read(*self._member(group), "-c", str(count), topic)}

    def group_of_two(self, topic: str, group: str, records: list[Json]) -> Json:
        """kcat tells of each assignment on standard error, where this reads it from a file."""
        partitions = set(range(self.describe_topic(topic)["partitions"]))
        with tempfile.TemporaryDirectory() as folder:
            members = [_Member([*self.base, "-f", FORMAT, *self._member(group), topic], Path(folder) / "first")]
            try:
                deadline = Deadline("the first member to own every partition")
                while members[0].owned != partitions:
                    members[0].wait()
                    deadline.check(members[0].log)
                alone = sorted(members[0].owned)
                members.append(
                    _Member([*self.base, "-f", FORMAT, *self._member(group), topic], Path(folder) / "second")
                )
                first, second = members
                deadline = Deadline("both members to share the partitions")
                while not (first.owned and second.owned and first.owned ^ second.owned == partitions):
                    first.wait()
                    deadline.check((first.log, second.log))
                together = [sorted(first.owned), sorted(second.owned)]
                self.produce(topic, "none", False, records)
                deadline = Deadline("every record")
                while len(first.records + second.records) < len(records):
                    first.wait()
                    deadline.check(len(first.records + second.records))
                read = first.records + second.records
            finally:
                for member in members:
                    member.leave()
        return {"alone": alone, "together": together, "records": read, "described": None}

    @staticmethod
    def _member(group: str) -> list[str]:
        return [
            *("-G", group, "-X", "auto.offset.reset=earliest", "-X", "heartbeat.interval.ms=300"),
        ]

    def _read(self, *arguments: str) -> list[Json]:
        return parse(self._bytes("-f", FORMAT, "-q", "-X", "fetch.wait.max.ms=50", *arguments))

    def _run(self, *arguments: str) -> str:
        return self._bytes(*arguments).decode()

    def _bytes(self, *arguments: str, stdin: bytes = b"") -> bytes:
        command = [*self.base, *arguments]
        done = subprocess.run(command, capture_output=True, timeout=WAIT_SECONDS_MAX, input=stdin, check=False)
        sys.stderr.buffer.write(done.stderr)
        if done.returncode != 0:
            raise RuntimeError(f"kcat ended with {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")
        return done.stdout


class _Member:
    """A kcat that stays in a group until it is told to leave."""

    def __init__(self, command: list[str], path: Path) -> None:
        self._out, self._err = path.with_suffix(".out"), path.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen([*command, "-u"], stdout=out, stderr=err, stdin=subprocess.DEVNULL)

    @property
    def log(self) -> str:
        return self._err.read_text(errors="replace")

    @property
    def owned(self) -> set[int]:
        """What the last rebalance gave: `% Group g rebalanced (memberid ...): assigned: topic [0], topic [1]`."""
        lines = [line for line in self.log.splitlines() if "rebalanced" in line]
        if not lines or "assigned:" not in lines[-1]:
            return set()
        return {int(each) for each in re.findall(r"\[(\d+)\]", lines[-1].partition("assigned:")[2])}

    @property
    def records(self) -> list[Json]:
        return parse(self._out.read_bytes())

    def wait(self) -> None:
        try:
            self._process.wait(0.05)
        except subprocess.TimeoutExpired:
            return
        raise RuntimeError(f"kcat left the group: {self.log[-500:]}")

    def leave(self) -> None:
        self._process.terminate()
        self._process.wait(WAIT_SECONDS_MAX)
        sys.stderr.write(self.log)


def parse(output: bytes) -> list[Json]:
    """Cuts FORMAT apart again. Headers come as `name=value,name=value`; NULL stands for null."""
    records, at = [], 0
    while at < len(output):
        partition, offset, timestamp, key_size, value_size, rest = output[at:].split(b" ", 5)
        at = len(output) - len(rest)
        key, at = _cut(output, at, int(key_size))
        value, at = _cut(output, at, int(value_size))
        end = output.index(END_OF_RECORD, at)
        headers: list[tuple[str, bytes | None]] = []
        for pair in filter(None, output[at + 1 : end].split(b",")):
            name, _, data = pair.partition(b"=")
            headers.append((name.decode(), None if data == b"NULL" else data))
        records.append(record(int(partition), int(offset), int(timestamp), key, value, headers))
        at = end + len(END_OF_RECORD)
    return records


def _cut(output: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    return (None, at) if size < 0 else (output[at : at + size], at + size)


def main() -> None:
    version = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True).stdout
    number = re.search(r"Version (\S+).*librdkafka (\S+)", version)
    assert number is not None, version
    driver = Driver(sys.argv[1])
    operations = (
        *("list_topics", "describe_topic", "produce", "consume", "consume_from_time", "consume_group"),
        "group_of_two",
    )
    none = "kcat only produces, consumes and lists"
    serve(
        {
            "client": f"kcat {number[1]} (librdkafka {number[2]})",
            "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
            "lacks": {
                "timestamp": "kcat cannot set the timestamp of a record",
                "binary_header": "a header value is an argument of the program, which cannot hold a zero byte",
                **dict.fromkeys(("create_topic", "delete_topic", "describe_configs", "alter_configs"), none),
                "transaction": "kcat's transactions commit only",
                "group_of_two_848": "classic groups only",
                **dict.fromkeys(("create_partitions", "delete_records", "describe_group", "delete_group"), none),
            },
        },
        {name: getattr(driver, name) for name in operations},
    )


if __name__ == "__main__":
    main()
