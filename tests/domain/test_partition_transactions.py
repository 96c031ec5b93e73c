"""Transactions in one partition: what readers of committed data see, and what markers do."""

from __future__ import annotations

import pytest

from kafka_server.domain.aborted_transactions import AbortedTransaction, AbortedTransactions
from kafka_server.domain.control_record import Marker, build_marker, parse_marker
from kafka_server.domain.errors import (
    InvalidProducerEpoch,
    InvalidTxnState,
    OutOfOrderSequence,
    TransactionCoordinatorFenced,
)
from kafka_server.domain.partition import Membership, Partition
from kafka_server.domain.record_batch import TRANSACTIONAL, BatchHeader, crc32c, parse_header
from tests.domain.batches import NOW_MS, batch, idempotent, patched


def transactional(sequence: int, count: int = 1, *, producer_id: int = 7, epoch: int = 0) -> BatchHeader:
    data = idempotent(sequence, count, producer_id=producer_id, epoch=epoch)
    return parse_header(patched(data, 21, "h", TRANSACTIONAL))


def write(partition: Partition, header: BatchHeader, *, is_safe: bool = True) -> None:
    assert partition.admit(header, Membership.VERIFIED) is None
    partition.advance(header, NOW_MS, is_safe=is_safe)


def end(partition: Partition, producer_id: int = 7, epoch: int = 0, *, commit: bool, is_safe: bool = True) -> None:
    marker = Marker(producer_id, epoch, commit)
    partition.producers.check_marker(marker, epoch_is_bumped=False)
    partition.end_transaction(marker, NOW_MS, is_safe=is_safe)


# ---- the last stable offset ------------------------------------------------------------------------------------------


def test_readers_of_committed_data_stop_at_the_first_open_transaction() -> None:
    partition = Partition(0)
    write(partition, transactional(0, 3))

    assert partition.readable_end(0, read_committed=False) == 3
    assert partition.readable_end(0, read_committed=True) == 0


def test_the_last_stable_offset_never_passes_the_high_watermark() -> None:
    partition = Partition(0)
    write(partition, parse_header(batch(count=2)), is_safe=False)
    write(partition, transactional(0), is_safe=False)
    assert (partition.high_watermark, partition.last_stable_offset) == (0, 0)

    partition.acknowledge(3)
    assert (partition.high_watermark, partition.last_stable_offset) == (3, 2)


def test_a_marker_takes_an_offset_and_lets_readers_pass() -> None:
    partition = Partition(0)
    write(partition, transactional(0, 3))
    end(partition, commit=True)

    assert (partition.log_end_offset, partition.last_stable_offset) == (4, 4)


def test_the_earliest_of_several_open_transactions_counts() -> None:
    partition = Partition(0)
    write(partition, transactional(0, 2, producer_id=1))
    write(partition, transactional(0, 2, producer_id=2))
    end(partition, producer_id=1, commit=True)

    assert partition.last_stable_offset == 2


def test_the_last_stable_offset_waits_until_the_marker_is_safe() -> None:
    partition = Partition(0)
    write(partition, transactional(0, 3))
    end(partition, commit=False, is_safe=False)
    assert partition.last_stable_offset == 0

    partition.acknowledge(4)
    assert partition.last_stable_offset == 4


def test_deleted_records_of_an_open_transaction_hold_nobody_up() -> None:
    partition = Partition(0)
    write(partition, transactional(0, 3))
    partition.delete_records(2)

    assert partition.last_stable_offset == 2


# ---- who may write ---------------------------------------------------------------------------------------------------


def test_the_first_batch_of_a_transaction_needs_the_coordinators_word() -> None:
    with pytest.raises(InvalidTxnState):
        Partition(0).admit(transactional(0))


def test_the_following_batches_need_it_no_more() -> None:
    partition = Partition(0)
    write(partition, transactional(0, 2))

    assert partition.admit(transactional(2)) is None


def test_a_late_batch_after_the_end_is_refused_although_its_numbers_fit() -> None:
    partition = Partition(0)
    write(partition, transactional(0, 2))
    end(partition, commit=False)

    with pytest.raises(InvalidTxnState):
        partition.admit(transactional(2))


def test_a_repeated_batch_is_known_even_after_the_end() -> None:
    partition = Partition(0)
    write(partition, transactional(0, 2))
    end(partition, commit=True)

    repeated = partition.admit(transactional(0, 2))
    assert repeated is not None
    assert repeated.first_offset == 0


def test_an_older_epoch_is_refused_after_the_marker_of_a_newer_one() -> None:
    partition = Partition(0)
    write(partition, transactional(0))
    end(partition, epoch=1, commit=False)

    with pytest.raises(InvalidProducerEpoch):
        partition.admit(transactional(1), Membership.VERIFIED)


def test_after_a_bump_sequences_start_at_0() -> None:
    partition = Partition(0)
    write(partition, transactional(0))
    end(partition, epoch=1, commit=True)

    with pytest.raises(OutOfOrderSequence):
        partition.admit(transactional(1, epoch=1), Membership.ADDED)
    assert partition.admit(transactional(0, epoch=1), Membership.ADDED) is None


