"""The section on what a rehearsed command reached for: readable at 80 columns, bounded, harmless, absent elsewhere."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from airgap_check import reporters
from airgap_check.engine import Terms, judge
from airgap_check.evidence import Question
from airgap_check.evidence.asset import Reference
from airgap_check.evidence.fact import Process
from airgap_check.reporters import console_report, reach, wording
from tests import reports
from tests.building import RULES, STARTED, encounter, policy, rehearsal, remote

if TYPE_CHECKING:
    from airgap_check.evidence import AnyRecord
    from airgap_check.finding import Report

PEOPLE = ("console", "markdown", "html")
HOOK = Reference(
    path="/srv/app/objectstack.json", pointer="$.webhooks[0].url", text="", dialer="server-event", seen="artifact",
    endpoint=remote("10.1.2.3", 8443),
)  # fmt: skip
PLANE = encounter(
    "cloud.objectos.ai", spoken="http", encrypted=True, count=3, trigger="GET /api/v1/marketplace/packages",
    request="GET /api/v1/packages?limit=…", ended="closed by the client",
)  # fmt: skip


def report(*records: AnyRecord) -> Report:
    seen = rehearsal(*records)
    return judge(msgspec.structs.replace(seen, finished=STARTED + timedelta(minutes=2)), RULES, policy(), Terms())


def many(number: int) -> Report:
    return report(*(encounter(f"host{index}.vendor.com") for index in range(number)))


def console(made: Report, *, plain: bool = False) -> str:
    return console_report.render(made, width=80, plain=plain)


@pytest.mark.parametrize("name", PEOPLE)
def test_the_section_is_there_after_a_rehearsal_and_nowhere_else(name: str) -> None:
    assert reach.TITLE in reporters.render(name, report(PLANE))
    assert reach.TITLE not in reporters.render(name, reports.sample())


def test_the_claim_says_that_it_was_a_rehearsal_and_how_long() -> None:
    assert wording.claim(report(PLANE)).startswith("rehearsed for 2m: ")
    assert "run on" in wording.kind(report(PLANE))


def test_a_destination_is_told_with_who_when_what_and_why() -> None:
    lines = console(report(PLANE)).splitlines()
    begin = lines.index(reach.TITLE)
    told = lines[begin + 1 : begin + 6]
    assert [line.strip() for line in told] == [
        "1 destination: 1 refused; 0 predicted",
        "cloud.objectos.ai:443/tcp  3 times, refused, public, not predicted",
        "who: node",
        "on: GET /api/v1/marketplace/packages x3",
        "said: http inside TLS: GET /api/v1/packages?limit=…; closed by the client",
    ]


def test_who_hears_it_hears_whole_words() -> None:
    told = console(report(PLANE, HOOK), plain=True)
    assert "Destination: cloud.objectos.ai:443/tcp 3 times, refused, public, not predicted\nWho: node\n" in told
    assert "Never reached for: 10.1.2.3:8443 predicted by $.webhooks[0].url in objectstack.json\n" in told


@pytest.mark.parametrize("name", PEOPLE)
def test_the_command_stands_there_as_it_was_called(name: str) -> None:
    run = replace(report(HOOK).run, argv=("rehearse", "--for", "5s", "--", "os", "start", "--home", "a b"))
    assert "os start --home" in reporters.render(name, replace(report(HOOK), run=run))
    assert reach.command(replace(report(HOOK), run=run)) == "os start --home 'a b'"


@pytest.mark.parametrize("name", PEOPLE)
def test_what_was_predicted_and_never_seen_stands_there(name: str) -> None:
    text = reporters.render(name, report(HOOK))
    assert reach.UNSEEN in text
    assert "10.1.2.3:8443" in text
    assert reach.NOTHING.rstrip(".") in text


@pytest.mark.parametrize("name", PEOPLE)
def test_a_name_that_was_only_asked_for_is_told_as_that(name: str) -> None:
    question = Question(netns=1, name="hooks.partner.com", type="A", protocol="dns", server=remote("127.0.0.53", 53))
    assert "never dialled" in reporters.render(name, report(question))


def test_a_hundred_destinations_are_all_told_and_fit_80_columns() -> None:
    text = console(many(100))
    section = text[text.index(reach.TITLE) : text.index("rehearse.contradiction")]
    assert len(set(re.findall(r"host\d+\.vendor\.com:443/tcp", section))) == 100
    assert max(cell_len(line) for line in section.splitlines()) <= 80
    assert "more;" not in section


def test_ten_thousand_are_cut_and_the_json_report_has_all() -> None:
    made = many(10_000)
    for name in PEOPLE:
        assert re.search(r"[aA]nd 9,900 more; the JSON report has all", reporters.render(name, made)), name
    assert len(json.loads(reporters.render("json", made))["reached"]) == 10_000


def test_what_the_command_says_means_nothing_in_a_report() -> None:
    evil = encounter(
        None, 443, address="1.1.1.1", trigger=reports.HOSTILE, request=reports.HOSTILE, opening=reports.HOSTILE,
        ended=reports.HOSTILE, process=Process(pid=1, name=reports.HOSTILE),
    )  # fmt: skip
    made = report(evil)
    page = reporters.render("html", made)
    assert "<script>alert" not in page
    assert "\x1b" not in console(made)
    table = [line for line in reporters.render("markdown", made).splitlines() if line.startswith("| `1.1.1.1:443/tcp`")]
    assert [line.count("|") for line in table] == [8]


@pytest.mark.parametrize("name", sorted(reporters.FORMATS))
def test_every_format_can_tell_a_rehearsal(name: str) -> None:
    page = encounter("cdn.jsdelivr.net", seen="browser", process=None)
    assert reporters.render(name, report(PLANE, HOOK, page))


def test_a_finding_of_a_rehearsal_names_the_destination_and_an_entry_by_name() -> None:
    text = console_report.render(report(encounter("db1.corp.internal", 5432, scope="private")), width=200)
    assert "node -> db1.corp.internal:5432/tcp (attempt)" in text
    assert "- {name: ..., role: ..., host: db1.corp.internal, ports: [5432]}" in text
    assert "198.18.3.4/32" not in text
