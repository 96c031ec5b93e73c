"""Tables of benchmark results.

Owns: how a table, and progress towards it, is shown: by rich on a terminal, as plain Markdown in a pipe or a file.
Must never know: what was measured.
"""

from __future__ import annotations

import contextlib
import math
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Table:
    """`columns` and every row have equal length; the first column is a label, the others are right-aligned."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(cells)


def markdown(table: Table) -> str:
    widths = [max(len(row[i]) for row in [table.columns, *table.rows]) for i in range(len(table.columns))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cells[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(["", "-" * (widths[0] + 2), *(f"{'-' * (width + 1)}:" for width in widths[1:]), ""])
    parts = [f"**{table.title}**", "", line(table.columns), rule, *(line(row) for row in table.rows)]
    if table.notes:
        parts += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(parts) + "\n"


def show(table: Table) -> None:
    """Print to standard output in the form that fits it."""
    if not sys.stdout.isatty():
        print(markdown(table))
        return
    from rich.console import Console
    from rich.table import Table as RichTable

    rich_table = RichTable(title=table.title)
    for index, column in enumerate(table.columns):
        rich_table.add_column(column, justify="right" if index else "left", no_wrap=not index)
    for row in table.rows:
        rich_table.add_row(*row)
    console = Console()
    console.print(rich_table)
    for note in table.notes:
        console.print(f"- {note}", style="dim")


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Yields a function to call before each step. Draws on a terminal only: a pipe gets the tables and nothing else."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = (TextColumn("{task.description:50}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*shown, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=total)
        started = False

        def step(text: str) -> None:
            nonlocal started
            bar.update(task, description=text, advance=1 if started else 0)
            started = True

        yield step


def replace_between(path: Path, marker: str, text: str) -> None:
    """Put `text` between `<!-- marker -->` and `<!-- /marker -->`; a file without that pair is an error."""
    old = path.read_text()
    pattern = re.compile(rf"(<!-- {re.escape(marker)} -->\n).*?(<!-- /{re.escape(marker)} -->)", re.DOTALL)
    if not pattern.search(old):
        raise ValueError(f"{path} has no <!-- {marker} --> ... <!-- /{marker} --> pair")
    path.write_text(pattern.sub(lambda match: f"{match[1]}\n{text}\n{match[2]}", old))


def update(paths: Iterable[Path], texts: Mapping[str, str]) -> None:
    """Put each text between its markers, in whichever of the files has them; a text without a place is an error."""
    for marker, text in texts.items():
        holders = [path for path in paths if f"<!-- {marker} -->" in path.read_text()]
        if not holders:
            raise ValueError(f"none of the files has a <!-- {marker} --> pair")
        for path in holders:
            replace_between(path, marker, text)


def geometric_mean(ratios: Iterable[float]) -> float:
    logs = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logs) / len(logs))


def significant(value: float, digits: int = 3) -> str:
    """1234.5 -> 1,234 and 0.012345 -> 0.0123: as many decimals as the digits need."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def machine() -> str:
    """One line about what the figures were taken on."""
    model = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        models = re.findall(r"model name\s*: (.*)", cpu_info.read_text())
        model = f"{len(models)} x {models[0]}" if models else model
    return f"{model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
