"""Observes every attempt to reach something, whatever becomes of it: by programs that the kernel runs for us.

Memory is bounded: what exceeds it is counted as lost, and then the evidence is partial.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from airgap_check.evidence import EntryUse, Evidence
from airgap_check.kernel import procfs
from airgap_check.kernel.programs import event
from airgap_check.kernel.programs.raw import HOUSEKEEPING
from airgap_check.observers import attachment
from airgap_check.observers.tally import LIMIT, Tally, Who

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.evidence import AnyRecord
    from airgap_check.fact import Workload
    from airgap_check.kernel.programs.event import Event
    from airgap_check.kernel.programs.held import Held
    from airgap_check.kernel.sieve import Sieve
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.observer import Epoch

_AT_ONCE, _LAST_ROUNDS = 1 << 14, 12  # events read in one turn; turns that empty the ring
_ASIDE = 4096  # events of the self-test that are kept
_SECONDS = 2.0  # between two looks at what is used, and by whom
_TICK = 10_000_000
_ODD = frozenset({1, 33, 58, 132, 136})  # protocols whose sockets are seen by their packets


class Attempts:
    """Observes from now on the processes below a directory of the cgroup hierarchy, by default all of this host.

    ``hooks`` are those at work, ``names_processes`` is set when they tell the process, ``directory`` is where they are
    attached. A directory that the caller chose is all that he asked for. Raises UnobservableError.
    """

    kind = "attempts"

    def __init__(
        self, directory: str | None, sieve: Sieve, epoch: Epoch, identity: Identity, *, limit: int = LIMIT
    ) -> None:
        self._attached = attachment.attach(directory, sieve)
        self.hooks, self.names_processes = self._attached.hooks, self._attached.names_processes
        root = self._attached.root
        self.directory = root.path or f"/proc/self/fd/{root.descriptor}"
        self._all_asked_for = root.is_whole or directory is not None
        self._sieve, self._identity = sieve, identity
        self._tally = Tally(
            identity, epoch, by_process=self._attached.in_initial_pids and self.names_processes, limit=limit
        )
        self._counts: Counter[str] = Counter(events=0, self=0, kernel=0)
        self._cgroups_aside: set[int] = set()
        self._aside: list[Event] = []
        self._us = os.getpid(), _start_ticks(os.getpid())
        self._next_look = self._next_walk = 0.0
        self._limit = limit
        self._evidence: Evidence | None = None
        self._closed = False
        try:
            self._before = list(self._walk())
        except BaseException:
            self.close()
            raise
        self._holders = _holders(self._before)

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptor of the ring."""
        return () if self._closed else (self._attached.tables.events.fileno(),)

    def set_aside(self, cgroup: int) -> None:
        """Keep what happens in a cgroup out of the evidence; `aside` returns it."""
        self._cgroups_aside.add(cgroup)

    def aside(self) -> list[Event]:
        """Return the events that were set aside, oldest first."""
        return list(self._aside)

    def held(self) -> list[Held]:
        """Return the sockets that were open when we began, of every process that we may see; empty without BTF."""
        return list(self._before)

    def drain(self) -> None:
        """Take what waits in the ring, once around at most."""
        if self._closed:
            return
        for data in self._attached.tables.events.read(_AT_ONCE):
            self._take(event.decode(data))
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _SECONDS
            for use in self._attached.tables.uses():
                self._identity.workload(use.cgroup)  # while it is there to be asked for

    def fresh(self) -> list[AnyRecord]:
        """Return the attempts that are new since the last call."""
        return list(self._tally.fresh())

    def finish(self) -> Evidence:
        """Detach, take the rest and return everything that was seen."""
        tables = self._attached.tables
        if self._evidence is not None:
            return self._evidence
        self._attached.programs.close()
        for _ in range(_LAST_ROUNDS):
            self.drain()
        for repeat in tables.counts():
            self._tally.count(repeat)
        lost, records, uses = tables.lost() + self._tally.unkept, self._tally.records(), self._uses()
        self._counts.update(
            distinct=len(records), repeats=self._tally.repeats(), replies=self._tally.replies, own=self._tally.own
        )
        reasons = list(self._shortcomings(tables.lost()))
        self._evidence = Evidence(
            kind=self.kind,
            status="partial" if reasons else "complete",
            records=(*records, *uses),
            reason="; ".join(reasons),
            scope=f"the attempts of {self._attached.root.scope}",
            counts=dict(self._counts),
            lost=lost,
            blind=(*self._attached.blind, *self._identity.failures()),
        )
        self.close()
        return self._evidence

    def close(self) -> None:
        """Detach the programs and give up the maps."""
        self._closed = True
        self._attached.programs.close()
        self._attached.maps.close()

    def _take(self, attempt: Event) -> None:
        self._counts["events"] += 1
        if attempt.cgroup in self._cgroups_aside:
            if len(self._aside) < _ASIDE:
                self._aside.append(attempt)
            return
        who = Who(attempt.pid, attempt.started, attempt.command)
        if attempt.hook == event.EGRESS and not attempt.pid and not attempt.started:
            holder = self._holder(attempt.cookie)
            if holder is None and attempt.flags & HOUSEKEEPING:
                self._counts["kernel"] += 1
                return
            who = holder or who
        pid, ticks = self._us
        if who.pid == pid and (not who.started or who.started // _TICK == ticks):
            self._counts["self"] += 1
            return
        self._tally.add(attempt, who)

    def _holder(self, cookie: int) -> Who | None:
        """Return who holds a socket that was made before we began; looked for again where it changed hands."""
        if cookie not in self._holders and time.monotonic() >= self._next_walk:
            self._next_walk = time.monotonic() + _SECONDS
            self._holders |= _holders(self._walk())
        return self._holders.get(cookie)

    def _walk(self) -> Iterator[Held]:
        """Iterate over the sockets that the observed processes hold."""
        if self._attached.walk is None:
            return
        root = self._attached.root
        below = None if root.is_whole else _pids_below(root.descriptor)
        for row in self._attached.walk.rows():
            if below is None or row.pid in below:
                yield row

    def _uses(self) -> Iterator[EntryUse]:
        """Iterate over how often each entry was used by whom; what approves a destination twice is used twice."""
        found: Counter[tuple[str, Workload | None]] = Counter()
        self._counts["approved"] = 0
        for use in self._attached.tables.uses():
            self._counts["approved"] += use.times
            workload = self._identity.workload(use.cgroup)
            for number, names in enumerate(self._sieve.entries, 1):
                if use.classes >> number & 1:
                    found.update(dict.fromkeys(((name, workload) for name in names), use.times))
        for (name, workload), times in found.items():
            yield EntryUse(entry=name, workload=workload, count=times)

    def _shortcomings(self, overrun: int) -> Iterator[str]:
        """Say in words why this is not everything."""
        tables = self._attached.tables
        if not self._all_asked_for:
            yield f"only {self._attached.root.scope} were observed"
        if event.EGRESS not in self.hooks:
            yield "what raw and ping sockets send was not seen"
        if overrun:
            yield f"{overrun} attempts were lost: they came faster than they could be read"
        if self._tally.unkept:
            yield f"{self._tally.unkept} attempts were lost: more than {self._limit} different ones"
        if tables.uncounted():
            yield f"{tables.uncounted()} uses of the allowlist could not be counted: too many cgroups"


def _start_ticks(pid: int) -> int:
    """Return when a process started, in ticks of /proc (proc_pid_stat(5), field 22)."""
    try:
        return int(procfs.read(pid, "stat").rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return -1


def _holders(rows: Iterable[Held]) -> dict[int, Who]:
    """Return who holds the sockets whose packets are seen, by cookie."""
    return {
        row.cookie: Who(row.pid, row.started, b"")
        for row in rows
        if row.cookie and row.pid and (row.type == socket.SOCK_RAW or row.protocol in _ODD)
    }


def _pids_below(directory: int) -> set[int]:
    """Return the processes in a cgroup and all below it; ``directory`` is a descriptor."""
    pids: set[int] = set()
    for _, _, files, descriptor in os.fwalk(".", dir_fd=directory):
        if "cgroup.procs" in files:
            try:
                with open("cgroup.procs", "rb", opener=partial(os.open, dir_fd=descriptor)) as file:
                    pids.update(map(int, file.read().split()))
            except OSError:
                continue  # removed meanwhile, or a threaded cgroup, whose processes stand in the one above
    return pids
