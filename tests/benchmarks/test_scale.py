"""The other benchmarks run against our broker and answer for every size. No test looks at a clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import anatomy, durability
from tests.benchmarks.scale import __main__ as scale

ALONE = ["--without", "Apache", "Tansu"]


def test_every_series_has_a_figure_for_every_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [each.run for each in scale.ALL if each.run != "pollers"]  # which takes three seconds a size
    few = ["--rounds", "1", "--most", "10", "--scale", "0.002"]
    scale.main([*few, "--runs", *runs, *ALONE, "--output", str(tmp_path)])
    written = (tmp_path / "scale.md").read_text()
    rows = [line for line in written.splitlines() if line.startswith("|")][2:]
    sizes = [size for each in scale.ALL if each.run in runs for size in each.sizes if size <= 10]
    assert len(rows) == len(sizes)
    assert " - " not in "".join(row.split("|")[3] for row in rows)
    assert "Failed" not in written
    assert written in capsys.readouterr().out + "\n"


def test_a_request_is_taken_apart_into_all_its_stages(capsys: pytest.CaptureFixture[str]) -> None:
    anatomy.main(["--sizes", "1024"])
    printed = capsys.readouterr().out
    for stage in ("receive", "framing", "decode the request", "append to the file", "read from the file", "whole"):
        assert f"| {stage} " in printed


def test_starts_and_flow_are_measured_on_what_was_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    small = ["--scale", "0.002", "--rounds", "1", "--parts", "starts", "--output", str(tmp_path)]
    durability.main(small)
    printed = capsys.readouterr().out
    assert "| a clean stop " in printed
    assert "| SIGKILL, nothing checkpointed " in printed
