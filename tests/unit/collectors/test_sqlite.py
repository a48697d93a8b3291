"""Tables are read from whatever calls itself a database, and no database can harm its reader."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from airgap_check.collectors import sqlite
from airgap_check.collectors.stored_rows import TableRows, UnreadableError

if TYPE_CHECKING:
    from pathlib import Path


def made(path: Path, *statements: str) -> str:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return str(path)


def read(path: str) -> dict[str, TableRows]:
    return {one.table.name: one for one in sqlite.read(os.getpid(), path, None)}


def test_the_columns_that_a_version_has_are_read(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.db",
        "CREATE TABLE sys_webhook (id, url, active, signing_secret)",
        "INSERT INTO sys_webhook VALUES (7, 'https://a.example/', 1, 'swordfish')",
    )
    tables = read(path)
    assert tables["sys_webhook"].rows == [{"id": "7", "url": "https://a.example/", "active": "1"}]
    assert tables["sys_setting"].missing


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE sys_webhook (id, address)", "has no column url"),
        ("CREATE VIRTUAL TABLE sys_webhook USING fts5(id, url)", "no ordinary table"),
        ("CREATE VIEW sys_webhook AS SELECT 1 AS id, load_extension('x') AS url", "authoriz|no such function|unsafe"),
        ("CREATE VIEW sys_webhook AS SELECT id, url FROM nowhere", "no such table"),
        ("CREATE VIEW sys_webhook AS SELECT 1 AS id, printf('%s', 'x') AS url", "not authorized"),
        (
            """CREATE VIEW sys_webhook AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
            SELECT count(i) AS id, 'x' AS url FROM n""",
            "could not be read within",
        ),
    ],
)  # fmt: skip
def test_a_table_that_is_none_gives_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, said: str
) -> None:
    if "within" in said:  # all others are not waited for
        monkeypatch.setattr(sqlite, "SECONDS", 0.5)
    found = read(made(tmp_path / "a.db", statement))["sys_webhook"]
    assert not found.missing
    assert found.rows == []
    assert any(word in found.reason for word in said.split("|")), found.reason


def test_a_view_in_the_place_of_a_table_is_read_as_the_runtime_reads_it(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.db",
        "CREATE TABLE part (id, url)",
        "INSERT INTO part VALUES ('1', 'https://a.example/')",
        "CREATE VIEW sys_webhook AS SELECT * FROM part",
    )
    assert read(path)["sys_webhook"].rows == [{"id": "1", "url": "https://a.example/"}]


def test_values_of_any_type_are_text(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.db",
        "CREATE TABLE sys_webhook (id, url)",
        "INSERT INTO sys_webhook VALUES (NULL, x'ff00fe'), (1.5, 3), (char(97, 0, 98), '')",
    )
    assert [row["id"] for row in read(path)["sys_webhook"].rows] == [None, "1.5", "a\0b"]


def test_many_rows_are_cut_and_that_is_said(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.db",
        "CREATE TABLE sys_webhook (id, url)",
        "INSERT INTO sys_webhook WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000) "
        "SELECT i, 'https://a.example/' FROM n",
    )
    found = read(path)["sys_webhook"]
    assert len(found.rows) == 5000
    assert "there are more" in found.reason


def test_a_value_that_is_cut_is_said_to_be(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.db",
        "CREATE TABLE sys_webhook (id, url)",
        "INSERT INTO sys_webhook VALUES (1, hex(zeroblob(600000)))",
    )
    assert "longer than" in read(path)["sys_webhook"].reason


def test_a_queue_is_read_by_what_differs(tmp_path: Path) -> None:
    rows = ", ".join("('https://a.example/', 'pending')" for _ in range(50))
    path = made(
        tmp_path / "a.db",
        "CREATE TABLE sys_http_delivery (url, status)",
        f"INSERT INTO sys_http_delivery VALUES {rows}",
    )
    assert len(read(path)["sys_http_delivery"].rows) == 1


def test_an_empty_file_is_no_clean_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    with pytest.raises(UnreadableError, match="is empty"):
        read(str(tmp_path / "a.db"))


def test_a_damaged_schema_gives_a_reason(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db", "CREATE TABLE sys_webhook (id, url)")
    content = bytearray((tmp_path / "a.db").read_bytes())
    content[100:108] = b"\xff" * 8
    (tmp_path / "a.db").write_bytes(content)
    with pytest.raises(UnreadableError, match="malformed"):
        read(path)


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_gets_further_than_a_reason(tmp_path: Path, seed: int) -> None:
    path = made(
        tmp_path / "a.db",
        "CREATE TABLE sys_webhook (id, url)",
        *(f"INSERT INTO sys_webhook VALUES ({number}, 'https://a.example/{'x' * 500}')" for number in range(40)),
    )
    content = bytearray((tmp_path / "a.db").read_bytes())
    for step in range(30):
        content[(seed * 7919 + step * 104729) % len(content)] ^= 1 + (seed + step) % 255
    (tmp_path / "a.db").write_bytes(content)
    with suppress(UnreadableError):
        assert len(read(path)) == 5
