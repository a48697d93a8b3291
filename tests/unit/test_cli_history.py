"""``history`` and ``diff``: what is remembered is shown without touching it, and two reports are told apart."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from airgap_check import cli, reporters
from airgap_check.commands import sparkline
from airgap_check.errors import UsageError
from airgap_check.history import journal
from airgap_check.history.store import Store
from tests.unit.history.judged_reports import at, finding, report, result, results_of

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.finding import Report


@pytest.fixture
def state(tmp_path: Path) -> str:
    path = str(tmp_path / "state")
    judged = [report(0), report(5, results_of(["aaaa", "bbbb"])), report(65, results_of(["bbbb"]))]
    for minute, one in zip((0, 5, 65), judged, strict=True):
        with Store(path) as store:
            entry = journal.begin(store, at(minute))
        with entry.presence, Store(path) as store:
            journal.finish(store, entry, one, at(minute))
    return path


def shown(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    assert cli.main(list(argv)) == code
    return capsys.readouterr().out


def test_runs_are_a_table_and_findings_stand_below(
    state: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("locale.getencoding", lambda: "utf-8")
    lines = shown(capsys, "history", "--state", state).splitlines()
    assert lines[1].split() == ["1", "2026-11-23", "12:00", "snapshot", "COMPLIANT", "0", "0", "0", "-"]
    assert lines[2].split()[4:] == ["NOT", "COMPLIANT", "2", "2", "0", "5m", "0s"]
    assert lines[3].split()[6:] == ["1", "0", "1", "1h", "0m"]
    assert lines[5].endswith("▁█▅")
    assert lines[7] == "1 finding stands"
    assert "since 2026-11-23 12:05  bbbb  connection.not-allowlisted" in lines[8]
    assert lines[9].strip() == "node -> bbbb"
    assert len(shown(capsys, "history", "--state", state, "--limit", "1").splitlines()) == len(lines) - 2


def test_the_table_fits_into_80_columns_whatever_was_found(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(state) as store, store.writing() as connection:
        connection.execute(
            "UPDATE run SET verdict = 'not_compliant', high = 100000, appeared = 99999, resolved = 99999, gap = 863999,"
            " id = id + 99990"
        )
    rows = shown(capsys, "history", "--state", state).splitlines()[:4]
    assert all(len(row) <= 80 for row in rows), rows
    assert rows[3].split()[-5:] == ["100000", "99999", "99999", "9d", "23h"]


def test_a_run_that_is_at_work_or_was_killed_says_so(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(state) as store:
        entry = journal.begin(store, at(70))
        journal.finish(store, entry, report(70), at(70), final=False)
    assert shown(capsys, "history", "--state", state).splitlines()[4].split()[3:6] == ["at", "work", "COMPLIANT"]
    entry.presence.close()
    assert shown(capsys, "history", "--state", state).splitlines()[4].split()[3:5] == ["killed", "COMPLIANT"]
    assert "Run 4: compliant; killed; began 2026-11-23 13:10:00 UTC" in shown(
        capsys, "history", "--plain", "--state", state
    )


def test_for_a_screen_reader_each_line_is_a_statement(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "history", "--plain", "--state", state).splitlines() == [
        "Run 1: compliant; snapshot; began 2026-11-23 12:00:00 UTC; 0 found, 0 new, 0 gone",
        (
            "Run 2: not compliant; snapshot; began 2026-11-23 12:05:00 UTC; 2 found, 2 new, 0 gone;"
            " 5m 0s after an earlier run reported"
        ),
        (
            "Run 3: not compliant; snapshot; began 2026-11-23 13:05:00 UTC; 1 found, 0 new, 1 gone;"
            " 1h 0m after an earlier run reported"
        ),
        "1 finding stands",
        "Finding: node -> bbbb; high, connection.not-allowlisted, since 2026-11-23 12:05, fingerprint bbbb",
    ]


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_in_any_locale_the_bars_are_bars_and_json_is_json(state: str, locale: str) -> None:
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    with Store(state) as store, store.writing() as connection:
        connection.execute("UPDATE finding SET message = 'node -> bücher.example'")

    def printed(*argv: str) -> str:
        command = [sys.executable, "-m", "airgap_check", "history", "--state", state, *argv]
        return subprocess.run(command, capture_output=True, check=True, env=environment).stdout.decode()

    assert ("▁█▅" in printed()) == (locale == "C.UTF-8")
    assert "\\u" not in printed()
    assert [one["message"] for one in json.loads(printed("--json"))["standing"]] == ["node -> bücher.example"]


def test_one_finding_is_shown_by_the_beginning_of_its_fingerprint(
    state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, "history", "aa", "--state", state)
    assert "resolved 2026-11-23 13:05" in text
    assert "in 1 run, came back 0 times" in text
    assert cli.main(["history", "cc", "--state", state]) == 2
    assert cli.main(["history", "a%", "--state", state]) == 2


def test_it_is_there_as_json(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(shown(capsys, "history", "--json", "--state", state))
    assert [run["verdict"] for run in whole["runs"]] == ["compliant", "not_compliant", "not_compliant"]
    assert [one["fingerprint"] for one in whole["standing"]] == ["bbbb"]
    (one,) = json.loads(shown(capsys, "history", "bbbb", "--json", "--state", state))
    assert (one["times"], one["resolved"]) == (2, None)


def test_to_look_makes_no_folder_and_waits_for_nobody(
    state: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["history", "--state", str(tmp_path / "none")]) == 2
    assert "no run was remembered" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    with Store(state) as store, store.writing() as connection:
        connection.execute("DELETE FROM run")
        assert len(json.loads(shown(capsys, "history", "--json", "--state", state))["runs"]) == 3


def test_hostile_text_does_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "state")
    hostile = result("a.rule", finding("aaaa\x1b[2J"))
    with Store(path) as store:
        entry = journal.begin(store, at(0))
        journal.finish(store, entry, report(0, hostile), at(0))
    assert "\x1b" not in shown(capsys, "history", "--state", path)
    assert "\x1b" not in shown(capsys, "history", "aaaa", "--state", path)


def test_a_corrupt_memory_is_said_and_left_alone(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path

    Path(state, "history.sqlite").write_bytes(b"rubbish" * 1000)
    assert cli.main(["history", "--state", state]) == 2
    assert "is corrupt" in capsys.readouterr().err
    assert Path(state, "history.sqlite").read_bytes() == b"rubbish" * 1000


def written(folder: Path, name: str, judged: Report) -> str:
    path = folder / name
    path.write_text(reporters.render("json", judged))
    return str(path)


def test_diff_tells_two_reports_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = written(tmp_path, "old.json", report(0, results_of(["aaaa", "bbbb"])))
    new = written(tmp_path, "new.json", report(5, results_of(["bbbb", "cccc"]), coverage={"sockets": "partial"}))
    text = shown(capsys, "diff", old, new, code=1)
    assert "+ high      cccc  connection.not-allowlisted: node -> cccc" in text
    assert "? high      aaaa" in text, "whoever saw less cannot tell that it is gone"
    assert "unchanged: 1 finding" in text
    assert "sockets: complete -> partial (as the test says)" in text
    assert json.loads(shown(capsys, "diff", "--json", old, new, code=1))["exit_code"] == 1
    shown(capsys, "diff", "--fail-on", "critical", old, new, code=4)
    shown(capsys, "diff", old, old)
    (tmp_path / "bad.json").write_text("{}")
    assert cli.main(["diff", old, str(tmp_path / "bad.json")]) == 2
    assert cli.main(["diff", old, str(tmp_path / "none.json")]) == 2
    capsys.readouterr()
    assert cli.main(["diff", old, "/proc/self/mem"]) == 2, "a medium that fails is no fault of ours"
    assert capsys.readouterr().err == "airgap-check: /proc/self/mem: Input/output error\n"


def test_a_bar_is_as_high_as_its_number_and_what_is_not_nothing_never_looks_like_it() -> None:
    assert sparkline.draw([0, 1, 1000, None, 500]) == "▁▂█ ▅"
    assert sparkline.draw([0, 1, 1000, None, 500], ascii_alone=True) == "_.# ="
    assert sparkline.draw([]) == ""
    assert sparkline.draw([0, 0]) == "▁▁"


def test_a_limit_is_a_number() -> None:
    with pytest.raises((UsageError, SystemExit)):
        cli.build().parse_args(["history", "--limit", "0"])
