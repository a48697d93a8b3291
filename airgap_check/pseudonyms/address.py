"""Pseudonyms of addresses: another one of the same block and scope, so that networks still read as networks.

An address stays in its block (10.0.0.0/8, fe80::/64, 2000::/3 ...) and is permuted inside it. One that would come to
another scope is permuted again until it is back (cycle walking: still one to one, and nearly every prefix is kept). Who
is nobody's secret stays as it is: loopback, metadata services, documentation, groups that a standard names.
A wrapped address wraps the pseudonym of the one inside.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TYPE_CHECKING

from airgap_check.address import Address, Network, Scope, parse, scope_of, unwrap
from airgap_check.pseudonyms.prefix import Prefixes

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.pseudonyms.key import Key

_FIXED: frozenset[Scope] = frozenset({"metadata", "unspecified", "loopback", "documentation", "broadcast"})
# The first that holds an address is its block. A block as long as an address keeps it.
_KEPT = """
    192.0.0.9/32 192.0.0.10/32 239.255.255.250/32
    10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 198.18.0.0/15
    192.0.0.0/24 192.88.99.0/24 239.0.0.0/8 224.0.0.0/4 240.0.0.0/4 0.0.0.0/0
    2001:1::1/128 2001:1::2/128 2001:1::3/128
    2001:3::/32 2001:4:112::/48 2001:20::/28 2001:30::/28 2001:2::/48 2001::/23 5f00::/16 100::/64 100:0:0:1::/64
    fe80::/64 fe80::/10 fec0::/10 fd00::/8 fc00::/7 2000::/3 ::/0
"""
_ALL = [ip_network(text) for text in _KEPT.split()]
_BLOCKS = {
    version: [(int(one[0]), int(one[-1]), one.prefixlen) for one in _ALL if one.version == version]
    for version in (4, 6)
}
_WIDTH = {4: 32, 6: 128}
_LOW32 = 0xFFFFFFFF
_WIDE = {4: 8, 6: 16}  # networks that are no longer say nothing of a site


class Addresses:
    """The pseudonyms of addresses under one key."""

    def __init__(self, key: Key) -> None:
        """Draw the keys, one for each version."""
        self._prefixes = {
            version: Prefixes(key.draw(f"addresses of IPv{version}", 32), width) for version, width in _WIDTH.items()
        }
        self.hide_text: Callable[[str], str | None] = lru_cache(maxsize=1 << 18)(self._hide_text)

    def hide(self, address: Address) -> Address:
        """Return the pseudonym of an address."""
        return self._map(address, back=False)

    def _hide_text(self, text: str) -> str | None:
        """Return the pseudonym of an address as it is written; None for what is none."""
        address = parse(text)
        return None if address is None else str(self.hide(address))

    def reveal(self, pseudonym: Address) -> Address:
        """Return the address that a pseudonym stands for. Any address is one: nothing tells a wrong key."""
        return self._map(pseudonym, back=True)

    def hide_network(self, network: Network) -> Network:
        """Return the network that holds the pseudonyms of its addresses; one that is very wide stays as it is."""
        return self._map_network(network, back=False)

    def reveal_network(self, network: Network) -> Network:
        """Return the network that a pseudonym stands for."""
        return self._map_network(network, back=True)

    def _map_network(self, network: Network, *, back: bool) -> Network:
        if network.prefixlen <= _WIDE[network.version]:
            return network
        mapped = self._map(network.network_address, back=back)
        return ip_network((mapped, network.prefixlen), strict=False)

    def _map(self, address: Address, *, back: bool) -> Address:
        inner, wrapping = unwrap(address)
        value = int(address)
        if isinstance(inner, IPv6Address) or address.version == 4:
            return self._walk(address, back=back)
        low = int(self._walk(inner, back=back))
        if wrapping == "6to4":
            suffix = self._suffix(value, low, back=back)
            return IPv6Address(0x2002 << 112 | low << 80 | suffix)
        if wrapping == "teredo":
            server = int(self._walk(IPv4Address(value >> 64 & _LOW32), back=back))
            return IPv6Address(value >> 96 << 96 | server << 64 | value & _LOW32 << 32 | low ^ _LOW32)
        if wrapping == "isatap":
            prefix = int(self._walk(IPv6Address(value >> 64 << 64), until=64, back=back))
            return IPv6Address(prefix >> 64 << 64 | value & _LOW32 << 32 | low)
        high = self._local_nat64(value, back=back) if value >> 80 == 0x0064FF9B0001 else value
        return IPv6Address(high >> 32 << 32 | low)

    def _suffix(self, value: int, low: int, *, back: bool) -> int:
        """Map the 80 bits behind a 6to4 prefix, by the prefix that it really has."""
        suffix = value & (1 << 80) - 1
        real = 0x2002 << 112 | low << 80 | suffix if back else value
        prefixes = self._prefixes[6]
        return (prefixes.restore(real, 48) if back else prefixes.permute(real, 48)) & (1 << 80) - 1

    def _local_nat64(self, value: int, *, back: bool) -> int:
        """Map bits 48 to 95 of a local NAT64 address, which are zero where its prefix has the usual 96 bits.

        Where they are not, what they become may read as public: worse than it was, never better.
        """
        apply = self._prefixes[6].restore if back else self._prefixes[6].permute
        middle = (1 << 48) - 1 << 32
        if not value & middle:
            return value
        while not (value := apply(value, 48, 96)) & middle:
            pass
        return value

    def _walk(self, address: Address, *, back: bool, until: int | None = None) -> Address:
        kind = _kind(address)
        scope, keep, _ = kind
        if scope in _FIXED or keep == _WIDTH[address.version]:
            return address
        prefixes = self._prefixes[address.version]
        apply = prefixes.restore if back else prefixes.permute
        make = IPv4Address if address.version == 4 else IPv6Address
        value = int(address)
        while True:
            value = apply(value, keep, until)
            mapped = make(value)
            if _kind(mapped) == kind:
                return mapped


def _kind(address: Address) -> tuple[Scope, int, int]:
    """Return what a pseudonym shares with its address: the scope, and the block's length and begin.

    Groups that a standard names, and those that one interface hears alone, are blocks by themselves.
    """
    value, version = int(address), address.version
    scope = scope_of(address)
    if version == 4 and (value >> 9 == 0xE00000 >> 1 or value >> 24 == 0xFF):  # 224.0.0.0/23, masks of networks
        return scope, 32, value
    if version == 6 and value >> 120 == 0xFF:
        return (scope, 128, value) if value & (1 << 112) - 1 < 1 << 16 else (scope, 16, value >> 112 << 112)
    if version == 6 and unwrap(address).wrapping:
        return scope, 0, -1  # never the kind of an address that is bare
    for first, last, length in _BLOCKS[version]:
        if first <= value <= last:
            return scope, length, first
    raise AssertionError(address)  # the last block holds everything
