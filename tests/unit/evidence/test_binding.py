"""A name leads to an address for whom it was told, since it was told, and only by whom the host asks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airgap_check.evidence import Answer, Resolver
from airgap_check.evidence.binding import Bindings
from airgap_check.policy.allowlist import Allowlist
from tests.building import STARTED, connection, policy, remote

SERVER = Resolver(netns=1, address="10.0.0.53", scope="private", source="/etc/resolv.conf")
TOLD = STARTED + timedelta(seconds=10)


def observed(**changes: Any) -> Answer:
    facts: dict[str, Any] = {
        "name": "DB.bank.example.", "netns": 1, "source": "observed", "status": "ok", "seen": "traffic",
        "addresses": (remote("10.0.0.5"),), "server": "10.0.0.53", "first": TOLD,
    }  # fmt: skip
    return Answer(**{**facts, **changes})


def led(*answers: Answer, began: Any = TOLD, netns: int = 1, resolvers: Any = (SERVER,)) -> bool:
    return "db.bank.example" in Bindings(answers, resolvers).names(["10.0.0.5"], netns, began)


def test_an_observed_answer_binds_what_came_after_it_within_a_second() -> None:
    assert led(observed())
    assert led(observed(), began=TOLD - timedelta(seconds=1))
    assert not led(observed(), began=TOLD - timedelta(seconds=1.5))
    assert led(observed(), began=None), "a socket of the snapshot is there now"


def test_the_earliest_answer_counts_and_none_is_forgotten() -> None:
    earlier = observed(first=STARTED)
    for answers in ((earlier, observed()), (observed(), earlier)):
        assert led(*answers, began=STARTED)


def test_an_answer_that_we_were_given_binds_whatever_time_it_is() -> None:
    given = observed(source="dns", seen=None, first=None)
    assert led(given, observed(), began=STARTED - timedelta(hours=1))
    assert led(observed(), given, began=STARTED - timedelta(hours=1))


def test_only_name_servers_of_this_host_bind() -> None:
    assert not led(observed(server="10.66.6.6"))
    assert not led(observed(server=None))
    assert not led(observed(), resolvers=())


def test_a_name_server_on_loopback_binds_where_it_is_used() -> None:
    stub = Resolver(netns=1, address="127.0.0.53", scope="loopback", source="/etc/resolv.conf")
    for netns in (1, 7):
        answer = observed(netns=netns, server="127.0.0.53", private=True)
        assert led(answer, netns=netns, resolvers=(stub,)) is (netns == 1)


def test_in_a_capture_every_server_binds_everybody() -> None:
    assert led(observed(seen="capture", server="10.66.6.6"), resolvers=(), netns=0)


@pytest.mark.parametrize(("netns", "private", "elsewhere"), [(1, False, True), (1, True, False), (7, False, False)])
def test_what_our_own_network_saw_binds_everybody_and_anything_else_only_where_it_was_seen(
    netns: int, *, private: bool, elsewhere: bool
) -> None:
    answer = observed(netns=netns, private=private)
    assert led(answer, netns=netns)
    assert led(answer, netns=9) is elsewhere


def test_an_observed_answer_does_not_settle_where_a_name_leads() -> None:
    made = Bindings([observed(), observed(source="dns", seen=None, name="mail.bank.example")], [SERVER])
    assert not made.answered("db.bank.example", 1)
    assert made.answered("mail.bank.example", 1)


def test_a_wildcard_is_bound_by_what_was_observed() -> None:
    allow = Allowlist(policy({"host": "*.bank.example"}), [observed()], STARTED.date(), [SERVER])
    assert allow.connection(connection("10.0.0.5", first=TOLD)).allowed == "yes"
    assert allow.connection(connection("10.0.0.5", first=STARTED)).allowed == "unknown"
    assert allow.connection(connection("10.0.0.5")).allowed == "yes"


def test_a_public_address_still_needs_public_true() -> None:
    answer = observed(addresses=(remote("93.184.216.34"),))
    for public in (False, True):
        allow = Allowlist(policy({"host": "db.bank.example", "public": public}), [answer], STARTED.date(), [SERVER])
        decision = allow.connection(connection("93.184.216.34", first=TOLD))
        assert decision.allowed == ("yes" if public else "no")
