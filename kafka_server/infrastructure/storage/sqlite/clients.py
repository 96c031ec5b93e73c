"""Owns: what is stored about clients - SCRAM credentials and quotas - on one metadata file.
Must never know: what is legal in them; the services above decide that.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from kafka_server.domain.client_quota import Entity
from kafka_server.domain.scram import ScramCredential, ScramMechanism
from kafka_server.infrastructure.storage.sqlite.store import Statement, Store


class SqliteScramRepository:
    """``ScramRepository``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._credentials = {
            (user, ScramMechanism(mechanism)): ScramCredential(*facts)
            for user, mechanism, *facts in store.read(
                "SELECT user, mechanism, salt, iterations, stored_key, server_key FROM scram_credentials"
            )
        }

    def get(self, user: str, mechanism: ScramMechanism) -> ScramCredential | None:
        return self._credentials.get((user, mechanism))

    def users(self) -> Sequence[str]:
        return sorted({user for user, _ in self._credentials})

    async def change(
        self,
        stored: Mapping[tuple[str, ScramMechanism], ScramCredential],
        deleted: Collection[tuple[str, ScramMechanism]],
    ) -> None:
        statements: list[Statement] = [
            ("DELETE FROM scram_credentials WHERE user = ? AND mechanism = ?", (user, mechanism.value))
            for user, mechanism in deleted
        ]
        statements += [
            (
                "INSERT OR REPLACE INTO scram_credentials VALUES (?, ?, ?, ?, ?, ?)",
                (user, mechanism.value, one.salt, one.iterations, one.stored_key, one.server_key),
            )
            for (user, mechanism), one in stored.items()
        ]
        await self._store.submit(statements)
        for key in deleted:
            self._credentials.pop(key, None)
        self._credentials.update(stored)


class SqliteQuotaRepository:
    """``QuotaRepository``. An entity is stored as a JSON list of its parts: ``[["client-id", "a"], ["user", null]]``"""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._quotas: dict[Entity, dict[str, float]] = {}
        for text, key, value in store.read("SELECT entity, key, value FROM client_quotas"):
            entity = tuple((kind, name) for kind, name in json.loads(text))
            self._quotas.setdefault(entity, {})[key] = value

    def all(self) -> Mapping[Entity, Mapping[str, float]]:
        return self._quotas

    async def put(self, entity: Entity, quotas: Mapping[str, float]) -> None:
        text = json.dumps(entity)
        await self._store.submit(
            [
                ("DELETE FROM client_quotas WHERE entity = ?", (text,)),
                *(("INSERT INTO client_quotas VALUES (?, ?, ?)", (text, key, value)) for key, value in quotas.items()),
            ]
        )
        if quotas:
            self._quotas[entity] = dict(quotas)
        else:
            self._quotas.pop(entity, None)
