"""The broker benchmark runs against our broker, and its tables say what the samples say. No test looks at a clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.broker.__main__ import main
from tests.benchmarks.broker.tables import (
    Samples,
    cpu_per_gigabyte,
    percentile,
    ratio_of_rounds,
    throughput_table,
)
from tests.benchmarks.broker.workloads import Load, Throughput
from tests.benchmarks.report import replace_between, significant, update

LOAD = Load(size=1000, count=1000, partitions=1)


def moved(rate: float, broker_cpu_s: float = 0.5) -> Throughput:
    return Throughput(1000, 1000, 1 / rate, client_cpu_s=0.1, broker_cpu_s=broker_cpu_s, peak_mb=50)


def test_the_command_measures_our_broker_and_writes_markdown_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = [
        "--rounds",
        "1",
        "--scale",
        "0.002",
        "--sizes",
        "1024",
        "16384",
        "--partitions",
        "1",
        "--connections",
        "5",
        "--settle",
        "0",
    ]
    ours_alone = ["--storage", "memory", "--without", "Apache", "Tansu"]
    main([*small, *ours_alone, "--output", str(tmp_path)])
    document = json.loads((tmp_path / "broker.json").read_text())
    assert document["failures"] == []
    assert {row["run"] for row in document["throughput"]} == {"produce", "consume", "raw produce", "raw fetch"}
    assert len(document["latency_ms"]["ours (memory)"]["end_to_end_latency"]) > 0
    assert (tmp_path / "broker.md").read_text() in capsys.readouterr().out + "\n"


def test_a_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_medians() -> None:
    ours = [moved(10.0), moved(100.0), moved(30.0)]
    peers = [moved(5.0), moved(50.0), moved(30.0)]
    assert ratio_of_rounds(ours, peers) == pytest.approx(2.0)


def test_a_broker_that_failed_a_run_leaves_a_gap_in_the_table() -> None:
    samples = Samples(throughput={"ours": {(LOAD, "produce"): [moved(10.0)]}, "peer": {}})
    (row,) = throughput_table(["ours", "peer"], ["peer"], samples).rows
    assert list(row[1:4]) == ["10.0", "-", "-"]


def test_cpu_per_gigabyte_is_summed_over_the_rounds_before_it_is_divided() -> None:
    assert cpu_per_gigabyte([moved(1.0, 0.002), moved(1.0, 0.004)]) == pytest.approx(3.0)


def test_a_percentile_is_a_sample_that_was_seen() -> None:
    assert percentile([5.0, 1.0, 3.0], 50) == 3.0
    assert percentile([5.0, 1.0, 3.0], 99) == 5.0


@pytest.mark.parametrize(("value", "shown"), [(1234.5, "1,234"), (12.34, "12.3"), (0.012345, "0.0123"), (0, "0")])
def test_figures_are_shown_with_three_significant_digits(value: float, shown: str) -> None:
    assert significant(value) == shown


def test_tables_go_between_the_markers_of_a_file(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    replace_between(readme, "bench", "new")
    assert readme.read_text() == "before\n<!-- bench -->\n\nnew\n<!-- /bench -->\nafter\n"


def test_a_file_without_markers_is_not_touched(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no markers\n")
    with pytest.raises(ValueError, match="has no <!-- bench -->"):
        replace_between(readme, "bench", "new")


def test_each_table_goes_into_the_file_that_has_its_markers(tmp_path: Path) -> None:
    readme, details = tmp_path / "README.md", tmp_path / "RESULTS.md"
    readme.write_text("<!-- speed -->\n<!-- /speed -->\n")
    details.write_text("<!-- cpu -->\n<!-- /cpu -->\n")
    update([readme, details], {"speed": "fast", "cpu": "little"})
    assert "fast" in readme.read_text()
    assert "little" in details.read_text()


def test_a_table_without_a_place_is_not_dropped_silently(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- speed -->\n<!-- /speed -->\n")
    with pytest.raises(ValueError, match="none of the files has a <!-- cpu -->"):
        update([readme], {"cpu": "little"})
