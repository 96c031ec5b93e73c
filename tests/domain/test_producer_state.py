"""Idempotence: a partition tells a batch that it has from one that it lacks."""

from __future__ import annotations

import pytest

from kafka_server.domain.errors import InvalidProducerEpoch, OutOfOrderSequence
from kafka_server.domain.producer_state import SEQUENCE_MAX, ProducerStates
from kafka_server.domain.record_batch import BatchHeader, parse_header
from tests.domain.batches import NOW_MS, idempotent


def header(sequence: int, count: int = 1, *, producer_id: int = 7, epoch: int = 0) -> BatchHeader:
    return parse_header(idempotent(sequence, count, producer_id=producer_id, epoch=epoch))


class Log:
    """Appends to nothing but the producer states."""

    def __init__(self) -> None:
        self.states = ProducerStates(entries_max=3)
        self.end = 0

    def append(self, batch: BatchHeader, now_ms: int = NOW_MS) -> int:
        """The offset that the producer is told."""
        repeated = self.states.check(batch)
        if repeated is not None:
            return repeated.first_offset
        offset = self.end
        self.states.record(batch, offset, now_ms)
        self.end += batch.record_count
        return offset


def test_batches_in_sequence_are_appended() -> None:
    log = Log()

    assert [log.append(header(s, 10)) for s in (0, 10, 20)] == [0, 10, 20]


def test_each_of_the_last_five_batches_may_be_repeated_and_gets_its_first_offset() -> None:
    log = Log()
    for sequence in range(0, 60, 10):
        log.append(header(sequence, 10))

    assert [log.append(header(sequence, 10)) for sequence in (10, 20, 30, 40, 50)] == [10, 20, 30, 40, 50]
    assert log.end == 60


def test_an_older_repeat_is_out_of_order() -> None:
    log = Log()
    for sequence in range(6):
        log.append(header(sequence))

    with pytest.raises(OutOfOrderSequence):
        log.append(header(0))


@pytest.mark.parametrize("sequence", [0, 4, 6, 100])
def test_a_gap_or_an_overlap_is_out_of_order(sequence: int) -> None:
    log = Log()
    log.append(header(0, 5))

    with pytest.raises(OutOfOrderSequence):
        log.append(header(sequence, 3))


def test_sequences_wrap_around_within_a_batch_and_between_batches() -> None:
    log = Log()
    log.append(header(SEQUENCE_MAX - 1, 2))
    assert log.append(header(0, 1)) == 2

    log = Log()
    log.append(header(SEQUENCE_MAX, 3))  # Sequences 2**31 - 1, 0 and 1.
    assert log.append(header(2)) == 3
    assert log.append(header(SEQUENCE_MAX, 3)) == 0


def test_a_new_epoch_starts_at_sequence_0_and_fences_the_old_one() -> None:
    log = Log()
    log.append(header(0, 5))

    with pytest.raises(OutOfOrderSequence):
        log.append(header(5, epoch=1))
    assert log.append(header(0, epoch=1)) == 5
    with pytest.raises(InvalidProducerEpoch):
        log.append(header(5, epoch=0))


def test_an_unknown_producer_may_start_anywhere_because_its_state_may_have_been_lost() -> None:
    assert Log().append(header(1_000)) == 0


def test_a_producer_that_fell_silent_is_forgotten() -> None:
    log = Log()
    log.append(header(0, producer_id=1), now_ms=NOW_MS)
    log.append(header(0, producer_id=2), now_ms=NOW_MS + 10)

    assert log.states.expire(unused_since_ms=NOW_MS + 10) == 1
    assert log.states.get(1) is None
    assert log.states.get(2) is not None


def test_the_number_of_producers_is_capped_and_the_least_recently_used_goes_first() -> None:
    log = Log()
    for producer_id in (1, 2, 3):
        log.append(header(0, producer_id=producer_id))
    log.append(header(1, producer_id=1))
    log.append(header(0, producer_id=4))

    assert [producer_id for producer_id, _ in log.states.items()] == [3, 1, 4]
    assert log.states.evicted == 1
