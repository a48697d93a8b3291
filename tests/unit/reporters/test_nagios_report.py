"""The line for Nagios: a status, a text, performance data by the guidelines' grammar; and its own exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from msgspec.structs import replace

from airgap_check import cli
from airgap_check.finding import SEVERITIES, Finding, Report, RuleResult
from airgap_check.reporters import nagios_report
from tests.formats import nagios as parse
from tests.reports import compliant, inconclusive, of_size, sample
from tests.verdicts import TEXTS, saying, told

GOLDEN = Path(__file__).parents[2] / "golden"
NEGATE = "/usr/lib/nagios/plugins/negate"


def found(report: Report) -> list[tuple[RuleResult, Finding]]:
    return [(result, finding) for result in report.results for finding in result.findings]


def test_a_violation_is_critical_and_counted() -> None:
    code, text, data = parse(nagios_report.render(sample()))
    assert code == nagios_report.status(sample())
    assert code == 2
    assert text.startswith("not compliant (observed for 10m): connection.public-destination (critical): 3 findings; ")
    open_: Counter[str] = Counter()
    for result, finding in found(sample()):
        open_[result.severity] += finding.waived_by is None
    assert [data["failing"], data["findings"]] == [
        (open_["critical"] + open_["high"], None, "0"),
        (open_.total(), "0", None),
    ]
    assert {severity: data[severity][0] for severity in SEVERITIES} == {one: open_[one] for one in SEVERITIES}
    assert data["waived"][0] == 1
    assert data["baselined"][0] == sum("baseline of" in str(one.waived_by) for _, one in found(sample())) > 1
    assert (data["lost"][0], data["unobserved"][0], data["duration"][0]) == (17, 60, 600)


def test_a_finding_that_does_not_fail_is_a_warning_and_none_is_ok() -> None:
    code, text, data = parse(nagios_report.render(told()))
    assert code == 1
    assert "2 findings below the severity that fails: connection.multicast, " in text
    assert data["failing"][0] == 0
    clean = replace(
        compliant(), results=tuple(replace(one, findings=(), outcome="pass") for one in compliant().results)
    )
    assert parse(nagios_report.render(clean))[0] == 0


def test_no_verdict_is_unknown() -> None:
    code, text, data = parse(nagios_report.render(inconclusive()))
    assert code == 3
    assert text.startswith("inconclusive")
    assert data["unknown"][0] == sum(result.outcome == "unknown" for result in inconclusive().results) > 1


def test_the_line_stays_short_and_its_numbers_whole_whatever_was_found() -> None:
    report = replace(of_size(2_000), reasons=("é" * 9_000,), verdict="not_compliant")
    _, text, data = parse(nagios_report.render(report))
    assert text.endswith(" ...")
    assert len(data) == 12


@given(TEXTS)
def test_whatever_the_host_says_it_is_one_line(text: str) -> None:
    assert parse(nagios_report.render(saying(text)))[0] == 2
    assert parse(nagios_report.unknown(text))[0] == 3


def run(case: str, *options: str) -> int:
    folder = GOLDEN / case
    return cli.main(["replay", str(folder / "evidence.jsonl"), "--policy", str(folder / "policy.yaml"), *options])


@pytest.mark.parametrize(("case", "code"), [("clean", 0), ("violations", 2), ("blind", 3)])
def test_the_command_ends_with_the_code_of_its_line_even_when_quiet(
    case: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(case, "--format", "nagios", "--quiet") in {code, code + (code == 0)}
    assert run(case, "--format=nagios") == parse(capsys.readouterr().out.splitlines(keepends=True)[0])[0]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["audit", "--format", "nagios", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["audit", "--format=nagios", "--fail-on", "dire"], "invalid choice: 'dire'"),
        (["--format", "nagios"], "COMMAND"),
        (["replay", "/nowhere/evidence", "--format", "nagios"], "/nowhere/evidence: No such file"),
        (["replay", "x", "--format", "nagios", "--policy", "/nowhere/p|q.yaml"], "/nowhere/p/q.yaml: No such file"),
        (["preflight", "--dry-run", "--format", "nagios"], "--dry-run ends without a verdict"),
        (["audit", "--format", "nagios", "--report", "json=/nowhere/x"], "No such file"),
    ],
)
def test_an_error_is_unknown_on_standard_output_and_told_on_standard_error_too(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 3
    printed = capsys.readouterr()
    code, text, data = parse(printed.out)
    assert code == 3
    assert said in text
    assert not data
    assert "airgap-check: " in printed.err


@pytest.mark.parametrize("error", [ZeroDivisionError("boom|\n"), KeyboardInterrupt()])
def test_a_fault_of_ours_and_an_interruption_are_unknown(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_arguments: object) -> int:
        raise error

    monkeypatch.setattr("airgap_check.commands.replay.run", fail)
    assert cli.main(["replay", "x", "--format", "nagios"]) == 3
    assert parse(capsys.readouterr().out)[0] == 3


def test_only_the_last_format_counts_and_none_after_two_dashes() -> None:
    assert cli.main(["replay", "/nowhere/e", "--format", "nagios", "--format", "json"]) == 2
    assert cli.main(["replay", "/nowhere/e", "--", "--format", "nagios"]) == 2


def test_a_report_that_cannot_be_written_leaves_one_line_which_is_the_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr("airgap_check.output.check", lambda _path: None)
    target = f"json={tmp_path}/missing/x.json"
    assert run("clean", "--format", "nagios", "--report", target) == 3
    assert "No such file" in parse(capsys.readouterr().out)[1]
    assert run("violations", "--format", "nagios", "--report", target) == 2
    printed = capsys.readouterr()
    assert parse(printed.out)[0] == 2
    assert "No such file" in printed.err


def test_the_negate_plugin_understands_it() -> None:
    folder = GOLDEN / "violations"
    argv = [NEGATE, "-s", "-c", "OK", sys.executable, "-m", "airgap_check", "replay", str(folder / "evidence.jsonl"),
            "--policy", str(folder / "policy.yaml"), "--format", "nagios"]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("AIRGAP OK - not compliant")


def from_outside(stdout: str, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with its output, or both of its outputs, going somewhere that takes none."""
    line = [sys.executable, "-m", "airgap_check", *argv]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {stdout}', "sh", *line], capture_output=True, encoding="utf-8",
        errors="backslashreplace", check=False, env=os.environ | {"PYTHONPATH": "."} | environment,
    )  # fmt: skip


@pytest.mark.parametrize("stdout", [">/dev/full", ">/dev/full 2>&1", ">&-", "2>/dev/full", "2>&-"])
def test_an_error_that_nobody_can_read_is_unknown_all_the_same(stdout: str) -> None:
    done = from_outside(stdout, "audit", "--format", "nagios", "--nonsense")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    if done.stdout:
        assert parse(done.stdout)[1] == "unrecognized arguments: --nonsense"
    assert from_outside(stdout, "audit", "--nonsense").returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_error_in_letters_that_the_locale_lacks_is_unknown_all_the_same(encoding: str) -> None:
    done = from_outside("", "replay", "/nowhere/é→", "--format", "nagios", PYTHONIOENCODING=encoding)
    assert done.returncode == 3
    assert parse(done.stdout)[0] == 3
    assert "Traceback" not in done.stderr


def test_a_verdict_is_told_even_where_standard_error_takes_nothing() -> None:
    folder = GOLDEN / "violations"
    argv = ["replay", str(folder / "evidence.jsonl"), "--policy", str(folder / "policy.yaml"), "--format", "nagios"]
    done = from_outside("2>/dev/full", *argv)
    assert (done.returncode, parse(done.stdout)[0]) == (2, 2)
