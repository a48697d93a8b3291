"""Reads the kernel's tables of TCP and UDP sockets over sock_diag; knows nothing of what a connection means.

Source: sock_diag(7), include/uapi/linux/inet_diag.h, net/ipv4/inet_diag.c. This is the hot path: a host may have a
hundred thousand sockets.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from airgap_check.kernel import netlink

ESTABLISHED, SYN_SENT, SYN_RECEIVED, TIME_WAIT, CLOSE, LISTEN = 1, 2, 3, 6, 7, 10
STATES = (  # as ss(8) names them
    "UNKNOWN", "ESTAB", "SYN-SENT", "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "UNCONN", "CLOSE-WAIT",
    "LAST-ACK", "LISTEN", "CLOSING",
)  # fmt: skip
IPPROTO_UDPLITE = 136

_NETLINK_SOCK_DIAG = 4
_BY_FAMILY, _TCP_COMPATIBLE = 20, 18  # SOCK_DIAG_BY_FAMILY, TCPDIAG_GETSOCK
_EVERY_STATE = 0xFFF
_REQUEST, _ANY_COOKIE = 1, b"\xff" * 8  # NLM_F_REQUEST, INET_DIAG_NOCOOKIE
_V6ONLY, _CGROUP_ID = 11, 21  # INET_DIAG_SKV6ONLY, INET_DIAG_CGROUP_ID
_FIXED = netlink.HEADER + 72  # nlmsghdr and inet_diag_msg
_KINDS = frozenset({_BY_FAMILY, _TCP_COMPATIBLE})
_WAITING = frozenset({CLOSE, LISTEN})
# length, kind, flags | family, state | ports | addresses | interface | cookie | timers, queues | uid, inode
_SOCKET = struct.Struct("=IHH8xBBxxHH16s16s4xQ12xII").unpack_from
_CGROUP = struct.Struct("=HHQ").unpack_from


End = tuple[str, int]  # an address and a port


class Row(NamedTuple):
    """One socket of a kernel table. Addresses are packed (4 or 16 bytes, mapped ones 16 as the kernel has them).

    ``inode`` is 0 where no process holds the socket (TIME-WAIT, orphans, not yet accepted), ``cookie`` and ``cgroup``
    are 0 where the table does not tell. For raw sockets ``local_port`` is the IP protocol, for packet sockets the
    ethertype.
    """

    family: int
    state: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    uid: int
    inode: int
    cookie: int = 0
    cgroup: int = 0
    v6only: bool = False


def connect() -> socket.socket:
    """Open a channel in the network namespace of the calling thread; raises OSError where the kernel has none."""
    return netlink.connect(_NETLINK_SOCK_DIAG)


def read(channel: socket.socket, protocol: int) -> list[Row]:
    """Return every socket of one protocol (IPPROTO_TCP, _UDP, 136 for UDP-Lite), IPv4 and IPv6.

    Raises OSError: ENOENT when the kernel has no such diag module, EBADMSG when its answer makes no sense.
    """
    rows: dict[int, Row] = {}
    for request in _requests(protocol):
        netlink.dump(channel, request, lambda data: parse(data, rows))
    return list(rows.values())


def find(channel: socket.socket, protocol: int, local: End, remote: End) -> int:
    """Return the cookie of the TCP or UDP socket at ``local`` that speaks with ``remote``; 0 where there is none.

    An unconnected UDP socket at that port is one that speaks with everybody. Raises OSError for what else the kernel
    reports, and for malformed bytes; of a protocol that it cannot list it finds none.
    """
    # For UDP the kernel looks for whom a packet from the first end to the second would reach (udp_dump_one).
    near, far = (remote, local) if protocol == socket.IPPROTO_UDP else (local, remote)
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    addresses = (socket.inet_pton(family, address) for address, _ in (near, far))
    wanted = struct.pack(">HH16s16s4x8s", near[1], far[1], *addresses, _ANY_COOKIE)
    channel.send(
        netlink.message(_BY_FAMILY, _REQUEST, 1, struct.pack("=BBxxI", family, protocol, _EVERY_STATE) + wanted)
    )
    data = channel.recv(1 << 16)
    try:
        netlink.ends(data, 0)
    except FileNotFoundError:
        return 0
    if len(data) < _FIXED:
        raise netlink.malformed()
    return int(_SOCKET(data, 0)[-3])


def _requests(protocol: int) -> tuple[bytes, ...]:
    if protocol == socket.IPPROTO_TCP:
        # The first form of the request ignores the family: one walk of the hash table lists IPv4 and IPv6.
        return (netlink.dump_request(_TCP_COMPATIBLE, struct.pack("=4x48xII", _EVERY_STATE, 0)),)
    return tuple(
        netlink.dump_request(_BY_FAMILY, struct.pack("=BBxxI48x", family, protocol, _EVERY_STATE))
        for family in (socket.AF_INET, socket.AF_INET6)
    )


def parse(data: netlink.Bytes, rows: dict[int, Row]) -> bool:
    """Add the sockets of one datagram to ``rows``, keyed by cookie; tell whether the dump has ended.

    The cookie outlives a change of state, so a socket that the kernel lists twice while it walks is one row, the later.
    Raises OSError for what the kernel reports and for malformed bytes.
    """
    offsets: dict[int, int] = {}
    make, swap = tuple.__new__, socket.ntohs
    position, end = 0, len(data)
    while position < end:
        kind = 0
        if end - position >= _FIXED:
            (length, kind, flags, family, state, local_port, remote_port, local, remote, cookie, uid, inode) = _SOCKET(
                data, position
            )
        if kind not in _KINDS or flags != netlink.MULTIPART:
            if netlink.ends(data, position):
                return True
            raise netlink.malformed()
        if length < _FIXED or position + length > end:
            raise netlink.malformed()
        cgroup, v6only = 0, False
        if family == socket.AF_INET:
            local, remote = local[:4], remote[:4]
        elif state in _WAITING:
            v6only = _v6only(data, position, length)
        if length > _FIXED:
            # Messages of one length have one layout, but for a few: look where the last one had it, and check.
            offset = offsets.get(length, 0)
            size, name, cgroup = _CGROUP(data, position + offset)
            if not offset or name != _CGROUP_ID or size != 12:
                offset = offsets[length] = _cgroup_offset(data, position, length)
                cgroup = _CGROUP(data, position + offset)[2] if offset else 0
        rows[cookie or -len(rows)] = make(
            Row, (family, state, local, swap(local_port), remote, swap(remote_port), uid, inode, cookie, cgroup, v6only)
        )
        position += (length + 3) & ~3
    return False


def _v6only(data: netlink.Bytes, position: int, length: int) -> bool:
    for kind, start, end in netlink.attributes(data, position + _FIXED, position + length):
        if kind == _V6ONLY and end > start:
            return bool(data[start])
    return False


def _cgroup_offset(data: netlink.Bytes, position: int, length: int) -> int:
    """Return where in the message the attribute with the cgroup's id begins; 0 when there is none."""
    for kind, start, end in netlink.attributes(data, position + _FIXED, position + length):
        if kind == _CGROUP_ID and end - start == 8:
            return start - 4 - position
    return 0
