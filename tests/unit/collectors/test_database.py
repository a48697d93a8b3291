"""The database of a runtime is examined, or it is said why not; no server is dialled that nobody approved."""

from __future__ import annotations

import os
import pwd
import sqlite3
from typing import TYPE_CHECKING

import pytest

from airgap_check.collectors import database
from airgap_check.collectors.installations import Installation
from airgap_check.evidence.asset import Check, Reference
from airgap_check.evidence.fact import Endpoint, Process

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.evidence import Evidence


def installation(folder: Path | None, product: str = "@objectstack/cli", **settings: str) -> Installation:
    process = Process(pid=os.getpid(), name="node")
    home = str(folder) if folder else None
    netns = os.stat("/proc/self/ns/net").st_ino
    return Installation(os.getpid(), process, None, product, "17.4.0", home, home, settings, netns)


def collect(*installations: Installation, approved: bool = False) -> Evidence:
    return database.collect(installations, lambda _: approved, None)


def with_webhook(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE sys_webhook (id, url, active)")
    connection.execute("INSERT INTO sys_webhook VALUES ('k1', 'https://hooks.partner.example/in', 1)")
    connection.commit()
    connection.close()


def test_a_row_is_told_with_its_table_and_column(tmp_path: Path) -> None:
    with_webhook(tmp_path / "data.db")
    evidence = collect(installation(tmp_path, OS_DATABASE_URL="file:./data.db"))
    (found,) = evidence.of(Reference)
    assert (found.path, found.pointer, found.role, found.seen) == ("sys_webhook", "row[k1].url", "webhook", "database")
    assert evidence.status == "complete", evidence.reason
    assert {one.outcome for one in evidence.of(Check)} == {"passed"}
    assert evidence.counts == {"databases": 1, "tables": 1, "rows": 1}


def test_the_default_database_is_found_where_no_setting_names_one(tmp_path: Path) -> None:
    with_webhook(tmp_path / ".objectstack" / "data" / "objectstack.db")
    assert len(list(collect(installation(tmp_path)).of(Reference))) == 1


def test_the_database_of_two_processes_is_read_once(tmp_path: Path) -> None:
    with_webhook(tmp_path / "data.db")
    (tmp_path / "link.db").symlink_to("data.db")
    two = (installation(tmp_path, OS_DATABASE_URL=f"file:{name}.db") for name in ("data", "link"))
    assert len(list(collect(*two).of(Reference))) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:nowhere.db", "is not there"),
        ("memory://", "memory, which cannot be examined"),
        ("mysql://os:swordfish@db.bank.example/crm", "mysql is not read"),
        ("mongodb://os:swordfish@db.bank.example/crm", "mongodb is not read"),
        ("libsql://x.turso.io?authToken=swordfish", "libsql is not read"),
        ("postgres://os:swordfish@db.bank.example/crm", "does not approve its server"),
        ("postgres://os:swordfish@10.20.0.5/crm", "does not approve its server"),
        ("postgres:///crm", "Unix socket"),
    ],
)
def test_what_cannot_be_examined_leaves_the_evidence_partial(tmp_path: Path, url: str, said: str) -> None:
    evidence = collect(installation(tmp_path, OS_DATABASE_URL=url))
    assert evidence.status == "partial"
    assert said in evidence.reason
    assert [one.outcome for one in evidence.of(Check)] == ["unknown"]
    assert "swordfish" not in repr(evidence)


def test_a_server_whose_name_nobody_resolved_is_not_asked_for(tmp_path: Path) -> None:
    url = "postgres://os:swordfish@db.bank.example/crm"
    evidence = collect(installation(tmp_path, OS_DATABASE_URL=url), approved=True)
    assert "db.bank.example was not resolved, and is not asked for here" in evidence.reason


def test_without_a_home_the_default_lies_where_the_passwd_file_says() -> None:
    assert f"{pwd.getpwuid(os.getuid()).pw_dir}/.objectstack/data" in collect(installation(None)).reason


def test_where_the_default_lies_cannot_be_told_without_a_working_directory() -> None:
    assert "cannot be told" in collect(installation(None, OS_HOME="state")).reason


def test_a_database_without_any_table_of_a_runtime_is_not_the_one_that_was_meant(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db")
    connection.execute("CREATE TABLE customer (id)")
    connection.close()
    evidence = collect(installation(tmp_path, OS_DATABASE_URL="file:a.db"))
    assert evidence.status == "partial"
    assert "none of the tables that a runtime makes" in evidence.reason


def test_every_server_of_a_url_must_be_approved(tmp_path: Path) -> None:
    asked: list[Endpoint] = []

    def approves(end: Endpoint) -> bool:
        asked.append(end)
        return end.name == "db1.bank.example"

    url = "postgres://os@db1.bank.example,db2.bank.example/crm"
    evidence = database.collect([installation(tmp_path, OS_DATABASE_URL=url)], approves, None)
    assert "does not approve" in evidence.reason
    assert [end.port for end in asked] == [5432, 5432]


def test_the_time_limit_leaves_the_evidence_partial(tmp_path: Path) -> None:
    with_webhook(tmp_path / "data.db")
    evidence = database.collect([installation(tmp_path, OS_DATABASE_URL="file:data.db")], lambda _: True, 0.0)
    assert evidence.status == "partial"
    assert "time limit" in evidence.reason
