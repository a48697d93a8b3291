"""The memory is as the last run left it, or somebody hears of it: whatever byte is another one, whichever file is."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from airgap_check.errors import UsageError
from airgap_check.history import account, folder, journal
from airgap_check.history.store import Store
from tests.unit.history.judged_reports import at, report, results_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airgap_check.history.precedent import Precedent

MEMORY = "history.sqlite"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A memory of three runs."""
    place = tmp_path / "state"
    for minute in range(3):
        run(place, minute)
    return place


def run(state: Path, minute: int) -> Precedent:
    """Do a run, and return what it found when it began."""
    with Store(str(state)) as store:
        entry = journal.begin(store, at(minute))
    with entry.presence, Store(str(state)) as store:
        journal.finish(store, entry, report(minute, results_of([f"{minute}.{one}" for one in range(20)])), at(minute))
    return entry.precedent


@pytest.fixture
def killed(state: Path, tmp_path: Path) -> Path:
    """The same memory as it lies there after a fourth run was killed: what that wrote is in the log alone."""
    place = tmp_path / "killed"
    with Store(str(state)) as store:
        entry = journal.begin(store, at(3))
        journal.finish(store, entry, report(3, results_of(["last"])), at(3))
        shutil.copytree(state, place)
    entry.presence.close()
    return place


