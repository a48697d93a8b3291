"""Asks the kernel which socket files are bound in a network namespace, by the file and not by its name.

Source: unix(7), include/uapi/linux/unix_diag.h, net/unix/diag.c.
"""

from __future__ import annotations

import socket
import struct

from airgap_check.kernel import netlink
from airgap_check.kernel.programs.event import device_of

_NETLINK_SOCK_DIAG, _BY_FAMILY = 4, 20
_EVERY_STATE, _SHOW_FILE = 0xFFFFFFFF, 2  # UDIAG_SHOW_VFS
_REQUEST = struct.Struct("=BBxxIII8x")  # struct unix_diag_req
_HEAD = 16  # struct unix_diag_msg
_FILE = 1  # UNIX_DIAG_VFS
_INODE_AND_DEVICE = struct.Struct("=II")


def bound_files() -> set[tuple[int, int]]:
    """Return inode (its lower 32 bits) and device of the socket files bound in the calling thread's network namespace.

    Raises OSError: ENOENT where the kernel has no such diag module.
    """
    found: set[tuple[int, int]] = set()

    def consume(data: memoryview) -> bool:
        for message in netlink.messages(data):
            if message is None:
                return True
            _, start, end = message
            for kind, first, last in netlink.attributes(data, start + _HEAD, end):
                if kind == _FILE and last - first == _INODE_AND_DEVICE.size:
                    inode, device = _INODE_AND_DEVICE.unpack_from(data, first)
                    found.add((inode, device_of(device)))
        return False

    request = _REQUEST.pack(socket.AF_UNIX, 0, _EVERY_STATE, 0, _SHOW_FILE)
    with netlink.connect(_NETLINK_SOCK_DIAG) as channel:
        netlink.dump(channel, netlink.dump_request(_BY_FAMILY, request), consume)
    return found
