"""The timeline draws what was seen when it was seen, and hatches what nobody saw."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.reporters import egress
from airgap_check.reporters.html import timeline
from tests import reports
from tests.building import STARTED

if TYPE_CHECKING:
    from airgap_check.finding import Report
    from airgap_check.reporters.html.timeline import Timeline


def drawn(report: Report) -> Timeline:
    found = timeline.draw(report, egress.flows(report))
    assert found
    return found


def observed(*seconds: float) -> Report:
    """Return a report of ten minutes in which one process tried one destination at these seconds."""
    (model,) = [one for one in reports.sample().connections if "10.7.7.7" in str(one.record) and one.record.first]  # type: ignore[union-attr]
    moments = [STARTED + timedelta(seconds=second) for second in seconds]
    tries = [replace(model, record=replace(model.record, first=moment, last=moment)) for moment in moments]
    return replace(reports.sample(), connections=tuple(tries))


def test_moments_stay_apart_and_the_time_between_them_is_not_claimed() -> None:
    (row,) = drawn(observed(60, 300, 540)).rows
    assert len(row.bars) == 3
    assert sum(bar.width for bar in row.bars) < 10
    assert row.told == "3 connections, refused, 2026-11-20T12:01:00Z to 2026-11-20T12:09:00Z"


def test_what_no_eye_could_keep_apart_is_one_bar() -> None:
    (row,) = drawn(observed(*(60 + one / 100 for one in range(500)))).rows
    assert len(row.bars) == 1


def test_interruptions_are_hatched_with_their_cause_and_those_before_the_run_stand_before_it() -> None:
    found = drawn(reports.sample())
    (gap,) = found.gaps
    assert gap.title.endswith("the machine slept")
    assert found.before
    assert "no run reported" in found.before.title
    assert found.before.x + found.before.width < found.ticks[0][0]
    axis = timeline.END - found.ticks[0][0]
    assert abs(gap.x - (found.ticks[0][0] + axis / 2)) < 1
    assert abs(gap.width - axis / 10) < 1


def test_a_run_without_a_history_uses_the_whole_axis() -> None:
    report = reports.sample()
    results = tuple(one for one in report.results if not one.rule.startswith("continuity."))
    found = drawn(replace(report, results=results))
    assert found.before is None
    assert found.ticks[0][0] == timeline.BEGIN
    assert len(found.gaps) == 1


def test_nothing_leaves_the_drawing() -> None:
    found = drawn(reports.of_size(500))
    bars = [bar for row in found.rows for bar in row.bars]
    assert all(bar.x >= timeline.BEGIN and bar.x + bar.width <= timeline.END + 0.2 for bar in [*bars, *found.gaps])
    assert len(found.rows) <= 30
