"""Owns: the errors a client can be told about, each with its wire code. Must never know: the wire, versions, logging.

A DomainError is an answer, not an accident: a handler turns it into ``error_code`` (and, where the response has one,
``error_message``) of the smallest part of the response it concerns. The names and numbers are Apache Kafka's.
``tests/domain/test_errors.py`` walks every subclass and holds it against ``specs/errors.yaml``.
"""

from __future__ import annotations

from typing import ClassVar


class DomainError(Exception):
    """An error with a wire code. ``code`` is the int16 that goes out; ``str(error)`` is what a human reads."""

    code: ClassVar[int] = -1
    default_message: ClassVar[str] = "The server met an unexpected error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else self.default_message)


class OffsetOutOfRange(DomainError):
    code = 1
    default_message = "The offset lies outside the range of offsets that this partition keeps"


class CorruptMessage(DomainError):
    code = 2
    default_message = "The batch fails its CRC check, or its size is impossible"


class UnknownTopicOrPartition(DomainError):
    code = 3
    default_message = "This broker does not host that topic partition"


class InvalidFetchSize(DomainError):
    code = 4
    default_message = "The fetch size is invalid"


class LeaderNotAvailable(DomainError):
    code = 5
    default_message = "The partition has no leader at the moment"


class NotLeaderOrFollower(DomainError):
    code = 6
    default_message = "This broker is not the leader of that partition"


class RequestTimedOut(DomainError):
    code = 7
    default_message = "The request was not finished within its time limit"


class MessageTooLarge(DomainError):
    code = 10
    default_message = "The batch is larger than max.message.bytes allows"


class OffsetMetadataTooLarge(DomainError):
    code = 12
    default_message = "The metadata string of the committed offset is too long"


class CoordinatorLoadInProgress(DomainError):
    code = 14
    default_message = "The coordinator is still loading its state"


class CoordinatorNotAvailable(DomainError):
    code = 15
    default_message = "The coordinator is not available"


class NotCoordinator(DomainError):
    code = 16
    default_message = "This broker is not the coordinator"


class InvalidTopic(DomainError):
    code = 17
    default_message = "The topic name is not legal"


class RecordListTooLarge(DomainError):
    code = 18
    default_message = "The batch is larger than segment.bytes allows"


class NotEnoughReplicas(DomainError):
    code = 19
    default_message = "The batch cannot be stored at the moment; try again"


class InvalidRequiredAcks(DomainError):
    code = 21
    default_message = "acks must be 0, 1 or -1"


class IllegalGeneration(DomainError):
    code = 22
    default_message = "The generation is not the group's current one"


class InconsistentGroupProtocol(DomainError):
    code = 23
    default_message = "The member shares no protocol type or protocol with the group"


class InvalidGroupId(DomainError):
    code = 24
    default_message = "The group id is not legal"


class UnknownMemberId(DomainError):
    code = 25
    default_message = "The group does not know that member"


class InvalidSessionTimeout(DomainError):
    code = 26
    default_message = "The session time-out lies outside the bounds that the broker allows"


class RebalanceInProgress(DomainError):
    code = 27
    default_message = "The group is rebalancing; rejoin"


class InvalidCommitOffsetSize(DomainError):
    code = 28
    default_message = "The offset commit is too large"


class TopicAuthorizationFailed(DomainError):
    code = 29
    default_message = "Not authorised for that topic"


class GroupAuthorizationFailed(DomainError):
    code = 30
    default_message = "Not authorised for that group"


class ClusterAuthorizationFailed(DomainError):
    code = 31
    default_message = "Not authorised for the cluster"


class InvalidTimestamp(DomainError):
    code = 32
    default_message = "The timestamp of a record lies outside the bounds that the topic allows"


class UnsupportedSaslMechanism(DomainError):
    code = 33
    default_message = "The SASL mechanism is not enabled"


class IllegalSaslState(DomainError):
    code = 34
    default_message = "The request is not allowed in this state of the SASL exchange"


