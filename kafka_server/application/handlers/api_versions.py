"""ApiVersions v0-v5: which APIs does this broker speak, in which versions, and at which feature levels?

Shapes: request - who the client is (v3+) and whom it expects to reach (v5); response - a range per API, features (v3+).
Behaviour: the ranges are those that the generated dispatch serves, the same before and after authentication. The name
and version of the client's software are kept in the context for logs and metrics.
Versions: any version above ours is answered too, with UNSUPPORTED_VERSION and all ranges in a v0 body, so that the
client learns what to ask for next (Apache Kafka lists only this API there). v3+: a software name or version that is
not made of letters, digits, '-' and '.' is INVALID_REQUEST (KIP-511); features are told too (KIP-584). v4+: features
whose lowest level is 0 are told; below they are left out, because old clients refuse them (KAFKA-17011). v5: cluster
id and node id come together or not at all, else INVALID_REQUEST; if they are not ours, REBOOTSTRAP_REQUIRED.
Known gaps: none.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from kafka_protocol.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.explain import EXPLAIN
from kafka_server.application.feature_service import FeatureService
from kafka_server.domain.errors import InvalidRequest, RebootstrapRequired, UnsupportedVersion

API_KEY = 18
log = logging.getLogger("kafka_server.network")
_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


class ApiVersionsHandlers:
    """Answers ApiVersions from the ranges of the dispatch."""

    __slots__ = ("_cluster_id", "_features", "_node_id", "_ranges", "_served")

    def __init__(
        self,
        served: Mapping[int, tuple[int, int]],
        features: FeatureService,
        cluster_id: str,
        node_id: int,
    ) -> None:
        """``served`` maps an API key to its lowest and highest version."""
        self._served = served
        self._features = features
        self._cluster_id = cluster_id
        self._node_id = node_id
        self._ranges = [
            ApiVersion(api_key=key, min_version=low, max_version=high) for key, (low, high) in served.items()
        ]

    def api_versions(self, context: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse:
        version = context.api_version
        lowest, highest = self._served[API_KEY]
        if not lowest <= version <= highest:
            return ApiVersionsResponse(error_code=UnsupportedVersion.code, api_keys=self._ranges)
        error = self._refusal(version, request)
        if error:
            return ApiVersionsResponse(error_code=error)
        context.software_name = request.client_software_name
        context.software_version = request.client_software_version
        if log.isEnabledFor(EXPLAIN):
            log.log(
                EXPLAIN,
                "Client %s (%s %s) asked which APIs and versions this broker speaks",
                context.client_id,
                context.software_name or "software unknown",
                context.software_version,
            )
        features = self._features
        return ApiVersionsResponse(
            api_keys=self._ranges,
            supported_features=[
                SupportedFeatureKey(name=feature.name, min_version=feature.lowest, max_version=feature.highest)
                for feature in features.supported.values()
                if feature.lowest > 0 or version >= 4
            ],
            finalized_features_epoch=features.epoch,
            finalized_features=[
                FinalizedFeatureKey(name=name, min_version_level=level, max_version_level=level)
                for name in features.supported
                if (level := features.level(name)) > 0
            ],
            zk_migration_ready=False,
        )

    def _refusal(self, version: int, request: ApiVersionsRequest) -> int:
        """The error code that the request deserves, 0 when it is sound."""
        if version < 3:
            return 0
        if _SOFTWARE.fullmatch(request.client_software_name) is None:
            return InvalidRequest.code
        if _SOFTWARE.fullmatch(request.client_software_version) is None:
            return InvalidRequest.code
        if request.cluster_id is None and request.node_id == -1:
            return 0
        if request.cluster_id is None or request.node_id == -1:
            return InvalidRequest.code
        is_meant = request.cluster_id == self._cluster_id and request.node_id == self._node_id
        return 0 if is_meant else RebootstrapRequired.code
