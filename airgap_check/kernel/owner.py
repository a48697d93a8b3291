"""Says who holds a socket: the process, and the workload that it or the socket belongs to; each is asked once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.kernel import cgroup, procfs

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.evidence.fact import Process, Workload
    from airgap_check.kernel.netns import Namespace

_MEMBERS = 4096  # a namespace with more processes than this runs more than one workload


class Owners:
    """The owners of the sockets of one inventory; ``holder`` says which process holds the socket of an inode."""

    def __init__(self, holder: Callable[[int], int | None], cgroups: cgroup.Cgroups) -> None:
        self._holder = holder
        self._cgroups = cgroups
        self._processes: dict[int, Process | None] = {}
        self._workloads: dict[int, Workload | None] = {}
        self._shared: dict[int, Workload | None] = {}

    def pid(self, inode: int) -> int | None:
        """Return the process that holds a socket; None where none does, or we may not see it."""
        return self._holder(inode) if inode else None

    def process(self, pid: int) -> Process | None:
        """Describe a process; None when it has vanished."""
        if pid not in self._processes:
            self._processes[pid] = procfs.describe(pid)
        return self._processes[pid]

    def workload(self, pid: int) -> Workload | None:
        """Return the workload that a process belongs to now."""
        if pid not in self._workloads:
            self._workloads[pid] = cgroup.of_process(pid)
        return self._workloads[pid]

    def workload_of_cgroup(self, number: int) -> Workload | None:
        """Return the workload of a cgroup id: the one that the socket's creator was in when he created it."""
        return self._cgroups.workload(number) if number else None

    def workload_of_namespace(self, namespace: Namespace) -> Workload | None:
        """Return the workload that all processes of a namespace share, as those of a container do; else None."""
        if namespace.inode not in self._shared:
            self._shared[namespace.inode] = self._find_shared(namespace.pids)
        return self._shared[namespace.inode]

    def _find_shared(self, pids: tuple[int, ...]) -> Workload | None:
        if not pids or len(pids) > _MEMBERS:
            return None
        first = self.workload(pids[0])
        return first if all(self.workload(pid) == first for pid in pids) else None
