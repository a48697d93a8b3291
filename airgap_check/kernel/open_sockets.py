"""Finds which process holds which socket, and sockets that no table lists, by one walk over all open files.

The walk is the dearest part of an audit (a system call for each open file), so it is made once and serves both.
Source: proc_pid_fd(5), socket(7); the protocol's name is the extended attribute of net/socket.c.
"""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import filterfalse
from operator import methodcaller
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import syscalls
from airgap_check.kernel.refusal import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LINK = b"socket:[%d]"
_INTERESTING = methodcaller("startswith", (b"socket:[", b"net:["))
_ALONE = 3  # links of /proc/PID/task: itself, its parent, one thread
_ODD_THREADS = 64  # a process
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
        """Return the number of the descriptor in the thread."""
        return int(self.link.rpartition("/")[2])

    @property
    def thread(self) -> int:
        """Return the thread whose table the descriptor stands in; the process itself where all share one."""
        return int(self.link.split("/")[-3])


class OpenSockets:
    """Who holds the sockets of the tables, which sockets stand in none, and what could not be looked at.

    ``strangers`` are those sockets by inode, ``namespaces`` the links that stand for open network namespaces.
    """

    def __init__(self) -> None:
        self.strangers: dict[int, Stranger] = {}
        self.namespaces: dict[int, str] = {}
        self.failures: list[str] = []
        self._found: list[tuple[int, list[bytes]]] = []
        self._holders: dict[bytes, int] = {}

    def holder(self, inode: int) -> int | None:
        """Return the process that holds a socket: of several the oldest number, but not the init that started it."""
        for pid, links in self._found:  # sorted out at the first question: many a run has none
            self._holders.update(dict.fromkeys(links, pid))
        self._found.clear()
        return self._holders.get(_link(inode))

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
                for directory in _tables(pid):
                    self._note(pid, directory, *_links(directory), known)
            except OverflowError:
                refusals.process("did not look at the open files of every thread of a process", pid)
            except OSError:
                refusals.process("may not read the open files of a process", pid)
        self.failures = refusals.sentences()

    def _note(self, pid: int, directory: bytes, names: list[bytes], links: list[bytes], known: set[bytes]) -> None:
        self._found.append((pid, links))
        unknown = set(filterfalse(known.__contains__, links))
        if not any(map(_INTERESTING, unknown)):
            return
        for name, link in zip(names, links, strict=True):
            if link not in unknown:
                continue
            if link.startswith(b"socket:["):
                inode = int(link[8:-1])
                self.strangers[inode] = Stranger(inode, pid, f"{directory.decode()}/{name.decode()}")
            elif link.startswith(b"net:["):
                self.namespaces[int(link[5:-1])] = f"{directory.decode()}/{name.decode()}"


def own() -> frozenset[int]:
    """Return the inodes of the sockets that we hold ourselves; empty where /proc does not show them."""
    try:
        _, links = _links(b"/proc/self/fd")
    except OSError:
        return frozenset()
    return frozenset(int(link[8:-1]) for link in links if link.startswith(b"socket:["))


def _link(inode: int) -> bytes:
    return _LINK % inode


def _tables(pid: int) -> Iterator[bytes]:
    """Iterate over the directories of /proc that show what a process has open: its own, and those of odd threads.

    A thread may have files of its own (unshare(2), CLONE_FILES), and of a process whose first thread has ended only
    the others show any. Where kcmp(2) cannot tell, a thread counts as odd. Raises OverflowError above so many.
    """
    yield b"/proc/%d/fd" % pid
    task = b"/proc/%d/task" % pid
    if os.stat(task).st_nlink <= _ALONE:
        return
    odd = [pid]
    for name in os.listdir(task):
        thread = int(name)
        # Odd threads are seldom many, and if so share what the last one has.
        if thread == pid or _share(thread, pid) or _share(thread, odd[-1]):
            continue
        if len(odd) > _ODD_THREADS:
            raise OverflowError
        odd.append(thread)
        yield b"%b/%b/fd" % (task, name)


def _share(thread: int, other: int) -> bool:
    try:
        return syscalls.share_files(thread, other)
    except OSError:
        return False


def _links(path: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return the names of the links in a directory of /proc and their targets; of a thread that has ended, none."""
    try:
        names = os.listdir(path)
        directory = os.open(path, _DIRECTORY)
    except (FileNotFoundError, ProcessLookupError):
        return [], []
    try:
        return _read_links(names, directory)
    finally:
        os.close(directory)


def _read_links(names: list[bytes], directory: int) -> tuple[list[bytes], list[bytes]]:
    read = partial(os.readlink, dir_fd=directory)
    try:
        return names, list(map(read, names))
    except (FileNotFoundError, ProcessLookupError):
        pass  # closed meanwhile: once more, one by one
    found = {}
    for name in names:
        try:
            found[name] = read(name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return list(found), list(found.values())


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
