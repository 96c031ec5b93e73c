"""Owns: which features a cluster has (KIP-584), their levels, and from which level to which they may go.
Must never know: where levels are stored, what follows from one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kafka_server.domain.errors import InvalidUpdateVersion

METADATA_VERSION: Final = "metadata.version"
TRANSACTION_VERSION: Final = "transaction.version"
GROUP_VERSION: Final = "group.version"

UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Feature:
    """The levels that this program knows; 0 is a feature that is switched off. A new cluster has the highest one."""

    name: str
    lowest: int
    highest: int


FEATURES: Final = (
    Feature(METADATA_VERSION, 7, 33),
    Feature(TRANSACTION_VERSION, 0, 2),
    Feature(GROUP_VERSION, 0, 1),
)
"""What is true of this broker: it understands what Kafka 4.4 keeps in its metadata, and transactions of both kinds - a
producer that reads transaction.version 2 ends each of its transactions with a new epoch (KIP-890), and takes the first
protocol below that - and, with group.version 1, the consumer protocol for groups (KIP-848)."""


def check_update(name: str, feature: Feature | None, level: int, wanted: int, kind: int) -> None:
    """Whether ``feature``, now at ``level``, may go to level ``wanted``. Raises InvalidUpdateVersion."""
    if kind not in (UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE):
        raise InvalidUpdateVersion(f"Unknown kind of upgrade {kind}")
    if wanted < 0:
        raise InvalidUpdateVersion(f"The level {wanted} is negative")
    if feature is None:
        raise InvalidUpdateVersion(f"This broker does not know the feature {name}")
    if not feature.lowest <= wanted <= feature.highest:
        raise InvalidUpdateVersion(f"This broker knows the levels {feature.lowest}-{feature.highest}, not {wanted}")
    if wanted < level and kind == UPGRADE:
        raise InvalidUpdateVersion(f"From level {level} to {wanted} is a downgrade, and the request does not say so")
    if wanted > level and kind != UPGRADE:
        raise InvalidUpdateVersion(f"From level {level} to {wanted} is no downgrade")
    if wanted < level and name == METADATA_VERSION:
        raise InvalidUpdateVersion(f"The level {wanted} could not hold all that is stored")
