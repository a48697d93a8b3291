"""What a rule did to the verdict is read from the reasons, whatever severity the caller lets fail."""

from __future__ import annotations

import pytest
from hypothesis import given

from airgap_check.engine import Terms, judge
from airgap_check.finding import SEVERITIES, Severity, at_least
from airgap_check.reporters.consequence import Consequence
from tests.building import RULES, connection, inspection, policy
from tests.reports import inconclusive, sample
from tests.verdicts import FAILING, TEXTS, UNDECIDED, saying


@pytest.mark.parametrize("fail_on", SEVERITIES)
def test_exactly_the_rules_with_findings_at_or_above_the_severity_fail(fail_on: Severity) -> None:
    seen = inspection(connection("93.184.216.34"), connection("10.9.9.9"), connection("224.0.0.251", protocol="udp"))
    report = judge(seen, RULES, policy(), Terms(fail_on=fail_on))
    consequence = Consequence(report)
    for result in report.results:
        expected = bool(result.findings) and at_least(result.severity, fail_on)
        assert consequence.fails(result) is expected
        assert {consequence.of(result, finding) for finding in result.findings} <= (
            {"failing"} if expected else {"reported"}
        )


def test_waived_and_baselined_findings_are_told_apart_and_never_fail() -> None:
    report = sample()
    consequence = Consequence(report)
    states = {
        consequence.of(result, finding): finding.waived_by for result in report.results for finding in result.findings
    }
    assert set(states) == {"failing", "reported", "waived", "baselined"}
    assert str(states["waived"]).startswith("waiver ")
    assert str(states["baselined"]).startswith("baseline of ")


def test_an_undecided_rule_blocks_only_where_it_left_the_verdict_open() -> None:
    report = inconclusive()
    consequence = Consequence(report)
    undecided = [result for result in report.results if result.outcome == "unknown"]
    blocking = {result.rule for result in undecided if consequence.blocks(result)}
    assert blocking == {result.rule for result in undecided if at_least(result.severity, "high")}
    assert 0 < len(blocking) < len(undecided)


@given(TEXTS)
def test_no_text_of_the_host_changes_what_a_rule_did(text: str) -> None:
    report = saying(text)
    consequence = Consequence(report)
    assert [result.rule for result in report.results if consequence.fails(result)] == [FAILING]
    assert [result.rule for result in report.results if consequence.blocks(result)] == [UNDECIDED]
