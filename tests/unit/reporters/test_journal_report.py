"""Lines for a journal: each alone with its priority, the verdict first; nothing of the host's starts another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from airgap_check.finding import SEVERITIES, Report
from airgap_check.redact import printable
from airgap_check.reporters import journal_report
from airgap_check.reporters.consequence import Consequence
from tests.reports import HOSTILE, compliant, inconclusive, sample


def lines(report: Report) -> list[str]:
    text = journal_report.render(report)
    assert text.endswith("\n")
    return text.removesuffix("\n").split("\n")


@pytest.mark.parametrize(
    ("report", "begins"),
    [(sample(), "<4>not compliant ("), (inconclusive(), "<4>inconclusive ("), (compliant(), "<6>compliant (")],
    ids=["sample", "inconclusive", "compliant"],
)
def test_the_verdict_comes_first_with_its_reasons(report: Report, begins: str) -> None:
    first = lines(report)[0]
    assert first.startswith(begins)
    assert all(printable(reason)[:80] in first for reason in report.reasons[:3])


def test_what_fails_the_run_follows_the_gravest_first_and_nothing_else() -> None:
    report = sample()
    consequence = Consequence(report)
    failing = [
        (result.severity, result.rule)
        for result in report.results
        for _ in consequence.findings(result, "failing")
    ]  # fmt: skip
    told = [tuple(line[3:].split("  ")[:2]) for line in lines(report)[1:]]
    assert sorted(told) == sorted(failing)
    ranks = [SEVERITIES.index(severity) for severity, _ in told]
    assert ranks == sorted(ranks, reverse=True)


def test_a_flood_is_thirty_lines_and_one_that_says_so() -> None:
    report = sample()
    consequence = Consequence(report)
    many = tuple(
        replace(result, findings=result.findings * 40) if consequence.fails(result) else result
        for result in report.results
    )
    told = lines(replace(report, results=many))
    assert len(told) == 32
    assert "more findings" in told[-1]


@given(st.text() | st.just(HOSTILE))
def test_nothing_of_the_host_starts_a_line(text: str) -> None:
    report = sample()
    foreign = tuple(
        replace(result, findings=tuple(replace(finding, message=text) for finding in result.findings))
        for result in report.results
    )
    told = lines(replace(report, results=foreign, reasons=(*report.reasons, text)))
    assert len(told) == len(lines(report))
    assert all(line.isprintable() and line[:3] in {"<3>", "<4>", "<5>", "<6>"} for line in told)
