"""DescribeAcls v0-v3, CreateAcls v0-v3, DeleteAcls v0-v3: there is no authorizer, so there are no entries.

Shapes: a filter, entries to add, or filters of what to remove; a result for the whole answer (DescribeAcls) or for each
entry or filter, in the order of the request.
Behaviour: SECURITY_DISABLED, the answer of an Apache Kafka broker without ``authorizer.class.name``. An entry that was
accepted and not enforced would be worse than none.
Versions: no difference in what is answered.
Known gaps: Apache Kafka closes the connection on a resource type, operation or permission of 0, which stands for "not
known"; here that gets the same answer as everything else.
"""

from __future__ import annotations

from kafka_protocol.messages.create_acls import AclCreationResult, CreateAclsRequest, CreateAclsResponse
from kafka_protocol.messages.delete_acls import DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse
from kafka_protocol.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse

from kafka_server.application.context import RequestContext
from kafka_server.domain.errors import SecurityDisabled

WHY = "This broker has no authorizer, so there are no access control entries"


class AclHandlers:
    """Answers DescribeAcls, CreateAcls and DeleteAcls."""

    __slots__ = ()

    def describe_acls(self, context: RequestContext, request: DescribeAclsRequest) -> DescribeAclsResponse:
        return DescribeAclsResponse(error_code=SecurityDisabled.code, error_message=WHY)

    def create_acls(self, context: RequestContext, request: CreateAclsRequest) -> CreateAclsResponse:
        refused = AclCreationResult(error_code=SecurityDisabled.code, error_message=WHY)
        return CreateAclsResponse(results=[refused] * len(request.creations))

    def delete_acls(self, context: RequestContext, request: DeleteAclsRequest) -> DeleteAclsResponse:
        refused = DeleteAclsFilterResult(error_code=SecurityDisabled.code, error_message=WHY)
        return DeleteAclsResponse(filter_results=[refused] * len(request.filters))
