"""At which address an endpoint is tried: as the runtime there was told, and never where nobody approved."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from airgap_check.evidence import Answer
from airgap_check.kernel import netns
from airgap_check.probes import whereabouts
from airgap_check.probes.errand import Errand, Need
from airgap_check.probes.vantage_point import VantagePoint
from tests.building import remote

HERE = VantagePoint(netns.Namespace(netns.own_inode(), "process"))
NAME = "db.bank.example"


def _answer(*addresses: str, **changes: Any) -> Answer:
    facts: dict[str, Any] = {"name": NAME, "netns": HERE.inode, "source": "dns", "status": "ok"}
    return Answer(**{**facts, "addresses": tuple(remote(address) for address in addresses), **changes})


def _chosen(*answers: Answer, host: str = NAME, public: bool = False, internal: tuple[str, ...] = ()) -> Errand:
    bare = Errand(Need(host, 5432, "postgresql", public=public), HERE)
    return whereabouts.errand(bare, answers, [ip_network(text) for text in internal])


def test_an_address_needs_no_answer() -> None:
    assert str(_chosen(host="10.1.1.1").address) == "10.1.1.1"


def test_a_name_is_tried_at_its_first_address_and_the_others_are_said() -> None:
    chosen = _chosen(_answer("10.1.1.2", "10.1.1.1"))
    assert str(chosen.address) == "10.1.1.2"
    assert "10.1.1.1" in chosen.note


def test_what_the_runtime_itself_was_told_comes_first_and_files_before_servers() -> None:
    ours, theirs = _answer("10.1.1.1"), _answer("10.1.1.2", private=True)
    files = _answer("10.1.1.3", private=True, source="hosts")
    assert str(_chosen(ours, theirs).address) == "10.1.1.2"
    assert str(_chosen(ours, theirs, files).address) == "10.1.1.3"


def test_what_was_answered_elsewhere_counts_for_nothing_here() -> None:
    chosen = _chosen(_answer("10.1.1.1", netns=1))
    assert (chosen.address, chosen.verdict) == (None, "skipped")


@pytest.mark.parametrize("status", ["nxdomain", "nodata", "servfail", "timeout", "refused", "dangling"])
def test_a_name_that_leads_nowhere_is_unresolved(status: str) -> None:
    chosen = _chosen(_answer(status=status))
    assert chosen.verdict == "unresolved"
    assert status in chosen.note


@pytest.mark.parametrize("address", ["1.1.1.1", "169.254.169.254", "2606:4700::1111", "224.0.0.1", "0.0.0.0"])
def test_nothing_is_sent_where_the_owner_did_not_approve_it(address: str) -> None:
    for chosen in (_chosen(_answer(address)), _chosen(host=address)):
        assert (chosen.address, chosen.verdict) == (None, "skipped")


def test_a_public_address_that_is_approved_or_the_sites_own_is_tried() -> None:
    assert str(_chosen(host="1.1.1.1", public=True).address) == "1.1.1.1"
    assert str(_chosen(host="1.1.1.1", internal=("1.1.1.0/24",)).address) == "1.1.1.1"


def test_ipv6_comes_first_only_where_it_has_a_way() -> None:
    assert str(_chosen(_answer("127.0.0.9", "2001:db8::9")).address) in {"127.0.0.9", "2001:db8::9"}
    assert str(_chosen(_answer("127.0.0.9", "::1")).address) == "::1"
