"""Runs each fuzz target for a moment, so that it stays runnable; a real run is started by hand (see the target).

The fuzzer is a peer like the clients: CI has it (`make peers`) and fails without.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.decode import NAMES, check
from tests.peers import PeerMissingError, skip_or_fail

ROOT = Path(__file__).parents[2]
SECONDS = 5


def require(fuzzer: str) -> None:
    """Skips the running test without this package, or fails it where peers are promised."""
    if importlib.util.find_spec(fuzzer) is None:
        skip_or_fail(PeerMissingError(f"{fuzzer} is not installed: run `make peers`"))


def test_the_target_accepts_any_bytes() -> None:
    source = random.Random(1)
    for index in range(len(NAMES)):
        for size in (0, 1, 8, 40):
            check(bytes([index % 256]) + source.randbytes(size))


def test_atheris_finds_nothing_in_a_moment(tmp_path: Path) -> None:
    require("atheris")
    limits = ("-seed=1", "-runs=2000", "-max_len=200", f"-max_total_time={SECONDS}")
    command = [sys.executable, "-m", "tests.fuzz.decode", *limits, f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "INFO: Instrumenting kafka_protocol.messages." in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_fuzzer_that_is_missing_fails_where_peers_are_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_TEST_REQUIRE_PEERS", "1")
    with pytest.raises(pytest.fail.Exception, match="no_such_fuzzer is not installed: run `make peers`"):
        require("no_such_fuzzer")


def test_the_fuzzer_is_the_one_that_is_pinned() -> None:
    require("atheris")
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert f"atheris=={importlib.metadata.version('atheris')}" in pins
