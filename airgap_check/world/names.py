"""Gives every name an address of its own, the same in every run, and knows whose an address is.

IPv4 addresses are of 198.18.0.0/15 (RFC 2544), IPv6 ones of 2001:2::/48 (RFC 5180): nobody outside has them.
"""

from __future__ import annotations

from hashlib import blake2b
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING, NamedTuple

from airgap_check import domain

if TYPE_CHECKING:
    from airgap_check.address import Address

POOL4, POOL6 = IPv4Network("198.18.0.0/15"), IPv6Network("2001:2::/48")
RESERVED4, RESERVED6 = IPv4Network("198.19.255.0/24"), IPv6Network("2001:2:0:ffff::/64")
MOST = 32768  # names that are given addresses; an application asks for tens, a tunnel through DNS for any number
_SPAN4, _SPAN6 = POOL4.num_addresses - RESERVED4.num_addresses - 1, 1 << 80


class Pair(NamedTuple):
    """The addresses of one name."""

    four: IPv4Address
    six: IPv6Address

    @property
    def texts(self) -> tuple[str, str]:
        """Return both as text."""
        return str(self.four), str(self.six)


LOCAL = Pair(IPv4Address("127.0.0.1"), IPv6Address("::1"))


class Pool:
    """The names that have addresses so far."""

    def __init__(self) -> None:
        self._pairs: dict[str, Pair] = {}
        self._owners: dict[Address, str] = {}

    def pair(self, name: str) -> Pair | None:
        """Return the addresses of a name, which it has from now on; None where the pool gives no more."""
        name = domain.normal(name)
        if domain.below(name, "localhost"):
            return LOCAL
        found = self._pairs.get(name)
        if found is None and len(self._pairs) < MOST:
            digest = blake2b(name.encode(errors="surrogateescape"), digest_size=24).digest()
            found = self._pairs[name] = Pair(
                self._free4(int.from_bytes(digest[:8], "big")), self._free6(int.from_bytes(digest[8:], "big"))
            )
            self._owners[found.four] = self._owners[found.six] = name
        return found

    def owner(self, address: Address) -> str | None:
        """Return the name that an address was given for."""
        return self._owners.get(address)

    def _free4(self, number: int) -> IPv4Address:
        """Return the first address, from a number on, that nobody has."""
        while True:
            address = POOL4.network_address + 1 + number % _SPAN4
            if address >= RESERVED4.network_address:
                address = address + RESERVED4.num_addresses
            if address in POOL4 and address not in self._owners:
                return address
            number += 1

    def _free6(self, number: int) -> IPv6Address:
        while True:
            address = POOL6.network_address + number % _SPAN6
            if address not in RESERVED6 and address not in self._owners:
                return address
            number += 1
