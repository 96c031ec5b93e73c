"""What every ScramRepository and every QuotaRepository does. A new adapter joins by a line in its table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kafka_server.application.ports import QuotaRepository, ScramRepository
from kafka_server.domain.scram import ScramCredential, ScramMechanism
from kafka_server.infrastructure.storage.memory_metadata import MemoryQuotaRepository, MemoryScramRepository
from kafka_server.infrastructure.storage.sqlite.clients import SqliteQuotaRepository, SqliteScramRepository
from tests.ports.stores import Stores

SCRAM: dict[str, Callable[[Stores], ScramRepository]] = {
    "memory": lambda stores: MemoryScramRepository(),
    "sqlite": lambda stores: SqliteScramRepository(stores.open()),
}
QUOTAS: dict[str, Callable[[Stores], QuotaRepository]] = {
    "memory": lambda stores: MemoryQuotaRepository(),
    "sqlite": lambda stores: SqliteQuotaRepository(stores.open()),
}
SHA_256, SHA_512 = ScramMechanism.SHA_256, ScramMechanism.SHA_512
ONE, OTHER = ScramCredential(b"s", 4096, b"a", b"b"), ScramCredential(b"\0", 8192, b"c", b"d")


@pytest.fixture(params=SCRAM)
def scram(request: pytest.FixtureRequest, stores: Stores) -> ScramRepository:
    return SCRAM[request.param](stores)


@pytest.fixture(params=QUOTAS)
def quotas(request: pytest.FixtureRequest, stores: Stores) -> QuotaRepository:
    return QUOTAS[request.param](stores)


async def test_a_user_has_one_credential_per_mechanism(scram: ScramRepository) -> None:
    await scram.change({("bob", SHA_256): ONE, ("ann", SHA_256): ONE}, [])
    await scram.change({("ann", SHA_256): OTHER, ("ann", SHA_512): ONE}, [])

    assert (scram.get("ann", SHA_256), scram.get("ann", SHA_512)) == (OTHER, ONE)
    assert (scram.get("bob", SHA_256), scram.get("bob", SHA_512)) == (ONE, None)
    assert scram.users() == ["ann", "bob"]


async def test_a_change_stores_and_deletes(scram: ScramRepository) -> None:
    await scram.change({("ann", SHA_256): ONE}, [])
    await scram.change({("bob", SHA_512): OTHER}, [("ann", SHA_256), ("nobody", SHA_256)])

    assert scram.users() == ["bob"]
    assert scram.get("ann", SHA_256) is None


async def test_credentials_outlive_the_process(stores: Stores) -> None:
    await SqliteScramRepository(stores.open()).change({("ann", SHA_512): OTHER}, [])

    again = SqliteScramRepository(stores.open())

    assert (again.users(), again.get("ann", SHA_512)) == (["ann"], OTHER)


async def test_quotas_of_an_entity_are_replaced_as_a_whole(quotas: QuotaRepository) -> None:
    both, default = (("client-id", None), ("user", "ann")), (("user", None),)
    await quotas.put(both, {"a": 1.0, "b": 2.5})
    await quotas.put(default, {"a": 3.0})
    await quotas.put(both, {"b": 4.0})

    assert quotas.all() == {both: {"b": 4.0}, default: {"a": 3.0}}


async def test_an_entity_without_quotas_is_forgotten(quotas: QuotaRepository) -> None:
    await quotas.put((("user", "ann"),), {"a": 1.0})
    await quotas.put((("user", "ann"),), {})
    await quotas.put((("user", "bob"),), {})

    assert quotas.all() == {}


async def test_the_default_and_a_user_of_that_name_are_told_apart_after_a_restart(stores: Stores) -> None:
    first = SqliteQuotaRepository(stores.open())
    for entity in ((("user", None),), (("user", "null"),), (("client-id", "ü"), ("user", '"'))):
        await first.put(entity, {"a": 0.1})

    assert SqliteQuotaRepository(stores.open()).all() == first.all()
