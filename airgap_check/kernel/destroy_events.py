"""Hears of every TCP and UDP socket that ends in a network namespace, with both its ends.

Source: sock_diag(7), net/core/sock_diag.c (sock_diag_broadcast_destroy), include/uapi/linux/sock_diag.h. The message is
that of a dump, but uid, inode and cgroup are missing. A socket that was never connected has no remote address, one that
was refused no remote port. Needs no right; without CAP_NET_ADMIN the buffer stays small.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import NamedTuple

from airgap_check.kernel import netlink, sock_diag

_GROUPS = (1, 2, 3, 4)  # SKNLGRP_INET_TCP_DESTROY, _UDP_DESTROY, INET6_TCP_DESTROY, INET6_UDP_DESTROY
_SOL_NETLINK, _ADD_MEMBERSHIP, _SO_RCVBUFFORCE = 270, 1, 33
_PROTOCOL = 10  # INET_DIAG_PROTOCOL
_LONGEST = 1 << 14
_FIXED = netlink.HEADER + 72  # nlmsghdr and inet_diag_msg
# length, kind | family | ports | addresses | cookie
_EVENT = struct.Struct("=IH10xB3xHH16s16s4xQ20x").unpack_from
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_FIRST_ATTRIBUTE = struct.Struct("=HHB").unpack_from


class Ended(NamedTuple):
    """A socket that has ended; addresses are packed, mapped ones of 16 bytes. ``cookie`` is that of the tables."""

    protocol: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    cookie: int


class DestroyEvents:
    """The events of the network namespace of the thread that makes this.

    ``buffer`` is in bytes, as asked for and then as granted. The kernel gives twice that (socket(7)), of which an event
    takes about 1280. Raises OSError where the kernel has no such events.
    """

    def __init__(self, buffer: int) -> None:
        self._channel = sock_diag.connect()
        try:
            try:
                self._channel.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
            except PermissionError:
                self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            self.buffer = self._channel.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # the kernel doubles it
            self._channel.bind((0, 0))
            for group in _GROUPS:
                self._channel.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except BaseException:
            self._channel.close()
            raise
        self.nonsense = 0
        self._bytes = memoryview(bytearray(_LONGEST))

    def fileno(self) -> int:
        """Return the descriptor that becomes readable with an event."""
        return self._channel.fileno()

    def read(self, most: int) -> tuple[list[Ended], int]:
        """Return what waits, at most so many, without blocking, and how often events were lost since the last call.

        Messages that are no event are counted in ``nonsense``. Raises OSError.
        """
        found: list[Ended] = []
        overruns = 0
        while len(found) < most:
            try:
                size, sender = self._channel.recvfrom_into(self._bytes, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                overruns += 1
                continue
            if sender[0] == 0:  # who is root in the namespace may write to the group, too
                try:
                    found.append(parse(self._bytes[:size]))
                except OSError:
                    self.nonsense += 1
        return found, overruns

    def close(self) -> None:
        """Leave the groups."""
        self._channel.close()


def parse(data: netlink.Bytes) -> Ended:
    """Read the one message of a datagram; raises OSError (EBADMSG) for nonsense."""
    if len(data) < _FIXED:
        raise netlink.malformed()
    length, kind, family, local_port, remote_port, local, remote, cookie = _EVENT(data)
    if kind != _BY_FAMILY or not _FIXED <= length <= len(data):
        raise netlink.malformed()
    if family == socket.AF_INET:
        local, remote = local[:4], remote[:4]
    swap = socket.ntohs
    return Ended(_protocol(data, length), local, swap(local_port), remote, swap(remote_port), cookie)


def _protocol(data: netlink.Bytes, length: int) -> int:
    if length >= _FIXED + 5:
        size, kind, protocol = _FIRST_ATTRIBUTE(data, _FIXED)
        if size == 5 and kind == _PROTOCOL:  # it stands first, on every kernel so far
            return int(protocol)
    for kind, start, end in netlink.attributes(data, _FIXED, length):
        if kind == _PROTOCOL and end > start:
            return data[start]
    raise netlink.malformed()
