"""Tells what kind of place a socket's peer is: the address itself, or a place on this very host."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import PUBLIC, Address, Scope, scope_of

if TYPE_CHECKING:
    from airgap_check.kernel.inventory import Inventory, NamespaceSockets

_MAPPED = bytes(10) + b"\xff\xff"
_FIXED = frozenset({"loopback", "unspecified", "multicast", "broadcast"})
_SHAREABLE = frozenset({"private", "shared", "link-local"})


class Peer(NamedTuple):
    """An address with its scope as seen from one network namespace."""

    address: Address
    scope: Scope


class Peers(dict[bytes, Peer]):
    """The peers of one network namespace by packed address, each judged once.

    A namespace's own addresses are *own*, but public ones only if the initial namespace has them too: anybody can make
    a namespace and give himself the internet in it. For the same reason the addresses of other namespaces are *host*
    only when those were made by root, or by who made this one; and only the initial namespace has *broadcast*
    addresses, as elsewhere any address can be made one by decree.
    """

    def __init__(self, sockets: NamespaceSockets, inventory: Inventory) -> None:
        super().__init__()
        self._own, self._initial = sockets.addresses, inventory.initial_addresses()
        is_initial = sockets.namespace.inode == inventory.initial
        self._broadcasts = sockets.broadcasts if is_initial else frozenset[bytes]()
        makers = {0, max(0, sockets.maker)}
        self._host = frozenset(
            address
            for other in inventory.namespaces
            if other.maker in makers and other is not sockets
            for address in other.addresses
        )

    def __missing__(self, packed: bytes) -> Peer:
        """Judge an address that was not seen before."""
        address = ip_address(packed)
        peer = self[packed] = Peer(address, self._scope(plain(packed), scope_of(address)))
        return peer

    def _scope(self, bare: bytes, scope: Scope) -> Scope:
        if scope in _FIXED:
            return scope
        if bare in self._own and (scope not in PUBLIC or bare in self._initial):
            return "own"
        if bare in self._broadcasts:
            return "broadcast"
        return "host" if scope in _SHAREABLE and bare in self._host else scope


def plain(packed: bytes) -> bytes:
    """Return the IPv4 address of an IPv4-mapped one (RFC 4291 2.5.5.2), any other address as it is; all packed."""
    return packed[12:] if packed.startswith(_MAPPED) else packed