def test_plain_batches_of_a_producer_with_an_open_transaction_are_refused() -> None:
    partition = Partition(0)
    write(partition, transactional(0))

    with pytest.raises(InvalidTxnState):
        partition.admit(parse_header(idempotent(1)))


# ---- markers ---------------------------------------------------------------------------------------------------------


def test_a_marker_of_an_older_epoch_is_refused() -> None:
    partition = Partition(0)
    write(partition, transactional(0, epoch=3))

    with pytest.raises(InvalidProducerEpoch):
        partition.producers.check_marker(Marker(7, 2, True), epoch_is_bumped=False)


def test_where_epochs_are_bumped_a_marker_must_be_above_the_records_it_ends() -> None:
    partition = Partition(0)
    write(partition, transactional(0, epoch=3))
    with pytest.raises(InvalidProducerEpoch):
        partition.producers.check_marker(Marker(7, 3, True), epoch_is_bumped=True)

    partition.end_transaction(Marker(7, 4, True), NOW_MS, is_safe=True)
    partition.producers.check_marker(Marker(7, 4, True), epoch_is_bumped=True)  # A repetition does no harm.


def test_a_marker_of_an_older_coordinator_is_refused() -> None:
    partition = Partition(0)
    partition.end_transaction(Marker(7, 0, True, coordinator_epoch=5), NOW_MS, is_safe=True)

    with pytest.raises(TransactionCoordinatorFenced):
        partition.producers.check_marker(Marker(7, 0, True, coordinator_epoch=4), epoch_is_bumped=False)


@pytest.mark.parametrize("marker", [Marker(7, 3, True, 9), Marker(2**62, 32_767, False, 2**31 - 1)])
def test_a_marker_survives_its_bytes(marker: Marker) -> None:
    data = build_marker(marker, NOW_MS)
    header = parse_header(data)

    assert parse_marker(header, data) == marker
    assert (header.is_control, header.is_transactional, header.base_sequence) == (True, True, -1)
    assert crc32c(data[21:]) == header.crc


# ---- aborted transactions --------------------------------------------------------------------------------------------


def test_a_commit_leaves_no_entry_and_an_abort_one() -> None:
    partition = Partition(0)
    write(partition, transactional(0, 2))
    end(partition, commit=True)
    write(partition, transactional(2, 2))
    end(partition, commit=False)

    assert partition.aborted.between(0, 100) == [AbortedTransaction(7, 3, 5, 6)]


def test_replaying_the_log_gives_the_same_rules() -> None:
    partition, again = Partition(0), Partition(0)
    again.restore(0, [])
    for header in (transactional(0, 2), transactional(0, 1, producer_id=8)):
        stored = header._replace(base_offset=partition.log_end_offset, leader_epoch=0)
        write(partition, header)
        again.replay(stored)
    marker = Marker(7, 1, False)
    written = parse_header(build_marker(marker, NOW_MS))._replace(base_offset=partition.log_end_offset)
    partition.end_transaction(marker, NOW_MS, is_safe=True)
    again.replay(written, marker)

    for one in (partition, again):
        assert (one.log_end_offset, one.last_stable_offset) == (4, 2)
        assert one.aborted.between(0, 4) == [AbortedTransaction(7, 0, 3, 2)]
        assert one.producers.open_transactions == {2: 8}


INDEX = [AbortedTransaction(1, 0, 9, 5), AbortedTransaction(2, 5, 12, 13), AbortedTransaction(3, 20, 25, 26)]


def aborted(entries: list[AbortedTransaction]) -> AbortedTransactions:
    index = AbortedTransactions()
    index.load(entries)
    return index


@pytest.mark.parametrize(
    ("start", "end_", "expected"), [(0, 5, [1]), (0, 100, [1, 2, 3]), (10, 20, [2]), (13, 20, []), (0, 6, [1, 2])]
)
def test_a_reader_is_told_of_the_transactions_in_its_range(start: int, end_: int, expected: list[int]) -> None:
    assert [entry.producer_id for entry in aborted(INDEX).between(start, end_)] == expected


def test_they_come_sorted_by_their_first_offset_whatever_ended_first() -> None:
    index = aborted([AbortedTransaction(1, 4, 6, 0), AbortedTransaction(2, 0, 7, 8)])

    assert [entry.first_offset for entry in index.between(0, 10)] == [0, 4]


def test_what_ends_below_the_log_start_is_forgotten() -> None:
    index = aborted(INDEX)
    index.forget_below(13)

    assert [entry.producer_id for entry in index.between(0, 100)] == [3]
    assert (index.concern(25), index.concern(26)) == (True, False)


def test_a_segment_has_the_entries_whose_markers_lie_in_it() -> None:
    assert [entry.last_offset for entry in aborted(INDEX).ending_between(10, 25)] == [12]
