"""Which names the public DNS knows nothing of, and which stand for addresses."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.domain import bare, below, is_special, reversed_network


@pytest.mark.parametrize(
    "name",
    [
        "localhost", "a.localhost", "printer.local", "metadata.google.INTERNAL.", "router.home.arpa", "a.test",
        "a.invalid", "www.example", "x.onion", "x.alt", "db1", "", ".", "_dns.resolver.arpa",
    ],
)  # fmt: skip
def test_names_of_special_use_single_labels_and_the_root_are_special(name: str) -> None:
    assert is_special(name)


@pytest.mark.parametrize(
    "name", ["example.com", "www.example.org", "notlocal.net", "a.mylocal.io", "test.com", "1.0.0.10.in-addr.arpa"]
)
def test_everything_else_is_not(name: str) -> None:
    assert not is_special(name)


@pytest.mark.parametrize(
    ("name", "suffix", "expected"),
    [
        ("bank.com", "bank.com", True),
        ("DB.Bank.Com.", "bank.com", True),
        ("notbank.com", "bank.com", False),
        ("bank.com.evil.com", "bank.com", False),
        ("com", "bank.com", False),
        ("a.bank.com", ".bank.com.", True),
        ("anything", "", True),
    ],
)
def test_a_name_is_below_a_suffix_by_whole_labels(name: str, suffix: str, *, expected: bool) -> None:
    assert below(name, suffix) is expected


def test_an_attribute_is_of_the_name_behind_it() -> None:
    assert bare("_ldap._tcp.dc._msdcs.bank.example") == "dc._msdcs.bank.example"
    assert bare("db.bank.example.") == "db.bank.example"
    assert bare("_tcp") == "_tcp"


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("7.0.20.10.in-addr.arpa", "10.20.0.7/32"),
        ("20.10.IN-ADDR.ARPA.", "10.20.0.0/16"),
        ("in-addr.arpa", "0.0.0.0/0"),
        ("lb._dns-sd._udp.0.0.20.10.in-addr.arpa", "10.20.0.0/32"),
        ("7.0/25.0.20.10.in-addr.arpa", "10.20.0.0/24"),
        ("256.10.in-addr.arpa", "10.0.0.0/8"),
        ("d.f.ip6.arpa", "fd00::/8"),
        ("xx.d.f.ip6.arpa", "fd00::/8"),
    ],
)
def test_a_name_of_the_reverse_tree_stands_for_an_address_or_a_network(name: str, network: str) -> None:
    assert reversed_network(name) == ip_network(network)


@pytest.mark.parametrize("name", ["", "arpa", "bank.com", "1.0.0.10.in-addr.arpa.bank.com", "in-addr.arpa.com"])
def test_other_names_stand_for_none(name: str) -> None:
    assert reversed_network(name) is None


@given(st.ip_addresses())
def test_every_address_is_found_again_in_its_own_reverse_name(address: object) -> None:
    parsed = ip_address(str(address))
    network = reversed_network(parsed.reverse_pointer)
    assert network is not None
    assert (network.network_address, network.num_addresses) == (parsed, 1)


@given(st.text())
def test_no_name_is_too_odd(name: str) -> None:
    is_special(name)
    bare(name)
    assert reversed_network(name) is None or name.lower().rstrip(".").endswith(".arpa")
    assert reversed_network(f"{name}.ip6.arpa") is not None
    assert reversed_network(f"{name}.in-addr.arpa") is not None
