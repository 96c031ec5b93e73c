"""Prints the table of clients and features in Markdown, from what the last test runs found out.

Owns: how the table looks. Must never know: how a result came about.

`python -m tests.clients.table` prints it; `--update README.md` puts it between the markers
`<!-- clients -->` and `<!-- /clients -->` of that file; `--broker oracle` shows another broker's results.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from tests.clients.results import Outcome, Outcomes, Row, load

BEGIN, END = "<!-- clients -->", "<!-- /clients -->"

# Column -> the features that it stands for. The first word of each is its name in a cell that only some of them earn.
CLIENT_COLUMNS = {
    "create, describe, delete topic": ("create topic", "describe topic", "delete topic"),
    "none": ("none",),
    "gzip": ("gzip",),
    "snappy": ("snappy",),
    "lz4": ("lz4",),
    "zstd": ("zstd",),
    "reads all others": ("reads all others",),
    "idempotent": ("idempotent",),
    "transactions": ("transactions",),
    "900 KB": ("900 KB record",),
    "seek by time": ("seek by time",),
    "group of two, rebalance": ("group of two",),
    "KIP-848 group": ("KIP-848",),
    "commit, resume": ("commit, resume",),
    "describe, delete group": ("describe group", "delete group"),
    "configs": ("describe configs", "alter configs"),
    "add partitions": ("add partitions",),
    "delete records": ("delete records",),
}
OLD_COLUMNS = {
    name: CLIENT_COLUMNS[name]
    for name in (
        *("none", "gzip", "snappy", "lz4", "zstd", "reads all others", "idempotent", "900 KB", "seek by time"),
        *("group of two, rebalance", "commit, resume"),
    )
}
# Tools that a later test adds follow these, in the order of the alphabet.
TOOLS_FIRST = ("topics", "console", "consumer-groups", "configs", "get-offsets", "api versions")
PASSED, FAILED, ABSENT, UNKNOWN = "✓", "✗", "-", " "


def cell(row: Row, features: tuple[str, ...]) -> str:
    """✓ when every feature passes, with the names of those that do when the client has no others; - when it has none
    of them, ✗ when one fails, empty when one was not tested."""
    marks = [_mark(row["features"].get(feature)) for feature in features]
    for decisive in (FAILED, UNKNOWN):
        if decisive in marks:
            return decisive
    if len(set(marks)) == 1:
        return marks[0]
    passing = [feature.split()[0] for feature, mark in zip(features, marks, strict=True) if mark == PASSED]
    return f"{PASSED} {', '.join(passing)}"


def _mark(found: Outcome | None) -> str:
    """What one feature is worth."""
    if found is None:
        return UNKNOWN
    if found["outcome"] == "skipped":
        return ABSENT if "not in the client" in found["reason"] else UNKNOWN
    return PASSED if found["outcome"] == "passed" else FAILED


def table(results: Outcomes, columns: dict[str, tuple[str, ...]], rows: list[str], corner: str) -> list[str]:
    lines = [f"| {corner} | {' | '.join(columns)} |", f"|---|{':-:|' * len(columns)}"]
    for name in rows:
        cells = " | ".join(cell(results[name], features) for features in columns.values())
        lines.append(f"| {results[name]['version']} | {cells} |")
    return lines


def render(broker: str) -> str:
    results = load(broker)
    if not results:
        raise SystemExit(f"no results of {broker} yet; run `pytest tests/clients`")
    tools = sorted(name for name in results if name.startswith("tools "))
    old = sorted(name for name in results if " as to " in name)
    clients = sorted((name for name in results if name not in {*tools, *old}), key=str.lower)
    lines = table(results, CLIENT_COLUMNS, clients, "client")
    if old:
        lines += ["", *table(results, OLD_COLUMNS, old, "a client that takes the broker for an old one")]
    if tools:
        tested = {feature for name in tools for feature in results[name]["features"]}
        columns = [name for name in TOOLS_FIRST if name in tested] + sorted(tested - set(TOOLS_FIRST))
        lines += ["", *table(results, {name: (name,) for name in columns}, tools, "tools")]
    return "\n".join([*lines, "", legend(lines), ""])


def legend(lines: list[str]) -> str:
    """Says what the marks mean that these lines have."""
    note = f"{PASSED} passes in the last test run, {ABSENT} the client has no such thing"
    if any(re.search(rf"\| {PASSED} [^|]", line) for line in lines):
        note += f", {PASSED} with words: these parts of the column pass and the client has no others"
    if any(FAILED in line for line in lines):
        note += f", {FAILED} it fails"
    if any(f"| {UNKNOWN} |" in line for line in lines):
        note += ", empty: not tested"
    return note + "."


def update(path: Path, text: str) -> None:
    """Replaces what lies between the markers."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} lacks the markers {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n\n{text}{END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description="the table of clients and features, from the test results")
    parser.add_argument("--broker", default="kafka-server", help="whose results; the name of a file in .cache/clients")
    parser.add_argument("--update", type=Path, metavar="FILE", help="put the table between the markers of this file")
    options = parser.parse_args()
    text = render(options.broker)
    if options.update:
        update(options.update, text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
