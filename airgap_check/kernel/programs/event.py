"""What every program says of one attempt: 112 bytes, in the byte order of the host but for address and port."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airgap_check.kernel.netlink import Bytes

# Where each field stands, for those who write the programs.
AT, PID, TID, UID, SOURCE, CGROUP, NETNS, COOKIE = 0, 8, 12, 16, 20, 24, 32, 40
ADDRESS, PORT, PROTOCOL, HOOK, FAMILY, TYPE, FLAGS, STARTED = 48, 64, 66, 67, 68, 69, 70, 72
EXECUTABLE, DEVICE, COMMAND = 80, 88, 96
LOCAL_PORT = INTERFACE = SOURCE  # the same four bytes: which it is depends on the hook
SIZE = 112

# The hooks: what stands in the field, by name.
CONNECT4, CONNECT6, SENDMSG4, SENDMSG6, EGRESS, QUEUE = 10, 11, 14, 15, 1, 200

REPLY = 1  # a datagram to a peer that had spoken first, on the same socket; its port is 0
HOUSEKEEPING = 2  # of a kind that the kernel sends by itself, from a socket that it made as far as can be known
FROM_DHCP_CLIENT = 4  # the local port is that of a DHCP client, which sets it apart from others to the same place
SOURCE_ROUTED = 8  # a packet that goes where its own header says, not where the socket was told to send or connect
_LAYOUT = struct.Struct("=QIIIIQQQ16s2sBBBBHQQI4x16s")


class Event(NamedTuple):
    """One attempt, or the first of many alike.

    ``at`` is CLOCK_MONOTONIC, ``started`` (of the process) CLOCK_BOOTTIME, both in nanoseconds; ``started`` is 0 where
    the kernel would not say. ``pid`` is that of our own pid namespace and ``tid`` that of the thread there, 0 where it
    is not known. ``address`` has 16 bytes, IPv4 as ::ffff:a.b.c.d; ``family`` is that of the socket. ``source`` is
    where it leaves from: the local port of a socket that connects or sends (0 before the kernel has picked one; of many
    alike, the first one's), the interface of what a packet socket sends, 0 otherwise.

    ``executable`` is the inode number of the program that the process ran at that moment (of a raw socket: when it was
    made) and ``device`` that of its file system, as `os.makedev` counts; both are 0 where they are not known. They are
    the kernel's own (``i_ino``, ``s_dev``): btrfs shows stat(2) another device, and overlayfs over several file systems
    and without ``xino`` another inode too.
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
    executable: int = 0
    device: int = 0


def decode(data: Bytes) -> Event:
    """Read one event; raises `struct.error` when it has another size than `SIZE`."""
    *before, port, protocol, hook, family, kind, flags, started, executable, device, command = _LAYOUT.unpack(data)
    after = int.from_bytes(port, "big"), protocol, hook, family, kind, flags, started, command.partition(b"\0")[0]
    return Event._make((*before, *after, executable, device_of(device)))


def device_of(number: int) -> int:
    """Return a device, as the kernel writes it (include/linux/kdev_t.h), as stat(2) does."""
    return os.makedev(number >> 20, number & 0xFFFFF)
