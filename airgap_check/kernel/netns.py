"""Finds the network namespaces of this host and works inside them.

A namespace lives as long as something holds it: a process or thread in it, a bind mount (`ip netns`, container
runtimes), an open descriptor of it, or an open socket that was created in it. The first two are found here, the other
two by `open_sockets`.
Source: network_namespaces(7), setns(2), ioctl_nsfs(2), proc_pid_ns(5).
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from airgap_check.kernel import foreign_path, mountinfo, procfs, syscalls
from airgap_check.kernel.refusal import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
_OURS = "/proc/thread-self/ns/net"
_OPEN = os.O_RDONLY | os.O_CLOEXEC
_SIOCGSKNS = 0x894C  # include/uapi/linux/sockios.h: a descriptor of the namespace that a socket belongs to
_PIDFD_THREAD = os.O_EXCL  # include/uapi/linux/pidfd.h
_LONGEST_MOUNTINFO = 1 << 26
_ALONE = 3  # links of /proc/PID/task: itself, its parent, one thread


class Namespace(NamedTuple):
    """A network namespace. ``pids`` are the processes in it, or the one that holds it by a socket.

    ``ways`` lead to it: a link of /proc; a process and a mount point as it sees it; or a process and the descriptor of
    its socket.
    """

    inode: int
    holder: Literal["process", "mount", "socket"]
    pids: tuple[int, ...] = ()
    ways: tuple[tuple[int, str], ...] = ()


def discover() -> tuple[list[Namespace], list[str]]:
    """Find the namespaces that a process, a thread or a mount holds; say in words what could not be looked at."""
    refusals = Refusals()
    members: dict[int, list[int]] = {}
    links: dict[int, str] = {}
    mounted: dict[int, list[tuple[int, str]]] = {}
    mount_namespaces: set[str] = set()
    try:
        pids = procfs.pids()
    except OSError as error:
        return [], [f"could not list the processes: {error.strerror}"]
    if pids and pids[0] != 1:
        refusals.add("the processes of other users are hidden from us (hidepid of /proc)")
    for pid in pids:
        try:
            for inode, link in _memberships(pid):
                members.setdefault(inode, []).append(pid)
                links.setdefault(inode, link)
            mounts = os.readlink(f"/proc/{pid}/ns/mnt")
            if mounts not in mount_namespaces:
                mount_namespaces.add(mounts)
                for inode, point in _mounted(pid):
                    mounted.setdefault(inode, []).append((pid, point))
        except OSError:
            refusals.process("may not see the network namespace of a process", pid)
    found = [Namespace(inode, "process", tuple(inside), ((0, links[inode]),)) for inode, inside in members.items()]
    found += [Namespace(inode, "mount", (), tuple(ways)) for inode, ways in mounted.items() if inode not in members]
    return sorted(found), refusals.sentences()


def _memberships(pid: int) -> Iterator[tuple[int, str]]:
    """Iterate over the namespaces that the threads of a process are in, each once, with a link to it."""
    seen = set()
    link = f"/proc/{pid}/ns/net"
    try:
        seen.add(os.readlink(link))
        yield _inode(next(iter(seen))), link
    except FileNotFoundError:
        pass  # the first thread has ended; others may run on
    if os.stat(f"/proc/{pid}/task").st_nlink <= _ALONE:
        return
    for thread in os.listdir(f"/proc/{pid}/task"):
        link = f"/proc/{pid}/task/{thread}/ns/net"
        try:
            name = os.readlink(link)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name not in seen:
            seen.add(name)
            yield _inode(name), link


def _inode(name: str) -> int:
    """Return the inode of ``net:[4026531840]``."""
    return int(name[5:-1])


def _mounted(pid: int) -> Iterator[tuple[int, str]]:
    """Iterate over the network namespaces that are bind-mounted where a process could see them, and the places."""
    for mount in mountinfo.parse(procfs.read(pid, "mountinfo", _LONGEST_MOUNTINFO), "nsfs"):
        if mount.root.startswith("net:[") and mount.root[5:-1].isdecimal():
            yield _inode(mount.root), mount.point


def inside(namespace: Namespace, work: Callable[[], T]) -> T:
    """Run ``work`` in a network namespace and return its result; whatever it raises is raised here.

    A thread of its own joins the namespace and ends; nobody else's network changes. Raises OSError when the namespace
    has gone (FileNotFoundError, ProcessLookupError) or may not be joined (PermissionError).
    """
    if namespace.inode == own_inode():
        return work()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            descriptor = _open(namespace)
            try:
                syscalls.setns(descriptor, syscalls.CLONE_NEWNET)
            finally:
                os.close(descriptor)
            results.append(work())
        except BaseException as error:  # noqa: BLE001  (handed over to the caller's thread, not swallowed)
            errors.append(error)

    thread = threading.Thread(target=run, name=f"netns {namespace.inode}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def own_inode() -> int:
    """Return the inode of the network namespace of the calling thread; 0 where the kernel shows none."""
    try:
        return os.stat(_OURS).st_ino
    except OSError:
        return 0


def _open(namespace: Namespace) -> int:
    """Return a descriptor of the very namespace, although pids and mounts may have changed hands meanwhile."""
    ways = namespace.ways + tuple((0, f"/proc/{pid}/ns/net") for pid in namespace.pids)
    for pid, path in ways if namespace.holder == "process" else namespace.ways:
        try:
            if namespace.holder == "socket":
                return _checked(of_socket(pid, int(path)), namespace.inode)
            located = foreign_path.locate(pid, path) if pid else os.open(path, os.O_PATH | os.O_CLOEXEC)
            return _opened(located, namespace.inode)
        except (FileNotFoundError, ProcessLookupError):
            continue
    if namespace.holder == "mount" and any(_is_mounted(pid, namespace.inode) for pid, _ in namespace.ways):
        raise OSError(errno.EBUSY, "something else is mounted over it")
    raise ProcessLookupError(errno.ESRCH, "the network namespace has gone")


def _opened(located: int, inode: int) -> int:
    """Open what an O_PATH descriptor stands for, but look first: opening what a stranger put there may do something."""
    try:
        os.close(_checked(os.dup(located), inode))
        return os.open(f"/proc/thread-self/fd/{located}", _OPEN)
    finally:
        os.close(located)


def _is_mounted(pid: int, inode: int) -> bool:
    try:
        return any(mounted == inode for mounted, _ in _mounted(pid))
    except OSError:
        return False


def _checked(descriptor: int, inode: int) -> int:
    """Return a descriptor of this namespace as it is; close any other and raise FileNotFoundError."""
    status = os.fstat(descriptor)
    if status.st_ino == inode and status.st_dev == os.stat(_OURS).st_dev:
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, "the network namespace has gone")


def of_socket(pid: int, descriptor: int) -> int:
    """Return a descriptor of the network namespace that the socket of a process or thread was created in.

    Our copy of the socket lives for one system call. Raises OSError: PermissionError where we may not, ENOTTY when the
    descriptor is no socket any more.
    """
    try:
        process = os.pidfd_open(pid, _PIDFD_THREAD)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        process = os.pidfd_open(pid)  # before Linux 6.9 there is no way to the descriptors that only a thread has
    try:
        copy = syscalls.pidfd_getfd(process, descriptor)
        try:
            return fcntl.ioctl(copy, _SIOCGSKNS)
        finally:
            os.close(copy)
    finally:
        os.close(process)


def maker() -> int:
    """Return who made the user namespace that owns the calling thread's network namespace: 0 is root.

    Anybody can make a user namespace and, in it, a network namespace with whatever addresses he likes. Namespaces of
    an outer user namespace, which we may not ask about, are the administrator's. Raises OSError.
    """
    namespace = os.open(_OURS, _OPEN)
    try:
        owner = syscalls.owning_namespace(namespace)
    except PermissionError:
        return 0
    finally:
        os.close(namespace)
    try:
        return syscalls.owner_uid(owner)
    finally:
        os.close(owner)
