"""Owns: describing and changing the SCRAM credentials of users. Must never know: the wire, how they are stored, logins.

A request changes one credential per user; more is DUPLICATE_RESOURCE for that user. What is wrong with one user does
not hinder the others, and what is right of a request is stored together.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kafka_server.application.ports import ScramRepository
from kafka_server.application.serial_work import SerialWork
from kafka_server.domain.errors import DomainError, DuplicateResource, ResourceNotFound
from kafka_server.domain.scram import ScramCredential, ScramMechanism, derive_credential, mechanism_of

log = logging.getLogger("kafka_server.security")

Key = tuple[str, ScramMechanism]
"""A user has at most one credential per mechanism."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """A credential that shall go; the number of its mechanism is not checked yet."""

    user: str
    mechanism: int


@dataclass(frozen=True, slots=True)
class Upsertion:
    """A credential that shall be there."""

    user: str
    mechanism: int
    iterations: int
    salt: bytes
    salted_password: bytes


class ScramService:
    """The credentials of one broker."""

    __slots__ = ("_changing", "_repository")

    def __init__(self, repository: ScramRepository) -> None:
        self._repository = repository
        self._changing = SerialWork()

    def users(self) -> Sequence[str]:
        """Who has a credential, sorted."""
        return self._repository.users()

    def credentials(self, user: str) -> Mapping[ScramMechanism, ScramCredential]:
        """What a user has, by mechanism. Raises ResourceNotFound when that is nothing."""
        found = {
            mechanism: credential
            for mechanism in ScramMechanism
            if (credential := self._repository.get(user, mechanism)) is not None
        }
        if not found:
            raise ResourceNotFound(f"The user {user} has no SCRAM credential")
        return found

    async def alter(
        self, deletions: Sequence[Deletion], upsertions: Sequence[Upsertion]
    ) -> dict[str, DomainError | None]:
        """Per user what is wrong, None when the change is stored."""
        return await self._changing.run(self._alter(deletions, upsertions))

    async def _alter(
        self, deletions: Sequence[Deletion], upsertions: Sequence[Upsertion]
    ) -> dict[str, DomainError | None]:
        outcome: dict[str, DomainError | None] = {}
        removed: dict[str, Key] = {}
        stored: dict[str, tuple[Key, ScramCredential]] = {}
        changes: list[Deletion | Upsertion] = [*deletions, *upsertions]
        for change in changes:
            user = change.user
            if outcome.get(user) is not None:
                continue  # the first error is the one that is told
            if user in outcome:
                removed.pop(user, None)
                stored.pop(user, None)
                outcome[user] = DuplicateResource("A user can be changed only once in a request")
                continue
            try:
                mechanism = mechanism_of(user, change.mechanism)
                if isinstance(change, Deletion):
                    if self._repository.get(user, mechanism) is None:
                        raise ResourceNotFound(f"The user {user} has no such credential to delete")
                    removed[user] = user, mechanism
                else:
                    credential = derive_credential(mechanism, change.iterations, change.salt, change.salted_password)
                    stored[user] = (user, mechanism), credential
            except DomainError as error:
                outcome[user] = error
            else:
                outcome[user] = None
        if removed or stored:
            await self._repository.change(dict(stored.values()), list(removed.values()))
            log.info("SCRAM credentials set for %s, deleted for %s", sorted(stored), sorted(removed))
        return outcome
