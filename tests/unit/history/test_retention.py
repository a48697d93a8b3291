"""The memory stays small: a week of minutely runs, and what comes after it."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from airgap_check.history import account, journal, retention, standing
from airgap_check.history.store import Store
from tests.unit.history.judged_reports import at, finding, report, result, results_of


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def run(state: str, minute: float, *results: object) -> None:
    with Store(state) as store:
        entry = journal.begin(store, at(minute))
    with entry.presence, Store(state) as store:
        journal.finish(store, entry, report(minute, *results), at(minute))  # type: ignore[arg-type]


def count(state: str, what: str) -> int:
    connection = sqlite3.connect(Path(state, "history.sqlite"))
    try:
        (number,) = connection.execute(f"SELECT count(*) FROM {what}").fetchone()
        return int(number)
    finally:
        connection.close()


def test_what_runs_repeat_is_kept_once(state: str) -> None:
    for minute in range(20):
        run(state, minute, results_of(["a"]))
    assert (count(state, "run"), count(state, "finding"), count(state, "wording")) == (20, 1, 3)


def test_the_oldest_runs_go_when_there_are_too_many_and_their_texts_with_them(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "RUNS", 10)
    monkeypatch.setattr(retention, "_SLACK", 5)
    for minute in range(40):
        run(state, minute, results_of([f"finding {minute}"]))
        assert count(state, "run") <= 15
    with account.reading(state) as memory:
        assert memory.runs(100)[-1].id == 40


def test_what_is_old_goes_and_what_stands_never_does(state: str) -> None:
    run(state, 0, results_of(["gone", "stands"]))
    run(state, 1, results_of(["stands"]))
    late = retention.AGE / timedelta(minutes=1) + 10
    run(state, late, results_of(["stands"]))
    run(state, late + 1, results_of(["stands"]))
    assert count(state, "run") == 2
    with account.reading(state) as memory:
        assert [one.fingerprint for one in memory.standing()] == ["stands"]
        assert memory.findings("gone") == []


def test_findings_that_are_gone_are_bounded(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "RESOLVED", 10)
    monkeypatch.setattr(retention, "_SLACK", 5)
    for minute in range(30):
        run(state, minute, results_of([f"finding {minute}"]))
    assert count(state, "finding") <= 17


def test_more_findings_than_there_is_room_for_are_counted_and_not_kept(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "MOST", 10)
    run(state, 0, results_of([f"{number}" for number in range(25)]))
    assert count(state, "finding") == 10
    with account.reading(state) as memory:
        assert memory.runs(1)[0].standing == 25


def test_what_is_gone_takes_no_room_from_what_is_new(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "MOST", 10)
    for minute in range(3):
        run(state, minute, results_of([f"{minute}.{number}" for number in range(10)]))
    with account.reading(state) as memory:
        assert [one.appeared for one in memory.runs(3)] == [10, 10, 10]


def test_a_file_shrinks_when_there_is_less_in_it(state: str) -> None:
    path = Path(state, "history.sqlite")
    run(state, 0, result("a.rule", *(finding(f"{number}" * 20) for number in range(8000))))
    great = path.stat().st_size
    run(state, 1, result("a.rule"))
    for later in range(4):
        run(state, retention.AGE / timedelta(minutes=1) * (later + 2), result("a.rule"))
    for later in range(12):
        run(state, retention.AGE / timedelta(minutes=1) * 6 + later, result("a.rule"))
    assert path.stat().st_size < great / 4
