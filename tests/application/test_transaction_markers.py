"""Where the offsets of a transaction are said to lie."""

from __future__ import annotations

import pytest

from kafka_server.application.transaction_markers import java_hash, placed

# What a Java program prints for String.hashCode, and for the remainder that Kafka takes of it.
GROUPS = [
    ("a", 97, 47),
    ("readers", 1080410128, 28),
    ("billing", -109829509, 9),
    ("orders 😀", -388957058, 8),
    ("polygenelubricants", -2147483648, 0),
]


@pytest.mark.parametrize(("group_id", "code", "partition"), GROUPS)
def test_a_group_stands_for_the_partition_of_consumer_offsets_that_kafka_gives_it(
    group_id: str, code: int, partition: int
) -> None:
    assert java_hash(group_id) == code
    assert placed(code) % 50 == partition
