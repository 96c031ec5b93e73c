"""InitProducerId (key 22), v0-v5: gives a producer its id and epoch.

Behaviour
    Without a transactional id every request gets a new producer id with epoch 0, whatever id it brings along: an
    idempotent producer that lost its place starts over under another name.
    With one, the caller becomes its owner: the epoch is bumped, every earlier process is fenced, and what it left open
    is aborted - the caller is told CONCURRENT_TRANSACTIONS then and comes again.

Version notes
    v3      brings the producer's id and epoch (KIP-360); one without the other is INVALID_REQUEST. Only the owner, or a
            repetition of its last request, gets a bump then; anybody else is fenced.
    v4      PRODUCER_FENCED; before that it is INVALID_PRODUCER_EPOCH (KIP-588).
    v5      TRANSACTION_ABORTABLE may be answered; nothing here does.
    v6 exists in Kafka 4.4 but is marked unstable there and not served by default; it is not served here.

Known gaps: none.
"""

from __future__ import annotations

from collections.abc import Callable

from kafka_protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

from kafka_server.application.context import RequestContext
from kafka_server.application.producer_service import ProducerIdService
from kafka_server.application.transaction_coordinator import TransactionCoordinator
from kafka_server.domain.errors import (
    CoordinatorNotAvailable,
    DomainError,
    InvalidProducerEpoch,
    InvalidRequest,
    ProducerFenced,
    StorageError,
)
from kafka_server.domain.transaction import NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Producer

_FIRST_VERSION_WITH_FENCED = 4


class InitProducerIdHandlers:
    """InitProducerId."""

    __slots__ = ("_coordinator", "_producer_ids")

    def __init__(self, producer_ids: ProducerIdService, coordinator: Callable[[], TransactionCoordinator]) -> None:
        """``coordinator`` is called when the first transactional producer comes."""
        self._producer_ids = producer_ids
        self._coordinator = coordinator

    async def init_producer_id(self, context: RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse:
        try:
            producer = await self._initialise(request)
        except DomainError as error:
            return _refusal(error, context.api_version)
        return InitProducerIdResponse(producer_id=producer.producer_id, producer_epoch=producer.epoch)

    async def _initialise(self, request: InitProducerIdRequest) -> Producer:
        expected: Producer | None = Producer(request.producer_id, request.producer_epoch)
        if (request.producer_id == NO_PRODUCER_ID) != (request.producer_epoch == NO_PRODUCER_EPOCH):
            raise InvalidRequest("A producer id comes with its epoch, or neither does")
        if request.producer_id == NO_PRODUCER_ID:
            expected = None
        if request.transactional_id is None:
            try:
                return Producer(await self._producer_ids.allocate(), 0)
            except StorageError as error:
                raise CoordinatorNotAvailable(str(error)) from error
        return await self._coordinator().initialise(request.transactional_id, request.transaction_timeout_ms, expected)


def _refusal(error: DomainError, version: int) -> InitProducerIdResponse:
    code = error.code
    if isinstance(error, ProducerFenced) and version < _FIRST_VERSION_WITH_FENCED:
        code = InvalidProducerEpoch.code
    return InitProducerIdResponse(error_code=code, producer_id=NO_PRODUCER_ID, producer_epoch=NO_PRODUCER_EPOCH)
