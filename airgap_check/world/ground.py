"""The network of a rehearsal: *near*, where the command lives, joined to *far*, where every address is at home.

Nothing leads from either of them to the machine: both are new network namespaces, joined by a veth pair of their own.
Source: RFC 2544 and RFC 5180 for the addresses, ip(7) and ipv6(7) for the options.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from typing import NamedTuple

from airgap_check.kernel import namespaces, sock_diag
from airgap_check.kernel.netlink import attribute
from airgap_check.observers.canary import BLACKHOLE, CREATE, LOOPBACK, MAC, NEW_ROUTE, UNICAST, VETH, Channel, pack
from airgap_check.world import redirection

RESOLVER = "127.0.0.53"  # of the name server, on near's loopback
NEAR = ("198.19.255.254", "2001:2:0:ffff::fe")  # our own addresses there
_GATEWAYS = ("198.19.255.1", "fe80::1")
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104  (in a namespace that nobody reaches)
_LOCAL = 2  # RTN_LOCAL
_HOST, _ON_LINK = 254, 4  # RT_SCOPE_HOST, RTNH_F_ONLINK
_BACKLOG, _DATAGRAMS = 4096, 4 << 20  # connections that wait; bytes of datagrams that do


class _Wire(Channel):
    """A channel that routes everything one way."""

    def lead(self, family: int, interface: int, gateway: str) -> None:
        """Send everything to a gateway, whatever the addresses on the interface say."""
        out = attribute(4, struct.pack("=I", interface)) + attribute(5, pack(gateway)[1])
        self.ask(NEW_ROUTE, CREATE, self._head(family, UNICAST, scope=0, flags=_ON_LINK) + out)

    def keep(self, family: int, kind: int) -> None:
        """Take everything in for ourselves (RTN_LOCAL), or let it vanish (RTN_BLACKHOLE)."""
        scope = _HOST if kind == _LOCAL and family == socket.AF_INET else 0
        out = attribute(4, struct.pack("=I", LOOPBACK)) if kind == _LOCAL else b""
        self.ask(NEW_ROUTE, CREATE, self._head(family, kind, scope=scope) + out)

    @staticmethod
    def _head(family: int, kind: int, *, scope: int, flags: int = 0) -> bytes:
        """Return the rtmsg of a default route, static, in the main table (include/uapi/linux/rtnetlink.h)."""
        return struct.pack("=BBBBBBBBI", family, 0, 0, 0, 254, 4, scope, kind, flags)


class Ground(NamedTuple):
    """The sockets at which the world listens, and the descriptor of the namespace that it answers from.

    ``table`` tells of the sockets of *near*; None where the kernel has no such thing.
    """

    far: int
    table: socket.socket | None
    tcp: list[socket.socket]
    udp: list[socket.socket]
    name_tcp: list[socket.socket]
    name_udp: list[socket.socket]


def lay(world: str) -> Ground:
    """Make both namespaces and join them; the caller is in *near* then. Raises OSError.

    In the worlds *accept* and *nxdomain* there is a socket for everything; *reject* and *drop* have none.
    """
    _enter_new_network()
    far_channel, far = _Wire(), os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    tcp: list[socket.socket] = []
    udp: list[socket.socket] = []
    if world in {"accept", "nxdomain"}:
        tcp, udp = _listen()
        redirection.redirect({
            socket.IPPROTO_TCP: tcp[0].getsockname()[1], socket.IPPROTO_UDP: udp[0].getsockname()[1]
        })  # fmt: skip
    _enter_new_network()
    near_channel = _Wire()
    near_channel.pair(far)
    for channel in (near_channel, far_channel):
        channel.up(LOOPBACK)
        channel.up(VETH)
    for address, gateway in zip(NEAR, _GATEWAYS, strict=True):
        near_channel.assign(VETH, address)
        near_channel.neighbour(gateway, MAC["far"])
        far_channel.route(address, index=VETH)
        far_channel.neighbour(address, MAC["near"])
        family = pack(address)[0]
        near_channel.lead(family, VETH, gateway)
        far_channel.keep(family, BLACKHOLE if world == "drop" else _LOCAL)
    for channel in (near_channel, far_channel):
        channel.up(VETH)  # whoever sets the carrier holds the lock that this waits for
    return Ground(far, _table(), tcp, udp, [_name_server(socket.SOCK_STREAM)], [_name_server(socket.SOCK_DGRAM)])


def _enter_new_network() -> None:
    """Move to a new network namespace that takes packets to any address, and asks nobody for a router."""
    namespaces.unshare(namespaces.NETWORK)
    for name, text in (
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/conf/all/accept_local", "1"),  # what claims to come from anywhere, when everywhere is here
        ("ipv4/ping_group_range", f"{os.getegid()} {os.getegid()}"),
        ("ipv6/conf/default/addr_gen_mode", "1"),
        ("ipv6/conf/default/accept_ra", "0"),
    ):
        with suppress(OSError), open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _listen() -> tuple[list[socket.socket], list[socket.socket]]:
    """Open the sockets that everything is brought to, both families at one port a protocol."""
    tcp: list[socket.socket] = []
    udp: list[socket.socket] = []
    for kind, found in ((socket.SOCK_STREAM, tcp), (socket.SOCK_DGRAM, udp)):
        port = 0
        for family in (socket.AF_INET, socket.AF_INET6):
            end = socket.socket(family, kind)
            found.append(end)
            end.setsockopt(*redirection.TRANSPARENT[family], 1)
            if family == socket.AF_INET6:
                end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            end.bind((_ANYWHERE[family == socket.AF_INET6], port))
            port = end.getsockname()[1]
            if kind == socket.SOCK_STREAM:
                end.listen(_BACKLOG)
            else:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DATAGRAMS)
    return tcp, udp


def _table() -> socket.socket | None:
    try:
        return sock_diag.connect()
    except OSError:
        return None


def _name_server(kind: int) -> socket.socket:
    end = socket.socket(socket.AF_INET, kind)
    end.bind((RESOLVER, 53))
    if kind == socket.SOCK_STREAM:
        end.listen(_BACKLOG)
    return end
