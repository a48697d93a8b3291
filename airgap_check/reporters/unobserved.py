"""When nobody looked: gaps of an observation, and what interrupted the runs before it, each once and with its cause."""

from __future__ import annotations

from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from airgap_check.reporters import wording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Report

_CAUSES: Final = {
    "no-run": "no run reported",
    "killed": "a run was killed",
    "suspended": "the machine slept",
    "clock": "the clock jumped",
}


class Absence(NamedTuple):
    """A time in which nobody looked, and why, where that is known."""

    start: datetime
    end: datetime
    cause: str

    def __str__(self) -> str:
        """Say when, how long, and why."""
        when = f"{wording.moment(self.start)} to {wording.moment(self.end)} ({wording.span(self.start, self.end)})"
        return f"{when}: {self.cause}" if self.cause else when


def absences(report: Report) -> list[Absence]:
    """Return them in order; a gap of the window is not told again where an interruption that was found covers it."""
    found = dict.fromkeys(_interruptions(report))
    gaps = [Absence(start, end, "") for start, end in report.window.gaps]
    told = [gap for gap in gaps if not any(one.start <= gap.start and gap.end <= one.end for one in found)]
    return sorted(chain(found, told))


def _interruptions(report: Report) -> Iterator[Absence]:
    for result in report.results:
        for finding in result.findings:
            record: dict[str, Any] = finding.record
            if record.get("kind") == "interruption":
                first, last = (datetime.fromisoformat(record[name]) for name in ("first", "last"))
                yield Absence(first, last, _CAUSES.get(record["cause"], record["cause"]))
