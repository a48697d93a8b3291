"""Observes every attempt to reach something, whatever becomes of it: by programs that the kernel runs for us.

Memory is bounded: what exceeds it is counted as lost, and then the evidence is partial.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

from airgap_check.evidence import Evidence
from airgap_check.kernel import procfs
from airgap_check.kernel.programs import event
from airgap_check.observers import attachment
from airgap_check.observers.holders import Holders
from airgap_check.observers.program import Clue
from airgap_check.observers.tally import LIMIT, Tally, Who
from airgap_check.observers.uses import Uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import AnyRecord
    from airgap_check.kernel.programs.event import Event
    from airgap_check.kernel.programs.held import Held
    from airgap_check.kernel.sieve import Sieve
    from airgap_check.observers.identity import Identity
    from airgap_check.observers.observer import Epoch

_AT_ONCE, _LAST_ROUNDS = 1 << 14, 12  # events read in one turn; turns that empty the ring
_ASIDE = 4096  # events of the self-test that are kept
_SECONDS = 2.0  # between two looks at what is used, and by whom
_CGROUPS = 1 << 14  # of which we remember whether they are a self-test's


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
        self._counts: Counter[str] = Counter(events=0, self=0, self_test=0, kernel=0)
        self._uses = Uses(self._attached.tables, sieve, identity)
        self._cgroups_aside: set[int] = set()
        self._foreign_tests: dict[int, bool] = {}
        self._aside: list[Event] = []
        self._us = os.getpid(), procfs.start_ticks(os.getpid())
        self._next_look = 0.0
        self._limit = limit
        self._evidence: Evidence | None = None
        self._closed = False
        try:
            self._holders = Holders(self._attached.root, self._attached.walk)
        except BaseException:
            self.close()
            raise

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
        return list(self._holders.before)

    def drain(self) -> None:
        """Take what waits in the ring, once around at most."""
        if self._closed:
            return
        for data in self._attached.tables.events.read(_AT_ONCE):
            self._take(event.decode(data))
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _SECONDS
            self._uses.take()

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
        self._uses.take(last=True)
        lost, records, uncounted = tables.lost() + self._tally.unkept, self._tally.records(), tables.uncounted()
        self._counts.update(
            distinct=len(records), repeats=self._tally.repeats(), replies=self._tally.replies, own=self._tally.own,
            approved=self._uses.total, uses_uncounted=uncounted,
        )  # fmt: skip
        unseen = [f"whether an entry that seems unused is: {uncounted} uses were not counted"] if uncounted else []
        reasons = list(self._shortcomings(tables.lost()))
        self._evidence = Evidence(
            kind=self.kind,
            status="partial" if reasons else "complete",
            records=(*records, *self._uses.records()),
            reason="; ".join(reasons),
            scope=f"the attempts of {self._attached.root.scope}",
            counts=dict(self._counts),
            lost=lost,
            blind=(*self._attached.blind, *self._identity.failures(), *unseen),
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
        if self._is_foreign_test(attempt.cgroup):
            self._counts["self_test"] += 1
            return
        clue = Clue(attempt.tid, attempt.command, attempt.executable, attempt.device)
        who = Who(attempt.pid, attempt.started, clue)
        if attempt.hook == event.EGRESS and not attempt.pid and not attempt.started:
            holder = self._holders.of(attempt.cookie)
            if holder is None and attempt.flags & event.HOUSEKEEPING:
                self._counts["kernel"] += 1
                return
            who = holder or who
        pid, ticks = self._us
        if who.pid == pid and (not who.started or who.started // procfs.TICK == ticks):
            self._counts["self"] += 1
            return
        self._tally.add(attempt, who)

    def _is_foreign_test(self, cgroup: int) -> bool:
        """Tell whether another run of ours tests itself in a cgroup; asked when it is first heard of."""
        if cgroup not in self._foreign_tests:
            if len(self._foreign_tests) >= _CGROUPS:
                del self._foreign_tests[next(iter(self._foreign_tests))]
            self._foreign_tests[cgroup] = self._identity.is_foreign_test(cgroup)
        return self._foreign_tests[cgroup]

    def _shortcomings(self, overrun: int) -> Iterator[str]:
        """Say in words why this is not everything."""
        if not self._all_asked_for:
            yield f"only {self._attached.root.scope} were observed"
        if event.EGRESS not in self.hooks:
            yield "what raw and ping sockets send was not seen"
        if overrun:
            yield f"{overrun} attempts were lost: they came faster than they could be read"
        if self._tally.unkept:
            yield f"{self._tally.unkept} attempts were lost: more than {self._limit} different ones"
