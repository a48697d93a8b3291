"""What every program says of one attempt: 96 bytes, in the byte order of the host but for address and port."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airgap_check.kernel.netlink import Bytes

# Where each field stands, for those who write the programs.
AT, PID, TID, UID, SOURCE, CGROUP, NETNS, COOKIE = 0, 8, 12, 16, 20, 24, 32, 40
ADDRESS, PORT, PROTOCOL, HOOK, FAMILY, TYPE, FLAGS, STARTED, COMMAND = 48, 64, 66, 67, 68, 69, 70, 72, 80
LOCAL_PORT = INTERFACE = SOURCE  # the same four bytes: which it is depends on the hook
SIZE = 96

# The hooks: what stands in the field, by name.
CONNECT4, CONNECT6, SENDMSG4, SENDMSG6, EGRESS, QUEUE = 10, 11, 14, 15, 1, 200

REPLY = 1  # a datagram to a peer that had spoken first, on the same socket; its port is 0
FROM_DHCP_CLIENT = 4  # the local port is that of a DHCP client, which sets it apart from others to the same place
_LAYOUT = struct.Struct("=QIIIIQQQ16s2sBBBBHQ16s")


class Event(NamedTuple):
    """One attempt, or the first of many alike.

    ``at`` is CLOCK_MONOTONIC, ``started`` (of the process) CLOCK_BOOTTIME, both in nanoseconds; ``started`` is 0 where
    the kernel would not say. ``pid`` is that of our own pid namespace, 0 where it is not known. ``address`` has 16
    bytes, IPv4 as ::ffff:a.b.c.d; ``family`` is that of the socket. ``source`` is where it leaves from: the local port
    of a socket that connects or sends (0 before the kernel has picked one; of many alike, the first one's), the
    interface of what a packet socket sends, 0 otherwise.
    """

    at: int
    pid: int
    tid: int
    uid: int
    source: int
    cgroup: int
    netns: int
    cookie: int
    address: bytes
    port: int
    protocol: int
    hook: int
    family: int
    type: int
    flags: int
    started: int
    command: bytes


def decode(data: Bytes) -> Event:
    """Read one event; raises `struct.error` when it has another size than `SIZE`."""
    *before, port, protocol, hook, family, kind, flags, started, command = _LAYOUT.unpack(data)
    command = command.partition(b"\0")[0]
    return Event._make((*before, int.from_bytes(port, "big"), protocol, hook, family, kind, flags, started, command))
