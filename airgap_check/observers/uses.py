"""Counts how often each entry of the allowlist was used by whom, from what the kernel's programs have approved.

Their table has an end, and on a busy host cgroups have none, so it is emptied before it is full.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING

from airgap_check.evidence import EntryUse
from airgap_check.kernel.programs.tables import Use

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence.fact import Workload
    from airgap_check.kernel.programs.tables import Tables
    from airgap_check.kernel.sieve import Sieve
    from airgap_check.observers.identity import Identity

_FULL = 1 << 12  # lines of the table, a quarter of it: what it holds at the end is counted to the last one
_WHO = 1 << 14  # pairs of entry and workload; those beyond are told without the workload


class Uses:
    """The uses of one observation; ``total`` is known at the end. What approves a destination twice is used twice."""

    def __init__(self, tables: Tables, sieve: Sieve, identity: Identity) -> None:
        self._tables, self._sieve, self._identity = tables, sieve, identity
        self._found: Counter[tuple[str, Workload | None]] = Counter()
        self.total = 0

    def take(self, *, last: bool = False) -> None:
        """Learn whose the cgroups are, while they are there to be asked for; count, and empty the table, when it fills.

        A use that is made at the very moment when its line is taken out may be missed, so that is not done without
        need. The ``last`` time everything is counted.
        """
        uses = self._tables.uses()
        fills = len(uses) >= _FULL
        if fills and not last:
            uses = [
                Use(*struct.unpack("=QQ", key), *struct.unpack("=Q", value))
                for key, value in self._tables.uses_made.drain(delete=True)
            ]
        for use in uses:
            workload = self._identity.workload(use.cgroup)
            if last or fills:
                self._count(use, workload)

    def records(self) -> Iterator[EntryUse]:
        """Iterate over what was counted."""
        for (name, workload), times in self._found.items():
            yield EntryUse(entry=name, workload=workload, count=times)

    def _count(self, use: Use, workload: Workload | None) -> None:
        self.total += use.times
        for number, names in enumerate(self._sieve.entries, 1):
            if use.classes >> number & 1:
                for name in names:
                    who = workload if (name, workload) in self._found or len(self._found) < _WHO else None
                    self._found[name, who] += use.times
