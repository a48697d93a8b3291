"""TAP: what Perl's own reader, the strictest one about, makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from msgspec.structs import replace

from airgap_check.reporters import tap_report
from airgap_check.reporters.consequence import Consequence
from tests import formats
from tests.reports import HOSTILE, compliant, inconclusive, sample
from tests.verdicts import FAILING, TEXTS, UNDECIDED, saying

if TYPE_CHECKING:
    from airgap_check.finding import Report


def read(report: Report) -> Any:
    return formats.tap(tap_report.render(report))


@pytest.mark.parametrize("report", [sample(), compliant(), inconclusive()], ids=["sample", "compliant", "inconclusive"])
def test_perl_reads_it_without_a_complaint_and_agrees_with_the_verdict(report: Report) -> None:
    understood = read(report)
    assert understood["planned"] == len(report.results) + 1
    assert bool(understood["good"]) is (report.verdict == "compliant")
    consequence = Consequence(report)
    failed = [
        number
        for number, result in enumerate(report.results, 2)
        if consequence.fails(result) or consequence.blocks(result)
    ]
    assert understood["failed"] == ([] if report.verdict == "compliant" else [1]) + failed


def test_what_does_not_fail_is_todo_and_what_was_not_decided_is_skipped() -> None:
    report = sample()
    consequence = Consequence(report)
    seen = read(report)["seen"]
    for result, (_, actual, passed, directive, *_rest) in zip(report.results, seen[1:], strict=True):
        if consequence.fails(result) or consequence.blocks(result):
            assert (actual, passed, directive) == (0, 0, "")
        elif result.outcome in {"unknown", "not_applicable"}:
            assert (actual, passed, directive) == (1, 1, "SKIP")
        elif result.findings:
            assert (actual, passed, directive) == (0, 1, "TODO")
        else:
            assert (actual, passed, directive) == (1, 1, "")


def test_the_block_of_a_rule_holds_its_findings() -> None:
    report = sample()
    seen = {result.rule: point for result, point in zip(report.results, read(report)["seen"][1:], strict=True)}
    for result in report.results:
        if result.findings:
            block = seen[result.rule][5]
            assert [one["fingerprint"] for one in block["findings"]] == [one.fingerprint for one in result.findings]
            assert block["severity"] == result.severity


@given(TEXTS)
def test_whatever_the_host_says_no_line_becomes_another(text: str) -> None:
    report = saying(text)
    lines = tap_report.render(report).split("\n")
    assert lines[:2] == ["TAP version 13", f"1..{len(report.results) + 1}"]
    points = [line for line in lines if line.startswith(("ok", "not ok"))]
    assert len(points) == len(report.results) + 1
    assert [point for point in points if FAILING in point or UNDECIDED in point] == [
        point for point in points[1:] if point.startswith("not ok") and " # " not in point
    ]
    blocks = "\n".join(lines).split("\n  ---\n")[1:]
    for block in blocks:
        yaml.safe_load(block.partition("\n  ...")[0])


@pytest.mark.parametrize("title", ["no C# program # TODO later", "x \\# SKIP y", "ends in \\"])
def test_a_number_sign_in_a_title_begins_no_directive(title: str) -> None:
    report = saying(HOSTILE)
    titled = replace(report, results=tuple(replace(result, title=title) for result in report.results))
    failing = [point for point in read(titled)["seen"] if not point[1]]
    assert len(failing) == 3
    assert {point[3] for point in failing} == {""}


def test_a_text_that_is_longer_than_perl_can_read_is_cut() -> None:
    assert len(read(saying("x" * 40_000))["seen"]) == 4
