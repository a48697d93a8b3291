"""Finds the points of view on this host from which names are looked up: a network, and the files that libc reads.

Processes are grouped by mount and network namespace; a chroot inside a mount namespace is not looked into. Everybody's
resolv.conf says which name servers are in use. But anybody can give himself a mount namespace with files of his own, so
only our own view and those of the audited runtimes may say where names lead, and whom we ask.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.kernel import cgroup, procfs
from airgap_check.kernel.refusal import Refusals
from airgap_check.names import nsswitch, resolv_conf
from airgap_check.names.root import AdministratorsRoot, FolderRoot, ProcessRoot, Root, UsersRootError, read_or_empty
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airgap_check.names.nsswitch import Sources
    from airgap_check.names.resolv_conf import ResolvConf

RESOLV_CONF, NSSWITCH = "/etc/resolv.conf", "/etc/nsswitch.conf"


class Vantage(NamedTuple):
    """One point of view: a network namespace, files, and what two of them say; ``source`` names its resolv.conf.

    What our own and those of runtimes say of names counts; the *other* ones only tell which name servers are in use.
    """

    netns: int
    root: Root
    conf: ResolvConf
    sources: Sources = nsswitch.USUAL
    source: str = RESOLV_CONF
    standing: Literal["own", "runtime", "other"] = "other"


class Panorama(NamedTuple):
    """All points of view, our own first if it could be read, and what could not be seen.

    ``processes`` maps each network namespace to the processes in it; ``hosts_runtime`` tells whether a runtime shares
    our own view, ``disbelieved`` names the runtimes whose files a user other than root could have put there.
    """

    own: int
    vantages: tuple[Vantage, ...]
    processes: dict[int, list[int]]
    failures: tuple[str, ...]
    hosts_runtime: bool = False
    disbelieved: tuple[str, ...] = ()


def survey(runtimes: Collection[int], deadline: float | None) -> Panorama:
    """Look at every process once; ``runtimes`` are pids, ``deadline`` is a time.monotonic() value.

    The nsswitch.conf of others than the believed is assumed to be the usual one: there are hosts with hundreds of mount
    namespaces.
    """
    refusals = Refusals()
    if not sys.platform.startswith("linux"):
        own_view = _with_sources(_read(0, FolderRoot("/")), refusals)._replace(standing="own")
        return Panorama(0, (own_view,), {}, ("only Linux shows how other programs see names",))
    try:
        us = int(os.readlink("/proc/self"))  # os.getpid() may be somebody else to the /proc of another pid namespace
        own = _namespaces(us)
        groups = _groups(us, own, refusals)
    except OSError as error:
        return Panorama(0, (), {}, (f"/proc does not show our own process ({error.strerror}): is it mounted?",))
    processes: dict[int, list[int]] = {}
    vantages = []
    disbelieved: dict[str, None] = {}
    for (mount, netns), pids in groups.items():
        processes.setdefault(netns, []).extend(pids)
        group = _Group(netns, foreign=mount != own[0])
        if deadline is not None and time.monotonic() >= deadline:
            refusals.add(f"had no time left to read {RESOLV_CONF} in a mount namespace", str(mount))
        elif (mount, netns) == own:
            if view := _of_group(group, [us], lambda _pid: FolderRoot("/"), refusals):
                vantages.append(_with_sources(view, refusals)._replace(standing="own"))
        elif view := _of_runtimes(group, [pid for pid in pids if pid in runtimes], refusals, disbelieved):
            vantages.append(_with_sources(view, refusals)._replace(standing="runtime"))
        elif view := _of_group(group, pids, ProcessRoot, refusals):
            vantages.append(view)
    ours = any(pid in runtimes for pid in groups[own])
    return Panorama(own[1], tuple(vantages), processes, tuple(refusals.sentences()), ours, tuple(disbelieved))


def _groups(us: int, own: tuple[int, int], refusals: Refusals) -> dict[tuple[int, int], list[int]]:
    """Group the processes by mount and network namespace, our own group first."""
    groups: dict[tuple[int, int], list[int]] = {own: [us]}
    for pid in procfs.pids():
        try:
            groups.setdefault(_namespaces(pid), []).append(pid)
        except OSError:
            refusals.process("may not see the namespaces of a process", pid)
    return groups


def _namespaces(pid: int) -> tuple[int, int]:
    """Return the inodes of a process's mount and network namespace."""
    return os.stat(f"/proc/{pid}/ns/mnt").st_ino, os.stat(f"/proc/{pid}/ns/net").st_ino


class _Group(NamedTuple):
    """The processes of one mount and network namespace; ``foreign`` when the mounts are not ours."""

    netns: int
    foreign: bool


def _of_runtimes(group: _Group, pids: list[int], refusals: Refusals, disbelieved: dict[str, None]) -> Vantage | None:
    """Read the files of a group as its first runtime sees them whose files are root's; name the other runtimes."""
    for pid in pids:
        try:
            return _of_group(group, [pid], AdministratorsRoot, refusals)
        except UsersRootError:
            disbelieved[_name(pid)] = None
    return None


def _of_group(group: _Group, pids: list[int], root_of: Callable[[int], Root], refusals: Refusals) -> Vantage | None:
    """Read the files of a group through the first process that is still there; None when nothing was to be had.

    Raises `UsersRootError` for an `AdministratorsRoot` that is none.
    """
    for pid in pids:
        if group.foreign and procfs.is_kernel_thread(pid):  # kdevtmpfs has mounts of its own, and looks nothing up
            continue
        try:
            vantage = _read(group.netns, root_of(pid))
            if os.path.exists(f"/proc/{pid}/ns/mnt"):  # else it is not the files that are missing
                return vantage._replace(source=f"{RESOLV_CONF} of {_name(pid)}") if group.foreign else vantage
        except UsersRootError:
            raise
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ESRCH}:
                refusals.process(f"may not read {RESOLV_CONF} of a process ({error.strerror})", pid)
                return None
    return None


def _read(netns: int, root: Root) -> Vantage:
    return Vantage(netns, root, resolv_conf.parse(read_or_empty(root, RESOLV_CONF, resolv_conf.LIMIT)))


def _with_sources(vantage: Vantage, refusals: Refusals) -> Vantage:
    try:
        return vantage._replace(sources=nsswitch.parse(read_or_empty(vantage.root, NSSWITCH)))
    except OSError as error:
        refusals.add(f"may not read {NSSWITCH} ({error.strerror}) where this is read", vantage.source)
        return vantage


def _name(pid: int) -> str:
    """Name a process by its workload, else by its program: no pid, tomorrow it is another one."""
    workload = cgroup.of_process(pid)
    if workload is not None and workload.kind != "cgroup":
        return f"{workload.kind} {workload.name}"
    try:
        return "process " + printable(procfs.read(pid, "comm").decode(errors="replace").strip())
    except OSError:
        return "a process"
