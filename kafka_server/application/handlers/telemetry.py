"""GetTelemetrySubscriptions v0, PushTelemetry v0: clients tell how they fare (KIP-714).

Shapes: an instance id that the broker drew, and what the client is asked for; a push of OpenTelemetry metrics.
Behaviour: what is asked for is set by configs of the resource type CLIENT_METRICS. Pushed metrics are shown at
``/metrics`` with the client's id; counters that come as deltas are summed up. Too early is THROTTLING_QUOTA_EXCEEDED,
an outdated subscription UNKNOWN_SUBSCRIPTION_ID, an unknown codec UNSUPPORTED_COMPRESSION_TYPE, more than
telemetry.max.bytes TELEMETRY_TOO_LARGE, and what cannot be read INVALID_RECORD.
Versions: there is one.
Known gaps: an instance is forgotten after three intervals of silence; Apache Kafka does so at once when the client
disconnects. Apache Kafka offers these APIs only when a receiver plugin is installed.
"""

from __future__ import annotations

from kafka_protocol.messages.get_telemetry_subscriptions import (
    GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptionsResponse,
)
from kafka_protocol.messages.push_telemetry import PushTelemetryRequest, PushTelemetryResponse

from kafka_server.application.context import RequestContext
from kafka_server.application.telemetry_service import ACCEPTED_COMPRESSION, TelemetryService
from kafka_server.domain.errors import DomainError


class TelemetryHandlers:
    """Answers GetTelemetrySubscriptions and PushTelemetry."""

    __slots__ = ("_telemetry",)

    def __init__(self, telemetry: TelemetryService) -> None:
        self._telemetry = telemetry

    def get_telemetry_subscriptions(
        self, context: RequestContext, request: GetTelemetrySubscriptionsRequest
    ) -> GetTelemetrySubscriptionsResponse:
        try:
            instance = self._telemetry.subscribe(context, request.client_instance_id)
        except DomainError as error:
            return GetTelemetrySubscriptionsResponse(error_code=error.code)
        return GetTelemetrySubscriptionsResponse(
            client_instance_id=instance.instance_id,
            subscription_id=instance.wanted.subscription_id,
            accepted_compression_types=list(ACCEPTED_COMPRESSION),
            push_interval_ms=instance.wanted.interval_ms,
            telemetry_max_bytes=self._telemetry.size_max,
            delta_temporality=True,
            requested_metrics=list(instance.wanted.metrics),
        )

    def push_telemetry(self, context: RequestContext, request: PushTelemetryRequest) -> PushTelemetryResponse:
        try:
            self._telemetry.push(
                context,
                request.client_instance_id,
                request.subscription_id,
                request.compression_type,
                bytes(request.metrics),
                is_last=request.terminating,
            )
        except DomainError as error:
            return PushTelemetryResponse(error_code=error.code)
        return PushTelemetryResponse()
