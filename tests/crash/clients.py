"""Owns: which clients of other projects take part in an attack. Must never know: how any of them is used."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any

from tests.crash import client_groups, client_workers
from tests.crash.client_workers import in_thread
from tests.crash.workers import Setting


def everyone(setting: Setting) -> list[Coroutine[Any, Any, None]]:
    """confluent-kafka, aiokafka and kafka-python: with every acks, idempotent, in transactions, assigned, in groups."""
    for name in ("aiokafka", "kafka", client_workers.SILENT.name):
        # A lost broker is what this is about; nobody needs to be told.
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    threads = [partial(client_workers.confluent_producer, setting, acks, False) for acks in (0, 1, -1)]
    threads += [
        partial(client_workers.confluent_producer, setting, -1, True),
        partial(client_workers.confluent_transactions, setting),
        partial(client_workers.kafka_python_producer, setting),
        partial(client_groups.kafka_python_member, setting, 0),
    ]
    threads += [
        partial(client_groups.confluent_member, setting, number, protocol)
        for protocol in ("classic", "consumer")
        for number in range(2)
    ]
    return [
        client_workers.aiokafka_producer(setting, 1, False),
        client_workers.aiokafka_producer(setting, -1, True),
        client_workers.aiokafka_assigned(setting),
        client_groups.aiokafka_member(setting, 0),
        client_groups.aiokafka_member(setting, 1),
        *(in_thread(f"{work.func.__name__}{work.args[1:]}", work) for work in threads),
    ]
