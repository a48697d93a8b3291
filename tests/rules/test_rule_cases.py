"""Every rule finds what it is for, stays silent on what looks like it, and does not pass what it could not see."""

from __future__ import annotations

import pytest

from tests.rules.rule_case import Case, case_ids, cases, judged, rules

ALL = [pytest.param(rule_id, case, id=f"{rule_id}: {case.name}") for rule_id in case_ids() for case in cases(rule_id)]


@pytest.mark.parametrize(("rule_id", "case"), ALL)
def test_the_rule_says_what_the_case_expects(rule_id: str, case: Case) -> None:
    result = next(result for result in judged(case).results if result.rule == rule_id)
    assert (result.outcome, len(result.findings)) == (case.outcome, case.findings), result
    for finding in result.findings:
        held = {reason.field: reason.value for reason in finding.because}
        assert held | case.because == held, "because names fields that did not hold"
    if case.message is not None:
        assert case.message in [finding.message for finding in result.findings] + [result.reason]
    assert result.outcome in {"pass", "fail"} or result.reason, "who cannot decide must say why"


def test_every_rule_has_a_case_file_and_every_case_file_a_rule() -> None:
    assert set(case_ids()) == set(rules().ids)


@pytest.mark.parametrize("rule_id", sorted(rules().ids))
def test_every_rule_has_a_case_that_fails_one_that_passes_and_one_that_is_undecided(rule_id: str) -> None:
    outcomes = [case.outcome for case in cases(rule_id)]
    match = rules().get(rule_id).file.outcome
    assert match in outcomes
    assert "pass" in outcomes
    assert {"unknown", "not_applicable"} & set(outcomes)
    assert any(case.because for case in cases(rule_id)) or match == "unknown"


@pytest.mark.parametrize("rule", rules().rules, ids=lambda rule: rule.id)
def test_every_rule_teaches_says_how_to_fix_and_names_its_controls(rule: object) -> None:
    file = rule.file  # type: ignore[attr-defined]
    assert set(file.controls) == {"nist-800-53", "pci-dss-4"}
    assert all(file.controls.values())
    assert 2 <= file.rationale.count(". ") + 1 <= 5, "a rationale is a few sentences"
    assert len(file.remediation) > 80
    assert not file.title.endswith(".")


def test_every_rule_of_the_issue_is_shipped_with_its_severity() -> None:
    wanted = {
        "critical": {"environment.cloud-url-set", "environment.database-public", "connection.public-destination"},
        "high": {
            "environment.artifact-not-local", "environment.endpoint-not-allowlisted", "environment.proxy-set",
            "connection.not-allowlisted", "resolution.public-address", "resolution.public-resolver",
            "listener.not-approved", "listener.peer-not-approved", "policy.public-entry", "policy.expired-entry",
            "policy.too-broad", "policy.untrusted-file", "policy.weakened", "runtime.not-found",
        },
        "medium": {
            "environment.artifact-missing", "environment.database-missing", "environment.secret-on-command-line",
            "connection.raw-socket", "connection.multicast", "resolution.unresolvable", "policy.public-network",
        },
        "low": {
            "policy.unused-entry", "policy.proxy-entry", "connection.link-local-neighbour", "connection.dhcp",
        },
    }  # fmt: skip
    assert {severity: {rule.id for rule in rules().rules if rule.severity == severity} for severity in wanted} == wanted
