"""The life of a transactional id: who owns it, what its transaction may do, what each end leaves behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kafka_server.domain.errors import (
    ConcurrentTransactions,
    InvalidProducerIdMapping,
    InvalidTxnState,
    ProducerFenced,
    TransactionAbortable,
)
from kafka_server.domain.transaction import (
    EPOCH_LAST,
    EPOCH_MAX,
    NO_PRODUCER_EPOCH,
    TRANSITIONS,
    Event,
    IllegalTransitionError,
    Producer,
    Protocol,
    State,
    Transaction,
    next_state,
)

NEW = Transaction("pay", producer_id=7, timeout_ms=60_000)
OWNED = NEW.initialise(60_000, None, now_ms=100)
ONGOING = OWNED.add_partitions([("orders", 0)], 200, Protocol.V1)
V1, V2 = Protocol.V1, Protocol.V2


# ---- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_an_illegal_pair_names_state_and_event(state: State, event: Event) -> None:
    if (state, event) in TRANSITIONS:
        assert isinstance(next_state(state, event), State)
        return
    with pytest.raises(IllegalTransitionError, match=f"{state.value}.*{event.value}"):
        next_state(state, event)


def test_a_decision_only_goes_forward() -> None:
    for decided in (State.PREPARE_COMMIT, State.PREPARE_ABORT):
        assert [event for state, event in TRANSITIONS if state is decided] == [Event.MARKERS_WRITTEN]


def test_nothing_leads_out_of_death() -> None:
    assert not [event for state, event in TRANSITIONS if state is State.DEAD]


# ---- owners ----------------------------------------------------------------------------------------------------------


def test_the_first_owner_gets_epoch_0_and_each_later_one_the_next() -> None:
    assert OWNED.producer == Producer(7, 0)
    assert OWNED.initialise(60_000, None, 300).producer == Producer(7, 1)


def test_an_owner_that_names_itself_gets_a_bump_and_may_repeat_the_request() -> None:
    bumped = OWNED.initialise(60_000, OWNED.producer, 300)
    assert bumped.producer == Producer(7, 1)

    assert bumped.initialise(60_000, OWNED.producer, 400).producer == Producer(7, 1)


def test_an_owner_that_was_replaced_is_fenced() -> None:
    replaced = OWNED.initialise(60_000, None, 300)

    with pytest.raises(ProducerFenced):
        replaced.initialise(60_000, OWNED.producer, 400)


def test_another_producer_id_is_fenced() -> None:
    with pytest.raises(ProducerFenced):
        OWNED.check_initialise(Producer(8, 0))


def test_a_producer_that_the_broker_forgot_may_start_anew() -> None:
    NEW.check_initialise(Producer(3, 12))
    assert NEW.initialise(60_000, Producer(3, 12), 100).producer == Producer(7, 0)


def test_when_epochs_are_used_up_the_id_changes() -> None:
    old = replace(OWNED, producer_epoch=EPOCH_LAST)
    assert old.needs_producer_id(None)

    rotated = old.initialise(60_000, None, 300, fresh_producer_id=9)
    assert (rotated.producer, rotated.previous_producer_id) == (Producer(9, 0), 7)
    rotated.check_initialise(old.producer)  # The answer may have got lost.


@pytest.mark.parametrize("commit", [True, False])
def test_nobody_takes_over_while_markers_are_written(commit: bool) -> None:
    with pytest.raises(ConcurrentTransactions):
        ONGOING.prepare(commit, 300, V1).check_initialise(None)


# ---- partitions ------------------------------------------------------------------------------------------------------


def test_a_transaction_begins_with_its_first_partition() -> None:
    more = ONGOING.add_partitions([("orders", 1)], 900, V1)

    assert (more.state, more.started_ms, more.updated_ms) == (State.ONGOING, 200, 900)
    assert more.contains([("orders", 0), ("orders", 1)])


def test_only_the_owner_adds_partitions() -> None:
    with pytest.raises(InvalidProducerIdMapping):
        OWNED.check_add(Producer(8, 0))
    with pytest.raises(ProducerFenced):
        OWNED.check_add(Producer(7, 1))
    with pytest.raises(ConcurrentTransactions):
        ONGOING.prepare(True, 300, V1).check_add(ONGOING.producer)


def test_a_partition_outside_the_transaction_is_told_to_abort() -> None:
    ONGOING.verify(ONGOING.producer, ("orders", 0))
    with pytest.raises(TransactionAbortable):
        ONGOING.verify(ONGOING.producer, ("orders", 1))


# ---- ends ------------------------------------------------------------------------------------------------------------


def test_the_first_protocol_keeps_the_epoch_and_the_second_bumps_it() -> None:
    for protocol, epoch in ((V1, 0), (V2, 1)):
        complete = ONGOING.prepare(True, 300, protocol).complete(400)
        assert (complete.state, complete.producer, complete.partitions) == (
            State.COMPLETE_COMMIT,
            Producer(7, epoch),
            frozenset(),
        )


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("commit", [True, False])
def test_the_end_may_be_repeated_but_not_changed(protocol: Protocol, commit: bool) -> None:
    prepared = ONGOING.prepare(commit, 300, protocol)
    complete = prepared.complete(400)
    producer = ONGOING.producer

    with pytest.raises(ConcurrentTransactions):
        prepared.check_end(producer, commit, protocol)
    assert complete.check_end(producer, commit, protocol) is False
    for state in (prepared, complete):
        with pytest.raises(InvalidTxnState):
            state.check_end(producer, not commit, protocol)


def test_a_late_end_cannot_end_the_next_transaction_of_the_second_protocol() -> None:
    following = ONGOING.prepare(False, 300, V2).complete(400).add_partitions([("orders", 0)], 500, V2)

    with pytest.raises(ProducerFenced):
        following.check_end(ONGOING.producer, True, V2)


def test_the_second_protocol_may_abort_what_is_empty_but_not_commit_it() -> None:
    assert OWNED.check_end(OWNED.producer, False, V2) is True
    with pytest.raises(InvalidTxnState):
        OWNED.check_end(OWNED.producer, True, V2)
    for commit in (True, False):
        with pytest.raises(InvalidTxnState):
            OWNED.check_end(OWNED.producer, commit, V1)


def test_an_empty_abort_right_after_an_end_is_a_new_one_and_no_repetition() -> None:
    complete = ONGOING.prepare(True, 300, V2).complete(400)

    assert complete.check_end(complete.producer, False, V2) is True
    assert complete.prepare(False, 500, V2).complete(600).producer == Producer(7, 2)


def test_when_epochs_are_used_up_the_end_brings_a_new_id() -> None:
    old = replace(ONGOING, producer_epoch=EPOCH_LAST)
    prepared = old.prepare(True, 300, V2, fresh_producer_id=9)
    assert prepared.producer == Producer(7, EPOCH_MAX)  # Markers are of the old id, above all that it ever had.

    complete = prepared.complete(400)
    assert complete.producer == Producer(9, 0)
    assert complete.check_end(old.producer, True, V2) is False


def test_a_fence_bumps_the_epoch_so_that_the_owner_is_refused() -> None:
    aborted = ONGOING.fence().prepare(False, 300, V2)
    assert (aborted.state, aborted.producer) == (State.PREPARE_ABORT, Producer(7, 1))

    with pytest.raises(ProducerFenced):
        aborted.complete(400).check_end(ONGOING.producer, True, V1)


# ---- time ------------------------------------------------------------------------------------------------------------


def test_time_runs_from_the_first_partition() -> None:
    assert not ONGOING.is_timed_out(200 + 60_000)
    assert ONGOING.is_timed_out(200 + 60_001)
    assert not OWNED.is_timed_out(10**9)


def test_only_an_id_at_rest_expires() -> None:
    assert OWNED.is_expired(unused_since_ms=100)
    assert not OWNED.is_expired(unused_since_ms=99)
    assert not ONGOING.is_expired(unused_since_ms=10**9)
    assert OWNED.expire().state is State.DEAD
    assert NEW.producer_epoch == NO_PRODUCER_EPOCH
