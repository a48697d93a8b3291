"""What a policy says of a rehearsal: names are certain there, and the command stands for the policy's subject."""

from __future__ import annotations

from typing import Any

import pytest

from airgap_check.evidence import Answer
from airgap_check.evidence.fact import Workload
from airgap_check.policy.allowlist import Allowlist
from airgap_check.survey import Survey
from tests.building import STARTED, connection, encounter, policy, rehearsal, remote

PLACE: dict[str, Any] = {"state": "attempt", "seen": "attempts"}


def allowed(name: str | None, *entries: dict[str, Any], rehearsed: bool = True, **facts: Any) -> str:
    made = encounter(name, **facts)
    one = connection("198.18.3.4", remote=made.remote, process=made.process, **PLACE)
    return Allowlist(policy(*entries), (), STARTED.date(), rehearsed=rehearsed).connection(one).allowed


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("a.db.bank.example", "yes"),
        ("b.a.db.bank.example", "yes"),
        ("db.bank.example", "no"),
        ("xdb.bank.example", "no"),
    ],
)
def test_a_wildcard_allows_what_is_below_it_and_refuses_everything_else(name: str, verdict: str) -> None:
    assert allowed(name, {"host": "*.db.bank.example"}, scope="private") == verdict


def test_a_literal_name_is_allowed_without_any_answer() -> None:
    assert allowed("DB.bank.example.", {"host": "db.bank.example"}, scope="private") == "yes"


def test_what_a_client_says_on_a_host_approves_nothing() -> None:
    assert allowed("db.bank.example", {"host": "db.bank.example"}, scope="private", rehearsed=False) == "unknown"


def test_a_public_name_needs_an_entry_that_says_public() -> None:
    assert allowed("api.partner.com", {"host": "*.partner.com"}) == "no"
    assert allowed("api.partner.com", {"host": "*.partner.com", "public": True}) == "yes"


def test_no_name_leads_to_a_literal_address() -> None:
    assert allowed(None, {"host": "*.db.bank.example"}, address="10.0.0.5") == "no"
    assert allowed(None, {"cidr": "10.0.0.0/28"}, address="10.0.0.5") == "yes"


@pytest.mark.parametrize(("address", "pool"), [("198.18.3.4", "198.18.0.0/15"), ("2001:2::7", "2001:2::/48")])
def test_no_prefix_approves_a_name_by_the_address_that_was_made_up_for_it(address: str, pool: str) -> None:
    entry = {"cidr": pool, "public": True}
    assert allowed("evil.com", entry, address=address) == "no"
    assert allowed("db.bank.example", entry, address=address, scope="private") == "no"
    assert allowed("evil.com", {"host": "evil.com", **entry}, address=address) == "yes"
    assert allowed(None, {"cidr": pool}, address=address) == "yes", "what was dialled by address is judged by it"


def test_no_network_of_the_site_makes_a_public_name_internal() -> None:
    own = policy({"host": "*.evil.com"}, networks={"internal": ["198.18.0.0/15"]})
    reached = encounter("api.evil.com").remote
    assert Allowlist(own, (), STARTED.date(), rehearsed=True).scoped(reached).scope == "public"
    assert Allowlist(own, (), STARTED.date(), rehearsed=False).scoped(reached).scope == "internal"


def test_a_name_is_the_sites_own_by_the_policy_that_judges_whatever_was_recorded() -> None:
    own = Allowlist(policy({"host": "x"}, networks={"domains": ["bank.com"]}), (), STARTED.date(), rehearsed=True)
    foreign = Allowlist(policy({"host": "x"}), (), STARTED.date(), rehearsed=True)
    assert own.scoped(encounter("db.bank.com", scope="public").remote).scope == "private"
    assert foreign.scoped(encounter("db.bank.com", scope="private").remote).scope == "public"


def test_answers_give_an_address_of_the_world_no_other_name() -> None:
    one = connection("198.18.3.4", remote=encounter("evil.com").remote, **PLACE)
    forged = Answer(name="ok.com", netns=1, source="dns", status="ok", addresses=(remote("198.18.3.4"),))
    listed = policy({"host": "ok.com", "public": True})
    assert Allowlist(listed, [forged], STARTED.date(), rehearsed=True).connection(one).allowed == "no"


def test_for_whom_a_unit_stands_nobody_can_tell_but_where_it_is_the_subject() -> None:
    entry = {"host": "db.bank.example", "for": {"unit": "objectos.service"}}
    made = encounter("db.bank.example", scope="private")
    one = connection("198.18.3.4", remote=made.remote, **PLACE)

    def decided(**sections: Any) -> str:
        return Allowlist(policy(entry, **sections), (), STARTED.date(), rehearsed=True).connection(one).allowed

    assert decided() == "unknown"
    assert decided(scope={"subject": {"unit": "objectos.service"}}) == "yes"
    assert decided(scope={"subject": {"unit": "other.service"}}) == "unknown"


@pytest.mark.parametrize(("unit", "verdict"), [("objectos.service", "yes"), ("other.service", "no")])
def test_a_workload_that_the_command_was_said_to_be_is_taken_at_its_word(unit: str, verdict: str) -> None:
    made = policy({"host": "db.bank.example", "for": {"unit": "objectos.service"}})
    stands_for = Workload(kind="unit", id=unit, name=unit)
    one = connection(
        "198.18.3.4", remote=encounter("db.bank.example", scope="private").remote, workload=stands_for, **PLACE
    )
    assert Allowlist(made, (), STARTED.date(), rehearsed=True).connection(one).allowed == verdict


def test_the_command_is_never_one_of_the_others() -> None:
    lenient = policy(
        {"host": "db.bank.example"}, scope={"subject": {"unit": "objectos.service"}, "others": "public-only"}
    )
    survey = Survey(rehearsal(encounter("x.bank.example", scope="private")), lenient)
    assert [one.allowed for one in survey.connections] == ["no"]
