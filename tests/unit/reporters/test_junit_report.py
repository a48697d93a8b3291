"""JUnit XML: valid by Jenkins' schema, read by junitparser, and red exactly where the run failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase
from msgspec.structs import replace

from airgap_check.reporters import junit_report
from airgap_check.reporters.consequence import Consequence
from tests import formats
from tests.reports import compliant, inconclusive, of_size, sample
from tests.verdicts import FAILING, TEXTS, UNDECIDED, saying, told

if TYPE_CHECKING:
    from airgap_check.finding import Report

TestCase.__test__ = False  # it is no test of pytest's


def cases(report: Report) -> dict[str, TestCase]:
    document = JUnitXml.fromstring(junit_report.render(report).encode())
    return {case.name: case for suite in document for case in suite}


def kinds(case: TestCase) -> set[type]:
    return {type(part) for part in case.result}


@pytest.mark.parametrize("report", [sample(), compliant(), inconclusive()], ids=["sample", "compliant", "inconclusive"])
def test_it_is_valid_and_its_sums_are_those_of_its_cases(report: Report) -> None:
    text = junit_report.render(report)
    document = formats.junit(text)
    every = [case for suite in document for case in suite]
    assert document.tests == len(every) == len(report.results) + 1
    assert document.failures == sum(Failure in kinds(case) for case in every)
    assert document.errors == sum(Error in kinds(case) for case in every)
    for suite in document:
        assert suite.skipped == sum(Skipped in kinds(case) for case in suite)
        assert suite.tests == len(list(suite))


def test_a_compliant_run_is_green_though_a_finding_below_the_threshold_is_visible() -> None:
    read = cases(told())
    assert not any(kinds(case) & {Failure, Error} for case in read.values())
    assert not read["connection.multicast"].result
    assert "224.0.0.251" in str(read["connection.multicast"].system_out)


def test_each_failing_rule_is_one_failure_with_a_line_a_finding() -> None:
    report = sample()
    consequence, read = Consequence(report), cases(report)
    for result in report.results:
        assert (Failure in kinds(read[result.rule])) is consequence.fails(result)
    (failure,) = read["connection.public-destination"].result
    assert failure.type == "critical"
    (public,) = (result for result in report.results if result.rule == "connection.public-destination")
    assert sum("fingerprint: " in line for line in str(failure.text).splitlines()) == len(public.findings) > 1


def test_skipped_is_not_failed_and_undecided_is_an_error_only_where_it_left_the_verdict_open() -> None:
    report = inconclusive()
    consequence, read = Consequence(report), cases(report)
    assert kinds(read["verdict"]) == {Error}
    for result in report.results:
        if result.outcome == "unknown":
            assert kinds(read[result.rule]) == ({Error} if consequence.blocks(result) else {Skipped})
        if result.outcome == "not_applicable":
            assert kinds(read[result.rule]) == {Skipped}


def test_a_waived_finding_passes_and_names_its_waiver() -> None:
    report = sample()
    accepted = tuple(
        replace(result, outcome="pass", findings=tuple(one for one in result.findings if one.waived_by))
        for result in report.results
    )
    case = cases(replace(report, results=accepted, reasons=(), verdict="compliant"))["connection.not-allowlisted"]
    assert not case.result
    assert "waived by waiver 1: " in str(case.system_out)


def test_the_properties_name_host_claim_policy_and_tool() -> None:
    report = sample()
    (suite, *_) = JUnitXml.fromstring(junit_report.render(report).encode())
    read = {entry.name: entry.value for entry in suite.properties()}  # type: ignore[no-untyped-call]
    assert read["host"] == "app1.bank.example"
    assert read["claim"] == "observed"
    assert read["policy sha256"] == report.policy.sha256
    assert read["tool"] == "airgap-check 1.2.3"


def test_many_findings_go_on_in_another_element_before_a_text_becomes_too_long_to_read() -> None:
    report = of_size(30_000)
    parts = cases(report)["connection.public-destination"].result
    assert len(parts) > 1
    assert all(len(str(part.text)) < 5_000_000 for part in parts)
    assert sum(str(part.text).count("fingerprint: ") for part in parts) == 15_000


@settings(deadline=None, max_examples=60)
@given(TEXTS)
def test_whatever_the_host_says_the_document_is_legal_and_says_the_same(text: str) -> None:
    report = saying(text)
    assert formats.junit(junit_report.render(report))
    read = cases(report)
    assert [name for name, case in read.items() if Failure in kinds(case)] == ["verdict", FAILING]
    assert [name for name, case in read.items() if Error in kinds(case)] == [UNDECIDED]
