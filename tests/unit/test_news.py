"""A watch tells each finding once, in a line, by the same rules as the report."""

from __future__ import annotations

from typing import Any

from airgap_check.engine import Terms
from airgap_check.evidence import AnyRecord, EntryUse
from airgap_check.fact import Process
from airgap_check.news import News
from tests.building import RULES, connection, inspection, policy

CONTEXT = inspection()
NODE = Process(pid=7, name="node")


def attempt(address: str, **changes: Any) -> AnyRecord:
    return connection(address, state="attempt", seen="attempts", process=NODE, **changes)


def news(**sections: Any) -> News:
    return News(RULES, policy({"cidr": "10.0.0.9/32"}, **sections), Terms())


def test_a_violation_is_told_in_one_line() -> None:
    (line,) = news().of(CONTEXT, [attempt("93.184.216.34")])
    assert line.startswith("critical  connection.public-destination  ")
    assert "node" in line
    assert "93.184.216.34" in line


def test_the_same_finding_is_told_once() -> None:
    told = news()
    assert len(list(told.of(CONTEXT, [attempt("93.184.216.34")]))) == 1
    assert list(told.of(CONTEXT, [attempt("93.184.216.34", count=9)])) == []
    assert len(list(told.of(CONTEXT, [attempt("93.184.216.35")]))) == 1


def test_what_is_allowed_and_what_is_no_observation_is_no_news() -> None:
    assert list(news().of(CONTEXT, [attempt("10.0.0.9")])) == []
    assert list(news().of(CONTEXT, [EntryUse(entry="entry 0", count=1)])) == []
    assert list(news().of(CONTEXT, [])) == []


def test_what_is_waived_is_no_news() -> None:
    waiver = {
        "rule": "connection.public-destination", "match": {"remote.address": "93.184.216.34"}, "reason": "r",
        "owner": "o", "expires": "2027-01-01",
    }  # fmt: skip
    assert list(news(waivers=[waiver]).of(CONTEXT, [attempt("93.184.216.34")])) == []
