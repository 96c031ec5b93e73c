"""Fetch is right from any position, whatever happens to the log meanwhile.

Appends, transactions, DeleteRecords, retention, compaction, rest and restarts come in any order, also while fetches
wait for cold bytes. Of every answer: it holds whole batches with the right records at their offsets, none is missing
that is not explained, it brings the reader on, it stays within its limits, a reader of committed data ends up with
exactly what was committed, and out of range is said only when it is true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_server.domain.topic import TopicSettings
from tests.storage.changing_log import PRODUCERS, ChangingLog

DELETED = TopicSettings(segment_bytes=500, index_interval_bytes=100, retention_bytes=1_500)
COMPACTED = TopicSettings(
    segment_bytes=500,
    index_interval_bytes=100,
    cleanup_delete=False,
    cleanup_compact=True,
    min_cleanable_dirty_ratio=0.01,
    delete_retention_ms=10,
)
BOTH = TopicSettings(
    segment_bytes=500,
    index_interval_bytes=100,
    retention_bytes=2_500,
    cleanup_compact=True,
    min_cleanable_dirty_ratio=0.01,
    delete_retention_ms=10,
)
POLICIES = {"delete": DELETED, "compact": COMPACTED, "compact,delete": BOTH}

_PLACES = st.floats(-0.05, 1.05)
_KEYS = st.lists(st.integers(0, 4), min_size=1, max_size=4)
_SIZES = st.sampled_from([10, 40, 90])
STEPS = st.one_of(
    st.tuples(st.just("append"), _KEYS, _SIZES),
    st.tuples(st.just("append"), _KEYS, _SIZES),
    st.tuples(st.just("append"), _KEYS, _SIZES, st.sampled_from(PRODUCERS)),
    st.tuples(st.just("append"), _KEYS, _SIZES, st.sampled_from(PRODUCERS)),
    st.tuples(st.just("end"), st.sampled_from(PRODUCERS), st.booleans()),
    st.tuples(
        st.just("fetch"), st.lists(_PLACES, min_size=1, max_size=2), st.sampled_from([1, 200, 5_000]), st.booleans()
    ),
    st.tuples(
        st.just("fetch"), st.lists(_PLACES, min_size=1, max_size=2), st.sampled_from([1, 200, 5_000]), st.booleans()
    ),
    st.tuples(st.just("go on"), st.sampled_from(["reads", "cleaner"])),
    st.tuples(st.just("go on"), st.sampled_from(["reads", "cleaner"])),
    st.tuples(st.just("cold"), st.booleans()),
    st.tuples(st.just("delete records"), st.floats(0, 1)),
    st.just(("retention",)),
    st.just(("compact",)),
    st.just(("rest",)),
    st.tuples(st.just("time"), st.integers(1, 30)),
    st.just(("restart",)),
)


async def play(log: ChangingLog, steps: Sequence[tuple[Any, ...]]) -> None:
    await log.open()
    for step in steps:
        match step:
            case ("append", keys, size, *producer):
                log.append(keys, size, *producer)
            case ("end", producer, commit):
                log.end(producer, commit)
            case ("fetch", places, size_max, committed):
                log.fetch(*places, size_max=size_max, committed=committed)
            case ("go on", which):
                (log.cold_reads if which == "reads" else log.cleaner).go_on()
            case ("cold", is_cold):
                log.disk.is_cold = is_cold
            case ("delete records", share) if log.replica.topic.settings.cleanup_delete:
                await log.delete_records(share)
            case ("retention",):
                log.enforce_retention()
            case ("compact",):
                log.compact()
            case ("rest",):
                log.rest()
                log.rest()
            case ("time", ms):
                log.clock.advance(ms)
            case ("restart",):
                await log.restart()
        await log()
        log.judge()
    await log.finish()
    for committed in (True, False):
        await log.read_all(committed)


@pytest.mark.parametrize("flush_on_ack", [True, False], ids=["flush=ack", "flush=os"])
@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=40, derandomize=True)
@given(steps=st.lists(STEPS, min_size=20, max_size=80))
def test_every_answer_is_right(policy: str, flush_on_ack: bool, steps: list[tuple[Any, ...]]) -> None:
    asyncio.run(play(ChangingLog(POLICIES[policy], flush_on_ack), steps))


# ---- what random steps found, or would find too rarely ---------------------------------------------------------------

FILL: list[tuple[Any, ...]] = [("append", [9], 90)] * 6
PASS: list[tuple[Any, ...]] = [("compact",), *[("go on", "cleaner")] * 8, ("time", 30)]


def played(policy: str, *steps: tuple[Any, ...]) -> ChangingLog:
    log = ChangingLog(POLICIES[policy], flush_on_ack=False)
    asyncio.run(play(log, steps))
    return log


@pytest.mark.parametrize("after", [[], [("restart",)]], ids=["", "after a restart"])
def test_what_is_committed_after_an_abort_is_shown_when_compaction_took_the_abort_away(after: list[Any]) -> None:
    first, second = PRODUCERS[:2]
    told_apart = [("append", [3], 10, second), ("end", second, False)]  # stays: the last batch of its producer
    log = played(
        "compact",
        *[("append", [1], 10, first), ("end", first, False), ("append", [2], 10, first), ("end", first, True)],
        *(*told_apart, *FILL, *PASS, *FILL, *PASS, *FILL, *PASS, *after, ("fetch", [0.0], 5_000, True)),
    )

    assert [entry.producer_id for entry in log.partition.aborted.between(0, 100)] in ([], [second])


def test_a_fetch_that_waits_for_a_segment_that_is_deleted_meanwhile_is_out_of_range() -> None:
    played("delete", *FILL, ("rest",), ("fetch", [0.0], 5_000, True), ("delete records", 1.0), ("go on", "reads"))


def test_a_fetch_that_waits_for_a_segment_that_is_compacted_meanwhile_reads_what_took_its_place() -> None:
    log = played("compact", *FILL, ("rest",), ("fetch", [0.5], 5_000, True), *PASS, ("go on", "reads"))

    assert len(log.replica.log.segments()) < len(FILL)  # type: ignore[attr-defined]  # a log on disk


def test_compaction_goes_on_after_retention_took_away_what_it_was_reading() -> None:
    log = played("compact,delete", *FILL, ("rest",), ("compact",), ("delete records", 1.0), ("go on", "cleaner"))

    assert not log.compactor._broken
