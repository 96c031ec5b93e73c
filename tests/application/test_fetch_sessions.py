"""Incremental fetch sessions (KIP-227): clients name what changed and are told what is new."""

from __future__ import annotations

import pytest

from kafka_server.application.fetch_sessions import FetchSessions, ForgottenPartition
from kafka_server.application.fetch_values import FetchTarget, ReadResult
from kafka_server.domain.errors import FetchSessionIdNotFound, FetchSessionTopicIdError, InvalidFetchSessionEpoch
from tests.application.data_house import target

MINUTE_MS = 60_000


def told(index: int, *, high_watermark: int = 0, records: bytes = b"", error_code: int = 0) -> ReadResult:
    """What reading one partition gave."""
    return about(target(index=index), high_watermark=high_watermark, records=records, error_code=error_code)


def about(of: FetchTarget, *, high_watermark: int = 0, records: bytes = b"", error_code: int = 0) -> ReadResult:
    result = ReadResult(of)
    result.high_watermark = high_watermark
    result.log_start_offset = 0
    result.records = memoryview(records)
    result.error_code = error_code
    return result


def open_session(sessions: FetchSessions, *indexes: int, now_ms: int = 0, by_follower: bool = False) -> int:
    """A full fetch that wants a session; the session's id, or 0."""
    session = sessions.open([told(index) for index in indexes], False, by_follower, now_ms)
    return session.session_id if session is not None else 0


def indexes(targets: object) -> list[int]:
    return [t.index for t in targets]  # type: ignore[attr-defined]  # any sequence of targets


def test_a_session_remembers_its_partitions_so_that_the_next_fetch_names_none() -> None:
    sessions = FetchSessions()
    session_id = open_session(sessions, 0, 1, 2)

    assert indexes(sessions.begin(session_id, 1, [], [], False, 0).targets) == [0, 1, 2]


def test_partitions_join_change_and_leave_a_session() -> None:
    sessions = FetchSessions()
    session_id = open_session(sessions, 0, 1, 2)
    moved = target(99, index=1)
    fetch = sessions.begin(
        session_id, 1, [moved, target(5, index=3)], [ForgottenPartition("orders", bytes(16), 0)], False, 0
    )

    assert [(t.index, t.fetch_offset) for t in fetch.targets] == [(1, 99), (2, 0), (3, 5)]


def test_only_news_is_told() -> None:
    sessions = FetchSessions()
    fetch = sessions.begin(open_session(sessions, 0, 1, 2, 3), 1, [], [], False, 0)
    assert fetch.session is not None
    quiet, moved, records, broken = fetch.targets

    news = fetch.session.news(
        [about(quiet), about(moved, high_watermark=9), about(records, records=b"x"), about(broken, error_code=3)]
    )

    assert [result.target for result in news] == [moved, records, broken]


def test_an_error_that_goes_away_is_news() -> None:
    sessions = FetchSessions()
    session_id = open_session(sessions, 0)
    first = sessions.begin(session_id, 1, [], [], False, 0)
    assert first.session is not None
    first.session.news([about(first.targets[0], error_code=3)])

    assert len(first.session.news([about(first.targets[0])])) == 1
    assert first.session.news([about(first.targets[0])]) == []


def test_a_partition_that_gave_records_goes_to_the_end_so_that_no_other_starves() -> None:
    sessions = FetchSessions()
    session_id = open_session(sessions, 0, 1, 2)
    fetch = sessions.begin(session_id, 1, [], [], False, 0)
    assert fetch.session is not None
    fetch.session.news([about(fetch.targets[0], records=b"x"), about(fetch.targets[1]), about(fetch.targets[2])])

    assert indexes(sessions.begin(session_id, 2, [], [], False, 0).targets) == [1, 2, 0]


def test_epochs_count_the_requests_and_a_lost_or_repeated_one_is_noticed() -> None:
    sessions = FetchSessions()
    session_id = open_session(sessions, 0)
    sessions.begin(session_id, 1, [], [], False, 0)

    for wrong in (1, 3):
        with pytest.raises(InvalidFetchSessionEpoch):
            sessions.begin(session_id, wrong, [], [], False, 0)
    sessions.begin(session_id, 2, [], [], False, 0)


