"""When nobody looked is told once, in order, with its cause where that is known."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from airgap_check.reporters import proof, unobserved
from tests import reports
from tests.building import STARTED


def test_an_interruption_and_the_gap_that_it_left_are_one() -> None:
    assert [str(one) for one in unobserved.absences(reports.sample())] == [
        "2026-11-20T03:00:00Z to 2026-11-20T12:00:00Z (9h): no run reported",
        "2026-11-20T12:05:00Z to 2026-11-20T12:06:00Z (1m): the machine slept",
    ]


def test_a_gap_that_no_interruption_covers_whole_is_told() -> None:
    report = reports.sample()
    gap = (STARTED + timedelta(minutes=5), STARTED + timedelta(minutes=7))
    told = unobserved.absences(replace(report, window=replace(report.window, gaps=(gap,))))
    assert [one.cause for one in told] == ["no run reported", "the machine slept", ""]


def test_a_run_that_missed_nothing_says_nothing() -> None:
    assert unobserved.absences(reports.compliant()) == []


def test_the_proof_of_sight_has_a_row_an_attempt_and_a_column_an_observer() -> None:
    trials = reports.sample().self_test
    assert proof.observers(trials) == ["attempts", "traffic"]
    assert [(mode, [sight.text for sight in sights]) for mode, sights in proof.rows(trials)] == [
        ("refused", ["seen, right process", "NOT SEEN: the interface went away"]),
        ("no-route", ["seen, process wrong", "-"]),
        ("prohibit", ["skipped: no rule could be made <here>", "-"]),
    ]
