"""DescribeClientQuotas v0-v1, AlterClientQuotas v0-v1: how much each client may do (KIP-546).

Shapes: an entity is a list of types with names (null is the default of the type); a filter names types, each with an
exact name, the default, or anything. Responses list entities with their quotas, or with what became of the change.
Behaviour: ``producer_byte_rate``, ``consumer_byte_rate``, ``request_percentage`` and ``controller_mutation_rate`` of
users and client ids are stored and kept; a client that exceeds one is told in ``throttle_time_ms`` and then not heard
for that long. ``connection_creation_rate`` of an address, or of the default of all, is kept where connections come in:
one that exceeds it is accepted, not heard, and closed after the pause. An address may be the name of a host; one that
cannot be resolved is INVALID_REQUEST, also when its quota is removed. What is wrong with an entity is INVALID_REQUEST
for that entity alone, and removing a quota that is not set is fine. An entity or key that is given twice is
INVALID_REQUEST; Apache Kafka says so too, but keeps the first. A filter that contradicts itself is INVALID_REQUEST and
an unknown type UNSUPPORTED_VERSION, both without a list.
Versions: v1 differs in its encoding only.
Known gaps: none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kafka_protocol.messages import alter_client_quotas as alter
from kafka_protocol.messages import describe_client_quotas as describe
from kafka_protocol.messages.alter_client_quotas import AlterClientQuotasRequest, AlterClientQuotasResponse
from kafka_protocol.messages.describe_client_quotas import (
    ComponentData,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.quota_service import QuotaService
from kafka_server.domain.client_quota import CLIENT_ID, IP, USER, Entity, entity_of
from kafka_server.domain.errors import DomainError, InvalidRequest, UnsupportedVersion

EXACT, DEFAULT, ANY = 0, 1, 2


class QuotaHandlers:
    """Answers DescribeClientQuotas and AlterClientQuotas."""

    __slots__ = ("_quotas",)

    def __init__(self, quotas: QuotaService) -> None:
        self._quotas = quotas

    def describe_client_quotas(
        self, context: RequestContext, request: DescribeClientQuotasRequest
    ) -> DescribeClientQuotasResponse:
        try:
            _check_filter(request.components)
        except DomainError as error:
            return DescribeClientQuotasResponse(error_code=error.code, error_message=str(error), entries=None)
        found = [
            describe.EntryData(
                entity=[describe.EntityData(entity_type=kind, entity_name=name) for kind, name in entity],
                values=[describe.ValueData(key=key, value=value) for key, value in sorted(quotas.items())],
            )
            for entity, quotas in self._quotas.all().items()
            if _matches(entity, request.components, request.strict)
        ]
        return DescribeClientQuotasResponse(error_message=None, entries=found)

    async def alter_client_quotas(
        self, context: RequestContext, request: AlterClientQuotasRequest
    ) -> AlterClientQuotasResponse:
        times = Counter(_parts(entry) for entry in request.entries)
        response = AlterClientQuotasResponse()
        for entry in {_parts(entry): entry for entry in request.entries}.values():
            parts = _parts(entry)
            named = dict(parts)
            answer = alter.AlterClientQuotasResponseEntryData(
                error_message=None,
                entity=[
                    alter.AlterClientQuotasResponseEntityData(entity_type=kind, entity_name=name)
                    for kind, name in named.items()
                ],
            )
            try:
                if times[parts] > 1:
                    raise InvalidRequest("The entity is given more than once")
                if len({op.key for op in entry.ops}) < len(entry.ops):
                    raise InvalidRequest("A quota of the entity is given more than once")
                changes = [(op.key, None if op.remove else op.value) for op in entry.ops]
                await self._quotas.alter(entity_of(parts), changes, validate_only=request.validate_only)
            except DomainError as error:
                answer.error_code, answer.error_message = error.code, str(error)
            response.entries.append(answer)
        return response


def _parts(entry: alter.AlterClientQuotasRequestEntryData) -> tuple[tuple[str, str | None], ...]:
    return tuple((part.entity_type, part.entity_name) for part in entry.entity)


def _check_filter(components: Sequence[ComponentData]) -> None:
    kinds: set[str] = set()
    for component in components:
        if not component.entity_type:
            raise InvalidRequest("The type of an entity must not be empty")
        if component.entity_type in kinds:
            raise InvalidRequest(f"The type {component.entity_type} is named twice")
        if component.entity_type not in (USER, CLIENT_ID, IP):
            raise UnsupportedVersion(f"Unknown type of quota entity: {component.entity_type}")
        kinds.add(component.entity_type)
        if component.match_type not in (EXACT, DEFAULT, ANY):
            raise InvalidRequest(f"Unknown match type {component.match_type}")
        if (component.match_type == EXACT) != (component.match is not None):
            raise InvalidRequest("A name belongs to an exact match, and only to that")
    if IP in kinds and len(kinds) > 1:
        raise InvalidRequest("An address cannot be combined with a user or client id")


def _matches(entity: Entity, components: Sequence[ComponentData], strict: bool) -> bool:
    """Every component fits a part of the entity; when strict, the entity has no other part."""
    named = dict(entity)
    if strict and len(named) != len(components):
        return False
    return all(
        component.entity_type in named
        and (component.match_type == ANY or named[component.entity_type] == component.match)
        for component in components
    )
