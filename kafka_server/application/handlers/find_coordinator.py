"""FindCoordinator (key 10), v0-6: which broker looks after a group or a transactional id?

Contract
    This broker coordinates everything, so that every key leads to it, at the address that the client can reach.
    Key type 0 is a group, 1 a transactional id. Key type 2 (a share-group partition) is INVALID_REQUEST, which is
    what Kafka says when share groups are not enabled; any other key type is INVALID_REQUEST too, with a text.
Version notes
    v0 asks about a group only. v0-3 carry one key and one answer, v4+ a list (KIP-699): v0-3 requests are lifted to the
    list and their answer is lowered again. v1-3 name the error even when there is none ("NONE"), as Kafka does.
Known gaps
    None on a single broker.

Owns: the shape of this API. Must never know: how addresses are configured.
"""

from __future__ import annotations

import logging

from kafka_protocol.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

from kafka_server.application.context import RequestContext
from kafka_server.application.explain import EXPLAIN
from kafka_server.application.ports import AdvertisedListeners
from kafka_server.domain.errors import InvalidRequest

log = logging.getLogger("kafka_server.group")

GROUP, TRANSACTION, SHARE = 0, 1, 2
NOWHERE = -1
"""Node id and port of "no node"."""


class FindCoordinatorHandler:
    """Answers with this broker."""

    def __init__(self, node_id: int, addresses: AdvertisedListeners) -> None:
        self._node_id = node_id
        self._addresses = addresses

    def find_coordinator(self, context: RequestContext, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
        keys = lift(request, context.api_version)
        if request.key_type in (GROUP, TRANSACTION):
            host, port = self._addresses.address_for(context)
            if log.isEnabledFor(EXPLAIN):
                asked = ", ".join(keys)
                log.log(EXPLAIN, "A client asks who coordinates %s; it is told %s:%d", asked, host, port)
            found = [Coordinator(key=key, node_id=self._node_id, host=host, port=port) for key in keys]
        else:
            message = "" if request.key_type == SHARE else f"There is no coordinator type {request.key_type}"
            found = [nowhere(key, InvalidRequest(), message) for key in keys]
        return lower(found, context.api_version)


def nowhere(key: str, error: InvalidRequest, message: str) -> Coordinator:
    """The answer for a key that no broker looks after."""
    return Coordinator(key=key, node_id=NOWHERE, port=NOWHERE, error_code=error.code, error_message=message)


def lift(request: FindCoordinatorRequest, version: int) -> list[str]:
    """The keys of a request of any version."""
    return request.coordinator_keys if version >= 4 else [request.key]


def lower(found: list[Coordinator], version: int) -> FindCoordinatorResponse:
    """The answers in the shape of the version; before v4 there is exactly one."""
    if version >= 4:
        return FindCoordinatorResponse(coordinators=found)
    (one,) = found
    return FindCoordinatorResponse(
        error_code=one.error_code,
        error_message="NONE" if one.error_code == 0 else one.error_message or InvalidRequest.default_message,
        node_id=one.node_id,
        host=one.host,
        port=one.port,
    )
