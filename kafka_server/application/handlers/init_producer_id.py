"""InitProducerId (key 22), v0-v5: gives an idempotent producer its id.

Behaviour
    Without a transactional id every request gets a new producer id with epoch 0, whatever id it brings along: an
    idempotent producer that lost its place starts over under another name.

Version notes
    v3      brings the producer's old id and epoch (KIP-360); one without the other is INVALID_REQUEST.
    v4      PRODUCER_FENCED may be answered (transactions only).
    v5      TRANSACTION_ABORTABLE may be answered (transactions only).
    v6 exists in Kafka 4.4 but is marked unstable there and not served by default; it is not served here.

Known gaps
    With a transactional id the answer is COORDINATOR_NOT_AVAILABLE, as from a broker that cannot load the transaction
    log: this broker has no transaction coordinator yet. An empty transactional id is INVALID_REQUEST.
"""

from __future__ import annotations

from kafka_protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

from kafka_server.application.context import RequestContext
from kafka_server.application.producer_service import ProducerIdService
from kafka_server.domain.errors import CoordinatorNotAvailable, InvalidRequest


class InitProducerIdHandlers:
    """InitProducerId."""

    __slots__ = ("_producer_ids",)

    def __init__(self, producer_ids: ProducerIdService) -> None:
        self._producer_ids = producer_ids

    async def init_producer_id(self, context: RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse:
        if (request.producer_id == -1) != (request.producer_epoch == -1) or request.transactional_id == "":
            return InitProducerIdResponse(error_code=InvalidRequest.code, producer_epoch=-1)
        if request.transactional_id is not None:
            return InitProducerIdResponse(error_code=CoordinatorNotAvailable.code, producer_epoch=-1)
        return InitProducerIdResponse(producer_id=await self._producer_ids.allocate(), producer_epoch=0)
