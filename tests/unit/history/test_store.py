"""The memory of a host: what was seen stays known, whatever happens to the process that writes it, or to the file."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airgap_check.errors import UsageError
from airgap_check.history import folder
from airgap_check.history.store import Preflight, Sighting, Store

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def sighting(
    digest: str = DIGEST, *, place: str = "1:2/a.json", owner: str = "unit a", when: datetime = NOW
) -> Sighting:
    return Sighting("artifact", owner, place, digest, "/srv/a.json", when, when)


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state")


def test_what_was_seen_is_known_to_the_next_run_with_its_first_and_last_time(state: str) -> None:
    with Store(state) as store:
        store.keep([sighting()])
    with Store(state) as store:
        store.keep([sighting(when=NOW + timedelta(days=1))])
        (known,) = store.at("artifact", "1:2/a.json")
    assert (known.first, known.last) == (NOW, NOW + timedelta(days=1))


def test_a_later_run_with_an_earlier_clock_does_not_make_the_last_time_earlier(state: str) -> None:
    with Store(state) as store:
        store.keep([sighting(), sighting(when=NOW - timedelta(days=1))])
        assert [one.last for one in store.at("artifact", "1:2/a.json")] == [NOW]


def test_every_content_of_a_place_is_known_the_latest_first(state: str) -> None:
    other = "sha256:" + "b" * 64
    with Store(state) as store:
        store.keep([sighting(), sighting(other, when=NOW + timedelta(hours=1)), sighting(place="1:3/a.json")])
        assert [one.digest for one in store.at("artifact", "1:2/a.json")] == [other, DIGEST]
        assert {one.place for one in store.of("artifact", "unit a")} == {
            "1:2/a.json", "1:3/a.json",
        }  # fmt: skip
        assert store.of("artifact", "unit b") == []


def test_a_name_that_is_no_text_is_remembered_like_any_other(state: str) -> None:
    with Store(state) as store:
        store.keep([sighting(place="1:2/\udcff.json")])
        assert len(store.at("artifact", "1:2/\udcff.json")) == 1
        assert store.mishap == ""


def test_the_last_green_preflight_replaces_earlier_ones_and_can_be_forgotten(state: str) -> None:
    with Store(state) as store:
        assert store.preflight() is None
        for hours in (0, 1):
            made = NOW + timedelta(hours=hours)
            store.keep_preflight(Preflight(made, made + timedelta(days=1), f"binding {hours}"))
        assert store.preflight() == Preflight(NOW + timedelta(hours=1), NOW + timedelta(hours=25), "binding 1")
        store.forget_preflight()
        assert store.preflight() is None


def test_folder_and_files_are_for_us_alone(state: str) -> None:
    with Store(state) as store:
        store.keep([sighting()])
        modes = {path.name: path.stat().st_mode & 0o777 for path in Path(state).iterdir()}
    assert Path(state).stat().st_mode & 0o777 == 0o700
    assert modes["history.sqlite"] == 0o600
    assert not any(mode & 0o077 for mode in modes.values()), modes


def test_a_folder_that_others_can_write_to_is_refused(state: str) -> None:
    Path(state).mkdir(mode=0o700)
    Path(state).chmod(0o777)
    with pytest.raises(UsageError, match="others can write to it"):
        Store(state)


def test_a_link_in_place_of_the_file_is_not_followed(state: str, tmp_path: Path) -> None:
    Path(state).mkdir(mode=0o700)
    victim = tmp_path / "victim"
    Path(state, "lock").symlink_to(victim)
    with pytest.raises(UsageError):
        Store(state)
    assert not victim.exists()


@pytest.mark.parametrize("content", [b"not a database at all" * 400, b"SQLite format 3\0" + bytes(5000)])
def test_a_corrupt_file_is_moved_aside_and_that_is_said(state: str, content: bytes) -> None:
    Path(state).mkdir(mode=0o700)
    Path(state, "history.sqlite").write_bytes(content)
    with Store(state) as store:
        assert "has been moved to" in store.mishap
        store.keep([sighting()])
    (aside,) = Path(state).glob("history.sqlite.corrupt-*Z")
    assert aside.read_bytes() == content
    with Store(state) as store:
        assert "has been moved to" in store.mishap, "no run has reported it yet"
        assert len(store.at("artifact", "1:2/a.json")) == 1


def test_a_damaged_page_is_found_when_it_is_opened(state: str) -> None:
    with Store(state) as store:
        store.keep([sighting(place=f"1:{number}/a.json") for number in range(2000)])
    path = Path(state, "history.sqlite")
    damaged = bytearray(path.read_bytes())
    damaged[8192:16384] = os.urandom(8192)
    path.write_bytes(damaged)
    with Store(state) as store:
        assert "was corrupt" in store.mishap


def test_a_file_of_a_later_version_is_refused_and_left_alone(state: str) -> None:
    Store(state).__exit__(None, None, None)
    connection = sqlite3.connect(Path(state, "history.sqlite"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    Path(state, "lock").write_text("sealed 99 in its own way\n")
    with pytest.raises(UsageError, match="another version"):
        Store(state)
    assert not list(Path(state).glob("*.corrupt-*"))


_FORMAT_1 = """
CREATE TABLE sighting (
    kind TEXT NOT NULL, owner TEXT NOT NULL, place TEXT NOT NULL, digest TEXT NOT NULL, path TEXT NOT NULL,
    first TEXT NOT NULL, last TEXT NOT NULL, PRIMARY KEY (kind, owner, place, digest)) WITHOUT ROWID;
