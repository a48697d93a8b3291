"""What the views say of the policy and of what was observed beyond connections."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from airgap_check.evidence import Answer, Connection, Evidence, Question, Request, Resolver, Status
from airgap_check.evidence.asset import Opening
from airgap_check.evidence.fact import Process
from airgap_check.survey import Survey
from airgap_check.view import EncryptedDnsView, OpeningView, PolicyEntryView, QuestionView, RequestView
from tests.building import STARTED, connection, inspection, policy, remote

if TYPE_CHECKING:
    from airgap_check.evidence.inspection import Inspection

RESOLVER = Resolver(
    netns=1, address="10.0.0.53", scope="private", source="/etc/resolv.conf", search=("bank.com", "lan.bank.com")
)


def evidence(kind: str, *records: Any, status: Status = "complete", **counts: int) -> Evidence:
    return Evidence(kind=kind, status=status, reason="why", records=records, counts=counts)


def with_datagrams(seen: Inspection) -> Inspection:
    """Say that sockets were found that may send datagrams anywhere."""
    changed = [
        replace(item, counts={"unconnected_udp": 3}) if item.kind == "sockets" else item for item in seen.evidence
    ]
    return replace(seen, evidence=tuple(changed))


def used(seen: Inspection, protocol: str) -> str:
    (view,) = Survey(seen, policy({"cidr": "10.0.0.9/32", "protocol": protocol})).views("policy-entry")
    assert isinstance(view, PolicyEntryView)
    return view.used


@pytest.mark.parametrize(("protocol", "expected"), [("udp", "unseen"), ("any", "unseen"), ("tcp", "no")])
def test_who_sends_datagrams_without_connecting_is_not_seen_in_a_snapshot(protocol: str, expected: str) -> None:
    assert used(with_datagrams(inspection()), protocol) == expected
    assert used(inspection(), protocol) == "no"


@pytest.mark.parametrize(("status", "expected"), [("complete", "no"), ("partial", "unseen"), ("unavailable", "unseen")])
def test_who_watched_every_attempt_knows_that_nobody_sent_one(status: Status, expected: str) -> None:
    assert used(with_datagrams(inspection(extra=[evidence("attempts", status=status)])), "udp") == expected


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_use_that_the_kernel_had_no_room_to_count_may_have_been_any(protocol: str) -> None:
    assert used(inspection(extra=[evidence("attempts", uses_uncounted=3)]), protocol) == "unknown"
    assert used(inspection(extra=[evidence("attempts", uses_uncounted=0)]), protocol) == "no"


def questions(*names: str, **sections: Any) -> list[QuestionView]:
    asked = [Question(netns=1, name=name, type="A", protocol="dns", server=remote("10.0.0.53", 53)) for name in names]
    survey = Survey(inspection(RESOLVER, extra=[evidence("traffic", *asked)]), policy(**sections))
    return [view for view in survey.views("question") if isinstance(view, QuestionView)]


def test_the_longest_suffix_of_the_search_list_is_taken_off_once() -> None:
    names = ["db.lan.bank.com", "db.bank.com", "db", "lan.bank.com", "bank.com", "x.lan.bank.com.bank.com", ""]
    assert [view.name for view in questions(*names)] == ["db", "db", "db", "lan", "bank.com", "x.lan.bank.com", "."]


def test_it_is_the_whole_name_that_is_public_or_not() -> None:
    inside, outside = questions("www.vendor.com.lan.bank.com", "db.bank.com", networks={"domains": ["lan.bank.com"]})
    assert (inside.name, inside.asked, inside.public) == ("www.vendor.com", "www.vendor.com.lan.bank.com", "no")
    assert (outside.name, outside.public) == ("db", "yes")


def test_what_a_client_says_approves_nothing_and_is_judged_as_a_name() -> None:
    said = Request(netns=1, source="tls", name="API.partner.com.", protocol="tcp", remote=remote("93.184.216.34", 443))
    seen = inspection(
        RESOLVER,
        Answer(name="api.partner.com", netns=1, source="dns", status="ok", addresses=(remote("93.184.216.35"),)),
        extra=[evidence("traffic", said, replace(said, remote=remote("93.184.216.35", 443)), replace(said, name=None))],
    )
    survey = Survey(seen, policy({"host": "api.partner.com", "ports": [443], "public": True}))
    views = [view for view in survey.views("request") if isinstance(view, RequestView)]
    assert [(view.public, view.listed, view.allowed) for view in views] == [
        ("yes", "yes", "no"), ("yes", "yes", "yes"), ("no", "no", "no"),
    ]  # fmt: skip


def test_a_request_was_made_when_it_was_seen() -> None:
    told = STARTED + timedelta(seconds=10)
    answer = Answer(
        name="api.partner.com", netns=1, source="observed", status="ok", addresses=(remote("10.9.9.9"),),
        server="10.0.0.53", first=told, seen="traffic",
    )  # fmt: skip
    said = Request(netns=1, source="tls", protocol="tcp", remote=remote("10.9.9.9", 443), first=told)
    seen = evidence("traffic", answer, said, replace(said, first=STARTED))
    survey = Survey(inspection(RESOLVER, extra=[seen]), policy({"host": "api.partner.com"}))
    allowed = [view.allowed for view in survey.views("request") if isinstance(view, RequestView)]
    assert allowed == ["yes", "unknown"]


def test_what_was_dialled_is_told_by_who_knows_the_process() -> None:
    dialled = connection("9.9.9.9", 853, seen="attempts", state="attempt", process=Process(pid=7, name="stubby"))
    heard = Request(netns=1, source="dot", hidden="encrypted-dns", protocol="tcp", remote=remote("9.9.9.9", 853))
    others = [
        replace(heard, remote=remote("9.9.9.8", 853)),
        replace(heard, source="doh", remote=remote("9.9.9.9", 443)),
    ]
    seen = inspection(extra=[evidence("attempts", dialled), evidence("traffic", heard, *others)])
    views = [view for view in Survey(seen, policy()).views("encrypted-dns") if isinstance(view, EncryptedDnsView)]
    assert [(view.record.source, view.remote.address, view.record.seen) for view in views] == [
        ("dot", "9.9.9.9", "attempts"), ("dot", "9.9.9.8", "traffic"), ("doh", "9.9.9.9", "traffic"),
    ]  # fmt: skip
    assert views[0].record.process == dialled.process


def test_no_connection_is_lost_between_the_views_and_the_report() -> None:
    seen = inspection(
        connection("10.0.0.9"),
        connection("10.0.0.8", None, direction="inbound"),
        extra=[evidence("attempts", connection("10.0.0.7", seen="attempts"))],
    )
    survey = Survey(seen, policy())
    viewed = [*survey.views("connection"), *survey.views("peer")]
    assert len(survey.connections) == len(viewed) == sum(1 for _ in seen.records(Connection))


@pytest.mark.parametrize(("network", "allowed"), [("10.0.0.0/24", "yes"), ("10.0.1.0/24", "no"), ("x", "unknown")])
def test_of_an_opening_to_a_prefix_that_is_none_nothing_is_known(network: str, allowed: str) -> None:
    opening = Opening(subject="a", network=network, ports=("443",), path="a.yaml")
    seen = inspection(extra=[evidence("deployment", opening)])
    (view,) = Survey(seen, policy({"cidr": "10.0.0.0/24", "ports": [443]})).views("deployment-opening")
    assert isinstance(view, OpeningView)
    assert view.allowed == allowed
