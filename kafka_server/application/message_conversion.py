"""Owns: conversion between what old clients speak (message formats v0, v1) and what the log holds (v2).
Must never know: request versions, partitions, how logs are stored.

The log holds v2 only. Old producers' message sets are rebuilt as one batch before the append; for old consumers the
batches are rebuilt as message sets after the read. Both cost far more than serving v2 as it is.
"""

from __future__ import annotations

from kafka_server.application.ports import Buffer, Compression
from kafka_server.application.producer_service import target_codec
from kafka_server.domain.errors import InvalidRecord, InvalidTimestamp, MessageTooLarge, UnsupportedCompressionType
from kafka_server.domain.legacy_message import MAGIC_POSITION, build_message_set, iterate_entries, unwrap_entries
from kafka_server.domain.message import NO_TIMESTAMP
from kafka_server.domain.record_batch import CODEC_ZSTD, MAGIC, iterate_batches, parse_header
from kafka_server.domain.records import RecordBatchBuilder, iterate_messages
from kafka_server.domain.topic import TopicSettings


class MessageConversion:
    """Up and down between message formats."""

    __slots__ = ("_compression",)

    def __init__(self, compression: Compression) -> None:
        self._compression = compression

    def to_batch(self, records: Buffer | None, settings: TopicSettings) -> Buffer | None:
        """The message set of a client as one v2 batch; None for a set without a whole message, which stores nothing.

        A client may send a v2 batch where its version of the request does not call for one; it is taken as it is.
        Raises the DomainErrors of ``unwrap_entries``, MessageTooLarge, InvalidTimestamp, UnsupportedCompressionType.
        """
        if records is None:
            raise InvalidRecord("The records are null")
        if len(records) > MAGIC_POSITION and records[MAGIC_POSITION] == MAGIC:
            if parse_header(records).codec == CODEC_ZSTD:
                raise UnsupportedCompressionType("zstd is not allowed below Produce v7")
            return records
        entries = list(iterate_entries(records))
        if not entries:
            return None
        largest = max(entry.size for entry in entries)
        if largest > settings.max_message_bytes:
            raise MessageTooLarge(f"A message has {largest} bytes, the topic takes {settings.max_message_bytes}")
        legacy = unwrap_entries(entries, self._compression.decompress, self._compression.decompress_legacy)
        if legacy.log_append_time and settings.log_append_time:
            raise InvalidTimestamp("A producer must not set the timestamp type to LogAppendTime")
        codec = legacy.codec if settings.compression_type == "producer" else target_codec(settings.compression_type)
        builder = RecordBatchBuilder(codec=codec)
        for message in legacy.messages:
            if message.timestamp < NO_TIMESTAMP:
                raise InvalidTimestamp(f"Timestamp {message.timestamp} is negative")
            builder.append(message)
        return builder.build(self._compression.compress)

    def to_message_set(self, records: memoryview, magic: int, fetch_offset: int) -> bytes:
        """Stored batches as a message set of format ``magic``, from ``fetch_offset`` on.

        Control batches are left out, because clients of these formats would take them for data. Messages below
        ``fetch_offset`` are, unless they are compressed: clients drop them there themselves. A batch of zstd ends the
        set; raises UnsupportedCompressionType when it is the first.
        """
        converted = bytearray()
        for header, batch in iterate_batches(records):
            if header.is_control:
                continue
            if header.codec == CODEC_ZSTD and converted:
                break
            messages = iterate_messages(batch, self._compression.decompress)
            converted += build_message_set(
                messages if header.codec else (m for m in messages if m.offset >= fetch_offset),
                magic=magic,
                codec=header.codec,
                log_append_time=header.is_log_append_time,
                compress=self._compression.compress,
                compress_v0=self._compression.compress_legacy,
            )
        return bytes(converted)
