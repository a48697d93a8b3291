"""A watch tells each finding once, in a line, by the same rules as the report."""

from __future__ import annotations

from typing import Any

from airgap_check.engine import Terms
from airgap_check.evidence import AnyRecord, EntryUse
from airgap_check.evidence.fact import Process
from airgap_check.watching.news import News
from tests.building import RULES, connection, inspection, policy

CONTEXT = inspection()
NODE = Process(pid=7, name="node")


def attempt(address: str, **changes: Any) -> AnyRecord:
    return connection(address, state="attempt", seen="attempts", process=NODE, **changes)


def news(**sections: Any) -> News:
    return News(RULES, policy({"cidr": "10.0.0.9/32"}, **sections), Terms())


def test_a_violation_is_told_in_one_line() -> None:
    (notice,) = news().of(CONTEXT, [attempt("93.184.216.34")], 0)
    assert notice.severity == "critical"
    assert notice.text.startswith("critical  connection.public-destination  ")
    assert "node" in notice.text
    assert "93.184.216.34" in notice.text


def test_the_same_finding_is_told_once_an_hour() -> None:
    told = news()
    assert len(list(told.of(CONTEXT, [attempt("93.184.216.34")], 0))) == 1
    assert list(told.of(CONTEXT, [attempt("93.184.216.34", count=9)], 10)) == []
    assert len(list(told.of(CONTEXT, [attempt("93.184.216.35")], 20))) == 1
    (again,) = told.of(CONTEXT, [attempt("93.184.216.34", count=3)], 3600)
    assert again.text.endswith("(again, x12)")
    assert list(told.of(CONTEXT, [attempt("93.184.216.34")], 3601)) == []


def test_what_one_round_has_told_the_next_one_knows() -> None:
    elder = news()
    assert len(list(elder.of(CONTEXT, [attempt("93.184.216.34")], 0))) == 1
    younger = News(RULES, policy({"cidr": "10.0.0.9/32"}), Terms(), elder)
    assert list(younger.of(CONTEXT, [attempt("93.184.216.34")], 60)) == []


def test_a_flood_is_told_in_a_few_lines_a_minute_the_worst_first() -> None:
    told = news()
    flood = [attempt(f"10.1.0.{number}") for number in range(100)] + [attempt("93.184.216.34")]
    lines = list(told.of(CONTEXT, flood, 0))
    assert len(lines) == 30
    assert lines[0].severity == "critical"
    assert list(told.of(CONTEXT, [attempt("10.2.0.1")], 59)) == []
    (summary,) = told.of(CONTEXT, [], 60)
    assert summary.severity is None
    assert summary.text.startswith("72 more findings ")
    assert len(list(told.of(CONTEXT, [attempt("10.2.0.2")], 61))) == 1


def test_what_is_allowed_and_what_is_no_observation_is_no_news() -> None:
    assert list(news().of(CONTEXT, [attempt("10.0.0.9")], 0)) == []
    assert list(news().of(CONTEXT, [EntryUse(entry="entry 0", count=1)], 0)) == []
    assert list(news().of(CONTEXT, [], 0)) == []


def test_what_is_waived_is_no_news() -> None:
    waiver = {
        "rule": "connection.public-destination", "match": {"remote.address": "93.184.216.34"}, "reason": "r",
        "owner": "o", "expires": "2027-01-01",
    }  # fmt: skip
    assert list(news(waivers=[waiver]).of(CONTEXT, [attempt("93.184.216.34")], 0)) == []
