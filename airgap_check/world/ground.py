"""The network of a rehearsal: *near*, where the command lives, joined to *far*, where every address is at home.

Nothing leads from either of them to the machine: both are new network namespaces, joined by a veth pair of their own.
Source: RFC 2544 and RFC 5180 for the addresses, ip(7) and ipv6(7) for the options.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import NamedTuple

from airgap_check.kernel import namespaces
from airgap_check.observers.canary import Channel
from airgap_check.world import redirection

RESOLVER = "127.0.0.53"  # of the name server, on near's loopback
NEAR = ("198.19.255.254", "2001:2:0:ffff::fe")  # our own addresses there
_GATEWAYS = ("198.19.255.1", "fe80::1")
_ANYWHERE = ("0.0.0.0", "::")  # noqa: S104  (in a namespace that nobody reaches)
_LOOPBACK, _VETH = 1, 77  # the interfaces; the second has the number that the channel gives it
_LOCAL, _BLACKHOLE = 2, 6  # RTN_LOCAL, RTN_BLACKHOLE
_TRANSPARENT = {socket.AF_INET: (socket.IPPROTO_IP, 19), socket.AF_INET6: (socket.IPPROTO_IPV6, 75)}
_DESTINATION = {
    socket.AF_INET: (socket.IPPROTO_IP, 20),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 74),
}  # IP_RECVORIGDSTADDR
_BACKLOG, _DATAGRAMS = 4096, 4 << 20  # connections that wait; bytes of datagrams that do
_MAC = {"near": bytes.fromhex("020000000001"), "far": bytes.fromhex("020000000002")}


class Ground(NamedTuple):
    """The sockets at which the world listens, and the descriptor of the namespace that it answers from."""

    far: int
    tcp: list[socket.socket]
    udp: list[socket.socket]
    name_tcp: list[socket.socket]
    name_udp: list[socket.socket]


def lay(world: str) -> Ground:
    """Make both namespaces and join them; the caller is in *near* then. Raises OSError.

    In the worlds *accept* and *nxdomain* there is a socket for everything; *reject* and *drop* have none.
    """
    _enter_new_network()
    far_channel, far = Channel(), os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    tcp: list[socket.socket] = []
    udp: list[socket.socket] = []
    if world in {"accept", "nxdomain"}:
        tcp, udp = _listen()
        redirection.redirect({
            socket.IPPROTO_TCP: tcp[0].getsockname()[1], socket.IPPROTO_UDP: udp[0].getsockname()[1]
        })  # fmt: skip
    _enter_new_network()
    near_channel = Channel()
    near_channel.pair(far)
    for channel in (near_channel, far_channel):
        channel.up(_LOOPBACK)
        channel.up(_VETH)
    for address, gateway in zip(NEAR, _GATEWAYS, strict=True):
        near_channel.assign(_VETH, address)
        near_channel.neighbour(gateway, _MAC["far"])
        near_channel.route(_any(address), 0, index=_VETH, via=gateway)
        far_channel.route(address, index=_VETH)
        far_channel.neighbour(address, _MAC["near"])
        if world == "drop":
            far_channel.route(_any(address), 0, _BLACKHOLE)
        else:
            far_channel.route(_any(address), 0, _LOCAL, _LOOPBACK)
    for channel in (near_channel, far_channel):
        channel.up(_VETH)  # whoever sets the carrier holds the lock that this waits for
    return Ground(far, tcp, udp, [_name_server(socket.SOCK_STREAM)], [_name_server(socket.SOCK_DGRAM)])


def _any(address: str) -> str:
    return _ANYWHERE[":" in address]


def _enter_new_network() -> None:
    """Move to a new network namespace that takes packets to any address, and asks nobody for a router."""
    namespaces.unshare(namespaces.NETWORK)
    for name, text in (
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/ping_group_range", "0 2147483647"),
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
            end.setsockopt(*_TRANSPARENT[family], 1)
            if family == socket.AF_INET6:
                end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            end.bind((_ANYWHERE[family == socket.AF_INET6], port))
            port = end.getsockname()[1]
            if kind == socket.SOCK_STREAM:
                end.listen(_BACKLOG)
            else:
                end.setsockopt(*_DESTINATION[family], 1)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DATAGRAMS)
    return tcp, udp


def _name_server(kind: int) -> socket.socket:
    end = socket.socket(socket.AF_INET, kind)
    end.bind((RESOLVER, 53))
    if kind == socket.SOCK_STREAM:
        end.listen(_BACKLOG)
    return end
