"""Knows where a name that was given to a socket leads: what the kernel makes of it by the kind of the socket.

Source: net/ipv4/{af_inet,udp,raw,tcp}.c, net/ipv6/{datagram,udp,tcp_ipv6}.c, ip(7), ipv6(7).
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel.programs.event import CONNECT4, CONNECT6, SENDMSG4, SENDMSG6

if TYPE_CHECKING:
    from airgap_check.kernel.foreign_socket import Kind
    from airgap_check.kernel.socket_call import Sent

_UNSPECIFIED, _INET, _INET6, _SMC = 0, 2, 10, 43  # AF_
_MAPPED = bytes(10) + b"\xff\xff"
_PORT = struct.Struct(">H")
_SHORTEST = {_INET: 16, _INET6: 24}  # bytes that the kernel wants at least
_FAST_OPEN = 0x20000000  # MSG_FASTOPEN
_MPTCP, _UDP, _RAW = 262, 17, 255
_STREAMS = frozenset({socket.IPPROTO_TCP, _MPTCP})
_ECHOES = frozenset({socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6})
# Families whose sockets reach nobody beyond this machine: UNIX, NETLINK, ALG; and PACKET, told when they are made.
LOCAL = frozenset({1, 16, 38, 17})


class Destination(NamedTuple):
    """Where it leads, as an event has it: the hook, the address in 16 bytes, the port, the protocol, the family."""

    hook: int
    address: bytes
    port: int
    protocol: int
    family: int


def destination(sent: Sent, kind: Kind | None) -> Destination | None:
    """Return where a name leads; None where the kernel takes no notice of it, refuses it, or it is none of IP.

    ``kind`` is None where the socket could not be asked: then who connects is taken for TCP, who sends for UDP.
    """
    family = family_of(sent.name)
    if kind is not None and kind.family not in {_INET, _INET6, _SMC}:
        return None
    # A datagram without a family is IPv4, for an IPv4 socket; who connects to none lets go of the one that he had.
    if family == _UNSPECIFIED and not sent.connects and kind is not None and kind.family == _INET:
        family = _INET
    if len(sent.name) < _SHORTEST.get(family, len(sent.name) + 1):
        return None
    protocol = _protocol(sent, kind)
    connects = sent.connects
    if kind is not None and protocol == socket.IPPROTO_TCP and not connects:
        if not sent.flags & _FAST_OPEN:
            return None
        connects = True
    has_port = protocol not in _ECHOES and protocol != _RAW
    (port,) = _PORT.unpack_from(sent.name, 2)
    if family == _INET:
        hook, address = (CONNECT4 if connects else SENDMSG4), _MAPPED + sent.name[4:8]
    else:
        hook, address = (CONNECT6 if connects else SENDMSG6), sent.name[8:24]
    return Destination(hook, address, port if has_port else 0, protocol, family)


def family_of(name: bytes) -> int:
    """Return the family that a name begins with; 0 where it is too short for one."""
    return int.from_bytes(name[:2], "little") if len(name) >= 2 else _UNSPECIFIED


def _protocol(sent: Sent, kind: Kind | None) -> int:
    """Return the protocol as eight bits have it; what is sent by a raw socket may be anything."""
    if kind is None:
        return socket.IPPROTO_TCP if sent.connects or sent.flags & _FAST_OPEN else _UDP
    if kind.type == socket.SOCK_RAW:
        return kind.protocol if kind.protocol in _ECHOES else _RAW
    if kind.protocol in _STREAMS or kind.family == _SMC:
        return socket.IPPROTO_TCP
    return kind.protocol & 0xFF
