"""Knows who makes a call: the process of a thread that waits, as it is at that very moment.

What is known is kept by thread, start, program and user, so that most calls cost two short reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check.kernel import cgroup, procfs

if TYPE_CHECKING:
    from airgap_check.evidence.fact import Process, Workload

_KEPT = 1 << 13  # processes, and threads, at most
_START = 19  # fields of /proc/PID/stat from the state on (proc_pid_stat(5)): 22, the start
# Where the program lies in memory, which is somewhere else after every execve(2): 26 28 45 48 49 50 51.
_LAYOUT = (23, 25, 42, 45, 46, 47, 48)


class Caller(NamedTuple):
    """Who makes a call. ``number`` tells each run of each program from any other.

    ``started`` is CLOCK_BOOTTIME in nanoseconds, 0 where nobody knows it; ``netns`` is the inode of the network
    namespace, where that has to be said.
    """

    number: int
    pid: int
    tid: int
    started: int
    uid: int
    command: bytes
    process: Process | None
    workload: Workload | None
    netns: int = 0


class Callers:
    """Everybody who has made a call so far."""

    def __init__(self) -> None:
        self._threads: dict[tuple[object, ...], Caller] = {}
        self._processes: dict[tuple[object, ...], Caller] = {}
        self._met = 0

    def of(self, tid: int) -> Caller:
        """Say who a thread that waits for us belongs to. Raises OSError where it has gone, or we may not know."""
        status = procfs.read(tid, "status")
        name, _, rest = procfs.read(tid, "stat").rpartition(b")")
        fields = rest.split()
        layout = tuple(fields[index] for index in _LAYOUT)
        user = _field(status, b"\nUid:").split()[1]  # the effective one
        key = tid, fields[_START], name, layout, user
        known = self._threads.get(key)
        if known is None:
            known = self._threads[_room(self._threads, key)] = self._meet(tid, status, layout, user)
        return known

    def _meet(self, tid: int, status: bytes, layout: tuple[bytes, ...], user: bytes) -> Caller:
        pid = int(_field(status, b"\nTgid:"))
        ticks = procfs.start_ticks(pid) or 0
        key = pid, ticks, layout, user
        known = self._processes.get(key)
        if known is None:
            self._met += 1
            known = Caller(
                number=self._met,
                pid=pid,
                tid=tid,
                started=ticks * procfs.TICK,
                uid=int(user),
                command=b"",
                process=_describe(pid, tid),
                workload=cgroup.of_process(pid),
            )
            self._processes[_room(self._processes, key)] = known
        return known._replace(tid=tid, command=_field(status, b"Name:").strip())


def _describe(pid: int, tid: int) -> Process | None:
    """Describe a process; one whose first thread has ended by the thread that calls."""
    found = procfs.describe(pid)
    if (found is None or found.executable is None) and tid != pid:
        other = procfs.describe(tid)
        if other is not None:
            return replace(other, pid=pid, started=found.started if found else None)
    return found


def _field(status: bytes, name: bytes) -> bytes:
    """Return a line of /proc/PID/status; the name of a thread cannot look like one, as its line ends are escaped."""
    return status.partition(name)[2].partition(b"\n")[0]


def _room(kept: dict[tuple[object, ...], Caller], key: tuple[object, ...]) -> tuple[object, ...]:
    """Make room for one more."""
    if len(kept) >= _KEPT:
        del kept[next(iter(kept))]
    return key
