"""Lists the addresses of a network namespace's interfaces that are really its own.

Source: rtnetlink(7), include/uapi/linux/if_addr.h.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from airgap_check.kernel import local_table, netlink

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_NETLINK_ROUTE = 0
_NEW_ADDRESS, _GET_ADDRESS = 20, 22  # RTM_NEWADDR, RTM_GETADDR
_ADDRESS, _LOCAL, _BROADCAST = 1, 2, 4  # IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST
_HEADER = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface
_ATTEMPTS = 5


class InterfaceAddress(NamedTuple):
    """An address of an interface, packed, with its prefix length and its broadcast address where one is set.

    ``routed`` are those of its broadcast addresses that the kernel treats as such; None where nobody asked.
    """

    address: bytes
    prefix: int
    broadcast: bytes | None
    routed: frozenset[bytes] | None = None

    def broadcasts(self) -> frozenset[bytes]:
        """Return the packed addresses that reach every neighbour."""
        return self.candidates() if self.routed is None else self.routed

    def candidates(self) -> frozenset[bytes]:
        """Return what the kernel makes broadcast addresses: the one set, and the last one of the prefix.

        Source: net/ipv4/fib_frontend.c, fib_add_ifaddr.
        """
        found = {self.broadcast} if self.broadcast else set()
        if len(self.address) == 4 and self.prefix < 31:
            last = int.from_bytes(self.address) | (1 << (32 - self.prefix)) - 1
            found.add(last.to_bytes(4))
        return frozenset(found)


def addresses() -> list[InterfaceAddress]:
    """Return the addresses that the network namespace of the calling thread delivers to itself; raises OSError.

    Of the addresses on its interfaces these are the ones with a local route that can be relied on (`local_table`).
    """
    listed = _settled(_list_addresses)
    if not listed:
        return []
    table = _settled(local_table.read)
    return [
        one._replace(routed=frozenset(filter(table.broadcasts, one.candidates())))
        for one in listed
        if table.delivers(one.address)
    ]


def _settled(read: Callable[[], T]) -> T:
    """Read anew when an address or a route came or went while the kernel listed them."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return read()
        except InterruptedError:
            continue
    return read()


def _list_addresses() -> list[InterfaceAddress]:
    found: list[InterfaceAddress] = []
    request = netlink.dump_request(_GET_ADDRESS, _HEADER.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
    with netlink.connect(_NETLINK_ROUTE) as channel:
        netlink.dump(channel, request, lambda data: parse(data, found))
    return found


def parse(data: netlink.Bytes, found: list[InterfaceAddress]) -> bool:
    """Add the addresses of one datagram; tell whether the dump has ended. Raises OSError as `netlink.ends` does."""
    for message in netlink.messages(data):
        if message is None:
            return True
        kind, start, end = message
        if kind != _NEW_ADDRESS:
            continue
        if end - start < _HEADER.size:
            raise netlink.malformed()
        _, prefix, _, _, _ = _HEADER.unpack_from(data, start)
        values = {
            name: bytes(data[first:last]) for name, first, last in netlink.attributes(data, start + _HEADER.size, end)
        }
        # On a point-to-point interface IFA_ADDRESS is the other end, and IFA_LOCAL is ours.
        address = values.get(_LOCAL) or values.get(_ADDRESS)
        if address is not None and len(address) in {4, 16} and prefix <= 8 * len(address):
            found.append(InterfaceAddress(address, prefix, values.get(_BROADCAST)))
    return False
