"""Knows which sockets lead out of a network namespace though it has no uplink: socket files, and families without one.

A socket file is found by its name in the file system, wherever who listens there lives; VSOCK leads to whoever runs
this machine. Source: unix(7), vsock(7), network_namespaces(7).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from airgap_check.kernel import unix_diag

if TYPE_CHECKING:
    from airgap_check.kernel.socket_call import Sent

_UNIX = 1
_WITHIN = frozenset({2, 17, 44})  # AF_INET, AF_PACKET, AF_XDP: families of sockets that are told, and stay inside
_LONGEST = 108  # bytes of sun_path
_NAMES = {21: "RDS", 29: "CAN", 30: "TIPC", 31: "Bluetooth", 39: "NFC", 40: "VSOCK", 42: "QIPCRTR"}  # AF_


def foreign_family(family: int) -> str:
    """Return the name of a family that may lead out; empty for those that do not."""
    return "" if family in _WITHIN else _NAMES.get(family, f"family {family}")


def foreign_file(sent: Sent, tid: int) -> str:
    """Return the path of the socket file that a name leads to, if nobody has bound it in our network namespace.

    Empty for every other name. Raises OSError where the kernel cannot say who has bound it.
    """
    path = sent.name[2 : 2 + _LONGEST].partition(b"\0")[0]
    if int.from_bytes(sent.name[:2], "little") != _UNIX or not path:
        return ""  # abstract names belong to a network namespace
    seen = os.fsencode(f"/proc/{tid}/{'root' if path.startswith(b'/') else 'cwd'}/") + path
    try:
        found = os.stat(seen)
    except OSError:
        return ""  # the call fails of it, too
    if not stat.S_ISSOCK(found.st_mode):
        return ""
    bound = unix_diag.bound_files()
    inode = found.st_ino & 0xFFFFFFFF
    # File systems without a device of their own (btrfs, overlayfs) have another number for stat(2) than for the kernel.
    if (inode, found.st_dev) in bound:
        return ""
    if os.major(found.st_dev) == 0 and any(inode == one for one, _ in bound):
        return ""
    return os.fsdecode(path)
