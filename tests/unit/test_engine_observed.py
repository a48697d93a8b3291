"""What an observation, or a capture, must show before there is a clean bill of health."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from airgap_check.engine import Terms, judge
from airgap_check.evidence import Evidence, Request
from airgap_check.evidence.inspection import Trial
from tests.building import RULES, STARTED, connection, inspection, policy, remote

if TYPE_CHECKING:
    from airgap_check.evidence import Status
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Report

DATABASE = {"cidr": "10.0.0.9/32", "ports": [443]}
ATTEMPT: dict[str, Any] = {"state": "attempt", "seen": "attempts"}


def observed(*records: Any, status: Status = "complete", **changes: Any) -> Inspection:
    evidence = Evidence(kind="attempts", status=status, reason="as the test says", records=records)
    return replace(inspection(extra=[evidence]), claim="observed", **changes)


def verdict(seen: Inspection, **sections: Any) -> Report:
    return judge(seen, RULES, policy(DATABASE, **sections), Terms())


def test_an_observation_that_saw_everything_and_found_nothing_is_compliant() -> None:
    assert verdict(observed(connection("10.0.0.9", **ATTEMPT))).exit_code == 0


def test_an_attempt_is_a_violation_whatever_its_fate() -> None:
    report = verdict(observed(connection("93.184.216.34", **ATTEMPT)))
    assert report.exit_code == 1
    assert report.connections[-1].allowed == "no"


@pytest.mark.parametrize("status", ["partial", "unavailable"])
def test_an_observation_that_did_not_see_every_attempt_is_inconclusive(status: Status) -> None:
    report = verdict(observed(status=status))
    assert report.exit_code == 4
    assert any("attempts" in reason and "as the test says" in reason for reason in report.reasons)


def test_an_observation_without_its_observer_is_inconclusive() -> None:
    counters = Evidence(kind="counters", status="complete")
    assert verdict(replace(inspection(extra=[counters]), claim="observed")).exit_code == 4


def test_what_an_observation_needed_it_needs_when_it_is_judged_again() -> None:
    assert verdict(replace(observed(status="partial"), claim="replayed")).exit_code == 4


def test_what_the_options_relaxed_and_our_own_attempts_stand_in_the_report() -> None:
    trial = Trial(mode="refused", observer="attempts", seen="yes", process="right")
    report = verdict(observed(relaxed=("no-traffic",), self_test=(trial,)))
    assert report.relaxed_by == ("no-traffic",)
    assert report.self_test == (trial,)


def test_the_time_that_nobody_watched_stands_in_the_window() -> None:
    gap = (STARTED, STARTED + timedelta(seconds=5))
    assert verdict(observed(gaps=(gap,))).window.gaps == (gap,)


def captured(*records: Any, status: Status = "complete") -> Inspection:
    evidence = Evidence(kind="capture", status=status, reason="cut short", records=records)
    empty = inspection(runtime=False)
    return replace(
        empty, source="capture", claim="replayed", evidence=(evidence, Evidence(kind="policy", status="complete"))
    )


def test_a_capture_is_judged_without_what_only_a_host_has() -> None:
    report = verdict(captured(connection("10.0.0.9", seen="capture", ownerless=True)))
    assert (report.exit_code, report.relaxed_by) == (0, ())
    assert [limitation.id for limitation in report.limitations] == ["self-asserted", "controls", "capture"]


def test_public_egress_in_a_capture_is_a_violation_of_whoever_sent_it() -> None:
    report = verdict(captured(connection("93.184.216.34", seen="capture", ownerless=True)))
    assert report.exit_code == 1
    (finding,) = (finding for result in report.results for finding in result.findings)
    assert finding.subject == "10.0.0.2"


def test_a_request_whose_name_nobody_can_read_has_a_subject_too() -> None:
    hidden = Request(
        netns=0, source="tls", hidden="ech", protocol="tcp", remote=remote("10.0.0.8", 443), seen="capture"
    )
    report = verdict(captured(hidden))
    assert [finding.subject for result in report.results for finding in result.findings] == ["unknown process"]


def test_a_capture_that_was_cut_short_is_inconclusive() -> None:
    report = verdict(captured(status="partial"))
    assert report.exit_code == 4
    assert "required evidence is partial: capture: cut short" in report.reasons
