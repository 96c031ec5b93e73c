"""Which header stands before a body: derived from the schemas here, said by kio beside every one of its classes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from kafka_protocol.dispatch import SERVED, Dispatch, Route
from kafka_protocol.handlers import Handlers
from kafka_protocol.messages.heartbeat import HeartbeatResponse
from kafka_protocol.wire import ProtocolError
from kio.index import load_payload_module
from kio.schema.index import api_key_map, schema_name_map
from kio.static.constants import EntityType


@pytest.fixture(scope="module")
def dispatch() -> Dispatch[None]:
    """Routes whose handlers answer every request with an empty heartbeat response."""
    slots: dict[str, Any] = {slot.name: lambda context, request: HeartbeatResponse() for slot in fields(Handlers)}
    return Dispatch(Handlers(**slots))


def route(dispatch: Dispatch[None], api_key: int, version: int) -> Route[None]:
    found = dispatch.lookup(api_key, version)
    assert found is not None
    return found


def test_headers_are_those_that_kio_puts_before_the_same_bodies(dispatch: Dispatch[None]) -> None:
    judged = 0
    for api_key, (low, high) in SERVED.items():
        stem = api_key_map[api_key]
        for version in range(low, high + 1):
            if version not in schema_name_map[stem]:
                continue
            judged += 1
            ours = route(dispatch, api_key, version)
            entities = {}
            for kind in (EntityType.request, EntityType.response):
                module = load_payload_module(api_key, version, kind)
                entities[kind] = next(part for part in vars(module).values() if getattr(part, "__type__", None) is kind)
            assert ours.request_header_version == entities[EntityType.request].__header_schema__.__version__, ours
            assert ours.flexible_response == (entities[EntityType.response].__header_schema__.__version__ == 1), ours
    assert judged > 100


def test_the_answer_to_api_versions_never_has_a_flexible_header(dispatch: Dispatch[None]) -> None:
    # The client does not know yet whether the broker can write one (KIP-511).
    assert route(dispatch, 18, 3).flexible_request
    assert not route(dispatch, 18, 3).flexible_response


def test_a_version_that_is_not_served_has_no_route(dispatch: Dispatch[None]) -> None:
    assert dispatch.lookup(12, 5) is None
    assert dispatch.lookup(999, 0) is None


def test_a_body_with_bytes_behind_it_never_reaches_the_handler(dispatch: Dispatch[None]) -> None:
    body = bytes.fromhex("0001 67 00000005 0001 6d")
    assert route(dispatch, 12, 0).call(None, body, 0) == [b"\0\0"]
    with pytest.raises(ProtocolError, match=r"HeartbeatRequest v0: \(end\) at byte 10: 1 bytes follow the last field"):
        route(dispatch, 12, 0).call(None, body + b"\0", 0)
    with pytest.raises(ProtocolError, match="HeartbeatRequest v0: member_id at byte 7"):
        route(dispatch, 12, 0).call(None, body[:-1], 0)