class UnsupportedVersion(DomainError):
    code = 35
    default_message = "The version is not supported"


class TopicAlreadyExists(DomainError):
    code = 36
    default_message = "The topic exists already"


class InvalidPartitions(DomainError):
    code = 37
    default_message = "The number of partitions is invalid"


class InvalidReplicationFactor(DomainError):
    code = 38
    default_message = "The replication factor is below 1 or above the number of brokers"


class InvalidReplicaAssignment(DomainError):
    code = 39
    default_message = "The replica assignment is invalid"


class InvalidConfig(DomainError):
    code = 40
    default_message = "The configuration is invalid"


class NotController(DomainError):
    code = 41
    default_message = "This broker is not the controller"


class InvalidRequest(DomainError):
    code = 42
    default_message = "The request contradicts itself or its version"


class UnsupportedForMessageFormat(DomainError):
    code = 43
    default_message = "The message format on disk does not support the request"


class PolicyViolation(DomainError):
    code = 44
    default_message = "A policy of the broker refuses the request"


class OutOfOrderSequence(DomainError):
    code = 45
    default_message = "The sequence number does not follow the last one of this producer"


class DuplicateSequence(DomainError):
    code = 46
    default_message = "The batch was appended before"


class InvalidProducerEpoch(DomainError):
    code = 47
    default_message = "The producer epoch is older than the current one"


class InvalidTxnState(DomainError):
    code = 48
    default_message = "The transaction is not in a state that allows the request"


class InvalidProducerIdMapping(DomainError):
    code = 49
    default_message = "The producer id does not belong to that transactional id"


class InvalidTransactionTimeout(DomainError):
    code = 50
    default_message = "The transaction time-out exceeds transaction.max.timeout.ms"


class ConcurrentTransactions(DomainError):
    code = 51
    default_message = "Another operation on this transaction is under way"


class TransactionCoordinatorFenced(DomainError):
    code = 52
    default_message = "A newer coordinator exists for this transactional id"


class TransactionalIdAuthorizationFailed(DomainError):
    code = 53
    default_message = "Not authorised for that transactional id"


class SecurityDisabled(DomainError):
    code = 54
    default_message = "Security features are disabled"


class OperationNotAttempted(DomainError):
    code = 55
    default_message = "The operation was not attempted because another one in the same request failed"


class StorageError(DomainError):
    code = 56
    default_message = "The log directory failed"


class LogDirNotFound(DomainError):
    code = 57
    default_message = "The log directory is not one of log.dirs"


class UnknownProducerId(DomainError):
    code = 59
    default_message = "The broker has no state for that producer id"


class ReassignmentInProgress(DomainError):
    code = 60
    default_message = "A reassignment of the partition is in progress"


class DelegationTokenAuthDisabled(DomainError):
    code = 61
    default_message = "Delegation tokens are not enabled"


class DelegationTokenRequestNotAllowed(DomainError):
    code = 64
    default_message = "Delegation tokens cannot be asked for over a connection like this one"


class InvalidPrincipalType(DomainError):
    code = 67
    default_message = "Principals of that type are not supported"


class NonEmptyGroup(DomainError):
    code = 68
    default_message = "The group is not empty"


class GroupIdNotFound(DomainError):
    code = 69
    default_message = "There is no such group"


class FetchSessionIdNotFound(DomainError):
    code = 70
    default_message = "There is no fetch session with that id"


class InvalidFetchSessionEpoch(DomainError):
    code = 71
    default_message = "The epoch is not the one that the fetch session expects next"


class ListenerNotFound(DomainError):
    code = 72
    default_message = "No listener matches"


class TopicDeletionDisabled(DomainError):
    code = 73
    default_message = "Topic deletion is disabled (delete.topic.enable=false)"


class FencedLeaderEpoch(DomainError):
    code = 74
    default_message = "The leader epoch of the request is older than the broker's"


class UnknownLeaderEpoch(DomainError):
    code = 75
    default_message = "The leader epoch of the request is newer than the broker's"


