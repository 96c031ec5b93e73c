"""Where a broker keeps what it has to remember: in memory, in Apache Kafka's file format, in SQLite."""


class StorageRefused(Exception):
    """What is stored cannot be used; the text says which, why, and what to do."""
