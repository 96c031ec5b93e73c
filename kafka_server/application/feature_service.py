"""Owns: the levels of features that are in force, and changing them. Must never know: the wire, what follows from one.

Whoever obeys a level asks for it when it matters, so a change counts from the next request on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from kafka_server.application.ports import FeatureRepository
from kafka_server.application.serial_work import SerialWork
from kafka_server.domain.errors import DomainError, InvalidUpdateVersion
from kafka_server.domain.features import FEATURES, Feature, check_update

log = logging.getLogger("kafka_server.features")

Update = tuple[str, int, int]
"""Name of a feature, the level it shall have, and the kind of change."""


class FeatureService:
    """The features of one cluster."""

    __slots__ = ("_changing", "_levels", "_repository", "epoch", "supported")

    def __init__(self, repository: Callable[[], FeatureRepository], supported: Sequence[Feature] = FEATURES) -> None:
        """``repository`` is asked for when it is needed; until ``load`` every feature has its highest level."""
        self._repository = repository
        self._changing = SerialWork()
        self.supported = {feature.name: feature for feature in supported}
        self._levels = {feature.name: feature.highest for feature in supported}
        self.epoch = 1
        """Grows with every change; of two answers to ApiVersions a client believes the one with the larger epoch."""

    def load(self) -> None:
        """Takes what is stored; a level that this program no longer knows is as near as it can be."""
        levels, self.epoch = self._repository().load()
        for name, level in levels.items():
            feature = self.supported.get(name)
            if feature is not None:
                self._levels[name] = min(max(level, feature.lowest), feature.highest)

    def level(self, name: str) -> int:
        """The level in force, 0 for a feature that is switched off or not known."""
        return self._levels.get(name, 0)

    async def update(self, updates: Sequence[Update], *, validate_only: bool = False) -> None:
        """All or none; of a feature that is named twice the last update counts. Raises InvalidUpdateVersion."""
        await self._changing.run(self._update(updates, validate_only))

    async def _update(self, updates: Sequence[Update], validate_only: bool) -> None:
        wanted = {name: (level, kind) for name, level, kind in updates}
        for name, (level, kind) in wanted.items():
            try:
                check_update(name, self.supported.get(name), self.level(name), level, kind)
            except DomainError as error:
                raise InvalidUpdateVersion(f"No feature was updated, because of {name}: {error}") from error
        changed = {name: level for name, (level, _) in wanted.items() if level != self.level(name)}
        if changed and not validate_only:
            await self._repository().put(changed, self.epoch + 1)
            self._levels.update(changed)
            self.epoch += 1
            log.info("Features are now %s", _shown(self._levels))


def _shown(levels: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={level}" for name, level in levels.items())
