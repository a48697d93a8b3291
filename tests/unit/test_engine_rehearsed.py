"""How the engine judges a rehearsal: what is required, what does not apply, and what it never shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from airgap_check.engine import Terms, judge
from airgap_check.evidence import Answer, Connection, Evidence, Interruption
from airgap_check.evidence.rehearsed import Visit
from airgap_check.objectos.derive import derive
from tests.building import RULES, STARTED, encounter, policy, rehearsal, remote

if TYPE_CHECKING:
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Report
    from airgap_check.policy import Policy

DATABASE = encounter("db.bank.example", 5432, scope="private", spoken="postgresql")
ANSWER = Answer(
    name="db.bank.example", netns=1, source="dns", status="ok", addresses=(remote("198.18.3.4", scope="private"),)
)
UNDER = policy({"name": "database", "role": "database", "host": "db.bank.example", "ports": [5432]})


def judged(seen: Inspection, under: Policy = UNDER, **terms: Any) -> Report:
    return judge(seen, RULES, under, Terms(**terms))


def outcome(report: Report, rule: str) -> str:
    return next(result.outcome for result in report.results if result.rule == rule)


def test_a_rehearsal_of_what_is_approved_is_compliant_without_any_runtime() -> None:
    report = judged(rehearsal(DATABASE, ANSWER))
    assert (report.verdict, report.reasons) == (
        "compliant", ("no finding at or above high, and everything required was seen",),
    )  # fmt: skip
    assert outcome(report, "runtime.not-found") == "not_applicable"


def test_what_is_not_approved_fails_by_the_rules_of_any_connection() -> None:
    report = judged(rehearsal(encounter("cloud.objectos.ai"), ANSWER))
    (finding,) = next(one for one in report.results if one.rule == "connection.public-destination").findings
    assert finding.message == "node -> cloud.objectos.ai:443/tcp (attempt)"
    assert report.verdict == "not_compliant"


@pytest.mark.parametrize("collector", ["world", "attempts", "environment", "sockets", "resolution"])
@pytest.mark.parametrize("status", ["partial", "unavailable"])
def test_nothing_that_a_rehearsal_rests_on_may_be_missing(collector: str, status: str) -> None:
    report = judged(rehearsal(DATABASE, ANSWER, status={collector: status}))
    assert report.verdict == "inconclusive"
    assert any(collector in reason for reason in report.reasons)


def test_a_rehearsal_without_a_world_is_inconclusive() -> None:
    seen = rehearsal(DATABASE, ANSWER)
    without = [one for one in seen.evidence if one.kind != "world"]
    report = judged(
        type(seen)(**{name: getattr(seen, name) for name in seen.__struct_fields__} | {"evidence": without})
    )
    assert "required evidence is missing: world was not collected" in report.reasons
    assert outcome(report, "rehearse.contradiction") == "unknown"


def test_a_driver_that_took_part_must_have_come_to_its_end() -> None:
    visit = Visit(label="GET /api/v1/health", outcome="done")
    assert judged(rehearsal(DATABASE, ANSWER, visit)).verdict == "compliant"
    assert judged(rehearsal(DATABASE, ANSWER, visit, status={"drive": "partial"})).verdict == "inconclusive"
    assert outcome(judged(rehearsal(DATABASE, ANSWER)), "rehearse.visit-failed") == "not_applicable"


def test_an_entry_or_a_waiver_that_was_not_needed_is_no_finding() -> None:
    waiver = {
        "rule": "connection.not-allowlisted", "match": {"remote.address": "10.9.9.9"}, "reason": "later",
        "owner": "a", "expires": "2026-11-30",
    }  # fmt: skip
    report = judged(rehearsal(), policy({"host": "db.bank.example", "ports": [5432]}, waivers=[waiver]))
    for rule in ("policy.unused-entry", "policy.unmatched-waiver"):
        assert outcome(report, rule) == "pass"


def test_a_derived_policy_is_approved_by_nobody_there_either() -> None:
    assert any("nobody approved it" in reason for reason in judged(rehearsal(), derive([])).reasons)
    assert judged(rehearsal(), derive([]), accept_derived=True).verdict == "compliant"


def test_rules_about_a_host_say_why_they_do_not_apply() -> None:
    gap = Interruption(cause="killed", first=STARTED, last=STARTED, seconds=0)
    extra = [
        Evidence(kind="continuity", status="complete", records=(gap,)),
        Evidence(kind="upgrade", status="complete"),
    ]
    report = judged(rehearsal(DATABASE, ANSWER, extra=extra))
    for prefix in ("continuity.", "upgrade.no-rollback", "endpoint.unreachable", "endpoint.canary-open"):
        reasons = {(result.outcome, result.reason) for result in report.results if result.rule.startswith(prefix)}
        assert {one for one, _ in reasons} == {"not_applicable"}, prefix
        assert all("a rehearsal" in reason for _, reason in reasons), reasons


def test_the_limitation_says_what_was_made_up() -> None:
    texts = {one.id: one.text for one in judged(rehearsal()).limitations}
    assert "198.18.0.0/15" in texts["rehearsal"]
    assert "snapshot" not in texts
    assert "database" not in texts


def test_weaker_requirements_are_told_as_on_a_host() -> None:
    report = judged(rehearsal(), policy(require=["environment", "sockets"]))
    assert "policy require (without resolution)" in report.relaxed_by


def test_a_finding_is_the_same_whichever_address_of_a_name_was_dialled() -> None:
    def found(address: str) -> set[tuple[str, str]]:
        report = judged(rehearsal(encounter("cloud.objectos.ai", address=address)))
        return {(one.fingerprint, one.message) for result in report.results for one in result.findings}

    assert found("198.18.3.4") == found("2001:2::7")
    assert any("cloud.objectos.ai:443/tcp" in message for _, message in found("198.18.3.4"))


def test_what_the_world_met_is_judged_even_where_the_observer_of_calls_took_it_for_silent() -> None:
    quiet = encounter("db.bank.example", 5432, scope="private", protocol="udp", sent=50)
    seen = rehearsal(DATABASE, quiet, ANSWER)
    silent = tuple(
        replace(item, records=tuple(
            replace(one, state="connect") if isinstance(one, Connection) and one.protocol == "udp" else one
            for one in item.records
        ))
        for item in seen.evidence
    )  # fmt: skip
    report = judged(replace(seen, evidence=silent))
    (finding,) = next(one for one in report.results if one.rule == "connection.not-allowlisted").findings
    assert finding.message == "node -> db.bank.example:5432/udp (attempt)"
    assert report.verdict == "not_compliant"
