"""Owns: dynamic configs that live and die with the process. Must never know: what the keys mean, which are legal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kafka_server.domain.config_def import ResourceType


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
