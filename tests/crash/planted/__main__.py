"""``python -m tests.crash.planted BUG start ...``: the broker with one planted bug."""

from __future__ import annotations

import sys

from kafka_server.__main__ import run
from tests.crash import bad_disk
from tests.crash.planted.bugs import BUGS

if __name__ == "__main__":
    bad_disk.install()
    BUGS[sys.argv[1]].plant()
    raise SystemExit(run(sys.argv[2:]))