CREATE TABLE preflight (made TEXT PRIMARY KEY, until TEXT NOT NULL, binding TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def test_what_the_first_format_remembers_survives(state: str) -> None:
    Path(state).mkdir(mode=0o700)
    connection = sqlite3.connect(Path(state, "history.sqlite"), isolation_level=None)
    connection.executescript(f"PRAGMA journal_mode = WAL;{_FORMAT_1}")
    row = (*sighting()[:5], NOW.isoformat(), NOW.isoformat())
    connection.execute("INSERT INTO sighting VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    connection.execute("INSERT INTO preflight VALUES (?, ?, ?)", (NOW.isoformat(), NOW.isoformat(), "binding"))
    connection.close()
    with Store(state) as store:
        assert store.mishap == ""
        assert store.at("artifact", "1:2/a.json") == [sighting()]
        assert store.preflight() == Preflight(NOW, NOW, "binding")
        assert store.head("archive") is None
    connection = sqlite3.connect(Path(state, "history.sqlite"))
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,), "it can give back what it does not need"
    connection.close()


def test_a_second_run_waits_for_the_first_and_says_so_when_that_does_not_end(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.prepare(state)
    first = folder.locked(state)
    first.__enter__()
    monkeypatch.setattr(folder, "_PATIENCE", 0.1)
    with pytest.raises(UsageError, match="another run of airgap-check holds it"):
        Store(state)
    monkeypatch.setattr(folder, "_PATIENCE", 10.0)
    threading.Timer(0.2, lambda: first.__exit__(None, None, None)).start()
    with Store(state) as second:
        assert second.preflight() is None


def test_a_file_system_that_cannot_lock_is_said_to_be_one(state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(UsageError, match="cannot be locked: No locks available"):
        Store(state)


_WRITER = """
import sys
from datetime import UTC, datetime
from airgap_check.history.store import Sighting, Store
number = 0
while True:
    with Store(sys.argv[1]) as store:
        now = datetime.now(UTC)
        store.keep([Sighting("artifact", "unit a", f"1:{number}/a", "sha256:x", "/a", now, now) for _ in range(3)])
        print(number, flush=True)
        number += 1
"""


def test_killed_at_any_moment_it_has_kept_what_it_said_it_kept(state: str) -> None:
    for round_ in range(8):
        with subprocess.Popen([sys.executable, "-c", _WRITER, state], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            said = [writer.stdout.readline() for _ in range(3)]
            time.sleep(0.003 * round_)
            writer.send_signal(signal.SIGKILL)
            said += writer.stdout.readlines()
        with Store(state) as store:
            assert store.mishap == ""
            last = int([line for line in said if line.endswith("\n")][-1])
            assert store.at("artifact", f"1:{last}/a")
