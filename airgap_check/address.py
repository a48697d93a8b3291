"""Our own table of address scopes: what kind of place an IP address is, whatever the Python version says.

Source: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates). The standard
library's answers move between releases (``::ffff:127.0.0.1``, ``2002::/16``, ``100.64.0.0/10``), a verdict must not.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Scope = Literal[
    "unspecified", "loopback", "private", "shared", "link-local", "metadata", "documentation", "benchmarking",
    "multicast", "broadcast", "reserved", "public",
    "internal",  # public or not: the policy names it as the site's own
    "own",       # on an interface of the socket's own network namespace
    "host",      # of another network namespace of this host
    "unknown",   # a name that nobody has resolved
]  # fmt: skip

Wrapping = Literal["mapped", "compatible", "nat64", "6to4", "teredo", "isatap"]

# What lies beyond the gap: a metadata service hands out credentials, and is the provider's.
PUBLIC: frozenset[Scope] = frozenset({"public", "metadata"})

# First match wins, so the exceptions stand above the blocks that hold them.
_TABLE: tuple[tuple[Scope, str], ...] = (
    ("metadata", "169.254.169.254/32 169.254.170.2/32 169.254.170.23/32 100.100.100.200/32 168.63.129.16/32"),
    ("metadata", "fd00:ec2::254/128 fd00:ec2::23/128 fd20:ce::254/128"),
    ("unspecified", "0.0.0.0/8 ::/128"),
    ("loopback", "127.0.0.0/8 ::1/128"),
    ("private", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"),
    ("shared", "100.64.0.0/10"),
    ("link-local", "169.254.0.0/16 fe80::/10 fec0::/10"),
    ("documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
    ("benchmarking", "198.18.0.0/15 2001:2::/48"),
    ("multicast", "224.0.0.0/4 ff00::/8"),
    ("broadcast", "255.255.255.255/32"),
    # PCP and TURN anycast, AMT, AS112, ORCHIDv2 and DRIP are globally reachable inside reserved blocks.
    ("public", "192.0.0.9/32 192.0.0.10/32 2001:1::1/128 2001:1::2/128 2001:1::3/128"),
    ("public", "2001:3::/32 2001:4:112::/48 2001:20::/28 2001:30::/28"),
    ("reserved", "192.0.0.0/24 192.88.99.0/24 240.0.0.0/4 100::/64 100:0:0:1::/64 2001::/23 5f00::/16"),
)


class _Block(NamedTuple):
    first: int
    last: int
    scope: Scope


def _blocks(version: int) -> tuple[_Block, ...]:
    networks = [(scope, ip_network(text)) for scope, texts in _TABLE for text in texts.split()]
    return tuple(
        _Block(int(network.network_address), int(network.broadcast_address), scope)
        for scope, network in networks
        if network.version == version
    )


_BLOCKS = {4: _blocks(4), 6: _blocks(6)}
_NOT_INTERNET = tuple(
    ip_network(text) for scope, texts in _TABLE if scope in {"private", "shared"} for text in texts.split()
)


def parse(text: str) -> Address | None:
    """Read an address as people write it: brackets and an IPv6 zone are taken off; None when it is not one."""
    bare = text.strip().removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        return ip_address(bare)
    except ValueError:
        return None


class Unwrapped(NamedTuple):
    """The address that traffic really goes to, and what it was wrapped in (None when it was bare)."""

    address: Address
    wrapping: Wrapping | None


_LOW32 = 0xFFFFFFFF


def unwrap(address: Address) -> Unwrapped:
    """Take the IPv4 address out of a mapped, NAT64, 6to4, Teredo, ISATAP or compatible one.

    RFC 4291 2.5.5 (mapped, compatible), RFC 6052 and RFC 8215 (NAT64), RFC 3056 (6to4: the gateway), RFC 4380
    (Teredo: the client, stored inverted), RFC 5214 (ISATAP).
    """
    if address.version == 4:
        return Unwrapped(address, None)
    value = int(address)
    high96, low = value >> 32, value & _LOW32
    if high96 == 0xFFFF:
        return Unwrapped(IPv4Address(low), "mapped")
    if high96 == 0 and low > 1:
        return Unwrapped(IPv4Address(low), "compatible")
    if high96 == 0x0064FF9B << 64 or value >> 80 == 0x0064FF9B0001:
        return Unwrapped(IPv4Address(low), "nat64")
    if value >> 112 == 0x2002:
        return Unwrapped(IPv4Address((value >> 80) & _LOW32), "6to4")
    if value >> 96 == 0x20010000:
        return Unwrapped(IPv4Address(low ^ _LOW32), "teredo")
    if (value >> 32) & 0xFDFFFFFF == 0x00005EFE:  # the universal bit may be set
        return Unwrapped(IPv4Address(low), "isatap")
    return Unwrapped(address, None)


@lru_cache(maxsize=65536)
def scope_of(address: Address) -> Scope:
    """Name the scope of an address, judged by the address inside when it is wrapped.

    A wrapping makes an address worse, never better: anybody may choose the bits inside, while the network routes by
    those outside. So a public carrier (an ISATAP prefix, a Teredo server) is public whatever it carries, and an inner
    address that no network could deliver (loopback, multicast ...) leaves the outer one, which is public.
    """
    inner, wrapping = unwrap(address)
    scope = _table_scope(inner)
    if wrapping in {None, "mapped"} or scope in PUBLIC:
        return scope
    if wrapping == "isatap":
        return _table_scope(address)
    if wrapping == "teredo" and _table_scope(IPv4Address(int(address) >> 64 & _LOW32)) in PUBLIC:
        return "public"
    if wrapping == "nat64" and any(_table_scope(other) in PUBLIC for other in _local_nat64(int(address))):
        return "public"
    return "public" if scope in _UNDELIVERABLE else scope


_UNDELIVERABLE = frozenset({"unspecified", "loopback", "link-local", "multicast", "broadcast"})


def _table_scope(address: Address) -> Scope:
    value = int(address)
    for block in _BLOCKS[address.version]:
        if block.first <= value <= block.last:
            return block.scope
    return "public"


def _local_nat64(value: int) -> tuple[IPv4Address, ...]:
    """List what a NAT64 address means where the prefix is 48, 56 or 64 bits long (RFC 6052 2.2; RFC 8215 allows all).

    The low 32 bits are then a suffix that means nothing. Bits 64 to 71 are zero and stand between the parts.
    """
    if value >> 80 != 0x0064FF9B0001:
        return ()
    joined = (value >> 64 << 56) | (value & ((1 << 56) - 1))  # without the octet between the parts: 120 bits
    return tuple(IPv4Address(joined >> (120 - length - 32) & _LOW32) for length in (48, 56, 64))


def may_be_short(network: Network) -> bool:
    """Tell whether a network lies inside the private, shared or ULA blocks, where any length is acceptable."""
    return any(network.version == block.version and network.subnet_of(block) for block in _NOT_INTERNET)  # type: ignore[arg-type]


def scope_of_network(network: Network) -> Scope:
    """Name the scope that a whole network lies in; *public* when any part of it may be."""
    first, last = int(network.network_address), int(network.broadcast_address)
    for block in _BLOCKS[network.version]:
        if block.first <= first and last <= block.last:
            return block.scope
    return "public"


def scopes_in(network: Network) -> frozenset[Scope]:
    """Name every scope that an address of a network may have, as it is written: what it may wrap is not looked at."""
    first, last = int(network.network_address), int(network.broadcast_address)
    found: set[Scope] = set()
    for block in _BLOCKS[network.version]:
        if block.first <= last and first <= block.last:
            found.add(block.scope)
            if block.first <= first and last <= block.last:
                return frozenset(found)
    return frozenset(found | {"public"})


def covers(held: Iterable[Network], network: Network) -> bool:
    """Tell whether networks together hold every address of another."""
    same = [known for known in held if known.version == network.version]
    return any(network.subnet_of(known) for known in collapse_addresses(same))  # type: ignore[arg-type, type-var]
