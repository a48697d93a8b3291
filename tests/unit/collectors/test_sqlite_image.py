"""An image of a database is what SQLite itself would have read at that moment, and its files stay as they are."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap_check.collectors import sqlite_image
from airgap_check.collectors.sqlite_image import ImageError, overlay, read

if TYPE_CHECKING:
    from pathlib import Path

US = os.getpid()
STEPS = st.lists(
    st.tuples(st.sampled_from(["insert", "delete", "vacuum", "checkpoint", "grow"]), st.integers(0, 40)), max_size=25
)


def rows_of(data: bytes | bytearray) -> list[tuple[int, object]]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(data)
        return connection.execute("SELECT id, body FROM t ORDER BY id").fetchall()
    finally:
        connection.close()


def in_wal(path: Path, page_size: int = 4096) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA page_size = {page_size}")
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB)")
    return connection


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, page_size=st.sampled_from([512, 1024, 4096, 65536]))
def test_an_image_holds_what_sqlite_reads(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], page_size: int
) -> None:
    path = tmp_path_factory.mktemp("database") / "a.db"
    connection = in_wal(path, page_size)
    try:
        for step, number in steps:
            if step == "insert":
                connection.execute("INSERT OR REPLACE INTO t VALUES (?, ?)", (number, bytes(number * 100)))
            elif step == "grow":
                connection.execute("INSERT INTO t(body) SELECT zeroblob(3000) FROM json_each(?)", (str([0] * number),))
            elif step == "delete":
                connection.execute("DELETE FROM t WHERE id >= ?", (number,))
            elif step == "vacuum":
                connection.execute("VACUUM")
            else:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            image = read(US, str(path), None)
            assert rows_of(image.data) == connection.execute("SELECT id, body FROM t ORDER BY id").fetchall()
            assert image.doubt == ""
    finally:
        connection.close()


def test_reading_leaves_no_trace_beside_a_log_of_a_runtime_that_has_gone(tmp_path: Path) -> None:
    connection = in_wal(tmp_path / "live.db")
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    folder = tmp_path / "left"
    folder.mkdir()
    for name in ("live.db", "live.db-wal"):
        (folder / name).write_bytes((tmp_path / name).read_bytes())
    connection.close()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert rows_of(read(US, str(folder / "live.db"), None).data) == [(1, "x")]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_transaction_that_was_not_committed_is_not_in_it(tmp_path: Path) -> None:
    connection = in_wal(tmp_path / "a.db")
    connection.execute("PRAGMA cache_size = 1")  # so that pages go to the log before the commit
    connection.execute("INSERT INTO t VALUES (1, 'x')")
    connection.execute("BEGIN")
    connection.execute("INSERT INTO t(body) SELECT zeroblob(3000) FROM json_each(?)", (str([0] * 200),))
    size = (tmp_path / "a.db-wal").stat().st_size
    assert size > 100_000, "nothing of it has reached the log, so this shows nothing"
    assert rows_of(read(US, str(tmp_path / "a.db"), None).data) == [(1, "x")]
    connection.close()


@given(place=st.integers(0, 20_000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_log_with_a_flipped_bit_ends_before_it(
    tmp_path_factory: pytest.TempPathFactory, place: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("database")
    connection = in_wal(folder / "a.db")
    for number in range(4):
        connection.execute("INSERT INTO t VALUES (?, 'x')", (number,))
    log = bytearray((folder / "a.db-wal").read_bytes())
    connection.close()
    whole = overlay(bytearray(), log)
    log[place % len(log)] ^= 1 << bit
    assert overlay(bytearray(), log) < whole


@given(log=st.binary(max_size=4096))
def test_no_log_is_too_strange(log: bytes) -> None:
    data = bytearray(b"unchanged")
    assert overlay(data, log) == 0
    assert data == b"unchanged"


def test_a_rollback_journal_leaves_a_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_image, "_PAUSE", 0.0)
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB)")
    connection.commit()
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("INSERT INTO t(body) SELECT zeroblob(3000) FROM json_each(?)", (str([0] * 200),))
    assert "half of a transaction" in read(US, str(tmp_path / "a.db"), None).doubt
    connection.rollback()
    assert read(US, str(tmp_path / "a.db"), None).doubt == ""
    connection.close()


def test_what_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(os.urandom(8192))
    with pytest.raises(ImageError, match="not an SQLite database, or an encrypted one"):
        read(US, str(tmp_path / "a.db"), None)


def test_a_database_that_is_too_big_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0" + bytes(4096))
    with pytest.raises(OSError, match="more than the 0 MiB"):
        read(US, str(tmp_path / "a.db"), None, limit=4096)


def test_the_deadline_ends_it(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0" + bytes(4096))
    with pytest.raises(ImageError, match="time limit"):
        read(US, str(tmp_path / "a.db"), 0.0)


def test_the_log_of_a_database_behind_a_link_lies_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("a.db")
    connection = in_wal(tmp_path / "a.db")
    try:
        connection.execute("INSERT INTO t VALUES (1, 'only in the log')")
        assert rows_of(read(US, str(tmp_path / "link.db"), None).data) == [(1, "only in the log")]
    finally:
        connection.close()
