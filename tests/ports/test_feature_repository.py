"""What every FeatureRepository does. A new adapter joins by a line in the table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kafka_server.application.ports import FeatureRepository
from kafka_server.infrastructure.storage.memory_metadata import MemoryFeatureRepository
from kafka_server.infrastructure.storage.sqlite.repositories import SqliteFeatureRepository
from tests.ports.stores import Stores

FEATURES: dict[str, Callable[[Stores], FeatureRepository]] = {
    "memory": lambda stores: MemoryFeatureRepository(),
    "sqlite": lambda stores: SqliteFeatureRepository(stores.open()),
}


@pytest.fixture(params=FEATURES)
def features(request: pytest.FixtureRequest, stores: Stores) -> FeatureRepository:
    return FEATURES[request.param](stores)


async def test_before_the_first_change_there_are_no_levels_and_the_epoch_is_1(features: FeatureRepository) -> None:
    assert features.load() == ({}, 1)


async def test_a_change_leaves_other_levels_alone_and_moves_the_epoch(features: FeatureRepository) -> None:
    await features.put({"a": 1, "b": 0}, 2)
    await features.put({"b": 3}, 3)

    assert features.load() == ({"a": 1, "b": 3}, 3)


async def test_levels_outlive_the_process(stores: Stores) -> None:
    await SqliteFeatureRepository(stores.open()).put({"group.version": 0}, 7)

    assert SqliteFeatureRepository(stores.open()).load() == ({"group.version": 0}, 7)
