"""The command line of `schedule`: what it prints is what it would install, and it refuses what makes no sense."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from airgap_check import cli


def test_units_are_printed_with_where_they_go(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schedule", "--systemd", "--every", "10m", "--report", "json=/srv/x/report.json"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# /etc/systemd/system/airgap-check.service\n")
    assert "\n# /etc/systemd/system/airgap-check.timer\n" in text
    (order,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert order.split()[1:] == [
        "-I", "-m", "airgap_check", "audit", "--quiet", "--every", "10m", "--report", "json=/srv/x/report.json",
    ]  # fmt: skip
    assert order.startswith(f"ExecStart={sys.executable} ")
    assert "ReadWritePaths=/srv/x\n" in text
    assert "OnUnitActiveSec=10m\n" in text


def test_what_is_printed_is_a_command_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    for watch in ([], ["--watch"]):
        assert cli.main(["schedule", "--systemd", "--policy", "p.yaml", "--state", "s", *watch]) == 0
        (order,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ExecStart=")]
        arguments = cli.build().parse_args(order.split()[4:])
        assert arguments.command == ("watch" if watch else "audit")
        assert arguments.policy == str(Path.cwd() / "p.yaml")
        assert arguments.every == (3600 if watch else 300)


def test_what_a_run_is_told_is_told_to_every_run(capsys: pytest.CaptureFixture[str]) -> None:
    files = ["policy", "rules", "baseline", "deployment", "state", "alerts", "record", "sign", "pseudonymize"]
    given = [word for name in files for word in (f"--{name}", name)]
    given += ["--fail-on", "low", "--max-time", "90s", "--accept-derived", "--no-resolve", "--database", "--rules", "r"]
    for watch in ([], ["--watch"]):
        assert cli.main(["schedule", "--systemd", *given, *watch]) == 0
        (order,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ExecStart=")]
        run = vars(cli.build().parse_args(order.split()[4:]))
        here = Path.cwd()
        assert {name: run[name] for name in files} == {name: str(here / name) for name in files} | {
            "rules": [str(here / "rules"), str(here / "r")], "deployment": [str(here / "deployment")],
        }  # fmt: skip
        assert (run["fail_on"], run["max_time"]) == ("low", 90)
        assert [run[name] for name in ("accept_derived", "no_resolve", "database")] == [True, True, True]


@pytest.mark.parametrize(("given", "shown"), [("90s", "90s"), ("300s", "5m"), ("120m", "2h"), ("61m", "61m")])
def test_a_distance_is_shown_as_people_write_it(given: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schedule", "--systemd", "--every", given]) == 0
    text = capsys.readouterr().out
    assert f"--every {shown}\n" in text
    assert f"OnUnitActiveSec={shown}\n" in text


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "one of the arguments"),
        (["--cron", "--systemd"], "not allowed with"),
        (["--cron", "--watch"], "--watch needs --systemd"),
        (["--cron", "--every", "7m"], "try 5m"),
        (["--systemd", "--force"], "--force is for --install"),
        (["--systemd", "--install", "--remove"], "not allowed with"),
        (["--systemd", "--report", "jsn=/x"], "did you mean json"),
        (["--systemd", "--policy", "a\nb"], "not printable"),
        (["--systemd", "--record", "/srv/run.zip"], "name a folder"),
        (["--systemd", "--sign", "/etc/k"], "add --record FOLDER"),
        (["--systemd", "--max-time", "20m"], "at most 5m"),
    ],
)
def test_what_makes_no_sense_is_refused(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schedule", *options]) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert said.out == ""
