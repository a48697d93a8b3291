"""Finds which process holds which socket, and sockets that no table lists, by one walk over all open files.

The walk is the dearest part of an audit (a system call for each open file), so it is made once and serves both.
Source: proc_pid_fd(5), socket(7); the protocol's name is the extended attribute of net/socket.c.
"""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel.refusal import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LINK = b"socket:[%d]"
# What can talk to the network; UNIX and NETLINK sockets, the bulk of what no table of ours lists, cannot.
NETWORKED = frozenset({
    b"TCP", b"TCPv6", b"UDP", b"UDPv6", b"UDP-Lite", b"UDPLITEv6", b"MPTCP", b"MPTCPv6", b"RAW", b"RAWv6", b"PING",
    b"PINGv6", b"PACKET", b"SCTP", b"SCTPv6", b"DCCP", b"DCCPv6", b"SMC", b"SMC6", b"XDP", b"L2TP/IP", b"L2TP/IPv6",
    b"QUIC", b"QUICv6",
})  # fmt: skip


class Stranger(NamedTuple):
    """A socket that no table listed: the process that holds it, and the link of /proc that stands for it."""

    inode: int
    pid: int
    link: str

    @property
    def descriptor(self) -> int:
        """Return the number of the descriptor in the process."""
        return int(self.link.rpartition("/")[2])


class OpenSockets:
    """Who holds the sockets of the tables, which sockets stand in none, and what could not be looked at.

    ``strangers`` are those sockets by inode, ``namespaces`` the links that stand for open network namespaces.
    """

    def __init__(self) -> None:
        self.strangers: dict[int, Stranger] = {}
        self.namespaces: dict[int, str] = {}
        self.failures: list[str] = []
        self._holders: dict[bytes, int] = {}

    def holder(self, inode: int) -> int | None:
        """Return the process that holds a socket: of several the oldest number, but not the init that started it."""
        pid = self._holders.get(_link(inode))
        if pid is None and inode in self.strangers:
            return self.strangers[inode].pid
        return pid

    def walk(self, pids: Iterable[int], inodes: Iterable[int], deadline: float | None) -> None:
        """Look at every open file of these processes; ``inodes`` are the sockets that the tables list."""
        refusals = Refusals()
        known = set(map(_LINK.__mod__, inodes))
        # The last one found wins. Where init opened a socket for a service, the service is the one to name.
        order = sorted(pids, key=lambda pid: (pid != 1, -pid))
        for number, pid in enumerate(order):
            if deadline is not None and time.monotonic() > deadline:
                refusals.add(f"time was up with the open files of {len(order) - number} processes still unread")
                break
            try:
                directory, links = _links(pid)
            except OSError:
                refusals.process("may not read the open files of a process", pid)
                continue
            for link in [link for link in links if link not in known]:
                name = links.pop(link)
                if link.startswith(b"socket:["):
                    inode = int(link[8:-1])
                    self.strangers[inode] = Stranger(inode, pid, f"{directory.decode()}/{name.decode()}")
                elif link.startswith(b"net:["):
                    self.namespaces[int(link[5:-1])] = f"{directory.decode()}/{name.decode()}"
            self._holders.update(dict.fromkeys(links, pid))
        self.failures = refusals.sentences()


def _link(inode: int) -> bytes:
    return _LINK % inode


def _links(pid: int) -> tuple[bytes, dict[bytes, bytes]]:
    """Return what a process has open: the directory of /proc, and the target of each link in it -> its name."""
    path = b"/proc/%d/fd" % pid
    descriptors = os.listdir(path)
    if not descriptors:
        # A process whose first thread has ended looks as if it had nothing open; its other threads still have.
        threads = os.listdir(b"/proc/%d/task" % pid)
        if len(threads) < 2:
            return path, {}
        path = b"/proc/%d/task/%b/fd" % (pid, max(threads, key=int))
        descriptors = os.listdir(path)
    directory = os.open(path, _DIRECTORY)
    try:
        return path, _read_links(descriptors, directory)
    finally:
        os.close(directory)


def _read_links(descriptors: list[bytes], directory: int) -> dict[bytes, bytes]:
    read = partial(os.readlink, dir_fd=directory)
    try:
        return dict(zip(map(read, descriptors), descriptors, strict=True))
    except (FileNotFoundError, ProcessLookupError):
        pass  # closed meanwhile: once more, one by one
    found = {}
    for descriptor in descriptors:
        try:
            found[read(descriptor)] = descriptor
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def is_networked(stranger: Stranger) -> bool:
    """Tell whether a socket is of a kind that talks to the network; False when it has been closed meanwhile."""
    try:
        name = os.getxattr(stranger.link, "system.sockprotoname")
    except OSError:
        return False
    return name.rstrip(b"\0") in NETWORKED


def is_open(stranger: Stranger) -> bool:
    """Tell whether the process still holds the socket."""
    try:
        return os.readlink(os.fsencode(stranger.link)) == _link(stranger.inode)
    except OSError:
        return False
