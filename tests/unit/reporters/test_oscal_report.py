"""OSCAL: what NIST's schema demands, read and written again by a consumer, and no control called satisfied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from airgap_check.reporters import oscal_report
from airgap_check.reporters.oscal_object import controls_of, line, prose
from tests import formats, reports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Report

REPORTS = [reports.sample, reports.compliant, reports.inconclusive, lambda: reports.of_size(50)]


def document(report: Report) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(oscal_report.render(report))["assessment-results"]
    return made


def result_of(report: Report) -> dict[str, Any]:
    results = document(report)["results"]
    assert len(results) == 1
    only: dict[str, Any] = results[0]
    return only


def status(report: Report) -> dict[str, dict[str, str]]:
    return {one["target"]["target-id"]: one["target"]["status"] for one in result_of(report).get("findings", [])}


def values(item: Any, name: str) -> Iterator[Any]:
    """Yield every value of a name, however deep."""
    if isinstance(item, dict):
        for key, value in item.items():
            if key == name:
                yield value
            yield from values(value, name)
    elif isinstance(item, list):
        for one in item:
            yield from values(one, name)


@pytest.mark.parametrize("made", REPORTS)
def test_nists_schema_accepts_every_report_and_a_consumer_that_reads_and_writes_it_loses_nothing(made: Any) -> None:
    assert formats.oscal(oscal_report.render(made()))


def test_a_report_of_nothing_and_rules_with_any_name_are_accepted_too() -> None:
    report = reports.sample()
    assert formats.oscal(oscal_report.render(replace(report, results=(), coverage=(), connections=(), baseline=None)))
    renamed = tuple(replace(one, rule=f"9 né/{one.rule}") for one in report.results)
    assert formats.oscal(oscal_report.render(replace(report, results=renamed)))


def test_the_same_report_gives_the_same_bytes() -> None:
    assert oscal_report.render(reports.sample()) == oscal_report.render(reports.sample())


@pytest.mark.parametrize("made", REPORTS)
def test_no_id_is_given_twice_and_every_id_that_is_pointed_to_is_given(made: Any) -> None:
    whole = document(made())
    ids = list(values(whole, "uuid"))
    assert len(ids) == len(set(ids))
    pointed = [one for name in ("observation-uuid", "risk-uuid", "subject-uuid") for one in values(whole, name)]
    assert set(pointed) <= set(ids)
    assert whole["import-ap"]["href"].removeprefix("#") in ids
    assert {one for each in values(whole, "party-uuids") for one in each} <= set(ids)


@pytest.mark.parametrize("made", REPORTS)
def test_nothing_is_ever_satisfied(made: Any) -> None:
    assert set(values(document(made()), "state")) <= {"not-satisfied", "operational", "other"}


def test_a_rule_that_passed_is_an_observation_and_no_finding() -> None:
    whole = result_of(reports.compliant())
    assert "findings" not in whole
    assert any(one["description"].startswith("passed: ") for one in whole["observations"])


def test_a_rule_that_failed_is_not_satisfied_and_one_that_nobody_could_decide_has_another_reason() -> None:
    told = status(reports.sample())
    assert told["connection.public-destination"] == {"state": "not-satisfied", "reason": "fail"}
    assert told["traffic.metadata-service"]["reason"] == "other"
    assert "Could not be decided" in told["traffic.metadata-service"]["remarks"]


def test_what_somebody_accepts_is_a_risk_of_its_own_with_an_approved_deviation() -> None:
    whole = result_of(reports.sample())
    mine = next(one for one in whole["findings"] if one["target"]["target-id"] == "connection.not-allowlisted")
    ids = [one["risk-uuid"] for one in mine["related-risks"]]
    told = [(one["status"], len(one["related-observations"])) for one in whole["risks"] if one["uuid"] in ids]
    assert sorted(told) == [("deviation-approved", 1), ("deviation-approved", 2), ("open", 1)]


def test_each_finding_is_an_observation_with_its_fingerprint() -> None:
    report = reports.sample()
    told = [
        prop["value"]
        for one in result_of(report)["observations"]
        for prop in one.get("props", [])
        if prop["name"] == "fingerprint"
    ]
    assert sorted(told) == sorted(one.fingerprint for result in report.results for one in result.findings)


def test_the_plan_is_the_policy_with_its_digest() -> None:
    report = reports.sample()
    plan = document(report)["back-matter"]["resources"][0]
    assert plan["rlinks"][0] == {
        "href": "policy.yaml",
        "hashes": [{"algorithm": "SHA-256", "value": report.policy.sha256}],
    }
    derived = replace(report, policy=replace(report.policy, path=None, derived=True))
    assert "rlinks" not in document(derived)["back-matter"]["resources"][0]


def test_this_host_asserts_it_and_its_root_can_forge_it() -> None:
    attested = result_of(reports.sample())["attestations"][0]
    assert "its root can forge it" in attested["parts"][0]["prose"]


def test_the_log_tells_when_nobody_looked() -> None:
    log = result_of(reports.sample())["assessment-log"]["entries"]
    unobserved = [(one["start"], one["end"]) for one in log if one["title"] == "unobserved"]
    assert unobserved == [("2026-11-20T12:05:00Z", "2026-11-20T12:06:00Z")]


def test_controls_have_the_ids_of_nists_catalogue() -> None:
    report = reports.sample()
    one = replace(report.results[0], controls={"nist-800-53": ("SC-7", "SC-7(5)", "SC-7(4)(f)", "?")})
    assert controls_of(one) == ["sc-7", "sc-7.5", "sc-7.4"]


def test_rules_without_controls_still_make_a_valid_document() -> None:
    report = reports.sample()
    bare = replace(report, results=tuple(replace(one, controls={}) for one in report.results))
    assert formats.oscal(oscal_report.render(bare))


def test_foreign_text_is_no_markup() -> None:
    assert prose("# a <script> [l](h) *b*\n\x1b[31m\u202ec") == "\\# a &lt;script> \\[l\\](h) \\*b\\*\nc"
    assert prose(" \n ") == line(" \t ") == "-"
