"""What the memory costs: a week of minutely runs by a simulated clock, and one more run after it."""

from __future__ import annotations

import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING

from airgap_check.collectors import continuity
from airgap_check.history import account, journal
from airgap_check.history.precedent import Moment
from airgap_check.history.store import Store
from bench.figure import Figure
from tests.unit.history.judged_reports import finding, report, result

if TYPE_CHECKING:
    from airgap_check.finding import Report

_WEEK = 7 * 24 * 60
_START = datetime(2026, 11, 20, tzinfo=UTC)
_STANDING = 40  # findings that each run has
_CHANGING = 5  # findings that are other ones every hour
_ROUNDS = 60


def _judged(minute: int) -> Report:
    names = [f"{number:032x}" for number in range(_STANDING)]
    names += [f"{minute // 60:016x}{number:016x}" for number in range(_CHANGING)]
    collectors = ("environment", "sockets", "resolution", "listeners", "artifact", "state", "upgrade", "continuity")
    return report(
        minute,
        result("connection.not-allowlisted", *map(finding, names)),
        coverage=dict.fromkeys(collectors, "complete"),
    )


def _run(folder: str, minute: int, judged: Report) -> float:
    """Do the memory's share of a run, and return the processor time that it took."""
    began = time.process_time()
    now = Moment(_START + timedelta(minutes=minute), "boot", minute * 60.0)
    with Store(folder) as store:
        entry = journal.begin(store, now)
    continuity.collect(entry.precedent, 60.0)
    with Store(folder):  # as `installed` does, to compare with what ran before
        pass
    with entry.presence, Store(folder) as store:
        journal.finish(store, entry, judged, now)
    return time.process_time() - began


def figures() -> list[Figure]:
    """Measure the size after a week, and the cost of a run then."""
    # Not on a disk: a week of its waits would be measured, and no processor time.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        folder = os.path.join(place, "state")
        for minute in range(_WEEK):
            _run(folder, minute, _judged(minute))
        size = sum(entry.stat().st_size for entry in os.scandir(folder))
        took = [_run(folder, _WEEK + number, _judged(_WEEK + number)) for number in range(_ROUNDS)]
        with account.reading(folder) as memory:
            runs, standing = memory.runs(_WEEK * 2)[0].id, memory.standing_count()
    detail = f"{_WEEK:,} runs from {runs}, {standing} findings stand"
    return [
        Figure("history, a week of minutely runs", size / 1e6, "MB", 50, detail),
        Figure("history, its share of a run, processor time", median(took) * 1000, "ms", 30, "three openings"),
    ]
