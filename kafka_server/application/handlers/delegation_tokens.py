"""CreateDelegationToken v0-v3, RenewDelegationToken v0-v2, ExpireDelegationToken v0-v2, DescribeDelegationToken v0-v3.

Shapes: who shall own and renew a token, or the secret of one; times in milliseconds, -1 where there is an error.
Behaviour: this broker issues no tokens, as an Apache Kafka broker does not that has no ``delegation.token.secret.key``.
A connection that proves nobody's identity (PLAINTEXT, or TLS without client certificate) may not even ask:
DELEGATION_TOKEN_REQUEST_NOT_ALLOWED; all others are told DELEGATION_TOKEN_AUTH_DISABLED. Creating also checks, in
between, that renewers are users (INVALID_PRINCIPAL_TYPE).
Versions: CreateDelegationToken v3 (KIP-373) names an owner and tells who asked.
Known gaps: a token is never issued.
"""

from __future__ import annotations

from kafka_protocol.messages.create_delegation_token import (
    CreateDelegationTokenRequest,
    CreateDelegationTokenResponse,
)
from kafka_protocol.messages.describe_delegation_token import (
    DescribeDelegationTokenRequest,
    DescribeDelegationTokenResponse,
)
from kafka_protocol.messages.expire_delegation_token import (
    ExpireDelegationTokenRequest,
    ExpireDelegationTokenResponse,
)
from kafka_protocol.messages.renew_delegation_token import RenewDelegationTokenRequest, RenewDelegationTokenResponse

from kafka_server.application.context import RequestContext
from kafka_server.domain.errors import (
    DelegationTokenAuthDisabled,
    DelegationTokenRequestNotAllowed,
    InvalidPrincipalType,
)

USER = "User"
ANONYMOUS = "User:ANONYMOUS"
NO_TIME = -1


class DelegationTokenHandlers:
    """Answers CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken and DescribeDelegationToken."""

    __slots__ = ()

    def create_delegation_token(
        self, context: RequestContext, request: CreateDelegationTokenRequest
    ) -> CreateDelegationTokenResponse:
        asker_type, _, asker_name = context.principal.partition(":")
        owner_type, owner_name = asker_type, asker_name
        if request.owner_principal_name:
            owner_type, owner_name = request.owner_principal_type or "", request.owner_principal_name
        code = _refusal(context)
        if code == DelegationTokenAuthDisabled.code and any(each.principal_type != USER for each in request.renewers):
            code = InvalidPrincipalType.code
        response = CreateDelegationTokenResponse(
            error_code=code,
            principal_type=owner_type,
            principal_name=owner_name,
            issue_timestamp_ms=NO_TIME,
            expiry_timestamp_ms=NO_TIME,
            max_timestamp_ms=NO_TIME,
        )
        if context.api_version >= 3:
            response.token_requester_principal_type = asker_type
            response.token_requester_principal_name = asker_name
        return response

    def renew_delegation_token(
        self, context: RequestContext, request: RenewDelegationTokenRequest
    ) -> RenewDelegationTokenResponse:
        return RenewDelegationTokenResponse(error_code=_refusal(context), expiry_timestamp_ms=NO_TIME)

    def expire_delegation_token(
        self, context: RequestContext, request: ExpireDelegationTokenRequest
    ) -> ExpireDelegationTokenResponse:
        return ExpireDelegationTokenResponse(error_code=_refusal(context), expiry_timestamp_ms=NO_TIME)

    def describe_delegation_token(
        self, context: RequestContext, request: DescribeDelegationTokenRequest
    ) -> DescribeDelegationTokenResponse:
        return DescribeDelegationTokenResponse(error_code=_refusal(context))


def _refusal(context: RequestContext) -> int:
    protocol = context.security_protocol
    if protocol == "PLAINTEXT" or (protocol == "SSL" and context.principal == ANONYMOUS):
        return DelegationTokenRequestNotAllowed.code
    return DelegationTokenAuthDisabled.code
