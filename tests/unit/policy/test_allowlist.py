"""What an entry allows, what it does not, and what it cannot know."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from airgap_check.evidence import Answer, Setting
from airgap_check.evidence.fact import Endpoint, Place, Process, Workload
from airgap_check.policy import Selector
from airgap_check.policy.allowlist import Allowlist
from airgap_check.policy.permission import matches
from airgap_check.policy.selector import selects
from tests.building import STARTED, connection, policy, remote

NODE = Process(pid=10, name="node", executable="/usr/bin/node", user="objectos")
UNIT = Workload(kind="unit", id="objectos.service", name="objectos.service")
CONTAINER = Workload(kind="container", id="0123456789ab", name="0123456789ab", image="registry/app:1", pod="p-1")


def allowlist(*allow: dict[str, Any], answers: tuple[Answer, ...] = (), **sections: Any) -> Allowlist:
    return Allowlist(policy(*allow, **sections), answers, STARTED.date())


def answer(name: str, *addresses: str, status: Any = "ok") -> Answer:
    return Answer(name=name, netns=1, source="dns", status=status, addresses=tuple(remote(a) for a in addresses))


def test_an_entry_allows_its_addresses_ports_and_protocol_and_nothing_beside_them() -> None:
    allow = allowlist({"cidr": ["10.20.0.0/28"], "ports": [5432, "6432-6440"]})
    assert allow.connection(connection("10.20.0.15", 5432)) == ("yes", "entry 0")
    assert allow.connection(connection("10.20.0.15", 6440)).allowed == "yes"
    assert allow.connection(connection("10.20.0.16", 5432)).allowed == "no"
    assert allow.connection(connection("10.20.0.15", 6441)).allowed == "no"
    assert allow.connection(connection("10.20.0.15", 5432, protocol="udp")).allowed == "no"


def test_an_entry_that_expires_while_we_watch_allows_until_then() -> None:
    allow = allowlist({"cidr": "10.0.0.9/32", "expires": "2026-11-20"})
    assert allow.connection(connection("10.0.0.9", last=STARTED)).allowed == "yes"
    assert allow.connection(connection("10.0.0.9", last=STARTED + timedelta(days=1))).allowed == "no"


def test_an_expired_entry_no_longer_allows_and_its_last_day_still_does() -> None:
    assert (
        allowlist({"cidr": "10.0.0.9/32", "expires": "2026-11-20"}).connection(connection("10.0.0.9")).allowed == "yes"
    )
    assert (
        allowlist({"cidr": "10.0.0.9/32", "expires": "2026-11-19"}).connection(connection("10.0.0.9")).allowed == "no"
    )


@pytest.mark.parametrize("scope", ["loopback", "own", "host"])
def test_loopback_own_and_host_addresses_are_never_egress(scope: Any) -> None:
    assert allowlist().connection(connection("10.0.0.9", scope=scope)).allowed == "yes"


def test_a_public_address_needs_public_true() -> None:
    entry = {"cidr": "93.184.216.0/24", "ports": [443]}
    assert allowlist(entry).connection(connection("93.184.216.34")).allowed == "no"
    assert allowlist({**entry, "public": True}).connection(connection("93.184.216.34")).allowed == "yes"


def test_a_wrapped_public_address_is_not_allowed_by_its_wrapping() -> None:
    assert allowlist({"cidr": "64:ff9b::/96"}).connection(connection("64:ff9b::808:808")).allowed == "no"
    assert allowlist({"cidr": "10.0.0.0/24"}).connection(connection("64:ff9b::a00:1")).allowed == "yes"


def test_a_host_entry_allows_the_addresses_that_its_name_answered_with() -> None:
    entry = {"host": "db.bank.example", "ports": [5432]}
    allow = allowlist(entry, answers=(answer("db.bank.example", "10.0.0.5"),))
    assert allow.connection(connection("10.0.0.5", 5432)).allowed == "yes"
    assert allow.connection(connection("10.0.0.6", 5432)).allowed == "no"
    assert allow.connection(connection("10.0.0.5", 5433)).allowed == "no"


@pytest.mark.parametrize("answers", [(), (answer("db.bank.example", status="timeout"),)])
def test_a_name_without_an_answer_leaves_internal_peers_unknown_and_public_ones_refused(answers: Any) -> None:
    allow = allowlist({"host": "db.bank.example", "ports": [5432]}, answers=answers)
    assert allow.connection(connection("10.0.0.5", 5432)).allowed == "unknown"
    assert allow.connection(connection("10.0.0.5", 80)).allowed == "no"
    assert allow.connection(connection("93.184.216.34", 5432)).allowed == "no"


def test_what_only_a_runtime_was_told_binds_in_its_network_alone() -> None:
    private = msgspec.structs.replace(answer("db.bank.example", "10.0.0.5"), private=True, netns=7)
    for source, elsewhere in (("dns", "no"), ("hosts", "unknown")):
        told = msgspec.structs.replace(private, source=source)
        allow = allowlist({"host": "db.bank.example", "ports": [5432]}, answers=(told,))
        assert allow.connection(connection("10.0.0.5", 5432, netns=7)) == ("yes", "entry 0")
        assert allow.connection(connection("10.0.0.6", 5432, netns=7)).allowed == "no"
        assert allow.connection(connection("10.0.0.5", 5432, netns=8)).allowed == elsewhere
    answers = (private, answer("db.bank.example", status="timeout"))
    allow = allowlist({"host": "db.bank.example", "ports": [5432]}, answers=answers)
    assert allow.connection(connection("10.0.0.5", 5432, netns=8)).allowed == "unknown"
    allow = allowlist({"host": "db.bank.example"}, answers=(private, answer("db.bank.example", "10.0.0.9")))
    assert allow.connection(connection("10.0.0.9", netns=7)).allowed == "yes"


def test_an_answer_binds_no_address_that_only_carries_it() -> None:
    allow = allowlist({"host": "db.bank.example"}, answers=(answer("db.bank.example", "10.0.0.5"),))
    assert allow.connection(connection("fd00::5efe:a00:5")).allowed == "no"


def test_a_name_that_does_not_exist_leaves_nothing_unknown() -> None:
    allow = allowlist({"host": "db.bank.example"}, answers=(answer("db.bank.example", status="nxdomain"),))
    assert allow.connection(connection("10.0.0.5")).allowed == "no"


def test_a_wildcard_leaves_peers_unknown_unless_a_name_below_it_was_bound() -> None:
    allow = allowlist(
        {"host": "*.db.bank.example", "ports": [5432]}, answers=(answer("a.db.bank.example", "10.0.0.5"),)
    )
    assert allow.connection(connection("10.0.0.5", 5432)).allowed == "yes"
    assert allow.connection(connection("10.0.0.6", 5432)).allowed == "unknown"


def test_host_and_cidr_together_approve_any_address_in_cidr() -> None:
    allow = allowlist(
        {"host": "db.bank.example", "cidr": "10.20.0.0/28"}, answers=(answer("db.bank.example", "10.0.0.5"),)
    )
    assert allow.connection(connection("10.20.0.3")).allowed == "yes"
    assert allow.connection(connection("10.0.0.5")).allowed == "yes"
    assert allow.connection(connection("10.0.0.6")).allowed == "no"


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("db.example", "db.example", True),
        ("db.example", "a.db.example", False),
        ("*.db.example", "a.db.example", True),
        ("*.db.example", "a.b.db.example", True),
        ("*.db.example", "db.example", False),
        ("*.db.example", "adb.example", False),
        ("*.db.example", ".db.example", False),
    ],
)
def test_a_wildcard_covers_one_label_or_more_and_never_the_apex(pattern: str, name: str, *, expected: bool) -> None:
    assert matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"unit": "objectos.service"}, "yes"),
        ({"unit": "other.service"}, "no"),
        ({"unit": ["other.service", "objectos.service"]}, "yes"),
        ({"user": "objectos"}, "yes"),
        ({"user": "root"}, "no"),
        ({"exe": "/usr/bin/node"}, "yes"),
        ({"exe": "/usr/bin/curl"}, "no"),
        ({"unit": "objectos.service", "exe": "/usr/bin/curl"}, "no"),
        ({"container": "0123456789ab"}, "no"),
    ],
)
def test_every_part_of_a_selector_must_hold(selector: dict[str, Any], expected: str) -> None:
    assert selects(Selector(**selector), NODE, UNIT, "objectos") == expected


def test_containers_are_selected_by_id_image_and_pod() -> None:
    whole = "0123456789ab" + "c" * 52
    for selector in (
        Selector(container="0123456789ab"),
        Selector(container=whole),
        Selector(image="registry/app:1"),
        Selector(pod="p-1"),
    ):
        assert selects(selector, NODE, CONTAINER, "root") == "yes"
    assert selects(Selector(image="registry/other:1"), NODE, CONTAINER, "root") == "no"
    assert selects(Selector(container="f" * 64), NODE, CONTAINER, "root") == "no"


def test_a_unit_of_a_user_s_manager_is_not_the_system_s_unit_of_that_name() -> None:
    theirs = Workload(kind="unit", id="user@1000.service/objectos.service", name="user@1000.service/objectos.service")
    assert selects(Selector(unit="objectos.service"), NODE, theirs, "root") == "no"
    assert selects(Selector(unit="user@1000.service/objectos.service"), NODE, theirs, "root") == "yes"
    ours = Workload(kind="unit", id="objectos.service/worker.scope", name="objectos.service/worker.scope")
    assert selects(Selector(unit="objectos.service"), NODE, ours, "root") == "yes"


def test_an_owner_that_could_not_be_read_is_unknown_and_one_the_kernel_dropped_is_not_held_against_anybody() -> None:
    assert selects(Selector(exe="/usr/bin/node"), None, UNIT, "objectos") == "unknown"
    assert selects(Selector(exe="/usr/bin/node"), None, UNIT, None, ownerless=True) == "yes"
    assert selects(Selector(unit="objectos.service"), None, None, None, ownerless=True) == "yes"
    assert selects(Selector(unit="other.service"), None, UNIT, None, ownerless=True) == "no"


def test_an_entry_for_somebody_does_not_allow_anybody_else() -> None:
    allow = allowlist({"cidr": "10.0.0.9/32", "for": {"unit": "objectos.service"}})
    assert allow.connection(connection("10.0.0.9", process=NODE, workload=UNIT)).allowed == "yes"
    assert allow.connection(connection("10.0.0.9", process=NODE)).allowed == "no"


@pytest.mark.parametrize("protocol", ["raw", "packet", "icmp"])
def test_a_raw_socket_is_approved_only_by_an_entry_that_says_for_whom(protocol: Any) -> None:
    raw = connection("0.0.0.0", None, protocol=protocol, direction="unknown", process=NODE)
    anybody = {"cidr": "224.0.0.18/32", "protocol": "any"}
    assert allowlist(anybody).connection(raw).allowed == "no"
    assert allowlist({**anybody, "for": {"exe": "/usr/bin/node"}}).connection(raw).allowed == "yes"
    assert allowlist({**anybody, "for": {"exe": "/usr/bin/other"}}).connection(raw).allowed == "no"


@pytest.mark.parametrize(("state", "expected"), [("proto 1", "yes"), ("proto 58", "yes"), ("proto 255", "no")])
def test_an_entry_for_pings_approves_the_raw_sockets_of_icmp_only(state: str, expected: str) -> None:
    raw = connection("0.0.0.0", None, protocol="raw", state=state, direction="unknown", process=NODE)
    pings = {"cidr": "10.0.0.0/16", "protocol": "icmp", "for": {"exe": "/usr/bin/node"}}
    assert allowlist(pings).connection(raw).allowed == expected


def test_a_raw_socket_with_a_public_peer_needs_an_entry_that_says_public() -> None:
    raw = connection("93.184.216.34", None, protocol="raw", direction="unknown", process=NODE)
    holder = {"cidr": "93.184.216.34/32", "protocol": "any", "for": {"exe": "/usr/bin/node"}}
    assert allowlist(holder).connection(raw).allowed == "no"
    assert allowlist({**holder, "public": True}).connection(raw).allowed == "yes"


def test_a_sites_own_prefix_is_internal_and_still_needs_an_entry() -> None:
    networks = {"internal": ["93.184.216.0/24"]}
    allow = allowlist(networks=networks)
    assert allow.scoped(remote("93.184.216.34")).scope == "internal"
    assert allow.connection(connection("93.184.216.34")).allowed == "no"
    entry = {"cidr": "93.184.216.34/32", "ports": [443]}
    assert allowlist(entry, networks=networks).connection(connection("93.184.216.34")).allowed == "yes"


def test_an_inbound_section_judges_listeners_by_port_and_peers_by_address() -> None:
    allow = allowlist(inbound=[{"name": "lb", "cidr": ["10.0.1.0/28"], "ports": [443]}])
    served = {"direction": "inbound", "local": remote("10.0.0.2", 443)}
    assert allow.peer(connection("10.0.1.5", None, **served)).allowed == "yes"
    assert allow.peer(connection("10.0.2.5", None, **served)).allowed == "no"
    assert allow.peer(connection("10.0.1.5", None, **{**served, "local": remote("10.0.0.2", 22)})).allowed == "no"


def test_without_an_inbound_section_nobody_says_who_may_connect() -> None:
    served = {"direction": "inbound", "local": remote("10.0.0.2", 443)}
    assert allowlist().peer(connection("10.0.1.5", None, **served)).allowed == "unknown"
    assert allowlist(inbound=[]).peer(connection("10.0.1.5", None, **served)).allowed == "no"


def test_a_connection_is_decided_by_the_list_for_whoever_opened_it() -> None:
    allow = allowlist({"cidr": "10.0.0.9/32"}, inbound=[])
    assert allow.decide(connection("10.0.0.9")).allowed == "yes"
    assert allow.decide(connection("10.0.0.9", direction="inbound", local=remote("10.0.0.2", 443))).allowed == "no"


def _setting(end: Endpoint) -> Setting:
    return Setting(name="OS_DATABASE_URL", posture="url", place=Place(kind="own"), endpoints=(end,))


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (Endpoint(name="db.bank.example", port=5432), "yes"),
        (Endpoint(name="DB.bank.example", port=5432), "yes"),
        (Endpoint(name="db.bank.example", port=5433), "no"),
        (Endpoint(name="db.bank.example"), "yes"),
        (Endpoint(name="evil.example", port=5432), "no"),
        (remote("10.0.0.9", 5432), "unknown"),
        (remote("8.8.8.8", 5432), "no"),
        (remote("127.0.0.1", 1), "yes"),
    ],
)
def test_a_setting_is_judged_by_the_name_it_holds(end: Endpoint, expected: str) -> None:
    allow = allowlist({"host": "db.bank.example", "ports": [5432]})
    assert allow.endpoint(_setting(end), end).allowed == expected


def test_a_name_that_an_address_entry_may_cover_is_unknown() -> None:
    end = Endpoint(name="db.bank.example", port=5432)
    assert allowlist({"cidr": "10.0.0.0/24", "ports": [5432]}).endpoint(_setting(end), end).allowed == "unknown"
    assert allowlist({"cidr": "10.0.0.0/24", "ports": [25]}).endpoint(_setting(end), end).allowed == "no"


def test_near_misses_say_why_an_entry_that_holds_the_address_does_not_allow_it() -> None:
    allow = allowlist(
        {"cidr": "10.0.0.0/24", "ports": [25]},
        {"cidr": "10.0.0.0/24", "expires": "2020-01-01"},
        {"cidr": "10.0.0.0/24", "for": {"unit": "x.service"}},
        {"cidr": "10.1.0.0/24"},
    )
    misses = dict(allow.near_misses(connection("10.0.0.9")))
    assert set(misses) == {"entry 0", "entry 1", "entry 2"}
    assert "ports 25" in misses["entry 0"]
    assert "expired" in misses["entry 1"]


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        ("10.0.0.9", 443, "yes"),
        ("10.0.0.9", 0, "yes"),
        ("10.0.0.9", 9, "yes"),
        ("10.0.0.9", 53, "yes"),
        ("10.0.0.9", 65535, "yes"),
        ("10.0.0.9", 444, "no"),
        ("10.0.0.8", 443, "no"),
        ("10.0.0.8", 9, "no"),
        ("93.184.216.34", 443, "no"),
    ],
)
def test_a_socket_connected_to_sort_addresses_needs_an_entry_for_the_address_alone(
    address: str, port: int, expected: str
) -> None:
    allowed = allowlist({"cidr": ["10.0.0.9/32", "93.184.216.0/24"], "ports": [443], "protocol": "tcp"})
    sorting = connection(address, port, protocol="udp", state="connect", seen="attempts")
    assert allowed.connection(sorting).allowed == expected
    assert allowed.connection(msgspec.structs.replace(sorting, state="attempt")).allowed == "no"


def test_a_socket_connected_to_sort_addresses_is_approved_in_public_only_by_an_entry_that_says_so() -> None:
    allowed = allowlist({"name": "partner", "cidr": "93.184.216.34/32", "ports": [443], "public": True})
    sorting = connection("93.184.216.34", 9, protocol="udp", state="connect", seen="attempts")
    assert allowed.connection(sorting) == ("yes", "partner")


@pytest.mark.parametrize(
    ("address", "changes", "expected"),
    [
        ("10.0.0.9", {}, "unknown"),
        ("169.254.7.7", {}, "unknown"),
        ("10.0.0.1", {}, "yes"),
        ("93.184.216.34", {}, "no"),
        ("169.254.169.254", {}, "no"),
        ("224.0.0.251", {}, "no"),
        ("10.0.0.9", {"protocol": "raw"}, "no"),
        ("10.0.0.9", {"protocol": "packet"}, "no"),
        ("10.0.0.9", {"netns": 1}, "no"),
        ("10.0.0.9", {"seen": "capture"}, "no"),
    ],
)
def test_a_namespace_that_had_gone_may_have_had_the_address_itself_unless_it_is_public(
    address: str, changes: dict[str, Any], expected: str
) -> None:
    attempt = connection(address, 443, **{"netns": 0, "state": "attempt", "seen": "attempts", **changes})
    assert allowlist({"cidr": "10.0.0.1/32"}).connection(attempt).allowed == expected
