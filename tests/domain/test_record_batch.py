"""The header of a v2 batch: what a broker checks before it stores anything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_server.domain.errors import CorruptMessage, DomainError, InvalidRecord, MessageTooLarge
from kafka_server.domain.record_batch import (
    CONTROL,
    DELETE_HORIZON,
    HEADER_SIZE,
    LOG_APPEND_TIME,
    assigned_prefix,
    check_client_batch,
    iterate_batches,
    parse_header,
    rewrite,
)
from tests.domain.batches import NOW_MS, batch, idempotent, patched

SIZE_MAX = 1_000_000
ATTRIBUTES, LAST_DELTA, SEQUENCE, COUNT = 21, 23, 53, 57


def test_the_header_of_a_good_batch_tells_what_is_inside() -> None:
    data = idempotent(sequence=5, count=3, producer_id=42, epoch=1)

    header = check_client_batch(memoryview(data), SIZE_MAX)

    assert header.size == len(data)
    assert header.record_count == 3
    assert header.last_offset == 2
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (42, 1, 5)
    assert (header.base_timestamp, header.max_timestamp) == (NOW_MS, NOW_MS + 2)
    assert not header.is_control
    assert not header.is_transactional
    assert not header.is_log_append_time


@pytest.mark.parametrize("position", [21, 30, 61, 80])
def test_a_flipped_bit_behind_the_checksum_is_a_corrupt_message(position: int) -> None:
    data = bytearray(batch(count=3))
    data[position] ^= 1

    with pytest.raises(CorruptMessage):
        check_client_batch(bytes(data), SIZE_MAX)


LIES = [
    ("magic 1", 16, "b", [1], "magic 1"),
    ("a negative length", 8, "i", [-5], "length of -5"),
    ("a length beyond the bytes", 8, "i", [10_000], "arrived"),
    ("a base offset", 0, "q", [7], "base offset"),
    ("no records", COUNT, "i", [0], "claims 0 records"),
    ("fewer than no records", COUNT, "i", [-1], "claims -1 records"),
    ("a count that the offsets contradict", COUNT, "i", [2], "last offset delta"),
    ("an offset delta that the count contradicts", LAST_DELTA, "i", [7], "last offset delta"),
    ("the control bit", ATTRIBUTES, "h", [CONTROL], "control"),
    ("the delete horizon bit", ATTRIBUTES, "h", [DELETE_HORIZON], "delete horizon"),
    ("codec 5", ATTRIBUTES, "h", [5], "codec 5"),
]


@pytest.mark.parametrize(("position", "layout", "values", "says"), [x[1:] for x in LIES], ids=[x[0] for x in LIES])
def test_a_batch_that_claims_what_no_client_may_claim_is_an_invalid_record(
    position: int, layout: str, values: list[int], says: str
) -> None:
    lie = patched(batch(count=3), position, layout, *values)

    with pytest.raises(InvalidRecord, match=says):
        check_client_batch(lie, SIZE_MAX)


def test_more_records_than_the_bytes_could_hold_are_refused_before_anybody_counts_on_them() -> None:
    lie = patched(patched(batch(count=3), COUNT, "i", 2**31 - 1), LAST_DELTA, "i", 2**31 - 2)

    with pytest.raises(InvalidRecord, match="do not fit"):
        check_client_batch(lie, SIZE_MAX)


def test_a_producer_id_without_a_sequence_is_refused() -> None:
    with pytest.raises(InvalidRecord, match="sequence"):
        check_client_batch(patched(idempotent(0), SEQUENCE, "i", -1), SIZE_MAX)


def test_a_batch_above_the_limit_is_too_large_whatever_else_is_wrong_behind_its_header() -> None:
    broken = patched(batch(count=100), 100, "b", 1, fix_crc=False)

    with pytest.raises(MessageTooLarge):
        check_client_batch(broken, len(broken) - 1)


def test_two_batches_in_one_produce_are_refused() -> None:
    with pytest.raises(InvalidRecord, match="exactly one"):
        check_client_batch(batch() + batch(), SIZE_MAX)


@pytest.mark.parametrize("size", [0, 1, 16, HEADER_SIZE - 1])
def test_fewer_bytes_than_a_header_are_refused(size: int) -> None:
    with pytest.raises(InvalidRecord):
        check_client_batch(batch()[:size], SIZE_MAX)


def test_assigning_an_offset_changes_only_what_lies_before_the_checksum() -> None:
    data = batch(count=3)
    header = parse_header(data)

    stored = assigned_prefix(1_000, header.batch_length, 4) + data[16:]

    assert parse_header(stored).base_offset == 1_000
    assert parse_header(stored).last_offset == 1_002
    assert parse_header(stored).leader_epoch == 4
    assert stored[16:] == data[16:]


def test_a_rewritten_batch_has_a_checksum_of_its_own() -> None:
    data = batch(count=3)
    header = parse_header(data)

    stamped = rewrite(
        header, data[HEADER_SIZE:], attributes=LOG_APPEND_TIME, base_timestamp=NOW_MS, max_timestamp=NOW_MS + 99
    )

    assert check_client_batch(stamped, SIZE_MAX).is_log_append_time
    assert parse_header(stamped).max_timestamp == NOW_MS + 99
    assert stamped[HEADER_SIZE:] == data[HEADER_SIZE:]


def test_a_run_of_batches_is_cut_at_the_batches_and_a_torn_tail_is_left_out() -> None:
    first, second = batch(count=2), batch(count=5)
    run = memoryview(first + second + batch()[:70])

    assert [(header.record_count, bytes(data)) for header, data in iterate_batches(run)] == [(2, first), (5, second)]


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_a_domain_error_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(DomainError):
        check_client_batch(garbage, SIZE_MAX)


@given(st.integers(0, HEADER_SIZE - 1), st.binary(min_size=1, max_size=8))
def test_a_header_with_any_bytes_replaced_passes_or_is_refused_with_a_domain_error(at: int, junk: bytes) -> None:
    data = patched(batch(count=3), at, f"{min(len(junk), HEADER_SIZE - at)}B", *junk[: HEADER_SIZE - at])
    try:
        header = check_client_batch(data, SIZE_MAX)
    except DomainError:
        return
    assert header.record_count == 3
