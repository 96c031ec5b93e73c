"""The virtual clock keeps the promises of the Clock port, so that tests of time-outs can rely on it."""

from __future__ import annotations

import pytest

from kafka_server.testing.clock import VirtualClock


def test_a_timer_runs_at_its_due_time_and_not_a_millisecond_before() -> None:
    clock = VirtualClock(start_ms=1_000)
    seen: list[int] = []
    clock.call_later(500, lambda: seen.append(clock.now_ms()))
    clock.advance(499)
    assert seen == []
    clock.advance(1)
    assert seen == [1_500]


def test_one_jump_runs_timers_in_due_order_each_at_its_own_time() -> None:
    clock = VirtualClock(start_ms=0)
    seen: list[tuple[str, int]] = []
    clock.call_later(30, lambda: seen.append(("late", clock.now_ms())))
    clock.call_later(10, lambda: seen.append(("early", clock.now_ms())))
    clock.call_later(10, lambda: seen.append(("early too", clock.now_ms())))
    assert clock.advance(100) == 3
    assert seen == [("early", 10), ("early too", 10), ("late", 30)]
    assert clock.now_ms() == 100


def test_a_timer_set_by_a_callback_runs_in_the_same_jump_when_it_falls_due() -> None:
    clock = VirtualClock(start_ms=0)
    seen: list[int] = []

    def beat() -> None:
        seen.append(clock.now_ms())
        clock.call_later(10, beat)

    clock.call_later(10, beat)
    clock.advance(35)
    assert seen == [10, 20, 30]


def test_cancel_is_idempotent_and_safe_after_the_call() -> None:
    clock = VirtualClock(start_ms=0)
    seen: list[str] = []
    cancelled = clock.call_later(5, lambda: seen.append("never"))
    ran = clock.call_later(5, lambda: seen.append("once"))
    cancelled.cancel()
    cancelled.cancel()
    clock.advance(5)
    ran.cancel()
    assert seen == ["once"]
    assert clock.pending() == 0


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        VirtualClock().advance(-1)
