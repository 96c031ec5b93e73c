"""Software of other projects that the tests run beside ours: where it is installed, how it is started and stopped.

Owns: how to find a peer and the reason why it is missing. Must never know: kafka_server.
"""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".cache"


class PeerMissingError(Exception):
    """A runtime or a dependency of a peer is not on this machine; the text says what to run."""


def skip_or_fail(missing: PeerMissingError) -> None:
    """Skips the running test with the reason, or fails it where peers are promised.

    CI installs every peer, so a skip there would hide that a whole client was no longer tested: it sets
    KAFKA_TEST_REQUIRE_PEERS=1.
    """
    import pytest

    if os.environ.get("KAFKA_TEST_REQUIRE_PEERS") == "1":
        pytest.fail(f"a peer is required (KAFKA_TEST_REQUIRE_PEERS=1): {missing}", pytrace=False)
    pytest.skip(str(missing))
