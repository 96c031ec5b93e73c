"""CreateTopics v0-v7, DeleteTopics v0-v6, CreatePartitions v0-v3: topics come, grow and go.

Shapes: requests list topics; responses list a result per topic, in the order of the request, errors about repeated
names at the end. Every failure belongs to one topic and leaves the others alone.
Behaviour: a name or id that is given twice in one request is INVALID_REQUEST and nothing is done about it. Work is
finished when the answer leaves, so ``timeout_ms`` never runs out.
Versions: CreateTopics v1+ may only validate; v5+ tells the effective configs, partition count and replication factor
(KIP-525); v7+ the topic id. DeleteTopics v0-v5 lists names, v6 names or ids, never both for one topic (KIP-516); with
delete.topic.enable=false v3+ answers TOPIC_DELETION_DISABLED, before that INVALID_REQUEST. All versions from v4
(CreateTopics) on allow -1 for "as the broker is configured" (KIP-464), and so do older ones here.
A client that changes more topics than its ``controller_mutation_rate`` allows (KIP-599) is told
THROTTLING_QUOTA_EXCEEDED from CreateTopics v6, DeleteTopics v5 and CreatePartitions v3 on; older ones have their will
and pause.
Known gaps: none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kafka_protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)
from kafka_protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from kafka_protocol.messages.delete_topics import (
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

from kafka_server.application.config_service import ConfigService
from kafka_server.application.context import RequestContext
from kafka_server.application.throttle import MutationQuota, Throttle
from kafka_server.application.topic_service import NewTopic, TopicService
from kafka_server.domain.errors import (
    DomainError,
    InvalidRequest,
    TopicDeletionDisabled,
    UnknownTopicOrPartition,
)
from kafka_server.domain.topic import ZERO_ID, Topic


class TopicHandlers:
    """Answers CreateTopics, DeleteTopics and CreatePartitions."""

    __slots__ = ("_configs", "_throttle", "_topics")

    def __init__(self, topics: TopicService, configs: ConfigService, throttle: Throttle) -> None:
        self._topics = topics
        self._configs = configs
        self._throttle = throttle

    async def create_topics(self, context: RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse:
        times = Counter(topic.name for topic in request.topics)
        wanted = [_new_topic(topic) for topic in request.topics if times[topic.name] == 1]
        quota = self._throttle.mutations(context, is_strict=context.api_version >= 6)
        outcomes = await self._topics.create_many(wanted, validate_only=request.validate_only, admit=quota.admit)
        results = [
            _failed(new.name, outcome) if isinstance(outcome, DomainError) else self._created(context, outcome)
            for new, outcome in zip(wanted, outcomes, strict=True)
        ]
        results += [
            _failed(name, InvalidRequest("Duplicate topic name.")) for name, count in times.items() if count > 1
        ]
        return CreateTopicsResponse(throttle_time_ms=quota.pause_ms, topics=results)

    async def delete_topics(self, context: RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
        states = _lift(request)
        if not self._configs.boolean("delete.topic.enable"):
            disabled: DomainError = (
                TopicDeletionDisabled() if context.api_version >= 3 else InvalidRequest("Topic deletion is disabled.")
            )
            return DeleteTopicsResponse(responses=[_result(state.name, state.topic_id, disabled) for state in states])
        responses = []
        quota = self._throttle.mutations(context, is_strict=context.api_version >= 5)
        for state, outcome in self._to_delete(states):
            if isinstance(outcome, DomainError):
                responses.append(_result(state.name, state.topic_id, outcome))
                continue
            try:
                quota.admit(outcome.partition_count)
                await self._topics.delete(outcome)
            except DomainError as error:
                responses.append(_result(outcome.name, outcome.topic_id, error))
            else:
                responses.append(_result(outcome.name, outcome.topic_id, None))
        return DeleteTopicsResponse(throttle_time_ms=quota.pause_ms, responses=responses)

    async def create_partitions(
        self, context: RequestContext, request: CreatePartitionsRequest
    ) -> CreatePartitionsResponse:
        times = Counter(topic.name for topic in request.topics)
        quota = self._throttle.mutations(context, is_strict=context.api_version >= 3)
        results = [
            await self._grow(topic, request.validate_only, quota) for topic in request.topics if times[topic.name] == 1
        ]
        results += [
            CreatePartitionsTopicResult(
                name=name, error_code=InvalidRequest.code, error_message="Duplicate topic name."
            )
            for name, count in times.items()
            if count > 1
        ]
        return CreatePartitionsResponse(throttle_time_ms=quota.pause_ms, results=results)

    async def _grow(
        self, topic: CreatePartitionsTopic, validate_only: bool, quota: MutationQuota
    ) -> CreatePartitionsTopicResult:
        assignments = None if topic.assignments is None else [entry.broker_ids for entry in topic.assignments]
        try:
            await self._topics.create_partitions(
                topic.name, topic.count, assignments, validate_only=validate_only, admit=quota.admit
            )
        except DomainError as error:
            return CreatePartitionsTopicResult(name=topic.name, error_code=error.code, error_message=str(error))
        return CreatePartitionsTopicResult(name=topic.name)

    def _created(self, context: RequestContext, topic: Topic) -> CreatableTopicResult:
        result = CreatableTopicResult(name=topic.name, topic_id=topic.topic_id, error_message=None)
        if context.api_version >= 5:
            result.num_partitions = topic.partition_count
            result.replication_factor = 1
            result.configs = [
                CreatableTopicConfigs(
                    name=entry.name,
                    value=entry.value,
                    read_only=entry.is_read_only,
                    config_source=entry.source,
                    is_sensitive=entry.is_sensitive,
                )
                for entry in self._configs.describe_new_topic(topic.configs)
            ]
        return result

    def _to_delete(self, states: list[DeleteTopicState]) -> Iterator[tuple[DeleteTopicState, Topic | DomainError]]:
        """Each state once, with the topic to delete or why there is none."""
        times = Counter((state.name, state.topic_id) for state in states)
        named: Counter[bytes] = Counter(
            topic.topic_id
            for topic in (self._find(state) for state in states if times[state.name, state.topic_id] == 1)
            if isinstance(topic, Topic)
        )
        seen: set[tuple[str | None, bytes]] = set()
        for state in states:
            key = (state.name, state.topic_id)
            if key in seen:
                continue
            seen.add(key)
            if state.name is None and state.topic_id == ZERO_ID:
                yield state, InvalidRequest("Neither topic name nor id were specified.")
            elif state.name is not None and state.topic_id != ZERO_ID:
                yield state, InvalidRequest("A topic may be named by its name or by its id, not by both.")
            elif times[key] > 1:
                yield state, InvalidRequest("Duplicate topic name." if state.name else "Duplicate topic id.")
            else:
                found = self._find(state)
                if isinstance(found, DomainError) or named[found.topic_id] == 1:
                    yield state, found
                elif state.name is not None:
                    both = DeleteTopicState(name=state.name, topic_id=found.topic_id)
                    yield both, InvalidRequest("The topic is named twice, by its name and by its id.")

    def _find(self, state: DeleteTopicState) -> Topic | DomainError:
        try:
            return self._topics.get_by_id(state.topic_id) if state.name is None else self._topics.get(state.name)
        except DomainError as error:
            # An illegal name cannot exist, and that is all this API says about it.
            return UnknownTopicOrPartition() if state.name is not None else error


def _new_topic(topic: CreatableTopic) -> NewTopic:
    return NewTopic(
        topic.name,
        topic.num_partitions,
        topic.replication_factor,
        [(assignment.partition_index, assignment.broker_ids) for assignment in topic.assignments],
        {config.name: config.value for config in topic.configs},
    )


def _failed(name: str, error: DomainError) -> CreatableTopicResult:
    return CreatableTopicResult(name=name, error_code=error.code, error_message=str(error))


def _lift(request: DeleteTopicsRequest) -> list[DeleteTopicState]:
    """v0-v5 list bare names; v6 lists names or ids."""
    return [*request.topics, *(DeleteTopicState(name=name) for name in request.topic_names)]


def _result(name: str | None, topic_id: bytes, error: DomainError | None) -> DeletableTopicResult:
    if error is None:
        return DeletableTopicResult(name=name, topic_id=topic_id)
    return DeletableTopicResult(name=name, topic_id=topic_id, error_code=error.code, error_message=str(error))
