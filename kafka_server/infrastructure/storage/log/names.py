"""Owns: the names of files and folders in a data folder, as Apache Kafka gives them. Must never know: their content."""

from __future__ import annotations

import re
from typing import Final

LOG: Final = ".log"
OFFSET_INDEX: Final = ".index"
TIME_INDEX: Final = ".timeindex"
TRANSACTION_INDEX: Final = ".txnindex"
SNAPSHOT: Final = ".snapshot"
DELETED: Final = ".deleted"
CLEANED: Final = ".cleaned"
SWAP: Final = ".swap"
TEMPORARY: Final = ".tmp"

LEADER_EPOCHS: Final = "leader-epoch-checkpoint"
PARTITION_METADATA: Final = "partition.metadata"
META_PROPERTIES: Final = "meta.properties"
RECOVERY_POINTS: Final = "recovery-point-offset-checkpoint"
LOG_STARTS: Final = "log-start-offset-checkpoint"
HIGH_WATERMARKS: Final = "replication-offset-checkpoint"
CLEANER_OFFSETS: Final = "cleaner-offset-checkpoint"
MOVED_HERE: Final = ".moved-here"
"""In the folder of a partition that was moved here, until the folder that it came from is gone; see ``mover``."""
CLEAN_SHUTDOWN: Final = ".kafka_cleanshutdown"
LOCK: Final = ".lock"

INDEXES: Final = (OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX)
SEGMENT_FILES: Final = (LOG, *INDEXES)
_FOLDER = re.compile(r"^(?P<topic>[a-zA-Z0-9._-]{1,249})-(?P<partition>\d+)$")
_DELETED_FOLDER = re.compile(r"^.+\.[0-9a-f]{32}-delete$")
_FUTURE_FOLDER = re.compile(r"^(?P<topic>[a-zA-Z0-9._-]{1,249})-(?P<partition>\d+)\.[0-9a-f]{32}-future$")
_OTHER_FOLDER = re.compile(r"^.+\.[0-9a-f]{32}-(delete|stray|future)$")
_NAME_SIZE_MAX = 255


def file_name(offset: int, suffix: str) -> str:
    """``00000000000000000042.log``: twenty digits, so that names sort as offsets do."""
    return f"{offset:020d}{suffix}"


def offset_of(name: str) -> int | None:
    """The offset that a segment file or snapshot is named after, or None for another name."""
    digits = name[:20]
    return int(digits) if len(digits) == 20 and digits.isdigit() and name[20:21] == "." else None


def partition_folder(topic: str, partition: int) -> str:
    """``topic-0``. The name must have been checked: folders never come from unchecked names."""
    return f"{topic}-{partition}"


def parse_partition_folder(name: str) -> tuple[str, int] | None:
    """Topic and partition of a folder name, or None when it is none."""
    match = _FOLDER.match(name)
    return (match["topic"], int(match["partition"])) if match and not _OTHER_FOLDER.match(name) else None


def deleted_folder(topic: str, partition: int, unique: str) -> str:
    """What a partition's folder is renamed to before it is removed: ``topic-0.<32 hex digits>-delete``."""
    return _aside(topic, f"-{partition}.{unique}-delete")


def stray_folder(topic: str, partition: int, unique: str) -> str:
    """What a partition's folder that belongs to no topic is renamed to."""
    return _aside(topic, f"-{partition}.{unique}-stray")


def future_folder(topic: str, partition: int, unique: str) -> str:
    """Where a partition is copied to that moves to another data folder. Names that are too long cannot be moved."""
    return f"{topic}-{partition}.{unique}-future"


def parse_future_folder(name: str) -> tuple[str, int] | None:
    """Topic and partition of the folder of such a copy, or None when it is none."""
    match = _FUTURE_FOLDER.match(name)
    return (match["topic"], int(match["partition"])) if match else None


def _aside(topic: str, ending: str) -> str:
    # Kafka cuts the topic so that the whole name stays within the 255 bytes that file systems take.
    return topic[: _NAME_SIZE_MAX - len(ending)] + ending


def is_deleted_folder(name: str) -> bool:
    """True for a folder that was about to be removed."""
    return bool(_DELETED_FOLDER.match(name))
