"""Finds the points of view on this host from which names are looked up: a network, and the files that libc reads.

Processes are grouped by mount and network namespace; a chroot inside a mount namespace is not looked into.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import cgroup, procfs
from airgap_check.kernel.refusal import Refusals
from airgap_check.names import nsswitch, resolv_conf
from airgap_check.names.root import FolderRoot, ProcessRoot, Root, read_or_empty
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Collection

    from airgap_check.names.nsswitch import Sources
    from airgap_check.names.resolv_conf import ResolvConf

RESOLV_CONF, NSSWITCH = "/etc/resolv.conf", "/etc/nsswitch.conf"


class Vantage(NamedTuple):
    """One point of view: a network namespace, files, and what two of them say; ``source`` names its resolv.conf."""

    netns: int
    root: Root
    conf: ResolvConf
    sources: Sources = nsswitch.USUAL
    source: str = RESOLV_CONF


class Panorama(NamedTuple):
    """All points of view, our own first if it could be read, and what could not be seen.

    ``processes`` maps each network namespace to the processes in it.
    """

    own: int
    vantages: tuple[Vantage, ...]
    processes: dict[int, list[int]]
    failures: tuple[str, ...]


def survey(subjects: Collection[int], deadline: float | None) -> Panorama:
    """Look at every process once; ``deadline`` is a time.monotonic() value.

    The nsswitch.conf of others is read in the network namespaces of the ``subjects`` only, and assumed to be the usual
    one elsewhere: there are hosts with hundreds of mount namespaces.
    """
    refusals = Refusals()
    if not sys.platform.startswith("linux"):
        own_view = _with_sources(_read(0, FolderRoot("/")), refusals)
        return Panorama(0, (own_view,), {}, ("only Linux shows how other programs see names",))
    own = _namespaces(os.getpid())
    groups: dict[tuple[int, int], list[int]] = {own: [os.getpid()]}
    for pid in procfs.pids():
        try:
            groups.setdefault(_namespaces(pid), []).append(pid)
        except OSError:
            refusals.process("may not see the namespaces of a process", pid)
    processes: dict[int, list[int]] = {}
    vantages = []
    for (mount, netns), pids in groups.items():
        processes.setdefault(netns, []).extend(pids)
        if deadline is not None and time.monotonic() >= deadline:
            refusals.add(f"had no time left to read {RESOLV_CONF} in a mount namespace", str(mount))
        elif vantage := _of_group(netns, pids, refusals, foreign=mount != own[0]):
            if mount == own[0] or netns in subjects:
                vantage = _with_sources(vantage, refusals)
            vantages.append(vantage)
    return Panorama(own[1], tuple(vantages), processes, tuple(refusals.sentences()))


def _namespaces(pid: int) -> tuple[int, int]:
    """Return the inodes of a process's mount and network namespace."""
    return os.stat(f"/proc/{pid}/ns/mnt").st_ino, os.stat(f"/proc/{pid}/ns/net").st_ino


def _of_group(netns: int, pids: list[int], refusals: Refusals, *, foreign: bool) -> Vantage | None:
    """Read the files of a group through the first process that is still there; None when nothing was to be had."""
    for pid in pids:
        if foreign and procfs.is_kernel_thread(pid):  # kdevtmpfs has mounts of its own, and looks nothing up
            continue
        try:
            vantage = _read(netns, FolderRoot("/") if pid == os.getpid() else ProcessRoot(pid))
            if os.path.exists(f"/proc/{pid}/ns/mnt"):  # else it is not the files that are missing
                return vantage._replace(source=f"{RESOLV_CONF} of {_name(pid)}") if foreign else vantage
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