class UnsupportedCompressionType(DomainError):
    code = 76
    default_message = "The compression type is not allowed in this version of the request"


class StaleBrokerEpoch(DomainError):
    code = 77
    default_message = "The broker epoch is stale"


class OffsetNotAvailable(DomainError):
    code = 78
    default_message = "The offset is not known yet"


class MemberIdRequired(DomainError):
    code = 79
    default_message = "Join again with the member id in this response"


class PreferredLeaderNotAvailable(DomainError):
    code = 80
    default_message = "The preferred leader is not available"


class GroupMaxSizeReached(DomainError):
    code = 81
    default_message = "The group has reached group.max.size"


class FencedInstanceId(DomainError):
    code = 82
    default_message = "Another member with the same group.instance.id has taken over"


class ElectionNotNeeded(DomainError):
    code = 84
    default_message = "The partition needs no election"


class NoReassignmentInProgress(DomainError):
    code = 85
    default_message = "No reassignment is in progress"


class GroupSubscribedToTopic(DomainError):
    code = 86
    default_message = "A member of the group is subscribed to the topic"


class InvalidRecord(DomainError):
    code = 87
    default_message = "A record breaks a rule of its format"


class UnstableOffsetCommit(DomainError):
    code = 88
    default_message = "The offset belongs to a transaction that is not decided yet"


class ThrottlingQuotaExceeded(DomainError):
    code = 89
    default_message = "The quota is used up; try again later"


class ProducerFenced(DomainError):
    code = 90
    default_message = "A newer producer with the same transactional id exists"


class ResourceNotFound(DomainError):
    code = 91
    default_message = "The resource does not exist"


class DuplicateResource(DomainError):
    code = 92
    default_message = "The resource is named twice in the request"


class UnacceptableCredential(DomainError):
    code = 93
    default_message = "The credential is not acceptable"


class InconsistentVoterSet(DomainError):
    code = 94
    default_message = "The voter sets differ"


class InvalidUpdateVersion(DomainError):
    code = 95
    default_message = "The feature version is out of range"


class FeatureUpdateFailed(DomainError):
    code = 96
    default_message = "The features could not be updated"


class UnknownTopicId(DomainError):
    code = 100
    default_message = "This broker does not host the topic id"


class BrokerIdNotRegistered(DomainError):
    code = 102
    default_message = "No broker with that id is registered"


class InconsistentTopicId(DomainError):
    code = 103
    default_message = "The topic id does not match the topic name"


class TransactionalIdNotFound(DomainError):
    code = 105
    default_message = "The transactional id is unknown"


class FetchSessionTopicIdError(DomainError):
    code = 106
    default_message = "The fetch session met a topic id that does not fit"


class FencedMemberEpoch(DomainError):
    code = 110
    default_message = "The member epoch is not the group's current one for this member"


class UnreleasedInstanceId(DomainError):
    code = 111
    default_message = "The group.instance.id is still in use by another member"


class UnsupportedAssignor(DomainError):
    code = 112
    default_message = "The group supports none of the member's assignors"


class StaleMemberEpoch(DomainError):
    code = 113
    default_message = "The member epoch is older than the member's current one"


class MismatchedEndpointType(DomainError):
    code = 114
    default_message = "The request was sent to an endpoint of the wrong type"


class UnsupportedEndpointType(DomainError):
    code = 115
    default_message = "The type of endpoint is not supported"


class UnknownSubscriptionId(DomainError):
    code = 117
    default_message = "The telemetry subscription id is out of date"


class TelemetryTooLarge(DomainError):
    code = 118
    default_message = "The telemetry payload is too large"


class TransactionAbortable(DomainError):
    code = 120
    default_message = "The transaction can only be aborted"


class InvalidRegularExpression(DomainError):
    code = 128
    default_message = "The regular expression is not valid"


class RebootstrapRequired(DomainError):
    code = 129
    default_message = "This is not the broker that the client expects; start again from bootstrap.servers"
