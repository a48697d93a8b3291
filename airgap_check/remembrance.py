"""A run's place among the others: what went before is asked when it begins, and it is remembered when it reports."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airgap_check.collectors import continuity
from airgap_check.errors import UsageError
from airgap_check.history import journal
from airgap_check.history.memory import recalled
from airgap_check.history.precedent import Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from airgap_check.evidence import Evidence
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Report
    from airgap_check.history.change import Change
    from airgap_check.plan import Plan


class Remembrance:
    """What is remembered of a run that is at work; ``trouble`` says why it will not be, once that is known."""

    def __init__(self, plan: Plan, inspection: Inspection) -> None:
        """Ask what went before, and note that this run has begun. Raises `UsageError` as `recalled` does."""
        self.trouble = ""
        self._plan, self._boot = plan, inspection.subject.boot_id
        self._entry: journal.Entry | None = None
        self._evidence: Evidence | None = None
        with recalled(plan.state) as memory:
            if memory.store is not None:
                try:
                    self._entry = journal.begin(memory.store, self._moment(inspection.started))
                except UsageError as error:
                    self.trouble = str(error)
                    self._evidence = continuity.unavailable(self.trouble)
                else:
                    self.trouble = self._entry.trouble
                    self._evidence = continuity.collect(self._entry.precedent, plan.every)
            elif memory.wanted:
                self.trouble = memory.reason
                self._evidence = continuity.unavailable(memory.reason)

    def _moment(self, now: datetime) -> Moment:
        return Moment(now, self._boot, time.clock_gettime(time.CLOCK_BOOTTIME))

    def with_continuity(self, evidence: Sequence[Evidence]) -> list[Evidence]:
        """Complete the evidence of this run with what lies between it and the one before."""
        return continuity.joined([*evidence, *([self._evidence] if self._evidence else [])])

    def keep(
        self, report: Report, announce: Callable[[Change], None] | None = None, *, final: bool = True
    ) -> Change | None:
        """Remember the report, and say what it changes; None where nothing remembers, for the reason ``trouble``.

        ``announce`` hears of it before it is remembered. A run that goes on after it says so with ``final=False``.
        """
        if self._entry is None:
            return None
        try:
            with recalled(self._plan.state) as memory:
                if memory.store is None:
                    self.trouble = memory.reason
                    return None
                moment = self._moment(report.finished)
                change = journal.finish(memory.store, self._entry, report, moment, final=final, announce=announce)
        except UsageError as error:  # a disk that is full by now is no reason to withhold the report
            self.trouble = str(error)
            return None
        self.trouble = ""
        return change

    def close(self) -> None:
        """Let go: from now on this run is at work no more."""
        if self._entry is not None:
            self._entry.presence.close()


@contextmanager
def remembered(plan: Plan, inspection: Inspection) -> Iterator[Remembrance]:
    """Remember a run from its beginning; one that never keeps its report is told of as killed by the next."""
    remembrance = Remembrance(plan, inspection)
    try:
        yield remembrance
    finally:
        remembrance.close()
