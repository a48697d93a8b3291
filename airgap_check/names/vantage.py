"""Finds the points of view on this host from which names are looked up: a network, a resolv.conf, a hosts file each.

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
from airgap_check.names import resolv_conf
from airgap_check.names.root import FolderRoot, ProcessRoot, Root
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.names.resolv_conf import ResolvConf

RESOLV_CONF = "/etc/resolv.conf"


class Vantage(NamedTuple):
    """One point of view; ``source`` names its resolv.conf, ``conf`` is None when that could not be read."""

    netns: int
    root: Root
    source: str
    conf: ResolvConf | None


class Panorama(NamedTuple):
    """All points of view, our own first; the processes of each network namespace; what could not be seen."""

    own: int
    vantages: tuple[Vantage, ...]
    processes: dict[int, list[int]]
    failures: tuple[str, ...]


def survey(deadline: float | None) -> Panorama:
    """Look at every process once; ``deadline`` is a time.monotonic() value."""
    refusals = Refusals()
    if not sys.platform.startswith("linux"):
        root = FolderRoot("/")
        conf = resolv_conf.parse(root.read(RESOLV_CONF, resolv_conf.LIMIT))
        return Panorama(0, (Vantage(0, root, RESOLV_CONF, conf),), {}, ("other programs' view: seen on Linux only",))
    own = _namespaces(os.getpid())
    groups: dict[tuple[int, int], list[int]] = {own: [os.getpid()]}
    for pid in procfs.pids():
        try:
            groups.setdefault(_namespaces(pid), []).append(pid)
        except PermissionError:
            if not (procfs.is_kernel_thread(pid) or procfs.is_zombie(pid)):
                refusals.add("may not see the namespaces of a process", procfs.label(pid))
        except OSError:  # vanished
            continue
    processes: dict[int, list[int]] = {}
    vantages = []
    for (mount, netns), pids in groups.items():
        processes.setdefault(netns, []).extend(pids)
        if deadline is not None and time.monotonic() >= deadline:
            refusals.add(f"had no time left to read {RESOLV_CONF} of a mount namespace", procfs.label(pids[0]))
        elif vantage := _vantage(netns, pids, refusals, foreign=mount != own[0]):
            vantages.append(vantage)
    return Panorama(own[1], tuple(vantages), processes, tuple(refusals.sentences()))


def _namespaces(pid: int) -> tuple[int, int]:
    """Return the inodes of a process's mount and network namespace."""
    return os.stat(f"/proc/{pid}/ns/mnt").st_ino, os.stat(f"/proc/{pid}/ns/net").st_ino


def _vantage(netns: int, pids: list[int], refusals: Refusals, *, foreign: bool) -> Vantage | None:
    """Read the resolv.conf of a group through the first process that is still there; None when all have vanished."""
    for pid in pids:
        try:
            conf = resolv_conf.parse(_read(pid))
        except ProcessLookupError:
            continue
        except OSError as error:
            refusals.add(f"may not read {RESOLV_CONF} ({error.strerror}) of a process", procfs.label(pid))
            return Vantage(netns, ProcessRoot(pid), RESOLV_CONF, None)
        source = f"{RESOLV_CONF} of {_name(pid)}" if foreign else RESOLV_CONF
        return Vantage(netns, ProcessRoot(pid), source, conf)
    return None


def _read(pid: int) -> str:
    """Return a resolv.conf, empty when there is none; raises ProcessLookupError when it is the process that is gone."""
    try:
        return ProcessRoot(pid).read(RESOLV_CONF, resolv_conf.LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.exists(f"/proc/{pid}/ns/mnt"):
            raise ProcessLookupError(errno.ESRCH, "vanished") from None
        return ""


def _name(pid: int) -> str:
    """Name a process by its workload, else by its program: no pid, tomorrow it is another one."""
    workload = cgroup.of_process(pid)
    if workload is not None and workload.kind != "cgroup":
        return f"{workload.kind} {workload.name}"
    try:
        return "process " + printable(procfs.read(pid, "comm").decode(errors="replace").strip())
    except OSError:
        return "a process"
