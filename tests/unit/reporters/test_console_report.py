"""The console report: drawn for eyes, at any width, and told for ears."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from airgap_check.cli import main
from airgap_check.reporters import console_report
from tests import reports

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = "tests/golden/violations"


def told(**options: Any) -> list[str]:
    return console_report.render(reports.sample(), plain=True, **options).splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_paragraphs_keep_within_the_width(width: int) -> None:
    lines = console_report.render(reports.inconclusive(), width=width).splitlines()
    assert max(cell_len(line) for line in lines[1:]) <= width
    assert max(cell_len(line) for line in lines) > width // 2


def test_no_width_is_too_small_to_end() -> None:
    assert "NOT" in console_report.render(reports.sample(), width=1)


def test_without_colour_no_escape_is_written_and_with_colour_only_colours() -> None:
    assert "\x1b" not in console_report.render(reports.sample())
    coloured = console_report.render(reports.sample(), colour=True, width=100)
    assert set(re.findall(r"\x1b\[[0-9;]*(.)", coloured)) == {"m"}
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured).split() == console_report.render(reports.sample(), width=100).split()


def test_what_is_known_again_what_vanished_and_when_nobody_looked_is_said() -> None:
    text = " ".join(console_report.render(reports.sample(), width=200).split())
    assert "Vanished since the baseline connection.multicast (medium)" in text
    assert "baseline: last <week>.json of app1.bank.example" in text
    assert "unobserved: 2026-11-20T12:05:00Z to 2026-11-20T12:06:00Z (1m)" in text
    assert "lost 17" in text


def test_a_host_cannot_forge_a_line() -> None:
    report = reports.sample()
    (result,) = (one for one in report.results if one.rule == "environment.cloud-url-set")
    assert any("\n" in finding.subject for finding in result.findings), "the sample has a line break where it hurts"
    for plain in (True, False):
        text = console_report.render(report, plain=plain, width=400, verbose=True)
        assert not [line for line in text.splitlines() if line.lstrip().startswith(("tab", "\ttab"))]


def test_told_plainly_every_line_is_words_after_a_label_or_a_heading_or_advice() -> None:
    lines = told(verbose=True)
    assert lines[0] == "Verdict: not compliant. Claim: observed for 10m"
    assert not [line for line in lines if line != line.strip()]
    assert not [
        line for line in lines if line.startswith(("Finding:", "Because:")) and (" -> " in line or " = " in line)
    ]
    assert "Finding: curl to 93.184.216.34:443/tcp (SYN-SENT), 4 times" in lines
    assert "Because: direction is outbound, remote.scope is public, allowed is no" in lines
    assert "Unobserved: 2026-11-20T12:05:00Z to 2026-11-20T12:06:00Z (1m): the machine slept" in lines


def test_told_plainly_it_says_the_same_in_the_same_order() -> None:
    report = reports.sample()
    plain = " ".join(told())
    drawn = " ".join(console_report.render(report, width=400).split())
    rules = [result.rule for result in report.results if result.findings]
    for text in (plain, drawn):
        places = [text.index(f"{rule}, severity" if text is plain else f" {rule} {title}") for rule, title in
                  ((one.rule, one.title) for one in report.results if one.findings)]  # fmt: skip
        assert places == sorted(places)
        assert len(places) == len(rules)
        for wanted in (*report.relaxed_by, *(one.text for one in report.limitations), "CAP_NET_ADMIN is missing"):
            assert wanted in text


def test_the_option_reaches_terminal_and_file_and_is_refused_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o700)
    argv = ["replay", f"{GOLDEN}/evidence.jsonl", "--policy", f"{GOLDEN}/policy.yaml", "--plain"]
    main([*argv, "--report", f"console={tmp_path / 'report.txt'}"])
    said = capsys.readouterr().out
    assert said.startswith("Verdict: not compliant")
    assert (tmp_path / "report.txt").read_text() == said
    assert main([*argv, "--format", "json"]) == 2
    assert "--plain is for the console report" in capsys.readouterr().err
