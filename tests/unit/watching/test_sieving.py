"""What the kernel may let pass is approved for certain, and everything else is left to user space."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airgap_check.address import scope_of
from airgap_check.kernel.sieve import CLASSES
from airgap_check.policy.allowlist import Allowlist
from airgap_check.watching.sieving import sieve
from tests.building import STARTED, connection, policy

if TYPE_CHECKING:
    from airgap_check.address import Address
    from airgap_check.kernel.sieve import Sieve
    from airgap_check.policy import Policy

TODAY = STARTED.date()
NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1}


def approving(sifted: Sieve, address: Address, number: int, port: int) -> int:
    """Return the classes that approve a destination, found as the kernel does: by the longest prefix alone."""
    fitting = [network for network in sifted.networks if address in network]
    if not fitting:
        return 0
    longest = max(fitting, key=lambda network: network.prefixlen)
    ports = sifted.ports.get((number, port), 0) | sifted.ports.get((number, 0), 0)
    return sifted.networks[longest] & ports


def names(sifted: Sieve, classes: int) -> set[str]:
    return {name for index, entry in enumerate(sifted.entries, 1) if classes >> index & 1 for name in entry}


def passes(sifted: Sieve, address: str, port: int = 443, number: int = 6) -> set[str]:
    return names(sifted, approving(sifted, ip_address(address), number, port))


def sifted(*allow: dict[str, Any], **sections: Any) -> Sieve:
    return sieve(policy(*allow, **sections), TODAY)


def test_an_entry_by_address_and_port_passes_and_nothing_beside_it() -> None:
    made = sifted({"cidr": "10.20.0.0/28", "ports": [5432, "6432-6440"]})
    assert passes(made, "10.20.0.15", 5432) == passes(made, "10.20.0.15", 6440) == {"entry 0"}
    assert passes(made, "10.20.0.16", 5432) == passes(made, "10.20.0.15", 6441) == set()
    assert passes(made, "10.20.0.15", 5432, number=17) == set()
    assert made.entries == (("entry 0",),)


def test_the_digest_is_the_policy_s() -> None:
    made = policy({"cidr": "10.20.0.0/28"})
    assert sieve(made, TODAY).digest == made.sha256


@pytest.mark.parametrize(
    ("protocol", "numbers"), [("tcp", {6}), ("udp", {17}), ("icmp", {1, 58}), ("any", {1, 6, 17, 58})]
)
def test_without_ports_every_port_of_the_protocol_passes(protocol: str, numbers: set[int]) -> None:
    made = sifted({"cidr": "10.20.0.0/28", "protocol": protocol})
    assert made.ports == dict.fromkeys(((number, 0) for number in numbers), 2)


@pytest.mark.parametrize(
    "entry",
    [
        {"host": "db.bank.example"},
        {"cidr": "10.0.0.9/32", "for": {"unit": "a.service"}},
        {"cidr": "10.0.0.9/32", "expires": "2026-11-19"},
        {"cidr": "93.184.216.0/24"},
        {"cidr": "192.0.0.0/16"},
        {"cidr": "169.254.0.0/16"},
        {"cidr": "10.0.0.9/32", "ports": ["1-4097"]},
        {"cidr": "203.0.113.0/24", "public": True},
        {"cidr": "203.0.113.7/32"},
        {"cidr": "192.0.0.0/8", "public": True},
        {"cidr": "2001:db8::/32"},
        {"cidr": "64:ff9b::a00:0/120"},
        {"cidr": "2002:a00::/32", "public": True},
        {"cidr": "2001::/32", "public": True},
        {"cidr": "::ffff:10.0.0.0/104"},
        {"cidr": "fd00:10:20::/48"},
        {"cidr": "10.0.0.9/32", "protocol": "icmp", "ports": [8]},
    ],
    ids=str,
)
def test_what_could_be_wrong_in_the_kernel_stays_out_of_it(entry: dict[str, Any]) -> None:
    made = sifted(entry)
    assert (made.networks, made.ports, made.entries) == ({}, {}, ())


def test_what_is_public_passes_when_the_entry_or_the_site_says_so() -> None:
    assert passes(sifted({"cidr": "93.184.216.0/24", "public": True}), "93.184.216.34") == {"entry 0"}
    own = {"internal": ["93.184.0.0/16", "2600:1::/32"]}
    made = sifted({"cidr": ["93.184.216.0/24", "2600:1:2::/48"]}, networks=own)
    assert passes(made, "93.184.216.34") == passes(made, "2600:1:2::1") == {"entry 0"}
    assert sifted({"cidr": "93.0.0.0/8"}, networks=own).networks == {}


def test_of_an_ipv6_subnet_the_addresses_that_wrap_others_stay_out() -> None:
    made = sifted({"cidr": "fd00:10:20::/64"})
    assert passes(made, "fd00:10:20::1") == {"entry 0"}
    assert passes(made, "fd00:10:20::5efe:808:808") == passes(made, "fd00:10:20:0:200:5efe:808:808") == set()
    assert sifted({"cidr": "fd00:10:20::5efe:808:808/128"}).networks == {}
    assert list(sifted({"cidr": "fd00:10:20::10/124"}).networks) == [ip_network("fd00:10:20::10/124")]


def test_a_longer_prefix_carries_the_classes_of_those_that_cover_it() -> None:
    made = sifted({"cidr": "10.20.0.0/16", "ports": [1]}, {"cidr": "10.20.0.0/24", "ports": [2]})
    assert passes(made, "10.20.0.1", 1) == {"entry 0"}
    assert passes(made, "10.20.0.1", 2) == {"entry 1"}
    assert passes(made, "10.20.1.1", 2) == set()


def test_when_there_are_more_entries_than_classes_those_with_equal_ports_share_one() -> None:
    many = [{"cidr": f"10.20.{number}.1/32", "ports": [443 + number % 2]} for number in range(CLASSES)]
    made = sifted(*many)
    assert len(made.entries) == 2
    assert "entry 0" in passes(made, "10.20.0.1", 443)
    assert passes(made, "10.20.0.1", 444) == set()
    assert max(made.networks.values()) < 1 << CLASSES


def test_what_needs_more_classes_than_there_are_stays_out() -> None:
    many = [{"cidr": f"10.20.{number}.1/32", "ports": [number + 1]} for number in range(CLASSES)]
    made = sifted(*many)
    assert len(made.entries) == CLASSES - 1
    assert passes(made, f"10.20.{CLASSES - 1}.1", CLASSES) == set()
    assert len(sifted(*many[1:]).entries) == CLASSES - 1


def test_the_table_of_ports_is_never_overrun() -> None:
    wide = [
        {"cidr": "10.20.0.1/32", "ports": [f"{low}-{low + 4095}"], "protocol": "any"} for low in range(1, 61000, 4096)
    ]
    made = sifted(*wide)
    assert len(made.ports) <= 1 << 15
    assert made.entries


CIDRS = [
    "10.20.0.0/16", "10.20.0.0/28", "10.20.0.5/32", "93.184.216.0/24", "93.184.0.0/16", "169.254.0.0/16", "192.0.0.0/8",
    "203.0.113.0/24", "100.64.0.0/10", "fd00:10:20::/64", "fd00:10:20::/48", "fd00:10:20::5/128", "2600:1:2::/48",
    "64:ff9b::/96", "2002::/16", "::ffff:10.20.0.0/112", "fd00:10:20::5efe:0:0/96", "fd00:ec2::/64",
]  # fmt: skip
ADDRESSES = [
    "10.20.0.5", "10.20.0.17", "10.21.0.1", "93.184.216.34", "93.184.1.1", "169.254.169.254", "169.254.1.1",
    "192.0.2.7",
    "203.0.113.9", "100.100.100.200", "100.64.0.1", "fd00:10:20::5", "fd00:10:20::5efe:808:808",
    "fd00:10:20::5efe:a00:1", "fd00:10:20:1::1", "2600:1:2::5efe:808:808", "2600:1:2::1", "64:ff9b::808:808",
    "2002:808:808::1", "fd00:ec2::254",
]  # fmt: skip
entries = st.fixed_dictionaries(
    {
        "cidr": st.lists(st.sampled_from(CIDRS), min_size=1, max_size=3, unique=True),
        "protocol": st.sampled_from(["tcp", "udp", "icmp", "any"]),
    },
    optional={
        "ports": st.lists(st.sampled_from([53, 443, "440-450", "1-5000"]), max_size=2, unique=True),
        "public": st.booleans(),
        "expires": st.sampled_from(["2026-11-19", "2026-11-20"]),
        "for": st.just({"unit": "a.service"}),
        "host": st.just("db.bank.example"),
    },
)


def alone(made: Policy, name: str) -> Policy:
    """Return a policy of which only one entry is left."""
    from msgspec.structs import replace

    from airgap_check.policy import Policy

    return Policy(replace(made.file, allow=tuple(entry for entry in made.file.allow if entry.name == name)))


@given(
    st.lists(entries, min_size=1, max_size=6),
    st.sampled_from([[], ["93.184.0.0/16"], ["2600:1:2::/48", "fd00::/16"]]),
    st.sampled_from(ADDRESSES),
    st.sampled_from(["tcp", "udp", "icmp"]),
    st.sampled_from([53, 443, 445, 5000, 60000]),
)
@example([{"cidr": ["fd00:10:20::/64"], "protocol": "any"}], [], "fd00:10:20::5efe:808:808", "tcp", 443)
@example([{"cidr": ["100.64.0.0/10"], "protocol": "any"}], [], "100.100.100.200", "tcp", 443)
def test_whatever_the_kernel_lets_pass_an_entry_of_that_class_approves(
    allow: list[dict[str, Any]], internal: list[str], address: str, protocol: str, port: int
) -> None:
    made = policy(*allow, networks={"internal": internal})
    number = 58 if protocol == "icmp" and ":" in address else NUMBERS[protocol]
    result = sieve(made, TODAY)
    assert not any(scope_of(net.network_address) == "documentation" for net in result.networks)
    approved = names(result, approving(result, ip_address(address), number, 0 if protocol == "icmp" else port))
    attempt = connection(address, None if protocol == "icmp" else port, protocol=protocol)
    decision = Allowlist(made, (), TODAY).connection(attempt)
    if approved:
        assert decision.allowed == "yes"
        assert decision.by in approved or decision.by not in {name for share in result.entries for name in share}
        for name in approved:
            assert Allowlist(alone(made, name), (), TODAY).connection(attempt).allowed == "yes"


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_no_address_at_all_passes_that_the_allowlist_does_not_approve(low: int, identifier: int) -> None:
    made = policy({"cidr": ["100.64.0.0/10", "10.0.0.0/8", "fd00:10:20::/64"]})
    result, allow = sieve(made, TODAY), Allowlist(made, (), TODAY)
    for address in (IPv4Address(low), IPv6Address(0xFD00_0010_0020_0000 << 64 | identifier)):
        if approving(result, address, 6, 443):
            assert allow.connection(connection(str(address))).allowed == "yes"
