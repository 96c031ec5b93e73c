"""Runs each fuzz target for a moment, so that it stays runnable; a real run is started by hand (see the target)."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.decode import NAMES, check

ROOT = Path(__file__).parents[2]


def test_the_target_accepts_any_bytes() -> None:
    source = random.Random(1)
    for index in range(len(NAMES)):
        for size in (0, 1, 8, 40):
            check(bytes([index % 256]) + source.randbytes(size))


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install atheris")
def test_atheris_finds_nothing_in_a_moment(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.decode", "-runs=300", "-max_len=200", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
