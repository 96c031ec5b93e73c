"""`make test` runs every test there is, but for the differential suite, which has a target of its own."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_folder_with_tests_is_run() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    run = {ROOT / path for path in settings["tool"]["pytest"]["ini_options"]["testpaths"]}
    holding = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    left_out = {
        folder.relative_to(ROOT).as_posix()
        for folder in holding
        if not any(p in (folder, *folder.parents) for p in run)
    }
    assert left_out == {"tests/differential"}
