"""Fixtures of the port suites."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ports.stores import Stores


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """A metadata file of this test's own."""
    opened = Stores(tmp_path)
    yield opened
    await opened.close()
