"""Names the workload behind a control group: a systemd unit, a container, or the bare cgroup.

Source: cgroups(7), systemd.slice(5) and the naming of the container runtimes: docker, podman (libpod), containerd and
CRI-O, each under its systemd and its cgroupfs driver, LXC, and kubelet's pods.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airgap_check.evidence.fact import Workload
from airgap_check.kernel import mountinfo, procfs
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 4096
_UNITS = (".service", ".scope", ".socket", ".mount")
_HEXADECIMAL = frozenset("0123456789abcdef")
_LXC = "lxc.payload."
_DELEGATES = ("user@", "machine-", "systemd-nspawn@")  # a user's manager and a guest name what is below them


def workload_of(path: str) -> Workload | None:
    """Return the workload of a cgroup path, as /proc/PID/cgroup shows it; None for the root cgroup.

    A container wins over the units inside it, which its processes name as they like. Whatever stands inside something
    that names its own cgroups carries that one's name: ``user@1000.service/objectos.service`` is not objectos.service,
    and ``user@1000.service/0123456789ab`` not the container that root started.
    """
    parts = [part for part in path[:_LONGEST].removesuffix(" (deleted)").split("/") if part not in {"", ".", ".."}]
    if not parts:
        return None
    pod, container = _containment(parts)
    if container:
        return Workload(kind="container", id=container, name=container, pod=pod)
    if units := "/".join(_units(parts)):
        return Workload(kind="unit", id=units, name=units, pod=pod)
    bare = printable("/" + "/".join(parts))
    return Workload(kind="cgroup", id=bare, name=bare, pod=pod)


def _containment(parts: list[str]) -> tuple[str | None, str | None]:
    """Return the innermost pod and container, each behind those that could have made its cgroup up."""
    pod = container = None
    delegate = ""
    for part in parts:
        if uid := _pod(part):
            pod = delegate + uid
        if (found := _container(part)) and not delegate.endswith(f"{found}/"):
            container = delegate + found
            delegate = f"{container}/"
        elif part.endswith(_UNITS) and part.startswith(_DELEGATES):
            delegate += f"{printable(part)}/"
    return pod, container


def _container(part: str) -> str | None:
    """Return the container that ``docker-ID.scope``, ``SLICE:cri-containerd:ID`` or the bare 64 digits stand for."""
    if part.startswith(_LXC) and len(part) > len(_LXC):
        return printable(part.removeprefix(_LXC))
    runtime, _, identifier = part.removesuffix(".scope").rpartition(":")[2].rpartition("-")
    if len(identifier) == 64 and _HEXADECIMAL.issuperset(identifier) and not runtime.endswith("conmon"):
        return identifier[:12]
    return None  # conmon is podman's and CRI-O's guardian of a container, outside it


def _pod(part: str) -> str | None:
    """Return the uid of the pod that ``podUID`` or ``kubepods-burstable-podUID.slice`` stands for."""
    prefix, found, uid = part.partition(":")[0].removesuffix(".slice").rpartition("pod")
    digits = uid.replace("_", "").replace("-", "")
    # The uid of a static pod is a hash without hyphens.
    if not found or (prefix and "kubepods" not in prefix) or len(digits) != 32 or not _HEXADECIMAL.issuperset(digits):
        return None
    return uid.replace("_", "-")


def _units(parts: list[str]) -> list[str]:
    units: list[str] = []
    for part in parts:
        if not part.endswith(_UNITS) or (part == "init.scope" and units):
            continue  # a user's manager runs in an init.scope; the bare name would be that of process 1
        units.append(printable(part))
        if part.startswith("machine-"):
            break  # a guest of its own (systemd-nspawn), which names its units itself
    return units


def of_process(pid: int) -> Workload | None:
    """Return the workload that a process belongs to; None for the root cgroup and for a process that has gone.

    The unified hierarchy is asked first, then systemd's own, then any other that says more than the root.
    """
    try:
        text = procfs.read(pid, "cgroup").decode(errors="replace")
    except OSError:
        return None
    return next(filter(None, map(workload_of, paths(text))), None)


def paths(text: str) -> list[str]:
    """Return the paths of a /proc/PID/cgroup (``hierarchy:controllers:path`` a line), the most telling first."""
    found = []
    for line in text.split("\n"):
        fields = line.split(":", 2)
        if len(fields) == 3:
            found.append((fields[0] != "0", fields[1] != "name=systemd", fields[2]))
    return [path for *_, path in sorted(found, key=lambda entry: entry[:2])]


class Cgroups:
    """The control groups of the unified hierarchy by id, which is the inode of their directory; read at first use."""

    def __init__(self) -> None:
        self._paths: dict[int, str] | None = None
        self._workloads: dict[int, Workload | None] = {}

    def workload(self, number: int) -> Workload | None:
        """Return the workload of a cgroup; None for the root cgroup, and for one that has gone or cannot be seen."""
        if number not in self._workloads:
            self._workloads[number] = workload_of(self.path(number) or "")
        return self._workloads[number]

    def path(self, number: int) -> str | None:
        """Return the path of a cgroup from the root of the hierarchy; None when it has gone or cannot be seen."""
        if self._paths is None:
            self._paths = dict(_directories())
        return self._paths.get(number)


def _directories() -> Iterator[tuple[int, str]]:
    """Iterate over the cgroups below the mount of cgroup2, wherever that is: in a hybrid hierarchy it is not on top."""
    try:
        mounts = mountinfo.parse(procfs.read(os.getpid(), "mountinfo", 1 << 26), "cgroup2")
    except OSError:
        return
    for mount in mounts:
        try:
            top = os.stat(mount.point)
        except OSError:
            continue
        if top.st_dev == mount.device:  # else something else is mounted over it
            yield top.st_ino, mount.root
            yield from _below(mount.point, mount.root.rstrip("/"))
            return


def _below(point: str, root: str) -> Iterator[tuple[int, str]]:
    todo = [""]
    while todo:
        here = todo.pop()
        try:
            with os.scandir(point + here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(f"{here}/{entry.name}")
                        yield entry.inode(), f"{root}{here}/{entry.name}"
        except OSError:
            continue  # removed meanwhile
