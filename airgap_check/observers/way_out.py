"""Knows which sockets lead out of a network namespace though it has no uplink: socket files, and families without one.

A socket file is found by its name in the file system, wherever who listens there lives; VSOCK leads to whoever runs
this machine. Source: unix(7), vsock(7), network_namespaces(7).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import TYPE_CHECKING

from airgap_check.kernel import foreign_path, unix_diag

if TYPE_CHECKING:
    from airgap_check.kernel.socket_call import Sent

_UNIX = 1
_WITHIN = frozenset({2, 17, 44})  # AF_INET, AF_PACKET, AF_XDP: families of sockets that are told, and stay inside
_LONGEST = 108  # bytes of sun_path
# How programs reach a socket file by a folder that they hold, whose path may be too long for a name.
_BY_PROC = re.compile(r"/proc/(?:self|thread-self)/(cwd|root|fd/[0-9]+)/(.*)", re.DOTALL)
_NAMES = {21: "RDS", 29: "CAN", 30: "TIPC", 31: "Bluetooth", 39: "NFC", 40: "VSOCK", 42: "QIPCRTR"}  # AF_


def foreign_family(family: int) -> str:
    """Return the name of a family that may lead out; empty for those that do not."""
    return "" if family in _WITHIN else _NAMES.get(family, f"family {family}")


def foreign_file(sent: Sent, tid: int) -> str:
    """Return the path of the socket file that a name leads to, unless it is one bound in our network namespace.

    Empty for every other name, and where there is no such file. A path that we cannot follow as the caller does leads
    out, for all that we know. Raises OSError where the kernel cannot say who has bound what.
    """
    name = sent.name[2 : 2 + _LONGEST].partition(b"\0")[0]
    if int.from_bytes(sent.name[:2], "little") != _UNIX or not name:
        return ""  # abstract names belong to a network namespace
    path = os.fsdecode(name)
    try:
        found = _found(path, tid)
    except (FileNotFoundError, NotADirectoryError):
        return ""  # the call fails of it, too
    except OSError:
        return path
    return path if stat.S_ISSOCK(found.st_mode) and not _is_bound(found) else ""


def _found(path: str, tid: int) -> os.stat_result:
    """Describe what a thread finds at a path, in its own mount namespace, below its own root. Raises OSError."""
    start, rest = (None, path) if path.startswith("/") else ("cwd", path)
    if begun := _BY_PROC.fullmatch(path):
        start, rest = begun[1], begun[2]
    if start:
        rest = f"{_folder(tid, start)}/{rest}"
    located = foreign_path.locate(tid, rest)
    try:
        return os.fstat(located)
    finally:
        os.close(located)


def _folder(tid: int, held: str) -> str:
    """Return the path by which a thread itself would find what it holds. Raises OSError where there is none."""
    path = os.readlink(f"/proc/{tid}/{held}")  # as we would call it: it may be below another root than his
    try:
        if foreign_path.identity(tid, path) == _identity(os.stat(f"/proc/{tid}/{held}")):
            return path
    except FileNotFoundError:
        pass
    raise OSError(errno.EXDEV, "we and the thread call it otherwise", path)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _is_bound(found: os.stat_result) -> bool:
    bound, inode = unix_diag.bound_files(), found.st_ino & 0xFFFFFFFF
    # File systems without a device of their own (btrfs, overlayfs) have another number for stat(2) than for the kernel.
    nameless = os.major(found.st_dev) == 0
    return (inode, found.st_dev) in bound or (nameless and any(inode == one for one, _ in bound))
