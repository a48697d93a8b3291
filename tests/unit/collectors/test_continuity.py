"""The time in which nobody looked: measured by the clock that cannot be set, and late only where somebody waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.collectors import continuity
from airgap_check.evidence import Evidence, Interruption
from airgap_check.history.precedent import Moment, Precedent

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
EVERY = 300.0


def moment(seconds: float, *, boot: str | None = "this", uptime: float | None = None) -> Moment:
    return Moment(NOON + timedelta(seconds=seconds), boot, 1000 + seconds if uptime is None else uptime)


def interruptions(precedent: Precedent, every: float | None = EVERY) -> list[Interruption]:
    return list(continuity.collect(precedent, every).of(Interruption))


def test_the_first_run_says_that_it_is_the_first() -> None:
    seen = continuity.collect(Precedent(moment(0)), EVERY)
    assert (seen.status, seen.records, seen.scope) == ("complete", (), "the first run that is remembered")


@pytest.mark.parametrize(
    ("seconds", "every", "overdue"),
    [(300, 300, "no"), (510, 300, "no"), (511, 300, "yes"), (999_999, None, "no"), (61, 1, "no"), (62, 1, "yes")],
)
def test_a_run_is_late_after_half_as_long_again_and_a_minute(seconds: int, every: float | None, overdue: str) -> None:
    (gap,) = interruptions(Precedent(moment(seconds), moment(0)), every)
    assert (gap.cause, gap.seconds, gap.overdue) == ("no-run", seconds, overdue)
    assert (gap.first, gap.last) == (NOON, NOON + timedelta(seconds=seconds))


def test_a_clock_that_was_set_forward_does_not_make_a_run_late() -> None:
    jump, gap = interruptions(Precedent(moment(90_000, uptime=1300), moment(0)))
    assert (jump.cause, jump.seconds) == ("clock", 89_700)
    assert (gap.cause, gap.seconds, gap.overdue) == ("no-run", 300, "no")


def test_a_clock_that_was_set_back_does_not_hide_that_a_run_is_late() -> None:
    jump, gap = interruptions(Precedent(moment(-60, uptime=9000), moment(0)))
    assert (jump.cause, jump.seconds) == ("clock", -8060)
    assert jump.first < jump.last
    assert (gap.cause, gap.seconds, gap.overdue) == ("no-run", 8000, "yes")


def test_over_a_restart_only_a_clock_that_was_set_back_shows() -> None:
    assert [one.cause for one in interruptions(Precedent(moment(500, boot="other", uptime=100), moment(0)))] == [
        "no-run"
    ]
    jump, gap = interruptions(Precedent(moment(-500, boot="other", uptime=100), moment(0)))
    assert (jump.cause, jump.seconds) == ("clock", -600)
    assert (gap.cause, gap.seconds, gap.overdue) == ("no-run", 100, "unknown"), "it may have been off for a year"


def test_a_clock_that_was_set_back_over_a_restart_does_not_hide_how_long_ago_that_was() -> None:
    for seconds in (-500, 60):
        jump, gap = interruptions(Precedent(moment(seconds, boot="other", uptime=9000), moment(0)))
        assert (jump.cause, jump.seconds) == ("clock", seconds - 9000)
        assert (gap.cause, gap.seconds, gap.overdue) == ("no-run", 9000, "yes")
    assert {one.overdue for one in interruptions(Precedent(moment(-500, boot="other"), moment(0)), None)} == {"no"}


def test_what_a_clock_makes_up_for_is_no_jump() -> None:
    assert [one.cause for one in interruptions(Precedent(moment(309, uptime=1300), moment(0)))] == ["no-run"]


def test_a_killed_run_is_told_from_when_it_was_last_heard_of() -> None:
    gap, killed = interruptions(Precedent(moment(3600), moment(0), killed=(moment(300),)))
    assert (gap.cause, gap.overdue) == ("no-run", "yes")
    assert (killed.cause, killed.first, killed.seconds) == ("killed", NOON + timedelta(seconds=300), 3300)
    assert killed.overdue == "no", "that nobody looked has been said, once"


def test_a_killed_run_with_nothing_before_it_can_be_overdue_itself() -> None:
    (killed,) = interruptions(Precedent(moment(3600), killed=(moment(0),)))
    assert (killed.cause, killed.overdue) == ("killed", "yes")


def test_while_another_run_is_at_work_somebody_looks() -> None:
    assert interruptions(Precedent(moment(9000), moment(0), company=NOON - timedelta(hours=1))) == []
    (gap,) = interruptions(Precedent(moment(9000), moment(0), company=NOON + timedelta(seconds=400)))
    assert (gap.seconds, gap.last, gap.overdue) == (400, NOON + timedelta(seconds=400), "no")


def test_a_lost_memory_leaves_doubts() -> None:
    seen = continuity.collect(Precedent(moment(0), mishap="it was corrupt"), EVERY)
    assert (seen.status, seen.reason) == ("partial", "it was corrupt")


def test_what_lay_between_runs_and_inside_of_one_is_one_piece_of_evidence() -> None:
    slept = Interruption(cause="suspended", first=NOON, last=NOON, seconds=5)
    inside = Evidence(kind="continuity", status="partial", records=(slept,), reason="a doubt", counts={"samples": 9})
    between = continuity.collect(Precedent(moment(300), moment(0)), None)
    sockets = Evidence(kind="sockets", status="complete")
    others, whole = continuity.joined([inside, sockets, between])
    assert others == sockets
    assert [one.cause for one in whole.of(Interruption)] == ["suspended", "no-run"]
    assert (whole.status, whole.reason) == ("partial", "a doubt")
    assert whole.counts == {"samples": 9, "runs": 0, "killed": 0}
    assert continuity.joined([sockets]) == [sockets]


MOMENTS = st.builds(
    Moment,
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2040, 1, 1)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001  (the zone follows)
    st.sampled_from([None, "a", "b"]),
    st.none() | st.floats(0, 1e9),
)


@given(MOMENTS, st.none() | MOMENTS, st.lists(MOMENTS, max_size=3), st.none() | MOMENTS, st.none() | st.floats(1, 1e6))
def test_whatever_the_clocks_say_an_interruption_ends_after_it_began(
    now: Moment, heard: Moment | None, killed: list[Moment], company: Moment | None, every: float | None
) -> None:
    before = Precedent(now, heard, tuple(killed), company.at if company else None)
    for one in interruptions(before, every):
        assert one.first <= one.last
        assert one.cause == "clock" or one.seconds >= 0
