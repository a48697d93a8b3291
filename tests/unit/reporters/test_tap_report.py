"""TAP: what Perl's own reader, the strictest one about, makes of it."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from msgspec.structs import replace

from airgap_check.reporters import tap_report
from airgap_check.reporters.consequence import Consequence
from tests.reports import HOSTILE, compliant, inconclusive, sample
from tests.verdicts import FAILING, TEXTS, UNDECIDED, saying

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.finding import Report

READER = """
use TAP::Parser; use JSON::PP;
my $parser = TAP::Parser->new({source => $ARGV[0]});
my @seen;
while (my $result = $parser->next) {
    push @seen, [$result->number + 0, $result->is_actual_ok ? 1 : 0, $result->is_ok ? 1 : 0, $result->directive,
        $result->explanation] if $result->is_test;
    push @{$seen[-1]}, $result->data if $result->is_yaml;
}
print JSON::PP->new->encode({errors => [$parser->parse_errors], seen => \\@seen, failed => [$parser->failed],
    planned => $parser->tests_planned + 0, good => $parser->has_problems ? 0 : 1});
"""


def read(report: Report, folder: Path) -> Any:
    """Return what TAP::Parser understands."""
    file = folder / "report.tap"
    file.write_text(tap_report.render(report), newline="")
    said = subprocess.run(["perl", "-e", READER, str(file)], check=True, capture_output=True)
    return json.loads(said.stdout)


@pytest.mark.parametrize("report", [sample(), compliant(), inconclusive()], ids=["sample", "compliant", "inconclusive"])
def test_perl_reads_it_without_a_complaint_and_agrees_with_the_verdict(report: Report, tmp_path: Path) -> None:
    understood = read(report, tmp_path)
    assert understood["errors"] == []
    assert understood["planned"] == len(understood["seen"]) == len(report.results) + 1
    assert bool(understood["good"]) is (report.verdict == "compliant")
    consequence = Consequence(report)
    failed = [
        number
        for number, result in enumerate(report.results, 2)
        if consequence.fails(result) or consequence.blocks(result)
    ]
    assert understood["failed"] == ([] if report.verdict == "compliant" else [1]) + failed


def test_what_does_not_fail_is_todo_and_what_was_not_decided_is_skipped(tmp_path: Path) -> None:
    report = sample()
    consequence = Consequence(report)
    seen = read(report, tmp_path)["seen"]
    for result, (_, actual, passed, directive, *_rest) in zip(report.results, seen[1:], strict=True):
        if consequence.fails(result) or consequence.blocks(result):
            assert (actual, passed, directive) == (0, 0, "")
        elif result.outcome in {"unknown", "not_applicable"}:
            assert (actual, passed, directive) == (1, 1, "SKIP")
        elif result.findings:
            assert (actual, passed, directive) == (0, 1, "TODO")
        else:
            assert (actual, passed, directive) == (1, 1, "")


def test_the_block_of_a_rule_holds_its_findings(tmp_path: Path) -> None:
    report = sample()
    seen = {
        result.rule: point for result, point in zip(report.results, read(report, tmp_path)["seen"][1:], strict=True)
    }
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
def test_a_number_sign_in_a_title_begins_no_directive(title: str, tmp_path: Path) -> None:
    report = saying(HOSTILE)
    titled = replace(report, results=tuple(replace(result, title=title) for result in report.results))
    failing = [point for point in read(titled, tmp_path)["seen"] if not point[1]]
    assert len(failing) == 3
    assert {point[3] for point in failing} == {""}
