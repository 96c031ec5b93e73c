"""Owns: record batches that a log has not brought into memory. Must never know: files, sockets."""

from __future__ import annotations

from kafka_server.domain.errors import StorageError


class StoredRecords:
    """Whole batches that stay where their log keeps them until an answer is written: whoever sends them may be able to
    do so without a copy of its own. ``len`` is their size in bytes."""

    __slots__ = ()

    def __len__(self) -> int:
        raise NotImplementedError

    def view(self) -> memoryview:
        """The bytes, which never change. May wait for the device when they were evicted since. Raises OSError."""
        raise NotImplementedError


Records = memoryview | StoredRecords
RECORDS = (memoryview, StoredRecords)
"""The same for ``isinstance``, which is faster with a tuple."""


def in_memory(records: Records) -> memoryview:
    """For those who look into batches. Raises StorageError."""
    if isinstance(records, memoryview):
        return records
    try:
        return records.view()
    except OSError as error:
        raise StorageError(f"Stored batches could not be read: {error}") from error
