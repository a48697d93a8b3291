"""Pseudonyms of addresses: one to one, of the same scope, with the prefixes that they had."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airgap_check.address import parse, scope_of, unwrap
from airgap_check.pseudonyms import Key
from airgap_check.pseudonyms.address import Addresses

if TYPE_CHECKING:
    from airgap_check.address import Address

ADDRESSES = Addresses(Key(bytes(range(32))))
OTHERS = Addresses(Key(bytes(range(1, 33))))
# Blocks of every scope, and what wraps, besides any address at all.
BEGINS = """
    10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 198.18.0.0/15 224.0.0.0/4 240.0.0.0/4
    192.0.0.0/24 203.0.113.0/24 168.63.129.0/24 fd00::/8 fc00::/7 fe80::/64 fe80::/10 ff02::/16 ff05::/16 2001::/23
    2001:db8::/32 2000::/3 64:ff9b::/96 64:ff9b:1::/96 2002::/16 2001::/32 ::ffff:0:0/96 ::/96 fe80::5efe:0:0/96
    2a00::5efe:0:0/96 2001:20::/28 fd00:ec2::/64 100::/64 5f00::/16
"""


def inside(text: str) -> st.SearchStrategy[Address]:
    network = ip_network(text)
    make = IPv4Address if network.version == 4 else IPv6Address
    return st.integers(int(network[0]), int(network[-1])).map(make)


ANY = st.one_of(st.ip_addresses(), *(inside(text) for text in BEGINS.split()))


def shared(one: Address, other: Address) -> int:
    """Count the bits that two addresses begin with together."""
    return one.max_prefixlen - (int(one) ^ int(other)).bit_length()


@given(ANY)
def test_the_key_takes_every_pseudonym_back(address: Address) -> None:
    hidden = ADDRESSES.hide(address)
    assert hidden.version == address.version
    assert ADDRESSES.reveal(hidden) == address


@given(ANY)
def test_the_scope_stays(address: Address) -> None:
    # Addresses of a local NAT64 prefix that is shorter than usual may become worse.
    assume(int(address) >> 80 != 0x0064FF9B0001 or int(address) >> 32 & (1 << 48) - 1 == 0)
    hidden = ADDRESSES.hide(address)
    assert scope_of(hidden) == scope_of(address)
    assert unwrap(hidden).wrapping == unwrap(address).wrapping


@given(ANY)
def test_what_is_wrapped_has_the_pseudonym_that_it_has_bare(address: Address) -> None:
    inner = unwrap(address).address
    assert unwrap(ADDRESSES.hide(address)).address == ADDRESSES.hide(inner)


@pytest.mark.parametrize("block", ["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12", "fd00::/8", "198.18.0.0/15"])
def test_two_addresses_share_as_much_as_they_did(block: str) -> None:
    @given(inside(block), inside(block))
    def check(one: Address, other: Address) -> None:
        assume(scope_of(one) == scope_of(other))
        assert shared(ADDRESSES.hide(one), ADDRESSES.hide(other)) == shared(one, other)

    check()


@given(st.integers(0, 2**16 - 1), st.integers(0, 255), st.integers(0, 255))
def test_public_addresses_of_one_network_stay_in_one(prefix: int, one: int, other: int) -> None:
    network = 93 << 24 | prefix << 8
    hidden = ADDRESSES.hide(IPv4Address(network | one)), ADDRESSES.hide(IPv4Address(network | other))
    assert shared(*hidden) == shared(IPv4Address(network | one), IPv4Address(network | other))


@given(inside("10.0.0.0/8"), st.integers(9, 32))
def test_a_network_holds_the_pseudonyms_of_its_addresses(address: Address, length: int) -> None:
    network = ip_network((address, length), strict=False)
    hidden = ADDRESSES.hide_network(network)
    assert hidden.prefixlen == length
    assert ADDRESSES.hide(address) in hidden
    assert ADDRESSES.reveal_network(hidden) == network


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "::1", "0.0.0.0", "::", "255.255.255.255", "169.254.169.254", "fd00:ec2::254", "203.0.113.9",
        "2001:db8::1", "224.0.0.251", "239.255.255.250", "ff02::fb", "192.0.0.9",
    ],
)  # fmt: skip
def test_what_is_the_same_everywhere_stays(text: str) -> None:
    address = parse(text)
    assert address is not None
    assert ADDRESSES.hide(address) == address


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.0/8", "::/0", "fc00::/7"])
def test_networks_that_say_nothing_of_a_site_stay(text: str) -> None:
    assert ADDRESSES.hide_network(ip_network(text)) == ip_network(text)


@pytest.mark.parametrize("text", ["10.1.2.3", "93.184.216.34", "fd12:3456::7", "2a00:1450:4001::5", "fe80::1:2"])
def test_another_key_makes_another_pseudonym(text: str) -> None:
    address = ip_address(text)
    assert len({address, ADDRESSES.hide(address), OTHERS.hide(address)}) == 3


def test_bits_are_flipped_without_a_pattern() -> None:
    # Neighbouring prefixes are asked for one by one: about half of all bits flip, and half of their neighbours differ.
    flips = [int(ADDRESSES.hide(IPv6Address(0x2A << 120 | n << 64))) ^ (0x2A << 120 | n << 64) for n in range(200)]
    low = [flip & (1 << 64) - 1 for flip in flips]
    assert 0.45 < sum(flip.bit_count() for flip in low) / (200 * 64) < 0.55
    assert 0.45 < sum((flip ^ flip >> 1).bit_count() for flip in low) / (200 * 64) < 0.55
