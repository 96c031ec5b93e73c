"""Owns: a conversation - steps that build on one another - held with two brokers, every answer compared.
Must never know: which brokers, which APIs, what may differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kafka_protocol.messages.metadata import MetadataRequest, MetadataResponse

from tests.differential.chosen import unexpected
from tests.differential.compare import differences, plain
from tests.differential.raw_client import RawClient


@dataclass
class Step:
    """One request, or a function that makes it from the topic ids of the broker it goes to, in some versions."""

    request: Any
    response_type: Any
    versions: Iterable[int]
    settles: bool = False
    """The step changes something; Apache Kafka's brokers learn of it a moment later."""
    in_order: Callable[[Any], Any] | None = None
    """Brings an answer whose order is left to the broker into one."""

    def made_for(self, ids: dict[str, bytes]) -> Any:
        return self.request(ids) if callable(self.request) else self.request


def compare(theirs: RawClient, ours: RawClient, *steps: Step, with_an_old_one: bool = False) -> None:
    """Holds the conversation with both, and fails with every difference that we did not choose."""
    found = []
    for step in steps:
        for version in step.versions:
            answers = []
            for client in (theirs, ours):
                request = step.made_for(topic_ids(client) if callable(step.request) else {})
                try:
                    answer = client.ask(request, step.response_type, version)
                except EOFError:
                    answers.append("hung up")
                else:
                    answers.append(plain(answer if step.in_order is None else step.in_order(answer)))
            if step.settles:
                time.sleep(0.2)
            api = step.response_type.__name__.removesuffix("Response")
            found += [f"{api} v{version}: {difference}" for difference in differences(*answers)]
    wrong = unexpected(found, from_an_old_one=with_an_old_one)
    assert not wrong, "\n".join(wrong)


def topic_ids(client: RawClient) -> dict[str, bytes]:
    response = client.ask(MetadataRequest(topics=None), MetadataResponse, 12)
    return {topic.name or "": topic.topic_id for topic in response.topics}
