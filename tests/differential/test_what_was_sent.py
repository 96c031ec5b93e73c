"""The last of the suite: every API and version that we serve was sent to an Apache Kafka and to us, at least once."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka_protocol.dispatch import NAMES, SERVED

from tests.differential.conftest import APACHE_KAFKAS
from tests.differential.raw_client import RawClient

pytestmark = pytest.mark.jvm

NOT_COMPARED: dict[tuple[str, int], str] = {}
"""API and version: why no Apache Kafka can be asked."""


def test_every_api_and_version_was_compared(request: pytest.FixtureRequest) -> None:
    suite = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    if missing := suite - {item.path.name for item in request.session.items}:
        pytest.skip(f"only a part of the suite runs, without {', '.join(sorted(missing))}")
    served = {
        (NAMES[key], version) for key, (oldest, newest) in SERVED.items() for version in range(oldest, newest + 1)
    }
    theirs = {(NAMES[key], version) for address, key, version in RawClient.sent if address in APACHE_KAFKAS}
    ours = {(NAMES[key], version) for address, key, version in RawClient.sent if address not in APACHE_KAFKAS}
    print(f"{len(served & theirs & ours)} of {len(served)} APIs and versions were sent to Apache Kafka and to us")

    assert sorted(served - theirs - NOT_COMPARED.keys()) == []
    assert sorted(served - ours) == []
    assert sorted(theirs & NOT_COMPARED.keys()) == [], "can be compared"
