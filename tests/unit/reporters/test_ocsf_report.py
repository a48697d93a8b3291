"""OCSF: every event valid by the schema of its class, and what was not seen is an event, too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from airgap_check.reporters import ocsf_report
from airgap_check.reporters.ocsf_event import read_time
from tests import formats, reports
from tests.building import STARTED

if TYPE_CHECKING:
    from airgap_check.finding import Report

FINDING, NETWORK, NAME = 2003, 4001, 4003


def events(report: Report, class_uid: int | None = None) -> list[dict[str, Any]]:
    made = [json.loads(line) for line in ocsf_report.render(report).splitlines()]
    return [one for one in made if class_uid in {None, one["class_uid"]}]


def finding(message: str) -> dict[str, Any]:
    found = [one for one in events(reports.sample(), FINDING) if message in one["message"]]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("made", [reports.sample, reports.compliant, reports.inconclusive, lambda: reports.of_size(50)])
def test_every_event_is_valid_by_the_schema_of_its_class(made: Any) -> None:
    assert formats.ocsf(ocsf_report.render(made()))


def test_a_sample_has_an_event_of_every_class() -> None:
    assert {event["class_uid"] for event in events(reports.sample())} == {FINDING, NETWORK, NAME}


def test_a_type_is_made_of_class_and_activity() -> None:
    assert all(one["type_uid"] == one["class_uid"] * 100 + one["activity_id"] for one in events(reports.sample()))


def test_every_event_has_an_id_of_its_own_and_the_same_one_tomorrow() -> None:
    ids = [event["metadata"]["uid"] for event in events(reports.sample())]
    assert len(ids) == len(set(ids))
    assert ids == [event["metadata"]["uid"] for event in events(reports.sample())]


def test_there_is_one_event_a_finding_with_its_fingerprint() -> None:
    report = reports.sample()
    failed = [one for one in events(report, FINDING) if one["compliance"]["status_id"] == 3]
    known = sorted(one.fingerprint for result in report.results for one in result.findings)
    told = sorted(one["finding_info"]["uid"] for one in failed if one["compliance"]["control"] != "verdict")
    assert told == known


def test_a_waived_finding_is_suppressed_and_alarms_nobody() -> None:
    event = finding("-> 10.9.9.9:25")
    assert (event["status_id"], event["is_alert"]) == (3, False)
    assert 'the old "mail" relay' in event["comment"]
    assert finding("-> 10.6.6.6:9000")["is_alert"]


def test_a_finding_names_the_controls_that_its_rule_supports() -> None:
    compliance = finding("-> 10.6.6.6:9000")["compliance"]
    assert "NIST SP 800-53" in compliance["standards"]
    assert "SC-7" in compliance["requirements"]


def test_first_and_last_sight_are_in_milliseconds() -> None:
    info = finding("telemetry.example.com (A, nxdomain)")["finding_info"]
    started = round(STARTED.timestamp() * 1000)
    assert (info["first_seen_time"], info["last_seen_time"]) == (started + 60_000, started + 240_000)


def test_an_undecided_rule_is_a_warning_and_a_passed_one_passes() -> None:
    status = {
        one["compliance"]["control"]: one["compliance"]["status_id"] for one in events(reports.inconclusive(), FINDING)
    }
    assert status["connection.public-destination"] == 2
    assert status["policy.expired-entry"] == 1
    assert status["verdict"] == 2


def test_blindness_loss_and_gaps_are_warnings() -> None:
    told = [one["message"] for one in events(reports.sample(), FINDING) if one["compliance"]["control"] == "coverage"]
    assert "traffic is partial, 17 events lost: 1 interface of 3 went away" in told
    assert "nobody looked from 2026-11-20T12:05:00Z to 2026-11-20T12:06:00Z (1m)" in told


def test_what_vanished_since_the_baseline_is_closed() -> None:
    event = finding("-> 239.66.6.6:6666")
    assert (event["activity_id"], event["status_id"]) == (3, 4)


def test_there_is_one_event_a_judged_connection_that_says_what_the_policy_says() -> None:
    report = reports.sample()
    told = [(one["disposition_id"], one["action_id"], one["is_alert"]) for one in events(report, NETWORK)]
    meant = {"yes": (1, 3, False), "no": (26, 3, True), "unknown": (0, 3, False)}
    assert told == [meant[one.allowed] for one in report.connections]


def test_an_allowed_connection_names_the_entry_that_allows_it() -> None:
    first = next(one for one in events(reports.sample(), NETWORK) if one["disposition_id"] == 1)
    assert first["policy"] == {"name": "core database", "is_applied": True}
    assert first["dst_endpoint"] == {"ip": "10.20.0.5", "port": 5432}
    assert first["actor"]["process"]["name"] == "node"


def test_whoever_connects_to_us_is_the_source() -> None:
    report = reports.sample()
    judged = next(one for one in report.connections if getattr(one.record, "direction", "") == "outbound")
    turned = replace(judged, record=replace(judged.record, direction="inbound"))
    event = events(replace(report, connections=(turned,)), NETWORK)[0]
    assert event["src_endpoint"]["ip"] == "10.20.0.5"
    assert event["connection_info"]["direction_id"] == 1


def test_a_name_that_was_asked_for_is_dns_activity_with_its_answer() -> None:
    event = next(one for one in events(reports.sample(), NAME) if one["query"]["hostname"] == "telemetry.example.com")
    assert (event["rcode_id"], event["count"], event["dst_endpoint"]["ip"]) == (3, 12, "10.0.0.53")


@pytest.mark.parametrize("text", ["", "never", "2026-13-01T00:00:00Z", None, 7])
def test_a_time_that_is_none_is_left_out(text: object) -> None:
    assert read_time(text) is None
