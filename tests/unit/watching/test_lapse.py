"""Three clocks tell a machine that slept from a clock that was set, and neither from time that simply passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.evidence import Interruption
from airgap_check.watching.lapse import Sample, gaps, lapses

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = 1_000_000_000
SECONDS = st.floats(0.01, 100_000)
HALF = 0.5 + 1e-5  # a second is told whole, and half a one may be rounded either way


def after(sample: Sample, awake: float, asleep: float = 0.0, jump: float = 0.0) -> Sample:
    """Return what the clocks say later: so many seconds awake and asleep, and the wall clock set besides."""
    return Sample(
        sample.wall + timedelta(seconds=awake + asleep + jump),
        sample.monotonic + round(awake * SECOND),
        sample.boottime + round((awake + asleep) * SECOND),
    )


BEGIN = Sample(NOON, 5 * SECOND, 9 * SECOND)


@given(st.lists(SECONDS, max_size=20))
def test_time_that_passes_is_no_lapse(steps: list[float]) -> None:
    samples = [BEGIN]
    for step in steps:
        samples.append(after(samples[-1], step))
    assert list(lapses(samples)) == []


@given(SECONDS, st.floats(2, 1_000_000))
def test_sleep_is_told_with_its_length_and_between_which_looks(awake: float, asleep: float) -> None:
    end = after(BEGIN, awake, asleep)
    (one,) = lapses([BEGIN, end])
    assert (one.cause, one.first, one.last) == ("suspended", NOON, end.wall)
    assert abs(one.seconds - asleep) <= HALF


@given(st.floats(0.01, 100), st.floats(2, 1_000_000).flatmap(lambda far: st.sampled_from([far, -far])))
def test_a_wall_clock_that_was_set_is_told_with_how_far(awake: float, jump: float) -> None:
    end = after(BEGIN, awake, jump=jump)
    (one,) = lapses([BEGIN, end])
    assert one.cause == "clock"
    assert abs(one.seconds - jump) <= HALF
    assert one.first == min(NOON, end.wall) <= one.last == max(NOON, end.wall)


def test_a_clock_that_is_slewed_is_not_one_that_jumped() -> None:
    assert list(lapses([BEGIN, after(BEGIN, 36_000, jump=18)])) == []


def test_both_at_once_are_two() -> None:
    assert [one.cause for one in lapses([BEGIN, after(BEGIN, 2, asleep=60, jump=-600)])] == ["suspended", "clock"]


@given(st.lists(st.tuples(st.integers(-100, 200), st.integers(0, 100)), max_size=12))
def test_gaps_lie_in_the_window_in_order_and_apart_and_cover_what_was_missed(spans: list[tuple[int, int]]) -> None:
    found = [
        Interruption(
            cause="suspended",
            first=NOON + timedelta(seconds=begin),
            last=NOON + timedelta(seconds=begin + length),
            seconds=length,
        )
        for begin, length in spans
    ]
    window = NOON, NOON + timedelta(seconds=100)
    intervals = gaps(found, *window)
    flat = [moment for interval in intervals for moment in interval]
    assert flat == sorted(set(flat))
    assert all(window[0] <= moment <= window[1] for moment in flat)
    for second in range(100):
        moment = NOON + timedelta(seconds=second, milliseconds=500)
        missed = any(one.first <= moment <= one.last for one in found)
        assert missed == any(first <= moment <= last for first, last in intervals)
