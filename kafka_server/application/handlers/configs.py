"""DescribeConfigs v0-v4, AlterConfigs v0-v2, IncrementalAlterConfigs v0-v1, ListConfigResources v0-v1.

Shapes: requests list resources - topic, broker, broker logger, group, client metrics - with keys; responses list a
result per resource, in the order of the request. ListConfigResources tells the names of what can have configs, by type.
Behaviour: a resource is changed as a whole or not at all; one that is listed twice is INVALID_REQUEST both times. A
broker is named by its node id, or by the empty name for "every broker". Passwords, and keys that this broker does not
know, are shown without value. Documentation says of a key without effect that it has none.
Versions: DescribeConfigs v0 knows defaults by ``is_default`` only, v1+ (KIP-226) sources and synonyms, v3+ (KIP-569)
types and documentation. AlterConfigs replaces all keys of a resource and cannot change broker loggers;
IncrementalAlterConfigs (KIP-339) changes some, and appends to or subtracts from lists. ListConfigResources v0 lists
client-metrics resources (KIP-1000), v1 (KIP-1142) those of the types named, or of all types when none is; an unknown
type is UNSUPPORTED_VERSION. DescribeConfigs refuses all resources when one is of an unknown type (INVALID_REQUEST).
Known gaps: none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kafka_protocol.messages import alter_configs, incremental_alter_configs
from kafka_protocol.messages.alter_configs import AlterConfigsRequest, AlterConfigsResponse
from kafka_protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from kafka_protocol.messages.incremental_alter_configs import (
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from kafka_protocol.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

from kafka_server.application.broker_loggers import BrokerLoggers
from kafka_server.application.config_service import Change, ConfigService
from kafka_server.application.context import RequestContext
from kafka_server.domain.config_def import ConfigOperation, ConfigSource, ResourceType
from kafka_server.domain.config_layers import ConfigEntry
from kafka_server.domain.errors import DomainError, InvalidRequest, UnsupportedVersion

_RESOURCE_TYPES = {each.value for each in ResourceType}


class ConfigHandlers:
    """Answers DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources."""

    __slots__ = ("_configs", "_loggers")

    def __init__(self, configs: ConfigService, loggers: BrokerLoggers) -> None:
        self._configs = configs
        self._loggers = loggers

    def describe_configs(self, context: RequestContext, request: DescribeConfigsRequest) -> DescribeConfigsResponse:
        results = []
        unknown = next((each for each in request.resources if each.resource_type not in _RESOURCE_TYPES), None)
        for resource in request.resources:
            result = DescribeConfigsResult(resource_type=resource.resource_type, resource_name=resource.resource_name)
            try:
                entries = self._entries(unknown or resource)
            except DomainError as error:
                result.error_code = error.code
                result.error_message = str(error)
            else:
                result.configs = [_described(entry, request, context.api_version) for entry in entries]
            results.append(result)
        return DescribeConfigsResponse(results=results)

    async def alter_configs(self, context: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse:
        response = AlterConfigsResponse()
        times = Counter((resource.resource_type, resource.resource_name) for resource in request.resources)
        for resource in request.resources:
            kind, name = resource.resource_type, resource.resource_name
            answer = alter_configs.AlterConfigsResourceResponse(
                error_message=None, resource_type=kind, resource_name=name
            )
            try:
                _refuse_repeated(times[kind, name])
                configs = [(config.name, config.value) for config in resource.configs]
                await self._configs.replace(
                    _resource_type(kind, may_log=False), name, configs, validate_only=request.validate_only
                )
            except DomainError as error:
                answer.error_code = error.code
                answer.error_message = str(error)
            response.responses.append(answer)
        return response

    async def incremental_alter_configs(
        self, context: RequestContext, request: IncrementalAlterConfigsRequest
    ) -> IncrementalAlterConfigsResponse:
        response = IncrementalAlterConfigsResponse()
        times = Counter((resource.resource_type, resource.resource_name) for resource in request.resources)
        for resource in request.resources:
            kind, name = resource.resource_type, resource.resource_name
            answer = incremental_alter_configs.AlterConfigsResourceResponse(
                error_message=None, resource_type=kind, resource_name=name
            )
            try:
                _refuse_repeated(times[kind, name])
                changes = [
                    (config.name, _operation(config.config_operation), config.value) for config in resource.configs
                ]
                await self._alter(_resource_type(kind, may_log=True), name, changes, request.validate_only)
            except DomainError as error:
                answer.error_code = error.code
                answer.error_message = str(error)
            response.responses.append(answer)
        return response

    def list_config_resources(
        self, context: RequestContext, request: ListConfigResourcesRequest
    ) -> ListConfigResourcesResponse:
        wanted = request.resource_types if context.api_version >= 1 else [ResourceType.CLIENT_METRICS]
        known = {each.value: each for each in ResourceType}
        if any(number not in known for number in wanted):
            return ListConfigResourcesResponse(error_code=UnsupportedVersion.code)
        return ListConfigResourcesResponse(
            config_resources=[
                ConfigResource(resource_name=name, resource_type=number)
                for number in sorted(set(wanted) or known)
                for name in self._configs.resource_names(known[number])
            ]
        )

    def _entries(self, resource: DescribeConfigsResource) -> Sequence[ConfigEntry]:
        resource_type = _resource_type(resource.resource_type, may_log=True)
        # No keys at all and an empty list of keys both mean every key.
        names = set(resource.configuration_keys) if resource.configuration_keys else None
        if resource_type is not ResourceType.BROKER_LOGGER:
            return self._configs.describe(resource_type, resource.resource_name, names)
        self._configs.check_node_id(resource.resource_name)
        return self._loggers.entries(names)

    async def _alter(
        self, resource_type: ResourceType, name: str, changes: Sequence[Change], validate_only: bool
    ) -> None:
        if resource_type is ResourceType.BROKER_LOGGER:
            self._configs.check_node_id(name)
            self._loggers.alter(changes, validate_only)
        else:
            await self._configs.alter(resource_type, name, changes, validate_only=validate_only)


def _refuse_repeated(times: int) -> None:
    if times > 1:
        raise InvalidRequest("Each resource must appear at most once")


def _resource_type(number: int, *, may_log: bool) -> ResourceType:
    try:
        resource_type = ResourceType(number)
    except ValueError:
        raise InvalidRequest(f"Unknown resource type {number}") from None
    if resource_type is ResourceType.BROKER_LOGGER and not may_log:
        raise InvalidRequest("Log levels can be changed with IncrementalAlterConfigs only")
    return resource_type


def _operation(number: int) -> ConfigOperation:
    try:
        return ConfigOperation(number)
    except ValueError:
        raise InvalidRequest(f"Unknown config operation {number}") from None


def _described(entry: ConfigEntry, request: DescribeConfigsRequest, version: int) -> DescribeConfigsResourceResult:
    synonyms = []
    if request.include_synonyms:
        synonyms = [
            DescribeConfigsSynonym(name=synonym.name, value=synonym.value, source=synonym.source)
            for synonym in entry.synonyms
        ]
    return DescribeConfigsResourceResult(
        name=entry.name,
        value=entry.value,
        read_only=entry.is_read_only,
        is_default=version == 0 and entry.source is ConfigSource.DEFAULT,
        config_source=entry.source,
        is_sensitive=entry.is_sensitive,
        synonyms=synonyms,
        config_type=entry.type,
        documentation=entry.doc if request.include_documentation else None,
    )
