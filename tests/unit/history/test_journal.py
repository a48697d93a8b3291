"""The runs: each is noted before it looks, one that dies is missed, and what changed between two is told once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from airgap_check.errors import UsageError
from airgap_check.evidence import Coverage
from airgap_check.history import account, journal
from airgap_check.history.store import Head, Store
from tests.unit.history.judged_reports import NOON, at, finding, report, result, results_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Finding, Report
    from airgap_check.history.change import Change
    from airgap_check.history.precedent import Moment, Precedent

RULE = "connection.not-allowlisted"


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


@contextmanager
def begun(state: str, now: Moment) -> Iterator[journal.Entry]:
    with Store(state) as store:
        entry = journal.begin(store, now)
    yield entry
    entry.presence.close()


def finished(state: str, entry: journal.Entry, judged: Report, now: Moment, *, final: bool = True) -> Change:
    with Store(state) as store:
        return journal.finish(store, entry, judged, now, final=final)


def ran(state: str, minute: float, *results: object, **changes: object) -> Change:
    """Do a run at a minute that found this."""
    with begun(state, at(minute)) as entry:
        judged = report(minute, *results, **changes)  # type: ignore[arg-type]  # as the callers give them
        return finished(state, entry, judged, at(minute))


def precedent(state: str, now: Moment) -> Precedent:
    with begun(state, now) as entry:
        return entry.precedent


def test_the_first_run_has_nothing_before_it_and_the_second_has_the_first(state: str) -> None:
    with begun(state, at(0)) as entry:
        assert entry.precedent[1:] == (None, (), None, "", 0)
        assert entry.precedent.elapsed is None
        finished(state, entry, report(), at(1))
    second = precedent(state, at(6))
    assert second.heard == at(1)
    assert second.elapsed == 300
    assert second.killed == ()


def test_what_a_run_changes_is_told_once(state: str) -> None:
    first = ran(state, 0, results_of(["a", "b"]))
    assert (first.previous, first.before, first.verdict) == (None, None, "not_compliant")
    assert [one.fingerprint for one in first.appeared] == ["a", "b"]
    second = ran(state, 5, results_of(["b", "c"]))
    assert (second.previous, second.before) == (NOON, "not_compliant")
    assert [one.fingerprint for one in second.appeared] == ["c"]
    assert [one.fingerprint for one in second.resolved] == ["a"]
    third = ran(state, 10, results_of(["b", "c"]))
    assert (third.appeared, third.resolved, third.worth_telling) == ((), (), False)
    fourth = ran(state, 15, results_of([]))
    assert (fourth.before, fourth.verdict) == ("not_compliant", "compliant")
    assert {one.message for one in fourth.resolved} == {"node -> b", "node -> c"}


def test_a_finding_that_comes_back_appears_again_and_keeps_its_first_day(state: str) -> None:
    ran(state, 0, results_of(["a"]))
    ran(state, 5, results_of([]))
    assert [one.fingerprint for one in ran(state, 10, results_of(["a"])).appeared] == ["a"]
    with account.reading(state) as memory:
        (one,) = memory.findings("a")
    assert (one.first, one.last, one.resolved, one.times, one.reopened) == (NOON, at(10).at, None, 2, 1)


@pytest.mark.parametrize(
    ("judged", "coverage", "claim"),
    [
        (result(RULE, outcome="unknown", reason="no sockets evidence"), {"sockets": "complete"}, "snapshot"),
        (result(RULE, outcome="not_applicable", reason="use --observe"), {"sockets": "complete"}, "snapshot"),
        (result(RULE), {"sockets": "partial"}, "snapshot"),
        (result(RULE), {"environment": "complete"}, "snapshot"),
        (result(RULE, finding("z"), reason="could not decide 1: a"), {"sockets": "complete"}, "snapshot"),
        (result("connection.multicast"), {"sockets": "complete"}, "observed"),
    ],
)
def test_what_could_not_be_decided_again_is_not_resolved(
    state: str, judged: object, coverage: dict[str, str], claim: str
) -> None:
    ran(state, 0, results_of(["a"]))
    assert ran(state, 5, judged, coverage=coverage, claim=claim).resolved == ()
    with account.reading(state) as memory:
        assert "a" in [one.fingerprint for one in memory.standing()]
    assert "a" in [one.fingerprint for one in ran(state, 10, results_of([])).resolved]


def test_what_only_an_observer_saw_is_not_resolved_by_a_snapshot(state: str) -> None:
    seen = {"sockets": "complete", "attempts": "complete"}
    ran(state, 0, result(RULE, finding("a", seen="attempts")), coverage=seen, claim="observed")
    assert ran(state, 5, result(RULE)).resolved == ()
    assert len(ran(state, 10, result(RULE), coverage=seen, claim="observed").resolved) == 1


def test_what_this_host_had_is_not_resolved_by_a_run_inside_a_part_of_it(state: str) -> None:
    ran(state, 0, results_of(["a"]))
    assert ran(state, 5, result(RULE), relaxed_by=("cgroup /sys/fs/cgroup/a",)).resolved == ()
    ran(state, 6, results_of(["b"]), relaxed_by=("cgroup /sys/fs/cgroup/a",))
    assert {one.fingerprint for one in ran(state, 10, result(RULE)).resolved} == {"a", "b"}


def test_other_deployment_files_resolve_nothing_that_was_in_these(state: str) -> None:
    def files(path: str) -> dict[str, Coverage]:
        return {
            "deployment": Coverage(
                collector="deployment", status="complete", scope=path, reason="", counts={}, lost=0, blind=()
            )
        }

    ran(state, 0, result("deployment.malformed", finding("a", seen="deployment")), coverage=files("/srv/a"))
    assert ran(state, 5, result("deployment.malformed"), coverage=files("/srv/b")).resolved == ()
    assert len(ran(state, 6, result("deployment.malformed"), coverage=files("/srv/a")).resolved) == 1


def test_a_waived_finding_neither_appears_nor_stands_until_its_waiver_ends(state: str) -> None:
    waived = result(RULE, finding("a", waived_by="a waiver"))
    assert ran(state, 0, waived).appeared == ()
    with account.reading(state) as memory:
        assert memory.standing() == []
    assert len(ran(state, 5, result(RULE, finding("a"))).appeared) == 1
    back = ran(state, 10, waived)
    assert (back.appeared, back.resolved) == ((), ())
    assert ran(state, 15, result(RULE)).resolved == ()


def test_a_finding_that_became_graver_is_told_once_more(state: str) -> None:
    ran(state, 0, result(RULE, finding("a"), severity="medium"))
    assert len(ran(state, 5, result(RULE, finding("a"))).appeared) == 1
    assert ran(state, 10, result(RULE, finding("a"), severity="low")).appeared == ()


def test_every_time_in_which_nobody_looked_is_told_once(state: str) -> None:
    def gap(message: str) -> Finding:
        return structs.replace(finding("no-run", kind="interruption"), message=message)

    for minute, message, told in ((0, "first", 1), (5, "first", 0), (10, "second", 1)):
        judged = result("continuity.missed-run", gap(message))
        assert len(ran(state, minute, judged, coverage={"continuity": "complete"}).appeared) == told


def test_verdicts_are_compared_with_runs_that_looked_alike(state: str) -> None:
    ran(state, 0, results_of([]))
    watched = ran(state, 1, results_of([]), claim="observed", verdict="inconclusive")
    assert (watched.previous, watched.before) == (None, None)
    assert ran(state, 2, results_of([])).before == "compliant"


def test_a_collector_that_saw_less_than_last_time_is_named(state: str) -> None:
    ran(state, 0, results_of([]), coverage={"sockets": "complete", "upgrade": "complete", "state": "partial"})
    less = ran(state, 5, results_of([]), coverage={"sockets": "partial", "state": "partial"})
    assert less.blinded == ("sockets: partial: as the test says", "upgrade: was not looked at")
    again = ran(state, 10, results_of([]), coverage={"sockets": "partial", "state": "partial"})
    assert again.blinded == ()


def test_a_run_that_never_came_to_its_end_is_told_by_the_next_that_does(state: str) -> None:
    with begun(state, at(0)):
        pass
    for minute in (5, 6):  # the one at 5 dies, too
        with begun(state, at(minute)) as entry:
            assert at(0) in entry.precedent.killed
    with begun(state, at(7)) as entry:
        assert set(entry.precedent.killed) == {at(0), at(5), at(6)}
        finished(state, entry, report(7), at(7))
    assert precedent(state, at(8)).killed == ()


def test_a_run_at_work_is_not_taken_for_a_killed_one(state: str) -> None:
    ran(state, -60)
    with begun(state, at(0)):
        there = precedent(state, at(5))
        assert (there.killed, there.company) == ((), NOON)
    assert precedent(state, at(6)).killed


def test_two_runs_at_once_are_two_lines_whoever_ends_first(state: str) -> None:
    with begun(state, at(0)) as long, begun(state, at(1)) as short:
        assert short.number != long.number
        finished(state, short, report(1, results_of(["a"])), at(1))
        change = finished(state, long, report(2, results_of(["a", "b"])), at(2))
    assert [one.fingerprint for one in change.appeared] == ["b"]
    with account.reading(state) as memory:
        assert [(run.id, run.heard) for run in memory.runs(10)] == [(1, at(2).at), (2, at(1).at)]


def test_a_run_that_reports_and_goes_on_is_known_up_to_its_last_report(state: str) -> None:
    with begun(state, at(0)) as entry:
        assert finished(state, entry, report(10, results_of(["a"])), at(10), final=False).previous is None
        second = finished(state, entry, report(20, results_of(["a"])), at(20), final=False)
        assert (second.previous, second.appeared) == (at(10).at, ())
        with account.reading(state) as memory:
            (run,) = memory.runs(10)
        assert (run.heard, run.finished, run.alive) == (at(20).at, None, True)
    after = precedent(state, at(30))
    assert after.heard == at(20)
    assert after.killed == (at(20),)


def test_a_disk_that_is_full_when_it_begins_does_not_keep_it_from_being_remembered_later(state: str) -> None:
    with Store(state) as store:
        store.unwritable = "the disk is full"
        entry = journal.begin(store, at(0))
    assert (entry.number, entry.trouble) == (None, "the disk is full")
    finished(state, entry, report(), at(0))
    entry.presence.close()
    assert precedent(state, at(5)).heard == at(0)


def test_a_memory_that_was_lost_is_told_until_a_run_has_reported_it(state: str) -> None:
    ran(state, 0)
    Path(state, "history.sqlite").unlink()
    for _ in range(2):
        assert "has gone: earlier runs are forgotten" in precedent(state, at(5)).mishap
    assert ran(state, 6).previous is None
    assert precedent(state, at(7)).mishap == ""


def test_a_run_whose_memory_was_lost_meanwhile_takes_nobody_elses_line(state: str) -> None:
    with begun(state, at(0)) as entry:
        Path(state, "history.sqlite").write_bytes(b"rubbish" * 1000)
        ran(state, 1, results_of(["a"]))
        Path(state, "history.sqlite").write_bytes(b"rubbish" * 1000)
        finished(state, entry, report(2, results_of(["b"])), at(2))
    with account.reading(state) as memory:
        assert [run.heard for run in memory.runs(10)] == [at(2).at]
    assert "was corrupt" in precedent(state, at(3)).mishap, "the run had begun before, and cannot have said so"
    assert len(list(Path(state).glob("history.sqlite.corrupt-*"))) == 2


def test_the_head_of_a_chain_is_kept(state: str) -> None:
    with Store(state) as store:
        assert store.head("archive") is None
        store.set_head("archive", Head("a" * 64, 1))
        store.set_head("archive", Head("b" * 64, 2))
    with Store(state) as store:
        assert store.head("archive") == Head("b" * 64, 2)


def test_killed_at_any_moment_nothing_is_half_and_every_kill_is_told(state: str) -> None:
    ran(state, 0)
    chance, told = random.Random(5), 0
    at_work, says = os.pipe()
    for number in range(200):
        child = os.fork()
        if child == 0:  # pragma: no cover  # it is killed before anybody could write down what it did
            with suppress(BaseException):
                os.write(says, b".")
                _work_for_ever(state, number, says if number % 2 else None)
            os._exit(1)
        os.read(at_work, 1)  # on a busy host it takes a while until it is at work
        if number % 2:  # every other one when it has begun: chance alone would hardly hit that on a busy host
            os.read(at_work, 1)
        time.sleep(chance.random() * (0.002 if number % 2 else 0.02))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the child failed by itself"
        with Store(state) as store:
            assert store.mishap == ""
        _has_only_whole_runs(state)
        with begun(state, at(number)) as entry:
            told += len(entry.precedent.killed)
            finished(state, entry, report(number), at(number))
    assert told > 20, "hardly any run was killed while it was at work"
    os.close(at_work)
    os.close(says)


def _work_for_ever(state: str, number: int, says: int | None) -> None:
    while True:
        with begun(state, at(number)) as entry:
            if says is not None:
                os.write(says, b".")
                says = None
            finished(state, entry, report(number, results_of([f"{number}.{one}" for one in range(20)])), at(number))


def _has_only_whole_runs(state: str) -> None:
    connection = sqlite3.connect(Path(state, "history.sqlite"))
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        half = "SELECT count(*) FROM run WHERE finished IS NOT NULL AND (verdict IS NULL OR coverage IS NULL)"
        assert connection.execute(half).fetchone() == (0,)
        twenties = "SELECT count(*) FROM finding GROUP BY substr(fingerprint, 1, instr(fingerprint, '.'))"
        assert set(connection.execute(twenties)) <= {(20,)}
    finally:
        connection.close()


def test_random_bytes_in_the_file_are_met_with_a_new_memory_or_leave_the_old_one_as_it_was(state: str) -> None:
    chance, told = random.Random(11), 0
    path = Path(state, "history.sqlite")
    for minute in range(40):
        ran(state, minute, results_of([f"{minute}.{one}" for one in range(30)]))
    whole = path.read_bytes()
    for number in range(60):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 40)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            with begun(state, at(100 + number)) as entry:
                lost = bool(entry.precedent.mishap)
                change = finished(state, entry, report(100 + number, results_of(["new"])), at(100 + number))
        except UsageError as error:
            assert "another version" in str(error)  # noqa: PT017  (one of two good ends)
            path.unlink()
            continue
        later = precedent(state, at(101 + number))
        asides = list(Path(state).glob("history.sqlite.corrupt-*"))
        if lost or later.mishap:
            told += 1
            assert asides
        else:
            assert change.previous is not None
            assert later.runs == 41
        for aside in asides:
            aside.unlink()
        for left in Path(state).glob("history.sqlite*"):
            left.unlink()
    assert told > 10


def test_text_that_no_file_can_hold_does_not_cost_the_memory(state: str) -> None:
    ran(state, 0, results_of(["a"]))
    hostile = finding("b")
    hostile = structs.replace(hostile, message="\udcff\x00\x1b[2J", subject="\ud800")
    change = ran(state, 1, result(RULE, finding("a"), hostile), reasons=("\udcff",))
    assert [one.fingerprint for one in change.appeared] == ["b"]
    with account.reading(state) as memory:
        assert len(memory.runs(10)) == 2
        assert all(one.message.isprintable() for one in memory.standing())
