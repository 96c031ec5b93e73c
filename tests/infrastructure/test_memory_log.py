"""The log in memory against the simplest log there is: a list of batches."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from kafka_server.infrastructure.storage.memory import MemoryPartitionLog


class Stored(NamedTuple):
    base_offset: int
    last_offset: int
    timestamp: int
    data: bytes


class ListOfBatches:
    """What a log is, without any cleverness."""

    def __init__(self) -> None:
        self.batches: list[Stored] = []

    def read(self, offset: int, size_max: int, end_offset: int) -> bytes:
        result = b""
        for batch in self.batches:
            if batch.last_offset < offset:
                continue
            if batch.last_offset >= end_offset or (result and len(result) + len(batch.data) > size_max):
                break
            result += batch.data
        return result

    def retention_offset(self, keep_bytes: int, keep_after_ms: int, end_offset: int) -> int:
        left, result = sum(len(batch.data) for batch in self.batches), 0
        for batch in self.batches:
            left -= len(batch.data)
            goes = (keep_bytes >= 0 and left >= keep_bytes) or (keep_after_ms >= 0 and batch.timestamp < keep_after_ms)
            if not goes or batch.last_offset >= end_offset:
                break
            result = batch.last_offset + 1
        return result


SIZES = st.one_of(st.integers(61, 300), st.sampled_from([16_000, 16_384, 70_000, 262_143, 262_144, 300_000]))
APPENDS = st.lists(st.tuples(SIZES, st.integers(1, 5), st.integers(0, 3), st.integers(0, 50)), max_size=25)


def filled(appends: list[tuple[int, int, int, int]]) -> tuple[MemoryPartitionLog, ListOfBatches, int]:
    """Both logs with the same batches (size, records, gap before, time), and the log end offset."""
    log, model, offset = MemoryPartitionLog(), ListOfBatches(), 0
    for number, (size, count, gap, timestamp) in enumerate(appends):
        offset += gap
        data = bytes([number + 1]) * size
        log.append(data[:16], memoryview(data)[16:], offset, offset + count - 1, timestamp)
        model.batches.append(Stored(offset, offset + count - 1, timestamp, data))
        offset += count
    return log, model, offset


@given(APPENDS, st.integers(0, 120), st.integers(0, 400_000), st.integers(0, 120))
def test_a_read_is_a_run_of_what_the_list_has(
    appends: list[tuple[int, int, int, int]], offset: int, size_max: int, end_offset: int
) -> None:
    log, model, _ = filled(appends)
    whole = model.read(offset, size_max, end_offset)
    part = bytes(log.read(offset, size_max, end_offset))

    # One read never goes beyond a segment, so it may give less; it gives something where there is something.
    assert whole.startswith(part)
    assert bool(part) == bool(whole)


@given(APPENDS, st.integers(0, 120))
def test_reading_on_from_every_answer_gives_the_whole_log(appends: list[tuple[int, int, int, int]], start: int) -> None:
    log, model, end = filled(appends)
    seen, offset = b"", start
    lasts = [batch.last_offset for batch in model.batches]
    while part := bytes(log.read(offset, 1 << 30, end)):
        seen += part
        covered = model.read(offset, len(part), end)
        assert covered == part
        at = bisect_left(lasts, offset)
        while part:
            part = part[len(model.batches[at].data) :]
            offset = lasts[at] + 1
            at += 1

    assert seen == model.read(start, 1 << 30, end)


@given(APPENDS, st.lists(st.integers(0, 120), max_size=3))
def test_dropping_from_the_front_leaves_the_rest_and_counts_its_bytes(
    appends: list[tuple[int, int, int, int]], cuts: list[int]
) -> None:
    log, model, end = filled(appends)
    for cut in sorted(cuts):
        log.truncate_prefix(cut)
        model.batches = [batch for batch in model.batches if batch.last_offset >= cut]
    start = max(cuts, default=0)

    assert bytes(log.read(start, 1, end)) == model.read(start, 1, end)
    assert log.size_bytes() == sum(len(batch.data) for batch in model.batches)


@given(
    APPENDS,
    st.sampled_from([-1, 0, 100, 5_000, 400_000]),
    st.integers(-1, 55),
    st.integers(0, 120),
    st.integers(0, 120),
)
def test_retention_lets_go_what_the_list_would(
    appends: list[tuple[int, int, int, int]], keep_bytes: int, keep_after_ms: int, end_offset: int, cut: int
) -> None:
    log, model, _ = filled(appends)
    log.truncate_prefix(cut)
    model.batches = [batch for batch in model.batches if batch.last_offset >= cut]

    assert log.retention_offset(keep_bytes, keep_after_ms, end_offset) == model.retention_offset(
        keep_bytes, keep_after_ms, end_offset
    )


@given(APPENDS, st.one_of(st.none(), st.integers(0, 55)), st.integers(0, 120), st.integers(0, 120))
def test_a_search_by_time_finds_what_the_list_would(
    appends: list[tuple[int, int, int, int]], timestamp: int | None, start: int, end: int
) -> None:
    log, model, _ = filled(appends)
    within = [batch for batch in model.batches if start <= batch.last_offset < end]
    if timestamp is None:
        best = max((batch.timestamp for batch in within), default=0)
        expected = next((batch.data for batch in within if batch.timestamp == best), b"")
    else:
        expected = next((batch.data for batch in within if batch.timestamp >= timestamp), b"")

    assert bytes(log.find_batch(timestamp, start, end)) == expected
