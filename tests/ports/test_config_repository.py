"""What every ConfigRepository does. A new adapter joins by a line in ADAPTERS."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kafka_server.application.ports import ConfigRepository
from kafka_server.domain.config_def import ResourceType
from kafka_server.infrastructure.storage.memory_metadata import MemoryConfigRepository
from kafka_server.infrastructure.storage.sqlite.repositories import SqliteConfigRepository
from tests.ports.stores import Stores

ADAPTERS: dict[str, Callable[[Stores], ConfigRepository]] = {
    "memory": lambda stores: MemoryConfigRepository(),
    "sqlite": lambda stores: SqliteConfigRepository(stores.open()),
}


@pytest.fixture(params=ADAPTERS)
def repository(request: pytest.FixtureRequest, stores: Stores) -> ConfigRepository:
    return ADAPTERS[request.param](stores)


async def test_what_was_put_is_found_under_its_type_and_name(repository: ConfigRepository) -> None:
    await repository.put(ResourceType.BROKER, "1", {"a": "1", "b": ""})
    await repository.put(ResourceType.BROKER, "", {"a": "2"})
    await repository.put(ResourceType.GROUP, "1", {"a": "3"})

    assert repository.get(ResourceType.BROKER, "1") == {"a": "1", "b": ""}
    assert repository.get(ResourceType.BROKER, "") == {"a": "2"}
    assert repository.get(ResourceType.GROUP, "1") == {"a": "3"}
    assert repository.get(ResourceType.GROUP, "2") == {}


async def test_putting_replaces_everything_that_was_there(repository: ConfigRepository) -> None:
    await repository.put(ResourceType.GROUP, "g", {"a": "1", "b": "2"})
    await repository.put(ResourceType.GROUP, "g", {"c": "3"})

    assert repository.get(ResourceType.GROUP, "g") == {"c": "3"}


async def test_names_are_sorted_and_an_empty_mapping_forgets_one(repository: ConfigRepository) -> None:
    for name in ("b", "a", "c"):
        await repository.put(ResourceType.GROUP, name, {"k": "v"})
    await repository.put(ResourceType.GROUP, "b", {})
    await repository.put(ResourceType.GROUP, "never", {})

    assert repository.names(ResourceType.GROUP) == ["a", "c"]
    assert repository.names(ResourceType.BROKER) == []


async def test_the_mapping_that_was_put_may_change_afterwards(repository: ConfigRepository) -> None:
    configs = {"a": "1"}
    await repository.put(ResourceType.GROUP, "g", configs)
    configs["a"] = "2"

    assert repository.get(ResourceType.GROUP, "g") == {"a": "1"}


async def test_configs_on_disk_come_back_after_a_restart(stores: Stores) -> None:
    configs = SqliteConfigRepository(stores.open())
    await configs.put(ResourceType.BROKER, "", {"a": "1", "b": ""})
    await configs.put(ResourceType.BROKER, "", {"b": "2"})

    assert SqliteConfigRepository(stores.open()).get(ResourceType.BROKER, "") == {"b": "2"}
