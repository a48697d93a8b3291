"""Says who did it and where, from the numbers that the kernel's programs report: process, workload, user, ends.

Processes and cgroups are gone soon, so they are asked for as soon as an event is read, and the answers are kept.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check.address import scope_of
from airgap_check.evidence.fact import GONE, Process, endpoint
from airgap_check.kernel import cgroup, cgroup2, procfs, sandbox
from airgap_check.kernel.peer import plain
from airgap_check.observers.program import Clue, Programs
from airgap_check.observers.surroundings import Surroundings
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence.fact import Endpoint, Workload
    from airgap_check.observers.observer import Epoch

_PROCESSES, _WORKLOADS = 1 << 13, 1 << 14  # kept at most
_SECONDS = 1.0  # between two walks through the hierarchy of cgroups


class Identity:
    """Who and where; one for all observers of a run."""

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._surroundings = Surroundings()
        self._programs = Programs()
        self._processes: dict[tuple[int, int, Clue], Process] = {}
        self._workloads: dict[int, Workload | None] = {}
        self._walked = cgroup.Cgroups()
        self._next_walk = 0.0
        self._root = -1
        with suppress(cgroup2.NoHierarchyError):
            self._root = cgroup2.open_root().descriptor

    def process(self, pid: int, started: int, clue: Clue, uid: int, at: int = 0) -> Process | None:
        """Describe a process; None for pid 0, which is one that nobody could tell.

        ``started`` is CLOCK_BOOTTIME, ``at`` (when it was seen) CLOCK_MONOTONIC, in nanoseconds; 0 is unknown. Only a
        process of the same start, or that had started before it was seen, is asked what it is, as pids are given again,
        and only while it runs the same program.
        """
        if not pid:
            return None
        key = pid, started, clue
        if key not in self._processes:
            if len(self._processes) >= _PROCESSES:
                del self._processes[next(iter(self._processes))]
            self._processes[key] = self._describe(pid, started, clue, uid, at)
        return self._processes[key]

    def workload(self, number: int) -> Workload | None:
        """Return the workload of a cgroup by its id; None for the root cgroup, GONE for one that had gone already."""
        if number not in self._workloads:
            try:
                path = cgroup2.path_of(self._root, number)
            except OSError as error:
                # Without CAP_DAC_READ_SEARCH a walk through the hierarchy tells the same, more slowly.
                walked = None if error.errno == errno.ESTALE else self._walk(number)
                if walked is None:
                    return GONE
                path = walked
            if len(self._workloads) >= _WORKLOADS:
                del self._workloads[next(iter(self._workloads))]
            self._workloads[number] = cgroup.workload_of(path)
        return self._workloads[number]

    def workload_of(self, number: int, pid: int, started: int, at: int = 0) -> Workload | None:
        """Return the workload of a process that was seen in a cgroup: where that has gone, what the process is in now.

        A process leaves one cgroup for another of the same unit, unless root moves it.
        """
        workload = self.workload(number)
        if workload != GONE or not pid or not self._is_same(pid, started, at):
            return workload
        present = cgroup.of_process(pid)
        return present if present is not None and self._is_same(pid, started, at) else GONE

    def is_foreign_test(self, number: int) -> bool:
        """Tell whether a cgroup is that in which another run of ours tests itself."""
        try:
            descriptor = cgroup2.open_group(self._root, number)
        except OSError:
            return False
        try:
            return sandbox.is_anothers(descriptor)
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def namespace(self, cookie: int, pid: int = 0, group: int = 0, at: int = 0) -> int:
        """Return the inode of a network namespace by its cookie; 0 when it had gone before we knew its addresses.

        A process that was seen there (``at``, CLOCK_MONOTONIC in nanoseconds), and the others of its cgroup, are where
        it is looked for first.
        """

        def pids() -> Iterator[int]:
            if pid:
                yield pid
            if group:
                with suppress(OSError):
                    yield from cgroup2.pids_of(self._root, group)

        return self._surroundings.inode(cookie, pids(), at / 1e9)

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

    def _describe(self, pid: int, started: int, clue: Clue, uid: int, at: int) -> Process:
        if self._is_same(pid, started, at):
            described = procfs.describe(pid)
            still = self._programs.is_still(pid, clue)
            if described is not None and self._is_same(pid, started, at):
                if still:
                    return described
                if not clue.command:
                    return replace(described, executable=None, command=None)
        path = self._programs.path(clue)
        return Process(
            pid=pid,
            started=self._epoch.at_boottime(started) if started else None,
            name=printable(clue.command.decode(errors="replace")) or None,
            executable=printable(path) if path else None,
            user=self.user(uid),
        )

    def _is_same(self, pid: int, started: int, at: int) -> bool:
        """Tell whether /proc knows the very process: by its start, or as one that had started before it was seen."""
        ticks = procfs.start_ticks(pid)
        if ticks is None:
            return False
        if started:
            return ticks == started // procfs.TICK
        seen = at - self._epoch.monotonic + self._epoch.boottime
        return bool(at) and (ticks + 1) * procfs.TICK <= seen

    def _walk(self, number: int) -> str | None:
        if time.monotonic() >= self._next_walk:
            self._walked = cgroup.Cgroups()
            self._next_walk = time.monotonic() + _SECONDS
        return self._walked.path(number)
