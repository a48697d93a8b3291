"""Says who did it and where, from the numbers that the kernel's programs report: process, workload, user, ends.

Processes and cgroups are gone soon, so they are asked for as soon as an event is read, and the answers are kept.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from airgap_check.address import scope_of
from airgap_check.fact import Process, endpoint
from airgap_check.kernel import cgroup, cgroup2, procfs
from airgap_check.kernel.peer import plain
from airgap_check.observers.surroundings import Surroundings
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.fact import Endpoint, Workload
    from airgap_check.observers.observer import Epoch

_PROCESSES, _WORKLOADS = 1 << 13, 1 << 14  # kept at most
_SECONDS = 1.0  # between two walks through the hierarchy of cgroups
_TICK = 10_000_000  # nanoseconds: /proc counts in hundredths of a second on every architecture (USER_HZ)
_START = 19  # the field of /proc/PID/stat, counted from the state (proc_pid_stat(5), field 22)


class Identity:
    """Who and where; one for all observers of a run."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._surroundings = Surroundings()
        self._processes: dict[tuple[int, int, bytes], Process] = {}
        self._workloads: dict[int, Workload | None] = {}
        self._walked = cgroup.Cgroups()
        self._next_walk = 0.0
        self._root = -1
        with suppress(cgroup2.NoHierarchyError):
            self._root = cgroup2.open_root().descriptor

    def process(self, pid: int, started: int, command: bytes, uid: int, at: int = 0) -> Process | None:
        """Describe a process; None for pid 0, which is one that nobody could tell.

        ``started`` is CLOCK_BOOTTIME, ``at`` (when it was seen) CLOCK_MONOTONIC, in nanoseconds; 0 is unknown. Only a
        process of the same start, or that had started before it was seen, is asked what it is: pids are given again.
        """
        if not pid:
            return None
        key = pid, started, command
        if key not in self._processes:
            if len(self._processes) >= _PROCESSES:
                del self._processes[next(iter(self._processes))]
            self._processes[key] = self._describe(pid, started, command, uid, at)
        return self._processes[key]

    def workload(self, number: int) -> Workload | None:
        """Return the workload of a cgroup by its id; None for the root cgroup and one that had gone before we asked."""
        if number not in self._workloads:
            try:
                workload = cgroup.workload_of(cgroup2.path_of(self._root, number))
            except OSError as error:
                if error.errno == errno.ESTALE:
                    return None
                # Without CAP_DAC_READ_SEARCH a walk through the hierarchy tells the same, more slowly.
                workload = self._walk(number)
                if workload is None:
                    return None
            if len(self._workloads) >= _WORKLOADS:
                del self._workloads[next(iter(self._workloads))]
            self._workloads[number] = workload
        return self._workloads[number]

    def namespace(self, cookie: int) -> int:
        """Return the inode of a network namespace by its cookie; 0 when it had gone before we asked."""
        return self._surroundings.inode(cookie)

    def user(self, uid: int) -> str:
        """Name a user."""
        return procfs.user_name(uid)

    def end(self, inode: int, packed: bytes, port: int | None = None, *, datagram: bool = True) -> Endpoint:
        """Describe the other end as seen from a network namespace; IPv4 in a mapped address is plain IPv4.

        Only datagrams can be broadcast: a tiny prefix on an interface of one's own makes any address look so.
        """
        address, scope = self._surroundings.peer(inode, plain(packed))
        if scope == "broadcast" and not datagram:
            scope = scope_of(address)
        return endpoint(address, port, scope=scope)

    def failures(self) -> list[str]:
        """Say in words which network namespaces could not be looked into."""
        return self._surroundings.failures()

    def close(self) -> None:
        """Let go of the hierarchy of cgroups."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _describe(self, pid: int, started: int, command: bytes, uid: int, at: int) -> Process:
        if self._is_same(pid, started, at):
            described = procfs.describe(pid)
            if described is not None and self._is_same(pid, started, at):
                return described
        return Process(
            pid=pid,
            started=self._epoch.at_boottime(started) if started else None,
            name=printable(command.decode(errors="replace")) or None,
            user=self.user(uid),
        )

    def _is_same(self, pid: int, started: int, at: int) -> bool:
        """Tell whether /proc knows the very process: by its start, or as one that had started before it was seen."""
        try:
            ticks = int(procfs.read(pid, "stat").rpartition(b")")[2].split()[_START])
        except (OSError, ValueError, IndexError):
            return False
        if started:
            return ticks == started // _TICK
        seen = at - self._epoch.monotonic + self._epoch.boottime
        return bool(at) and (ticks + 1) * _TICK <= seen

    def _walk(self, number: int) -> Workload | None:
        if time.monotonic() >= self._next_walk:
            self._walked = cgroup.Cgroups()
            self._next_walk = time.monotonic() + _SECONDS
        return self._walked.workload(number)
