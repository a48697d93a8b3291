"""Addresses of the sealed world get their names back, and the scope that these have outside."""

from __future__ import annotations

import pytest

from airgap_check.evidence import Connection, Evidence, Question
from airgap_check.evidence.fact import Endpoint, Workload
from airgap_check.rehearsal.christening import Register
from tests.building import connection

NAMES = {
    "cloud.objectos.ai": ("198.18.1.1", "2001:2::1"),
    "db.bank.example": ("198.18.1.2",),
    "mail.corp.bank.com": ("198.18.1.3",),
    "queue": ("198.18.1.4",),
}
REGISTER = Register(NAMES, ["bank.com"])


@pytest.mark.parametrize(
    ("address", "name", "scope"),
    [
        ("198.18.1.1", "cloud.objectos.ai", "public"),
        ("2001:2::1", "cloud.objectos.ai", "public"),
        ("198.18.1.2", "db.bank.example", "private"),  # a name of documentation, which the public DNS knows not
        ("198.18.1.3", "mail.corp.bank.com", "private"),  # the site's own
        ("198.18.1.4", "queue", "private"),  # a single label
    ],
)
def test_an_address_of_the_world_gets_its_name_and_what_that_stands_for(address: str, name: str, scope: str) -> None:
    found = REGISTER.christened(Endpoint(address=address, scope="reserved", port=443))
    assert (found.address, found.name, found.scope, found.port) == (address, name, scope, 443)


def test_an_address_that_nobody_was_told_stays_what_it_is() -> None:
    literal = Endpoint(address="198.18.9.9", scope="reserved", port=443)
    assert REGISTER.christened(literal) is literal


def test_what_a_browser_would_fetch_by_name_has_no_address_but_a_scope() -> None:
    assert REGISTER.christened(Endpoint(name="cdn.jsdelivr.net", port=443)).scope == "public"
    assert REGISTER.christened(Endpoint(name="cdn.bank.com", port=443)).scope == "private"


def test_every_record_of_the_command_is_the_rehearsed_workloads() -> None:
    unit = Workload(kind="unit", id="objectos.service", name="objectos.service")
    before = connection("198.18.1.1", 443)
    (after,) = REGISTER.applied(Evidence(kind="attempts", status="complete", records=(before,)), unit).records
    assert isinstance(after, Connection)
    assert (after.workload, after.remote.name) == (unit, "cloud.objectos.ai")
    (kept,) = REGISTER.applied(Evidence(kind="attempts", status="complete", records=(before,)), None).records
    assert isinstance(kept, Connection)
    assert kept.workload is None  # that of whoever called us


def test_names_of_the_policy_that_were_asked_have_their_addresses_and_others_none() -> None:
    answers = {answer.name: answer for answer in REGISTER.answers(["cloud.objectos.ai", "never.bank.com"], 7)}
    assert answers.keys() == {"cloud.objectos.ai", "never.bank.com"}
    assert [end.address for end in answers["cloud.objectos.ai"].addresses] == ["198.18.1.1", "2001:2::1"]
    assert answers["never.bank.com"].addresses == ()  # an address by guess could be another name's
    assert {answer.status for answer in answers.values()} == {"ok"}


def test_a_name_server_that_was_asked_by_name_has_that_name() -> None:
    asked = Question(
        netns=1, protocol="dns", name="secret.evil.com", type="A", server=Endpoint(address="198.18.1.1", port=53)
    )
    (named,) = REGISTER.applied(Evidence(kind="traffic", status="complete", records=(asked,)), None).records
    assert isinstance(named, Question)
    assert (named.server.name, named.server.scope) == ("cloud.objectos.ai", "public")
