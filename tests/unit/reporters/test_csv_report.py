"""The table: RFC 4180 to a strict reader and to SQLite, and no cell that a spreadsheet takes for a formula."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from airgap_check.reporters import csv_report
from tests import formats
from tests.reports import compliant, inconclusive, sample
from tests.verdicts import FAILING, TEXTS, saying

if TYPE_CHECKING:
    from airgap_check.finding import Report

BEGINS = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")


def read(report: Report) -> list[dict[str, str]]:
    return formats.table(csv_report.render(report))


@pytest.mark.parametrize("report", [sample(), compliant(), inconclusive()], ids=["sample", "compliant", "inconclusive"])
def test_there_is_a_row_for_the_verdict_for_each_finding_and_for_each_rule_that_is_not_settled(report: Report) -> None:
    rows = read(report)
    assert [row["outcome"] for row in rows if row["row"] == "verdict"] == [report.verdict]
    assert [row["fingerprint"] for row in rows if row["row"] == "finding"] == [
        finding.fingerprint for result in report.results for finding in result.findings
    ]
    assert [(row["rule"], row["outcome"], row["count"]) for row in rows if row["row"] == "rule"] == [
        (result.rule, result.outcome, str(len(result.findings)))
        for result in report.results
        if result.findings or result.outcome == "unknown"
    ]
    assert {row["host"] for row in rows} == {"app1.bank.example"}


def test_a_finding_says_who_from_where_to_where_and_who_accepts_it() -> None:
    rows = read(sample())
    (row,) = (row for row in rows if row["remote_address"] == "93.184.216.34" and row["rule"] == FAILING)
    assert (row["remote_port"], row["protocol"], row["process"], row["pid"]) == ("443", "tcp", "curl", "977")
    assert (row["severity"], row["state"], row["workload"]) == ("critical", "failing", "container web")
    (rule,) = (row for row in rows if row["row"] == "rule" and row["rule"] == FAILING)
    assert (rule["state"], rule["controls"][:12]) == ("failing", "nist-800-53:")
    assert "explain ADDRESS:PORT" in rule["remediation"]
    (waived,) = (row for row in rows if row["state"] == "waived")
    assert waived["waived_by"].startswith("waiver 1: ")
    (unit, *_) = (row for row in rows if row["rule"] == "environment.cloud-url-set" and row["row"] == "finding")
    assert (unit["path"], unit["line"]) == ("/etc/systemd/system/objectos.service", "7")


def test_sqlite_holds_what_was_found() -> None:
    rows = read(sample())
    with closing(sqlite3.connect(":memory:")) as database:
        names = ", ".join(f'"{name}"' for name in csv_report.COLUMNS)
        database.execute(f"CREATE TABLE report ({names})")
        database.executemany(
            f"INSERT INTO report VALUES ({', '.join('?' * len(csv_report.COLUMNS))})",
            [tuple(row.values()) for row in rows],
        )
        query = "SELECT count(*) FROM report WHERE \"row\" = 'finding' AND state = 'failing'"
        assert database.execute(query).fetchone() == (
            sum(row["state"] == "failing" for row in rows if row["row"] == "finding"),
        )


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "\uff1d1", "a;=1", "x; @y", "\r=1"])
def test_no_cell_begins_as_a_formula_nor_a_part_of_one_where_a_semicolon_separates(text: str) -> None:
    for row in read(saying(text)):
        for name, cell in row.items():
            for part in cell.split(";"):
                assert not part.strip().startswith(BEGINS), (name, cell)


def test_no_cell_is_longer_than_a_spreadsheet_takes() -> None:
    assert max(len(cell) for row in read(saying("x" * 40_000)) for cell in row.values()) < 32_767


def test_what_is_no_formula_stays_as_it_is() -> None:
    (row, _) = (row for row in read(saying("a - b = c")) if row["rule"] == FAILING and row["row"] == "finding")
    assert row["message"] == "a - b = c"


@given(TEXTS)
def test_whatever_the_host_says_the_table_has_the_same_rows(text: str) -> None:
    rows = read(saying(text))
    assert [row["row"] for row in rows] == [row["row"] for row in read(saying("x"))]
    for row in rows:
        assert not any(cell.lstrip().startswith(BEGINS) for cell in row.values())
