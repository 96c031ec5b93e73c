"""DescribeUserScramCredentials v0, AlterUserScramCredentials v0: who can log in by SCRAM (KIP-554).

Shapes: users by name (null or none for all) and their mechanisms with iteration counts; deletions and upsertions, with
a result per user.
Behaviour: nothing secret is ever shown. A user that is described or changed twice in one request is DUPLICATE_RESOURCE,
one without credential RESOURCE_NOT_FOUND, an iteration count outside 4096-16384 UNACCEPTABLE_CREDENTIAL, an unknown
mechanism UNSUPPORTED_SASL_MECHANISM. Results of users are sorted by name.
Versions: there is one.
Known gaps: Apache Kafka stumbles over an empty salted password (UNKNOWN_SERVER_ERROR); here it is not acceptable.
"""

from __future__ import annotations

from collections import Counter

from kafka_protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    AlterUserScramCredentialsResponse,
    AlterUserScramCredentialsResult,
)
from kafka_protocol.messages.describe_user_scram_credentials import (
    CredentialInfo,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
)

from kafka_server.application.context import RequestContext
from kafka_server.application.scram_service import Deletion, ScramService, Upsertion
from kafka_server.domain.errors import DomainError, DuplicateResource


class ScramCredentialHandlers:
    """Answers DescribeUserScramCredentials and AlterUserScramCredentials."""

    __slots__ = ("_scram",)

    def __init__(self, scram: ScramService) -> None:
        self._scram = scram

    def describe_user_scram_credentials(
        self, context: RequestContext, request: DescribeUserScramCredentialsRequest
    ) -> DescribeUserScramCredentialsResponse:
        times = Counter(user.name for user in request.users or ()) or Counter(self._scram.users())
        return DescribeUserScramCredentialsResponse(
            error_message=None, results=[self._described(user, times[user]) for user in sorted(times)]
        )

    def _described(self, user: str, times: int) -> DescribeUserScramCredentialsResult:
        result = DescribeUserScramCredentialsResult(user=user, error_message=None)
        try:
            if times > 1:
                raise DuplicateResource(f"The user {user} is named more than once")
            result.credential_infos = [
                CredentialInfo(mechanism=mechanism, iterations=credential.iterations)
                for mechanism, credential in self._scram.credentials(user).items()
            ]
        except DomainError as error:
            result.error_code, result.error_message = error.code, str(error)
        return result

    async def alter_user_scram_credentials(
        self, context: RequestContext, request: AlterUserScramCredentialsRequest
    ) -> AlterUserScramCredentialsResponse:
        outcome = await self._scram.alter(
            [Deletion(each.name, each.mechanism) for each in request.deletions],
            [
                Upsertion(each.name, each.mechanism, each.iterations, bytes(each.salt), bytes(each.salted_password))
                for each in request.upsertions
            ],
        )
        results = []
        for user, error in sorted(outcome.items()):
            result = AlterUserScramCredentialsResult(user=user, error_message=None)
            if error is not None:
                result.error_code, result.error_message = error.code, str(error)
            results.append(result)
        return AlterUserScramCredentialsResponse(results=results)
