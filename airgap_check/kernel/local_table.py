"""Knows what a network namespace delivers to itself: the kernel's table of local routes, where it comes first.

An address on an interface proves nothing: who is root there takes its route away, or puts a narrower one beside it, and
the packets leave. Source: rtnetlink(7), include/uapi/linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import netlink, routing_rule

if TYPE_CHECKING:
    from collections.abc import Iterable

_NETLINK_ROUTE = 0
_SOL_NETLINK, _STRICT = 270, 12  # NETLINK_GET_STRICT_CHK (Linux 4.20): the kernel picks the table, else it lists all
_NEW_ROUTE, _GET_ROUTE = 24, 26  # RTM_NEWROUTE, RTM_GETROUTE
_MESSAGE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths of destination and source, tos, table ... flags
_TABLE = 255  # RT_TABLE_LOCAL
_DESTINATION = 1  # RTA_DST
_LOCAL, _BROADCAST, _ANYCAST = 2, 3, 4  # RTN_LOCAL ...
_UNUSABLE = 0x201  # RTNH_F_DEAD, RTM_F_CLONED
_SIZE = {socket.AF_INET: 4, socket.AF_INET6: 16}
_ABSENT = frozenset({errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP})  # no such table, no IPv6


class Route(NamedTuple):
    """A route by its packed destination and the length of its prefix.

    ``kind`` is RTN_LOCAL and so on, 0 for one that holds for some packets only or for none.
    """

    destination: bytes
    prefix: int
    kind: int


class LocalTable:
    """The local routes of a namespace: the longest prefix decides, and all routes of that prefix must agree."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._kinds: dict[tuple[int, int, int], set[int]] = {}  # by size of the address, prefix, leading bits
        for route in routes:
            self._kinds.setdefault(_key(route.destination, route.prefix), set()).add(route.kind)
        self._prefixes = {
            size: sorted({prefix for of, prefix, _ in self._kinds if of == size}, reverse=True) for size in (4, 16)
        }

    def delivers(self, packed: bytes) -> bool:
        """Tell whether every packet to an address stays here."""
        return self._found(packed) <= {_LOCAL, _ANYCAST}

    def broadcasts(self, packed: bytes) -> bool:
        """Tell whether every packet to an address goes to all neighbours."""
        return self._found(packed) == {_BROADCAST}

    def _found(self, packed: bytes) -> set[int]:
        for prefix in self._prefixes[len(packed)]:
            if kinds := self._kinds.get(_key(packed, prefix)):
                return kinds
        return {0}


def _key(packed: bytes, prefix: int) -> tuple[int, int, int]:
    return len(packed), prefix, int.from_bytes(packed) >> 8 * len(packed) - prefix


def read() -> LocalTable:
    """Return the local routes of the calling thread's network namespace that can be relied on; raises OSError.

    That is none of a family where a rule comes before them, which may send any packet elsewhere.
    """
    routes: list[Route] = []
    for family in filter(routing_rule.local_first, _SIZE):
        _list(family, routes)
    return LocalTable(routes)


def _list(family: int, routes: list[Route]) -> None:
    """Add the routes of the table; one that is not there has none."""
    request = netlink.dump_request(_GET_ROUTE, _MESSAGE.pack(family, 0, 0, 0, _TABLE, 0, 0, 0, 0))
    with netlink.connect(_NETLINK_ROUTE) as channel:
        try:
            channel.setsockopt(_SOL_NETLINK, _STRICT, 1)
        except OSError as error:
            if error.errno != errno.ENOPROTOOPT:
                raise
        try:
            netlink.dump(channel, request, lambda data: parse(data, routes))
        except OSError as error:
            if error.errno not in _ABSENT:
                raise


def parse(data: netlink.Bytes, found: list[Route]) -> bool:
    """Add the local routes of one datagram; tell whether the dump has ended. Raises OSError as `netlink.ends` does."""
    for message in netlink.messages(data):
        if message is None:
            return True
        kind, start, end = message
        if kind != _NEW_ROUTE:
            continue
        if end - start < _MESSAGE.size:
            raise netlink.malformed()
        family, prefix, source, tos, table, _, _, type_, flags = _MESSAGE.unpack_from(data, start)
        size = _SIZE.get(family, 0)
        if table != _TABLE or prefix > 8 * size:
            continue
        destination = bytes(size)  # a default route has none
        for name, first, last in netlink.attributes(data, start + _MESSAGE.size, end):
            destination = bytes(data[first:last]) if name == _DESTINATION else destination
        if len(destination) == size:
            always = not source and not tos and not flags & _UNUSABLE
            found.append(Route(destination, prefix, type_ if always else 0))
    return False
