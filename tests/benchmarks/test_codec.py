"""The codec benchmark runs, and its inputs are the same for all libraries. Nothing here looks at a clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.codec.__main__ import main, message_table, run_messages
from tests.benchmarks.codec.batches import RECORD_COUNT, installed_batch_libraries
from tests.benchmarks.codec.cases import Case, all_cases
from tests.benchmarks.codec.libraries import installed_libraries
from tests.benchmarks.codec.measure import Timing


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_every_library_encodes_a_case_to_the_same_bytes_and_can_read_them(case: Case) -> None:
    libraries = installed_libraries()
    wires = [bytes(library.encoder(case, library.build(case))()) for library in libraries]
    assert all(wire == wires[0] for wire in wires)
    decoded = [library.decoder(case, wires[0])() for library in libraries]
    assert decoded[0] == libraries[0].build(case)
    assert [type(message).__name__ for message in decoded] == [case.name] * len(libraries)


def test_every_library_parses_the_batches_of_every_other() -> None:
    libraries = installed_batch_libraries()
    for builder in libraries:
        wire = bytes(builder.build())
        assert [library.parser(wire)() for library in libraries] == [RECORD_COUNT] * len(libraries)


def test_the_table_shows_how_many_times_faster_we_are_than_each_peer() -> None:
    case = all_cases()[0]
    results = run_messages(installed_libraries()[:1], [case], "decode", rounds=1)
    results[0].timings = [Timing(1.0, 2.0), Timing(4.0, 5.0)]
    table = message_table("decode", ["ours", "peer"], results)
    assert table.rows[0] == (case.label, "2.00", "5.00", "2.5x")


def test_the_command_writes_its_tables_as_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--rounds", "1", "--slice-ms", "0.1", "--only", "JoinGroupResponse", "--output", str(tmp_path / "codec.md")])
    assert "geometric mean" in (tmp_path / "codec.md").read_text()
    assert "geometric mean" in capsys.readouterr().out
