"""Where reports and evidence go: no two to one file, and none over a file that the same run reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.test_cli import CLEAN, POLICY, refused, run


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a policy, an evidence file, a baseline and keys."""
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    shutil.copy(POLICY, "policy.yaml")
    shutil.copy(CLEAN, "evidence.jsonl")
    assert run("keygen", "--out", "site.key") == 0
    assert run("keygen", "--pseudonyms", "secret") == 0
    assert run("replay", CLEAN, "--policy", POLICY, "--report", "json=earlier.json") == 0
    return tmp_path


@pytest.mark.parametrize("other", ["same", "./same", "link/same"])
def test_two_reports_never_go_to_one_file_however_it_is_spelled(
    site: Path, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    Path("link").symlink_to(site)
    capsys.readouterr()
    for options in (["--report", f"json={other}"], ["--record", other]):
        said = refused(capsys, "replay", CLEAN, "--policy", POLICY, "--report", "html=same", *options)
        assert "same file" in said
    assert not Path("same").exists()


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("policy.yaml", ()),
        ("evidence.jsonl", ()),
        ("earlier.json", ("--baseline", "earlier.json")),
        ("site.key", ("--record", "run.zip", "--sign", "./site.key")),
        ("secret", ("--pseudonymize", "secret")),
    ],
)
def test_no_report_is_written_over_a_file_that_the_run_reads(
    site: Path, capsys: pytest.CaptureFixture[str], target: str, options: tuple[str, ...]
) -> None:
    before = (site / target).read_bytes()
    capsys.readouterr()
    said = refused(
        capsys, "replay", "evidence.jsonl", "--policy", "policy.yaml", "--report", f"json=./{target}", *options
    )
    assert "reads" in said
    assert (site / target).read_bytes() == before


def test_evidence_is_not_recorded_over_the_evidence_it_is_made_of(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (site / "evidence.jsonl").read_bytes()
    capsys.readouterr()
    refused(capsys, "replay", "evidence.jsonl", "--policy", "policy.yaml", "--record", "evidence.jsonl")
    assert (site / "evidence.jsonl").read_bytes() == before


def test_a_dash_is_no_file(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert "--format json" in refused(capsys, "replay", CLEAN, "--policy", POLICY, "--report", "json=-")
    assert not (site / "-").exists()


@pytest.mark.parametrize("argv", [["--help"], ["verify", "--help"], ["rules", "list", "--help"]])
def test_help_that_nobody_could_read_is_said(argv: list[str]) -> None:
    command = [sys.executable, "-m", "airgap_check", *argv]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "cannot write to standard output" in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [("verify", "0 verified"), ("diff", "0 nothing new"), ("keygen", "0 done"), ("audit", "0 compliant")],
)
def test_help_says_what_the_exit_codes_of_this_command_mean(
    capsys: pytest.CaptureFixture[str], command: str, said: str
) -> None:
    assert run(command, "--help") == 0
    assert f"exit codes: {said}" in capsys.readouterr().out


def test_a_folder_for_signed_archives_has_to_be_there(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    options = ("--record", "archives", "--sign", "site.key")
    assert "archives is no folder" in refused(capsys, "replay", CLEAN, "--policy", POLICY, *options)
    (site / "archives").mkdir(0o700)
    assert run("replay", CLEAN, "--policy", POLICY, *options, "--quiet") == 0
    assert len(list((site / "archives").iterdir())) == 1
