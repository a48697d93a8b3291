"""Every rule finds what it is for, stays silent on what looks like it, and does not pass what it could not see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from airgap_check import yamlfile
from tests.rules.rule_case import FOLDER, Case, case_ids, cases, judged, policy_of, rules

if TYPE_CHECKING:
    from airgap_check.rule import Rule

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
def test_every_rule_teaches_says_how_to_fix_and_names_its_controls(rule: Rule) -> None:
    file = rule.file
    assert set(file.controls) == {"nist-800-53", "pci-dss-4"}
    assert all(file.controls.values())
    assert 2 <= file.rationale.count(". ") + 1 <= 5, "a rationale is a few sentences"
    assert len(file.remediation) > 80
    assert not file.title.endswith(".")


def test_a_public_address_needs_an_entry_that_says_public() -> None:
    entry: dict[str, object] = {"name": "partner", "role": "webhook", "cidr": "1.1.1.1/32", "ports": [443]}
    records = ({"kind": "connection", "remote": "1.1.1.1:443"},)

    def failed(entry: dict[str, object]) -> set[str]:
        case = Case(name="public", outcome="", policy={"allow": [entry]}, records=records)
        return {result.rule for result in judged(case).results if result.outcome == "fail"}

    assert failed(entry) >= {"connection.public-destination", "policy.public-entry"}
    assert failed({**entry, "public": True}) == set()


SAMPLES = {
    "role: ...": "role: other", "expires: ...": "expires: 2027-03-01", "ADDRESS": "10.9.9.9", "PREFIX": "10.8.0.0/16",
    "PORT": "443", "HOST": "db.bank.example", "PROXY": "proxy.bank.example", "SERVER": "10.9.9.1", "GROUP": "239.1.1.1",
    "NETWORK": "10.9.9.0/24", "UNIT": "a.service", "CLIENTS": "10.0.1.0/28", "PEER": "10.0.1.1",
}  # fmt: skip


@pytest.mark.parametrize("rule", rules().rules, ids=lambda rule: rule.id)
def test_every_policy_line_of_a_remediation_is_accepted_by_the_policy(rule: Rule) -> None:
    for line in rule.file.remediation.splitlines():
        if not line.startswith(("  - {", "  networks:", "  runtime:", "  waivers:", "  inbound:")):
            continue
        for placeholder, value in SAMPLES.items():
            line = line.replace(placeholder, value)  # noqa: PLW2901  # the same line, filled in
        fragment = yamlfile.parse("line", (f"allow:\n{line}" if line.startswith("  - ") else line).encode()).value
        assert policy_of(fragment).file.allow


def test_no_severity_changes_without_a_line_in_the_list_of_severities() -> None:
    listed = yaml.safe_load((FOLDER / "severities" / "list.yaml").read_text())
    assert {rule.id: rule.severity for rule in rules().rules} == {
        rule: severity for severity, names in listed.items() for rule in names
    }
