"""Every row of the scope table, by value, at both edges of each block."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from airgap_check.address import may_be_short, parse, scope_of, scope_of_network, scopes_in, unwrap
from airgap_check.evidence.fact import endpoint

# scope, first and last address of the block, the neighbour below, the neighbour above (None: inside another row)
BLOCKS = [
    ("unspecified", "0.0.0.0", "0.255.255.255", None, "1.0.0.0"),
    ("private", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
    ("shared", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
    ("loopback", "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
    ("link-local", "169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
    ("private", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
    ("reserved", "192.0.0.0", "192.0.0.8", "191.255.255.255", "192.0.0.9"),
    ("reserved", "192.0.0.11", "192.0.0.255", "192.0.0.10", "192.0.1.0"),
    ("documentation", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
    ("reserved", "192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
    ("private", "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
    ("benchmarking", "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
    ("documentation", "198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
    ("documentation", "203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
    ("multicast", "224.0.0.0", "239.255.255.255", "223.255.255.255", None),
    ("reserved", "240.0.0.0", "255.255.255.254", None, None),
    ("loopback", "::1", "::1", None, None),
    ("reserved", "100::", "100::ffff:ffff:ffff:ffff", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "100:0:0:2::"),
    ("documentation", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::", "2001:db9::"),
    ("documentation", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff::", "3fff:1000::"),
    ("benchmarking", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", None, None),
    ("reserved", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "5eff:ffff::", "5f01::"),
    ("private", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fbff:ffff::", "fe00::"),
    ("link-local", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe7f:ffff::", None),
    ("link-local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
]


@pytest.mark.parametrize(("scope", "first", "last", "below", "above"), BLOCKS)
def test_a_block_ends_where_the_registry_says(
    scope: str, first: str, last: str, below: str | None, above: str | None
) -> None:
    assert scope_of(ip_address(first)) == scope
    assert scope_of(ip_address(last)) == scope
    for neighbour in (below, above):
        if neighbour:
            assert scope_of(ip_address(neighbour)) == "public"


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16",
        "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
    ],
)  # fmt: skip
def test_a_metadata_service_is_not_its_neighbour(address: str) -> None:
    assert scope_of(ip_address(address)) == "metadata"
    assert (
        scope_of(ip_address(int(ip_address(address)) + 1) if "." in address else ip_address(address) + 1) != "metadata"
    )


@pytest.mark.parametrize("address", ["192.0.0.9", "192.0.0.10", "192.31.196.1", "192.52.193.1", "192.175.48.1"])
def test_anycast_as112_and_amt_blocks_are_public(address: str) -> None:
    assert scope_of(ip_address(address)) == "public"


def test_a_limited_broadcast_is_not_reserved() -> None:
    assert scope_of(ip_address("255.255.255.255")) == "broadcast"


WRAPPED = [
    ("::ffff:8.8.8.8", "mapped"),
    ("::8.8.8.8", "compatible"),
    ("64:ff9b::8.8.8.8", "nat64"),
    ("64:ff9b:1::8.8.8.8", "nat64"),
    ("2002:808:808::1", "6to4"),
    ("2001:0:102:304:0:ffff:f7f7:f7f7", "teredo"),
    ("fe80::5efe:8.8.8.8", "isatap"),
    ("fd00::200:5efe:8.8.8.8", "isatap"),
]


@pytest.mark.parametrize(("text", "wrapping"), WRAPPED)
def test_a_wrapped_address_is_judged_by_the_address_inside(text: str, wrapping: str) -> None:
    address = ip_address(text)
    assert unwrap(address) == (ip_address("8.8.8.8"), wrapping)
    assert scope_of(address) == "public"


@pytest.mark.parametrize("text", ["::ffff:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:a00:1::"])
def test_an_internal_address_inside_a_wrapping_is_not_public(text: str) -> None:
    assert scope_of(ip_address(text)) in {"loopback", "private"}


@pytest.mark.parametrize(
    "text",
    [
        "2606:4700::5efe:127.0.0.1",  # anybody who owns a prefix may choose the bits that look like ISATAP
        "2606:4700::5efe:10.20.0.5",
        "2606:4700::200:5efe:10.20.0.5",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1:5db8:d8:2200:7f00:1",  # 93.184.216.34 behind a /48, and a suffix that looks like loopback
        "64:ff9b:1:5db8:d8:2200:a14:5",
        "64:ff9b:1:ff5d:b8:d822:a14:5",  # ... behind a /56
        "64:ff9b:1:ffff:5d:b8d8:2214:5",  # ... behind a /64
        "2002:7f00:1::1",
        "2002:e000:1::1",
        "2001:0:5db8:d822::80ff:fffe",  # Teredo: a public server, a client that says it is 127.0.0.1
        "2001:0:5db8:d822::f5eb:fffa",
        "::127.0.0.1",
    ],
)
def test_a_wrapping_never_makes_a_public_address_harmless(text: str) -> None:
    assert scope_of(ip_address(text)) == "public"


def test_an_isatap_address_on_the_link_stays_on_the_link() -> None:
    assert scope_of(ip_address("fe80::5efe:10.0.0.1")) == "link-local"
    assert scope_of(ip_address("fd00::5efe:10.0.0.1")) == "private"


def test_unspecified_and_loopback_are_not_compatible_addresses() -> None:
    assert unwrap(ip_address("::")).wrapping is None
    assert unwrap(ip_address("::1")).wrapping is None


def test_a_mapped_endpoint_is_plain_ipv4_and_other_wrappings_keep_both_forms() -> None:
    mapped = endpoint(ip_address("::ffff:10.0.0.1"), 5432)
    assert (mapped.address, mapped.inner, mapped.wrapped) == ("10.0.0.1", None, "mapped")
    nat64 = endpoint(ip_address("64:ff9b::8.8.8.8"))
    assert (nat64.address, nat64.inner, nat64.wrapped) == ("64:ff9b::808:808", "8.8.8.8", "nat64")


@pytest.mark.parametrize(("text", "expected"), [("[fe80::1%eth0]", "fe80::1"), (" 10.0.0.1 ", "10.0.0.1")])
def test_an_address_is_read_as_people_write_it(text: str, expected: str) -> None:
    assert str(parse(text)) == expected


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.256", "010.0.0.1", "db1", "[]", "1::2::3"])
def test_what_is_not_an_address_is_none(text: str) -> None:
    assert parse(text) is None


def test_a_network_is_public_when_any_part_of_it_may_be() -> None:
    assert scope_of_network(ip_network("10.0.0.0/8")) == "private"
    assert scope_of_network(ip_network("192.0.0.0/8")) == "public"
    assert scope_of_network(ip_network("93.184.216.0/24")) == "public"


def test_only_networks_inside_internal_blocks_may_be_short() -> None:
    assert may_be_short(ip_network("fc00::/7"))
    assert may_be_short(ip_network("10.0.0.0/8"))
    assert not may_be_short(ip_network("8.0.0.0/6"))
    assert not may_be_short(ip_network("::/0"))


@pytest.mark.parametrize(
    ("network", "scopes"),
    [
        ("10.20.0.0/16", {"private"}),
        ("169.254.0.0/16", {"link-local", "metadata"}),
        ("192.0.0.0/24", {"reserved", "public"}),
        ("93.184.216.0/24", {"public"}),
        ("198.51.0.0/16", {"documentation", "public"}),
        ("fd00::/8", {"private", "metadata"}),
    ],
)
def test_a_network_has_every_scope_that_an_address_of_it_has(network: str, scopes: set[str]) -> None:
    assert scopes_in(ip_network(network)) == scopes
