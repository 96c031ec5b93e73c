"""``python -m tests.crash.dies_before_markers start ...``: a broker that is killed between a decision and its markers.

Owns: the moment of death. Must never know: what is asked of the broker.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from kafka_server.__main__ import run
from kafka_server.application.transaction_markers import TransactionMarkers


def die(*_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("the process outlived SIGKILL")


if __name__ == "__main__":
    setattr(TransactionMarkers, "write", die)  # noqa: B010 - mypy is right to refuse a plain assignment
    raise SystemExit(run(sys.argv[1:]))