def test_after_the_largest_epoch_comes_1_because_0_means_something_else() -> None:
    sessions = FetchSessions()
    session_id = open_session(sessions, 0)
    fetch = sessions.begin(session_id, 1, [], [], False, 0)
    assert fetch.session is not None
    fetch.session.epoch = 2**31 - 1

    assert sessions.begin(session_id, 2**31 - 1, [], [], False, 0).next_epoch == 1


def test_an_unknown_session_is_refused() -> None:
    with pytest.raises(FetchSessionIdNotFound):
        FetchSessions().begin(4711, 1, [], [], False, 0)


def test_names_and_ids_are_not_mixed_in_one_session() -> None:
    sessions = FetchSessions()
    session_id = open_session(sessions, 0)

    with pytest.raises(FetchSessionTopicIdError):
        sessions.begin(session_id, 1, [], [], True, 0)


@pytest.mark.parametrize(("epoch", "wants"), [(-1, False), (0, True)])
def test_a_full_fetch_within_a_session_closes_it(epoch: int, wants: bool) -> None:
    sessions = FetchSessions()
    session_id = open_session(sessions, 0, 1)

    fetch = sessions.begin(session_id, epoch, [target(index=5)], [], False, 0)

    assert (indexes(fetch.targets), fetch.session, fetch.wants_session) == ([5], None, wants)
    assert len(sessions) == 0


def test_a_session_that_lost_its_last_partition_is_closed() -> None:
    sessions = FetchSessions()
    session_id = open_session(sessions, 0)
    fetch = sessions.begin(session_id, 1, [], [ForgottenPartition("orders", bytes(16), 0)], False, 0)

    assert fetch.session is None
    assert len(sessions) == 0


def test_session_ids_are_random_and_never_zero() -> None:
    sessions = FetchSessions()
    ids = [open_session(sessions, 0) for _ in range(50)]

    assert len(set(ids)) == 50
    assert all(0 < session_id < 2**31 for session_id in ids)
    assert ids != sorted(ids)


# ---- when the cache is full ------------------------------------------------------------------------------------------


def test_a_full_cache_gives_no_session_while_all_are_young_and_in_use() -> None:
    sessions = FetchSessions(slots=2)
    open_session(sessions, 0)
    open_session(sessions, 1)

    assert open_session(sessions, 0, 1, 2, 3, now_ms=MINUTE_MS) == 0


def test_a_session_that_was_not_used_for_two_minutes_gives_way() -> None:
    sessions = FetchSessions(slots=2)
    idle, busy = open_session(sessions, 0), open_session(sessions, 1)
    sessions.begin(busy, 1, [], [], False, 2 * MINUTE_MS)

    assert open_session(sessions, 2, now_ms=2 * MINUTE_MS + 1) != 0
    with pytest.raises(FetchSessionIdNotFound):
        sessions.begin(idle, 1, [], [], False, 2 * MINUTE_MS + 1)
    assert sessions.evictions == 1


def test_a_larger_session_pushes_out_a_smaller_one_that_had_its_time() -> None:
    sessions = FetchSessions(slots=1)
    small = open_session(sessions, 0, 1)
    sessions.begin(small, 1, [], [], False, 2 * MINUTE_MS)

    assert open_session(sessions, 0, 1, now_ms=2 * MINUTE_MS + 1) == 0
    assert open_session(sessions, 0, 1, 2, now_ms=2 * MINUTE_MS + 1) != 0
    assert sessions.partition_count == 3


def test_a_follower_pushes_out_a_consumer_at_any_time() -> None:
    sessions = FetchSessions(slots=1)
    open_session(sessions, 0, 1, 2)

    assert open_session(sessions, 0, by_follower=True) != 0
    assert open_session(sessions, 0, 1, 2) == 0