def flipped(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def copies(of: Path, count: int) -> Iterator[Path]:
    for number in range(count):
        place = of.parent / f"copy {number}"
        shutil.copytree(of, place)
        yield place
        shutil.rmtree(place)


def test_any_flipped_bit_of_the_file_is_told(state: Path) -> None:
    chance = random.Random(3)
    for place in copies(state, 60):
        flipped(place / MEMORY, chance)
        with pytest.raises(UsageError, match="is corrupt"), account.reading(str(place)):
            pass
        assert "was corrupt (its content is not what the last run left)" in run(place, 9).mishap
        assert run(place, 10).mishap == ""
        assert list(place.glob(f"{MEMORY}.corrupt-*"))


def test_a_flipped_bit_of_the_log_that_a_killed_run_left_is_told_or_changes_nothing(killed: Path) -> None:
    chance, told = random.Random(4), 0
    for place in copies(killed, 60):
        flipped(place / f"{MEMORY}-wal", chance)
        found = run(place, 9)
        told += bool(found.mishap)
        assert found.mishap or (found.runs, found.heard) == (4, at(3))
    assert told > 20


def test_a_log_that_has_gone_after_a_kill_is_told_and_the_rest_is_kept(killed: Path) -> None:
    (killed / f"{MEMORY}-wal").unlink()
    found = run(killed, 9)
    assert "has lost its last 2 changes: what runs wrote then is forgotten" in found.mishap
    assert found.runs == 3
    assert run(killed, 10).mishap == ""


def test_what_a_killed_run_left_in_the_log_is_kept_without_a_word(killed: Path) -> None:
    found = run(killed, 9)
    assert (found.mishap, found.runs, found.heard) == ("", 4, at(3))


def test_an_earlier_copy_that_is_put_back_is_told(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copy(state / MEMORY, copy)
    run(state, 3)
    shutil.copy(copy, state / MEMORY)
    assert "was corrupt" in run(state, 9).mishap


def test_a_flipped_bit_of_the_seal_is_told_or_changes_nothing(state: Path) -> None:
    chance = random.Random(5)
    for place in copies(state, 60):
        flipped(place / "lock", chance)
        found = run(place, 9)
        assert found.mishap or (found.runs, found.heard) == (3, at(2))


@pytest.mark.parametrize("gone", [[MEMORY], [MEMORY, "lock"]])
def test_a_memory_that_was_deleted_is_missed(state: Path, gone: list[str]) -> None:
    for name in gone:
        (state / name).unlink()
    assert "has gone: earlier runs are forgotten" in run(state, 9).mishap
    assert run(state, 10).mishap == ""


@pytest.mark.parametrize("gone", [["lock"], ["running"], ["lock", "running"]])
def test_without_the_files_beside_it_the_memory_is_what_it_was(state: Path, gone: list[str]) -> None:
    for name in gone:
        (state / name).unlink()
    found = run(state, 9)
    assert (found.mishap, found.runs) == ("", 3)


@pytest.mark.parametrize("name", [MEMORY, "lock", "running"])
def test_a_link_in_place_of_a_file_is_refused(state: Path, tmp_path: Path, name: str) -> None:
    (state / name).rename(tmp_path / "elsewhere")
    (state / name).symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    with pytest.raises(UsageError):
        run(state, 9)
    assert (tmp_path / "elsewhere").read_bytes() == before
    if name == MEMORY:
        with pytest.raises(UsageError, match="is no regular file"), account.reading(str(state)):
            pass


def test_to_look_breaks_no_seal(state: Path) -> None:
    sealed = (state / "lock").read_text()
    assert sealed.startswith("sealed ")
    with account.reading(str(state)) as memory:
        memory.runs(10)
    with Store(str(state)) as store:
        assert store.preflight() is None
    assert (state / "lock").read_text() == sealed


@pytest.mark.parametrize("number", ["9" * 19, "9" * 100, "-1", "", "2e3"])
def test_rubbish_in_the_lock_is_no_memory_of_ours_and_stops_nobody(state: Path, number: str) -> None:
    (state / "lock").write_text(f"kept {number}\n")
    found = run(state, 9)
    assert (found.mishap, found.runs) == ("", 3)
    assert run(state, 10).mishap == ""


def test_a_seal_of_a_later_version_is_left_alone(state: Path) -> None:
    with sqlite3.connect(state / MEMORY) as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    theirs = (state / "lock").read_text().replace("sealed 2", "sealed 3")
    (state / "lock").write_text(theirs)
    with pytest.raises(UsageError, match="written by another version"):
        run(state, 9)
    assert (state / "lock").read_text() == theirs


def test_what_cannot_be_opened_is_never_sealed(state: Path) -> None:
    kept = (state / MEMORY).read_bytes()
    (state / MEMORY).unlink()
    os.mkfifo(state / MEMORY)
    (state / "lock").write_text("kept 6\n")
    with pytest.raises(UsageError, match="is no regular file"):
        run(state, 9)
    assert not (state / "lock").read_text().startswith("sealed")
    (state / MEMORY).unlink()
    (state / MEMORY).write_bytes(kept)
    assert run(state, 9).mishap == ""


def test_a_log_that_somebody_laid_beside_a_sealed_memory_changes_nothing(state: Path) -> None:
    forged = sqlite3.connect(state / MEMORY, isolation_level=None)
    forged.execute("PRAGMA wal_autocheckpoint = 0")
    forged.execute("DELETE FROM run")
    log = (state / f"{MEMORY}-wal").read_bytes()
    assert log
    kept = (state / MEMORY).read_bytes()
    forged.close()
    (state / MEMORY).write_bytes(kept)
    (state / f"{MEMORY}-wal").write_bytes(log)
    found = run(state, 9)
    assert (found.mishap, found.runs) == ("", 3)


def test_a_log_does_not_hide_that_the_memory_beside_it_is_another_one(state: Path) -> None:
    content = (state / MEMORY).read_bytes()
    (state / MEMORY).write_bytes(content.replace(b"node 1.7", b"node 1.8"))
    (state / f"{MEMORY}-wal").write_bytes(b"x")
    assert "was corrupt" in run(state, 9).mishap


@pytest.mark.parametrize(("name", "kind"), [("lock", "pipe"), ("lock", "folder"), ("running", "folder")])
def test_what_is_no_file_in_place_of_one_is_refused_and_what_is_remembered_can_be_read(
    state: Path, name: str, kind: str
) -> None:
    (state / name).unlink()
    os.mkfifo(state / name) if kind == "pipe" else (state / name).mkdir()
    with pytest.raises(UsageError, match=r"is no regular file|Is a directory"):
        run(state, 9)
    with account.reading(str(state)) as memory:
        assert len(memory.runs(9)) == 3


def test_a_pipe_in_place_of_the_file_of_who_is_at_work_holds_nobody_up(state: Path) -> None:
    (state / "running").unlink()
    os.mkfifo(state / "running")
    with Store(str(state)) as store, journal.begin(store, at(9)).presence, account.reading(str(state)) as memory:
        assert memory.runs(1)[0].finished is None


def test_whoever_waited_for_a_lock_that_was_deleted_meanwhile_takes_the_new_one(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        stack.enter_context(folder.locked(str(state)))

        def deleted_and_let_go(_: float) -> None:
            (state / "lock").unlink()
            stack.close()

        monkeypatch.setattr(time, "sleep", deleted_and_let_go)
        with folder.locked(str(state)) as second:
            assert os.fstat(second).st_ino == (state / "lock").stat().st_ino


def test_a_time_without_a_zone_was_not_written_by_us(state: Path) -> None:
    with sqlite3.connect(state / MEMORY) as connection:
        connection.execute("UPDATE run SET heard = '2026-11-23T12:00:00'")
    connection.close()
    (state / "lock").unlink()  # nobody says that it is sealed
    assert "was corrupt" in run(state, 9).mishap
