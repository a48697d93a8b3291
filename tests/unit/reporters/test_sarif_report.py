"""SARIF: valid by the schema of OASIS, read by a consumer, within its limits, and nothing lost on the way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sarif.loader import load_sarif_file

from airgap_check.reporters import sarif_report
from airgap_check.reporters.sarif_limits import pieces, shares
from airgap_check.reporters.sarif_result import text
from airgap_check.reporters.undecided import open_question
from tests import formats, reports

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.finding import Report

FINGERPRINT = "airgapCheck/v1"


def run_of(report: Report) -> dict[str, Any]:
    log = json.loads(sarif_report.render(report))
    run: dict[str, Any] = log["runs"][0]
    return run


def result(message: str, report: Report | None = None) -> dict[str, Any]:
    found = [one for one in run_of(report or reports.sample())["results"] if message in one["message"]["text"]]
    assert len(found) == 1
    only: dict[str, Any] = found[0]
    return only


def notices(run: dict[str, Any], name: str) -> list[str]:
    told = run["invocations"][0]["toolExecutionNotifications"]
    return [one["message"]["text"] for one in told if one["descriptor"]["id"] == name]


@pytest.mark.parametrize("made", [reports.sample, reports.compliant, reports.inconclusive])
def test_every_report_is_valid_by_the_schema_of_oasis_and_by_githubs_limits(made: Any) -> None:
    assert formats.sarif(sarif_report.render(made()))


def test_a_consumer_reads_as_many_results_as_there_are_findings_and_open_questions(tmp_path: Path) -> None:
    report = reports.sample()
    path = tmp_path / "report.sarif"
    path.write_text(sarif_report.render(report))
    read = load_sarif_file(str(path))
    findings = sum(len(one.findings) for one in report.results)
    unknown = sum(1 for one in report.results if open_question(one))
    assert report.baseline
    assert read.get_result_count() == findings + unknown + len(report.baseline.vanished)
    assert read.get_distinct_tool_names() == ["airgap-check"]
    by_file = {(record["Location"], record["Line"]) for record in read.get_records() if record["Location"]}
    assert ("file:///etc/systemd/system/objectos.service", 7) in by_file


def test_the_same_report_gives_the_same_bytes() -> None:
    assert sarif_report.render(reports.sample()) == sarif_report.render(reports.sample())


def test_a_fingerprint_is_that_of_the_finding() -> None:
    report = reports.sample()
    known = {finding.fingerprint for one in report.results for finding in one.findings}
    assert result("-> 10.6.6.6:9000")["partialFingerprints"][FINGERPRINT] in known


def test_what_a_waiver_accepts_is_suppressed_and_says_why() -> None:
    suppression = result("-> 10.9.9.9:25")["suppressions"][0]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert 'the old "mail" relay' in suppression["justification"]


def test_all_results_tell_whether_they_are_suppressed_as_one_must_if_another_does() -> None:
    assert all("suppressions" in one for one in run_of(reports.sample())["results"])
    assert result("-> 10.6.6.6:9000")["suppressions"] == []


@pytest.mark.parametrize(
    ("message", "state"),
    [
        ("-> 10.8.8.8:25", "unchanged"),
        ("-> 10.6.6.6:9000", "new"),
        ("-> 239.66.6.6:6666", "absent"),
        ("-> 93.184.216.34:443", None),  # critical: the baseline does not tell
        ("-> 10.9.9.9:25", None),  # waived: neither does it
    ],
)
def test_a_result_compares_with_the_baseline_as_far_as_that_tells(message: str, state: str | None) -> None:
    assert result(message).get("baselineState") == state


def test_the_baseline_is_the_run_that_it_was() -> None:
    report = reports.sample()
    assert report.baseline
    subject = replace(report.subject, hostname=report.baseline.hostname)
    earlier = replace(report, subject=subject, finished=report.baseline.finished, baseline=None)
    assert run_of(report)["baselineGuid"] == run_of(earlier)["automationDetails"]["guid"]


@pytest.mark.parametrize(
    ("message", "uri", "line"),
    [
        ('"https://cloud.objectos.ai"', "file:///etc/systemd/system/objectos.service", 7),
        ("network front is not internal", "file:///srv/objectos/deploy%20%231/compose%20%C3%A9.yaml", 31),
        ("pulls always", "relative.yml", 3),
        ("old ftp (other) has expired", "policy.yaml", 6),
        ("forgotten", "policy.yaml", 16),
        ("name server 8.8.8.8", "file:///etc/resolv.conf", None),
    ],
)
def test_a_finding_points_to_the_file_and_line_that_it_is_about(message: str, uri: str, line: int | None) -> None:
    place = result(message)["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == uri
    assert place.get("region", {}).get("startLine") == line


def test_a_finding_without_a_file_stands_in_the_policy_and_says_who_and_where_to() -> None:
    location = result("-> 10.6.6.6:9000")["locations"][0]
    assert location["physicalLocation"] == {"artifactLocation": {"uri": "policy.yaml"}}
    assert [(one["kind"], one["name"]) for one in location["logicalLocations"]] == [
        ("process", "curl"),
        ("endpoint", "10.6.6.6:9000"),
    ]


def test_every_result_is_in_a_file_for_github_refuses_the_whole_log_otherwise() -> None:
    for report in (reports.sample(), reports.inconclusive()):
        places = [place for one in run_of(report)["results"] for place in one["locations"]]
        assert all(place["physicalLocation"]["artifactLocation"]["uri"] for place in places)


def test_without_a_policy_a_result_has_a_logical_place_only() -> None:
    report = reports.inconclusive()
    derived = replace(report, policy=replace(report.policy, path=None, derived=True))
    assert {tuple(place) for one in run_of(derived)["results"] for place in one["locations"]} == {("logicalLocations",)}


def test_an_undecided_rule_is_an_open_result_and_not_silence() -> None:
    kinds = {one["ruleId"]: (one["kind"], one["level"]) for one in run_of(reports.inconclusive())["results"]}
    assert kinds["connection.public-destination"] == ("open", "none")


def test_a_rule_that_failed_and_left_something_undecided_says_both() -> None:
    report = reports.sample()
    broken = tuple(
        replace(one, reason="could not decide 2: a, b") if one.rule == "connection.public-destination" else one
        for one in report.results
    )
    mine = [one for one in run_of(replace(report, results=broken))["results"] if "a, b" in one["message"]["text"]]
    assert [one["kind"] for one in mine] == ["open"]


def test_what_was_not_seen_stands_in_the_notifications() -> None:
    run = run_of(reports.sample())
    assert "traffic is partial, 17 events lost: 1 interface of 3 went away" in notices(run, "coverage")
    assert "sockdiag is unavailable: CAP_NET_ADMIN is missing" in notices(run, "coverage")
    assert notices(run, "gap") == ["nobody looked from 2026-11-20T12:05:00Z to 2026-11-20T12:06:00Z (1m)"]
    assert any("traffic, attempt refused: not seen" in one for one in notices(run, "self-test"))
    assert "relaxed by no-traffic-of lo" in notices(run, "relaxed")
    assert any("its root can forge it" in one for one in notices(run, "limitation"))


def test_a_rule_has_its_severity_its_advice_and_at_most_twenty_tags() -> None:
    rules = {rule["id"]: rule for rule in run_of(reports.sample())["tool"]["driver"]["rules"]}
    rule = rules["connection.public-destination"]
    assert rule["properties"]["security-severity"] == "9.5"
    assert "nist-800-53/SC-7(5)" in rule["properties"]["tags"]
    assert all(len(one["properties"]["tags"]) <= 20 for one in rules.values())
    assert all("helpUri" not in one for one in rules.values())


def test_advice_cannot_break_out_of_its_fence() -> None:
    report = reports.sample()
    broken = tuple(replace(one, remediation="a\n````\n# b") for one in report.results)
    markdown = run_of(replace(report, results=broken))["tool"]["driver"]["rules"][0]["help"]["markdown"]
    assert markdown.endswith("`````text\na\n````\n# b\n`````\n")


@pytest.mark.parametrize(("foreign", "shown"), [("{0} [a](b) ${x}", "{{0}} [a] (b) ${x}"), ("a\x1b[31m\u202eb", "ab")])
def test_foreign_text_is_neither_a_placeholder_nor_a_link(foreign: str, shown: str) -> None:
    assert text(foreign) == shown


def test_too_many_findings_are_summed_and_none_is_lost() -> None:
    report = reports.of_size(30_000)
    run = formats.sarif(sarif_report.render(report))
    results = run["results"]
    told: list[str] = []
    for one in results:
        if one["kind"] == "fail":
            told += one["properties"].get("fingerprints") or [one["partialFingerprints"][FINGERPRINT]]
    assert sorted(told) == sorted(finding.fingerprint for one in report.results for finding in one.findings)
    assert any("15,000 findings share fewer results" in one for one in notices(run, "summed"))


def test_a_sum_never_mixes_what_is_accepted_with_what_is_not() -> None:
    report = reports.of_size(30_000)
    results = []
    for one in report.results:
        findings = [replace(each, waived_by="me" if index % 2 else None) for index, each in enumerate(one.findings)]
        results.append(replace(one, findings=tuple(findings)))
    known = {each.fingerprint: bool(each.waived_by) for one in results for each in one.findings}
    run = run_of(replace(report, results=tuple(results)))
    assert any(told.startswith("connection.public-destination: 15,000 findings") for told in notices(run, "summed"))
    for one in run["results"]:
        if fingerprints := one.get("properties", {}).get("fingerprints"):
            assert {known[each] for each in fingerprints} == {bool(one["suppressions"])}


@given(st.lists(st.integers(1, 5000), max_size=40), st.integers(40, 20_000))
def test_shares_fill_what_there_is_and_no_more(sizes: list[int], most: int) -> None:
    shared = shares(sizes, most)
    assert all(1 <= share <= size for share, size in zip(shared, sizes, strict=True))
    assert sum(shared) == min(sum(sizes), most)


@given(st.integers(0, 3000), st.integers(1, 500), st.integers(2, 200))
def test_pieces_hold_every_item_once_in_order(number: int, share: int, most: int) -> None:
    cut = list(pieces(range(number), share, most))
    assert [item for piece in cut for item in piece] == list(range(number))
    assert len(cut) <= share
    assert all(piece and len(piece) <= max(most, -(-number // share)) for piece in cut)
