"""Owns: configs, features, credentials and quotas that die with the process. Must never know: what is legal in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kafka_server.domain.client_quota import Entity
from kafka_server.domain.config_def import ResourceType
from kafka_server.domain.scram import ScramCredential, ScramMechanism


class MemoryConfigRepository:
    """``ConfigRepository`` on a dict."""

    __slots__ = ("_configs",)

    def __init__(self) -> None:
        self._configs: dict[tuple[ResourceType, str], dict[str, str]] = {}

    def get(self, resource_type: ResourceType, name: str) -> Mapping[str, str]:
        return self._configs.get((resource_type, name), {})

    def names(self, resource_type: ResourceType) -> Sequence[str]:
        return sorted(name for kind, name in self._configs if kind is resource_type)

    async def put(self, resource_type: ResourceType, name: str, configs: Mapping[str, str]) -> None:
        if configs:
            self._configs[resource_type, name] = dict(configs)
        else:
            self._configs.pop((resource_type, name), None)


class MemoryFeatureRepository:
    """``FeatureRepository`` on a dict."""

    __slots__ = ("_epoch", "_levels")

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}
        self._epoch = 1

    def load(self) -> tuple[Mapping[str, int], int]:
        return self._levels, self._epoch

    async def put(self, levels: Mapping[str, int], epoch: int) -> None:
        self._levels.update(levels)
        self._epoch = epoch


class MemoryScramRepository:
    """``ScramRepository`` on a dict."""

    __slots__ = ("_credentials",)

    def __init__(self) -> None:
        self._credentials: dict[tuple[str, ScramMechanism], ScramCredential] = {}

    def get(self, user: str, mechanism: ScramMechanism) -> ScramCredential | None:
        return self._credentials.get((user, mechanism))

    def users(self) -> Sequence[str]:
        return sorted({user for user, _ in self._credentials})

    async def change(
        self,
        stored: Mapping[tuple[str, ScramMechanism], ScramCredential],
        deleted: Collection[tuple[str, ScramMechanism]],
    ) -> None:
        for key in deleted:
            self._credentials.pop(key, None)
        self._credentials.update(stored)


class MemoryQuotaRepository:
    """``QuotaRepository`` on a dict."""

    __slots__ = ("_quotas",)

    def __init__(self) -> None:
        self._quotas: dict[Entity, dict[str, float]] = {}

    def all(self) -> Mapping[Entity, Mapping[str, float]]:
        return self._quotas

    async def put(self, entity: Entity, quotas: Mapping[str, float]) -> None:
        if quotas:
            self._quotas[entity] = dict(quotas)
        else:
            self._quotas.pop(entity, None)
