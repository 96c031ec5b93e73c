"""Owns: what a broker's configs have to satisfy together, and against what they were, when they change while it runs.
Must never know: where configs are stored, who asks, what obeys them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from kafka_server.domain.config_def import ConfigValue
from kafka_server.domain.errors import InvalidConfig

Values = Callable[[str], ConfigValue]
"""The effective value of a broker key."""

THREADS: Final = (
    "background.threads",
    "num.io.threads",
    "num.network.threads",
    "num.recovery.threads.per.data.dir",
    "num.replica.fetchers",
)
POSITIVE: Final = ("max.connections", "max.connection.creation.rate")
"""Keys whose bound is 0, and which a running broker cannot take to 0 all the same."""

_OVERRIDE = re.compile(r"\s*([0-9A-Za-z\-%._:]+):\s*(-?[0-9]{1,9})\s*")


def check_broker_change(before: Values, after: Values) -> None:
    """Raises InvalidConfig when a broker with these values cannot take those."""
    for name in POSITIVE:
        if after(name) == 0 != before(name):
            raise InvalidConfig(f"{name} must be at least 1 while the broker runs")
    for name in THREADS:
        was, wanted = before(name), after(name)
        if isinstance(was, int) and isinstance(wanted, int) and not was // 2 <= wanted <= was * 2:
            raise InvalidConfig(f"{name} is {was}; one change may at most double or halve it, not make it {wanted}")
    overrides = parse_overrides(str(after("max.connections.per.ip.overrides") or ""))
    if after("max.connections.per.ip") == 0 and not overrides:
        raise InvalidConfig("max.connections.per.ip can be 0 only beside max.connections.per.ip.overrides")


def parse_overrides(text: str) -> dict[str, int]:
    """``host:count`` pairs, separated by commas; of a host that is named twice the last count counts. Raises
    InvalidConfig."""
    overrides = {}
    for pair in filter(None, text.split(",")):
        found = _OVERRIDE.fullmatch(pair)
        if found is None:
            raise InvalidConfig(f"max.connections.per.ip.overrides: {pair!r} is not of the form host:count")
        overrides[found[1]] = int(found[2])
    return overrides
