"""Asks the kernel which way a packet would go, without sending one.

Source: rtnetlink(7), include/uapi/linux/rtnetlink.h, net/ipv4/route.c (inet_rtm_getroute).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import netlink

if TYPE_CHECKING:
    from airgap_check.address import Address

_NETLINK_ROUTE = 0
_NEW_ROUTE, _GET_ROUTE = 24, 26  # RTM_NEWROUTE, RTM_GETROUTE
_REQUEST = 1  # NLM_F_REQUEST
_LOOKUP_TABLE = 0x1000  # RTM_F_LOOKUP_TABLE: name the table that decided, instead of the main one
_MESSAGE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths of destination and source, tos, table ... flags
_DESTINATION, _INTERFACE, _GATEWAY, _SOURCE, _UID, _PROTOCOL, _PORT = 1, 4, 5, 7, 25, 27, 29  # RTA_DST ... RTA_DPORT
_LOCAL = 2  # RTN_LOCAL
_REFUSING = frozenset({6, 7, 8, 9})  # RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW
# What connect(2) would fail with as well. EINVAL is how IPv4 says blackhole, EACCES prohibit, EAGAIN throw.
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EAGAIN, errno.ESRCH})
_NO_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT})
_HERE = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}


class Route(NamedTuple):
    """A way that exists: ``local`` ends in this very namespace; gateway and source are packed, None where not told."""

    local: bool
    interface: str
    gateway: bytes | None = None
    source: bytes | None = None


def find(address: Address, *, port: int = 0, uid: int | None = None) -> Route | None:
    """Return the way of a TCP connection from the calling thread's network namespace; None where there is none.

    ``uid`` is whose connection it would be, by default our own: routing may go by it, as by the port. What it goes by
    besides (a mark that the firewall sets, a program at connect(2)) only a packet can show. Raises OSError.
    """
    try:
        return _ask(address, port, uid)
    except OSError as error:
        if error.errno in _NO_ROUTE | _NO_FAMILY:
            return None
        if error.errno == errno.EINVAL and _understands(address, port, uid):
            return None  # a blackhole
        raise


def _understands(address: Address, port: int, uid: int | None) -> bool:
    """Tell whether the kernel takes such a question at all: EINVAL may be about the question, not the answer."""
    try:
        _ask(_HERE[address.version], port, uid)
    except OSError as error:
        return error.errno in _NO_ROUTE
    return True


def _ask(address: Address, port: int, uid: int | None) -> Route | None:
    family, packed = socket.AF_INET6 if address.version == 6 else socket.AF_INET, address.packed
    body = _MESSAGE.pack(family, 8 * len(packed), 0, 0, 0, 0, 0, 0, _LOOKUP_TABLE)
    body += netlink.attribute(_DESTINATION, packed)
    body += netlink.attribute(_UID, struct.pack("=I", os.geteuid() if uid is None else uid))
    if port:
        body += netlink.attribute(_PROTOCOL, bytes([socket.IPPROTO_TCP])) + netlink.attribute(
            _PORT, struct.pack("!H", port)
        )
    request = netlink.message(_GET_ROUTE, _REQUEST, 1, body)
    found: list[Route] = []
    with netlink.connect(_NETLINK_ROUTE) as channel:
        netlink.dump(channel, request, lambda data: parse(data, found))
    return found[0] if found else None


def parse(data: netlink.Bytes, found: list[Route]) -> bool:
    """Add the route of an answer, none where it refuses; always says that the answer has ended.

    Raises OSError as `netlink.ends` does: that is how IPv4 says that there is no route.
    """
    for message in netlink.messages(data):
        if message is None:
            break
        kind, start, end = message
        if kind != _NEW_ROUTE:
            continue
        if end - start < _MESSAGE.size:
            raise netlink.malformed()
        type_ = _MESSAGE.unpack_from(data, start)[7]
        values = {
            name: bytes(data[first:last]) for name, first, last in netlink.attributes(data, start + _MESSAGE.size, end)
        }
        if type_ not in _REFUSING:
            interface = _interface(values.get(_INTERFACE, b""))
            found.append(Route(type_ == _LOCAL, interface, values.get(_GATEWAY), values.get(_SOURCE)))
    return True


def _interface(value: bytes) -> str:
    """Name an interface of the calling thread's namespace."""
    if len(value) != 4:
        return "?"
    number = struct.unpack("=I", value)[0]
    try:
        return socket.if_indextoname(number)
    except (OSError, OverflowError):
        return f"interface {number}"


def shown(packed: bytes | None) -> str:
    """Write a packed address."""
    return str(ip_address(packed)) if packed and len(packed) in {4, 16} else "?"
