"""The rules of one partition: offsets, what readers see, where leader epochs end."""

from __future__ import annotations

import pytest

from kafka_server.domain.errors import FencedLeaderEpoch, InvalidTxnState, OffsetOutOfRange, UnknownLeaderEpoch
from kafka_server.domain.partition import UNKNOWN_EPOCH_END, EpochEnd, EpochEntry, Partition
from kafka_server.domain.record_batch import TRANSACTIONAL, BatchHeader, parse_header
from tests.domain.batches import NOW_MS, batch, idempotent, patched


def header(count: int) -> BatchHeader:
    return parse_header(batch(count=count))


def partition_with(*counts: int) -> Partition:
    """A partition with one batch per count, all of it safe."""
    partition = Partition(0)
    for count in counts:
        assert partition.admit(header(count)) is None
        partition.advance(header(count), NOW_MS, is_safe=False)
        partition.acknowledge(partition.log_end_offset)
    return partition


def test_each_batch_starts_where_the_one_before_ended() -> None:
    assert partition_with(3, 5, 2).log_end_offset == 10


def test_readers_see_a_batch_only_once_it_is_safe() -> None:
    partition = Partition(0)
    partition.advance(header(4), NOW_MS, is_safe=False)
    assert (partition.log_end_offset, partition.readable_end(0, read_committed=False)) == (4, 0)

    partition.acknowledge(4)
    assert partition.readable_end(0, read_committed=False) == 4


def test_the_high_watermark_never_goes_back() -> None:
    partition = partition_with(4)
    partition.acknowledge(2)

    assert partition.high_watermark == 4


def test_admission_changes_nothing_so_a_store_that_fails_leaves_no_trace() -> None:
    partition = Partition(0)
    partition.admit(parse_header(idempotent(0, 3)))

    assert partition.log_end_offset == 0
    assert partition.producers.get(7) is None


def test_a_transactional_batch_needs_an_open_transaction() -> None:
    transactional = parse_header(patched(idempotent(0), 21, "h", TRANSACTIONAL))

    with pytest.raises(InvalidTxnState):
        Partition(0).admit(transactional)


def test_readers_of_committed_data_stop_at_the_first_open_transaction() -> None:
    partition = partition_with(10)
    partition.first_unstable_offset = 6

    assert partition.readable_end(0, read_committed=True) == 6
    assert partition.readable_end(0, read_committed=False) == 10


@pytest.mark.parametrize("offset", [-1, 1, 11])
def test_only_offsets_outside_of_the_log_are_out_of_range(offset: int) -> None:
    partition = partition_with(10)
    partition.delete_records(2)

    with pytest.raises(OffsetOutOfRange):
        partition.readable_end(offset, read_committed=False)
    assert [partition.readable_end(inside, read_committed=False) for inside in (2, 5, 10)] == [10, 10, 10]


# ---- delete records --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "low_watermark"), [(0, 0), (4, 4), (10, 10), (-1, 10)])
def test_deleting_records_moves_the_log_start(offset: int, low_watermark: int) -> None:
    assert partition_with(10).delete_records(offset) == low_watermark


def test_the_log_start_never_goes_back() -> None:
    partition = partition_with(10)
    partition.delete_records(7)

    assert partition.delete_records(3) == 7


@pytest.mark.parametrize("offset", [11, -2])
def test_what_nobody_can_read_cannot_be_deleted(offset: int) -> None:
    with pytest.raises(OffsetOutOfRange):
        partition_with(10).delete_records(offset)


# ---- leader epochs ---------------------------------------------------------------------------------------------------


def partition_with_epochs() -> Partition:
    """Epoch 0 wrote offsets 0-9, epoch 2 wrote 10-19, epoch 5 wrote 20-24."""
    partition = partition_with(10)
    partition.begin_epoch(2)
    for epoch, count in ((2, 10), (5, 5)):
        partition.begin_epoch(epoch)
        partition.advance(header(count), NOW_MS, is_safe=False)
        partition.acknowledge(partition.log_end_offset)
    return partition


ENDS = [(0, (0, 10)), (1, (0, 10)), (2, (2, 20)), (3, (2, 20)), (5, (5, 25)), (6, (-1, -1)), (-1, (-1, -1))]


@pytest.mark.parametrize(("asked", "end"), ENDS)
def test_an_epoch_ends_where_the_next_one_starts(asked: int, end: tuple[int, int]) -> None:
    assert partition_with_epochs().end_of_epoch(asked) == end


def test_an_epoch_older_than_all_that_are_known_ends_where_the_first_one_starts() -> None:
    partition = Partition(0)
    partition.restore(100, [EpochEntry(3, 100), EpochEntry(4, 150)])

    assert partition.end_of_epoch(1) == EpochEnd(1, 100)


@pytest.mark.parametrize(("offset", "epoch"), [(0, 0), (9, 0), (10, 2), (20, 5), (25, 5)])
def test_every_offset_belongs_to_an_epoch(offset: int, epoch: int) -> None:
    assert partition_with_epochs().epoch_of(offset) == epoch


def test_epochs_whose_records_are_gone_are_forgotten() -> None:
    partition = partition_with_epochs()
    partition.delete_records(12)

    assert partition.epochs() == [(2, 12), (5, 20)]


def test_an_epoch_that_wrote_nothing_leaves_no_entry_and_epochs_never_decrease() -> None:
    partition = partition_with(10)
    for epoch in (1, 2, 1):
        partition.begin_epoch(epoch)

    assert partition.leader_epoch == 2
    assert partition.epochs() == [(0, 0), (2, 10)]


def test_a_client_behind_in_epochs_is_fenced_and_one_ahead_is_told_that_we_are_behind() -> None:
    partition = partition_with_epochs()
    partition.check_leader_epoch(-1)
    partition.check_leader_epoch(5)

    with pytest.raises(FencedLeaderEpoch):
        partition.check_leader_epoch(4)
    with pytest.raises(UnknownLeaderEpoch):
        partition.check_leader_epoch(6)


def test_a_reader_whose_log_parted_from_ours_is_told_where() -> None:
    partition = partition_with_epochs()

    assert partition.diverging_epoch(10, 0) is None
    assert partition.diverging_epoch(12, 0) == EpochEnd(0, 10)
    assert partition.diverging_epoch(12, 1) == EpochEnd(0, 10)
    with pytest.raises(OffsetOutOfRange):
        partition.diverging_epoch(12, 9)
    assert partition.end_of_epoch(9) == UNKNOWN_EPOCH_END


# ---- recovery --------------------------------------------------------------------------------------------------------


def test_replaying_what_a_store_holds_brings_back_offsets_epochs_and_producers() -> None:
    partition = Partition(0)
    partition.restore(50, [])
    first = parse_header(idempotent(0, 10))._replace(base_offset=50, leader_epoch=1)
    second = parse_header(idempotent(10, 10))._replace(base_offset=60, leader_epoch=3)
    for stored in (first, second):
        partition.replay(stored)

    assert (partition.log_start_offset, partition.log_end_offset, partition.high_watermark) == (50, 70, 70)
    assert partition.leader_epoch == 3
    assert partition.epoch_of(65) == 3
    repeated = partition.admit(parse_header(idempotent(10, 10)))
    assert repeated is not None
    assert repeated.first_offset == 60
