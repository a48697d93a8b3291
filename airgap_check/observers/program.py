"""Tells which program a process ran when it was seen: until we look at it, it may have become another.

The kernel's programs report the file by device and inode, as the kernel itself counts them. Where they do not, the name
of the thread has to do: it changes with the program, but a program may call itself what it likes.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from airgap_check.kernel import procfs

_KNOWN = 1 << 12  # files kept at most


class Clue(NamedTuple):
    """What an event says of the program: the thread and its name, and the file; 0 is unknown."""

    tid: int = 0
    command: bytes = b""
    inode: int = 0
    device: int = 0


class Programs:
    """The executables that were seen in this run, by device and inode of the kernel."""

    def __init__(self) -> None:
        self._paths: dict[tuple[int, int], tuple[str, tuple[int, int]]] = {}

    def is_still(self, pid: int, clue: Clue) -> bool:
        """Tell whether a process still runs the program of the clue; without a clue nothing speaks against it."""
        try:
            if clue.inode:
                return self._is_file(pid, clue)
            return not clue.tid or procfs.read(pid, f"task/{clue.tid}/comm").rstrip(b"\n") == clue.command
        except OSError:
            return False

    def path(self, clue: Clue) -> str | None:
        """Return where the file of a clue was found earlier, if it is still there; None for one that nobody has met."""
        known = self._paths.get((clue.device, clue.inode))
        if known is None:
            return None
        try:
            found = os.stat(known[0])
        except OSError:
            return None
        return known[0] if (found.st_dev, found.st_ino) == known[1] else None

    def _is_file(self, pid: int, clue: Clue) -> bool:
        found = os.stat(f"/proc/{pid}/exe")
        path = os.readlink(f"/proc/{pid}/exe")
        if (found.st_dev, found.st_ino) != (clue.device, clue.inode) and (
            os.major(found.st_dev) or (clue.device, clue.inode) not in _mapped(pid, path)
        ):
            return False
        if len(self._paths) >= _KNOWN:
            del self._paths[next(iter(self._paths))]
        self._paths[clue.device, clue.inode] = path, (found.st_dev, found.st_ino)
        return True


def _mapped(pid: int, path: str) -> set[tuple[int, int]]:
    """Return device and inode of what a process has mapped from this path, as the kernel counts them.

    On btrfs and overlayfs, whose devices have the major number 0, stat(2) gives others (proc_pid_maps(5)).
    """
    found = set()
    for line in procfs.read(pid, "maps", 1 << 24).splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5] == path.encode(errors="surrogateescape"):
            major, _, minor = fields[3].partition(b":")
            found.add((os.makedev(int(major, 16), int(minor, 16)), int(fields[4])))
    return found
