"""Owns: bringing the topics in the metadata and the partition folders on disk to agree, before any log is opened.

Must never know: what is in a log, requests.

They part in three ways. A folder may come from elsewhere - Apache Kafka wrote it, or the metadata file was lost: while
the metadata has not had a topic yet, those of the folders are adopted, all at once. A crash may have come between a
topic's removal from the metadata and that of its folders: the deletion is finished. And a folder may belong to no topic
at all: it is put aside under a name that is not opened, because deleting what nobody asked to delete would be the worst
answer.
"""

from __future__ import annotations

import logging
import os

from kafka_server.domain.topic import Topic
from kafka_server.domain.topic_name import is_internal
from kafka_server.infrastructure.storage.log import names
from kafka_server.infrastructure.storage.log.folders import DataFolder
from kafka_server.infrastructure.storage.sqlite.repositories import SqliteTopicRepository

log = logging.getLogger("kafka_server.log")

CLUSTER_METADATA = "__cluster_metadata"


async def reconcile(topics: SqliteTopicRepository, folders: list[DataFolder]) -> None:
    """Makes every partition folder that is left belong to a topic, or not be one."""
    if not topics.has_adopted:
        await _adopt(topics, folders)
    for folder in folders:
        for (name, index), topic_id in folder.partitions().items():
            if _is_kafkas_own(name):
                continue
            topic = topics.get(name)
            if topic is not None and index < topic.partition_count and topic_id in (None, topic.topic_id):
                continue
            if topic_id in topics.removed_ids:
                folder.put_aside((name, index), names.deleted_folder(name, index, os.urandom(16).hex()))
            else:
                stray = names.stray_folder(name, index, os.urandom(16).hex())
                log.warning("%s belongs to no topic; it is renamed to %s", folder.partition_path((name, index)), stray)
                folder.put_aside((name, index), stray)
    if topics.removed_ids:
        for folder in folders:
            folder.remove_deleted()
        await topics.forget_removed()


async def _adopt(topics: SqliteTopicRepository, folders: list[DataFolder]) -> None:
    counts: dict[str, int] = {}
    ids: dict[str, bytes] = {}
    for folder in folders:
        for (name, index), topic_id in folder.partitions().items():
            if _is_kafkas_own(name):
                log.warning(
                    "%s is not taken over: committed offsets and configs of another broker are not read",
                    folder.partition_path((name, index)),
                )
                continue
            counts[name] = max(counts.get(name, 0), index + 1)
            if topic_id is not None:
                ids.setdefault(name, topic_id)
    found: dict[bytes, Topic] = {}
    for name, count in sorted(counts.items()):
        topic_id = ids.get(name) or os.urandom(16)
        if topic_id in found:
            log.warning("%s has the topic id of %s; it looks like a copy", name, found[topic_id].name)
        else:
            found[topic_id] = Topic(name, topic_id, count)
    await topics.adopt(list(found.values()))
    for topic in found.values():
        log.info(
            "Topic %s with %d partition(s) was found in the data folders and is taken over",
            topic.name,
            topic.partition_count,
        )


def _is_kafkas_own(name: str) -> bool:
    return is_internal(name) or name == CLUSTER_METADATA
